"""The live view in the terminal: tags, open alarms and wires, twice a second."""

from __future__ import annotations

import asyncio
import math
import time

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.data import quality
from gateway.data.alarm import AlarmEvent, AlarmState
from gateway.data.table import number
from gateway.engine.runtime import Runtime

REFRESH_S = 0.5
_COLOURS = {"urgent": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan"}


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
        self._rows: dict[int, int] = {}
        self._rates: dict[int, float] = {}
        self._rates_at_s = 0.0
        self.note = ""

    async def run(self) -> None:
        """Draw until cancelled."""
        with Live(self.render(), console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(self.render(), refresh=True)
                await asyncio.sleep(REFRESH_S)

    def render(self) -> Group:
        """One picture; each part gets the lines it needs and the tags get the rest."""
        height = self._console.height
        alarms = self._runtime.book.open()
        alarm_lines = max(1, min(len(alarms), max(height // 4, 3)))
        wires = self._wires(max(height // 4, 4))
        tag_lines = max(4, height - alarm_lines - wires.row_count - 14)
        parts: list[Text | Panel] = [
            self._head(len(alarms)),
            Panel(self._alarms(alarms, alarm_lines), title="Open alarms", title_align="left"),
            Panel(self._tags(tag_lines), title="Tags", title_align="left"),
            Panel(wires, title="Wires", title_align="left"),
        ]
        return Group(*parts)

    def _head(self, alarms: int) -> Text:
        runtime = self._runtime
        up = int(runtime.clock.monotonic() - runtime.started_s)
        text = Text(f" {self._title}  ", style="bold")
        text.append(f"up {up // 60}:{up % 60:02d}  {len(runtime.tags)} tags  ", style="dim")
        text.append(f"{alarms} open alarms  ", style="red" if alarms else "green")
        away = [s.node for s in runtime.statuses if s.state in ("disconnected", "misconfigured")]
        if away:
            text.append(f"away: {', '.join(sorted(set(away)))}  ", style="yellow")
        text.append(self.note, style="dim")
        return text

    def _alarms(self, alarms: list[AlarmEvent], lines: int) -> Table:
        table = Table(box=None, expand=True, show_header=False, pad_edge=False)
        for width in (8, 7, 6, None):
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        order = {"urgent": 0, "high": 1, "medium": 2, "low": 3}
        ranked = sorted(
            alarms, key=lambda a: (a.state is not AlarmState.UNACK, order[a.priority], -a.ts)
        )
        for event in ranked[:lines]:
            style = _COLOURS[event.priority] if event.state is AlarmState.UNACK else "dim"
            when = time.strftime("%H:%M:%S", time.localtime(event.ts / 1e9))
            table.add_row(when, Text(event.priority, style), event.state.value, Text(event.text))
        if not alarms:
            table.add_row("", "", "", Text("None.", "green"))
        elif len(alarms) > lines:
            table.add_row("", "", "", Text(f"… and {len(alarms) - lines} more", "dim"))
        return table

    def _tags(self, lines: int) -> Table:
        self._measure()
        columns = 2 if self._console.width >= 150 else 1
        table = Table(box=None, expand=True, pad_edge=False)
        for _ in range(columns):
            table.add_column("tag", no_wrap=True, overflow="ellipsis", ratio=4)
            table.add_column("value", justify="right", no_wrap=True, min_width=9)
            table.add_column("unit", no_wrap=True, min_width=6)
            table.add_column("quality", no_wrap=True, min_width=8)
            table.add_column("rows/s", justify="right", no_wrap=True, min_width=7)
        cells = [self._tag_cells(*row) for row in self._runtime.live]
        shown = cells[: lines * columns]
        half = math.ceil(len(shown) / columns)
        for i in range(half):
            row: list[Text | str] = []
            for c in range(columns):
                at = i + c * half
                row += shown[at] if at < len(shown) else [""] * 5
            table.add_row(*row)
        if len(cells) > len(shown):
            table.add_row(Text(f"… and {len(cells) - len(shown)} more", "dim"))
        return table

    def _tag_cells(
        self, code: int, value: float, ts: int, status: int, rows: int
    ) -> list[Text | str]:
        tag = self._runtime.tags[code]
        style = ("green", "yellow", "red", "red")[status >> 30]
        shown = "–" if math.isnan(value) else number(float(f"{value:.5g}"))
        return [
            tag.name,
            shown,
            tag.unit,
            Text(quality.name(status), style),
            f"{self._rates.get(code, 0):.1f}",
        ]

    def _measure(self) -> None:
        """Rates over the time since they were last taken, at least a second."""
        now_s = self._runtime.clock.monotonic()
        passed_s = now_s - self._rates_at_s
        if passed_s < 1.0:
            return
        for code, _, _, _, rows in self._runtime.live:
            self._rates[code] = (rows - self._rows.get(code, rows)) / passed_s
            self._rows[code] = rows
        self._rates_at_s = now_s

    def _wires(self, lines: int) -> Table:
        table = Table(box=None, expand=True, pad_edge=False)
        table.add_column("wire", no_wrap=True, overflow="ellipsis", ratio=4)
        for name in ("rows", "late", "dropped", "queued"):
            table.add_column(name, justify="right", no_wrap=True)
        late = {
            (s.flow, s.node): s.counts["late"] for s in self._runtime.statuses if s.counts["late"]
        }
        wires = sorted(self._runtime.wires(), key=lambda w: -int(w["rows"]))
        for wire in wires[:lines]:
            source = str(wire["from"]).partition(".")[0]
            table.add_row(
                f"{wire['flow']}: {wire['from']} -> {wire['to']}",
                str(wire["rows"]),
                str(late.get((wire["flow"], source), 0)),
                str(wire["dropped"]),
                str(wire["queued"]),
            )
        if len(wires) > lines:
            table.add_row(Text(f"… and {len(wires) - lines} more", "dim"))
        return table
