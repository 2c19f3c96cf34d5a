"""Lost: alarms of a device that is away, whose name is that of a source and not of a tag."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from models.explainer import silence
from models.explainer.column import Column
from models.explainer.look import Look
from models.explainer.shape import Form
from models.explainer.sheet import Signal

_SENSORS = re.compile(r"sensor|scale|probe|センサ|秤", re.IGNORECASE)


def signal(source: str) -> Signal:
    """The source as what is alarmed: a network, or a sensor where its name says so.

    >>> signal("rtu_line").asset, signal("wireless_sensors").asset
    ('network', 'sensor')
    """
    return Signal(source[:255], asset="sensor" if _SENSORS.search(source) else "network")


def at(columns: Iterable[Column], condition: str, now_s: float) -> Look:
    """The dropout of a source: it begins with the first of its tags to fall silent.

    Args:
        columns: Its tags' samples, or those of all tags where the sources are not known.
        condition: That of the alarm.
        now_s: Until when there could be samples [s after the alarm].
    """
    if condition not in ("COMM", "STALE", "BAD"):
        return Look(Form(), None, None, 0.0)
    holes = [hole for column in columns if (hole := silence.dropout(column, "", now_s)) is not None]
    begin = min((hole[0] for hole in holes), default=math.nan)
    end = max((hole[1] for hole in holes), default=0.0)
    return Look(Form("dropout", "none", begin), None, None, end)
