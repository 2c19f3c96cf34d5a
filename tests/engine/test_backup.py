"""Backup and restore: everything comes back, on another device too, or nothing is touched."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.engine import backup, sealed_file
from gateway.errors import ConfigError
from tests.plant.product import Product, until

WORDS = "correct horse battery"
NOW = 1_764_000_000 * 10**9
FLOW = """\
flow: beat
version: 1
nodes:
  wave: {type: simulate.source, tag: line/press/oil, every_s: 0.05}
  high: {type: alarm.limit, hi: -10}
wires:
  - wave -> high
"""


@pytest.mark.parametrize("size", [0, 1, sealed_file.PIECE_BYTES, 3 * sealed_file.PIECE_BYTES + 5])
def test_what_is_sealed_comes_out(size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    sealed = b"".join(sealed_file.seal([data[:7], data[7:]], WORDS, {"made": 1}))
    assert b"".join(sealed_file.unseal(io.BytesIO(sealed), WORDS)) == data
    assert sealed_file.about(io.BytesIO(sealed))["made"] == 1
    with pytest.raises(ConfigError, match="passphrase is not"):
        list(sealed_file.unseal(io.BytesIO(sealed), WORDS + "x"))


def test_a_byte_a_cut_or_an_exchange_is_found() -> None:
    data = bytes(range(256)) * 9000
    sealed = b"".join(sealed_file.seal([data], WORDS, {"made": 1}))
    for position in range(0, len(sealed), len(sealed) // 60):
        altered = bytearray(sealed)
        altered[position] ^= 4
        with pytest.raises(ConfigError):
            list(sealed_file.unseal(io.BytesIO(bytes(altered)), WORDS))
    for cut in range(0, len(sealed), len(sealed) // 20):
        with pytest.raises(ConfigError):
            list(sealed_file.unseal(io.BytesIO(sealed[:cut]), WORDS))
    with pytest.raises(ConfigError):
        list(sealed_file.unseal(io.BytesIO(sealed + b"x"), WORDS))
    head = sealed.index(b"}") + 1
    piece = 4 + sealed_file.PIECE_BYTES + 16
    first, second = sealed[head : head + piece], sealed[head + piece : head + 2 * piece]
    exchanged = sealed[:head] + second + first + sealed[head + 2 * piece :]
    with pytest.raises(ConfigError):
        list(sealed_file.unseal(io.BytesIO(exchanged), WORDS))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "genba.db/../../x", "other/x", "secrets/../x"])
def test_a_hostile_backup_writes_nothing(tmp_path: Path, name: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    sealed = b"".join(sealed_file.seal([out.getvalue()], WORDS, {"made": 1}))
    with pytest.raises(ConfigError, match="does not belong"):
        backup.restore(io.BytesIO(sealed), WORDS, tmp_path / "state", NOW)
    assert list(tmp_path.rglob("*")) == []


def test_a_link_in_a_backup_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("secrets/x")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    sealed = b"".join(sealed_file.seal([out.getvalue()], WORDS, {"made": 1}))
    with pytest.raises(ConfigError, match="no file"):
        backup.restore(io.BytesIO(sealed), WORDS, tmp_path / "state", NOW)


@pytest.mark.plant
async def test_a_gateway_comes_back_from_its_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made while it runs; put back on another device; flows, accounts and secrets are there."""
    words = tmp_path / "words"
    words.write_text(WORDS)
    monkeypatch.setenv("GENBA_PASSPHRASE_FILE", str(words))
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    monkeypatch.setenv("GENBA_SECRET_NONE", "x")
    flow = tmp_path / "beat.flow.yaml"
    flow.write_text(FLOW)
    file = tmp_path / "one.backup"
    (tmp_path / "state" / "dashboards").mkdir(parents=True)
    (tmp_path / "state" / "dashboards" / "a.dashboard.yaml").write_text("name: a\n")
    async with Product(tmp_path, [flow]) as product:
        await until(product.open_alarms, "the alarm")
        monkeypatch.setenv("GENBA_API", product.client.url)
        monkeypatch.setattr("sys.stdin", io.StringIO("hidden"))
        assert main(["secrets", "set", "pw"]) == 0
        assert main(["backup", str(file)]) == 0
        assert "puts it back" in capsys.readouterr().out
        assert main(["backup", str(file)]) == 1, "it is not overwritten"
        assert main(["restore", str(file), "--state", str(product.state)]) == 1
        assert "Another gateway uses" in capsys.readouterr().err
        await product.terminate()
    assert file.stat().st_mode & 0o077 == 0
    assert b"line/press/oil" not in file.read_bytes()
    other = tmp_path / "other"
    assert main(["restore", str(file), "--state", str(other)]) == 0
    assert "is as it was at" in capsys.readouterr().out
    assert (other / "dashboards" / "a.dashboard.yaml").read_text() == "name: a\n"
    assert (other / "genba.db").stat().st_mode & 0o077 == 0
    assert main(["restore", str(file), "--state", str(other)]) == 0, "the old one goes aside"
    assert len(list(tmp_path.glob("other.before-*"))) == 1
    folder = tmp_path / "there"
    folder.mkdir()
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(other / "api.token"))
    async with Product(folder, [flow], state=other) as again:
        rows = await again.open_alarms()
        assert any("line/press/oil" in name for name in rows)
        monkeypatch.setenv("GENBA_API", again.client.url)
        capsys.readouterr()
        assert main(["secrets"]) == 0
        assert "pw" in capsys.readouterr().out
        kinds = [json.dumps(row) for row in again.stored("SELECT * FROM audit")]
        assert any("backup/make" in row for row in kinds)
        await again.terminate()
