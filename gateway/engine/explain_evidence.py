"""Evidence: gathers from history, journal and audit what a sheet of facts is made of.

Runs on a thread that is not the event loop's, with connections that cannot write. What is not
there, or cannot be read, is left out: a damaged day of trends costs a sentence, not the
explanation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.engine.explain_incident import base_of, line_of
from gateway.engine.explain_scene import Scene
from gateway.engine.history_query import Look
from gateway.engine.history_recorder import Recorder
from gateway.engine.store_alarms import gaps_between, read_only
from gateway.engine.store_explain import Explained, cases
from gateway.errors import GatewayError
from models.explainer.evidence import ROWS_MAX, Evidence, Past, Raised, Rows, Track, no_rows
from models.explainer.sheet import Change, FactSheet, Hole
from models.explainer.vocabulary import ChangeKind

SECOND: Final = 10**9
OWN_NS: Final = 3600 * SECOND
"""How far back the alarmed signal is looked at."""
OTHERS_NS: Final = 1200 * SECOND
"""How far back other signals are looked at."""
DAY_NS: Final = 86_400 * SECOND
YESTERDAY_NS: Final = 1800 * SECOND
"""Half the width of what is looked at of the day before."""
CHANGES_NS: Final = DAY_NS
"""What people changed so long before may have to do with it."""
CHANGES_MAX: Final = 20
PAST_MAX: Final = 500
"""Cases that are compared, the newest."""
_CODES: Final = ("BAD", "HEALTH")
"""Conditions whose numbers are codes and mean nothing to people."""
_COUNTER_ROWS_MIN: Final = 20


def gather(scene: Scene, history: Recorder | None, path: Path) -> Evidence:
    """All that is known about an alarm.

    Args:
        scene: What the event loop knows.
        history: The samples; None where none are kept.
        path: The state file.
    """
    event = scene.event
    start = min(event.ts, scene.now)
    return Evidence(
        _raised(event),
        now_ns=scene.now,
        tracks=tuple(_tracks(scene, history)),
        before=tuple(_raised(one) for one in scene.before),
        incident=scene.together,
        holes=tuple(_holes(scene, path, start - OWN_NS, scene.now)),
        changes=tuple(_changes(scene, path)),
        past=tuple(_past(path)),
        started_ns=scene.started,
        clock_set_ns=scene.clock_set,
    )


def _raised(event: AlarmEvent) -> Raised:
    is_number = event.condition not in _CODES
    return Raised(
        event.alarm,
        event.tag,
        event.ts,
        event.condition,
        event.priority,
        event.value if is_number else math.nan,
        event.limit if is_number else math.nan,
        event.occurrence,
        event.unit,
    )


def _tracks(scene: Scene, history: Recorder | None) -> Iterator[Track]:
    event, is_lost = scene.event, scene.event.condition == "COMM"
    own = [tag.name for tag in scene.tags if tag.name in (event.tag, base_of(event.tag))]
    others = [tag.name for tag in scene.tags if tag.name not in own]
    end, day = scene.now + 1, event.ts - DAY_NS
    found = _rows(history, own, event.ts - OWN_NS, end)
    found |= _rows(history, others, event.ts - OTHERS_NS, end)
    before = _rows(history, own, day - YESTERDAY_NS, day + YESTERDAY_NS)
    for tag in scene.tags:
        rows = found.get(tag.name) or no_rows()
        no_news = counts_up(rows.value) or (is_still(rows.value) and not is_lost)
        if tag.name not in own and no_news:
            continue  # Energy and pieces always rise; a switch that nobody touched is no news.
        yield Track(
            tag.name,
            rows,
            tag.unit,
            tag.about,
            tag.low,
            tag.high,
            scene.sources.get(tag.name, ""),
            before.get(tag.name) or no_rows(),
            scene.limits if tag.name == event.tag else (),
        )


def _rows(history: Recorder | None, names: list[str], start: int, end: int) -> dict[str, Rows]:
    """The newest samples of some tags in [start, end) [ns]; none where they cannot be read."""
    if history is None or not names:
        return {}
    found: dict[str, Batch] = {}
    with suppress(GatewayError, OSError), Look(history, start, end) as look:
        found = look.rows_of(names)
    kept = slice(-ROWS_MAX, None)
    return {
        name: Rows(
            np.ascontiguousarray(rows.ts[kept]),
            np.ascontiguousarray(rows.value[kept]),
            np.ascontiguousarray(rows.quality[kept]),
        )
        for name, rows in found.items()
    }


def is_still(value: NDArray[np.float64]) -> bool:
    """Whether a signal has had one value all the time, as a switch or a setpoint has."""
    value = value[np.isfinite(value)]
    return bool(len(value)) and bool(np.all(value == value[0]))


def counts_up(value: NDArray[np.float64]) -> bool:
    """Whether a signal only grows, and does so all the time: a counter, whatever its kind says.

    >>> counts_up(np.arange(100.0)), counts_up(np.repeat([1.0, 5.0], 50))
    (True, False)
    """
    value = value[np.isfinite(value)]
    if len(value) < _COUNTER_ROWS_MIN or not np.all(value[1:] >= value[:-1]):
        return False
    quarters = [value[len(value) * i // 4 : len(value) * (i + 1) // 4] for i in range(4)]
    return all(part[-1] > part[0] for part in quarters)


def _holes(scene: Scene, path: Path, start: int, end: int) -> Iterator[Hole]:
    found: list[dict[str, Any]] = []
    with suppress(GatewayError):
        found = gaps_between(path, start, end)
    for gap in found[:CHANGES_MAX]:
        if gap["flow"] in (scene.flow, "gateway"):
            source = scene.devices.get(gap["source"], gap["source"])
            yield Hole(source, gap["cause"], gap["from"], gap["to"])


def _changes(scene: Scene, path: Path) -> Iterator[Change]:
    start, end = scene.event.ts - CHANGES_NS, scene.now
    if scene.event.ts - CHANGES_NS < scene.started <= end and not scene.is_new:
        yield Change("restart", scene.started)
    rows: list[tuple[int, str, str, str]] = []
    revisions: list[tuple[int, int, str, str]] = []
    with suppress(GatewayError):
        rows, revisions = read_only(
            path,
            lambda db: (
                db.execute(
                    "SELECT ts, actor, action, detail FROM audit WHERE ts>=? AND ts<=?"
                    " AND (action='setpoint/result' OR action LIKE 'alarm/re%_service')"
                    " ORDER BY id DESC LIMIT ?",
                    (start, end, 10 * CHANGES_MAX),
                ).fetchall(),
                db.execute(
                    "SELECT ts, number, author, note FROM revision WHERE flow=? AND ts>=? AND ts<=?"
                    " ORDER BY number DESC LIMIT ?",
                    (scene.flow, start, end, CHANGES_MAX),
                ).fetchall(),
            ),
        )
    for ts, number, author, note in revisions:
        if number > 1 or author != "file":
            yield Change("deploy", ts, f"{scene.flow}: {note}" if note else scene.flow, author)
    left = CHANGES_MAX
    for row in rows:
        found = _change(scene, *row)
        if found is not None and left:
            left -= 1
            yield found


def _change(scene: Scene, ts: int, actor: str, action: str, text: str) -> Change | None:
    """A record of the audit as a change, when it is about the alarm's line."""
    try:
        detail = json.loads(text)
    except ValueError:  # Damaged; `genba audit verify` says so.
        return None
    line = line_of(scene.event.tag)
    if action == "setpoint/result":
        tag = str(detail.get("tag", ""))
        if line_of(tag) != line or detail.get("state") not in ("written", "differs", "sent"):
            return None
        what = f"{tag}: {detail.get('before')} → {detail.get('value')}"
        return Change("setpoint", int(detail.get("ts") or ts), what, actor)
    kind: ChangeKind = "maintenance"
    alarm = str(detail.get("alarm", ""))
    tag = alarm.partition(":")[2].rpartition(":")[0]
    if line_of(tag) != line:
        return None
    return Change(kind, ts, str(detail.get("reason") or action.partition("/")[2]), actor)


def _past(path: Path) -> Iterator[Past]:
    found: list[Explained] = []
    with suppress(GatewayError):
        found = cases(path, PAST_MAX)
    for one in found:
        judged = one.judgement
        if judged is None or judged.verdict not in ("right", "wrong", "other"):
            continue
        with suppress(ValueError):
            sheet = FactSheet.from_json(one.sheet)
            named = one.causes[0][0] if one.causes else ""
            yield Past(sheet, judged.verdict, judged.cause, judged.said, named)  # type: ignore[arg-type]  # checked above


__all__ = ["gather"]
