"""Asks: what the browser wants to know or have done, beyond edits, each by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from gateway.flow.compare import compare
from gateway.flow.document import Document
from ui.editor import asks_look, release
from ui.engine import path_of

if TYPE_CHECKING:
    from ui.editor.desk import Desk

Args = dict[str, Any]


async def text(desk: Desk, args: Args) -> dict[str, Any]:
    """The flow file as it is edited."""
    return {"text": desk.session.text(), "name": f"{desk.session.flow}.flow.yaml"}


async def changes(desk: Desk, args: Args) -> dict[str, Any]:
    """What differs from what runs."""
    found = desk.session.difference()
    return {"difference": found.data(), "lines": found.lines()}


async def plan(desk: Desk, args: Args) -> Any:
    """What a deploy would do, as the gateway foresees it."""
    await release.refresh(desk.session, desk.api)
    return await desk.api.post(_path(desk, "plan"), {"text": desk.session.text()})


async def deploy(desk: Desk, args: Args) -> Any:
    """Deploy what is edited."""
    return await release.deploy(desk.session, desk.tab, str(args.get("note", ""))[:500])


async def refresh(desk: Desk, args: Args) -> Any:
    """See whether somebody deployed from elsewhere."""
    await release.refresh(desk.session, desk.api)
    return release.rivalry(desk.session)


async def merge(desk: Desk, args: Args) -> None:
    """Put two people's versions together."""
    release.merge(desk.session, desk.tab, dict(args.get("choices") or {}))


async def revert(desk: Desk, args: Args) -> None:
    """Throw the edits away."""
    release.revert(desk.session, desk.tab)


async def tests(desk: Desk, args: Args) -> list[dict[str, Any]]:
    """The tests of the flow, by title."""
    document = desk.session.document
    return [
        {"title": t.title, "given": dict(t.given), "expect": dict(t.expect)} for t in document.tests
    ]


async def test(desk: Desk, args: Args) -> Any:
    """Run the tests of the flow as it is edited; with ``only`` those whose title contains it."""
    body = {"text": desk.session.text(), "only": str(args.get("only", ""))[:200]}
    return await desk.api.post(_path(desk, "test"), body)


async def replay(desk: Desk, args: Args) -> Any:
    """Begin a replay of the last hour; the answer names a job that can be asked after."""
    body = {"text": desk.session.text(), "from": str(args.get("from", "-1h")), "to": "now"}
    return await desk.api.post(_path(desk, "replay"), body)


async def shadow(desk: Desk, args: Args) -> Any:
    """Run what is edited beside what runs, its effects muted."""
    return await desk.api.post(_path(desk, "shadow"), {"text": desk.session.text()})


async def revisions(desk: Desk, args: Args) -> Any:
    """All revisions, the newest first."""
    return list(reversed(await desk.api.get(_path(desk, "revisions"))))


async def compared(desk: Desk, args: Args) -> dict[str, Any]:
    """What differs between two revisions; 0 is what is edited."""
    before, after = [await _revision(desk, int(args[key])) for key in ("before", "after")]
    found = compare(before, after)
    return {"lines": found.lines(), "difference": found.data()}


async def _revision(desk: Desk, number: int) -> Document:
    if not number:
        return desk.session.document
    row = await desk.api.get(_path(desk, "revisions", str(number)))
    return Document.parse(row["text"], f"revision {number}")


async def rollback(desk: Desk, args: Args) -> Any:
    """Run an old revision again."""
    body = {"revision": int(args["revision"]), "note": str(args.get("note", ""))[:500]}
    answer = await desk.api.post(_path(desk, "rollback"), body)
    await release.refresh(desk.session, desk.api)
    return answer


async def inject(desk: Desk, args: Args) -> Any:
    """Send rows out of a node, as if they had come there."""
    return await desk.api.post(_path(desk, "inject"), dict(args))


def _path(desk: Desk, *rest: str) -> str:
    return path_of("api", "flows", desk.session.flow, *rest)


ASKS: Final[dict[str, Callable[[Desk, Args], Awaitable[Any]]]] = {
    "text": text,
    "changes": changes,
    "plan": plan,
    "deploy": deploy,
    "refresh": refresh,
    "merge": merge,
    "revert": revert,
    "tests": tests,
    "test": test,
    "replay": replay,
    "shadow": shadow,
    "revisions": revisions,
    "compare": compared,
    "rollback": rollback,
    "inject": inject,
    "library": asks_look.library,
    "take": asks_look.take,
    "make_test": asks_look.make_test,
    "streams": asks_look.streams,
}

__all__ = ["ASKS"]
