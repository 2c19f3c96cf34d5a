"""genba users and genba audit, against a gateway in this process and one in its own."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from gateway.api.client import Client
from gateway.api.client_accounts import AccountClient
from gateway.api.local import FILE, find_token, remove_token, write_token
from gateway.api.server import Server
from gateway.cli.main import main
from gateway.engine import store_entry
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from gateway.errors import Rejected
from tests.api.serving import Terminal
from tests.engine.gear import Script, flow, lent, started, until

FLOW = flow("src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}", "src -> high")
GOOD = "four quiet brown horses"
OTHER = "seven loud green boats"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is piped in, again and again."""
    monkeypatch.setattr(sys, "stdin", type("Pipe", (io.StringIO,), {"readline": lambda _: OTHER})())


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A gateway whose token the commands find as they find that of `genba run`."""
    with lent(Script()):
        runtime = await started(FLOW, tmp_path)
        server = Server(runtime, 0, cost=Cost(16, 8, 1))
        serving = asyncio.ensure_future(server.run())
        await until(lambda: server._server.started)
        write_token(tmp_path, server.port, server.access.local_token)
        monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / FILE))
        monkeypatch.setenv("GENBA_API", server.url)
        yield server
        server.stop()
        await serving
        await runtime.stop()


@pytest.fixture
def genba(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.mark.usefixtures("typed")
async def test_the_life_of_accounts(server: Server, genba: Terminal, tmp_path: Path) -> None:
    assert "No account" in await genba("users")
    refused = await genba("users", "add", "bob", code=1)
    assert "first account must be an administrator" in refused
    code = server.access.logins.claim_code.renew()
    refused = await genba("users", "claim", "anna", "--code", "AAAA-AAAA", code=1)
    assert "not the code on the console" in refused
    assert "asks who acts" in await genba("users", "claim", "anna", "--code", code)
    assert "bob was added as engineer" in await genba("users", "add", "bob", "--role", "engineer")
    assert "operator" in await genba("users", "role", "bob", "operator", "--writer")
    assert "disabled" in await genba("users", "disable", "bob")
    assert "only administrator" in await genba("users", "disable", "anna", code=1)
    assert "disabled" not in await genba("users", "enable", "bob")
    assert "has a new password" in await genba("users", "passwd", "bob")
    listed = await genba("users", "list")
    assert re.search(r"^anna +administrator +made ", listed, re.MULTILINE)
    assert re.search(r"^bob +operator .*writes setpoints", listed, re.MULTILINE)
    assert '"name": "bob"' in await genba("users", "list", "--json")
    said = await genba("audit", "list")
    for action in ("claim/failed", "claim", "user/add", "user/change", "user/password"):
        assert f" {action} " in said
    assert OTHER not in said
    assert "scrypt" not in said
    assert "none altered" in await genba("audit", "verify")
    assert "none altered" in await genba("audit", "--state", str(tmp_path), "verify")


@pytest.mark.usefixtures("typed")
async def test_tokens_and_logins_come_and_go(server: Server, genba: Terminal) -> None:
    code = server.access.logins.claim_code.renew()
    await genba("users", "claim", "anna", "--code", code)
    assert "No token" in await genba("users", "token")
    make = ("users", "token", "make", "scraper", "--account")
    assert "no account" in (await genba(*make, "zoe", code=1)).lower()
    assert "no action" in (await genba(*make, "anna", "--scope", "fly", code=1)).lower()
    secret = (await genba(*make, "anna", "--scope", "status.read", "--days", "7")).strip()
    async with httpx.AsyncClient(base_url=server.url) as script:
        script.headers["Authorization"] = f"Bearer {secret}"
        assert (await script.get("/api/status")).status_code == 200
        assert (await script.get("/api/tags")).status_code == 403
        listed = await genba("users", "token", "list")
        assert secret not in listed
        found = re.match(r"(\w{12})  scraper +anna +viewer, only status.read; last used", listed)
        assert found is not None, listed
        assert "has ended" in await genba("users", "token", "revoke", found[1])
        assert (await script.get("/api/status")).status_code == 401
    assert "Nobody is logged in" in await genba("users", "sessions")
    for _ in range(3):
        await server.access.logins.login("anna", OTHER, "10.0.0.7", "Firefox\x1b[31m")
    listed = await genba("users", "sessions", "list")
    assert len(listed.splitlines()) == 3
    assert "\x1b" not in listed
    assert '"account": "anna"' in await genba("users", "sessions", "list", "--json")
    first = listed.split()[0]
    assert "1 login ended" in await genba("users", "sessions", "end", first)
    assert "no session" in await genba("users", "sessions", "end", first, code=1)
    assert "2 logins ended" in await genba("users", "sessions", "end", "--account", "anna")
    assert "nowhere" in await genba("users", "sessions", "end", "--account", "anna", code=1)


@pytest.mark.usefixtures("typed")
async def test_without_the_token_a_command_is_nobody(
    server: Server, genba: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = server.access.logins.claim_code.renew()
    await genba("users", "claim", "anna", "--code", code)
    assert "No dead letter" in await genba("dlq")
    monkeypatch.setenv("GENBA_TOKEN_FILE", os.devnull)
    for words in (("dlq",), ("users",), ("audit",), ("revisions", "test"), ("alarms", "list")):
        assert "GENBA_TOKEN" in await genba(*words, code=1)
    monkeypatch.setenv("GENBA_TOKEN", server.access.local_token)
    assert "No dead letter" in await genba("dlq")


def test_a_token_is_shown_to_its_own_gateway_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / FILE))
    assert find_token("http://127.0.0.1:8780") == ""
    write_token(tmp_path, 8780, "genba_local_x")
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert find_token("http://127.0.0.1:8780") == "genba_local_x"
    assert find_token("http://localhost:8780") == "genba_local_x"
    for url in ("http://127.0.0.1:8781", "http://10.0.0.5:8780", "http://evil.example:8780"):
        assert find_token(url) == ""
    remove_token(tmp_path, "genba_local_of_another")
    assert (tmp_path / FILE).exists()
    remove_token(tmp_path, "genba_local_x")
    assert not (tmp_path / FILE).exists()


async def test_an_altered_record_is_found(genba: Terminal, tmp_path: Path) -> None:
    with lent(Script()):
        runtime: Runtime = await started(FLOW, tmp_path)
        for note in ("one", "two", "three"):
            await runtime.remove("test", "user:anna", note)
            await runtime.deploy(FLOW, "user:anna", note)
        await runtime.stop()
    state = ("audit", "--state", str(tmp_path))
    assert "none altered" in await genba(*state, "verify")
    with closing(sqlite3.connect(tmp_path / "genba.db")) as db, db:
        db.execute("DROP TRIGGER audit_is_final")
        db.execute("UPDATE audit SET actor='user:eve' WHERE id=3")
    assert main([*state, "verify"]) == 1
    assert "user:eve" in await genba(*state, "list")


RUN = """
flow: small
version: 1
nodes:
  oil: {type: simulate.source, tag: oil/temperature, shape: constant, every_s: 0.05}
  high: {type: alarm.limit, hi: 75}
