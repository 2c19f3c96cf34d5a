"""The fleet without processes: parcels, what is taken and taken back, rings, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import ConfigError, Disconnected, LimitError, Rejected
from gateway.engine import fleet_look, fleet_pusher, signing, store_writer
from gateway.engine.clock import SystemClock
from gateway.engine.fleet_book import PEERS_MAX, Peer, Peers, Trust, checked
from gateway.engine.fleet_look import Lookout, Says
from gateway.engine.fleet_parcel import Sealed, opened, read, seal, wrapped
from gateway.engine.fleet_push import Member, Push, Pushes, Rules, begun, judged
from gateway.engine.fleet_pusher import Pusher
from gateway.engine.fleet_self import Mirror, digest
from gateway.engine.fleet_take import Taker
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows
from gateway.flow.document import Document
from tests.engine.gear import Script, flow, lent, started, until

FLOW = flow("src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}", "src -> high")
PIN = "AB" * 32
PRIVATE, PUBLIC = signing.made()
KEY = signing.private_key(PRIVATE, "a test")
NOW = 1_800_000_000 * 10**9


def parcel(text: str = FLOW.text(), made: int = NOW, key: Any = KEY) -> Sealed:
    return seal(wrapped(Document.parse(text), "gw1", "user:anna", "better", made), key)


def peer(name: str, ring: str = "ring1", *groups: str) -> Peer:
    url = f"https://{name}.plant:8789"
    return checked({"name": name, "url": url, "pin": PIN, "ring": ring, "groups": groups})


# ---------------------------------------------------------------- the book


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ({"url": "http://10.0.0.5:8789"}, "no address of a gateway"),
        ({"url": "https://10.0.0.5:8789/x"}, "no address of a gateway"),
        ({"url": "https://10.0.0.5:99999"}, "no address of a gateway"),
        ({"url": "https://u@10.0.0.5"}, "no address of a gateway"),
        ({"name": "../x"}, "no name of a gateway"),
        ({"name": "key"}, "no name of a gateway"),
        ({"pin": ""}, "by its fingerprint or by an authority"),
        ({"pin": "AB:CD"}, "64 hexadecimal digits"),
        ({"pin": "", "authority": "x"}, "no certificate in PEM form"),
        ({"ring": "ring9"}, "no ring"),
        ({"groups": ["a b"]}, "no name of a group"),
        ({"screens": "javascript:alert(1)"}, "no address of a gateway"),
    ],
)
def test_what_is_no_gateway(what: dict[str, Any], text: str) -> None:
    good = {"name": "gw1", "url": "https://10.0.0.5:8789", "pin": PIN}
    checked(good)
    with pytest.raises(ConfigError, match=text):
        checked({**good, **what})


def test_the_list_is_kept_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "fleet" / "peers.json"
    peers = Peers(path)
    peers.put(peer("gw1", "canary", "press", "all"))
    assert Peers(path).all == peers.all
    assert [one.name for one in peers.members("press")] == ["gw1"]
    assert peers.members("other") == []
    for n in range(PEERS_MAX - 1):
        peers.all[f"x{n}"] = peer(f"x{n}")
    with pytest.raises(LimitError):
        peers.put(peer("one-more"))
    assert peers.remove("gw1")
    assert not peers.remove("gw1")
    path.write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        Peers(path)


def test_trust_is_a_list_that_the_door_reads(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    assert trust.change("keys", "maker", PUBLIC.decode())
    assert Trust(tmp_path).keys == trust.keys
    assert (tmp_path / "centres.pem").read_bytes() == b""
    for kind, pem in (("keys", "x"), ("centres", PUBLIC.decode()), ("keys", PRIVATE.decode())):
        with pytest.raises(ConfigError):
            trust.change(kind, "other", pem)  # type: ignore[arg-type]  # it is one of both
    assert not trust.change("centres", "nobody", None)
    assert trust.shown()["keys"] == [{"name": "maker", "id": signing.key_id(KEY.public_key())}]


# ---------------------------------------------------------------- parcels


def test_a_parcel_is_what_was_signed_and_nothing_else() -> None:
    sealed = parcel()
    found = opened(sealed, {"maker": PUBLIC.decode()})
    assert (found.key, found.parcel.flow, found.parcel.text) == ("maker", "test", FLOW.text())
    altered = sealed.model_copy(update={"parcel": sealed.parcel.replace("hi: 80", "hi: 99")})
    for wrong in (altered, sealed.model_copy(update={"signature": "AAAA"})):
        with pytest.raises(Rejected, match="altered"):
            opened(wrong, {"maker": PUBLIC.decode()})
    with pytest.raises(Rejected, match="does not trust"):
        opened(sealed, {"other": signing.made()[1].decode()})
    with pytest.raises(Rejected, match="does not trust"):
        opened(sealed, {"broken": "x"})
    with pytest.raises(Rejected, match="no flow from a fleet"):
        read(sealed.model_copy(update={"parcel": "{}"}))


def test_a_signature_of_a_release_is_none_of_a_flow() -> None:
    sealed = parcel()
    import base64

    bare = base64.b64encode(KEY.sign(b"genba release 1\n" + sealed.parcel.encode())).decode()
    with pytest.raises(Rejected, match="altered"):
        opened(sealed.model_copy(update={"signature": bare}), {"maker": PUBLIC.decode()})


@pytest.fixture
async def taker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Runtime, Taker]]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        trust = Trust(tmp_path / "fleet")
        trust.change("keys", "maker", PUBLIC.decode())
        yield runtime, Taker(runtime, trust, tmp_path / "fleet" / "taken.json")
        await runtime.stop()


BETTER = FLOW.text().replace("hi: 80", "hi: 90")


async def test_taken_once_and_taken_back_once(taker: tuple[Runtime, Taker]) -> None:
    runtime, take = taker
    sealed = parcel(BETTER)
    done = await take.take(sealed, "user:fleet")
    assert (done["flow"], done["revision"]) == ("test", 2)
    assert (await take.take(sealed, "user:fleet"))["revision"] == 2, "twice is once"
    known = await runtime.flows.known("test")
    assert (len(known), known[-1].author, known[-1].note) == (2, "fleet:gw1/anna", "better")
    assert "which is revision 1 again" in (await take.undo(sealed, "user:fleet"))["text"]
    assert (await runtime.flows.known("test"))[-1].text == FLOW.text()
    assert (await take.undo(sealed, "user:fleet"))["text"] == "It was taken back already."
    with pytest.raises(Rejected, match="taken back before"):
        await take.take(sealed, "user:fleet")
    actions = [row["action"] for row in await audit_rows(runtime.store)]
    assert {"fleet/take", "fleet/undo", "flow/deploy"} <= set(actions)


async def test_an_older_parcel_and_one_that_cannot_run(taker: tuple[Runtime, Taker]) -> None:
    runtime, take = taker
    await take.take(parcel(BETTER), "user:fleet")
    with pytest.raises(Rejected, match="A later push of this flow"):
        await take.take(parcel(FLOW.text(), NOW - 1), "user:fleet")
    broken = BETTER.replace("alarm.limit", "alarm.none")
    with pytest.raises(ConfigError, match="cannot run"):
        await take.take(parcel(broken, NOW + 1), "user:fleet")
    assert (await runtime.flows.known("test"))[-1].text == BETTER
    done = await take.take(parcel(FLOW.text(), NOW + 2), "user:fleet")
    assert done["revision"] == 3, "what was refused is in nobody's way"


async def test_back_before_it_came_and_after_an_edit(taker: tuple[Runtime, Taker]) -> None:
    runtime, take = taker
    late = parcel(BETTER)
    assert "did not come here" in (await take.undo(late, "user:fleet"))["text"]
    with pytest.raises(Rejected, match="taken back before it came"):
        await take.take(late, "user:fleet")
    sealed = parcel(BETTER, NOW + 1)
    await take.take(sealed, "user:fleet")
    edited = Document.parse(FLOW.text().replace("hi: 80", "hi: 70"))
    await runtime.deploy(edited, "user:eva")
    with pytest.raises(Rejected, match="was edited here since"):
        await take.undo(sealed, "user:fleet")
    assert (await runtime.flows.known("test"))[-1].text == edited.text()


async def test_a_flow_that_is_new_here_is_ended_again(taker: tuple[Runtime, Taker]) -> None:
    runtime, take = taker
    text = BETTER.replace("flow: test", "flow: other").replace("script.source", "simulate.source")
    text = text.replace("simulate.source", "simulate.source, tag: a/b")
    sealed = parcel(Document.parse(text).text())
    await take.take(sealed, "user:fleet")
    assert "other" in runtime.hosts
    await take.undo(sealed, "user:fleet")
    assert "other" not in runtime.hosts


async def test_cut_short_between_the_deploy_and_the_note(
    taker: tuple[Runtime, Taker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut: what ran before the first try is what counts."""
    runtime, take = taker
    sealed = parcel(BETTER)
    keep = take._keep

    async def cut(flow: str, entry: Any) -> None:
        if entry and entry["revision"] is not None:
            raise ConfigError("The power went.")
        await keep(flow, entry)

    monkeypatch.setattr(take, "_keep", cut)
    with pytest.raises(ConfigError, match="The power went"):
        await take.take(sealed, "user:fleet")
    again = Taker(runtime, take._trust, take._path)
    assert (await again.take(sealed, "user:fleet"))["revision"] == 2
    await again.undo(sealed, "user:fleet")
    assert (await runtime.flows.known("test"))[-1].text == FLOW.text()


