"""Shadow: a flow beside the live one, on the same input, with its effects muted and compared.

The live flow steps first. A shadow gets the same inputs and what the live step gave, has tags
and nodes of its own, and cannot hurt: whatever goes wrong in it ends the shadow and nothing
else. `genba replay --against` is a shadow over a recorded day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.replay import Player, carried, unnumbered
from gateway.engine.replay_diff import Comparison
from gateway.engine.replay_ends import End, Eye, Seen
from gateway.engine.wiring import Input, Result
from gateway.flow.document import Document
from gateway.flow.node import Message, State

SETTLE_NS: Final = 600 * 10**9
"""How long a live shadow waits for the partner of a row or an alarm [ns]."""
KEPT: Final = 50


class Shadow:
    """One flow in the shadow of another.

    Memory is bounded: counts, hashes, the last differences, and rows that wait for a partner.

    Args:
        document: The flow, its variables replaced.
        tags: The tag table of the live flow; it is read and never changed.
        watch: Output ports that are compared, besides the sinks.
        writes: Sinks and workers of the live flow that can change the plant.
        settle_ns: How long what has no partner waits [ns of steps]; None until the end.
        kept: How many differences are kept for each end.
        newest: Keep the newest differences; else the first.

    Raises:
        ConfigError: The flow cannot be made.
    """

    def __init__(
        self,
        document: Document,
        tags: TagTable,
        *,
        watch: Collection[End] = (),
        writes: Collection[str] = (),
        settle_ns: int | None = SETTLE_NS,
        kept: int = KEPT,
        newest: bool = True,
    ) -> None:
        self._live_tags = tags
        self._own_tags = TagTable(tags.limit)
        for tag in tags:
            self._own_tags.add(tag)
        self._codes = np.arange(tags.limit, dtype=np.uint16)
        self._known = len(tags)
        self._version = tags.version
        self._is_identity = True
        self.player = Player(document, self._own_tags, watch=watch)
        self.compared = Comparison(
            settle_ns=settle_ns,
            examples=kept,
            newest=newest,
            writes=self.player.writes | set(writes),
        )
        self._live_eye = Eye(tags, self.compared.ids)
        self._own_eye = Eye(self._own_tags, self.compared.ids)
        self.steps = 0
        self.now = 0
        self.disabled = ""
        """Why the shadow ended; empty while it runs."""

    def adopt(self, live: Document, states: Mapping[str, State], now: int) -> list[str]:
        """Start with the states that the live flow has in nodes that are the same in both.

        Args:
            live: The live flow.
            states: Its snapshot, of this very moment.
            now: The time of its last step [ns].

        Returns:
            Sentences about states that did not fit; those nodes start fresh.
        """
        return self.player.adopt(carried(live, self.player.document, states), now)

    def step(
        self, inputs: Sequence[Input], now: int, live: Result | Seen, *, counted: bool = True
    ) -> None:
        """Run one step and compare it with what the live flow gave; it never raises.

        Args:
            inputs: What came into the live step.
            now: The time of the step [ns].
            live: What the live step gave; a `Seen` names its tags in `compared.ids`.
            counted: False while the state is only warmed up.
        """
        if self.disabled:
            return
        try:
            self._step(inputs, now, live, counted)
        except Exception as error:  # noqa: BLE001 - whatever it is, the live flow goes on
            self.disable(f"The shadow failed: {type(error).__name__}: {error}.")

    def _step(self, inputs: Sequence[Input], now: int, live: Result | Seen, counted: bool) -> None:
        left = live if isinstance(live, Seen) else self._live_eye.see(live)
        if acked := {event.alarm for event in left.alarms if event.change == "acked"}:
            inputs = unnumbered(inputs, acked)
        result = self.player.step([self._own(item) for item in inputs], now)
        self.steps += 1
        self.now = now
        if counted:
            self.compared.step(now, left, self._own_eye.see(result))
            if self.steps % 1_000 == 0:
                self.compared.settle(now)

    def disable(self, why: str) -> None:
        """End the shadow, as when it takes too long; its counts stay."""
        self.disabled = self.disabled or why

    def close(self) -> None:
        """Nothing more comes: decide on everything that still waits for a partner."""
        self.compared.settle(self.now, close=True)

    def _own(self, item: Input) -> Input:
        """The same input under the shadow's codes, read-only: the live flow has it too."""
        node, port, message = item
        if self._version != self._live_tags.version:
            self._follow_tags()
        return node, port, self._translated(message)

    def _translated(self, message: Message) -> Message:
        if not isinstance(message, Batch | Windows):
            return message
        message.freeze()
        if self._is_identity:
            return message
        if isinstance(message, Batch):
            return message.with_tag(self._codes[message.tag])
        batch = message.rows.with_tag(self._codes[message.rows.tag])
        tag = self._codes[message.tag]
        return Windows(tag, message.start, message.end, message.offset, batch)

    def _follow_tags(self) -> None:
        """Learn tags and facts that are new in the live table."""
        for code, tag in enumerate(self._live_tags):
            is_new = code >= self._known
            if is_new or self._own_tags[int(self._codes[code])] is not tag:
                own = self._own_tags.add(tag)
                self._codes[code] = own
                self._is_identity = self._is_identity and own == code
        self._known, self._version = len(self._live_tags), self._live_tags.version

    def as_dict(self) -> dict[str, Any]:
        """How it stands, as plain values: left is the live flow, right the shadow."""
        self.compared.settle(self.now)
        return {
            "flow": self.player.document.name,
            "steps": self.steps,
            "disabled": self.disabled,
            "faults": dict(self.player.faults),
            "muted": self.compared.ledgers[1].written.total,
            **self.compared.as_dict(),
        }


__all__ = ["KEPT", "SETTLE_NS", "Shadow"]
