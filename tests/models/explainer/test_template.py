"""The template: short, always true, in both languages, whatever the sheet."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.explainer import check, slots, template
from models.explainer._facts import Facts
from models.explainer._numerals import is_left
from models.explainer.sheet import FactSheet
from models.explainer.text import LANGUAGES, Explanation, tame
from tests.models.explainer.sheets import sheet
from tests.models.explainer.test_check import SHEET

SEEDS = range(500)
# Words of ours that count without a number of the data: "one short peak", 一瞬.
OURS = re.compile(r"\bone\b|\bfirst\b|一瞬|最初|一度の変化|一連|一つ|一段|^倍")


def unsupported(one: FactSheet, text: Explanation) -> list[str]:
    """What is in a text and no fact: read from the facts, without the code that writes them."""
    found = slots.of(one, None, text.language)
    facts = Facts(one, found, "UTC")
    numbers = {fact.slot: fact for fact in facts.numbers}
    bad = []
    for sentence in text.sentences:
        for piece in sentence.pieces:
            if not piece.slot and is_left(OURS.sub("", piece.text), text.language):
                bad.append(piece.text)
            elif piece.slot in numbers and not _shows(numbers[piece.slot], piece.text):
                bad.append(f"{piece.slot}: {piece.text} of {numbers[piece.slot]}")
    return bad


def _shows(fact, text: str) -> bool:
    """Whether a text shows a number, to three digits or better."""
    match = re.search(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)
    assert match, text
    if fact.kind == "time":
        return bool(re.search(r"\d\d:\d\d", text))
    if fact.kind == "duration":
        units = {"s": 1, "min": 60, "h": 3600, "day": 86400, "days": 86400}
        units |= {"秒": 1, "分": 60, "時間": 3600, "日": 86400}
        parts = re.findall(r"([\d.]+) ?([a-z]+|秒|分|時間|日)", text)
        seconds = sum(float(number) * units[unit] for number, unit in parts)
        return math.isclose(seconds, abs(fact.number), rel_tol=0.26, abs_tol=0.06)
    shown = float(match[0].replace(",", ""))
    close = 0.5 if fact.kind in ("percent", "count") else 0.0
    is_unit = not fact.unit or fact.unit in text or text.strip().endswith(fact.unit)
    return is_unit and (
        math.isclose(shown, fact.number, rel_tol=0.051, abs_tol=close)
        or math.isclose(shown, abs(fact.number), rel_tol=0.051, abs_tol=close)
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_number_without_a_fact(language):
    for seed in SEEDS:
        one = sheet(seed)
        text = template.explain(one, language)
        assert unsupported(one, text) == [], seed
        assert text.is_checked
        assert 3 <= len(text.sentences) <= template.SENTENCES_MAX
        assert "{" not in text.plain()
        assert not re.search(r"\bnan\b", text.plain())


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    value=st.floats(allow_nan=True, allow_infinity=True),
    limit=st.floats(allow_nan=True, allow_infinity=True),
    tag=st.text(max_size=300),
    unit=st.text(max_size=40),
)
def test_any_values_and_names(seed, value, limit, tag, unit):
    one = sheet(seed)
    signal = dataclasses.replace(one.signal, tag=tag, unit=unit)
    move = dataclasses.replace(one.move, signal=signal)
    one = dataclasses.replace(one, value=value, limit=limit, move=move)
    texts = [template.explain(one, language) for language in LANGUAGES]
    assert [s.role for s in texts[0].sentences] == [s.role for s in texts[1].sentences]
    for text in texts:
        for sentence in text.sentences:
            assert sentence.text == tame(sentence.text, 10_000) or sentence.text != ""
            assert all(char == " " or char.isprintable() for char in sentence.text)
        assert Explanation.from_json(text.to_json()) == text


def test_the_same_sheet_gives_the_same_text():
    for seed in range(50):
        one = sheet(seed)
        again = FactSheet.from_json(one.to_json())
        for language in LANGUAGES:
            assert template.explain(one, language) == template.explain(again, language)


def test_an_example_in_both_languages():
    assert template.explain(SHEET, "en").plain() == (
        "plant/line1/bearing/vibration is at 9.31 mm/s, above its limit of 7.1 mm/s. "
        "It has been rising since 02:22:35, for 4 min. "
        "plant/line1/oil/temperature fell first, 60 s earlier. "
        "plant/line1/lube/pressure raised its LO alarm 90 s earlier. "
        "The likely cause is wear of the bearing; it may also be poor lubrication of the bearing. "
        "First, listen to the bearing and compare its temperature with that of its neighbour."
    )
    assert template.explain(SHEET, "ja").plain() == (
        "plant/line1/bearing/vibrationは9.31 mm/sで、限界値7.1 mm/sを上回っています。"
        "02:22:35から4分にわたり上昇しています。"
        "plant/line1/oil/temperatureが60秒前に最初に低下しました。"
        "90秒前にplant/line1/lube/pressureのLO警報が発生しています。"
        "原因は軸受の摩耗と考えられますが、軸受の潤滑不良の可能性もあります。"
        "まず軸受の異音と隣の軸受との温度差の確認をしてください。"
    )


def test_a_zone_moves_the_times():
    text = template.explain(SHEET, "en", zone="Asia/Tokyo").plain()
    assert "since 11:22:35" in text
    assert "02:22:35" in template.explain(SHEET, "en", zone="No/Where").plain()


def test_markup_in_names_is_text():
    hostile = "<b onclick=x>a</b>*_[l](http://x)`\x1b[31m\u202e\u0000\nnew"
    signal = dataclasses.replace(SHEET.signal, tag=hostile, unit="<i>&{value}")
    move = dataclasses.replace(SHEET.move, signal=signal)
    text = template.explain(dataclasses.replace(SHEET, move=move), "en")
    plain = text.plain()
    assert all(char.isprintable() for char in plain)
    assert "\u202e" not in plain
    assert "{value}" not in plain
    assert "<b" not in text.html()
    assert "<i>" not in text.html()
    assert "](" not in text.markdown()
    assert re.search(r"(?<!\\)[`*_\[<]", text.markdown()) is None
    assert text.sentences[0].pieces[0].tag == hostile  # The link keeps the true name.


def test_the_check_takes_every_template_text():
    for language in LANGUAGES:
        for seed in range(100):
            one = sheet(seed)
            words = frozenset(slots.of(one, None, language).words)
            raw = "\n".join(phrase.text for phrase in template.chosen(words))
            found = check.read(one, language, raw)
            assert found is not None
            assert found.sentences == template.explain(one, language).sentences
