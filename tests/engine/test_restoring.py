"""Restoring at a start: all of it or nothing, wherever it is cut; and what is handed to root."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.engine import backup, handover, restoring, uploads
from gateway.engine.handover import Handover
from gateway.engine.release import new_key, sign
from gateway.engine.store_schema import create
from gateway.errors import ConfigError, Disconnected, Rejected
from tests.cli.test_release import HEAD

WORDS = "seven green lamps"
NOW = 1_764_000_000 * 10**9
NAME = "9.9.9-0123abcd"


def state(folder: Path, mark: str) -> Path:
    """A state with a word in it by which it is known."""
    folder.mkdir()
    db = sqlite3.connect(folder / backup.STATE, isolation_level=None)
    create(db)
    db.execute("INSERT INTO meta VALUES ('mark', ?)", (mark,))
    db.execute("INSERT INTO account VALUES ('anna', 'x')")
    db.close()
    (folder / "dashboards").mkdir()
    (folder / "dashboards" / f"{mark}.dashboard.yaml").write_text("name: a\n")
    return folder


def mark_of(folder: Path) -> str:
    db = sqlite3.connect(folder / backup.STATE)
    (found,) = db.execute("SELECT value FROM meta WHERE key='mark'").fetchone()
    db.close()
    return str(found)


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """A state in whose place a backup of another one comes at the next start."""
    old, new = state(tmp_path / "old", "old"), state(tmp_path / "new", "new")
    (new / "history").mkdir()
    (new / "secrets").mkdir()
    (new / "secrets" / "s").write_text("of the new one")
    (new / restoring.FOLDER).mkdir()
    sealed = b"".join(backup.make(old, WORDS, NOW, "0.1.0"))
    (new / restoring.FOLDER / restoring.UPLOADED).write_bytes(sealed)
    about = restoring.unpacked(new, WORDS)
    assert about == {"made": NOW, "version": "0.1.0", "flows": [], "users": ["anna"]}
    restoring.plan(new, NOW, "user:anna", about)
    return new


def is_old(folder: Path) -> None:
    """The backup is there, and only it; what was before is aside."""
    assert mark_of(folder) == "old"
    assert [path.name for path in (folder / "dashboards").iterdir()] == ["old.dashboard.yaml"]
    assert not (folder / "secrets").exists()
    (aside,) = folder.glob("before-*")
    assert mark_of(aside) == "new"
    assert (aside / "secrets" / "s").exists()
    assert (aside / "history").exists()
    assert [path.name for path in (folder / restoring.FOLDER).iterdir()] == ["done.json"]


def test_a_backup_takes_the_place(planned: Path) -> None:
    assert restoring.is_planned(planned)
    done = restoring.put_in_place(planned)
    assert done is not None
    assert done["actor"] == "user:anna"
    is_old(planned)
    assert restoring.put_in_place(planned) is None
    assert restoring.last(planned) is not None
    restoring.told(planned)
    assert (restoring.last(planned) or {})["told"] is True


def test_a_cut_anywhere_is_gone_on_with(planned: Path, tmp_path: Path) -> None:
    """The power goes at each of the renames in turn; the next start does the rest."""
    real = Path.rename
    for number in range(40):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(planned, copy)
        left = number

        def rename(path: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return real(path, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            try:
                restoring.put_in_place(copy)
            except KeyboardInterrupt:
                pass
            else:
                assert number > 5
                return
        restoring.put_in_place(copy)
        is_old(copy)
    raise AssertionError("It never came to its end.")


def test_a_wrong_passphrase_leaves_nothing(planned: Path) -> None:
    (planned / restoring.FOLDER / "plan.json").unlink()
    with pytest.raises(ConfigError, match="passphrase"):
        restoring.unpacked(planned, "another one altogether")
    assert [p.name for p in (planned / restoring.FOLDER).iterdir()] == [restoring.UPLOADED]
    with pytest.raises(ConfigError, match="no checked backup"):
        restoring.plan(planned, NOW, "user:anna", {})
    restoring.forget(planned)
    assert mark_of(planned) == "new"


def test_two_older_states_are_kept(planned: Path) -> None:
    for number in range(3):
        (planned / f"before-{number}").mkdir()
    restoring.put_in_place(planned)
    assert sorted(p.name for p in planned.glob("before-*")) == ["before-1764000000", "before-2"]


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


async def test_an_upload_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "file"
    piece = bytes(range(256)) * 8192
    await uploads.take(parts(piece, piece, b"x"), 2 * len(piece) + 1, path, 1 << 30)
    assert path.read_bytes() == piece + piece + b"x"
    assert path.stat().st_mode & 0o077 == 0
    for data, length in (((b"abc",), 4), ((b"abc", b"de"), 4)):
        with pytest.raises(ConfigError):
            await uploads.take(parts(*data), length, tmp_path / "in" / "other", 1 << 30)
    with pytest.raises(ConfigError, match="at most"):
        await uploads.take(parts(b"abc"), 3, tmp_path / "in" / "other", 2)
    monkeypatch.setattr(uploads, "ROOM_BYTES", 1 << 60)
    with pytest.raises(Disconnected, match="free"):
        await uploads.take(parts(b"abc"), 3, tmp_path / "in" / "other", 1 << 30)
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["file"]


@pytest.fixture
def appliance(tmp_path: Path) -> Handover:
    """As on an appliance, with the folders elsewhere."""
    base, keys = tmp_path / "opt", tmp_path / "keys"
    (base / "releases" / "1.0-aaaaaaaa").mkdir(parents=True)
    (base / "current").symlink_to("releases/1.0-aaaaaaaa")
    keys.mkdir()
    (tmp_path / "unit").touch()
    (tmp_path / "state").mkdir()
    made = Handover(tmp_path / "state", base, keys, tmp_path / "unit", tmp_path / "state")
    assert "trusts nobody" in made.why_not()
    shutil.copy(new_key(tmp_path / "maker.key"), keys)
    made.folder.mkdir()
    made.uploaded.write_bytes(HEAD + bytes(5000))
    return made


def test_a_release_is_handed_over(appliance: Handover, tmp_path: Path) -> None:
    assert appliance.why_not() == ""
    sign(appliance.uploaded, tmp_path / "maker.key")
    assert appliance.check().name == NAME
    data = appliance.uploaded.read_bytes()
    assert appliance.row()["uploaded"] == {"name": NAME, "key": "maker", "bytes": len(data)}
    with pytest.raises(ConfigError, match="no release"):
        appliance.want("install", "1.1-bbbbbbbb", "user:anna", NOW)
    with pytest.raises(ConfigError, match="no release"):
        appliance.want("rollback", NAME, "user:anna", NOW)
    appliance.want("install", NAME, "user:anna", NOW)
    with pytest.raises(ConfigError, match="in progress"):
        appliance.want("install", NAME, "user:anna", NOW)
    wanted = handover.taken(tmp_path / "state", tmp_path / "incoming")
    assert wanted == {"action": "install", "name": NAME, "actor": "user:anna", "at": NOW}
    assert (tmp_path / "incoming").read_bytes() == data
    assert list(appliance.folder.iterdir()) == []
    assert handover.taken(tmp_path / "state", tmp_path / "incoming") is None
    handover.write_result(tmp_path / "opt", {**wanted, "state": "done", "text": "It runs."})
    assert appliance.last() == {**wanted, "state": "done", "text": "It runs."}
    assert not appliance.is_told(NOW)
    appliance.tell(NOW)
    assert appliance.is_told(NOW)


def test_what_is_not_signed_is_removed(appliance: Handover, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"^This file is not signed"):
        appliance.check()
    assert not appliance.uploaded.exists()
    assert appliance.row()["uploaded"] is None
    with pytest.raises(ConfigError):
        appliance.want("install", NAME, "user:anna", NOW)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"action":"install"}',
        b'{"action":"rm","name":"1-a","actor":"a","at":1}',
        b'{"action":"install","name":"../x","actor":"a","at":1}',
        b"\xff" * 9000,
    ],
)
def test_root_believes_nothing(appliance: Handover, tmp_path: Path, text: bytes) -> None:
    (appliance.folder / handover.WANTED).write_bytes(text)
    with pytest.raises(ConfigError, match="cannot be understood"):
        handover.taken(tmp_path / "state", tmp_path / "incoming")
    assert not (appliance.folder / handover.WANTED).exists(), "or the unit would look for ever"
    assert not (tmp_path / "incoming").exists()


def test_root_follows_no_link(appliance: Handover, tmp_path: Path) -> None:
    sign(appliance.uploaded, tmp_path / "maker.key")
    appliance.check()
    appliance.want("install", NAME, "user:anna", NOW)
    appliance.uploaded.unlink()
    appliance.uploaded.symlink_to("/etc/shadow")
    with pytest.raises(OSError, match="symbolic"):
        handover.taken(tmp_path / "state", tmp_path / "incoming")
    assert not (tmp_path / "incoming").exists()
    appliance.uploaded.unlink()
    os.mkfifo(appliance.uploaded)
    appliance.want("install", NAME, "user:anna", NOW)
    with pytest.raises(ConfigError, match="no plain file"):
        handover.taken(tmp_path / "state", tmp_path / "incoming")


def test_a_file_that_grows_too_large(appliance: Handover, tmp_path: Path) -> None:
    sign(appliance.uploaded, tmp_path / "maker.key")
    appliance.check()
    appliance.want("install", NAME, "user:anna", NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handover, "RELEASE_BYTES_MAX", 100)
        with pytest.raises(ConfigError, match="at most"):
            handover.taken(tmp_path / "state", tmp_path / "incoming")
