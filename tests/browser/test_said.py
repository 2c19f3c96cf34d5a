"""The browser tells sentences as Python does, and a hostile name in one is text and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.flow.said import KINDS, pairs, sayings
from tests.browser.chrome import launched
from ui.assets import FRONTEND

pytestmark = pytest.mark.plant
SLY = "<img/src=x/onerror=window.hacked=1>"
TEXTS = [
    f"{SLY} 76.25 Cel is above the HI limit 75 Cel for 10 s",
    "TT101 70 Cel is no longer above the HI limit 75 Cel with deadband 2 Cel",
    "TT101 is back after 70 s, the STALE limit is 30 s",
    "press has been away for 30 s: No answer from 10.0.0.5:502 within 3 s. Is it on? "
    "Next try in 5 s.",
    "user:anna acknowledged occurrence 2 of the HI alarm of TT101: seen: twice",
    '"x" is not a number (in s).',
    "5 must be at least 6 s.",
    "a.flow.yaml:3 nodes.x: There is no node 'y'. Did you mean z?",
    "There is no such thing: who of what of where.",
    "'lambda: 1' is not allowed in an expression.",
    "x 5 is above y 76 is above the HI limit 75",
    "$& $1 has values that can be used again",
    "",
]


async def test_the_browser_tells_as_python_does() -> None:
    plain = [text for text in pairs("ja") if "{" not in text]
    texts = [*TEXTS, *plain[::10], *(text.replace("{", "").replace("}", "") for text in plain[:20])]
    source = (FRONTEND / "src" / "lib" / "said.js").read_text("utf-8").replace("export ", "")
    given = {"texts": dict(pairs("ja")), "kinds": dict(KINDS)}
    async with launched() as browser:
        page = await browser.new_page()
        await page.add_script_tag(
            content=f"window.genba = {{texts: {{}}, said: {json.dumps(given)}}}"
        )
        await page.add_script_tag(content=f"{source}\nwindow.told = said;")
        found = await page.evaluate("texts => texts.map((text) => window.told(text))", texts)
    assert found == [sayings("ja").of(text) for text in texts]
    assert found[0] == f"{SLY} の値 76.25 Cel が HI しきい値 75 Cel を上回っています (10 s 継続)"


def test_no_page_takes_a_sentence_for_markup() -> None:
    """Vue writes what stands in braces as text; the one way around that is used nowhere."""
    for path in sorted(Path(FRONTEND / "src").rglob("*.vue")):
        assert "v-html" not in path.read_text("utf-8"), path
