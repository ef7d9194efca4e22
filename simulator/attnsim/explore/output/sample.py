"""A sample of points that come in batches, for figures."""

from __future__ import annotations

import numpy as np

from attnsim.explore.pareto.dominance import Floats, Rows

SAMPLE = 20_000
"""Points of a sample."""


class Sample:
    """The points whose numbers hash lowest: as good as drawn at random, and the same in whatever batches they come."""

    def __init__(self, objectives: int) -> None:
        self._values: Floats = np.empty((0, objectives))
        self._hashes = np.empty(0, dtype=np.uint64)
        self._waiting: list[tuple[Floats, np.ndarray]] = []
        self._highest = np.uint64(2**64 - 1)
        self._count = 0

    def add(self, values: Floats, rows: Rows) -> None:
        """Points and their numbers."""
        hashes = _hashed(rows)
        kept = hashes <= self._highest
        self._waiting.append((values[kept], hashes[kept]))
        self._count += int(kept.sum())
        if self._count > 3 * SAMPLE:
            self.values()

    def values(self) -> Floats:
        """The sample so far."""
        values = np.concatenate([self._values, *(values for values, _ in self._waiting)])
        hashes = np.concatenate([self._hashes, *(hashes for _, hashes in self._waiting)])
        kept = np.argsort(hashes, kind="stable")[:SAMPLE]
        self._values, self._hashes, self._waiting, self._count = values[kept], hashes[kept], [], 0
        if len(kept) == SAMPLE:
            self._highest = self._hashes[-1]
        return self._values


def _hashed(rows: Rows) -> np.ndarray:
    """The finaliser of splitmix64, which gives every number a hash of its own."""
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
