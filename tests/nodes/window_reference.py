"""What each window node should do, row by row, in plain Python: the model for the tests."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict

S = 1_000_000_000
Row = tuple[int, int, float, int]
Window = tuple[int, int, int, tuple[Row, ...]]


class Reference:
    """Shared: a watermark for each tag, late rows, closed windows in order."""

    def __init__(self, now=10**9 * S, lateness_s=0, future_max_s=3600, **config):
        self.config = {key.removesuffix("_s"): v for key, v in config.items()}
        self.size, self.hop, self.every, self.gap, self.max = (
            round(config.get(f"{name}_s", default) * S)
            for name, default in (("size", 0), ("hop", 0), ("every", 0), ("gap", 0), ("max", 3600))
        )
        self.lateness, self.horizon = round(lateness_s * S), now + round(future_max_s * S)
        self.mark = defaultdict(lambda: -(2**63))
        self.waits = defaultdict(list)
        self.out, self.late = [], []
        self.serial = 0

    def feed(self, rows):
        for row in rows:
            self.serial += 1
            tag, ts = row[0], row[1]
            if ts > self.horizon:
                self.late.append(row)
                continue
            if not self.take(row):
                self.late.append(row)
            self.mark[tag] = max(self.mark[tag], ts - self.lateness)
            self.close(tag)
        return self

    def emit(self, tag, start, end, rows):
        self.out.append((tag, start, end, tuple(rows)))


class Fixed(Reference):
    """Tumbling and hopping."""

    def starts(self, ts):
        hop = self.hop or self.size
        first = ts // hop * hop
        return [s for s in range(first, first - self.size - hop, -hop) if s <= ts < s + self.size]

    def take(self, row):
        spans = self.starts(row[1])
        fits = [s for s in spans if s + self.size > self.mark[row[0]]]
        for start in fits:
            insort(self.waits[row[0]], (start, row[1], self.serial, row))
        return bool(fits) or not spans

    def close(self, tag):
        waits = self.waits[tag]
        while waits and waits[0][0] + self.size <= self.mark[tag]:
            start = waits[0][0]
            self.emit(tag, start, start + self.size, (w[3] for w in waits if w[0] == start))
            self.waits[tag] = waits = [w for w in waits if w[0] != start]


class Sliding(Reference):
    def take(self, row):
        if row[1] < self.mark[row[0]]:
            return False
        insort(self.waits[row[0]], (row[1], self.serial, row))
        return True

    def close(self, tag):
        done = self.config.setdefault("done", defaultdict(list))
        periods = self.config.setdefault("periods", defaultdict(lambda: -(2**63)))
        while self.waits[tag] and self.waits[tag][0][0] <= self.mark[tag]:
            ts, _, row = self.waits[tag].pop(0)
            done[tag].append(row)
            period = ts // self.every if self.every else None
            if period is None or period > periods[tag]:
                rows = (r for r in done[tag] if r[1] > ts - self.size)
                self.emit(tag, ts - self.size, ts, rows)
                periods[tag] = period if period is not None else periods[tag]


class Session(Reference):
    def take(self, row):
        if row[1] < self.mark[row[0]]:
            return False
        insort(self.waits[row[0]], (row[1], self.serial, row))
        return True

    def close(self, tag):
        left = self.config.setdefault("left", {})
        while self.waits[tag]:
            rows = self.waits[tag]
            first = rows[0][0]
            anchor, end = left.get(tag, (first, first - self.gap))
            if first - end >= self.gap:
                anchor = first
            piece = (first - anchor) // self.max
            n = 1
            while (
                n < len(rows)
                and rows[n][0] - rows[n - 1][0] < self.gap
                and (rows[n][0] - anchor) // self.max == piece
            ):
                n += 1
            last = rows[n - 1][0]
            if min(last + self.gap, anchor + (piece + 1) * self.max) > self.mark[tag]:
                return
            self.emit(tag, first, last, (r[2] for r in rows[:n]))
            left[tag] = (anchor, last)
            self.waits[tag] = rows[n:]


class Arrival(Reference):
    """Count and state: order of arrival decides, rows are sorted within a window."""

    def emit(self, tag, start, end, rows):
        rows = sorted(rows, key=lambda r: r[1])
        super().emit(tag, rows[0][1], rows[-1][1], rows)

    def close(self, tag):
        pass


class Count(Arrival):
    def take(self, row):
        size = self.config["size"]
        every = self.config.get("every") or size
        rows = self.waits[row[0]]
        rows.append(row)
        n = len(rows)
        if n >= size and (n - size) % every == 0:
            self.emit(row[0], 0, 0, rows[n - size :])
        return True


class State(Arrival):
    def holds(self, value):
        when, limit = self.config.get("when", "same"), self.config.get("value", 0)
        if when == "same":
            return value
        tests = {"above": value > limit, "below": value < limit, "equal": value == limit}
        return float(tests[when])

    def take(self, row):
        tag, ts, value, quality = row
        runs = self.config.setdefault("runs", {})
        key, anchor, piece, rows = runs.get(tag, (None, 0, 0, []))
        now = key if quality >= 2**31 else self.holds(value)
        fresh = now != key or key is None
        if fresh or tag not in runs:
            anchor, number = ts, 0
        else:
            number = max(piece, (ts - anchor) // self.max, 0)
        if (fresh or number > piece) and rows:
            self.emit(tag, 0, 0, rows)
            rows = []
        if now is not None and (self.config.get("when", "same") == "same" or now == 1):
            rows.append(row)
        runs[tag] = (now, anchor, number, rows)
        return True
