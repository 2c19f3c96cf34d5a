"""Which gaps belong to which tags: a hole in a source is one in all that came from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.engine.health import OWN
from gateway.engine.runtime import Runtime


def gaps_of(
    runtime: Runtime, names: Sequence[str], gaps: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Gaps that touch some tags, each with the names of those.

    A tag that a node computes may miss what any source of its flow missed; one that has not come
    since the start may miss all; a clock that was set touches all.

    Args:
        runtime: The gateway.
        names: The tags.
        gaps: Gaps with ``flow`` and ``source``.
    """
    origins = {name: _origin(runtime, name) for name in names}
    found = []
    for gap in gaps:
        touched = [name for name, origin in origins.items() if _touches(gap, origin)]
        if touched:
            found.append({**gap, "tags": touched})
    return found


def _origin(runtime: Runtime, name: str) -> tuple[str, str] | None:
    """Flow and source of a tag; the source is empty where a node computes it."""
    if name not in runtime.tags:
        return None
    origin = runtime.live.origin(runtime.tags.code(name))
    if origin is None or origin[0] not in runtime.hosts:
        return None
    flow, node, _ = origin
    return flow, node if node in runtime.hosts[flow].ingresses else ""


def _touches(gap: Mapping[str, Any], origin: tuple[str, str] | None) -> bool:
    if origin is None or gap["flow"] == OWN:
        return True
    flow, source = origin
    return gap["flow"] == flow and source in ("", gap["source"])
