"""Drafts: what of a flow is kept on the gateway while it is edited, through the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Rejected
from gateway.flow.document import Document
from ui.editor.tree import Tree, layout_of, tree_of
from ui.engine import Api, path_of


@dataclass(frozen=True)
class Deployed:
    """A flow as it runs.

    Args:
        revision: Its number.
        text: Its file.
        tree: The same as a tree, with the layout that is kept for it.
        by: Who deployed it.
        ts: When [ns].
        state: running, stopped.
    """

    revision: int
    text: str
    tree: Tree
    by: str = ""
    ts: int = 0
    state: str = "running"


@dataclass(frozen=True)
class Draft:
    """A flow as somebody left it.

    Args:
        text: Its file.
        layout: Where boxes and frames are.
        base: The revision it was made from.
        version: Of the draft.
        by: Who saved it.
        ts: When [ns].
    """

    text: str
    layout: Mapping[str, Any] = field(default_factory=dict)
    base: int | None = None
    version: int = 0
    by: str = ""
    ts: int = 0


async def deployed(api: Api, flow: str) -> Deployed | None:
    """The flow that runs; None when there is none, or it was removed.

    Raises:
        Disconnected: The gateway does not answer.
        ConfigError: What runs cannot be read by this editor.
    """
    row = await found(api, path_of("api", "flows", flow))
    if row is None or row["state"] == "removed":
        return None
    places = await found(api, path_of("api", "flows", flow, "layout")) or {}
    document = Document.parse(row["text"], f"{flow}.flow.yaml")
    return Deployed(
        row["revision"],
        row["text"],
        tree_of(document, places.get("layout")),
        row["author"],
        row["ts"],
        row["state"],
    )


async def revision(api: Api, flow: str, number: int, running: Deployed) -> Deployed:
    """An old revision of a flow; what runs where it is that one, or there is no such any more.

    Raises:
        Disconnected: The gateway does not answer.
        ConfigError: It cannot be read by this editor.
    """
    if number == running.revision:
        return running
    row = await found(api, path_of("api", "flows", flow, "revisions", str(number)))
    if row is None:
        return running
    tree = tree_of(Document.parse(row["text"], f"{flow}.flow.yaml"), layout_of(running.tree))
    return Deployed(number, row["text"], tree, row["author"], row["ts"], running.state)


async def draft(api: Api, flow: str) -> Draft | None:
    """The draft of a flow, or None."""
    row = await found(api, path_of("api", "drafts", flow))
    if row is None:
        return None
    known = ("text", "layout", "base", "version", "by", "ts")
    return Draft(**{name: row[name] for name in known})


async def found(api: Api, path: str) -> Any:
    """What a path says; None where the gateway has nothing there."""
    try:
        return await api.get(path)
    except Rejected:
        return None


async def save(api: Api, flow: str, new: Draft) -> int:
    """Keep a draft; returns its new version.

    Raises:
        Rejected: Another version is there by now, or one may not.
        Disconnected: The gateway does not answer.
    """
    body = {
        "text": new.text,
        "layout": dict(new.layout),
        "base": new.base,
        "version": new.version,
    }
    return int((await api.put(path_of("api", "drafts", flow), body))["version"])


async def drop(api: Api, flow: str, version: int) -> None:
    """Throw a draft away, if there still is one.

    Raises:
        Rejected: It is another version by now.
        Disconnected: The gateway does not answer.
    """
    path = path_of("api", "drafts", flow)
    try:
        await api.delete(path, version=version)
    except Rejected:
        if await found(api, path) is not None:
            raise


async def save_layout(api: Api, flow: str, layout: Mapping[str, Any]) -> None:
    """Keep where the boxes of the flow that runs stand: that changes nothing of what runs."""
    await api.put(path_of("api", "flows", flow, "layout"), {"layout": dict(layout)})


__all__ = [
    "Deployed",
    "Draft",
    "deployed",
    "draft",
    "drop",
    "found",
    "revision",
    "save",
    "save_layout",
]
