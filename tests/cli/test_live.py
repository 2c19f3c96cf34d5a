"""The live view: it fits every terminal, shows what it promises and obeys no device's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from gateway.cli.live import LiveView
from gateway.data.alarm import AlarmEvent, AlarmState
from gateway.data.quality import BAD_NO_COMMUNICATION, GOOD
from gateway.data.tag import Tag
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document

SIZES = [(80, 24), (120, 40), (200, 50), (160, 48), (60, 20)]
FLOW = """flow: hall
version: 1
about: A wave and an alarm.

nodes:
  wave: {type: simulate.source, tag: hall/wave, every_s: 0.05, high: 10, period_s: 4}
  high: {type: alarm.limit, tags: hall/wave, hi: 5}
  history: {type: sqlite.sink, folder: history}

wires:
  - wave -> high
  - wave -> history
  - high.alarms -> history.alarms
"""


class _Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def now(self) -> int:
        return int(self.at_s * 1e9)

    def monotonic(self) -> float:
        return self.at_s


def _drawn(view: LiveView, width: int, height: int) -> list[str]:
    console = Console(file=StringIO(), width=width, height=height, color_system=None)
    view._console = console
    console.print(view.render())
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().rstrip("\n").split("\n")
    assert len(lines) <= height, "it is higher than the terminal"
    assert max(cell_len(line) for line in lines) <= width, "it is wider than the terminal"
    return lines


def _alarm(number: int, text: str, state: AlarmState = AlarmState.UNACK) -> AlarmEvent:
    priority = ("low", "medium", "high", "urgent")[number % 4]
    return AlarmEvent(
        alarm=f"hall/high:hall/tag{number}:HI",
        tag=f"hall/tag{number}",
        ts=1_000_000_000_000 + number,
        change="raised",
        state=state,
        priority=priority,  # type: ignore[arg-type]  # one of the four
        condition="HI",
        text=text,
    )


def _set(runtime: Runtime, tag: Tag, value: float, quality: int = GOOD, rows: int = 0) -> int:
    code = runtime.tags.add(tag)
    runtime.live.value[code], runtime.live.quality[code] = value, quality
    runtime.live.rows[code] = rows
    return code


@pytest.fixture
def clock() -> _Hand:
    return _Hand()


@pytest.fixture
def runtime(tmp_path: Path, clock: _Hand) -> Runtime:
    return Runtime([], tmp_path, clock=clock)


@pytest.fixture
def view(runtime: Runtime) -> LiveView:
    return LiveView(runtime, "Genba test", Console(file=StringIO(), width=80, height=24))


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Runtime]:
    runtime = Runtime([Document.parse(FLOW, "hall.flow.yaml")], tmp_path)
    await runtime.start()
    yield runtime
    await runtime.stop()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_empty_gateway_fits(view: LiveView, width: int, height: int) -> None:
    lines = _drawn(view, width, height)
    assert any("Genba test" in line for line in lines)
    assert any("None." in line for line in lines)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [1, 7, 300])
def test_many_of_everything_with_odd_numbers_and_words_fits(
    runtime: Runtime, view: LiveView, width: int, height: int, count: int
) -> None:
    odd = [float("nan"), float("inf"), -float("inf"), 0.0, -1.23456789e-300, 1.7e308, 1e15]
    for i in range(count):
        name = f"hall/{'very_long_name/' * (i % 9)}tag{i}" + "温度" * (i % 5)
        quality = BAD_NO_COMMUNICATION if i % 3 == 0 else GOOD
        _set(runtime, Tag(name, unit="mm/s" * (i % 4)), odd[i % len(odd)], quality)
        text = f"tag{i} is above the limit " + "and stays there " * (i % 12) + "\n\x1b[2J" * (i % 2)
        runtime.book.apply([_alarm(i, text)])
        runtime.lines.add(0, "error", f"hall.node{i}", "No answer. " * (i % 30))
    view.note = "plant 12 s: " + "leak " * 60
    for line in _drawn(view, width, height):
        assert "\x1b" not in line


def test_a_tag_shows_value_unit_quality_and_rate(
    runtime: Runtime, view: LiveView, clock: _Hand
) -> None:
    code = _set(runtime, Tag("hall/oil/pressure", unit="bar"), 6.2154321, rows=100)
    _set(runtime, Tag("hall/oil/level", unit="%"), float("nan"), BAD_NO_COMMUNICATION)
    view.render()
    for _ in range(8):
        clock.at_s += 0.5
        runtime.live.rows[code] += 5
        view.render()
    pressure, level = (
        next(line for line in _drawn(view, 120, 40) if name in line)
        for name in ("hall/oil/pressure", "hall/oil/level")
    )
    assert pressure.strip("│ ").split() == ["hall/oil/pressure", "6.2154", "bar", "Good", "10.0"]
    assert level.strip("│ ").split() == ["hall/oil/level", "–", "%", "Bad_NoCommunication", "0.0"]


def test_the_rate_forgets_what_was_longer_ago(
    runtime: Runtime, view: LiveView, clock: _Hand
) -> None:
    code = _set(runtime, Tag("hall/a"), 1.0)
    for burst in (1000, *([0] * 20)):
        runtime.live.rows[code] += burst
        view.render()
        clock.at_s += 0.5
    line = next(line for line in _drawn(view, 120, 40) if "hall/a" in line)
    assert line.strip("│ ").split()[-1] == "0.0"


def test_every_tag_comes_by_and_one_of_bad_quality_stays(
    runtime: Runtime, view: LiveView, clock: _Hand
) -> None:
    for i in range(200):
        _set(runtime, Tag(f"hall/tag{i:03}"), float(i))
    _set(runtime, Tag("hall/zzz"), float("nan"), BAD_NO_COMMUNICATION)
    seen: set[str] = set()
    for _ in range(60):
        words = " ".join(_drawn(view, 80, 24)).split()
        assert "hall/zzz" in words
        seen.update(word for word in words if word.startswith("hall/tag"))
        clock.at_s += 6.0
    assert len(seen) == 200


def test_when_all_is_bad_it_still_turns_the_pages(
    runtime: Runtime, view: LiveView, clock: _Hand
) -> None:
    for i in range(100):
        _set(runtime, Tag(f"hall/tag{i:03}"), float("nan"), BAD_NO_COMMUNICATION)
    seen: set[str] = set()
    for _ in range(80):
        words = " ".join(_drawn(view, 120, 40)).split()
        seen.update(word for word in words if word.startswith("hall/tag"))
        clock.at_s += 6.0
    assert len(seen) == 100


def test_alarms_show_time_priority_state_and_reason_the_new_ones_first(
    runtime: Runtime, view: LiveView
) -> None:
    reason = "hall/tag1 mean 4.65 mm/s is above the HI limit 3.6 mm/s for 10 s"
    runtime.book.apply([_alarm(3, "hall/tag3 is acknowledged", AlarmState.ACKED)])
    runtime.book.apply([_alarm(1, reason)])
    lines = [line.strip("│ ") for line in _drawn(view, 120, 40)]
    new = next(line for line in lines if line.endswith(reason))
    old = next(line for line in lines if line.endswith("hall/tag3 is acknowledged"))
    assert new.split()[1:3] == ["medium", "UNACK"]
    assert old.split()[1:3] == ["urgent", "ACKED"]
    assert lines.index(new) < lines.index(old)
    assert any("2 open alarms" in line for line in lines)


def test_a_long_reason_takes_two_lines_in_a_narrow_terminal(
    runtime: Runtime, view: LiveView
) -> None:
    runtime.book.apply([_alarm(1, "The mean of the vibration is high, " * 2 + "by 4.65 mm/s")])
    text = " ".join(line.strip("│ ") for line in _drawn(view, 80, 24))
    assert "by 4.65 mm/s" in text


def test_more_alarms_than_lines_are_counted(runtime: Runtime, view: LiveView) -> None:
    runtime.book.apply([_alarm(i, f"hall/tag{i} is high") for i in range(40)])
    text = "\n".join(_drawn(view, 80, 24))
    assert "Open alarms (40)" in text
    assert "more lines" in text


@pytest.mark.plant
async def test_a_running_gateway_shows_its_wires_and_its_open_alarm(running: Runtime) -> None:
    view = LiveView(running, "Genba", Console(file=StringIO(), width=120, height=40))
    async with asyncio.timeout(60):
        while not running.book.open():
            await asyncio.sleep(0.02)
    running.runners["hall"].graph.traffic.wires["wave", "out", "high", "in"].rows = 10**12
    running.runners["hall"].egresses["history"].outbox.books.dropped["full"] = 77
    statuses = {status.node: status for status in running.statuses}
    statuses["wave"].counts["late"] = 5
    lines = [line.strip("│ ") for line in _drawn(view, 120, 40)]
    head = next(line for line in lines if line.startswith("wire "))
    assert head.split() == ["wire", "rows", "late", "dropped", "queued"]
    wide = next(line for line in lines if "wave.out -> high.in" in line)
    assert wide.split()[-4:] == [str(10**12)[:9] + "…", "5", "0", "0"] or wide.split()[-4:] == [
        str(10**12),
        "5",
        "0",
        "0",
    ]
    dropped = next(line for line in lines if "wave.out -> history.in" in line)
    assert dropped.split()[-2] == "77"
    assert any("hall/wave" in line and "HI limit 5" in line for line in lines)
    assert np.isfinite(running.live.value[running.tags.code("hall/wave")])


@pytest.mark.plant
async def test_it_draws_until_it_is_cancelled_and_leaves_the_screen(running: Runtime) -> None:
    out = StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True)
    task = asyncio.ensure_future(LiveView(running, "Genba", console).run())
    async with asyncio.timeout(60):
        while out.getvalue().count("Open alarms") < 3:
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert "\x1b[?1049l" in out.getvalue(), "the alternate screen is left"
