"""Place: which flow, node and batch a line of the log is about, as fields beside its words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_BATCH: ContextVar[tuple[str, int] | None] = ContextVar("genba_batch", default=None)
FIELDS: Final = ("flow", "node", "batch", "message_number")
"""What a record may have besides, in this order."""


@contextmanager
def of_batch(flow: str, batch: int) -> Iterator[None]:
    """While this is entered, what is logged is about a batch of a flow.

    Args:
        flow: Its name.
        batch: The number of its record in the journal.
    """
    before = _BATCH.set((flow, batch))
    try:
        yield
    finally:
        _BATCH.reset(before)


def about(flow: str, node: str = "", number: int = 0) -> dict[str, Any]:
    """What to give a logger as `extra`, so that the record says where it comes from.

    Args:
        flow: The flow.
        node: The node; empty for the flow as a whole.
        number: Of the message that a sink or a worker has in hand; 0 where there is none.
    """
    found: dict[str, Any] = {"flow": flow}
    if node:
        found["node"] = node
    if number:
        found["message_number"] = number
    return found


class Placed(logging.Filter):
    """Gives each record the batch in whose step it was logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: nothing is left out."""
        if (batch := _BATCH.get()) is not None:
            flow, number = batch
            if getattr(record, "flow", flow) == flow:
                record.flow, record.batch = flow, number
        return True


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that a record has."""
    return {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}


__all__ = ["Placed", "about", "fields", "of_batch"]