async def test_what_a_gateway_says_is_understood_by_another(taker: tuple[Runtime, Taker]) -> None:
    runtime, _ = taker
    mirror = Mirror(runtime, lambda: [{"what": "flow x", "wanted": "as wanted", "found": "none"}])
    says = Says.model_validate(mirror.summary())
    assert (says.ready, says.open, says.unbalanced) == (True, 0, 0)
    assert [(one.flow, one.sha256) for one in says.flows] == [("test", digest(FLOW.text()))]
    await until(lambda: mirror.summary()["drift"]["at"] is not None)
    assert Says.model_validate(mirror.summary()).drift.rows[0]["what"] == "flow x"
    await mirror.stop()


# ---------------------------------------------------------------- pushes


class Plant:
    """Gateways as a pusher meets them: what each answers is up to the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *peers: Peer) -> None:
        self.runs: dict[str, str] = {one.name: "old" for one in peers}
        self.opened = dict.fromkeys(self.runs, 0)
        self.away: set[str] = set()
        self.refuses: set[str] = set()
        self.log: list[str] = []
        self.sha = ""
        self.floods: set[str] = set()
        monkeypatch.setattr(fleet_pusher, "look", self.look)
        monkeypatch.setattr(fleet_pusher, "ask", self.ask)

    async def look(self, peer: Peer, shown: Any) -> Says:
        if peer.name in self.away:
            raise Disconnected(f"{peer.name} cannot be reached.")
        return Says.model_validate(
            {
                "name": peer.name,
                "version": "1",
                "now": 1,
                "uptime_s": 1.0,
                "ready": True,
                "unbalanced": 0,
                "alarms": {},
                "open": self.opened[peer.name],
                "raised": 0,
                "flows": [{"flow": "test", "revision": 1, "sha256": self.runs[peer.name]}],
                "drift": {"rows": []},
            }
        )

    async def ask(self, peer: Peer, shown: Any, method: str, path: str, *_: Any, **__: Any) -> Any:
        self.log.append(f"{peer.name} {path.rpartition('/')[2]}")
        if peer.name in self.away:
            raise Disconnected(f"{peer.name} cannot be reached.")
        if path.endswith("back"):
            self.runs[peer.name] = "old"
            return {"text": "What ran before runs."}
        if peer.name in self.refuses:
            raise Rejected("This flow cannot run.")
        self.runs[peer.name] = self.sha
        if peer.name in self.floods:
            self.opened[peer.name] = 9
        return {"revision": 2}


@pytest.fixture
def gear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Plant, Pusher, Peers]:
    peers = Peers(tmp_path / "peers.json")
    for name, ring in (("a", "ring1"), ("b", "ring1"), ("c", "canary"), ("d", "ring2")):
        peers.put(peer(name, ring, "line"))
    plant = Plant(monkeypatch, *peers.all.values())
    return plant, pusher_of(tmp_path, peers), peers


def pusher_of(folder: Path, peers: Peers) -> Pusher:
    def say(level: str, where: str, text: str) -> None:
        assert where == "fleet"

    pushes = Pushes(folder / "pushes")
    return Pusher(pushes, peers, lambda peer: None, SystemClock(), say, retry_s=0.01)  # type: ignore[arg-type, return-value]  # nothing is shown


def push_of(plant: Plant, peers: Peers, **rules: Any) -> Push:
    rule = Rules.model_validate({"soak_s": 0.05, **rules})
    push = begun(parcel(BETTER), "line", "user:anna", rule, peers.members("line"), NOW)
    plant.sha = push.sha256
    return push


async def done(push: Push) -> Push:
    await until(lambda: push.state in ("done", "stopped"), 60)
    return push


def states(push: Push) -> dict[str, str]:
    return {member.name: member.state for member in push.members}


async def test_ring_by_ring(gear: tuple[Plant, Pusher, Peers]) -> None:
    plant, pusher, peers = gear
    push = push_of(plant, peers)
    await pusher.start(push)
    await done(push)
    assert (push.state, set(states(push).values())) == ("done", {"good"})
    order = [line[0] for line in plant.log]
    assert (order[0], set(order[1:3]), order[3:]) == ("c", {"a", "b"}, ["d"])
    assert pusher.pushes.newest("a")["test"].id == push.id
    await pusher.stop()


async def test_the_canary_stops_it(gear: tuple[Plant, Pusher, Peers]) -> None:
    plant, pusher, peers = gear
    plant.floods = {"c"}
    push = push_of(plant, peers)
    await pusher.start(push)
    await done(push)
    assert states(push) == {"a": "waiting", "b": "waiting", "c": "back", "d": "waiting"}
    assert plant.log == ["c flows", "c back"]
    assert "9 open alarms" in push.members[2].text


async def test_a_ring_goes_back_as_a_whole_and_the_canary_stays(
    gear: tuple[Plant, Pusher, Peers],
) -> None:
    plant, pusher, peers = gear
    plant.refuses = {"b"}
    push = push_of(plant, peers)
    await pusher.start(push)
    await done(push)
    assert states(push) == {"a": "back", "b": "back", "c": "good", "d": "waiting"}
    assert (plant.runs["a"], plant.runs["c"]) == ("old", push.sha256)
    assert push.text == "1 of 2 in ring1 failed; no later ring was touched."


async def test_as_many_as_the_rules_allow_may_fail(gear: tuple[Plant, Pusher, Peers]) -> None:
    plant, pusher, peers = gear
    plant.away = {"b"}
    push = push_of(plant, peers, failures_percent=50)
    await pusher.start(push)
    await done(push)
    assert (push.state, states(push)["b"], states(push)["d"]) == ("done", "failed", "good")
    assert "b back" not in plant.log


async def test_one_that_was_away_at_the_way_back_is_told_when_it_is_there(
    gear: tuple[Plant, Pusher, Peers], tmp_path: Path
) -> None:
    plant, pusher, peers = gear
    push = push_of(plant, peers, soak_s=0.3)
    await pusher.start(push)
    await until(lambda: states(push)["a"] == "watched" and states(push)["b"] == "watched")
    plant.away = {"b"}
    await done(push)
    assert states(push) == {"a": "back", "b": "owed", "c": "good", "d": "waiting"}
    await pusher.stop()  # Also over a restart.
    again = pusher_of(tmp_path, peers)
    again.resume()
    (push,) = again.pushes.all.values()
    await asyncio.sleep(0.05)
    assert states(push)["b"] == "owed"
    plant.away = set()
    await until(lambda: states(push)["b"] == "back")
    await again.stop()


@pytest.mark.parametrize("at", range(1, 16))
async def test_killed_after_any_step_it_goes_on(
    gear: tuple[Plant, Pusher, Peers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The n-th note on the disk is the last thing that the gateway does."""
    plant, pusher, peers = gear
    plant.floods = {"d"}
    push = push_of(plant, peers, soak_s=0.01)
    started = notes = 0
    keep = pusher.pushes.keep

    async def cut(push: Push) -> None:
        nonlocal started, notes
        started += 1
        if started > at:
            await asyncio.Event().wait()
        await keep(push)
        notes += 1

    monkeypatch.setattr(pusher.pushes, "keep", cut)
    await pusher.start(push)
    await until(lambda: notes >= at or push.state == "stopped")
    await asyncio.sleep(0.05)
    await pusher.stop()
    again = pusher_of(tmp_path, peers)
    again.resume()
    (found,) = again.pushes.all.values()
    await done(found)
    assert states(found) == {"a": "good", "b": "good", "c": "good", "d": "back"}, found.row()
    assert plant.runs == {"a": push.sha256, "b": push.sha256, "c": push.sha256, "d": "old"}
    await again.stop()


