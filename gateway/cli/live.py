"""The live view in the terminal: tags, open alarms, wires and messages, twice a second.

It fits the terminal whatever its size. Lists that are longer than their place are shown page
by page; what needs a look, such as a tag of bad quality, stands on every page.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.cli.words import printable
from gateway.data import quality
from gateway.data.alarm import AlarmEvent, AlarmState
from gateway.data.table import number, unit_word
from gateway.engine.runtime import Runtime

REFRESH_S = 0.5
PAGE_S = 6.0
RATE_S = 5.0  # Rates are taken over this time, so that a slow poll does not make them jump.
_COLOURS = {"urgent": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan"}
_LEVELS = {"error": "red", "warning": "yellow"}
_MARGIN = 4  # Border and padding of a panel, both sides.
_ALARM_HEAD = 23  # Time, priority and state before an alarm's reason.
_WIDE = 150  # From here on the tags stand in two columns.
_TAG_NEEDS = 40  # A name that is cut is worse than a quality that is cut.

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How many lines each part gets."""

    alarms: int
    tags: int
    wires: int
    messages: int

    @classmethod
    def of(cls, height: int, alarm_lines: int) -> _Sizes:
        """Share out the lines of the terminal; the tags get what the others leave."""
        messages = 3 if height >= 30 else 0
        wires = max(2, height // 5)
        alarms = min(max(alarm_lines, 3 if height >= 30 else 1), max(2, height // 4))
        frames = 1 + 2 + 3 + 3 + (2 if messages else 0)  # The head, borders and column names.
        return cls(alarms, max(1, height - frames - alarms - wires - messages), wires, messages)


class LiveView:
    """Draws a running gateway with rich.

    Args:
        runtime: The gateway.
        title: What stands at the top.
        console: Where to draw; the terminal by default.
    """

    def __init__(self, runtime: Runtime, title: str, console: Console | None = None) -> None:
        self._runtime = runtime
        self._title = title
        self._console = console or Console()
        self._counted: deque[tuple[float, NDArray[np.int64], int]] = deque()
        self._order: list[int] = []
        self.note = ""

    async def run(self) -> None:
        """Draw until cancelled."""
        with Live(self.render(), console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(self.render(), refresh=True)
                await asyncio.sleep(REFRESH_S)

    def render(self) -> Group:
        """One picture of the size of the terminal."""
        self._count()
        alarms = self._runtime.book.open()
        reasons = list(self._alarm_lines(alarms))
        sizes = _Sizes.of(self._console.height, len(reasons) or 1)
        parts: list[Text | Panel] = [
            self._head(len(alarms)),
            _panel(_fitted(reasons, sizes.alarms), f"Open alarms ({len(alarms)})"),
            _panel(*self._tags(sizes.tags, alarms)),
            _panel(*self._wires(sizes.wires)),
        ]
        if sizes.messages:
            parts.append(_panel(self._messages(sizes.messages), "Messages"))
        return Group(*parts)

    # ------------------------------------------------------------------ parts

    def _head(self, alarms: int) -> Text:
        runtime = self._runtime
        up = int(runtime.clock.monotonic() - runtime.started_s)
        text = Text(f" {self._title}  ", style="bold", no_wrap=True, overflow="ellipsis")
        text.append(f"up {up // 60}:{up % 60:02d}  {len(runtime.tags)} tags  ", style="dim")
        text.append(f"{self._rows_in_rate():.0f} rows/s  ", style="dim")
        text.append(f"{alarms} open alarms  ", style="red" if alarms else "green")
        away = [s.node for s in runtime.statuses if s.state in ("disconnected", "misconfigured")]
        if away:
            text.append(f"away: {', '.join(sorted(set(away)))}  ", style="yellow")
        text.append(printable(self.note), style="dim")
        return text

    def _alarm_lines(self, alarms: Sequence[AlarmEvent]) -> Iterator[Text]:
        """The open alarms, at most two lines each: what is new first, then by priority."""
        width = max(self._console.width - _MARGIN - _ALARM_HEAD, 10)
        for event in sorted(alarms, key=lambda a: a.state is not AlarmState.UNACK):
            style = _COLOURS[event.priority] if event.state is AlarmState.UNACK else "dim"
            when = time.strftime("%H:%M:%S", time.localtime(event.ts / 1e9))
            reason = Text(printable(self._runtime.book.reason(event))).wrap(self._console, width)
            for i, line in enumerate(reason[:2]):
                if i == 1 and len(reason) > 2:
                    line.append(" …")
                    line.truncate(width, overflow="ellipsis")
                head = Text(" " * _ALARM_HEAD)
                if i == 0:
                    head = Text(f"{when} ")
                    head.append(f"{event.priority:<6}", style)
                    head.append(f" {event.state.value:<6} ")
                yield head.append_text(line)
        if not alarms:
            yield Text("None.", "green")

    def _tags(self, lines: int, alarms: Sequence[AlarmEvent]) -> tuple[Table, str]:
        columns = 2 if self._console.width >= _WIDE else 1
        room = (self._console.width - _MARGIN) // columns
        quality_width = 20 if room - 20 - 29 >= _TAG_NEEDS else 12
        table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0))
        for _ in range(columns):
            table.add_column("tag", no_wrap=True, overflow="ellipsis", ratio=1)
            table.add_column("value", justify="right", no_wrap=True, width=10)
            table.add_column("unit", no_wrap=True, overflow="ellipsis", width=6)
            table.add_column("quality", no_wrap=True, overflow="ellipsis", width=quality_width)
            table.add_column("rows/s", justify="right", no_wrap=True, width=7)
        active = (AlarmState.UNACK, AlarmState.ACKED)
        alarmed = {event.tag.partition("#")[0] for event in alarms if event.state in active}
        order, live = self._codes(), self._runtime.live
        names = self._runtime.tags
        is_troubled = {
            code for code in order if live.quality[code] >> 30 or names[code].name in alarmed
        }
        first = [code for code in order if code in is_troubled]
        shown, title = self._page(first, [c for c in order if c not in is_troubled], lines, columns)
        cells = [self._tag_cells(code, alarmed) for code in shown]
        half = math.ceil(len(cells) / columns)
        for i in range(half):
            row: list[Text | str] = []
            for at in range(i, half * columns, half):
                row += cells[at] if at < len(cells) else [""] * 5
            table.add_row(*row)
        for _ in range(lines - half):
            table.add_row("")
        return table, f"Tags {title}"

    def _codes(self) -> list[int]:
        """All tags by name; what is computed from others comes behind what was measured."""
        tags = self._runtime.tags
        if len(self._order) != len(tags):
            names = [(("#" in tags[code].name), tags[code].name, code) for code in range(len(tags))]
            self._order = [code for _, _, code in sorted(names)]
        return self._order

    def _tag_cells(self, code: int, alarmed: set[str]) -> list[Text | str]:
        tag, live = self._runtime.tags[code], self._runtime.live
        value, status = float(live.value[code]), int(live.quality[code])
        shown = "–" if math.isnan(value) else number(float(f"{value:.5g}"))
        rate = self._rate(code)
        return [
            Text(printable(tag.name), "red" if tag.name in alarmed else ""),
            shown,
            Text(printable(unit_word(tag.unit))),
            Text(quality.name(status), ("green", "yellow", "red", "red")[status >> 30]),
            f"{rate:.1f}" if rate < 10_000 else f"{rate:.0f}",
        ]

    def _wires(self, lines: int) -> tuple[Table, str]:
        table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("wire", no_wrap=True, overflow="ellipsis", ratio=1)
        for name in ("rows", "late", "dropped", "queued"):
            table.add_column(name, justify="right", no_wrap=True, min_width=9)
        late = {(s.flow, s.node): s.counts["late"] for s in self._runtime.statuses}
        first: list[list[str]] = []
        others: list[list[str]] = []
        for wire in self._runtime.wires():
            source = str(wire["from"]).partition(".")[0]
            missed = late.get((wire["flow"], source), 0)
            name = f"{wire['flow']}: {wire['from']} -> {wire['to']}"
            numbers = [wire["rows"], missed, wire["dropped"], wire["queued"]]
            row = [name, *(str(n) for n in numbers)]
            (first if any(numbers[1:]) else others).append(row)
        shown, title = self._page(first, others, lines, 1)
        for row in shown:
            table.add_row(Text(row[0]), *row[1:])
        for _ in range(lines - len(shown)):
            table.add_row("")
        return table, f"Wires {title}"

    def _messages(self, lines: int) -> Text:
        kept = list(self._runtime.lines.kept)[-lines:]
        found = []
        for ts, level, where, text in kept:
            when = time.strftime("%H:%M:%S", time.localtime(ts / 1e9))
            line = Text(f"{when} ")
            line.append(printable(f"{where}: {text}"), _LEVELS.get(level, ""))
            found.append(line)
        return _fitted(found or [Text("None.", "dim")], lines)

    # ------------------------------------------------------------------ pages and rates

    def _page(
        self, first: list[T], others: list[T], lines: int, columns: int
    ) -> tuple[list[T], str]:
        """What is shown now: what needs a look, on every page, and a page of the others."""
        places = lines * columns
        pinned = first[: places // 2]
        rest = first[len(pinned) :] + others
        size = places - len(pinned)
        if len(rest) <= size:
            return pinned + rest, f"({len(pinned) + len(rest)})"
        pages = math.ceil(len(rest) / size)
        page = int(self._runtime.clock.monotonic() / PAGE_S) % pages
        text = f"({len(first) + len(others)}, page {page + 1} of {pages})"
        return pinned + rest[page * size : (page + 1) * size], text

    def _count(self) -> None:
        """Remember how many rows there are by now."""
        runtime = self._runtime
        now_s = runtime.clock.monotonic()
        if self._counted and now_s - self._counted[-1][0] < REFRESH_S / 2:
            return
        rows_in = sum(status.counts["rows_in"] for status in runtime.statuses)
        self._counted.append((now_s, runtime.live.rows[: len(runtime.tags)].copy(), rows_in))
        while len(self._counted) > 2 and now_s - self._counted[1][0] >= RATE_S:
            self._counted.popleft()

    def _rate(self, code: int) -> float:
        """Rows per second of a tag, over the last `RATE_S`."""
        (then_s, before, _), (now_s, after, _) = self._counted[0], self._counted[-1]
        if now_s <= then_s or code >= len(before):
            return 0.0
        return float(after[code] - before[code]) / (now_s - then_s)

    def _rows_in_rate(self) -> float:
        (then_s, _, before), (now_s, _, after) = self._counted[0], self._counted[-1]
        return (after - before) / (now_s - then_s) if now_s > then_s else 0.0


def _panel(content: Any, title: str) -> Panel:
    return Panel(content, title=title, title_align="left")


def _fitted(lines: Sequence[Text], height: int) -> Text:
    """Exactly so many lines: the last says how many are left out, or empty ones follow."""
    shown = list(lines[:height])
    if len(lines) > height:
        shown[-1] = Text(f"… and {len(lines) - height + 1} more lines", "dim")
    shown += [Text("")] * (height - len(shown))
    joined = Text("\n").join(shown)
    joined.no_wrap, joined.overflow = True, "ellipsis"
    return joined
