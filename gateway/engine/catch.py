"""Catch: a breakpoint that does not break. It keeps what first fulfils a condition, and what was
before it; the flow goes on as if nobody looked.

A factory cannot be stopped to look at a sample. So the flow is not held; the moment is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data import quality
from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.tag import TagTable, pattern_of
from gateway.data.windows import Windows
from gateway.engine.codec_json import plain
from gateway.engine.taps import Port, Tap
from gateway.errors import ConfigError, LimitError
from gateway.flow.expression import Formula, FormulaError
from gateway.flow.node import Message

if TYPE_CHECKING:
    from gateway.engine.runner import FlowRunner

CATCHES_MAX: Final = 20
"""Of one flow."""
HITS_MAX: Final = 50
BEFORE_MAX: Final = 100
HIT_ROWS_MAX: Final = 50
"""Rows of one message that are kept of a hit."""
_CANNOT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
NAMES: Final = ("value", "good", "limit", "rows")
"""What a condition may name: of samples `value` and `good` (1 or 0), of alarms `value` and
`limit`, of windows `rows`. What a message does not have is no number, so it fulfils nothing."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One message that fulfilled the condition.

    Args:
        now: The time of its step [ns].
        count: How many of its rows did.
        rows: The first of them, as a screen shows them.
        before: The rows that left the port before it, the newest last.
    """

    now: int
    count: int
    rows: dict[str, list[Any]]
    before: dict[str, list[Any]]


class Catch(Tap):
    """Waits at one port.

    Args:
        port: Node and port.
        condition: In the language of expressions; empty for every message.
        pattern: Tags it is about.
        hits_max: How many messages are kept.
        before_max: How many rows before each.
        runner: The flow, for its time and its tags.

    Raises:
        ConfigError: The condition is none.
    """

    def __init__(
        self,
        port: Port,
        condition: str,
        pattern: str,
        hits_max: int,
        before_max: int,
        runner: FlowRunner,
    ) -> None:
        super().__init__(port, max(min(before_max, BEFORE_MAX), 1))
        self.condition = condition
        self.pattern = pattern
        self.hits: list[Hit] = []
        self.error = ""
        """Why it looks no more; empty while it does."""
        self._hits_max = min(hits_max, HITS_MAX)
        self._has_before = before_max > 0
        self._runner = runner
        self._fits = pattern_of(pattern)
        self._known: dict[int, bool] = {}
        try:
            self._formula = Formula(condition, list(NAMES)) if condition else None
        except FormulaError as error:
            raise ConfigError(error.text, where="condition", hint=error.hint) from error

    @property
    def is_full(self) -> bool:
        """True when it has all it wanted; then it costs nothing any more."""
        return len(self.hits) >= self._hits_max

    def take(self, message: Message) -> None:
        """A message leaves: look at it, then keep it for what comes after."""
        if self.is_full or self.error:
            return
        try:
            chosen = np.flatnonzero(self._chosen(message))
            if len(chosen):
                self.hits.append(self._hit(message, chosen))
            if self._has_before:
                super().take(message)
        except _CANNOT as error:  # Whatever it is, the flow goes on.
            self.error = f"It failed: {type(error).__name__}: {error}."

    def _chosen(self, message: Message) -> NDArray[np.bool_]:
        """Which rows fulfil the condition (n,)."""
        fits = np.array([self._is_meant(name) for name in self._tags_of(message)], np.bool_)
        if self._formula is None or not fits.any():
            return fits
        columns = _columns(message)
        found = np.broadcast_to(self._formula(columns), fits.shape)
        chosen: NDArray[np.bool_] = fits & np.isfinite(found) & (found != 0)
        return chosen

    def _tags_of(self, message: Message) -> list[Any]:
        if isinstance(message, Batch | Windows):
            return list(message.tag.tolist())
        return [getattr(item, "tag", None) for item in message]

    def _is_meant(self, tag: Any) -> bool:
        if isinstance(tag, int):
            known = self._known.get(tag)
            if known is None:
                known = self._known[tag] = self._fits(self._runner.graph.tags.name(tag))
            return known
        return tag is None or self._fits(tag)  # Events have no tag.

    def _hit(self, message: Message, chosen: NDArray[np.intp]) -> Hit:
        tags, some = self._runner.graph.tags, chosen[:HIT_ROWS_MAX]
        before = self.shown(tags) if self._has_before else {}
        return Hit(self._runner.graph.now, len(chosen), _rows(message, some, tags), before)

    def as_dict(self, id: str) -> dict[str, Any]:
        """Plain values."""
        return {
            "id": id,
            "node": self.port[0],
            "port": self.port[1],
            "condition": self.condition,
            "tags": self.pattern,
            "error": self.error,
            "is_full": self.is_full,
            "hits": [
                {"now": one.now, "count": one.count, **one.rows, "before": one.before}
                for one in self.hits
            ],
        }


def _columns(message: Message) -> dict[str, NDArray[np.float64]]:
    """What a condition may name, a number a row (n,)."""
    count = len(message)
    columns = dict.fromkeys(NAMES, np.full(count, np.nan))
    if isinstance(message, Batch):
        return columns | {"value": message.value, "good": message.good.astype(np.float64)}
    if isinstance(message, Windows):
        return columns | {"rows": message.count.astype(np.float64)}
    if count and isinstance(message[0], AlarmEvent):
        events = [item for item in message if isinstance(item, AlarmEvent)]
        for name in ("value", "limit"):
            columns[name] = np.array([getattr(event, name) for event in events], np.float64)
    return columns


def _rows(message: Message, chosen: NDArray[np.intp], tags: TagTable) -> dict[str, list[Any]]:
    """Some rows of a message as a tap shows them."""
    if isinstance(message, Batch):
        return {
            "samples": [
                (tags.name(tag), ts, None if value != value else value, quality.name(status))
                for tag, ts, value, status in message.where(chosen).rows()
            ]
        }
    if isinstance(message, Windows):
        return {
            "items": [
                {
                    "tag": tags.name(int(message.tag[i])),
                    "start": int(message.start[i]),
                    "end": int(message.end[i]),
                    "rows": int(message.count[i]),
                }
                for i in chosen.tolist()
            ]
        }
    return {"items": [plain(message[i]) for i in chosen.tolist()]}


def add_catch(
    runner: FlowRunner,
    port: Port,
    condition: str,
    pattern: str,
    hits_max: int,
    before_max: int,
) -> tuple[str, Catch]:
    """Begin to wait at a port of a flow that runs.

    Returns: its id, and the catch.

    Raises:
        ConfigError: There is no such port, or the condition is none.
        LimitError: There are too many.
    """
    node, name = port
    cls = runner.graph.classes.get(node)
    if cls is None:
        hint = f"There is {', '.join(runner.graph.classes)}."
        raise ConfigError(f"{runner.name} has no node {node!r}.", hint=hint)
    known = [one.name for one in cls.outputs]
    if not name and known:
        name = known[0]
    if name not in known:
        hint = f"There is {', '.join(known) or 'none'}."
        raise ConfigError(f"{node} has no output {name!r}.", hint=hint)
    catches = runner.taps.catches
    if len(catches) >= CATCHES_MAX:
        raise LimitError("catches_max", CATCHES_MAX, "Remove one that is not needed any more.")
    catch = Catch((node, name), condition, pattern, hits_max, before_max, runner)
    number = next(i for i in range(1, CATCHES_MAX + 1) if f"c{i}" not in catches)
    catches[f"c{number}"] = catch
    runner.taps.add(catch)
    return f"c{number}", catch


def remove_catch(runner: FlowRunner, id: str) -> bool:
    """End one; False when there is none of this id."""
    catch = runner.taps.catches.pop(id, None)
    if catch is None:
        return False
    runner.taps.remove(catch)
    return True


__all__ = ["BEFORE_MAX", "CATCHES_MAX", "HITS_MAX", "Catch", "Hit", "add_catch", "remove_catch"]
