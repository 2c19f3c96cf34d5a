"""What feature nodes share: names, units and qualities of features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gateway import Batch, Context, Room, Windows, quality

PARENT = "parent"
"""Stands for the unit of the tag itself."""
PER_SECOND = "parent/s"
"""Stands for the unit of the tag, a second."""


class Features:
    """Turns a table of features, one row a window, into samples of derived tags.

    Args:
        ctx: Of the node.
        names: What each feature is called after the `#`, f of them.
        units: UCUM unit of each, or `PARENT` or `PER_SECOND`.
        good_percent_min: Windows with fewer good samples give uncertain features.
        about_quality: Features that are facts about the quality, and so are always good.
    """

    def __init__(
        self,
        ctx: Context,
        names: Sequence[str],
        units: Sequence[str],
        good_percent_min: float,
        about_quality: frozenset[str] = frozenset(),
    ) -> None:
        self._tags = tags = ctx.tags
        self._room = Room(ctx)
        self._names = names
        self._units = units
        self._good_percent_min = good_percent_min
        self._exempt = np.array([name in about_quality for name in names], np.bool_)
        # Read from the tag table again after a restart, so it is no state.
        self._codes = np.zeros((tags.limit, len(names)), np.uint16)
        self._known = np.zeros(tags.limit, np.bool_)

    def samples(
        self, windows: Windows, table: NDArray[np.float64], percent_good: NDArray[np.float64]
    ) -> Batch:
        """k · f samples at the ends of the windows, window by window, but for tags without room.

        Args:
            windows: k of them.
            table: The features, (k, f); NaN where a window cannot have one.
            percent_good: Share of good samples of each window [%], (k,).
        """
        batch = Batch.columns(
            self._derived(windows.tag).ravel(),
            windows.end.repeat(len(self._names)),
            table.ravel(),
            self._status(percent_good),
        )
        known: NDArray[np.bool_] = self._known[windows.tag]
        return self._room.kept(batch, known.repeat(len(self._names)))

    def _status(self, percent_good: NDArray[np.float64]) -> NDArray[np.uint32] | None:
        """Quality of each feature, (k · f,), or None when all are good, as mostly."""
        if not np.count_nonzero(percent_good < max(self._good_percent_min, 1e-9)):
            return None
        few = percent_good < self._good_percent_min
        status = np.where(few, np.uint32(quality.UNCERTAIN_SUBNORMAL), np.uint32(quality.GOOD))
        status = np.where(percent_good <= 0, np.uint32(quality.BAD), status)
        return np.where(self._exempt, np.uint32(quality.GOOD), status[:, None]).ravel()

    def _derived(self, tag: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """Codes of the derived tags, (k, f); new ones are made in the windows' order."""
        at = tag.astype(np.intp)  # Indexes a few rows five times as fast as uint16 does.
        known = self._known[at]
        if np.count_nonzero(known) < len(known):
            for code in dict.fromkeys(tag[~known].tolist()):
                self._derive(code)
        return self._codes[at]

    def _derive(self, code: int) -> None:
        parent = self._tags[code].unit
        units = {PARENT: parent, PER_SECOND: f"{parent}/s" if parent else ""}
        for column, (name, unit) in enumerate(zip(self._names, self._units, strict=True)):
            of = units.get(unit, unit)
            derived = self._room.made(partial(self._tags.derive, code, name, unit=of))
            if derived is None:
                return
            self._codes[code, column] = derived
        self._known[code] = True
