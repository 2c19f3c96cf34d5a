"""``genba replay``: what a factory engineer types, and what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import replay
from gateway.cli.main import main
from gateway.cli.moment import moment, show
from gateway.data.event import Event
from gateway.engine.replay import DEPLOYED
from gateway.errors import ConfigError
from gateway.flow.document import Document
from tests.engine.recording import FLOW, T0, Lived, S, add_revision, day, live, store

START = datetime.fromtimestamp(T0 // S, UTC)
SPAN = (
    "--from",
    f"{START + timedelta(seconds=100):%Y-%m-%dT%H:%M:%SZ}",
    "--to",
    f"{START + timedelta(seconds=400):%Y-%m-%dT%H:%M:%SZ}",
)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A factory nine hours ahead of UTC, with no summer time; and its clock stands later."""
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()

    class Later:
        def now(self) -> int:
            return T0 + 4000 * S

        def monotonic(self) -> float:
            return 0.0

    monkeypatch.setattr(replay, "SystemClock", Later)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def lived() -> Lived:
    return live(Document.parse(FLOW), day(500))


@pytest.fixture(scope="module")
def state(lived: Lived, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = store(lived, tmp_path_factory.mktemp("state"))
    add_revision(folder, 1, T0 - S, FLOW)
    return folder


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "hall.flow.yaml"
    path.write_text(FLOW, "utf-8")
    return path


def edited(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = FLOW
    for old, new in changes:
        text = text.replace(old, new)
    path = tmp_path / "edited.flow.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def replayed(
    capsys: pytest.CaptureFixture[str], state: Path, *words: str, code: int
) -> dict[str, Any]:
    assert main(["replay", *words, "--state", str(state), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


# ---------------------------------------------------------------- against what was live


def test_what_ran_replays_alike(
    state: Path, flow: Path, lived: Lived, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--from", f"-{4000 - 100}s", "--to", "+300s"]
    assert main(["replay", str(flow), *span, "--state", str(state)]) == 0
    text = capsys.readouterr().out
    here = [e for e in lived.alarms if T0 + 100 * S <= e.ts < T0 + 400 * S]
    assert f"Alarm events: {len(here)} live, {len(here)} replay: {len(here)} same." in text
    assert "against what was recorded live" in text
    assert "log.in" in text
    assert text.splitlines()[-1].startswith("No difference. (hash ")
    found = replayed(capsys, state, "hall", *span, code=0)
    assert (found["started"], found["first"], found["warnings"]) == ("beginning", 1, [])
    assert found["alarms"]["same"] == len(here) > 0


def test_two_processes_find_the_same_hash(state: Path, flow: Path, root: Path) -> None:
    said = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "replay", str(flow), *SPAN, "--json"],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": str(root),
                "STATE_DIRECTORY": str(state),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout)
        del found["seconds"]
        said.add(json.dumps(found))
    assert len(said) == 1
    assert found["ends"][0]["rows"][0] > 0


def test_a_difference_to_what_was_live_ends_with_1(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited(tmp_path, ("hi: 60", "hi: 61"))
    assert main(["replay", other, *SPAN, "--state", str(state)]) == 1
    text = capsys.readouterr().out
    assert " moved  " in text
    assert "s later: hall/" in text
    assert "differences. (hash" in text


def test_a_replay_in_the_middle_starts_fresh_and_says_so(
    lived: Lived, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store(lived, tmp_path / "state", first=80)
    add_revision(folder, 1, T0, FLOW)
    words = ["hall", "--from", show(T0 + 250 * S), "--to", show(T0 + 400 * S)]
    found = replayed(capsys, folder, *words, "--warm-up", "100s", code=0)
    assert found["started"] == "fresh"
    assert found["warm_up_s"] == 100
    assert found["first"] > 80
    early = replayed(capsys, folder, "hall", "--from", show(T0), "--to", words[-1], code=1)
    assert ["Records begin at" in text for text in early["warnings"]] == [True]


def test_a_change_of_the_flow_in_between_is_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lives of one flow: the second revision raises its alarms at another limit."""
    steps = day(400)
    at = next(i for i, (_, now) in enumerate(steps) if now > T0 + 120 * S)
    now = steps[at][1]
    marker = (*DEPLOYED, (Event(now, "engine/deployed", {"revision": 2}),))
    second = FLOW.replace("size_s: 10", "size_s: 20")
    with_marker = [*steps[:at], ([marker, *steps[at][0]], now), *steps[at + 1 :]]
    lived = live(Document.parse(FLOW), with_marker)
    folder = store(lived, tmp_path / "state")
    add_revision(folder, 1, T0 - S, FLOW)
    add_revision(folder, 2, now, second)
    followed = replayed(capsys, folder, "hall", *SPAN, code=0)
    (tmp_path / "first.yaml").write_text(FLOW, "utf-8")
    stayed = replayed(capsys, folder, str(tmp_path / "first.yaml"), *SPAN, code=0)
    rows = [next(e for e in f["ends"] if e["end"] == "log.in")["rows"] for f in (followed, stayed)]
    assert rows[0] < rows[1]
    (tmp_path / "second.yaml").write_text(second, "utf-8")
    other = replayed(
        capsys, folder, "hall", *SPAN, "--against", str(tmp_path / "second.yaml"), code=1
    )
    (log,) = (e for e in other["ends"] if e["end"] == "log.in")
    assert log["same"] > log["only_left"] > 0, "from the change on they are the same"


# ---------------------------------------------------------------- against an edited flow


def test_an_edit_is_shown_where_it_matters(
    state: Path, flow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SPAN, "--state", str(state), "--watch", "clean", "--examples", "2"]
    same = ["replay", str(flow), *words, "--against", str(flow)]
    assert main(same) == 0
    assert "No difference." in capsys.readouterr().out
    other = edited(tmp_path, ("hi: 60", "hi: 61.5"), ("band: 0.2", "band: 2"))
    assert main(["replay", str(flow), *words, "--against", other]) == 1
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert any(line.startswith("Alarm events: ") and " moved" in line for line in lines)
    heads = next(line for line in lines if line.startswith("Values"))
    assert heads.split()[1:5] == ["recorded", "edited", "same", "changed"]
    for end in ("book.alarms", "clean.out", "log.in"):
        assert any(line.split()[:1] == [end] for line in lines)
    assert "largest change: " in text
    assert " -> " in text


def test_a_second_process_finds_the_same(
    state: Path,
    flow: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = edited(tmp_path, ("hi: 60", "hi: 61.5"), ("band: 0.2", "band: 2"))
    words = [str(flow), *SPAN, "--watch", "high.alarms", "--watch", "window", "--against", other]
    alone = replayed(capsys, state, *words, code=1)
    monkeypatch.setattr(replay, "BESIDE_RECORDS", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    beside = replayed(capsys, state, *words, code=1)
    assert beside == alone
    assert alone["differences"] > 10
    assert {e["end"] for e in alone["ends"]} >= {"high.alarms", "window.out"}


def test_a_second_process_that_cannot_is_told(
    state: Path,
    flow: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gateway.engine import replay_beside

    monkeypatch.setattr(replay, "BESIDE_RECORDS", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    as_dict = replay_beside.asdict
    monkeypatch.setattr(replay_beside, "asdict", lambda task: {**as_dict(task), "state": "/gone"})
    words = ["replay", str(flow), *SPAN, "--state", str(state), "--against", str(flow)]
    assert main(words) == 2
    assert "There is no state file /gone" in capsys.readouterr().err


def test_a_source_without_input_is_told_loudly(
    state: Path, flow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited(tmp_path, ("source", "sensor"))
    words = ["replay", str(flow), *SPAN, "--state", str(state), "--against", other]
    assert main(words) == 1
    text = capsys.readouterr().out
    assert "WARNING: The edited flow has a source 'sensor' of which NO input is recorded" in text
    assert "WARNING: The input that 'source' brought was not used" in text


def test_an_edited_flow_may_have_another_name_and_may_fail(
    state: Path, flow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited(tmp_path, ("flow: hall", "flow: hall_new"))
    words = [str(flow), *SPAN, "--against", other]
    assert replayed(capsys, state, *words, code=0)["alarms"]["added"] == 0
    other = edited(
        tmp_path,
        ("  log:", "  bad: {type: test.fault, above: 60}\n  log:"),
        ("- source -> high", "- source -> high\n  - source -> bad"),
    )
    found = replayed(capsys, state, str(flow), *SPAN, "--against", other, code=1)
    assert found["faults"] == [{}, {"bad": 3}]
    assert found["differences"] == 1
    assert "The edited flow: node 'bad' failed 3 times." in found["warnings"]


def test_writes_that_would_have_been_sent_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tags = "{hall/a: {address: 'holding:20', min: 0, max: 80}}"
    valve = f"  valve: {{type: modbus.sink, connection: line, tags: {tags}}}\n"
    text = FLOW.replace("version: 1\n", "version: 1\nallow_write: true\n")
    line = "connections:\n  line: {type: modbus.connection, address: tcp://10.0.0.5:502}\n"
    text = text.replace("nodes:\n", f"{line}nodes:\n")
    text = text.replace("  log:", valve + "  log:").replace(
        "  - source -> silent", "  - source -> silent\n  - clean -> valve"
    )
    path = tmp_path / "valve.flow.yaml"
    path.write_text(text, "utf-8")
    folder = store(live(Document.parse(text), day(200)), tmp_path / "state")
    words = [str(path), "--from", show(T0 + 50 * S), "--to", show(T0 + 100 * S)]
    assert main(["replay", *words, "--state", str(folder), "--examples", "3"]) == 0
    said = capsys.readouterr().out
    assert "Writes that would have been sent into the plant, and were not: " in said
    assert said.count("  valve.in  hall/") == 3
    other = tmp_path / "other.flow.yaml"
    other.write_text(text.replace("band: 0.2", "band: 2"), "utf-8")
    found = replayed(capsys, folder, *words, "--against", str(other), code=1)
    assert found["writes"][0]["only_left"] > 0


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["hall", "--from", "soon"], "'soon' is no time. Write -1h, 14:30"),
        (["hall", "--to", "-2h"], "is not after --from"),
        (["hall", "--from", "2022-01-01", "--to", "2022-01-02"], "There are records from"),
        (["other"], "Nothing is recorded of a flow 'other'. There are records of hall."),
        (["gone.flow.yaml"], "gone.flow.yaml"),
        (["hall", *SPAN, "--warm-up", "long"], "--warm-up: 'long' is no time"),
        (["hall", *SPAN, "--watch", "clean.nothing"], "Of clean there is: clean.out."),
        (["hall", *SPAN, "--watch", "nobody"], "Of nobody there is: none."),
        (["hall", *SPAN, "--against", "gone.yaml"], "gone.yaml"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_sentence(
    state: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", *words, "--state", str(state)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("genba: ")
    assert says in error


def test_a_flow_that_cannot_run_or_is_not_known_ends_with_2(
    state: Path, lived: Lived, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = edited(tmp_path, ("band: 0.2", "bend: 0.2"))
    words = ["replay", "hall", *SPAN, "--state", str(state), "--against", other]
    assert main(words) == 2
    assert "This flow cannot run:\n  edited.flow.yaml:5: error: clean" in capsys.readouterr().err
    bare = store(lived, tmp_path / "bare")
    assert main(["replay", "hall", *SPAN, "--state", str(bare)]) == 2
    assert "does not hold the text of the flow 'hall'. Name its file" in capsys.readouterr().err
    assert main(["replay", "hall", "--state", str(tmp_path / "nowhere")]) == 2
    assert "There is no state file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        main(["replay", "hall", "--examples", "-3"])
    assert end.value.code == 2


# ---------------------------------------------------------------- times


NOON = 1_795_662_000 * S  # 2026-11-26 12:00:00 in Japan


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("now", "2026-11-26 12:00:00"),
        ("-1h", "2026-11-26 11:00:00"),
        ("-90min", "2026-11-26 10:30:00"),
        ("-2d", "2026-11-24 12:00:00"),
        ("+10min", "2026-11-26 12:09:00"),
        ("today", "2026-11-26 00:00:00"),
        ("Yesterday", "2026-11-25 00:00:00"),
        ("yesterday 14:00", "2026-11-25 14:00:00"),
        ("yesterday 6:05:30", "2026-11-25 06:05:30"),
        ("6:05", "2026-11-26 06:05:00"),
        ("14:30", "2026-11-26 14:30:00"),
        ("2026-11-25", "2026-11-25 00:00:00"),
        ("2026-11-25 14:30", "2026-11-25 14:30:00"),
        ("2026-11-25T14:30:05", "2026-11-25 14:30:05"),
        ("2026-11-25T14:30Z", "2026-11-25 23:30:00"),
        ("2026-11-25t14:30z", "2026-11-25 23:30:00"),
        ("2026-11-25 14:30+01:00", "2026-11-25 22:30:00"),
    ],
)
def test_times_as_people_type_them(text: str, shown: str) -> None:
    assert show(moment(text, NOON, NOON - 60 * S)) == shown


@pytest.mark.parametrize(
    "text", ["", "soon", "1h", "-", "-1", "25:00", "2026-13-01", "+1h", "-9e9d"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no time\. Write -1h"):
        moment(text, NOON)


def test_a_time_is_exact_and_shown_with_as_many_places_as_asked() -> None:
    assert moment("2026-11-26T03:00:00.123456Z", 0) == NOON + 123_456_000
    assert show(NOON + 999_999_999, places=3) == "2026-11-26 12:00:00.999"
    assert show(NOON + 5_000_000, places=3) == "2026-11-26 12:00:00.005"
