"""Baseline: the mean and sd of a tag while its process was in order, then held."""

from __future__ import annotations

from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from models.kernel import Detector, Kernel, deviation


class Baseline:
    """What a control chart compares with: given, or learnt from the first samples.

    After `rows` samples the baseline stands (phase I of a control chart ends, phase II
    begins). It is learnt anew only when the chart has been beyond its limit for
    `relearn_rows` samples in a row: then the process has a new normal.

    Source: phases I and II, Montgomery (2012), Introduction to Statistical Quality Control,
    7th ed., §5.3.5; mean and M2 by Welford (1962), Technometrics 4(3) 419.

    Args:
        kernel: Where the state is declared.
        rows: Samples to learn from, at least 2.
        resolution: Least sd that counts, in the tag's unit.
        mean: The mean, if it is known; None learns it.
        sd: The standard deviation, if it is known; None learns it.
        relearn_rows: Samples in a row beyond the limit after which to learn anew; 0 never.
    """

    def __init__(
        self,
        kernel: Kernel,
        *,
        rows: int = 50,
        resolution: float = 0.0,
        mean: float | None = None,
        sd: float | None = None,
        relearn_rows: int = 0,
    ) -> None:
        if rows < 2:
            raise ValueError(f"A baseline of {rows} rows has no spread; it needs at least 2.")
        self._given = mean is not None and sd is not None
        self._rows = rows
        self._resolution = resolution
        self._given_mean = mean
        self._given_sd = sd
        self._relearn_rows = relearn_rows
        self._count = kernel.per_tag("baseline_count", 0, np.int32)
        self._mean = kernel.per_tag("baseline_mean", 0.0)
        self._m2 = kernel.per_tag("baseline_m2", 0.0)
        self._beyond = kernel.per_tag("baseline_beyond", 0, np.int32)

    def known(self, tag: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Where the baseline stands, (n,)."""
        if self._given:
            return np.ones(len(tag), np.bool_)
        known: NDArray[np.bool_] = self._count[tag] >= self._rows
        return known

    def learn(self, tag: NDArray[np.intp], value: NDArray[np.float64]) -> None:
        """Take in one sample of each tag whose baseline does not stand yet, (n,)."""
        count = self._count[tag] + 1
        mean = self._mean[tag]
        delta = value - mean
        mean = mean + delta / count
        self._count[tag] = count
        self._mean[tag] = mean
        self._m2[tag] += delta * (value - mean)

    def standardised(
        self, tag: NDArray[np.intp], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(value - mean) ÷ sd of tags whose baseline stands, (n,)."""
        mean = self._mean[tag] if self._given_mean is None else np.float64(self._given_mean)
        if self._given_sd is None:
            sd = np.sqrt(self._m2[tag] / (self._rows - 1))
        else:
            sd = np.full(len(tag), self._given_sd)
        return deviation(value, np.broadcast_to(mean, len(tag)), sd, self._resolution)

    def outlived(self, tag: NDArray[np.intp], beyond: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The tags whose baseline is dropped now, after too long a run beyond the limit."""
        if self._relearn_rows == 0 or self._given:
            return tag[:0]
        run = np.where(beyond, self._beyond[tag] + 1, 0)
        over = run >= self._relearn_rows
        self._beyond[tag] = np.where(over, 0, run)
        dropped = tag[over]
        self._count[dropped] = 0
        self._mean[dropped] = 0.0
        self._m2[dropped] = 0.0
        return dropped


class BaselineOptions(TypedDict, total=False):
    """What `Baseline` takes, see there."""

    rows: int
    resolution: float
    mean: float | None
    sd: float | None
    relearn_rows: int


class Chart(Detector):
    """A control chart: while the baseline of a tag is learnt there is no score.

    Args:
        limit: Number of tag codes.
        baseline: What `Baseline` takes.
    """

    def __init__(self, limit: int, **baseline: Unpack[BaselineOptions]) -> None:
        super().__init__(limit)
        self._baseline = Baseline(self, **baseline)

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        known = self._baseline.known(tag)
        if known.all():
            return self._chart(tag, value)
        self._baseline.learn(tag[~known], value[~known])
        score = np.full(len(tag), np.nan)
        score[known] = self._chart(tag[known], value[known])
        return score

    def _chart(self, tag: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score tags whose baseline stands, (n,)."""
        raise NotImplementedError
