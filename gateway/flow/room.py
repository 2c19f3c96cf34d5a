"""Room: what a transform does when the table of tags has no place for one more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.errors import LimitError
from gateway.flow.context import Context


class Room:
    """Makes tags as long as there is room, and says once when there is none.

    The limit is no fault of the node, and no reason to stop for the tags it has: rows of a tag
    that finds no room are left out and counted (`tags_full`).

    Args:
        ctx: Of the node.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._is_told = False

    def made(self, make: Callable[[], int]) -> int | None:
        """The code that `make` gives, or None when the table is full."""
        try:
            return make()
        except LimitError as error:
            if not self._is_told:
                self._is_told = True
                self._ctx.say("error", f"{error} Its rows are left out and counted (tags_full).")
            return None

    def kept(self, batch: Batch, known: NDArray[np.bool_]) -> Batch:
        """The rows (n,) whose tag found room; the others are counted."""
        left_out = len(known) - int(np.count_nonzero(known))
        if not left_out:
            return batch
        self._ctx.count("tags_full", left_out)
        return batch.where(known)
