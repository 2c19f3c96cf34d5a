"""In Japanese nothing of what the gateway says back is English: refusals, imports, flow tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser.chrome import launched
from tests.browser.gear import gateway
from tests.browser.house import chromium, opened, settled
from tests.browser.test_editor import OWN
from tests.flow.test_said import ENGLISH

pytestmark = [pytest.mark.plant, pytest.mark.slow]
FLOW = OWN.replace("What comes in goes out", "水位").replace(
    "{out: demo/tank/level 0s 1 | 1s 2}", "{out: demo/tank/level 0s 1 | 1s 3}"
)
BROKEN = FLOW.replace("flow: own", "flow: bad").replace("{tank: demo", "{pump: demo")
EXPORT = [
    {"id": "t", "type": "tab", "label": "Tab"},
    {"id": "in", "type": "mqtt in", "z": "t", "name": "oil", "topic": "oil", "wires": [["f"]]},
    {"id": "f", "type": "function", "z": "t", "name": "calc", "func": "x\ny", "wires": [["s"]]},
    {"id": "s", "type": "http request", "z": "t", "name": "send", "wires": [[]]},
]


async def test_an_import_and_a_flow_test_that_fails(tmp_path: Path) -> None:
    faults: list[str] = []
    async with gateway(tmp_path, FLOW) as at, launched() as browser:
        context = await browser.new_context(viewport={"width": 1440, "height": 900}, locale="ja-JP")
        page = await context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(f"{at.url}/flows")
        await _refused_and_imported(page)
        await page.screenshot(path=tmp_path / "import.png")
        await page.goto(f"{at.url}/flows/own")
        await _tested(page)
        await page.screenshot(path=tmp_path / "tests.png")
        draft = {"text": BROKEN, "layout": {}, "base": None, "version": 0}
        answer = await context.request.put(f"{at.url}/api/drafts/bad", data=draft)
        assert answer.ok, await answer.text()
        await page.goto(f"{at.url}/flows/bad")
        await page.get_by_role("tab", name="テスト").click()
        await page.get_by_role("button", name="すべてのテストを実行").click()
        alert = page.get_by_role("tabpanel", name="テスト").get_by_role("alert")
        await expect(alert).to_contain_text("「問題」タブ", timeout=60_000)
        await context.close()
    assert faults == []


async def _refused_and_imported(page: Page) -> None:
    await page.get_by_role("button", name="読み込み…").click()
    dialog = page.locator("dialog.fl-dlg")
    await dialog.get_by_role("textbox", name="テキスト").fill('[{"id": "a"}]')
    await dialog.get_by_label("新しいフローの名前").fill("brought")
    await dialog.get_by_role("button", name="読み込み").click()
    await expect(dialog.get_by_role("alert")).to_contain_text(
        "Node-RED のエクスポートではありません。ノードには id と type が必要です。"
    )
    await dialog.get_by_role("textbox", name="テキスト").fill(json.dumps(EXPORT))
    await dialog.get_by_role("button", name="読み込み").click()
    notes = dialog.locator(".fl-notes li")
    await expect(notes).to_have_count(len(EXPORT))
    found = await notes.all_inner_texts()
    assert "JavaScript 2 行" in "".join(found)
    for note in found:
        assert not ENGLISH.search(note.partition("\n")[2]), note


async def _tested(page: Page) -> None:
    await page.get_by_role("tab", name="テスト").click()
    await page.get_by_role("button", name="すべてのテストを実行").click()
    first = page.locator(".tst > li > pre")
    # The tests run in a process of their own, which has to start first.
    await expect(first).to_contain_text("out.in が期待と異なります:", timeout=60_000)
    rows = (await first.inner_text()).splitlines()
    assert rows[1:3] == ["--- 期待", "+++ 実際"]
    assert [row for row in rows if row.startswith(("-", "+"))][2:] == [
        "-demo/tank/level 0s 1 | 1s 3",
        "+demo/tank/level 0s 1 | 1s 2",
    ]


async def test_a_login_that_is_refused(tmp_path: Path) -> None:
    async with (
        settled(tmp_path, FLOW) as found,
        chromium() as browser,
        opened(browser, found, locale="ja-JP") as page,
    ):
        await page.goto(f"{found.url}/login")
        await page.get_by_label("名前").fill("anna")
        await page.get_by_label("パスワード").fill("not this one at all")
        await page.get_by_role("button", name="ログイン").click()
        await expect(page.get_by_role("alert")).to_have_text(
            "名前またはパスワードが違うか、アカウントが無効です。"
        )
