"""Reading the state file beside the gateway that writes it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.engine import store_read
from gateway.engine.codec import unpack_inputs
from gateway.engine.store import Entry, Store
from gateway.engine.store_read import StateReader
from gateway.errors import ConfigError, Disconnected
from gateway.flow.document import Document
from tests.engine.recording import FLOW, T0, Lived, S, add_revision, day, live, store

HALL = Document.parse(FLOW)


@pytest.fixture(scope="module")
def lived() -> Lived:
    return live(HALL, day(300))


@pytest.fixture(scope="module")
def folder(lived: Lived, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(lived, tmp_path_factory.mktemp("state"), first=41)


def test_it_reads_what_was_recorded(
    folder: Path, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_read, "RECORDS", 7)
    with StateReader(folder / "genba.db") as reader:
        (journal,) = reader.journals()
        assert (journal.flow, journal.first, journal.last) == ("hall", 41, len(lived.records))
        assert (journal.from_ts, journal.to_ts) == (lived.stamps[40][0], lived.stamps[-1][0])
        assert list(reader.records("hall", 1)) == lived.records[40:]
        assert list(reader.records("hall", 100)) == lived.records[99:]
        assert list(reader.records("other", 1)) == []
        assert reader.journal("other") is None
        assert reader.tags(100).names() == lived.tags.names()
        assert reader.tags(100).limit == 100
        part = reader.alarms("hall", T0 + 50 * S, T0 + 200 * S)
        keys = [(e.alarm, e.change, e.ts) for e in part]
        wanted = [(e.alarm, e.change, e.ts) for e in lived.alarms]
        assert keys == [key for key in wanted if T0 + 50 * S <= key[2] < T0 + 200 * S]
        assert reader.alarms_from() == 0
        assert reader.revisions("hall") == []
        assert reader.checkpoint("hall", 2**62) is None


def test_the_first_record_at_a_time_is_found_also_across_holes(
    lived: Lived, tmp_path: Path
) -> None:
    store(lived, tmp_path, first=10)
    db = sqlite3.connect(tmp_path / "genba.db")
    db.execute("DELETE FROM journal WHERE seq BETWEEN 60 AND 130 OR seq % 3 = 0")
    db.commit()
    left = db.execute("SELECT seq, ts FROM journal ORDER BY seq").fetchall()
    db.close()
    with StateReader(tmp_path / "genba.db") as reader:
        times = [ts + step for _, ts in left[::5] for step in (-1, 0, 1)]
        for at in [0, *times, left[-1][1]]:
            wanted = next((seq for seq, ts in left if ts >= at), None)
            first = reader.first_at("hall", at)
            found = None if first is None else next(reader.records("hall", first))[0]
            assert found == wanted
        assert reader.first_at("hall", left[-1][1] + 1) is None
        assert reader.first_at("other", 0) is None


async def test_it_reads_while_the_gateway_writes_and_does_not_hold_it_up(
    lived: Lived, tmp_path: Path
) -> None:
    file = Store(tmp_path / "genba.db")
    await file.open()
    records = [Entry("hall", seq, T0 + seq, 1, block) for seq, block in lived.records]
    await asyncio.gather(*(file.commit(entry) for entry in records[:100]))
    with StateReader(file.path) as reader:
        seen = reader.records("hall", 1)
        assert [next(seen)[0] for _ in range(50)] == list(range(1, 51))
        await asyncio.gather(*(file.commit(entry) for entry in records[100:200]))
        # A reader in the middle of the journal keeps nobody from folding the log.
        other = sqlite3.connect(file.path)
        (busy, log, folded) = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        other.close()
        assert (busy, log) == (0, folded)
        assert [seq for seq, _ in seen] == list(range(51, 201))
        for _, block in reader.records("hall", 190):
            assert unpack_inputs(block)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._db.execute("DELETE FROM journal")
    await file.close()


def test_revisions_are_read_with_and_without_variables(lived: Lived, tmp_path: Path) -> None:
    store(lived, tmp_path)
    add_revision(tmp_path, 1, T0, FLOW)
    add_revision(tmp_path, 2, T0 + 9, FLOW.replace("60", "61"))
    with StateReader(tmp_path / "genba.db") as reader:
        found = reader.revisions("hall")
        assert [(r.number, r.ts, r.variables) for r in found] == [(1, T0, {}), (2, T0 + 9, {})]
        assert found[1].text == FLOW.replace("60", "61")
        assert reader.revisions("other") == []


def test_what_is_no_state_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no state file .*--state"):
        StateReader(tmp_path / "genba.db")
    (tmp_path / "genba.db").write_bytes(b"this is no database, it is a letter\n" * 100)
    with pytest.raises(Disconnected, match="cannot be read"):
        StateReader(tmp_path / "genba.db")
    sqlite3.connect(tmp_path / "empty.db").close()
    with StateReader(tmp_path / "empty.db") as reader, pytest.raises(Disconnected, match="journal"):
        reader.journals()
