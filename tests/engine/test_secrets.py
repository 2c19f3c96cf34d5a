"""Secrets at rest: sealed, bound to their name, and found nowhere else."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gateway.api.client_accounts import AccountClient
from gateway.engine.secrets import CREDENTIAL, Secrets
from gateway.errors import ConfigError, Rejected
from gateway.flow.config import Secret
from tests.plant.product import Product, until

CANARY = "canary-7f3a9c51e2"


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secrets:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Secrets(tmp_path / "secrets")


def test_what_goes_in_comes_out_and_is_not_on_the_disk(secrets: Secrets, tmp_path: Path) -> None:
    secrets.put("broker", f"{CANARY}-ü")
    assert secrets(Secret(secret="broker")) == f"{CANARY}-ü"
    assert Secrets(tmp_path / "secrets")(Secret(secret="broker")) == f"{CANARY}-ü"
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
    assert [(one.name, one.where) for one in secrets.known()] == [("broker", "folder")]


def test_a_file_somebody_put_there_is_sealed_when_it_is_used(
    secrets: Secrets, tmp_path: Path
) -> None:
    secrets.put("broker", "old")
    (tmp_path / "secrets" / "broker").write_text(f"{CANARY}\n")
    assert secrets(Secret(secret="broker")) == CANARY
    assert not (tmp_path / "secrets" / "broker").exists()
    assert secrets(Secret(secret="broker")) == CANARY


def test_a_sealed_file_is_of_its_name_and_of_this_device(secrets: Secrets, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secrets.put("broker", CANARY)
    secrets.put("mail", "other")
    (folder / "mail.sealed").write_bytes((folder / "broker.sealed").read_bytes())
    with pytest.raises(ConfigError, match="cannot be opened"):
        secrets(Secret(secret="mail"))
    data = bytearray((folder / "broker.sealed").read_bytes())
    for position in range(0, len(data), 7):
        altered = bytes(data[:position]) + bytes([data[position] ^ 1]) + bytes(data[position + 1 :])
        (folder / "broker.sealed").write_bytes(altered)
        with pytest.raises(ConfigError, match="cannot be opened"):
            secrets(Secret(secret="broker"))
    (folder / "broker.sealed").write_bytes(bytes(data))
    (folder / ".key").write_bytes(bytes(32))
    with pytest.raises(ConfigError, match="another key"):
        secrets(Secret(secret="broker"))


def test_the_key_may_be_a_credential(
    secrets: Secrets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cred").mkdir()
    (tmp_path / "cred" / CREDENTIAL).write_bytes(b"k" * 32)
    (tmp_path / "cred" / "mail").write_text("from systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "cred"))
    monkeypatch.setenv("GENBA_SECRET_SMS", "from the environment")
    (tmp_path / "secrets").mkdir()
    secrets.put("broker", CANARY)
    assert secrets(Secret(secret="broker")) == CANARY
    assert not (tmp_path / "secrets" / ".key").exists()
    assert secrets(Secret(secret="mail")) == "from systemd"
    assert secrets(Secret(secret="sms")) == "from the environment"
    found = {one.name: one.where for one in secrets.known()}
    assert found == {"broker": "folder", "mail": "credential", "sms": "environment"}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".key", "x" * 200, "a b"])
def test_names_that_cannot_be(secrets: Secrets, name: str) -> None:
    with pytest.raises(ConfigError, match="no name"):
        secrets.put(name, "x")


def test_remove(secrets: Secrets) -> None:
    secrets.put("broker", CANARY)
    assert secrets.remove("broker")
    assert not secrets.remove("broker")
    with pytest.raises(ConfigError, match="genba secrets set broker"):
        secrets(Secret(secret="broker"))


FLOW = """\
flow: wire
version: 1
connections:
  broker: {type: mqtt.connection, url: "mqtt://127.0.0.1:1", username: me, password: {secret: pw}}
nodes:
  in: {type: mqtt.source, connection: broker, topics: [a/#]}
  out: {type: log.sink}
wires:
  - in -> out
"""


@pytest.mark.plant
async def test_a_canary_is_found_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set over the API, used by a connection; then everything that can be read is searched."""
    state = tmp_path / "state"
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(state / "api.token"))
    flow = tmp_path / "wire.flow.yaml"
    flow.write_text(FLOW)
    async with Product(tmp_path, [flow], options=["--accounts"]) as product:
        url, token = product.client.url, (state / "api.token").read_text().split("\n")[1]
        client = AccountClient(url)
        assert "pw is set" in client.set_secret("pw", CANARY)
        assert [row["name"] for row in client.secrets()] == ["pw"]

        async def tried() -> bool:
            return bool((await product.node("broker"))["text"])

        await until(tried, "the connection uses it")
        bearer = {"Authorization": f"Bearer {token}"}

        def ask(path: str) -> bytes:
            with urlopen(Request(url + path, headers=bearer), timeout=30) as answer:
                return bytes(answer.read())

        paths = json.loads(ask("/openapi.json"))["paths"]
        asked = 0
        for path, methods in paths.items():
            if "get" in methods and "{" not in path and not methods["get"].get("parameters"):
                with suppress(HTTPError):  # The certificate there is only with TLS.
                    assert CANARY.encode() not in ask(path), path
                    asked += 1
        assert asked > 10
        assert CANARY.encode() not in ask("/api/flows/wire")
        with pytest.raises(Rejected):
            client.set_secret("../x", CANARY)
        assert CANARY not in product.said()
        await product.terminate()
    searched = 0
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
            searched += 1
    assert searched > 4
    assert re.search(r"secret/put", str(product.stored("SELECT * FROM audit")))
