"""Dashboards over HTTP: who sees and saves them, what is refused, and pictures that are none."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.engine.dashboards import seed
from gateway.engine.store_records import audit_rows
from gateway.flow.dashboard import DASHBOARD_BYTES_MAX, Dashboard
from gateway.flow.picture import PICTURE_BYTES_MAX
from tests.api.test_accounts import House, house, new  # fixtures

__all__ = ["house", "new"]
TREND: dict[str, Any] = {"id": "a", "type": "trend", "at": [0, 0, 8, 6], "tags": ["plant/x"]}
ROOT = Path(__file__).resolve().parents[2]


def png(width: int = 2, height: int = 2, more: bytes = b"") -> bytes:
    """A real, small picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        total = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + total

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0\0\0" * 2)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts + more


async def engineer(house: House) -> httpx.AsyncClient:
    await house.add("eva", "engineer")
    return await house.browser("eva")


async def test_save_read_and_delete(house: House) -> None:
    eva = await engineer(house)
    assert (await eva.get("/api/dashboards")).json() == []
    values = {"title": "Presses", "widgets": [TREND]}
    made = await eva.put("/api/dashboards/press", json={"dashboard": values})
    assert made.status_code == 200, made.text
    file = house.runtime.state_dir / "dashboards" / "press.dashboard.yaml"
    assert file.read_text() == made.json()["text"]
    assert made.json()["text"] == (
        "dashboard: press\nversion: 1\ntitle: Presses\n\nwidgets:\n"
        "  - id: a\n    type: trend\n    at: [0, 0, 8, 6]\n    tags: [plant/x]\n"
    )
    (row,) = (await eva.get("/api/dashboards")).json()
    assert (row["dashboard"], row["title"], row["widgets"]) == ("press", "Presses", 1)
    gone = await eva.delete("/api/dashboards/press", params={"base": made.json()["version"]})
    assert gone.status_code == 200
    assert (await eva.get("/api/dashboards/press")).status_code == 404
    said = [(r["actor"], r["action"]) for r in await audit_rows(house.runtime.store)][:2]
    assert said == [("user:eva", "dashboard/remove"), ("user:eva", "dashboard/save")]


async def test_nobody_saves_over_what_they_have_not_seen(house: House) -> None:
    eva = await engineer(house)
    path = "/api/dashboards/press"
    first = (await eva.put(path, json={"dashboard": {}})).json()["version"]
    again = await eva.put(path, json={"dashboard": {"title": "x"}})
    assert (again.status_code, "exists already" in again.text) == (409, True)
    second = await eva.put(path, json={"dashboard": {"title": "x"}, "base": first})
    assert second.status_code == 200
    late = await eva.put(path, json={"dashboard": {"title": "y"}, "base": first})
    assert (late.status_code, "changed meanwhile" in late.text) == (409, True)
    assert (await eva.delete(path, params={"base": first})).status_code == 409
    assert (await eva.get(path)).json()["dashboard"]["title"] == "x"
    house.runtime.state_dir.joinpath("dashboards/press.dashboard.yaml").unlink()
    gone = await eva.put(path, json={"dashboard": {}, "base": second.json()["version"]})
    assert (gone.status_code, "is gone meanwhile" in gone.text) == (409, True)


async def test_text_by_hand_is_taken_and_its_errors_have_a_place(house: House) -> None:
    eva = await engineer(house)
    text = (
        "# mine\ndashboard: press\nwidgets:\n  - {id: a, type: text, at: [0, 0, 4, 2], text: hi}\n"
    )
    saved = await eva.put("/api/dashboards/press", json={"text": text})
    assert saved.json()["dashboard"]["widgets"][0]["text"] == "hi"
    other = await eva.put("/api/dashboards/other", json={"text": text})
    assert (other.status_code, "It is called 'press'" in other.text) == (422, True)
    wrong = text.replace("[0, 0, 4, 2]", "[22, 0, 4, 2]")
    refused = await eva.put("/api/dashboards/press", json={"text": wrong})
    assert refused.status_code == 422
    assert refused.text.startswith("press.dashboard.yaml:4 widgets.0: [22, 0, 4, 2] is not on")
    file = house.runtime.state_dir / "dashboards" / "press.dashboard.yaml"
    file.write_text(wrong)
    answer = (await eva.get("/api/dashboards/press")).json()
    assert answer["dashboard"] is None
    assert "is not on the grid" in answer["problem"]
    both = await eva.put("/api/dashboards/press", json={"text": text, "dashboard": {}})
    assert both.status_code == 422
    large = await eva.put("/api/dashboards/press", json={"text": "#" * (DASHBOARD_BYTES_MAX + 1)})
    assert large.status_code == 422


