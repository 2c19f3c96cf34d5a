"""Archive of the audit: what makes room in the state file goes into files beside it first.

No record is let go of silently. The oldest are written into a file, with the hashes of their
chain, before they leave the table. The folder has a limit; where it is reached records stay in the
state file, an alarm says so, and it goes on once somebody has taken the files away.

Source: IEC 62443-4-2:2019, CR 2.9 (audit storage capacity) and CR 2.10 (response to failures).
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from gateway.engine.store_audit import append, base, digest, drop_oldest
from gateway.errors import ConfigError

FOLDER: Final = "audit"
ARCHIVE_BYTES_MAX: Final = 64 << 20
"""Of all files together."""
NEAR: Final = 0.8
"""From this share of the limit on there is an alarm."""
_NAME: Final = re.compile(r"audit-(\d{1,12})-(\d{1,12})\.jsonl\.gz\Z")
_LEAST: Final = 10
"""A tenth of what is kept leaves at once, so that files are few."""


def make_room(db: sqlite3.Connection, kept: int) -> None:
    """Move the oldest records into a file, where there are more than are kept.

    Args:
        db: The state file, in a transaction.
        kept: So many stay, and up to a tenth more.
    """
    (count,) = db.execute("SELECT count(*) FROM audit").fetchone()
    if count <= kept + kept // _LEAST:
        return
    file = db.execute("PRAGMA database_list").fetchone()[2]
    if file and not _archived(db, Path(file).parent / FOLDER, kept):
        return
    drop_oldest(db, kept)


def _archived(db: sqlite3.Connection, folder: Path, kept: int) -> bool:
    """Write what is to go into a file; False where there is no room for it."""
    rows = db.execute(
        "SELECT id, ts, actor, action, detail, hash FROM audit"
        " WHERE id <= (SELECT max(id) FROM audit) - ? ORDER BY id",
        (kept,),
    ).fetchall()
    if not rows:
        return True
    lines = [json.dumps({"before": base(db)}), *(json.dumps(row) for row in rows)]
    data = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if size_of(folder) + len(data) > ARCHIVE_BYTES_MAX:
            return False
        path = folder / f"audit-{rows[0][0]}-{rows[-1][0]}.jsonl.gz"
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except OSError:
        return False  # They stay where they are.
    return True


def export_all(file: Path, folder: Path, ts: int, actor: str, detail: str) -> int:
    """Write every record of a state that nobody uses into files elsewhere, a last one added.

    Args:
        file: The state file; its lock is held.
        folder: Where to; it must be new.
        ts: When [ns].
        actor: Who: ``user:root``.
        detail: What the last record, of ``gateway/reset``, says, as JSON.

    Returns:
        How many files there are.

    Raises:
        ConfigError: They cannot be written, or a record was altered.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
        for path in files(file.parent / FOLDER):
            (folder / path.name).write_bytes(path.read_bytes())
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            append(db, ts, actor, "gateway/reset", detail)
            is_whole = _archived(db, folder, 0)
            db.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"The audit cannot be kept: {error}.", where=str(folder)) from error
    found = files(folder)
    if not is_whole or not found or (broken := list(check(found))):
        why = " ".join(broken) if found and is_whole else "It does not fit."
        raise ConfigError(f"The audit cannot be kept: {why}", where=str(folder))
    return len(found)


def files(folder: Path) -> list[Path]:
    """The files of an archive, from the oldest records on."""
    if not folder.is_dir():
        return []
    found = {int(m[1]): path for path in folder.iterdir() if (m := _NAME.match(path.name))}
    return [found[first] for first in sorted(found)]


def is_name(name: str) -> bool:
    """Whether a file of an archive is called so."""
    return _NAME.match(name) is not None


def size_of(folder: Path) -> int:
    """How much all files have together [bytes]."""
    return sum(path.stat().st_size for path in files(folder))


def near_full(folder: Path) -> str:
    """What to do about an archive that is nearly full; empty while it is not."""
    size = size_of(folder)
    if size < NEAR * ARCHIVE_BYTES_MAX:
        return ""
    return (
        f"The archive of the audit has {size / 1e6:.0f} of {ARCHIVE_BYTES_MAX / 1e6:.0f} MB "
        "(audit_archive_bytes_max). Take it away: genba audit export FOLDER --take. When it is "
        "full, records stay in the state file, which grows."
    )


def check(paths: Iterable[Path]) -> Iterator[str]:
    """A sentence for each fault of the chain through files, which are given in order."""
    head = ""
    for path in paths:
        try:
            lines = gzip.decompress(path.read_bytes()).decode().splitlines()
            before = str(json.loads(lines[0])["before"])
            rows = [json.loads(line) for line in lines[1:]]
        except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError):
            yield f"{path.name} is damaged."
            head = ""
            continue
        if head and before != head:
            yield f"Between {path.name} and the file before it records are missing."
        for number, ts, actor, action, detail, found in rows:
            if digest(before, number, ts, actor, action, detail) != found:
                yield f"Record {number} in {path.name}, or the one before it, was altered."
            before = found
        head = before


def take_away(folder: Path, name: str) -> None:
    """Remove a file that somebody has a copy of.

    Raises:
        ConfigError: There is none of this name.
    """
    path = folder / name
    if not is_name(name) or not path.is_file():
        raise ConfigError(f"The archive has no file {name!r}.")
    path.unlink()


__all__ = ["ARCHIVE_BYTES_MAX", "FOLDER", "check", "files", "make_room", "near_full", "take_away"]
