"""Releases: a signature that holds, and a way back that does not depend on the new one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli import update
from gateway.cli.main import main
from gateway.cli.units import FOLDER
from gateway.engine.handover import Handover
from gateway.engine.release import new_key, sign, verified
from gateway.errors import ConfigError, Rejected

HEAD = b"#!/bin/sh\n# Genba 9.9.9 for x86_64, in one file\nname=9.9.9-0123abcd\n"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "genba-9.9.9-x86_64"
    path.write_bytes(HEAD + bytes(range(256)) * 40)
    return path


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return new_key(tmp_path / "maker.key")


def test_a_signed_release_is_known(release: Path, public: Path, tmp_path: Path) -> None:
    sign(release, tmp_path / "maker.key")
    found = verified(release, [public])
    assert (found.name, found.key) == ("9.9.9-0123abcd", "maker")
    size = release.stat().st_size
    sign(release, tmp_path / "maker.key")
    assert release.stat().st_size == size, "one signature, not two"
    assert (tmp_path / "maker.key").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="already"):
        new_key(tmp_path / "maker.key")


def test_nobody_else_is_trusted(release: Path, public: Path, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="not signed"):
        verified(release, [public])
    new_key(tmp_path / "other.key")
    sign(release, tmp_path / "other.key")
    with pytest.raises(Rejected, match="does not trust"):
        verified(release, [public])
    with pytest.raises(Rejected, match="does not trust"):
        verified(release, [])
    release.write_bytes(b"something else")
    with pytest.raises(Rejected, match="no release"):
        verified(release, [public])
    with pytest.raises(ConfigError, match="cannot be read"):
        verified(tmp_path / "absent", [public])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_bit_that_differs_is_found(
    release: Path, public: Path, tmp_path: Path, where: float, bit: int
) -> None:
    sign(release, tmp_path / "maker.key")
    data = bytearray(release.read_bytes())
    data[int(where * len(data))] ^= 1 << bit
    altered = tmp_path / "altered"
    altered.write_bytes(data)
    with pytest.raises(Rejected):
        verified(altered, [public])


def test_a_cut_or_longer_file_is_found(release: Path, public: Path, tmp_path: Path) -> None:
    sign(release, tmp_path / "maker.key")
    data = release.read_bytes()
    for wrong in (data[:-1], data[: len(data) // 2], data + b"\n", data + data[-130:]):
        release.write_bytes(wrong)
        with pytest.raises(Rejected):
            verified(release, [public])


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = tmp_path / "opt"
    for name in ("1.0-aaaaaaaa", "1.1-bbbbbbbb"):
        (base / "releases" / name).mkdir(parents=True)
        (base / "releases" / name / ".complete").touch()
    monkeypatch.setattr(update, "BASE", base)
    return base


def _guard(base: Path) -> str:
    words = ["sh", str(FOLDER / "guard.sh")]
    environment = {**os.environ, "GENBA_HOME": str(base)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stderr


def test_the_guard_goes_back_at_the_fourth_start(base: Path) -> None:
    update.point("current", "1.0-aaaaaaaa")
    assert _guard(base) == ""
    update.switch("1.1-bbbbbbbb")
    assert update.target_of("current") == "1.1-bbbbbbbb"
    for _ in range(3):
        assert _guard(base) == ""
        assert update.target_of("current") == "1.1-bbbbbbbb"
    assert "1.0-aaaaaaaa runs again" in _guard(base)
    assert update.target_of("current") == "1.0-aaaaaaaa"
    assert not (base / "pending").exists()
    assert _guard(base) == ""


def test_a_confirmed_release_stays(base: Path) -> None:
    update.point("current", "1.0-aaaaaaaa")
    update.switch("1.1-bbbbbbbb")
    (base / "pending").unlink()
    for _ in range(5):
        assert _guard(base) == ""
    assert update.target_of("current") == "1.1-bbbbbbbb"


def test_the_guard_survives_what_a_power_cut_leaves(base: Path) -> None:
    update.point("current", "1.0-aaaaaaaa")
    update.switch("1.1-bbbbbbbb")
    (base / "pending").write_text("\0\0")
    for _ in range(4):
        _guard(base)
    assert update.target_of("current") == "1.0-aaaaaaaa"


def test_old_releases_go_but_never_one_that_is_named(base: Path) -> None:
    update.point("current", "1.0-aaaaaaaa")
    update.switch("1.1-bbbbbbbb")
    for number in range(4):
        path = base / "releases" / f"2.{number}-cccccccc"
        path.mkdir()
        os.utime(path, (2e9 + number, 2e9 + number))
    (base / "releases" / ".new.x").mkdir()
    update.tidy()
    left = {path.name for path in (base / "releases").iterdir()}
    newest = {f"2.{number}-cccccccc" for number in (1, 2, 3)}
    assert left == newest | {"1.0-aaaaaaaa", "1.1-bbbbbbbb", ".new.x"}


SCRIPT = HEAD + (
    b'mkdir -p "$GENBA_HOME/releases/$name" && touch "$GENBA_HOME/releases/$name/.complete"\nexit\n'
)


@pytest.fixture
def asked(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handover:
    """An appliance whose administrator has asked for a signed release in the browser."""
    keys = tmp_path / "keys"
    keys.mkdir()
    shutil.copy(new_key(tmp_path / "maker.key"), keys)
    monkeypatch.setattr(update, "KEYS", keys)
    monkeypatch.setattr(update, "must_be_root", lambda: None)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    update.point("current", "1.0-aaaaaaaa")
    (tmp_path / "unit").touch()
    handover = Handover(tmp_path / "state", base, keys, tmp_path / "unit", tmp_path / "state")
    handover.folder.mkdir(parents=True)
    handover.uploaded.write_bytes(SCRIPT)
    sign(handover.uploaded, tmp_path / "maker.key")
    assert handover.check().name == "9.9.9-0123abcd"
    handover.want("install", "9.9.9-0123abcd", "user:anna", 5)
    return handover


def test_what_was_asked_for_goes_the_same_way(
    asked: Handover, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed, said, and gone back from; the file is gone from both places."""
    monkeypatch.setattr(update, "_start_and_watch", lambda ready_s, watch_s: "")
    assert main(["update", "take"]) == 0
    assert update.target_of("current") == "9.9.9-0123abcd"
    last = asked.last() or {}
    assert (last["state"], last["text"]) == ("done", "9.9.9-0123abcd runs.")
    assert (last["actor"], last["before"], last["at"]) == ("user:anna", "1.0-aaaaaaaa", 5)
    assert not (base / "incoming").exists()
    assert list(asked.folder.iterdir()) == []
    assert (base / "update.json").stat().st_mode & 0o777 == 0o644
    assert main(["update", "take"]) == 0, "nothing is wanted"
    assert asked.row()["previous"] == "1.0-aaaaaaaa"
    asked.want("rollback", "1.0-aaaaaaaa", "user:anna", 6)
    assert main(["update", "take"]) == 0
    assert update.target_of("current") == "1.0-aaaaaaaa"


