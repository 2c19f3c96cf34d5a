"""Ship: whether a model that was just made takes the place of the one that ships.

Both are evaluated on the same alarms, so the verdict depends on no card and no memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any, Final

_PARTS: Final = ("test", "kept", "plant")
_AUTHORS: Final = ("model en", "model ja")
_GAIN: Final = 0.005
"""Half a percent of 600 texts is three: less is chance."""
_LOSS: Final = 0.02
"""What the share of valid texts of one set and language may fall while the mean rises."""


def reasons(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
    """Why the new model must not take the place of the old one; empty when it may.

    Args:
        new: What `evaluate.run` found of the new model.
        old: The same of the one that ships; None when that one knows other words, and is of no
            use any more.
    """
    found = list(_faults(new))
    if old is not None and not found:
        found += _worse(new, old)
    return found


def valid(found: Mapping[str, Any]) -> float:
    """Mean share of valid texts over all sets and languages: the figure that decides."""
    return fmean(found[part][author]["valid"] for part, author in _cells(found))


def _cells(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((part, author) for part in _PARTS if part in found for author in _AUTHORS)


def _faults(new: Mapping[str, Any]) -> Iterator[str]:
    """What no model of ours may do."""
    digits = sum(new[part][author]["texts with a digit"] for part, author in _cells(new))
    if digits:
        yield f"{digits} of its texts have a digit."
    if new["cut off"]:
        yield f"{new['cut off']} of its texts have no end."


def _worse(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    before, now = valid(old), valid(new)
    if now < before + _GAIN:
        yield f"{now:.1%} of its texts are valid, {before:.1%} of those of the one that ships."
    for part, author in _cells(new):
        if part not in old:
            continue
        was, is_now = (one[part][author]["valid"] for one in (old, new))
        if is_now < was - _LOSS:
            yield f"{part}, {author}: {is_now:.1%} are valid, {was:.1%} of the one that ships."


__all__ = ["reasons", "valid"]
