"""Mutants: sentences that are true of a sheet, each changed in one place so that it is not."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from models.explainer.slots import Slots
from models.explainer.text import Piece

AMOUNTS = {"value", "limit", "mean", "size", "yesterday", "next_limit", "sd", "rate", "sigmas"}
AMOUNTS |= {"a_size", "b_size", "others", "steadies", "befores", "incident", "cases", "bad"}
DURATIONS = {"since", "to_limit", "period", "a_lead", "b_lead", "c_lead"}
DURATIONS |= {"before_lead", "change_ago", "hole_length"}
TIMES = {"onset", "raised", "change_at", "hole_from", "case_at"}
NAMES = {"tag", "a", "b", "c", "before", "steady", "hole"}
WAYS = {
    "en": {
        "rose": "fell",
        "risen": "fallen",
        "rising": "falling",
        "upwards": "downwards",
        "up": "down",
        "above": "below",
        "higher": "lower",
        "high": "low",
    },
    "ja": {"上昇": "低下", "上回": "下回", "高": "低"},
}
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def of(found: Slots, pieces: Sequence[Piece], chance: random.Random) -> Iterator[tuple[str, str]]:
    """Each wrong text with the kind of its fault."""
    ways = WAYS[found.language] | {v: k for k, v in WAYS[found.language].items()}
    for at, piece in enumerate(pieces):

        def put(text: str, at: int = at) -> str:
            return "".join(text if i == at else one.text for i, one in enumerate(pieces))

        if piece.slot in AMOUNTS | DURATIONS and _NUMBER.search(piece.text):
            yield "number", put(_scaled(piece.text, chance.choice((1.3, 0.6, 2, 10))))
        if piece.slot in AMOUNTS and re.search(r"\d [A-Za-z°µ%]", piece.text):
            wrong = "bar" if "bar" not in piece.text else "mm/s"
            yield "unit", put(re.sub(r" \S+", f" {wrong}", piece.text, count=1))
        if piece.slot in TIMES:
            yield "time", put(re.sub(r"(\d\d):(\d\d)", _later, piece.text))
        if piece.slot in NAMES:
            yield "ghost", put("plant/line9/ghost")
        if (piece.slot in ("above", *_WAY_SLOTS) or piece.slot.endswith("_did")) and (
            other := ways.get(piece.text)
        ):
            yield "way", put(other)


_WAY_SLOTS = ("up", "upward", "rose", "risen", "rising", "high", "higher")


def _scaled(text: str, factor: float) -> str:
    def other(found: re.Match[str]) -> str:
        number = found[0].replace(",", "")
        places = len(number.partition(".")[2])
        new = float(number) * factor if float(number) else 3.0
        return f"{new:.{places}f}" if new >= 10 or places else f"{new:.1f}"

    return _NUMBER.sub(other, text, count=1)


def _later(found: re.Match[str]) -> str:
    return f"{found[1]}:{(int(found[2]) + 17) % 60:02d}"