async def test_a_dashboard_is_for_a_role_and_above(house: House) -> None:
    eva = await engineer(house)
    for name, role in (("all", "viewer"), ("ops", "operator"), ("own", "administrator")):
        await house.add(f"u{name}", "viewer" if role == "viewer" else "operator")
        admin = await house.browser("anna", "four quiet brown horses")
        saved = await admin.put(f"/api/dashboards/{name}", json={"dashboard": {"role": role}})
        assert saved.status_code == 200
    for user, seen in (("uall", ["all"]), ("uops", ["all", "ops"])):
        client = await house.browser(user)
        rows = (await client.get("/api/dashboards")).json()
        assert [row["dashboard"] for row in rows] == seen
        assert (await client.get("/api/dashboards/own")).status_code == 403
        refused = await client.put("/api/dashboards/all", json={"dashboard": {}})
        assert refused.status_code == 403
    own = await eva.put("/api/dashboards/own", json={"dashboard": {}})
    assert (own.status_code, "for the role administrator" in own.text) == (403, True)
    assert (await eva.delete("/api/dashboards/own")).status_code == 403


@pytest.mark.parametrize("name", ["..", "a%2Fb", "A", "x" * 65, ".hidden", "a.b"])
async def test_a_name_leads_nowhere_else(house: House, name: str) -> None:
    eva = await engineer(house)
    answer = await eva.put(f"/api/dashboards/{name}", json={"dashboard": {}})
    assert answer.status_code in (404, 405, 422)
    assert (await eva.get(f"/api/dashboards/{name}")).status_code in (404, 405)
    assert not list(house.runtime.state_dir.rglob("*.dashboard.yaml"))


async def test_pictures_are_raster_and_bounded(house: House) -> None:
    eva = await engineer(house)
    made = await eva.post("/api/pictures", content=png())
    assert made.status_code == 201, made.text
    name = made.json()["picture"]
    assert (await eva.post("/api/pictures", content=png())).json()["picture"] == name
    shown = await eva.get(f"/api/pictures/{name}")
    assert (shown.headers["content-type"], shown.content) == ("image/png", png())
    assert shown.headers["x-content-type-options"] == "nosniff"
    for data in (
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"GIF89a" + b"\0" * 40,
        b"<html>",
        b"",
        png(9_000, 9_000),
        png(more=b"\0" * PICTURE_BYTES_MAX),
        b"\xff\xd8\xff\xe0\x00\x00" + b"\xff" * 200,
    ):
        refused = await eva.post("/api/pictures", content=data)
        assert refused.status_code == 422, data[:20]
    spot = {"tag": "plant/x", "x": 0.5, "y": 0.5}
    image = {"id": "i", "type": "image", "at": [0, 0, 4, 4], "picture": name, "spots": [spot]}
    await eva.put("/api/dashboards/press", json={"dashboard": {"widgets": [image]}})
    used = await eva.delete(f"/api/pictures/{name}")
    assert (used.status_code, "shown on press" in used.text) == (409, True)
    version = (await eva.get("/api/dashboards/press")).json()["version"]
    await eva.delete("/api/dashboards/press", params={"base": version})
    assert (await eva.delete(f"/api/pictures/{name}")).status_code == 200
    assert (await eva.get(f"/api/pictures/{name}")).status_code == 404
    assert (await eva.get("/api/pictures/..%2Fpress.dashboard.yaml")).status_code == 404


def test_the_shipped_dashboards_are_copied_once_and_canonical(tmp_path: Path) -> None:
    seed(tmp_path, [ROOT / "flows"])
    copied = sorted((tmp_path / "dashboards").glob("*.dashboard.yaml"))
    assert copied
    for path in copied:
        text = path.read_text("utf-8")
        assert Dashboard.parse(text, path.name).text() == text
    copied[0].unlink()
    seed(tmp_path, [ROOT / "flows"])
    assert not copied[0].exists(), "what was deleted stays deleted"
