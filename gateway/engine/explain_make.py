"""Makes an explanation without a model: evidence, facts, causes and the template's text.

A function of what is stored and of a scene, for a thread that is not the event loop's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.engine.explain_evidence import gather
from gateway.engine.explain_queue import Wish
from gateway.engine.explain_scene import Scene
from gateway.engine.history_recorder import Recorder
from gateway.engine.store_explain import Explained
from models.explainer import causes, facts, template
from models.explainer.causes import Cause
from models.explainer.sheet import FactSheet
from models.explainer.text import LANGUAGES, Explanation, Language

_LOCALTIME: Final = Path("/etc/localtime")
_ZONES: Final = "zoneinfo/"


@dataclass(frozen=True, slots=True)
class Made:
    """What was found out about an alarm.

    Args:
        sheet: The facts.
        causes: The likeliest causes.
        texts: The template's text by language.
        moved: Tags that moved with the alarmed one, however many.
    """

    sheet: FactSheet
    causes: tuple[Cause, ...]
    texts: dict[Language, Explanation]
    moved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """An explanation that a model may say better.

    Args:
        wish: What was wished.
        row: What the template has said.
        made: The facts.
    """

    wish: Wish
    row: Explained
    made: Made


def make(scene: Scene, history: Recorder | None, path: Path, zone: str) -> Made:
    """Find out what there is to know of an alarm, and say it.

    Args:
        scene: What the event loop knows.
        history: The samples; None where none are kept.
        path: The state file.
        zone: IANA name of the time zone of the texts.
    """
    sheet, moved = facts.look_into(gather(scene, history, path))
    ranked = causes.rank(sheet)
    texts = {one: template.explain(sheet, one, causes=ranked, zone=zone) for one in LANGUAGES}
    return Made(sheet, ranked, texts, moved)


def local_zone() -> str:
    """IANA name of this machine's time zone; UTC where it has none."""
    names = [os.environ.get("TZ", "").lstrip(":")]
    try:
        names.append(str(_LOCALTIME.resolve()).partition(_ZONES)[2])
    except OSError:
        names.append("")
    for name in filter(None, names):
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"


__all__ = ["Job", "Made", "local_zone", "make"]
