"""Where labels go on a figure so that none lies over another: a small greedy placer on convex shapes, in display points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
Shape = tuple[Point, ...]  # a convex polygon's corners in order; two points are a segment


def box(center: Point, width: float, height: float, degrees: float = 0.0) -> Shape:
    """Corners of a rectangle turned about its centre, counter-clockwise."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half = ((-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2))
    return tuple((center[0] + x * cosine - y * sine, center[1] + x * sine + y * cosine) for x, y in half)


def overlap(first: Shape, second: Shape) -> bool:
    """Whether two convex shapes share a point (separating-axis theorem); touching counts as apart."""
    return not any(_separates(axis, first, second) for shape in (first, second) for axis in _axes(shape))


def _axes(shape: Shape) -> Iterable[Point]:
    for (x0, y0), (x1, y1) in zip(shape, (*shape[1:], shape[0]), strict=True):
        if (x0, y0) != (x1, y1):
            yield (y0 - y1, x1 - x0)
            if len(shape) == 2:  # a segment has no width: its own direction separates too
                yield (x1 - x0, y1 - y0)


def _separates(axis: Point, first: Shape, second: Shape) -> bool:
    one = [axis[0] * x + axis[1] * y for x, y in first]
    two = [axis[0] * x + axis[1] * y for x, y in second]
    return max(one) <= min(two) or max(two) <= min(one)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places from low to high at least `gap` apart, in the order of the wanted ones and as near to them as can be (least squares).

    Too many for the room stand closer, evenly.
    """
    if len(wanted) > 1:
        gap = min(gap, (high - low) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Less the room of those before it, each place must be no lower than the one before: pool neighbours that are (isotonic regression).
    pools: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        total, count = wanted[index] - rank * gap, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            total, count = total + pools[-1][0], count + pools.pop()[1]
        pools.append((total, count))
    level = [total / count for total, count in pools for _ in range(count)]
    top = high - (len(wanted) - 1) * gap
    placed = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        placed[index] = min(max(level[rank], low), top) + rank * gap
    return placed


def bounds(shape: Shape) -> tuple[float, float, float, float]:
    """Lowest and highest x, lowest and highest y."""
    xs, ys = [x for x, _ in shape], [y for _, y in shape]
    return min(xs), max(xs), min(ys), max(ys)


@dataclass(slots=True)
class Placer:
    """Remembers what is already drawn; gives each new label the first place that is free, or the least crowded one."""

    frame: Shape
    taken: list[Shape] = field(default_factory=list)
    _bounds: list[tuple[float, float, float, float]] = field(default_factory=list)

    def add(self, shape: Shape) -> None:
        """Mark a shape as drawn."""
        self.taken.append(shape)
        self._bounds.append(bounds(shape))

    def hits(self, shape: Shape, ignore: Sequence[Shape] = ()) -> int:
        """How many drawn shapes it would lie over."""
        left, right, bottom, top = bounds(shape)
        return sum(
            overlap(shape, other)
            for other, (low_x, high_x, low_y, high_y) in zip(self.taken, self._bounds, strict=True)
            if low_x < right and left < high_x and low_y < top and bottom < high_y and other not in ignore
        )

    def place(
        self, candidates: Sequence[Shape], ignore: Sequence[Shape] = (), leaders: Sequence[Shape | None] = (), crowded: bool = True
    ) -> int | None:
        """Index of the best candidate that lies inside the frame, and mark it as drawn; None when all leave the frame.

        `ignore` names drawn shapes that may be touched (a label sits on its own line). `leaders`: the line from a candidate to what it
        names, which should touch nothing either and is marked with it. Without `crowded`, None also when no candidate is free.
        """
        best: tuple[int, int] | None = None
        for index, shape in enumerate(candidates):
            if not self.inside(shape):
                continue
            leader = leaders[index] if leaders else None
            parts = [shape] if leader is None else [shape, leader]
            hits = sum(self.hits(part, ignore) for part in parts)
            if best is None or hits < best[0]:
                best = (hits, index)
            if hits == 0:
                break
        if best is None or (best[0] and not crowded):
            return None
        self.add(candidates[best[1]])
        drawn = leaders[best[1]] if leaders else None
        if drawn is not None:
            self.add(drawn)
        return best[1]

    def inside(self, shape: Shape) -> bool:
        """Whether a shape lies within the frame."""
        (left, bottom), (right, top) = self.frame[0], self.frame[2]
        return all(left <= x <= right and bottom <= y <= top for x, y in shape)
