"""The tiles that kernels of many points visit: for each point its own runs of CTAs, one after the other in flat arrays.

The same closed forms as `attnsim.mask.tiles`, on arrays; tests hold the two to each other tile by tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from attnsim.lanes import Diverged, Lanes, Number, OneByOne, halves, values_of

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: Tiles held at a time: 16 MiB an array. More are computed for half of the lanes, then for the other half.
MOST_TILES = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Runs of CTAs of every lane, in launch order: those of lane i are `offsets[i]` ... `offsets[i + 1]` - 1.

    count: CTAs alike; visited: tiles each of them visits; partial: of these, with a mask computed.
    """

    offsets: Array
    count: Array
    visited: Array
    partial: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def runs(self) -> Array:
        """Runs of each lane."""
        return np.diff(self.offsets)

    def spread(self, number: Number) -> Any:
        """A number of each lane, for each of its runs; a plain number stays one."""
        return np.repeat(number.values, self.runs) if type(number) is Lanes else number

    def summed(self, values: Array) -> Lanes:
        """The sum of a value of each run, by lane; every lane has a run."""
        return Lanes(np.add.reduceat(values, self.offsets[:-1]))

    def largest(self, values: Array) -> Lanes:
        """The largest value of a run, by lane."""
        return Lanes(np.maximum.reduceat(values, self.offsets[:-1]))

    def masking(self, which: Literal["partial", "visited", "none"]) -> Ragged:
        """The same with a mask computed in the partial tiles, in all of them, or in none."""
        part = {"partial": self.partial, "visited": self.visited, "none": np.zeros_like(self.partial)}[which]
        return Ragged(self.offsets, self.count, self.visited, part)

    def single(self) -> tuple[tuple[Lanes, Lanes, Lanes]] | None:
        """The one run of each lane, where all have one."""
        return ((Lanes(self.count), Lanes(self.visited), Lanes(self.partial)),) if len(self.count) == len(self) else None

    @property
    def ctas(self) -> Lanes:
        """CTAs of each lane."""
        return self.summed(self.count)

    def each(self) -> Ragged:
        """The same with one CTA in a run."""
        times = self.count.astype(np.int64)
        total = np.add.reduceat(times, self.offsets[:-1])
        return Ragged(_offsets(total), np.ones(int(total.sum())), np.repeat(self.visited, times), np.repeat(self.partial, times))

    def merged(self) -> Ragged:
        """The same, neighbours that are alike together."""
        first = np.ones(len(self.count), dtype=bool)
        first[1:] = (np.diff(self.visited) != 0) | (np.diff(self.partial) != 0)
        first[self.offsets[:-1]] = True
        starts = np.flatnonzero(first)
        if len(starts) == len(self.count):
            return self
        offsets = np.searchsorted(starts, self.offsets)
        return Ragged(offsets, np.add.reduceat(self.count, starts), self.visited[starts], self.partial[starts])


def as_ragged(rounds: Any, lanes: int) -> Ragged:
    """Runs given as (CTAs, visited, partial), numbers or Lanes, as many in every lane."""
    if isinstance(rounds, Ragged):
        return rounds
    columns = [np.stack([values_of(run[place], lanes) for run in rounds], axis=1).ravel() for place in range(3)]
    return Ragged(np.arange(lanes + 1) * len(rounds), *columns)


def _offsets(counts: Array) -> Array:
    return np.concatenate(([0], np.cumsum(counts)))


@dataclass(frozen=True, slots=True, eq=False)
class LaneWalk:
    """As a `TileWalk`, of every lane."""

    runs: Ragged
    tile: int
    extent: Number
    across: Number
    tile_count: Number
    visited_total: Number
    partial_total: Number
    max_visited: Number
    needed_total: Number
    block_sparse: bool | None = None
    block_sparse_test: bool | None = None

    @classmethod
    def of(cls, runs: Ragged, tile: int, extent: Number, across: Number, needed: Number = None) -> LaneWalk:
        """With the totals of its runs. needed: visited tiles that hold an attended pair; left out, all of them."""
        visited, partial = (runs.summed(runs.count * each) for each in (runs.visited, runs.partial))
        return cls(
            runs, tile, extent, across, runs.ctas, visited, partial, runs.largest(runs.visited), visited if needed is None else needed
        )

    def within(self, blocks: LaneWalk, rows: int, across: int) -> LaneWalk:
        """As `TileWalk.within`."""
        runs = blocks.runs
        count, last = runs.count * rows, runs.offsets[1:] - 1
        count[last] -= runs.summed(count).values - values_of(self.tile_count, len(runs))  # a short last block has fewer tiles
        visited = np.minimum(runs.visited * across, runs.spread(self.across))
        cut = Ragged(runs.offsets, count, visited, np.minimum(runs.partial * across, visited))
        return LaneWalk.of(cut.merged(), self.tile, self.extent, self.across, self.needed_total)

    @property
    def all_total(self) -> Number:
        """Tile pairs that a mask of all ones visits."""
        return self.tile_count * self.across


