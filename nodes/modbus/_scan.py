"""One block in its scan: what to ask, how to decode it, and how it fares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gateway import Cause
from nodes.modbus import _pdu
from nodes.modbus._planner import Block, split
from nodes.modbus._registers import Decoder, text_of


class Poll:
    """A block with its request, its decoder and its memory of what went wrong.

    Args:
        block: What to read.
        code: The code of a tag by its name.
    """

    def __init__(self, block: Block, code: Callable[[str], int]) -> None:
        self.block = block
        self.request = _pdu.read(block.space, block.start, block.count)
        numbers = [point for point in block.points if not point.is_text]
        self.codes: NDArray[np.uint16] = np.array([code(p.name) for p in numbers], np.uint16)
        self._decoder = Decoder(numbers, block.start)
        self._texts = [point for point in block.points if point.is_text]
        self._known: dict[str, str] = {}
        self._code = code
        self.good_at = 0
        """When it was last read [ns]; 0 for never."""
        self.retry_at = 0.0
        """Not to be asked before this time of the monotonic clock [s]."""
        self.failures = 0
        """Scans in a row that did not bring it."""
        self.cause: Cause = "device_silent"
        """Why it could not be read the last time."""
        self.status = 0
        """What its tags are while it is not asked."""

    def values(self, payload: bytes) -> NDArray[np.float64]:
        """The values of its tags, in the order of `codes`, (n,)."""
        if not len(self.codes):
            return np.empty(0)
        return self._decoder.decode(payload)

    def texts(self, payload: bytes) -> list[tuple[str, str]]:
        """Its strings that changed, as (tag, text)."""
        changed = []
        for point in self._texts:
            text = text_of(point, payload, self.block.start)
            if self._known.get(point.name) != text:
                self._known[point.name] = text
                changed.append((point.name, text))
        return changed

    def parts(self) -> list[Poll]:
        """Smaller polls to use instead when the device refuses it; none when it is whole."""
        blocks = split(self.block)
        if len(blocks) == 1:
            return []
        polls = [Poll(block, self._code) for block in blocks]
        for poll in polls:
            poll.good_at, poll.failures, poll.cause = self.good_at, self.failures, self.cause
        return polls

    def names(self) -> list[str]:
        """The tags it brings."""
        return [point.name for point in self.block.points]
