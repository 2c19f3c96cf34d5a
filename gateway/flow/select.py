"""Which rows a node's tag filter takes: decided once a tag, looked up for every row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.tag import TagTable, pattern_of

_UNKNOWN, _NO, _YES = 0, 1, 2


class TagSelect:
    """A tag filter over codes. It is no state: after a restart it is worked out again.

    Args:
        pattern: ``#`` takes every tag; see `pattern_of`.
        tags: The table that gives codes their names.
    """

    def __init__(self, pattern: str, tags: TagTable) -> None:
        self.takes_all = pattern == "#"
        self._fits = pattern_of(pattern)
        self._tags = tags
        self._known = np.zeros(0 if self.takes_all else tags.limit, np.uint8)

    def mask(self, tag: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """True for the rows the filter takes, (n,)."""
        if self.takes_all:
            return np.ones(len(tag), np.bool_)
        known = self._known[tag]
        if not known.all():
            for code in set(tag[known == _UNKNOWN].tolist()):
                self._known[code] = _YES if self._fits(self._tags.name(code)) else _NO
            known = self._known[tag]
        taken: NDArray[np.bool_] = known == _YES
        return taken

    def split(self, batch: Batch) -> tuple[Batch, Batch | None]:
        """The rows the filter takes, and the others; None when there are no others."""
        if self.takes_all:
            return batch, None
        mask = self.mask(batch.tag)
        if mask.all():
            return batch, None
        return batch.where(mask), batch.where(~mask)