def _sizes(P: Number, M: Number) -> tuple[Array, Array]:
    lanes = len(P) if type(P) is Lanes else len(M)
    return values_of(P, lanes).astype(np.int64), values_of(M, lanes).astype(np.int64)


def _tiles(counts: Array) -> tuple[Array, Array, Array]:
    """(offsets, lane, tile) of all tiles of all lanes."""
    total = int(counts.sum())
    if total > MOST_TILES:
        if len(counts) == 1:
            raise OneByOne
        raise Diverged(halves(len(counts)))
    offsets = _offsets(counts)
    lane = np.repeat(np.arange(len(counts)), counts)
    return offsets, lane, np.arange(total) - offsets[lane]


def _clipped(values: Array, low: Any, high: Any) -> Array:
    clipped: Array = np.minimum(np.maximum(values, low), high)
    return clipped


def walk_queries(left: int | None, right: int | None, sinks: int, P: Number, M: Number, q_tile: int, k_tile: int, pack: int) -> LaneWalk:
    """As `tiles.walk_queries`."""
    p, m = _sizes(P, M)
    rows = p * pack
    count = -(-rows // q_tile)
    extent, across = Lanes(rows.astype(np.float64)), Lanes((-(-m // k_tile)).astype(np.float64))
    if left is None and right is None:
        one = Ragged(np.arange(len(p) + 1), count.astype(np.float64), across.values, (m % k_tile != 0).astype(np.float64))
        return LaneWalk.of(one, q_tile, extent, across)
    offsets, lane, tile = _tiles(count)
    shift, rows, keys = (number.astype(np.float64)[lane] for number in (m - p, rows, m))
    top = tile * float(q_tile)
    first = np.floor(top / pack) + shift
    last = np.floor((np.minimum(top + q_tile, rows) - 1) / pack) + shift
    any_end = keys if right is None else _clipped(last + (right + 1), 0, keys)
    all_end = keys if right is None else _clipped(first + (right + 1), 0, keys)
    visited, whole = np.ceil(any_end / k_tile), np.floor(all_end / k_tile)
    if left is not None:
        sink_tiles = -(-sinks // k_tile)
        any_start, all_start = np.maximum(first - left, sink_tiles * k_tile), np.maximum(last - left, 0)
        visited += sink_tiles - np.floor(any_start / k_tile)
        between = np.maximum(whole - np.ceil(all_start / k_tile), 0)
        whole = np.where(all_start <= sinks, whole, between + np.floor(np.minimum(sinks, all_end) / k_tile))
    partial = visited - whole
    runs = Ragged(offsets, np.ones(len(tile)), visited, partial)
    return LaneWalk.of(runs.merged(), q_tile, extent, across)


def walk_keys(left: int | None, right: int | None, sinks: int, P: Number, M: Number, k_tile: int, q_tile: int, pack: int) -> LaneWalk:
    """As `tiles.walk_keys`."""
    p, m = _sizes(P, M)
    rows, tiles = p * pack, -(-m // k_tile)
    across = -(-rows // q_tile)
    offsets, lane, tile = _tiles(tiles)
    queries, keys, shift, rows, row_tiles = p[lane], m[lane], (p - m)[lane], rows[lane], across[lane]
    back = (queries + keys if left is None else left) + 1
    ahead = queries + keys if right is None else right
    first = tile * k_tile
    last = np.minimum(first + k_tile, keys) - 1
    any_end = _clipped(np.where(first < sinks, queries, last + back + shift), 0, queries)
    all_end = _clipped(np.where(last < sinks, queries, np.maximum(first, sinks) + back + shift), 0, queries)
    any_start, all_start = np.maximum(first - ahead + shift, 0), np.maximum(last - ahead + shift, 0)
    visited = -(-any_end * pack // q_tile) - any_start * pack // q_tile
    end = np.where(all_end == queries, row_tiles, all_end * pack // q_tile)
    partial = visited - np.maximum(end - -(-all_start * pack // q_tile), 0)
    partial = np.where(tile < keys // k_tile, partial, visited)  # a short last tile holds keys out of range
    runs = Ragged(offsets, np.ones(len(tile)), visited.astype(np.float64), partial.astype(np.float64))
    return LaneWalk.of(runs.merged(), k_tile, Lanes(m.astype(np.float64)), Lanes(across.astype(np.float64)))