def test_one_that_does_not_run_is_gone_back_from(
    asked: Handover, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["It ended after its start.", ""])
    monkeypatch.setattr(update, "_start_and_watch", lambda ready_s, watch_s: next(answers))
    update.point("previous", "0.9-cccccccc")
    assert main(["update", "take"]) == 1
    assert update.target_of("previous") == "0.9-cccccccc", "it is still the one to go back to"
    assert update.target_of("current") == "1.0-aaaaaaaa"
    last = asked.last() or {}
    assert last["state"] == "failed"
    assert last["text"].endswith("1.0-aaaaaaaa runs again.")


def test_root_checks_the_signature_again(asked: Handover, base: Path) -> None:
    """The engine, or who has taken it, exchanged the file after it was checked."""
    asked.uploaded.write_bytes(SCRIPT.replace(b"touch", b"rm -f"))
    assert main(["update", "take"]) == 1
    assert "This file is not signed" in (asked.last() or {})["text"]
    assert not (base / "releases" / "9.9.9-0123abcd").exists()
    assert update.target_of("current") == "1.0-aaaaaaaa"


def test_a_release_that_does_not_fit_is_not_unpacked(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "opt"
    (base / "releases/0.0.1-01234567").mkdir(parents=True)
    monkeypatch.setattr(update, "BASE", base)
    free = release.stat().st_size * 4 + 50_000_000
    room = {"free": free}
    monkeypatch.setattr(update.shutil, "disk_usage", lambda path: type("Usage", (), room))
    update.must_fit(release, "9.9.9-0123abcd")
    room["free"] = free - 1
    with pytest.raises(ConfigError, match="MB are free") as found:
        update.must_fit(release, "9.9.9-0123abcd")
    assert "rm -r" in str(found.value)
    assert "0.0.1-01234567" in str(found.value)
    done = base / "releases/9.9.9-0123abcd"
    done.mkdir()
    (done / ".complete").touch()
    update.must_fit(release, "9.9.9-0123abcd")
