"""Kernel: mathematics with state per tag; no clock, no I/O, no globals.

The same class runs in a step, in a flow test and inside a distributed engine, with the
same bits: each tag's numbers depend on that tag's samples and their order alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.ring import Ring

VALUE_MAX = 1e150
"""Greatest magnitude a detector works with: the square of anything larger overflows."""

SCORE_MAX = 1e6
"""Greatest magnitude of a score: what a deviation from a signal without spread gets."""

_SPREAD_MIN = 1e-150
"""Spreads below this count as none: twice `VALUE_MAX` over it is still a float64."""


class Kernel:
    """State as arrays indexed by tag code, declared once, saved for the tags in use.

    Args:
        limit: Number of tag codes, 1 to 65,536.
    """

    def __init__(self, limit: int) -> None:
        if not 1 <= limit <= 65_536:
            raise ValueError(f"limit is {limit}; tag codes are uint16, so it is 1 to 65,536.")
        self.limit = limit
        self._used = np.zeros(limit, np.bool_)
        self._arrays: dict[str, tuple[NDArray[Any], Any]] = {}
        self._rings: dict[str, Ring] = {}

    def per_tag(
        self, name: str, fill: Any = 0, dtype: DTypeLike = np.float64, width: int | None = None
    ) -> NDArray[Any]:
        """Declare state: a cell a tag (limit,), or `width` cells a tag (limit, width).

        Wide arrays start at zero and are lazily paged: unused tags cost no memory.
        """
        assert name not in {*self._arrays, "tag"}
        assert "." not in name, "a dot parts a ring from its columns"
        if width is None:
            array = np.full(self.limit, fill, dtype)
        else:
            assert fill == 0, "a wide array starts at zero, or it would touch all its memory"
            array = np.zeros((self.limit, width), dtype)
        self._arrays[name] = (array, fill)
        return array

    def ring(self, name: str, rows_max: int, columns: Mapping[str, DTypeLike]) -> Ring:
        """Declare a ring: the last `rows_max` rows of each tag."""
        assert name not in self._rings
        assert "." not in name, "a dot parts a ring from its columns"
        self._rings[name] = Ring(self.limit, rows_max, columns)
        return self._rings[name]

    def use(self, tag: NDArray[np.intp]) -> None:
        """Say that these tags have state from now on; only they are saved."""
        self._used[tag] = True

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of the state of the t tags in use; cost and size follow t and rows held."""
        tag = np.flatnonzero(self._used)
        state: dict[str, NDArray[Any]] = {"tag": tag.astype(np.uint16)}
        state.update({name: array[tag] for name, (array, _) in self._arrays.items()})
        for name, ring in self._rings.items():
            state.update({f"{name}.{key}": cells for key, cells in ring.save(tag).items()})
        return state

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `save` gave, in place; nothing changes unless all of it fits.

        Raises:
            ValueError: The state is of another kernel or of another shape.
        """
        tag, rings = self._checked(state)
        before = np.flatnonzero(self._used)
        self._used[:] = False
        self._used[tag] = True
        for name, (array, fill) in self._arrays.items():
            array[before] = fill
            array[tag] = state[name]
        for name, ring in self._rings.items():
            ring.load(tag, rings[name])

    def _checked(
        self, state: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.intp], dict[str, dict[str, NDArray[Any]]]]:
        rings: dict[str, dict[str, NDArray[Any]]] = {name: {} for name in self._rings}
        plain = set()
        for key in state:
            name, dot, column = key.partition(".")
            if dot and name in rings:
                rings[name][column] = state[key]
            else:
                plain.add(key)
        if plain != {"tag", *self._arrays}:
            raise ValueError(f"state has {sorted(plain)}, expected {['tag', *self._arrays]}")
        tag = state["tag"].astype(np.intp)
        if tag.ndim != 1 or np.any(np.diff(tag) <= 0) or np.any((tag < 0) | (tag >= self.limit)):
            raise ValueError(f"state has tag codes that do not fit a limit of {self.limit}")
        for name, (array, _) in self._arrays.items():
            expected = (len(tag), *array.shape[1:])
            if state[name].shape != expected:
                raise ValueError(f"{name} has shape {state[name].shape}, expected {expected}")
            if not np.can_cast(state[name].dtype, array.dtype, "same_kind"):
                raise ValueError(f"{name} is {state[name].dtype}, expected {array.dtype}")
        for name, ring in self._rings.items():
            ring.check(rings[name], len(tag))
        return tag, rings


class Detector(Kernel):
    """Scores samples: how unusual each is, in the unit its docstring names.

    A sample is scored first and learnt afterwards: a detector must not learn an anomaly
    before it has judged it. NaN means that too little is known yet.
    """

    def score(
        self, tag: NDArray[np.uint16], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Score one round, then learn from it.

        Args:
            tag: Codes, (n,); no tag repeats.
            ts: Source timestamps [ns], (n,).
            value: Samples, (n,); what is not finite, or beyond `VALUE_MAX`, gets no score
                and is not learnt.

        Returns:
            Scores (n,), NaN while not enough is known.
        """
        codes = tag.astype(np.intp)
        usable = np.abs(value) <= VALUE_MAX
        if np.count_nonzero(usable) == len(usable):
            self.use(codes)
            return self._round(codes, ts, value)
        scores = np.full(len(value), np.nan)
        if usable.any():
            self.use(codes[usable])
            scores[usable] = self._round(codes[usable], ts[usable], value[usable])
        return scores

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        raise NotImplementedError


def deviation(
    value: NDArray[np.float64],
    centre: NDArray[np.float64],
    spread: NDArray[np.float64],
    resolution: float,
) -> NDArray[np.float64]:
    """(value - centre) ÷ spread, with its sign and never infinite, (n,).

    The spread counts as at least `resolution`. Where both are zero, what equals the centre
    scores 0 and anything else ±`SCORE_MAX`: the signal had been exactly constant.

    >>> x, centre, spread = np.array([5.0, 5.0, 6.0]), np.full(3, 5.0), np.zeros(3)
    >>> deviation(x, centre, spread, 0.0), deviation(x, centre, spread, 0.5)
    (array([      0.,       0., 1000000.]), array([0., 0., 2.]))
    """
    ratio = (value - centre) / np.maximum(spread, max(resolution, _SPREAD_MIN))
    limited: NDArray[np.float64] = np.minimum(np.maximum(ratio, -SCORE_MAX), SCORE_MAX)
    return limited


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds of a time in seconds, capped where int64 timestamps end.

    >>> nanoseconds(0.25), nanoseconds(float("inf")) == 2**62
    (250000000, True)
    """
    return int(min(round(seconds * 1e9), 2**62)) if seconds < 4e9 else 2**62
