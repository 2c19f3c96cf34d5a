"""The block planner: few requests for many points. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodes.modbus._registers import Point, Space

# Source: MODBUS Application Protocol Specification V1.1b3, 6.1 and 6.3.
REGISTERS_MAX: Final = 125
COILS_MAX: Final = 2000


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses of one table, both ends included: what must never be touched."""

    space: Space
    first: int
    last: int

    def meets(self, space: Space, start: int, end: int) -> bool:
        """True when it shares an address with [start, end)."""
        return self.space == space and self.first < end and start <= self.last


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and the points it brings, in the order of their addresses."""

    device: int
    space: Space
    start: int
    count: int
    points: tuple[Point, ...]

    @property
    def words(self) -> str:
        """What a person calls it, such as ``holding 0-9``."""
        last = self.start + self.count - 1
        return f"{self.space} {self.start}" + (f"-{last}" if self.count > 1 else "")


def plan(
    points: Sequence[Point],
    *,
    gap_max: int,
    registers_max: int = REGISTERS_MAX,
    coils_max: int = COILS_MAX,
    forbidden: Sequence[Span] = (),
) -> list[Block]:
    """Read requests that bring every point once, and touch no forbidden address.

    Points are merged into one request while the hole between them is at most `gap_max`
    addresses, the request stays under its limit and the hole holds nothing forbidden.

    Raises:
        ValueError: A point is wider than a request, leaves the table, or is forbidden itself.

    >>> a, b, c = (Point(n, "holding", s) for n, s in (("a", 0), ("b", 4), ("c", 90)))
    >>> [block.words for block in plan([c, a, b], gap_max=8)]
    ['holding 0-4', 'holding 90']
    >>> [block.words for block in plan([a, b], gap_max=8, forbidden=[Span("holding", 2, 2)])]
    ['holding 0', 'holding 4']
    """
    blocks: list[Block] = []
    current: list[Point] = []
    end = 0
    for point in sorted(points, key=_place):
        limit = coils_max if point.space in ("coil", "discrete") else registers_max
        _check(point, limit, forbidden)
        if (
            current
            and (point.device, point.space) == (current[0].device, current[0].space)
            and point.start - end <= gap_max
            and max(end, point.end) - current[0].start <= limit
            and not any(span.meets(point.space, end, point.start) for span in forbidden)
        ):
            current.append(point)
            end = max(end, point.end)
            continue
        if current:
            blocks.append(_block(current))
        current, end = [point], point.end
    if current:
        blocks.append(_block(current))
    return blocks


def split(block: Block) -> list[Block]:
    """Smaller requests for a block that the device refuses; one alone when there are none.

    The first cut takes away all holes, because devices refuse addresses that they do not
    have; after that the rest is halved, so that one bad point is found in log2(n) steps.

    >>> points = [Point(n, "holding", s) for n, s in (("a", 0), ("b", 1), ("c", 9))]
    >>> [part.words for part in split(plan(points, gap_max=9)[0])]
    ['holding 0-1', 'holding 9']
    """
    runs: list[list[Point]] = []
    end = -1
    for point in block.points:
        if point.start > end or not runs:
            runs.append([])
        runs[-1].append(point)
        end = max(end, point.end)
    if len(runs) > 1:
        return [_block(run) for run in runs]
    spans: dict[tuple[int, int], list[Point]] = {}
    for point in block.points:
        spans.setdefault((point.start, point.end), []).append(point)
    groups = list(spans.values())
    if len(groups) == 1:
        return [block]
    middle = len(groups) // 2
    halves = (groups[:middle], groups[middle:])
    return [_block([point for group in half for point in group]) for half in halves]


def _place(point: Point) -> tuple[int, str, int, int, int, str]:
    bit = -1 if point.bit is None else point.bit
    return point.device, point.space, point.start, point.width, bit, point.name


def _block(points: Sequence[Point]) -> Block:
    first = points[0]
    end = max(point.end for point in points)
    return Block(first.device, first.space, first.start, end - first.start, tuple(points))


def _check(point: Point, limit: int, forbidden: Sequence[Span]) -> None:
    if point.width > limit:
        raise ValueError(
            f"{point.name}: {point.type} takes {point.width} registers, a request {limit}."
        )
    if point.end > 0x10000:
        raise ValueError(f"{point.name}: {point.type} at {point.start} leaves the table.")
    for span in forbidden:
        if span.meets(point.space, point.start, point.end):
            raise ValueError(
                f"{point.name}: {point.space} {point.start} is forbidden "
                f"({span.space}:{span.first}-{span.last})."
            )
