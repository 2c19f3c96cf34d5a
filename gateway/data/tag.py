"""Tags: named variables, and the table that gives each a small number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from gateway.errors import LimitError

TAGS_MAX: Final = 65_535  # codes are uint16, because numpy sorts those by radix
DERIVED_SHARE: Final = 0.2
"""The share of a gateway's tag table that is kept for derived tags; see `TagTable`."""
_DERIVED: Final = "#"
Kind = Literal["gauge", "counter", "state"]


@dataclass(frozen=True, slots=True)
class Tag:
    """One measured or computed variable.

    Values are float64: integers are exact up to 2**53.

    Args:
        name: ``site/area/line/unit/measure`` in lower case; derived tags add ``#feature``.
        unit: UCUM code, such as ``Cel`` or ``mm/s``; empty when unknown.
        low: Lower end of the expected range, in `unit`; NaN when unknown.
        high: Upper end of the expected range, in `unit`; NaN when unknown.
        kind: gauge (a level), counter (only grows) or state (a code).
        about: One sentence for people.

    Source: OPC 10000-8 v1.05, 6.2 EURange and 6.3 EngineeringUnits; UCUM 2.1.
    """

    name: str
    unit: str = ""
    low: float = float("nan")
    high: float = float("nan")
    kind: Kind = "gauge"
    about: str = ""


class TagTable:
    """Tag names and their codes: append-only, so that a code never changes its meaning.

    Whoever may publish can make tags, in the first second more than there is room for, while a
    mean is a tag only when its first window has closed. So derived tags (``<tag>#<feature>``)
    have places that no other tag takes.

    Args:
        limit: How many tags there may be; also the length of every per-tag array.
        reserve: How many of them only derived tags may be.
    """

    def __init__(self, limit: int = 10_000, reserve: int = 0) -> None:
        assert 0 < limit <= TAGS_MAX
        assert 0 <= reserve < limit
        self.limit = limit
        self.measured_max = limit - reserve
        """How many tags there may be that are not derived."""
        self._measured = 0
        self._codes: dict[str, int] = {}
        self._tags: list[Tag] = []
        self._span = np.full(limit, np.nan)
        self.version = 0
        """Grows with every change, so that readers know when to look again."""

    def __len__(self) -> int:
        return len(self._tags)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self._tags)

    def __contains__(self, name: object) -> bool:
        return name in self._codes

    @property
    def is_full(self) -> bool:
        """True when a tag that is not derived finds no place, and so perhaps no other."""
        return self._measured >= self.measured_max or len(self._tags) >= self.limit

    @property
    def span(self) -> NDArray[np.float64]:
        """high - low by code, (limit,); NaN where the range is not known."""
        return self._span

    def code(self, name: str) -> int:
        """The code of a tag, which is made when the name is new.

        Raises:
            LimitError: The table is full.
        """
        known = self._codes.get(name)
        return self.add(Tag(name)) if known is None else known

    def add(self, tag: Tag) -> int:
        """Make a tag, or fill in what was not known of it; a known fact is kept.

        Raises:
            LimitError: The table is full.
        """
        number = self._codes.get(tag.name)
        if number is None:
            self._check_room(tag.name)
            number = self._append(tag)
        else:
            old = self._tags[number]
            changes: dict[str, Any] = {}
            if tag.unit and not old.unit:
                changes["unit"] = tag.unit
            if tag.about and not old.about:
                changes["about"] = tag.about
            if tag.kind != "gauge" and old.kind == "gauge":
                changes["kind"] = tag.kind
            for side in ("low", "high"):
                if np.isnan(getattr(old, side)) and not np.isnan(getattr(tag, side)):
                    changes[side] = getattr(tag, side)
            if not changes:
                return number
            self._tags[number] = tag = replace(old, **changes)
        self._span[number] = self._tags[number].high - self._tags[number].low
        self.version += 1
        return number

    def _check_room(self, name: str) -> None:
        is_full = len(self._tags) >= self.limit if _DERIVED in name else self.is_full
        if is_full:
            raise LimitError(
                "tags_max", self.limit, f"No room for tag {name!r}: narrow a topic filter."
            )

    def _append(self, tag: Tag) -> int:
        self._codes[tag.name] = number = len(self._tags)
        self._tags.append(tag)
        self._measured += _DERIVED not in tag.name
        return number

    def derive(self, code: int, feature: str, *, unit: str | None = None) -> int:
        """The code of ``<tag>#<feature>``; it has the parent's unit unless another is given."""
        parent = self._tags[code]
        name = f"{parent.name}#{feature}"
        known = self._codes.get(name)
        if known is not None:
            return known
        return self.add(Tag(name, unit=parent.unit if unit is None else unit))

    def __getitem__(self, code: int) -> Tag:
        return self._tags[code]

    def name(self, code: int) -> str:
        """The name behind a code."""
        return self._tags[code].name

    def names(self) -> list[str]:
        """All names, by code."""
        return [tag.name for tag in self._tags]

    def match(self, pattern: str) -> NDArray[np.uint16]:
        """Codes of the tags a filter names: ``+`` is one level, ``#`` at the end is all below."""
        fits = pattern_of(pattern)
        return np.array(
            [code for code, tag in enumerate(self._tags) if fits(tag.name)], dtype=np.uint16
        )

    def dump(self) -> list[dict[str, Any]]:
        """All tags as plain values, by code, for storing."""
        rows = []
        for tag in self._tags:
            row = asdict(tag)
            rows.append({k: None if v != v else v for k, v in row.items()})
        return rows

    def load(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Fill an empty table with what `dump` gave, code for code; the reserve binds new tags.

        Raises:
            LimitError: There are more than `limit`.
        """
        assert not self._tags, "a table is loaded before it is used"
        measured_max, self.measured_max = self.measured_max, self.limit
        for row in rows:
            known: dict[str, Any] = {k: v for k, v in row.items() if v is not None}
            self.add(Tag(**known))
        self.measured_max = measured_max


class pattern_of:  # noqa: N801 - reads as a function
    """A compiled tag filter: ``press1/+/pressure``, ``press1/#``, or one exact name.

    ``#`` at the end takes everything below; derived tags (``oil#mean``) are a name of their
    own and match only a filter that spells out the feature, or ``#`` as a whole level.

    >>> fits = pattern_of("press1/+/pressure")
    >>> fits("press1/oil/pressure"), fits("press1/oil/temperature")
    (True, False)
    >>> pattern_of("press1/#")("press1/oil/pressure#mean"), pattern_of("a/b#mean")("a/b#mean")
    (True, True)
    """

    def __init__(self, pattern: str) -> None:
        levels = []
        parts = pattern.split("/")
        for position, part in enumerate(parts):
            if part == "#" and position == len(parts) - 1:
                levels.append(".*")
            elif part.startswith("+"):
                levels.append("[^/#]+" + re.escape(part[1:]))
            else:
                levels.append(re.escape(part))
        self._regex = re.compile("/".join(levels) + r"\Z", re.DOTALL)

    def __call__(self, name: str) -> bool:
        return self._regex.match(name) is not None
