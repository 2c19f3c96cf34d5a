"""Asks that look into what runs: a test of what was seen, streams between flows, the library."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import ConfigError, GatewayError
from gateway.flow.document import Document
from ui.engine import path_of

if TYPE_CHECKING:
    from ui.editor.desk import Desk

Args = dict[str, Any]
FLOWS_MAX: Final = 200
"""Flows that are looked through for streams."""
_STREAMS: Final = {"flow.sink": "from", "flow.source": "to"}


async def library(desk: Desk, args: Args) -> list[dict[str, Any]]:
    """Subflows of the other flows, which can be copied into this one."""
    rows = await desk.api.get(path_of("api", "subflows"))
    return [
        {
            "flow": row["flow"],
            "name": row["name"],
            "about": row["about"],
            "inputs": [[p["name"], p["carries"], ""] for p in row["inputs"]],
            "outputs": [[p["name"], p["carries"], ""] for p in row["outputs"]],
        }
        for row in rows
        if row["flow"] != desk.session.flow
    ]


async def take(desk: Desk, args: Args) -> None:
    """Copy a subflow of another flow (``flow``, ``name``) and put an instance of it (``add``)."""
    flow, name = str(args["flow"]), str(args["name"])
    row = await desk.api.get(path_of("api", "flows", flow))
    ops: list[dict[str, Any]] = [{"op": "take", "text": row["text"], "name": name}]
    if args.get("add"):
        ops.append({**dict(args["add"]), "op": "add", "type": f"subflow.{name}"})
    level = str(args.get("in") or "")
    new = await desk.edit({"op": "many", "in": level, "ops": ops})
    if new:
        desk.editor.say("select", {"ids": new, "in": level})


async def make_test(desk: Desk, args: Args) -> dict[str, Any]:
    """Make a test of what was just seen, and put it into the flow.

    Args:
        desk: The tab.
        args: ``from``, ``to``, ``title`` and ``nodes``, as the API takes them.

    Returns: ``title``, ``passed``, ``failures``, ``differs`` and ``said``.
    """
    desk.session.allow(desk.tab)
    wanted = {key: args[key] for key in ("from", "to", "title", "nodes") if args.get(key)}
    body = {**wanted, "text": desk.session.text()}
    made = await desk.api.post(path_of("api", "flows", desk.session.flow, "make_test"), body)
    if await desk.edit({"op": "test", "test": made["test"]}) is None:
        raise ConfigError("The test could not be put into the flow.")
    return {key: made[key] for key in ("title", "passed", "failures", "differs", "said")}


async def streams(desk: Desk, args: Args) -> dict[str, dict[str, list[list[str]]]]:
    """Which flow feeds which: by stream, ``from`` and ``to``, each with [flow, node].

    Of this flow it is what is edited, of all others what runs.
    """
    rows = await desk.api.get(path_of("api", "flows"))
    names = [row["flow"] for row in rows if row.get("state") != "removed"][:FLOWS_MAX]
    own = desk.session.flow
    found = await asyncio.gather(*(_document(desk, name) for name in names if name != own))
    ends: dict[str, dict[str, list[list[str]]]] = {}
    for document in (desk.session.document, *found):
        if document is None:
            continue
        for node, entry in _expanded(document).nodes.items():
            side, stream = _STREAMS.get(entry.type), entry.config.get("stream")
            if side is not None and isinstance(stream, str):
                both = ends.setdefault(stream, {"from": [], "to": []})
                both[side].append([document.name, node])
    return ends


async def _document(desk: Desk, flow: str) -> Document | None:
    try:
        row = await desk.api.get(path_of("api", "flows", flow))
        return await asyncio.to_thread(Document.parse, row["text"], flow)
    except GatewayError:
        return None  # It was removed meanwhile, or is of another version.


def _expanded(document: Document) -> Document:
    try:
        return document.expanded()
    except ConfigError:
        return document  # Lint says what is wrong with it.


__all__ = ["library", "make_test", "streams", "take"]
