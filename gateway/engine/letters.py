"""Letters: what a person does about dead letters. Look, give it to its node again, or let it go.

A letter that is given back is journalled input like any other: it is in a replay, its messages
have numbers, and it is settled in the same transaction, so that it goes in once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.data import quality
from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.arrived import Arrived
from gateway.engine.codec import plain, unpack_inputs
from gateway.engine.runner import FlowRunner
from gateway.engine.store import Store
from gateway.engine.store_letters import Again, Decision
from gateway.engine.store_records import letter, settle_letter
from gateway.engine.traffic import takes
from gateway.engine.wiring import Input, rows
from gateway.errors import ConfigError, StateError
from gateway.flow.node import Clock, Message

SHOWN_MAX: Final = 1_000
"""Rows of a message that are shown."""
STORED_WITHIN_S: Final = 5.0
"""So long a person waits for the disk; the message goes in whenever it can be written."""


class LetterDesk:
    """Decides about dead letters, for one person at a time and once each.

    Args:
        store: Where they are kept.
        runners: The flows as they run now, by name.
        tags: The names of tags.
        clock: The time.
    """

    def __init__(
        self,
        store: Store,
        runners: Callable[[], Mapping[str, FlowRunner]],
        tags: TagTable,
        clock: Clock,
    ) -> None:
        self._store = store
        self._runners = runners
        self._tags = tags
        self._clock = clock
        self._going: set[int] = set()
        """Letters on their way to the journal."""

    async def show(self, number: int) -> dict[str, Any]:
        """A letter with its message as rows of plain values.

        Raises:
            ConfigError: There is none of that number.
        """
        head, data = await self._letter(number)
        shown: dict[str, Any] = {**head, "kind": "text", "items": [], "text": ""}
        try:
            inputs, _ = unpack_inputs(data)
        except StateError:  # What could not be stored as a message was kept as words.
            shown["text"] = data.decode("utf-8", "replace")
            return shown
        for _, _, message in inputs:
            shown["kind"], items = self._items(message)
            shown["items"] += items[: SHOWN_MAX - len(shown["items"])]
        return shown

    async def raw(self, number: int) -> bytes:
        """The bytes that were kept.

        Raises:
            ConfigError: There is none of that number.
        """
        return (await self._letter(number))[1]

    async def discard(self, number: int, actor: str, reason: str) -> None:
        """Let it go.

        Raises:
            ConfigError: There is none of that number, or it does not wait any more.
            Disconnected: It cannot be recorded; nothing was done.
        """
        head, _ = await self._letter(number)
        self._must_wait(head)
        detail = json.dumps({"flow": head["flow"], "node": head["node"], "reason": reason})
        decision = Decision(number, "discarded", self._clock.now(), actor, detail)
        if not await settle_letter(self._store, decision):
            raise ConfigError(f"Somebody else has just decided about dead letter {number}.")

    async def replay(self, number: int, actor: str) -> str:
        """Give it to its node again.

        Returns:
            A sentence about what became of it.

        Raises:
            ConfigError: It cannot be given back; the text says why.
        """
        head, data = await self._letter(number)
        self._must_wait(head)
        runner, item = self._way_back(head, data)
        node, port, message = item
        detail = json.dumps({"flow": runner.name, "node": node, "rows": rows(message)})
        decision = Decision(number, "replayed", self._clock.now(), actor, detail)
        entry = Arrived(node, [(port, message)])
        self._going.add(number)
        if not runner.durable:  # Nothing is journalled there, so it is settled first.
            try:
                if not await settle_letter(self._store, decision):
                    raise ConfigError(f"Somebody else has just decided about letter {number}.")
            finally:
                self._going.discard(number)
            runner.inbox.put_now(entry, rows(message))
            return _given(message, node)
        entry.again = again = Again(decision)
        again.settled.add_done_callback(lambda settled: self._gone(number, settled))
        runner.inbox.put_now(entry, rows(message))
        try:
            async with asyncio.timeout(STORED_WITHIN_S):
                await asyncio.shield(again.settled)
        except TimeoutError:
            return f"The disk is busy: {node} is given the message as soon as it can be stored."
        return _given(message, node)

    def _gone(self, number: int, settled: asyncio.Future[None]) -> None:
        self._going.discard(number)
        if not settled.cancelled():
            settled.exception()  # Who asked may have gone meanwhile.

    async def _letter(self, number: int) -> tuple[dict[str, Any], bytes]:
        found = await letter(self._store, number)
        if found is None:
            raise ConfigError(f"There is no dead letter {number}.", hint="genba dlq list")
        return found

    def _must_wait(self, head: Mapping[str, Any]) -> None:
        if head["state"] != "waiting":
            raise ConfigError(f"Dead letter {head['id']} was {head['state']} already.")
        if head["id"] in self._going:
            raise ConfigError(f"Dead letter {head['id']} is being replayed already.")

    def _way_back(self, head: Mapping[str, Any], data: bytes) -> tuple[FlowRunner, Input]:
        """The flow and the input that a letter was."""
        what, node = f"Dead letter {head['id']}", head["node"]
        runner = self._runners().get(head["flow"])
        if runner is None:
            raise ConfigError(f"{what} is of the flow {head['flow']}, which does not run.")
        try:
            inputs, _ = unpack_inputs(data)
        except StateError as error:
            raise ConfigError(
                f"{what} is no whole message ({error})",
                hint="`genba dlq show --raw FILE` writes what was kept.",
            ) from error
        if not inputs:
            raise ConfigError(f"{what} is of a timer: there is no message to give back.")
        if not takes(runner.graph.classes, node, inputs[0][1]):
            raise ConfigError(
                f"{what} came in at {node}.{inputs[0][1]}, which the flow does not have any more."
                if node not in runner.graph.classes
                else f"{what} came from {node} itself and cannot be given to it."
            )
        egress = runner.egresses.get(node)
        if egress is not None and egress.sink.delivery == "fresh":
            raise ConfigError(
                f"{what} is a setpoint for {node}, and setpoints are never written late.",
                hint="Set it anew, and discard the letter.",
            )
        return runner, inputs[0]

    def _items(self, message: Message) -> tuple[str, list[dict[str, Any]]]:
        """The rows of a message as plain values, with the names of their tags."""
        if isinstance(message, Batch):
            return "samples", [
                {
                    "ts": ts,
                    "tag": self._tags.name(tag),
                    "value": None if value != value else value,
                    "quality": quality.name(status),
                }
                for tag, ts, value, status in message.rows()
            ]
        if isinstance(message, Windows):
            cut = [column.tolist() for column in (message.tag, message.start, message.end)]
            return "windows", [
                {"tag": self._tags.name(tag), "start": start, "end": end, "rows": size}
                for tag, start, end, size in zip(*cut, message.count.tolist(), strict=True)
            ]
        items = [plain(item) for item in message]
        return ("alarms" if "alarm" in items[0] else "events"), items


def _given(message: Message, node: str) -> str:
    size = rows(message)
    if size == 1:
        return f"1 row was given to {node} again."
    return f"{size:,} rows were given to {node} again."
