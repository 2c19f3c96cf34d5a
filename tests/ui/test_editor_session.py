"""Sessions of the editor over a real gateway's API: tabs, drafts, undo, deploy, conflict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.api.local import write_token
from gateway.api.server import Server
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError, Rejected
from gateway.flow.document import Document
from tests.engine.gear import started, until
from ui.editor import drafts, keeping
from ui.editor.asks import ASKS
from ui.editor.release import deploy, merge, refresh, revert
from ui.editor.session import Session, Tab
from ui.engine import Api, Engine

TEXT = """\
flow: press
version: 1

nodes:
  # Made up.
  src: {type: simulate.source, tag: plant/oil, every_s: 60}
  high: {type: alarm.limit, hi: 80}

wires:
  - src -> high
"""


class Site:
    """A gateway, and whoever edits its flow."""

    def __init__(self, runtime: Runtime, server: Server, folder: Path) -> None:
        self.runtime = runtime
        self.server = server
        self.engine = Engine(folder)
        self.tasks: set[asyncio.Task[None]] = set()
        self.said: dict[str, list[tuple[str, Any]]] = {}
        self.sessions: list[Session] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def api(self) -> Api:
        return Api(self.engine, "", "http", "127.0.0.1")

    async def session(self, flow: str = "press") -> Session:
        running = await drafts.deployed(self.api, flow)
        session = Session(flow, running, await drafts.draft(self.api, flow), self.start)
        self.sessions.append(session)
        return session

    def tab(self, session: Session, name: str, **more: Any) -> Tab:
        heard = self.said.setdefault(name, [])
        tab = Tab(name, f"user:{name}", lambda *said: heard.append(said), self.api, **more)
        session.join(tab)
        return tab

    def heard(self, name: str, what: str) -> list[Any]:
        return [values for said, values in self.said[name] if said == what]

    async def draft(self, flow: str = "press") -> drafts.Draft | None:
        return await drafts.draft(self.api, flow)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(keeping, "SAVE_S", 0.05)
    monkeypatch.setattr(keeping, "LINT_S", 0.01)
    monkeypatch.setattr(keeping, "AGAIN_S", 0.1)
    runtime = await started(Document.parse(TEXT), tmp_path / "state")
    server = Server(runtime, 0, cost=Cost(16, 8, 1))
    write_token(tmp_path, server.port, server.access.local_token)
    serving = asyncio.ensure_future(server.run())
    await until(lambda: server._server.started)
    found = Site(runtime, server, tmp_path)
    try:
        yield found
    finally:
        for session in found.sessions:
            session.keeper.stop()
        if found.tasks:
            await asyncio.wait(found.tasks, timeout=5)
        await found.engine.close()
        server.stop()
        await serving
        await runtime.stop()


SET = {"op": "set", "id": "high", "fields": {"hi": 75}}


async def test_what_one_does_all_see_and_it_is_kept(site: Site) -> None:
    session = await site.session()
    anna, ben = site.tab(session, "anna"), site.tab(session, "ben")
    assert site.heard("anna", "presence")[-1][0]["name"] == "ben"
    session.select(ben, ["high"])
    assert site.heard("anna", "presence")[-1][0]["selected"] == ["high"]
    assert session.edit(anna, SET) == []
    for name in ("anna", "ben"):
        delta = site.heard(name, "patch")[-1]["delta"]
        assert delta["nodes"]["high"]["fields"]["hi"] == 75
        assert delta["nodes"]["high"]["change"] == "changed"
    assert site.heard("ben", "patch")[-1]["status"]["undo"] == 0
    status = site.heard("anna", "patch")[-1]["status"]
    assert (status["changes"], status["undo"]) == (1, 1)
    await until(lambda: session.is_kept)
    kept = await site.draft()
    assert kept is not None
    assert kept.text == TEXT.replace("hi: 80", "hi: 75")
    assert (kept.base, kept.by[:5]) == (1, "user:")
    session.leave(ben)
    assert site.heard("anna", "presence")[-1] == []


async def test_each_takes_back_their_own(site: Site) -> None:
    session = await site.session()
    anna, ben = site.tab(session, "anna"), site.tab(session, "ben")
    session.edit(anna, SET)
    (name,) = session.edit(ben, {"op": "add", "type": "filter.rate", "x": 500, "y": 0})
    session.undo(anna)
    assert session.tree["nodes"]["high"]["hi"] == 80
    assert name in session.tree["nodes"]
    session.undo(ben)
    session.redo(anna)
    assert session.text() == TEXT.replace("hi: 80", "hi: 75")
    session.undo(anna)
    assert session.text() == TEXT
    await until(lambda: session.is_kept)
    assert await site.draft() is None
    # What is done by another since is not undone over their head.
    session.edit(anna, {"op": "add", "type": "filter.rate", "id": "mine"})
    session.edit(ben, {"op": "del", "nodes": ["mine"]})
    with pytest.raises(ConfigError, match="not there any more"):
        session.undo(anna)


async def test_moving_a_box_is_no_draft(site: Site) -> None:
    session = await site.session()
    session.edit(site.tab(session, "anna"), {"op": "move", "pos": {"high": [500, 70]}})
    await until(lambda: session.is_kept)
    assert await site.draft() is None
    again = await site.session()
    assert again.tree["boxes"]["high"] == {"x": 500.0, "y": 70.0}
    assert again.changes() == 0


async def test_a_draft_is_there_after_a_restart_of_the_screens(site: Site) -> None:
    session = await site.session()
    anna = site.tab(session, "anna")
    session.edit(anna, {"op": "group", "ids": ["src", "high"], "text": "Oil"})
    session.edit(anna, {"op": "note", "x": 0, "y": 300, "text": "Look."})
    session.edit(anna, SET)
    await until(lambda: session.is_kept)
    again = await site.session()
    assert again.text() == session.text()
    assert again.tree["frames"] == session.tree["frames"]
    assert [frame["text"] for frame in again.tree["frames"].values()] == ["Oil", "Look."]


async def test_lint_is_told_to_all(site: Site) -> None:
    session = await site.session()
    anna = site.tab(session, "anna")
    session.edit(anna, {"op": "del", "wires": ["src.out>high.in"]})
    await until(lambda: any(row["node"] == "high" for row in session.problems))
    assert site.heard("anna", "problems")[-1]["rows"] == session.problems


async def test_who_may_only_look_changes_nothing(site: Site) -> None:
    session = await site.session()
    viewer = site.tab(session, "viewer", may_edit=False)
    with pytest.raises(ConfigError, match="may look at flows"):
        session.edit(viewer, SET)
    session.undo(viewer)
    assert session.text() == TEXT
    session.edit(site.tab(session, "anna"), SET)
    with pytest.raises(ConfigError, match="may look at flows"):
        revert(session, viewer)
    session.rival = session.running
    with pytest.raises(ConfigError, match="may look at flows"):
        merge(session, viewer, {})
    assert session.changes() == 1
    assert session.rival is not None


async def test_a_deploy_runs_and_undo_goes_on(site: Site) -> None:
    session = await site.session()
    anna, _ = site.tab(session, "anna"), site.tab(session, "ben")
    session.edit(anna, SET)
    done = await deploy(session, anna, "Hot days.")
    assert done["revision"] == 2
    assert site.heard("ben", "deployed")[-1]["revision"] == 2
    await until(lambda: session.is_kept)
    assert await site.draft() is None
    assert session.changes() == 0
    running = await drafts.deployed(site.api, "press")
    assert running is not None
    assert running.text == TEXT.replace("hi: 80", "hi: 75")
    session.undo(anna)
    assert session.changes() == 1
    revert(session, anna)
    assert session.changes() == 0
    session.undo(anna)
    assert session.text() == TEXT


async def test_what_cannot_run_is_refused_and_nothing_is_lost(site: Site) -> None:
    session = await site.session()
    anna = site.tab(session, "anna")
    session.edit(anna, {"op": "del", "wires": ["src.out>high.in"]})
    with pytest.raises(Rejected, match="Nothing is wired"):
        await deploy(session, anna)
    assert session.base == 1
    assert session.changes() == 1


async def elsewhere(site: Site, text: str) -> None:
    await site.runtime.deploy(Document.parse(text), "user:script")


async def test_another_deploy_is_taken_over_where_nothing_is_edited(site: Site) -> None:
    session = await site.session()
    site.tab(session, "anna")
    await elsewhere(site, TEXT.replace("hi: 80", "hi: 90"))
    await refresh(session, site.api)
    assert (session.base, session.rival, session.tree["nodes"]["high"]["hi"]) == (2, None, 90)


async def test_another_deploy_is_never_overwritten(site: Site) -> None:
    session = await site.session()
    anna = site.tab(session, "anna")
    session.edit(anna, {"op": "set", "id": "high", "fields": {"hi": 75, "deadband": 2}})
    await elsewhere(site, TEXT.replace("hi: 80", "hi: 90, lo: 5"))
    with pytest.raises(Rejected, match="Revision 2 of press was deployed by user:script"):
        await deploy(session, anna)
    rival = site.heard("anna", "rival")[-1]
    assert (rival["by"], rival["revision"], rival["base"]) == ("script", 2, 1)
    (clash,) = rival["clashes"]
    assert (clash["about"], clash["mine"], clash["theirs"]) == ("The node 'high': hi", "75", "90")
    with pytest.raises(Rejected, match="Put the two together first"):
        await deploy(session, anna)
    with pytest.raises(ConfigError, match="not decided"):
        merge(session, anna, {})
    merge(session, anna, {clash["key"]: "theirs"})
    assert session.tree["nodes"]["high"] == {
        "type": "alarm.limit",
        "hi": 90,
        "lo": 5,
        "deadband": 2,
    }
    assert (await deploy(session, anna))["revision"] == 3


async def test_a_draft_that_a_program_saves_is_put_together(site: Site) -> None:
    session = await site.session()
    anna = site.tab(session, "anna")
    session.edit(anna, SET)
    await until(lambda: session.is_kept)
    kept = await site.draft()
    assert kept is not None
    other = drafts.Draft(kept.text.replace("every_s: 60", "every_s: 30"), {}, 1, kept.version)
    await drafts.save(site.api, "press", other)
    session.edit(anna, {"op": "set", "id": "high", "fields": {"lo": 1}})
    await until(lambda: bool(site.heard("anna", "notice")))
    assert session.tree["nodes"]["src"]["every_s"] == 30
    await until(lambda: session.is_kept)
    last = await site.draft()
    assert last is not None
    assert "lo: 1" in last.text
    assert "every_s: 30" in last.text


async def test_a_new_flow_and_a_draft_of_an_old_revision(site: Site) -> None:
    with pytest.raises(ConfigError, match="no flow 'new'"):
        await site.session("new")
    await drafts.save(site.api, "new", drafts.Draft("flow: new\nversion: 1\nnodes: {}\n"))
    session = await site.session("new")
    anna = site.tab(session, "anna")
    session.edit(anna, {"op": "add", "type": "simulate.source"})
    session.edit(anna, {"op": "set", "id": "simulate", "fields": {"tag": "plant/new"}})
    assert session.status(anna)["revision"] is None
    assert (await deploy(session, anna))["revision"] == 1
    await until(lambda: session.is_kept)
    await drafts.save(site.api, "press", drafts.Draft(TEXT.replace("80", "70"), {}, 1))
    await elsewhere(site, TEXT.replace("hi: 80", "hi: 90"))
    running = await drafts.deployed(site.api, "press")
    assert running is not None
    old = await drafts.revision(site.api, "press", 1, running)
    session = Session("press", old, await site.draft(), site.start)
    site.sessions.append(session)
    await refresh(session, site.api)
    assert session.base == 1
    assert session.rival is not None
    assert session.rival.revision == 2


async def test_questions_of_the_browser(site: Site) -> None:
    session = await site.session()

    class _Desk:
        def __init__(self) -> None:
            self.session = session
            self.tab = site.tab(session, "anna")
            self.api = site.api

    desk: Any = _Desk()
    session.edit(desk.tab, SET)
    assert (await ASKS["text"](desk, {}))["text"] == session.text()
    assert (await ASKS["changes"](desk, {}))["lines"] == [
        "~ node high (alarm.limit)",
        "    hi: 80 -> 75",
    ]
    plan = await ASKS["plan"](desk, {})
    assert plan["can_run"]
    assert [row["fate"] for row in plan["nodes"]] == ["same", "keeps"]
    assert await ASKS["tests"](desk, {}) == []
    assert [row["revision"] for row in await ASKS["revisions"](desk, {})] == [1]
    found = await ASKS["compare"](desk, {"before": 1, "after": 0})
    assert found["lines"] == ["~ node high (alarm.limit)", "    hi: 80 -> 75"]
    said = await ASKS["inject"](desk, {"node": "src", "samples": "plant/oil 0s 95"})
    assert "src" in said["text"]


OTHER = """\
flow: energy
version: 1

