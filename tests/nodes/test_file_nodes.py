"""Files: a CSV that is read on where it was left, bad rows, and lines that are written whole."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, ConfigError, Disconnected, Event, quality
from gateway.engine.sim_loop import SimClock, SimLoop
from gateway.flow import harness
from gateway.flow.registry import node_class

S = 10**9


class Clock:
    """A clock that stands still."""

    def now(self) -> int:
        return 1_900_000_000 * S

    def monotonic(self) -> float:
        return 0.0


def node(name: str, folder: Path, config: dict[str, Any], position: Any = None) -> Any:
    ctx = harness.BenchContext(data_dir=folder, clock=Clock(), position=position)
    return harness.make(node_class(name), config, ctx)


def rows(source: Any, reading: Any) -> list[tuple[str, float, float, int]]:
    batch = reading.outputs.get("out", Batch.of([]))
    return [(source.ctx.tags.name(t), ts / S, v, q) for t, ts, v, q in batch.rows()]


async def read_all(source: Any) -> tuple[list[tuple[str, float, float, int]], list[str], Any]:
    """(rows, texts of refused rows, last position) up to the end of the file."""
    found, texts, position = [], [], None
    await source.connect()
    while True:
        try:
            reading = await source.read()
        except EOFError:
            return found, texts, position
        found += rows(source, reading)
        texts += [event.data["text"] for event in reading.outputs.get("status", ())]
        position = reading.position


WIDE = "ts,A,B\n1,10,20\n2,11,\n3,x,22\nlater,1,1\n5,1e400,24\n"


async def test_a_column_a_tag(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(WIDE)
    source = node("file.csv_source", tmp_path, {"path": "a.csv"})
    found, texts, position = await read_all(source)
    assert [row[:3] for row in found[:3]] == [("A", 1, 10), ("B", 1, 20), ("A", 2, 11)]
    assert [(n, t, q) for n, t, _, q in found[3:]] == [
        ("A", 3, quality.BAD_DECODING),
        ("B", 3, 0),
        ("A", 5, quality.BAD),
        ("B", 5, 0),
    ]
    assert texts == ["Row 4 of a.csv: 'later' is no time; write 2026-05-01T12:00:00Z."]
    assert position == {"path": "a.csv", "row": 5}
    assert source.ctx.counts == {"bad_rows": 1}


async def test_a_row_a_sample(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "when,name,value,status\n2026-05-01T12:00:00Z,A,1,\n2026-05-01 14:00:01+02:00,B,2,Bad\n"
        "2026-05-01T12:00:02,A,3,0x40000000\n"
    )
    config = {"path": "a.csv", "time": "when", "tag": "name", "quality": "status", "prefix": "p/"}
    source = node("file.csv_source", tmp_path, config)
    found, _, _ = await read_all(source)
    start = 1_777_636_800
    assert found == [
        ("p/A", start, 1.0, quality.GOOD),
        ("p/B", start + 1, 2.0, quality.BAD),
        ("p/A", start + 2, 3.0, quality.UNCERTAIN),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_it_goes_on_where_it_was_left(tmp_path: Path, size: int) -> None:
    lines = "\n".join(f"{i},{i}" for i in range(20))
    (tmp_path / "a.csv").write_text(f"ts,A\n{lines}\n")
    config = {"path": "a.csv", "batch_rows_max": size}
    first = node("file.csv_source", tmp_path, config)
    await first.connect()
    reading = await first.read()
    found = rows(first, reading)
    rest, _, _ = await read_all(node("file.csv_source", tmp_path, config, reading.position))
    assert [v for _, _, v, _ in found + rest] == [float(i) for i in range(20)]


@pytest.mark.parametrize(
    "when",
    ["1e999999999", "9999-12-31", "-9e99", "inf", "nan", "99999999999999999999", "1;5", "٣٤"],
)
async def test_times_that_cannot_be_cost_one_row(tmp_path: Path, when: str) -> None:
    (tmp_path / "a.csv").write_text(f"ts,A\n{when},1\n2,2\n", "utf-8")
    found, texts, _ = await read_all(node("file.csv_source", tmp_path, {"path": "a.csv"}))
    assert found[-1] == ("A", 2, 2.0, 0)
    assert len(found) + len(texts) == 2


async def test_files_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*absent\.csv"):
        await node("file.csv_source", tmp_path, {"path": "absent.csv"}).connect()
    (tmp_path / "a.csv").write_text("time,A\n1,1\n")
    source = node("file.csv_source", tmp_path, {"path": "a.csv"})
    await source.connect()
    with pytest.raises(ConfigError, match="no column 'ts'"):
        await source.read()


async def test_an_empty_recording_does_not_spin(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,A\n")
    config = {"path": "a.csv", "shift_to_now": True, "repeat": True}
    source = node("file.csv_source", tmp_path, config)
    await source.connect()
    with pytest.raises(EOFError):
        await source.read()


def test_a_recording_is_replayed_with_its_own_timing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ts,A\n100,1\n100,2\n103,3\n113,4\n")
    loop = SimLoop()
    clock = SimClock(loop, None)

    async def go() -> list[tuple[float, float, float]]:
        config = {"path": "a.csv", "pace": "original", "shift_to_now": True, "repeat": True}
        source = node("file.csv_source", tmp_path, config)
        source.ctx.clock = clock
        await source.connect()
        found = []
        start = clock.now()
        while len(found) < 6:
            reading = await source.read()
            found += [(loop.time(), v, ts - start / S) for _, ts, v, _ in rows(source, reading)]
        return found

    found = loop.run_until_complete(go())
    loop.close()
    assert [(t, v) for t, v, _ in found] == [(0, 1), (0, 2), (3, 3), (13, 4), (13, 1), (13, 2)]
    assert [round(ts) for _, _, ts in found] == [0, 0, 3, 13, 13, 13]


# ------------------------------------------------------------------ jsonl


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def written(sink: Any, *messages: Any) -> None:
    await sink.connect()
    for message in messages:
        await sink.write(message, "in")
    await sink.close()


def batch(sink: Any, *values: float) -> Batch:
    code = sink.ctx.tags.code("A")
    return Batch.of([(code, i, value, 0) for i, value in enumerate(values)])


async def test_one_object_a_line_and_no_nan(tmp_path: Path) -> None:
    sink = node("file.jsonl_sink", tmp_path, {"path": "deep/folder/out.jsonl"})
    await written(sink, batch(sink, 1.5, float("nan"), float("inf")), (Event(1, "t", {"x": 1}),))
    found = lines(tmp_path / "deep/folder/out.jsonl")
    assert [row.get("value") for row in found[:3]] == [1.5, None, None]
    assert [row.get("quality") for row in found[:3]] == ["Good", "Bad", "Bad"]
    assert found[3] == {"ts": 1, "topic": "t", "data": {"x": 1}, "id": ""}


async def test_half_a_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"value": 1}\n{"val')
    sink = node("file.jsonl_sink", tmp_path, {"path": "out.jsonl"})
    await written(sink, batch(sink, 2.0))
    whole = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert [json.loads(line)["value"] for line in whole] == [1, 2.0]


@pytest.mark.parametrize("files_max", [1, 2, 4])
async def test_files_turn_and_the_oldest_goes(tmp_path: Path, files_max: int) -> None:
    config = {"path": "out.jsonl", "file_bytes_max": 200, "files_max": files_max, "sync": False}
    sink = node("file.jsonl_sink", tmp_path, config)
    await written(sink, *(batch(sink, float(i)) for i in range(30)))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["out.jsonl", *(f"out.jsonl.{i}" for i in range(1, files_max))]
    order = [*(f"out.jsonl.{i}" for i in range(files_max - 1, 0, -1)), "out.jsonl"]
    values = [row["value"] for name in order for row in lines(tmp_path / name)]
    assert values == [float(i) for i in range(30 - len(values), 30)]


async def test_a_folder_that_cannot_be_made_is_disconnected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sink = node("file.jsonl_sink", tmp_path, {"path": "file/out.jsonl"})
    with pytest.raises(Disconnected, match="cannot be written"):
        await sink.connect()


async def test_a_full_disk_is_disconnected(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("There is no /dev/full here.")
    sink = node("file.jsonl_sink", tmp_path, {"path": "/dev/full"})
    with pytest.raises(Disconnected, match="No space left"):
        await sink.connect()
        await sink.write(batch(sink, 1.0), "in")
    with contextlib.suppress(OSError):  # What could not be written cannot be written now.
        await sink.close()
