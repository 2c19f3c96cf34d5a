"""Release: from a draft to what runs, and what happens when somebody else was there first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError, Rejected
from gateway.flow.compare import compare
from gateway.flow.document import Document
from ui.editor import drafts
from ui.editor.drafts import Deployed
from ui.editor.keeping import name_of
from ui.editor.merge import MEANING, clashes, merged
from ui.editor.patch import diff
from ui.editor.place import placed
from ui.editor.tree import LAYOUT, Tree, document_of, tree_of
from ui.engine import Api, path_of

if TYPE_CHECKING:
    from ui.editor.session import Session, Tab


async def refresh(session: Session, api: Api) -> None:
    """See whether somebody deployed this flow from elsewhere.

    Without edits here the new one is taken over; else everybody is told, and nothing can be
    deployed before the two were put together.
    """
    running = await drafts.deployed(api, session.flow)
    number = running.revision if running is not None else None
    if number == session.base or (session.rival is not None and number == session.rival.revision):
        return
    if running is None or not diff(session.origin, session.tree, MEANING, ordered=False):
        boxes = {part: session.tree[part] for part in LAYOUT} if running is None else {}
        _settle(session, running, placed({**running.tree, **boxes}) if running else session.tree)
        return
    session.rival = running
    session.say_all("rival", rivalry(session))


def _settle(session: Session, running: Deployed | None, tree: Tree) -> None:
    session.running, session.rival = running, None
    session.base = running.revision if running is not None else None
    session.origin = placed(running.tree) if running else tree_of(Document(session.flow))
    session.take(tree)


def rivalry(session: Session) -> dict[str, Any] | None:
    """The three versions side by side; None when nobody else has deployed."""
    rival = session.rival
    if rival is None:
        return None
    before = document_of(session.origin)
    return {
        "revision": rival.revision,
        "base": session.base,
        "by": name_of(rival.by),
        "ts": rival.ts,
        "theirs": compare(before, document_of(rival.tree)).lines(),
        "mine": compare(before, session.document).lines(),
        "clashes": [c.row() for c in clashes(session.origin, session.tree, rival.tree)],
    }


def merge(session: Session, tab: Tab, choices: dict[str, Any]) -> None:
    """Put the rival's version and this one together; the result is not deployed yet.

    Raises:
        ConfigError: A clash is not decided, or this person may not edit.
    """
    session.allow(tab)
    rival = session.rival
    if rival is None:
        return
    after = placed(merged(session.origin, session.tree, rival.tree, choices))
    session.running, session.rival = rival, None
    session.base, session.origin = rival.revision, placed(rival.tree)
    session.turn_to(tab, after)
    session.show()
    session.say_all("rival", None)


async def deploy(session: Session, tab: Tab, note: str = "") -> dict[str, Any]:
    """Let what is edited take the place of what runs.

    Returns: ``revision`` and ``said``.

    Raises:
        Rejected: It cannot run, or somebody else was faster.
        Disconnected: The gateway does not answer; whether it runs is not known.
    """
    if session.rival is not None:
        raise Rejected("Somebody else has deployed meanwhile. Put the two together first.")
    tree, text = session.tree, session.text()
    body = {"text": text, "note": note, "base": session.base}
    try:
        answer = await tab.api.post(path_of("api", "flows", session.flow, "deploy"), body)
    except Rejected:
        await refresh(session, tab.api)
        raise
    number = int(answer["revision"])
    session.running = Deployed(number, text, tree, tab.actor)
    session.base, session.origin = number, tree
    session.show()
    said = {"revision": number, "by": name_of(tab.actor), "said": answer["said"]}
    for other in session.tabs:
        if other is not tab:
            other.say("deployed", said)
    session.keeper.deployed()
    return said


def revert(session: Session, tab: Tab) -> None:
    """Throw the edits away: back to what runs. It can be undone.

    Raises:
        ConfigError: Nothing runs that one could go back to.
    """
    if session.running is None:
        raise ConfigError("This flow does not run yet: there is nothing to go back to.")
    boxes = {k: v for k, v in session.tree["boxes"].items() if k in session.origin["nodes"]}
    inner = {k: v for k, v in session.tree["subboxes"].items() if k in session.origin["subboxes"]}
    kept = {part: session.tree[part] for part in ("frames", "subframes")}
    kept["boxes"] = {**session.origin["boxes"], **boxes}
    kept["subboxes"] = {**session.origin["subboxes"], **inner}
    session.turn_to(tab, placed({**session.origin, **kept}))


__all__ = ["deploy", "merge", "refresh", "revert", "rivalry"]