async def test_a_person_ends_it_and_two_of_one_flow_are_refused(
    gear: tuple[Plant, Pusher, Peers],
) -> None:
    plant, pusher, peers = gear
    push = push_of(plant, peers, soak_s=60)
    await pusher.start(push)
    await until(lambda: states(push)["c"] == "watched" and push.watched_until)
    with pytest.raises(ConfigError, match="being pushed to line already"):
        await pusher.start(push_of(plant, peers))
    await pusher.stop_push(push)
    await done(push)
    assert (push.text, states(push)["c"]) == ("A person ended it.", "back")
    with pytest.raises(ConfigError, match="has ended already"):
        await pusher.stop_push(push)
    await pusher.stop()


def test_without_a_canary_the_first_is_one() -> None:
    peers = [peer("b", "ring2"), peer("a", "ring2"), peer("c", "ring1")]
    push = begun(parcel(), "*", "user:anna", Rules(), peers, NOW)
    assert {m.name: m.ring for m in push.members} == {"a": "ring2", "b": "ring2", "c": "canary"}
    with pytest.raises(ConfigError, match="No gateway is in the group"):
        begun(parcel(), "none", "user:anna", Rules(), [], NOW)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ({"ready": False, "why": "no flow runs."}, "not ready: no flow runs."),
        ({"unbalanced": 3}, "books do not balance"),
        ({"flows": []}, "does not run on it"),
        ({"flows": [{"flow": "test", "revision": 1, "sha256": "x"}]}, "another text"),
        ({"open": 6}, "6 open alarms"),
        ({"raised": 9}, "9 alarms came within ten minutes"),
        ({"open": 5, "raised": 8}, ""),
    ],
)
def test_how_a_gateway_is_judged(what: dict[str, Any], text: str) -> None:
    push = begun(parcel(), "*", "user:anna", Rules(), [peer("a")], NOW)
    runs = {"flow": "test", "revision": 2, "sha256": push.sha256}
    good = {"name": "a", "version": "1", "now": 1, "uptime_s": 1.0, "ready": True, "unbalanced": 0}
    good |= {"alarms": {}, "open": 2, "raised": 5, "flows": [runs], "drift": {"rows": []}}
    member = Member(name="a", ring="canary", opened=2, raised=5)
    assert text in judged(push, member, Says.model_validate({**good, **what}))
    assert bool(text) == bool(judged(push, member, Says.model_validate({**good, **what})))


