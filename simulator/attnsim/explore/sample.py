"""A sample of points that come in batches, for figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attnsim.explore.pareto import Floats

SAMPLE = 20_000
"""Points of a sample; the same ones however the rows arrive."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """A sample of all points, for figures: (points, objectives), and the group of each."""

    values: Floats
    groups: np.ndarray


class Sample:
    """The points whose numbers hash lowest: as good as drawn at random, and the same in whatever batches they come."""

    def __init__(self, objectives: int) -> None:
        self._parts: list[tuple[Floats, np.ndarray, np.ndarray]] = []
        self._empty = (np.empty((0, objectives)), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64))
        self._highest = np.uint64(2**64 - 1)
        self._count = 0

    def add(self, values: Floats, groups: np.ndarray, rows: np.ndarray) -> None:
        """Points with their groups and numbers."""
        hashes = _hashed(rows)
        kept = hashes <= self._highest
        self._parts.append((values[kept], groups[kept], hashes[kept]))
        self._count += int(kept.sum())
        if self._count > 4 * SAMPLE:
            self._reduce()

    def _reduce(self) -> tuple[Floats, np.ndarray, np.ndarray]:
        values, groups, hashes = (np.concatenate(column) for column in zip(self._empty, *self._parts, strict=True))
        kept = np.argsort(hashes, kind="stable")[:SAMPLE]
        if len(kept) == SAMPLE:
            self._highest = hashes[kept[-1]]
        self._parts, self._count = [(values[kept], groups[kept], hashes[kept])], len(kept)
        return self._parts[0]

    def cloud(self, signs: Floats) -> Cloud:
        """The sample, its values as they were."""
        values, groups, _ = self._reduce()
        return Cloud(values * signs, groups)


def _hashed(rows: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64."""
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