subflows:
  far:
    about: Far away.
    inputs: {in: samples}
    outputs: {out: samples}
    nodes:
      near: {type: filter.quality}
    wires:
      - in -> near -> out

nodes:
  src: {type: flow.source, stream: oil}
  far: {type: subflow.far}
  log: {type: log.sink}

wires:
  - src -> far -> log
"""


async def test_the_browser_asks_for_other_flows_and_for_a_test(site: Site) -> None:
    """Which flow feeds which, subflows of other flows, and a test of what was just seen."""
    await site.api.post("/api/flows/energy/deploy", {"text": OTHER, "note": "", "base": None})
    session = await site.session()
    told: list[tuple[str, Any]] = []

    class _Editor:
        def say(self, *said: Any) -> None:
            told.append(said)

    class _Desk:
        def __init__(self) -> None:
            self.session = session
            self.tab = site.tab(session, "anna")
            self.api = site.api
            self.editor = _Editor()

        async def edit(self, op: dict[str, Any]) -> list[str]:
            return session.edit(self.tab, op)

    desk: Any = _Desk()
    (row,) = await ASKS["library"](desk, {})
    assert (row["flow"], row["name"], row["outputs"]) == ("energy", "far", [["out", "samples", ""]])
    await ASKS["take"](desk, {"flow": "energy", "name": "far", "add": {"x": 0, "y": 300}})
    assert told == [("select", {"ids": ["far"], "in": ""})]
    assert "near: {type: filter.quality}" in session.text()
    session.undo(desk.tab)
    assert session.text() == TEXT
    session.edit(desk.tab, {"op": "add", "type": "flow.sink", "fields": {"stream": "oil"}})
    assert await ASKS["streams"](desk, {}) == {
        "oil": {"from": [["press", "flow_out"]], "to": [["energy", "src"]]}
    }
    session.undo(desk.tab)
    await ASKS["inject"](desk, {"node": "src", "samples": "plant/oil 0s 95"})
    made = await ASKS["make_test"](desk, {"from": "-5min", "title": "As it was"})
    assert made["passed"], made
    assert "title: As it was" in session.text()
    assert "high.alarms" in session.text()
    (result,) = await ASKS["test"](desk, {"only": "As it was"})
    assert result["passed"]
    session.undo(desk.tab)
    assert session.text() == TEXT
