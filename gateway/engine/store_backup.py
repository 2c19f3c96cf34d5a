"""A copy of the state file while the gateway writes it, and whether a copy is sound.

Source: sqlite.org/backup.html. All pages are copied in one step, so the copy is of one moment;
a writer goes on meanwhile, into its log.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.engine.store_entry import Revision
from gateway.engine.store_schema import MIGRATIONS, SCHEMA_VERSION, can_go_on
from gateway.errors import ConfigError, Disconnected


def copy(source: Path, target: Path) -> None:
    """Copy a state file as it is at one moment.

    Raises:
        Disconnected: It cannot be read, or the copy cannot be written.
    """
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise Disconnected(f"The state file cannot be copied: {error}.") from error


def check(path: Path) -> int:
    """The version of a state file that is sound and that this program can take.

    Raises:
        ConfigError: It is damaged, or of a newer program.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            (sound,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            is_known = version in MIGRATIONS or can_go_on(db, version)
    except sqlite3.Error as error:
        raise ConfigError(f"The state file in it cannot be read: {error}.") from error
    if sound != "ok":
        raise ConfigError(f"The state file in it is damaged: {sound}.")
    if not is_known:
        raise ConfigError(
            f"It is of a newer Genba (state {version}; this one knows {SCHEMA_VERSION}).",
            hint="Install that version first.",
        )
    return int(version)


def contents(path: Path) -> tuple[dict[str, Revision], list[str]]:
    """The newest revision of each flow, its text still sealed, and the names of all accounts.

    Args:
        path: A state file that was checked; an older one may have no accounts yet.
    """
    columns = "flow, number, ts, author, note, text, variables"
    newest = f"SELECT {columns}, max(number) FROM revision GROUP BY flow ORDER BY flow"  # noqa: S608
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        rows = db.execute(newest).fetchall() if "revision" in tables else []
        users = db.execute("SELECT name FROM account ORDER BY name") if "account" in tables else ()
        return {row[0]: Revision(*row[1:7]) for row in rows}, [name for (name,) in users]


__all__ = ["check", "contents", "copy"]
