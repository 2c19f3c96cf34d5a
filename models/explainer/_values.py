"""Values: the facts of a sheet as filled slots, each with the trend that shows it."""

from __future__ import annotations

import math

from models.explainer import amounts, names
from models.explainer._scene import LETTERS, Scene, timing
from models.explainer.knowledge import entries
from models.explainer.sheet import Move
from models.explainer.text import Piece, tame


def values(scene: Scene) -> dict[str, Piece]:
    """Every slot that has a value; which of them a text may use is for the words to say."""
    found = {
        **_alarm(scene),
        **_course(scene),
        **_usual(scene),
        **_others(scene),
        **_past(scene),
        **_causes(scene),
    }
    return {name: Piece(p.text, name, p.tag, p.ts) for name, p in found.items() if p.text}


def _name(tag: str) -> str:
    return tame(tag) or "?"


def _alarm(scene: Scene) -> dict[str, Piece]:
    sheet = scene.sheet
    tag, ts = sheet.signal.tag, sheet.ts
    language = scene.language
    value, limit = scene.signed
    found = {
        "tag": Piece(_name(tag), tag=tag, ts=ts),
        "quantity": Piece(names.word(names.QUANTITY[sheet.signal.quantity], language)),
        "asset": Piece(names.word(names.ASSET[sheet.signal.asset], language)),
        "condition": Piece(tame(sheet.condition, 24) or "?", tag=tag, ts=ts),
        "raised": Piece(_time(scene, ts), tag=tag, ts=ts),
    }
    for name, number in (("value", value), ("limit", limit)):
        if math.isfinite(number):
            found[name] = Piece(_of_alarm(scene, number), tag=tag, ts=ts)
    beyond = scene.beyond or scene.side
    if beyond:
        above = names.WAY["above"]["up" if beyond > 0 else "down"]
        found["above"] = Piece(names.word(above, language), tag=tag, ts=ts)
    if scene.has_next:
        found["next_limit"] = Piece(_amount(scene, sheet.move, sheet.next_limit), tag=tag, ts=ts)
        found["to_limit"] = Piece(amounts.duration_text(sheet.to_limit_s, language), tag=tag, ts=ts)
    return found


def _of_alarm(scene: Scene, number: float) -> str:
    """Value or limit, in the unit that the condition compares, told apart from the other one."""
    sheet = scene.sheet
    if scene.is_in_seconds:
        return amounts.duration_text(number, scene.language)
    value, limit = scene.signed
    unit = "" if sheet.condition == "SCORE" else scene.unit(sheet.move)
    if sheet.condition == "RATE":
        unit = f"{unit}/s"
    both = math.isfinite(value) and math.isfinite(limit)
    if both and amounts.number_text(value) == amounts.number_text(limit) and value != limit:
        return amounts.amount_text(number, unit, amounts.places_apart(value, limit))
    return amounts.amount_text(number, unit)


def _course(scene: Scene) -> dict[str, Piece]:
    sheet, move = scene.sheet, scene.sheet.move
    language, tag = scene.language, sheet.signal.tag
    onset = scene.onset or sheet.ts
    found: dict[str, Piece] = {}
    if math.isfinite(move.size):
        found["size"] = Piece(_amount(scene, move, abs(move.size)), tag=tag, ts=sheet.ts)
    if math.isfinite(move.sigmas):
        found["sigmas"] = Piece(amounts.number_text(_two(abs(move.sigmas))), tag=tag, ts=sheet.ts)
    if math.isfinite(move.rate_per_min):
        found["rate"] = Piece(_per_minute(scene, move), tag=tag, ts=onset)
    if math.isfinite(move.period_s):
        period = amounts.duration_text(move.period_s, language)
        found["period"] = Piece(period, tag=tag, ts=onset)
    if scene.onset:
        found["onset"] = Piece(_time(scene, scene.onset), tag=tag, ts=scene.onset)
        since = amounts.duration_text(scene.since_s, language)
        found["since"] = Piece(since, tag=tag, ts=scene.onset)
    if move.direction != "none":
        for name, ways in names.WAY.items():
            if name != "above":
                found[name] = Piece(names.word(ways[move.direction], language), tag=tag, ts=onset)
    return found


def _usual(scene: Scene) -> dict[str, Piece]:
    base, move = scene.sheet.baseline, scene.sheet.move
    if base is None:
        return {}
    tag = move.signal.tag
    day_ns = 86_400_000_000_000
    found: dict[str, Piece] = {}
    for name, number, ts in (
        ("mean", base.mean, base.to_ns),
        ("sd", base.sd, base.to_ns),
        ("yesterday", base.yesterday, scene.sheet.ts - day_ns),
    ):
        if math.isfinite(number):
            found[name] = Piece(_amount(scene, move, number), tag=tag, ts=ts)
    return found