async def test_a_disk_that_takes_nothing_holds_a_push_up_and_no_longer(
    gear: tuple[Plant, Pusher, Peers], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, pusher, peers = gear
    push = push_of(plant, peers, soak_s=0.01)
    keep, refused = pusher.pushes.keep, 0

    async def full(push: Push) -> None:
        nonlocal refused
        if push.members[2].state == "watched" and refused < 3:
            refused += 1
            raise ConfigError("It cannot be written: no space.")
        await keep(push)

    monkeypatch.setattr(pusher.pushes, "keep", full)
    await pusher.start(push)
    await done(push)
    assert (push.state, refused, plant.log.count("a flows")) == ("done", 3, 1)
    await pusher.stop()


async def test_fifty_of_which_one_is_dead_one_hangs_and_one_talks_nonsense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = Peers(tmp_path / "peers.json")
    for n in range(50):
        peers.put(peer(f"gw{n}"))
    plant = Plant(monkeypatch, *peers.all.values())
    asked: list[str] = []

    async def ask(peer: Peer, *_: Any, timeout_s: float, **__: Any) -> Any:
        asked.append(peer.name)
        match peer.name:
            case "gw0":
                raise Disconnected("gw0 cannot be reached: connection refused.")
            case "gw1":
                await asyncio.Event().wait()
            case "gw2":
                return {"name": "x" * 3_000, "ready": "perhaps"}
        return (await plant.look(peer, None)).model_dump()

    monkeypatch.setattr(fleet_look, "ask", ask)
    lookout = Lookout(peers, lambda peer: None, SystemClock())  # type: ignore[arg-type, return-value]  # nothing is shown
    looking = asyncio.ensure_future(lookout.run())

    def well() -> list[str]:
        return [name for name in peers.all if lookout.seen(name).state == "well"]

    await until(lambda: len(well()) == 47, 60)
    await until(lambda: lookout.seen("gw2").state == "refused", 60)
    assert lookout.seen("gw0").text.startswith("gw0 cannot be reached")
    assert lookout.seen("gw1").state == "new"
    assert "we do not understand" in lookout.seen("gw2").text
    assert asked.count("gw1") == 1, "who hangs is asked once at a time"
    peers.remove("gw1")
    lookout.follow()
    assert lookout.seen("gw1").says is None
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
