"""Reset: nothing of the old gateway is left, what was asked for is kept, and a new one starts."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import pytest

from gateway.cli import reset as command
from gateway.cli.main import main
from gateway.engine import backup
from gateway.engine.failed import given_up
from gateway.engine.reset import reset
from gateway.engine.secrets import Secrets
from gateway.engine.store_archive import check, files
from gateway.engine.store_records import audit
from gateway.errors import ConfigError
from gateway.flow.config import Secret
from tests.engine.gear import Script, flow, lent, samples, started, until, values

FLOW = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")


async def lived_in(folder: Path) -> None:
    """A state as a gateway leaves it, with what people have put there."""
    with lent(Script()) as script:
        runtime = await started(FLOW, folder)
        script.readings.put_nowait(samples(runtime, "A 0s 1"))
        await until(lambda: values(script))
        await audit(runtime.store, runtime.clock.now(), "user:anna", "flow/deploy", {"flow": "x"})
        runtime.secrets.put("broker", "hush")
        await runtime.stop()
    for name in ("tls/key.pem", "pki/own/x.pem", "dashboards/a.yaml", "failed/genba-ui.service"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")


async def test_all_is_gone_but_who_it_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    await lived_in(state)
    key = (state / "secrets/.key").read_bytes()
    archive = tmp_path / "kept"
    gone = reset(state, identity=False, archive=archive, actor="user:root", now=5)
    assert "genba.db" in gone
    left = sorted(p.relative_to(state).as_posix() for p in state.rglob("*") if p.is_file())
    assert left == ["genba.db.lock", "pki/own/x.pem", "secrets/.key", "tls/key.pem"]
    assert (state / "secrets/.key").read_bytes() == key
    assert not list(check(files(archive))), "the chain is whole"
    main(["audit", "verify", "--archive", str(archive)])
    with lent(Script()):
        runtime = await started([], state)
        assert not runtime.runners
        assert not [n for n in runtime.statuses if n.flow == "test"]
        await runtime.stop()


async def test_the_last_record_says_what_was_done(tmp_path: Path) -> None:
    await lived_in(tmp_path / "state")
    reset(tmp_path / "state", identity=True, archive=tmp_path / "kept", actor="user:root", now=5)
    lines = gzip.decompress(files(tmp_path / "kept")[-1].read_bytes()).decode().splitlines()
    rows = [json.loads(line) for line in lines[1:]]
    assert ["user:anna", "flow/deploy"] in [row[2:4] for row in rows]
    assert rows[-1][1:4] == [5, "user:root", "gateway/reset"]
    assert json.loads(rows[-1][4]) == {"identity": "new"}
    left = sorted(p.name for p in (tmp_path / "state").rglob("*"))
    assert left == ["genba.db.lock", "tls"], "the screens' unit names that folder"


async def test_a_gateway_that_runs_and_an_archive_inside_are_refused(tmp_path: Path) -> None:
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        with pytest.raises(ConfigError, match="Another gateway uses"):
            reset(tmp_path, identity=True, archive=None, actor="x", now=1)
        assert (tmp_path / "genba.db").exists()
        await runtime.stop()
    with pytest.raises(ConfigError, match="deleted as well"):
        reset(tmp_path, identity=True, archive=tmp_path / "kept", actor="x", now=1)
    (tmp_path.parent / "taken").mkdir()
    with pytest.raises(ConfigError, match="cannot be kept"):
        reset(tmp_path, identity=True, archive=tmp_path.parent / "taken", actor="x", now=1)
    assert (tmp_path / "genba.db").exists()


async def test_the_command_asks_for_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await lived_in(tmp_path)
    words = ["reset", "--state", str(tmp_path)]
    assert main([*words, "--name", "another"]) == 1
    assert "nothing was done" in capsys.readouterr().err
    assert main(words) == 1, "nobody can be asked here"
    assert (tmp_path / "genba.db").exists()
    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: socket.gethostname())
    assert main(words) == 0
    assert not (tmp_path / "genba.db").exists()


async def test_what_systemd_gave_up_is_an_alarm_once(tmp_path: Path) -> None:
    folder = tmp_path / "failed"
    folder.mkdir()
    (folder / "genba-ui.service").write_text("1800000000\n")
    (folder / ".genba-engine.service.new").write_text("")
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        await until(lambda: any("genba-ui.service" in e.tag for e in runtime.book.current()))
        found = next(e for e in runtime.book.current() if "genba-ui.service" in e.tag)
        await runtime.stop()
    assert "2027-01-15 08:00 UTC" in found.text
    assert "systemctl restart genba.target" in found.text
    assert given_up(tmp_path) == []


def test_a_secret_from_a_backup_is_sealed_with_the_key_of_this_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Secrets(tmp_path / "secrets")
    there.put("broker", "hush")
    sealed = (tmp_path / "secrets/broker.sealed").read_bytes()
    lent_key = tmp_path / "credentials"
    lent_key.mkdir()
    (lent_key / "genba-secrets-key").write_bytes(b"k" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(lent_key))
    here = Secrets(tmp_path / "secrets")
    assert here(Secret(secret="broker")) == "hush"
    assert (tmp_path / "secrets/broker.sealed").read_bytes() != sealed
    (tmp_path / "secrets/.key").unlink()
    assert here(Secret(secret="broker")) == "hush"


def test_a_backup_has_the_key_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent_key = tmp_path / "credentials"
    lent_key.mkdir()
    (lent_key / "genba-secrets-key").write_bytes(b"k" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(lent_key))
    state = tmp_path / "state"
    Secrets(state / "secrets").put("broker", "hush")
    found = dict(backup._files(state))
    assert set(found) == {"secrets/.key", "secrets/broker.sealed"}
    assert found["secrets/.key"].read_bytes() == b"k" * 32
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    (state / "secrets/.key").write_bytes(b"o" * 32)
    names = [name for name, _ in backup._files(state)]
    assert sorted(names) == ["secrets/.key", "secrets/broker.sealed"]
