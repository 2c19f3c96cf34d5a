"""Lint of what changes the plant: values that a sink would write whatever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.flow.document import Document
from gateway.flow.findings import Finding
from gateway.flow.node import Sink

_SHOWN: Final = 3


def write_findings(document: Document, configs: Mapping[str, Any]) -> Iterator[Finding]:
    """Tags that are written without limits of their own.

    Whether a write grant is for them is not known here: grants are the gateway's, not the flow's.

    Args:
        document: The flow, its variables replaced.
        configs: The validated configs, by node.
    """
    if not document.allow_write:
        return
    for node, entry in document.nodes.items():
        cls = document.class_of(node)
        if entry.disabled or cls is None or not (issubclass(cls, Sink) and cls.writes):
            continue
        if free := unlimited(configs.get(node)):
            shown = ", ".join(free[:_SHOWN]) + (", ..." if len(free) > _SHOWN else "")
            yield Finding(
                "warning",
                document.file,
                document.line("nodes", node, "tags"),
                node,
                "tags",
                f"Any number is written to {shown}: there is no smallest and no largest value.",
                "Give min and max, also where a write grant has them; see `genba docs setpoints`.",
            )


def unlimited(config: Any) -> list[str]:
    """The tags of a sink's config that have no two limits, in order."""
    tags = getattr(config, "tags", None)
    if not isinstance(tags, Mapping):
        return []
    limits = getattr(config, "limits", {})
    return [tag for tag, entry in tags.items() if not _is_limited(limits.get(tag, entry))]


def _is_limited(entry: Any) -> bool:
    """Whether an entry has both limits, or is a bit, which has two values by itself."""
    ends = (getattr(entry, "min", None), getattr(entry, "max", None))
    return getattr(entry, "is_bit", False) or None not in ends


__all__ = ["unlimited", "write_findings"]