def _others(scene: Scene) -> dict[str, Piece]:
    sheet, language = scene.sheet, scene.language
    found = {"others": Piece(str(len(sheet.others)))}
    for letter, move in zip(LETTERS, scene.others, strict=False):
        tag = move.signal.tag
        onset = move.onset_ns if 0 < move.onset_ns <= sheet.ts else 0
        ts = onset or sheet.ts
        found[letter] = Piece(_name(tag), tag=tag, ts=ts)
        quantity = names.word(names.QUANTITY[move.signal.quantity], language)
        found[f"{letter}_quantity"] = Piece(quantity)
        did = names.did(move.shape, move.direction, language)
        found[f"{letter}_did"] = Piece(did, tag=tag, ts=ts)
        if math.isfinite(move.size):
            found[f"{letter}_size"] = Piece(_amount(scene, move, abs(move.size)), tag=tag, ts=ts)
        if timing(move) in ("before", "after"):
            lead = amounts.duration_text(move.lead_s, language)
            found[f"{letter}_lead"] = Piece(lead, tag=tag, ts=ts)
        if onset:
            found[f"{letter}_onset"] = Piece(_time(scene, onset), tag=tag, ts=onset)
    if sheet.steady:
        found["steady"] = Piece(_name(sheet.steady[0].tag), tag=sheet.steady[0].tag, ts=sheet.ts)
        found["steadies"] = Piece(str(len(sheet.steady)))
    return found


def _past(scene: Scene) -> dict[str, Piece]:
    sheet, language = scene.sheet, scene.language
    found = {"incident": Piece(str(len(sheet.incident)))}
    if sheet.before:
        first = sheet.before[0]
        lead = amounts.duration_text(scene.before_s, language)
        found["before"] = Piece(_name(first.tag), tag=first.tag, ts=first.ts)
        found["before_condition"] = Piece(tame(first.condition, 24) or "?", tag=first.tag)
        found["before_lead"] = Piece(lead, tag=first.tag, ts=first.ts)
        found["befores"] = Piece(str(len(sheet.before)))
    if scene.changes:
        newest = scene.changes[0]
        found["change"] = Piece(names.word(names.CHANGE[newest.kind], language), ts=newest.ts)
        found["change_at"] = Piece(_time(scene, newest.ts), ts=newest.ts)
        ago = amounts.duration_text((sheet.ts - newest.ts) / 1e9, language)
        found["change_ago"] = Piece(ago, ts=newest.ts)
        found["change_what"] = Piece(tame(newest.what, 60))
    hole = scene.hole
    if hole is not None:
        length = amounts.duration_text((hole.to_ns - hole.from_ns) / 1e9, language)
        found["hole"] = Piece(_name(hole.source), ts=hole.from_ns)
        found["hole_length"] = Piece(length, ts=hole.from_ns)
        found["hole_from"] = Piece(_time(scene, hole.from_ns), ts=hole.from_ns)
    found["bad"] = Piece(amounts.amount_text(round(min(sheet.bad_percent, 100.0)), "%"))
    return found


def _causes(scene: Scene) -> dict[str, Piece]:
    language = scene.language
    known = entries()
    found: dict[str, Piece] = {}
    for end, cause in zip(("", "_b"), scene.causes, strict=False):
        found[f"cause{end}"] = Piece(known[cause.id].names[language])
        found[f"check{end}"] = Piece(known[cause.id].checks[language])
    cases = scene.sheet.cases
    if cases:
        found["cases"] = Piece(str(len(cases)))
        found["case_at"] = Piece(_time(scene, cases[0].ts), ts=cases[0].ts)
        if cases[0].cause in known:
            found["case_cause"] = Piece(known[cases[0].cause].names[language])
    return found


def _amount(scene: Scene, move: Move, number: float) -> str:
    return amounts.amount_text(number, scene.unit(move))


def _per_minute(scene: Scene, move: Move) -> str:
    amount = _amount(scene, move, abs(move.rate_per_min))
    return f"毎分{amount}" if scene.language == "ja" else f"{amount} per minute"


def _two(number: float) -> float:
    """With two significant digits: how many standard deviations is never known better."""
    return float(f"{number:.2g}")


def _time(scene: Scene, ts: int) -> str:
    return amounts.time_text(ts, scene.sheet.ts, scene.language, scene.zone)
