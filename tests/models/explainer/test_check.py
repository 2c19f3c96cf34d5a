"""The check of free text: right sentences pass, in whatever form; wrong ones never do."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from functools import partial

import pytest

from models.explainer import check, phrases, slots, template
from models.explainer.sheet import Baseline, Before, FactSheet, Move, Signal
from models.explainer.text import LANGUAGES, Explanation
from tests.models.explainer import mutants
from tests.models.explainer.sheets import sheet

read = partial(check.read, is_own_model=False)

S = 10**9
NOW = 1_795_660_000 * S  # 2026-11-26 02:26:40 UTC

VIBRATION = "plant/line1/bearing/vibration"
OIL = "plant/line1/oil/temperature"
SHEET = FactSheet(
    "f/n:v:HIHI",
    1,
    NOW,
    "HIHI",
    "urgent",
    9.3124,
    7.1,
    Move(
        Signal(VIBRATION, "mm/s", "bearing", "vibration"), "drift", "up", NOW - 245 * S, 7.2, 34.2
    ),
    Baseline(2.104, 0.21, 4000, 1, NOW - 300 * S, 2.2, 3600),
    others=(
        Move(
            Signal(OIL, "Cel", "hydraulics", "temperature"),
            "drift",
            "down",
            NOW - 305 * S,
            8.2,
            12,
            1.2,
            -60.0,
            0.93,
        ),
    ),
    steady=(Signal("plant/line1/motor/current", "A", "motor", "current"),),
    before=(Before("f/n:p:LO", "plant/line1/lube/pressure", "LO", NOW - 90 * S, "high", -90.0),),
)


def judged(text: str, language: str = "en", one: FactSheet = SHEET):
    """What became of one sentence; a true one stands before it so that something is left."""
    first = "{tag} is at {value}." if language == "en" else "{tag}は{value}です。"
    found = read(one, language, f"{first}\n{text}")
    if found is None:
        return None
    rest = [s for s in found.sentences if s.text not in (said(first, language, one),)]
    return found, rest


def said(text: str, language: str, one: FactSheet = SHEET) -> str:
    values = slots.of(one, None, language).values
    return "".join(piece.text for piece in template.filled(text, values))


def passes(text: str, language: str = "en") -> bool:
    found, _ = judged(text, language)
    return found.dropped == 0


RIGHT_EN = (
    "{tag} has risen to {value}.",
    f"{VIBRATION} is at 9.31 mm/s, above its limit of 7.1 mm/s.",
    f"{VIBRATION} stands at 9.3 mm/s.",
    "It rose since 02:22:35.",
    "It began at 02:22.",
    "It began at 2:22 am.",
    "It has been rising for 245 s.",
    "It has been rising for four minutes.",
    "It has been rising for about 4 minutes.",
    f"{OIL} fell 60 s earlier.",
    f"{OIL} fell one minute before {VIBRATION} rose.",
    f"The temperature {OIL} fell by 8.2 °C.",
    f"{OIL} fell by 8.2 degrees C first.",
    f"{VIBRATION} rose after {OIL} fell.",
    "{a} fell {a_lead} before {tag} exceeded its limit of {limit}.",
    "Usually it is about 2.1 mm/s.",
    "Its usual value is {mean}; it has moved by 7.2 mm/s.",
    "At this hour yesterday it was 2.2 mm/s.",
    "{steady} did not move.",
    "{before} raised its LO alarm 90 s earlier.",
    "The likely cause is {cause}.",
    "First, {check}.",
)
WRONG_EN = (
    f"{VIBRATION} is at 9.5 mm/s.",
    f"{VIBRATION} is at 9.31 bar.",
    f"{VIBRATION} is at 9.31 mm.",
    f"{VIBRATION} is at 7.1 mm/s.",
    f"{VIBRATION} is at 9.31.",
    f"{VIBRATION} is at ９.８ mm/s.",
    f"{VIBRATION} is at nine point five mm/s.",
    "It fell since 02:22:35.",
    "It began at 02:25.",
    "It has been rising for seven minutes.",
    "It has been rising for half an hour.",
    "It has doubled.",
    "It is twice its usual value.",
    "Dozens of signals moved.",
    "It rose to {limit}.",
    "It exceeded its limit of {mean}.",
    "It exceeded its limit of 9.31 mm/s.",
    f"{OIL} rose 60 s earlier.",
    f"{OIL} fell 60 s later.",
    f"{OIL} fell 30 s earlier.",
    f"{OIL} fell one hour earlier.",
    f"{VIBRATION} rose before {OIL} fell.",
    f"{OIL} fell after {VIBRATION} rose.",
    f"{VIBRATION} moved first.",
    f"{OIL} fell at the same time.",
    f"The pressure {OIL} fell by 8.2 °C.",
    f"{OIL} is at 9.31 mm/s.",
    "plant/line1/ghost/pressure fell 60 s earlier.",
    "PT-101 fell 60 s earlier.",
    "It fell on 3 May.",
    "{tag} did not rise.",
    "{a} did not move.",
    "{steady} rose.",
    "{before} raised its HI alarm 90 s earlier.",
    "{before} raised its LO alarm 60 s earlier.",
    "No other signal moved.",
    "{unknown} rose.",
    "{value} {value",
    "Its usual value is {value}.",
    "Yesterday it was {value}.",
    "It is {value} above usual.",
    "It is below its limit of {limit}.",
    "Section ⑨ and Ⅳ say so.",
    "これは上昇しました。",
)
RIGHT_JA = (
    "{tag}は{value}まで上昇しました。",
    f"{VIBRATION}は9.31 mm/sで、限界値7.1 mm/sを上回っています。",
    f"{VIBRATION}は９．３ mm/sを示しています。",
    "02:22:35から上昇しています。",
    "2時22分から上昇しています。",
    "245秒間にわたり上昇しています。",
    "四分前から上昇しています。",
    f"{OIL}が60秒前に低下しました。",
    f"{OIL}が一分前に最初に低下しました。",
    f"{OIL}は8.2 ℃低下しました。",
    f"{OIL}は{VIBRATION}より先に低下しました。",
    "普段は約2.1 mm/sです。",
    "昨日の同じ時刻は2.2 mm/sでした。",
    "{steady}は変化していません。",
    "原因は{cause}と考えられます。",
    "まず{check}をしてください。",
)
WRONG_JA = (
    f"{VIBRATION}は9.5 mm/sです。",
    f"{VIBRATION}は9.31 barです。",
    f"{VIBRATION}は９．８ mm/sです。",
    f"{VIBRATION}は限界値9.31 mm/sを上回っています。",
    f"{VIBRATION}は限界値7.1 mm/sを下回っています。",
    "02:25から上昇しています。",
    "02:22:35から低下しています。",
    "七分前から上昇しています。",
    "三十分にわたり上昇しています。",
    "数時間前から上昇しています。",
    "普段の二倍になりました。",
    "半分に低下しました。",
    "普段は9.31 mm/sです。",
    "昨日の同じ時刻は{value}でした。",
    f"{OIL}が60秒前に上昇しました。",
    f"{OIL}が60秒後に低下しました。",
    f"{OIL}が二分前に低下しました。",
    f"{OIL}は{VIBRATION}より後に低下しました。",
    f"{VIBRATION}は{OIL}より先に上昇しました。",
    f"最初に動いたのは{VIBRATION}です。",
    f"圧力{OIL}が低下しました。",
    "plant/line1/ghost/pressureが低下しました。",
    "{tag}は上昇していません。",
    "{a}は変化していません。",
    "{steady}は上昇しました。",
    "ほかの信号は変化していません。",
    "It rose since 02:22:35.",
)


@pytest.mark.parametrize("text", RIGHT_EN)
def test_right_sentences_pass(text):
    assert passes(text)


@pytest.mark.parametrize("text", RIGHT_JA)
def test_right_japanese_sentences_pass(text):
    assert passes(text, "ja")


@pytest.mark.parametrize("text", WRONG_EN)
def test_wrong_sentences_do_not(text):
    found = judged(text)
    assert found is None or found[0].dropped == 1, found[0].plain()


@pytest.mark.parametrize("text", WRONG_JA)
def test_wrong_japanese_sentences_do_not(text):
    found = judged(text, "ja")
    assert found is None or found[0].dropped == 1, found[0].plain()


@pytest.mark.parametrize("language", LANGUAGES)
def test_mutants_of_true_sentences_are_caught(language):
    caught, all_ = Counter(), Counter()
    missed = []
    for seed in range(12):
        one, chance = sheet(seed), random.Random(seed)
        found = slots.of(one, None, language)
        true = [p for p in phrases.true_ones(found.words) if "{change_what}" not in p.text]
        for phrase in true[:: max(1, len(true) // 20)]:
            pieces = template.filled(phrase.text, found.values)
            for kind, text in mutants.of(found, pieces, chance):
                all_[kind] += 1
                seen = read(one, language, text)
                if seen is not None and seen.dropped == 0:
                    missed.append((kind, text, seen.plain()))
                else:
                    caught[kind] += 1
    assert all(all_[kind] >= 3 for kind in ("number", "unit", "time", "ghost", "way")), all_
    assert not missed, missed[:5]


@pytest.mark.parametrize("language", LANGUAGES)
def test_most_true_sentences_pass_as_plain_text(language):
    """A larger model may write out what we would have filled in."""
    passed = all_ = 0
    for seed in range(12):
        one = sheet(seed)
        found = slots.of(one, None, language)
        true = [
            p
            for p in phrases.true_ones(found.words)
            if "{change_what}" not in p.text and {"tag", "value"} <= set(p.slots)
        ]
        for phrase in true:
            text = "".join(piece.text for piece in template.filled(phrase.text, found.values))
            all_ += 1
            seen = read(one, language, text)
            passed += seen is not None and seen.dropped == 0
    assert passed >= 0.85 * all_ > 50


def test_what_facts_cannot_tell_is_marked():
    for text, is_checked in (
        ("{tag} rose to {value}.", True),
        ("{tag} rose to {value} because the filter is old.", False),
        ("Ask the foreman about {tag}.", False),
        ("The likely cause is {cause}.", True),
        ("The likely cause is a worn coupling of {tag}.", False),
        ("Replace the bearing of {tag} now.", False),
    ):
        found = read(SHEET, "en", f"{{tag}} is at {{value}}.\n{text}")
        assert found is not None
        assert found.dropped == 0, text
        sentence = next(s for s in found.sentences if s.text == said(text, "en"))
        assert sentence.is_checked == is_checked, text


def test_numbers_are_linked_to_their_trends():
    found = read(SHEET, "en", f"{VIBRATION} is at 9.31 mm/s.\n{OIL} fell 60 s earlier.")
    pieces = {p.slot: p for s in found.sentences for p in s.pieces if p.slot}
    assert (pieces["value"].tag, pieces["value"].ts) == (VIBRATION, NOW)
    assert (pieces["a_lead"].tag, pieces["a_lead"].ts) == (OIL, NOW - 305 * S)


def test_markup_and_lists_are_taken_off():
    text = "- **{tag}** is at {value}.\n1. The likely cause is {cause}.\n* First, {check}."
    found = read(SHEET, "en", text)
    assert found is not None
    assert "*" not in found.plain()
    assert found.dropped == 0


def test_what_must_be_said_is_said():
    found = read(SHEET, "en", "{tag} is at {value}.")
    assert isinstance(found, Explanation)
    roles = {sentence.role for sentence in found.sentences}
    assert {"also", "before", "cause", "check"} <= roles


def test_a_hostile_answer_is_nothing_or_harmless():
    for text in (
        "<script>alert(1)</script>",
        "{tag} is at {value}.<img src=x onerror=alert(1)>",
        "{tag} is at {value}. [click](http://evil.example)",
        "{tag} is at {value}. \u202eevil",
        "{tag} is at {value}. Visit evil.example now.",
        "{tag} " * 5000,
    ):
        found = read(SHEET, "en", text)
        if found is not None:
            assert "evil" not in found.plain()
            assert "alert" not in found.plain()


def test_the_signal_itself_may_be_a_time():
    cycle = dataclasses.replace(
        SHEET,
        value=6.42,
        limit=6.1,
        move=dataclasses.replace(SHEET.move, signal=Signal("press/cycle", "s", "press", "other")),
    )
    found = read(cycle, "en", "press/cycle is at 6.42 s, above its limit of 6.1 s.")
    assert found is not None
    assert found.dropped == 0


def test_of_our_own_model_only_its_grammar_stands():
    text = "{tag} is at {value}, {above} its limit of {limit}.\n{tag} rose to {value}.\nIt rose."
    found = read(SHEET, "en", text)
    own = check.read(SHEET, "en", text)
    assert found is not None
    assert found.dropped == 0
    assert own is None  # Two of three sentences are not of the grammar.
