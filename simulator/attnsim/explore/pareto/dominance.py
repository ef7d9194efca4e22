"""Which of many points no other point dominates: exact, in memory that grows with the front and not with the points.

A point dominates another when it is as good in every objective and better in at least one. Equal points do not dominate each other: all
of them are kept. Every objective is minimised here; whoever maximises negates.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]

BUFFER = 1 << 12
"""Points held back before the front is made anew; more where the front itself is larger, so that this stays n log n."""
GUARDS = 32
"""Points of the front that new points are held against first, with three objectives or more."""
BLOCK = 256
CELLS = 1 << 22
"""Comparisons made at once, a byte each."""


def nondominated(values: Floats) -> Flags:
    """Which rows of (points, objectives) no other row dominates. Values may be infinite, but not NaN.

    One objective: n. Two and three: n log n (sort and scan; a sweep over a staircase). More: blocks of the best points remove what they
    dominate, n times the size of the front at worst.
    """
    count, objectives = values.shape
    if count == 0 or objectives == 0:
        return np.ones(count, dtype=np.bool_)
    if objectives == 1:
        return np.asarray(values[:, 0] == values[:, 0].min())
    order = np.lexsort(values.T[::-1])
    rows = values[order]
    first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
    different = rows[first]
    kept = {2: _scan, 3: _sweep}.get(objectives, _blocks)(different)
    found = np.empty(count, dtype=np.bool_)
    found[order] = kept[np.cumsum(first) - 1]
    return found


def _scan(rows: Floats) -> Flags:
    """Two objectives, rows different and sorted: a row stays when its second value is below all before it."""
    best = np.minimum.accumulate(rows[:, 1])
    return np.concatenate([[True], rows[1:, 1] < best[:-1]])


def _sweep(rows: Floats) -> Flags:
    """Three objectives, rows different and sorted: along the first one, the front of the other two is a staircase."""
    kept = np.zeros(len(rows), dtype=np.bool_)
    seconds: list[float] = []
    thirds: list[float] = []
    for index, (second, third) in enumerate(zip(rows[:, 1].tolist(), rows[:, 2].tolist(), strict=True)):
        before = bisect_right(seconds, second) - 1
        if before >= 0 and thirds[before] <= third:
            continue
        kept[index] = True
        start = end = bisect_left(seconds, second)
        while end < len(thirds) and thirds[end] >= third:
            end += 1
        seconds[start:end] = [second]
        thirds[start:end] = [third]
    return kept


def _blocks(rows: Floats) -> Flags:
    """Any number of objectives, rows different. By the sum of its ranks no row is dominated by a later one."""
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in rows.T], axis=1).astype(np.int32)
    rest = np.argsort(ranks.sum(axis=1, dtype=np.int64), kind="stable")
    kept = np.zeros(len(rows), dtype=np.bool_)
    while len(rest):
        head, rest = rest[:BLOCK], rest[BLOCK:]
        head = head[~_dominated(ranks[head], ranks[head], itself=True)]
        kept[head] = True
        rest = rest[~_dominated(ranks[rest], ranks[head])]
    return kept


def _dominated(rows: NDArray[np.int32], by: NDArray[np.int32], itself: bool = False) -> Flags:
    """Which rows one of `by`, all different from them, dominates; `itself`: both are the same rows."""
    found = np.zeros(len(rows), dtype=np.bool_)
    step = max(1, CELLS // max(1, len(by)))
    for start in range(0, len(rows), step):
        worse = np.ones((len(rows[start : start + step]), len(by)), dtype=np.bool_)
        for column in range(rows.shape[1]):
            worse &= rows[start : start + step, column, None] >= by[None, :, column]
        if itself:
            worse[np.arange(len(worse)), start + np.arange(len(worse))] = False
        found[start : start + step] = worse.any(axis=1)
    return found


class RunningFront:
    """The front of points that come in batches: what is added is kept only while nothing dominates it."""

    def __init__(self, objectives: int) -> None:
        self._values: Floats = np.empty((0, objectives))
        self._rows: Rows = np.empty(0, dtype=np.int64)
        self._guards: Floats = self._values
        self._waiting: list[tuple[Floats, Rows]] = []
        self._count = 0

    def add(self, values: Floats, rows: Rows) -> None:
        """Points (n, objectives), all to be minimised and none NaN, and the numbers they go by."""
        kept = ~self._surely_dominated(values)
        self._waiting.append((values[kept], rows[kept]))
        self._count += int(kept.sum())
        if self._count >= max(BUFFER, len(self._rows)):
            self._make()

    def result(self) -> tuple[Floats, Rows]:
        """Values and numbers of the front, in the order of their numbers."""
        self._make()
        order = np.argsort(self._rows, kind="stable")
        return self._values[order], self._rows[order]

    def _make(self) -> None:
        values = np.concatenate([self._values, *(values for values, _ in self._waiting)])
        rows = np.concatenate([self._rows, *(rows for _, rows in self._waiting)])
        kept = nondominated(values)
        self._values, self._rows, self._waiting, self._count = values[kept], rows[kept], [], 0
        if values.shape[1] == 2:
            self._guards = self._values[np.lexsort(self._values.T[::-1])]
        else:
            ranks = sum(np.unique(column, return_inverse=True)[1] for column in self._values.T)
            self._guards = self._values[np.argsort(ranks, kind="stable")[:GUARDS]]

    def _surely_dominated(self, values: Floats) -> Flags:
        """Rows that the front as last made dominates, all of them with two objectives, else those that one of the guards does."""
        guards = self._guards
        if len(guards) == 0:
            return np.zeros(len(values), dtype=np.bool_)
        if values.shape[1] == 2:  # the best second value of all that are no worse in the first
            nearest = np.searchsorted(guards[:, 0], values[:, 0], side="right") - 1
            first, second = guards[nearest, 0], guards[nearest, 1]
            worse = (second < values[:, 1]) | ((second == values[:, 1]) & (first < values[:, 0]))
            return np.asarray((nearest >= 0) & worse)
        worse = np.ones((len(values), len(guards)), dtype=np.bool_)
        same = worse.copy()
        for column in range(values.shape[1]):
            worse &= values[:, column, None] >= guards[None, :, column]
            same &= values[:, column, None] == guards[None, :, column]
        return np.asarray((worse & ~same).any(axis=1))