wires:
  - oil -> high
"""


class Booted:
    """A real `genba run --accounts`, its log in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.url = ""

    async def start(self) -> None:
        port, flow_file = self.folder / "port", self.folder / "small.flow.yaml"
        port.unlink(missing_ok=True)
        flow_file.write_text(RUN)
        words = ["run", str(flow_file), "--state", str(self.state), "--port", "0"]
        words += ["--port-file", str(port), "--accounts"]
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", *words, stderr=log
            )
        await until(lambda: port.exists() and bool(port.read_text()), 60)
        self.url = f"http://127.0.0.1:{port.read_text()}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(self.process.wait(), 60)


@pytest.mark.plant
async def test_first_boot_to_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log has the code, the folder of the state the token, and both do their work."""
    gateway = Booted(tmp_path)
    token = gateway.state / FILE
    monkeypatch.delenv("GENBA_TOKEN", raising=False)
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(token))
    await gateway.start()
    try:
        client = AccountClient(gateway.url)
        assert await asyncio.to_thread(client.users) == []
        token.rename(tmp_path / "kept")
        with pytest.raises(Rejected, match="Log in first"):  # Also before there is an account.
            await asyncio.to_thread(Client(gateway.url).status)
        await until(lambda: "30 minutes: " in gateway.log, 60)
        code = re.search(r"30 minutes: (\S+)", gateway.log)
        assert code is not None
        await asyncio.to_thread(client.claim, code[1], "anna", GOOD)
        (tmp_path / "kept").rename(token)
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
    finally:
        await gateway.stop()
    assert not token.exists()
    await gateway.start()
    try:
        client = AccountClient(gateway.url)
        (row,) = await asyncio.to_thread(client.users)
        assert (row["name"], row["role"]) == ("anna", "administrator")
        assert (await asyncio.to_thread(client.audit_check))["broken"] == []
        monkeypatch.setenv("GENBA_TOKEN", "genba_nobody")
        with pytest.raises(Rejected, match="Log in first"):
            await asyncio.to_thread(Client(gateway.url).status)
    finally:
        await gateway.stop()
    assert "30 minutes" not in gateway.log, "a gateway that is claimed prints no code"
    assert "Stopped" in gateway.log


async def test_destinations_are_an_administrators(server: Server, genba: Terminal) -> None:
    assert "all is allowed but this machine" in await genba("destinations")
    assert "is allowed" in await genba("destinations", "allow", "127.0.0.1:8080")
    assert "no destination" in await genba("destinations", "allow", "http://x/", code=1)
    assert "Nothing else" in await genba("destinations", "only", "on")
    listed = await genba("destinations", "list")
    assert listed.splitlines() == ["127.0.0.1:8080", "Nothing else is allowed."]
    assert "no longer allowed" in await genba("destinations", "forbid", "127.0.0.1:8080")
    assert "was not allowed" in await genba("destinations", "forbid", "10.0.0.0/8", code=1)
    said = await genba("audit", "list")
    assert said.count(" destination ") >= 4


@pytest.mark.usefixtures("typed")
async def test_a_provider_is_set_shown_and_removed(
    server: Server, genba: Terminal, tmp_path: Path
) -> None:
    assert "by their passwords here only" in await genba("users", "oidc")
    issuer = ("--issuer", "http://127.0.0.1:9/plant", "--client-id", "genba-1")
    back = ("--redirect", "https://gw.example/api/openid/callback")
    assert "has a password here" in await genba("users", "oidc", "set", *issuer, *back, code=1)
    code = server.access.logins.claim_code.renew()
    await genba("users", "claim", "anna", "--code", code)
    wrong = await genba("users", "oidc", "set", *issuer, *back, "--role", "it=boss", code=1)
    assert "'it=boss' is no GROUP=ROLE" in wrong
    wrong = await genba("users", "oidc", "set", *issuer, "--redirect", "https://gw/x", code=1)
    assert "ends with /api/openid/callback" in wrong
    done = await genba("users", "oidc", "set", *issuer, *back, "--role", "it=engineer")
    assert "from now on" in done
    assert "from now on" in await genba("users", "oidc", "set", "--label", "Plant")
    shown = await genba("users", "oidc", "show")
    assert re.search(r"^roles +it=engineer$", shown, re.MULTILINE)
    assert re.search(r"^label +Plant$", shown, re.MULTILINE)
    away = await genba("users", "oidc", "check", code=1)
    assert "No answer from the OpenID provider at 127.0.0.1:9" in away
    assert "passwords here only" in await genba("users", "oidc", "remove")
    assert " openid/change " in await genba("audit", "list")


@pytest.mark.usefixtures("typed")
async def test_the_archive_is_exported_and_taken_away(
    server: Server, genba: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = server.access.logins.claim_code.renew()
    await genba("users", "claim", "anna", "--code", code)
    for name in ("bob", "eve", "max"):
        await genba("users", "add", name)
    monkeypatch.setitem(store_entry.ROWS_MAX, "audit", 2)  # type: ignore[index]  # a limit
    await server.accounts._store.trim(0)
    there = str(tmp_path / "usb")
    assert "1 file copied" in await genba("audit", "export", there)
    assert "1 file, no record altered" in await genba("audit", "verify", "--archive", there)
    taken = await genba("audit", "export", there, "--take")
    assert "1 file removed on the gateway" in taken
    assert "0 files copied" in await genba("audit", "export", there)
    assert " audit/take " in await genba("audit", "list")
    (file,) = Path(there).iterdir()
    file.write_bytes(b"nothing")
    assert "is damaged" in await genba("audit", "verify", "--archive", there, code=1)
