"""Ring: the last rows of every tag, in columns that grow with the busiest tag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_CAPACITY_START = 16


class Ring:
    """The last rows of each tag, oldest first, at most `rows_max` of them.

    Cells are (limit, capacity) per column and lazily paged, so a tag nobody uses costs
    address space and no memory. The capacity doubles when the busiest tag needs it.

    Args:
        limit: Number of tag codes.
        rows_max: Rows kept per tag.
        columns: Type of each column by name.
    """

    def __init__(self, limit: int, rows_max: int, columns: Mapping[str, DTypeLike]) -> None:
        if rows_max < 1:
            raise ValueError(f"rows_max is {rows_max}; a ring needs at least one row.")
        self.rows_max = rows_max
        self.count = np.zeros(limit, np.intp)
        """Rows held, (limit,)."""
        self._limit = limit
        self._head = np.zeros(limit, np.intp)
        self._capacity = _CAPACITY_START
        self._columns = {
            name: np.zeros(limit * self._capacity, kind) for name, kind in columns.items()
        }

    def __getitem__(self, column: str) -> NDArray[Any]:
        """The cells of a column, flat, until the next `append`; `slot` finds a row."""
        return self._columns[column]

    def slot(self, tag: NDArray[np.intp], row: NDArray[np.intp] | int) -> NDArray[np.intp]:
        """Where the row-th oldest row of each tag lies in the flat columns, (n,)."""
        return tag * self._capacity + ((self._head[tag] + row) & (self._capacity - 1))

    def first(self, tag: NDArray[np.intp]) -> NDArray[np.intp]:
        """`slot` of the oldest row of each tag, (n,)."""
        return tag * self._capacity + self._head[tag]

    def slots(self, tag: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """(slot, held), both (n, m): all rows of n tags, oldest first, m of the longest.

        A cell that is not held points at some slot of its tag; its content means nothing.
        """
        count = self.count[tag]
        row = np.arange(count.max(initial=0))
        within = (self._head[tag][:, None] + row) & (self._capacity - 1)
        return tag[:, None] * self._capacity + within, row < count[:, None]

    def oldest(self, tag: NDArray[np.intp], column: str) -> NDArray[Any]:
        """The oldest row's cell (n,); it means nothing where a tag has no row."""
        cells: NDArray[Any] = self._columns[column][self.first(tag)]
        return cells

    def newest(self, tag: NDArray[np.intp], column: str) -> NDArray[Any]:
        """The newest row's cell (n,); it means nothing where a tag has no row."""
        cells: NDArray[Any] = self._columns[column][self.slot(tag, self.count[tag] - 1)]
        return cells

    def append(self, tag: NDArray[np.intp], **cells: NDArray[Any]) -> None:
        """Add one row to each tag (n,), which has room; no tag repeats."""
        count = self.count[tag]
        if np.count_nonzero(count >= min(self._capacity, self.rows_max)):
            assert (count < self.rows_max).all(), "drop a row before appending to a full ring"
            while count.max() >= self._capacity:
                self._grow()
        slot = self.slot(tag, count)
        for name, cell in cells.items():
            self._columns[name][slot] = cell
        self.count[tag] = count + 1

    def drop(self, tag: NDArray[np.intp]) -> None:
        """Forget the oldest row of each tag (n,), which has one."""
        self._head[tag] = (self._head[tag] + 1) & (self._capacity - 1)
        self.count[tag] -= 1

    def clear(self, tag: NDArray[np.intp]) -> None:
        """Forget all rows of each tag (n,)."""
        self._head[tag] = 0
        self.count[tag] = 0

    def save(self, tag: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """The rows of these tags, one tag after the other, oldest first; and ``count``."""
        slot, held = self.slots(tag)
        where = slot[held]
        state: dict[str, NDArray[Any]] = {"count": self.count[tag]}
        state.update({name: cells[where] for name, cells in self._columns.items()})
        return state

    def check(self, state: Mapping[str, NDArray[Any]], tags: int) -> None:
        """Raise ValueError unless `state` is what `save` gave for as many tags."""
        if set(state) != {"count", *self._columns}:
            raise ValueError(f"a ring holds {sorted(self._columns)}, the state {sorted(state)}")
        count = state["count"]
        if count.shape != (tags,) or np.any(count < 0) or np.any(count > self.rows_max):
            raise ValueError(f"ring counts do not fit {tags} tags of at most {self.rows_max} rows")
        rows = int(count.sum())
        for name in self._columns:
            if state[name].shape != (rows,):
                raise ValueError(f"{name} has shape {state[name].shape}, expected ({rows},)")

    def load(self, tag: NDArray[np.intp], state: Mapping[str, NDArray[Any]]) -> None:
        """Replace everything by what `save` gave."""
        self.check(state, len(tag))
        self._head[:] = 0
        self.count[:] = 0
        count = state["count"].astype(np.intp)
        while count.max(initial=0) > self._capacity:
            self._grow()
        self.count[tag] = count
        slot, held = self.slots(tag)
        where = slot[held]
        for name, cells in self._columns.items():
            cells[where] = state[name]

    def _grow(self) -> None:
        """Double the capacity; only tags that hold rows are copied."""
        tag = np.flatnonzero(self.count)
        old_slot, held = self.slots(tag)
        old = old_slot[held]
        self._capacity *= 2
        self._head[:] = 0
        new_slot, _ = self.slots(tag)
        new = new_slot[held]
        for name in self._columns:
            cells = np.zeros(self._limit * self._capacity, self._columns[name].dtype)
            cells[new] = self._columns[name][old]
            self._columns[name] = cells
