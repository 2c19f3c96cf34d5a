"""Restore, update and the provider's settings over HTTP: who may what, and what is noted."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.engine import restoring, store_writer
from gateway.engine.handover import Handover
from gateway.engine.release import new_key, sign
from tests.api.provider import CLIENT, Provider, provider
from tests.api.test_accounts import GOOD, House, closed, opened
from tests.cli.test_release import HEAD
from tests.engine.gear import Script, lent

WORDS = "seven green lamps"
NAME = "9.9.9-0123abcd"


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()):
        house = await opened(tmp_path / "state", can_restart=True)
        await house.accounts.add("test", "anna", GOOD, "administrator")
        await house.add("eva", "engineer")
        yield house
        await closed(house)


@pytest.fixture
def company() -> Iterator[Provider]:
    with provider() as found:
        yield found


async def checked(admin: httpx.AsyncClient) -> dict[str, Any]:
    for _ in range(600):
        row = dict((await admin.get("/api/restore")).json())
        if row["state"] != "checking":
            return row
        await asyncio.sleep(0.05)
    raise AssertionError(row)


async def test_a_backup_is_uploaded_checked_and_confirmed(house: House) -> None:
    admin = await house.browser("anna", GOOD)
    made = (await admin.post("/api/backup", json={"passphrase": WORDS})).content
    for path in ("check", "apply"):
        body = {"passphrase": WORDS} if path == "check" else {"name": socket.gethostname()}
        answer = await admin.post(f"/api/restore/{path}", json=body)
        assert (answer.status_code, answer.text) == (409, "No backup was uploaded yet.")
    assert (await admin.put("/api/restore/file", content=made)).status_code == 204
    await admin.post("/api/restore/check", json={"passphrase": "a wrong one"})
    row = await checked(admin)
    assert row["state"] == "uploaded"
    assert "passphrase is not" in row["text"]
    await admin.post("/api/restore/check", json={"passphrase": WORDS})
    row = await checked(admin)
    assert row["state"] == "checked", row
    assert row["about"]["users"] == ["anna", "eva"]
    assert len(row["about"]["flows"]) == 1
    assert row["about"]["version"]
    wrong = await admin.post("/api/restore/apply", json={"name": "another"})
    assert (wrong.status_code, "not called 'another'" in wrong.text) == (409, True)
    assert not restoring.is_planned(house.runtime.state_dir)
    done = await admin.post("/api/restore/apply", json={"name": socket.gethostname()})
    assert done.status_code == 200, done.text
    assert restoring.is_planned(house.runtime.state_dir)
    async with asyncio.timeout(10):
        await house.server.restores.again.wait()
    said = [action for _, action in await house.said() if action.startswith("restore/")]
    assert said == [f"restore/{w}" for w in ("upload", "refused", "check", "begin")]
    assert "seven green" not in str(await house.said())


async def test_what_was_restored_is_in_the_audit_of_the_new_state(house: House) -> None:
    state = house.runtime.state_dir
    (state / restoring.FOLDER).mkdir(exist_ok=True)
    text = '{"actor": "user:anna", "made": 1, "version": "0.1.0", "aside": "before-1", "at": 2}'
    (state / restoring.FOLDER / "done.json").write_text(text)
    for _ in range(2):
        await house.server.restores.tell()
    assert (await house.said()).count(("user:anna", "restore/done")) == 1


async def test_it_takes_an_administrator_whose_password_is_fresh(house: House) -> None:
    eva = await house.browser("eva")
    for method, path in (("PUT", "/api/restore/file"), ("PUT", "/api/update/file")):
        answer = await eva.request(method, path, content=b"x")
        assert answer.status_code == 403, answer.text
        answer = await (await house.browser("anna", GOOD)).request(method, path)
        assert answer.status_code == 411, answer.text
    assert [action for _, action in await house.said()].count("denied") == 2


async def test_without_what_starts_it_anew_it_is_refused(tmp_path: Path) -> None:
    with lent(Script()):
        house = await opened(tmp_path)
        await house.accounts.add("test", "anna", GOOD, "administrator")
        admin = await house.browser("anna", GOOD)
        answer = await admin.put("/api/restore/file", content=b"x")
        assert (answer.status_code, "genba restore" in answer.text) == (409, True)
        answer = await admin.put("/api/update/file", content=b"x")
        assert (answer.status_code, "does not run from a release" in answer.text) == (409, True)
        assert not (tmp_path / "update").exists()
        await closed(house)


@pytest.fixture
def appliance(house: House, tmp_path: Path) -> Handover:
    """The gateway takes itself for one that was installed."""
    base, keys = tmp_path / "opt", tmp_path / "keys"
    (base / "releases").mkdir(parents=True)
    (base / "current").symlink_to("releases/1.0-aaaaaaaa")
    keys.mkdir()
    shutil.copy(new_key(tmp_path / "maker.key"), keys)
    (tmp_path / "unit").touch()
    found, state = house.server.handover, house.runtime.state_dir
    found.__init__(state, base, keys, tmp_path / "unit", state)  # type: ignore[misc]  # moved
    return found


async def test_a_release_is_uploaded_and_handed_over(
    house: House, appliance: Handover, tmp_path: Path
) -> None:
    admin = await house.browser("anna", GOOD)
    file = tmp_path / "release"
    file.write_bytes(HEAD + bytes(9000))
    answer = await admin.put("/api/update/file", content=file.read_bytes())
    assert answer.status_code == 422
    assert answer.text == "This file is not signed, or it was cut. Nothing of it was run."
    sign(file, tmp_path / "maker.key")
    assert (await admin.put("/api/update/file", content=file.read_bytes())).status_code == 204
    row = (await admin.get("/api/update")).json()
    assert (row["current"], row["keys"], row["why_not"]) == ("1.0-aaaaaaaa", ["maker"], "")
    assert row["uploaded"]["name"] == NAME
    answer = await admin.post("/api/update/install", json={"name": "1.1-bbbbbbbb"})
    assert answer.status_code == 409
    answer = await admin.post("/api/update/install", json={"name": NAME})
    assert answer.status_code == 200, answer.text
    assert (appliance.folder / "wanted.json").exists()
    said = [action for _, action in await house.said() if action.startswith("update/")]
    assert said == [f"update/{w}" for w in ("refused", "upload", "install", "install")]


async def test_a_provider_that_is_off_lets_nobody_in(house: House, company: Provider) -> None:
    """Settings are kept and can be tried; the login page has no button."""
    admin = await house.browser("anna", GOOD)
    settings = {
        "enabled": False,
        "issuer": company.issuer,
        "client_id": CLIENT,
        "redirect": "https://127.0.0.1:8780/api/openid/callback",
    }
    found = await admin.post("/api/openid/check", json={"settings": settings})
    assert found.status_code == 200, found.text
    wrong = {**settings, "issuer": company.issuer + "/other"}
    assert (await admin.post("/api/openid/check", json={"settings": wrong})).status_code == 503
    assert (await admin.post("/api/openid/check")).status_code == 409, "nothing is kept yet"
    answer = await admin.put("/api/openid/settings", json=settings)
    assert "switched off" in answer.json()["text"]
    assert (await admin.get("/api/openid")).json() == {"label": "", "start": ""}
    assert (await admin.get("/api/openid/start")).status_code == 404
    kept = (await admin.get("/api/openid/settings")).json()["settings"]
    assert (kept["enabled"], kept["issuer"]) == (False, company.issuer)
    assert (await admin.post("/api/openid/check")).status_code == 200
    await admin.put("/api/openid/settings", json={**settings, "enabled": True})
    assert (await admin.get("/api/openid")).json()["label"] == "OpenID"
