"""Best first: the fastest settings of a neighborhood mask in order, with as few calls of the engine as can be justified.

Every candidate first gets a floor in seconds: the engine with CTAs that can be divided at will among the processors. A candidate goes
through the engine only when its floor is the lowest left and nothing found so far dominates it, so what comes out is what evaluating
every candidate would give. Times that are shown and ranked are the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from math import prod

import numpy as np

from attnsim.errors import InfeasibleError
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.evaluate import evaluate, kernels_of, latency_of, main_einsums
from attnsim.evaluate.kernel import Kernel, fused_kernel
from attnsim.evaluate.point import Point
from attnsim.evaluate.recommend.space import Ints, Least, Setting, Shape, least_visited, stride_choices, useful_strides
from attnsim.mask.axis import Axis
from attnsim.mask.base import TileWalk
from attnsim.mask.neighborhood import Neighborhood
from attnsim.schedule.condition import holds
from attnsim.spec.schedule import Tile

#: The engine keeps cycles in ticks and adds floats in another order: floors stay below its times by more than that.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mask in one tile shape (a row of the schedule's tables)."""

    setting: Setting
    stride: Shape
    tile: Tile


@dataclass(frozen=True, slots=True)
class Found:
    """results: the engine's answers, the fastest first; considered: candidates in all; evaluated: those the engine was asked about;
    aligned: whether only strides aligned with a query tile were tried along some axis.
    """

    results: tuple[tuple[Candidate, Estimate], ...]
    considered: int
    evaluated: int
    aligned: bool


def tile_rows(point: Point) -> tuple[Tile, ...]:
    """The tile shapes to try: the schedule's own, then its choices that hold. Raises InfeasibleError for tiles that are no boxes."""
    spec = point.schedule.spec
    own = point.schedule.tile(point.context)
    rows = [own, *(row for row in spec.tile_choices if holds(row.when, point.context))]
    boxes: dict[tuple[Shape, Shape], Tile] = {}
    for row in rows:
        given = row.sizes()
        sides = [box(row, rank) if rank in given else () for rank in (point.query, point.key)]
        if any(len(side) != point.mask.dimensions for side in sides):
            shown = " / ".join("x".join(map(str, side)) or "nothing" for side in sides)
            message = f"schedule {spec.name}: recommend needs tiles with one entry for each of {point.mask.dimensions} axes, not {shown}"
            raise InfeasibleError(message)
        boxes.setdefault((sides[0], sides[1]), row)
    return tuple(boxes.values())


def box(row: Tile, rank: str) -> Shape:
    """Sides of a tile by axis."""
    shape = row.shape(rank)
    return (shape,) if isinstance(shape, int) else shape


def with_tile(point: Point, row: Tile) -> Point:
    """The point with one tile shape as the whole table of its schedule."""
    spec = point.schedule.spec.model_copy(update={"tiles": [row.model_copy(update={"when": None})]})
    return replace(point, schedule=replace(point.schedule, spec=spec))


def masked_by(point: Point, setting: Setting, stride: Shape) -> Point:
    """The point with another window, dilation and stride along the axes of its mask."""
    assert isinstance(point.mask, Neighborhood)
    axes = zip(point.mask.axes, setting.window, stride, setting.dilation, strict=True)
    return replace(point, mask=Neighborhood(tuple(replace(axis, window=w, stride=s, dilation=d) for axis, w, s, d in axes)))


def search(point: Point, rows: Sequence[Tile], settings: Sequence[Setting], most_stride: Shape, across: bool, top: int, name: str) -> Found:
    """The `top` fastest candidates that no other dominates, fastest first.

    Dominated: another one of the same window and dilation has no larger stride along any axis and is not slower. across: also, another
    one of any window attends as many pairs or more and is not slower. Ties go to more pairs, then to smaller strides.

    Raises:
        InfeasibleError: no tile shape suits the machine.
    """
    return _Search(point, rows, settings, most_stride, across, name).run(top)


class Floor:
    """Lower bounds of the engine's latency for one tile shape: the same engine, but CTAs divided at will among the processors."""

    def __init__(self, point: Point, setting: Setting, row: Tile) -> None:
        self.point = masked_by(with_tile(point, row), setting, (1,) * len(setting.window))
        self.kernels = kernels_of(self.point)
        self.place = next(index for index, kernel in enumerate(self.kernels) if kernel.name == self.point.schedule.name)
        self.einsums = main_einsums(self.point)
        self.rows = prod(box(row, point.query))
        self.heads = point.heads
        self.known: dict[tuple[int, int, bool], float] = {}

    def seconds(self, tiles: int, visited: int, masked: bool) -> float:
        """Of a kernel with so many query tiles a head, which visit so many key tiles and mask all of them or none."""
        if self.point.schedule.spec.split is not None:
            return 0.0  # how a walk is split depends on its longest tile
        key = (tiles, visited, masked)
        if key not in self.known:
            kernels = list(self.kernels)
            kernels[self.place] = self._kernel(*key)
            self.known[key] = latency_of(self.point, tuple(kernels)) * (1.0 - ROUNDING)
        return self.known[key]

    def _kernel(self, tiles: int, visited: int, masked: bool) -> Kernel:
        # Where work lies does not matter when it can be divided: all in one tile.
        runs = [(tiles - 1, 0, 0), (1, visited, visited if masked else 0)]
        extent = self.point.sizes[self.point.query]
        walk = TileWalk.of(runs, self.rows, extent, 1, block_sparse_test=not masked)
        return fused_kernel(self.point, self.einsums, self.point.schedule.name, walk, _evenly)

    def ahead(self, tiles: int, visited: int, most: int, masked: bool) -> float:
        """How many more key tiles than `visited` make a kernel slower for sure, although its CTAs might be spread better.

        List scheduling ends at most one CTA behind an even spread (Graham, SIAM J. Appl. Math. 17, 1969).
        """
        idle, busy = (self._kernel(tiles, count, masked) for count in (0, max(1, visited)))
        processors = self.point.machine.processors
        each = (busy.compute_cycles - idle.compute_cycles) * processors / (max(1, visited) * self.heads)
        once = idle.compute_cycles * processors / (tiles * self.heads)
        schedule = self.point.schedule
        alone = schedule.constant(schedule.spec.constants.alone, self.point.context, 1.0)
        return float(busy.occupancy.ctas / alone * (most + once / each) * processors / self.heads)


def _evenly(pattern: Sequence[tuple[int, float]], repeat: int, processors: int, resident: int, alone: float) -> float:
    """Cycles until the last CTA ends, were all of them divisible: no schedule ends earlier."""
    return repeat * sum(number * cost for number, cost in pattern) / processors


@dataclass(slots=True)
class _Pool:
    """Settings in one tile shape whose floors differ only by the key tiles they visit; `at`: the next one."""

    floor: Floor
    tile: Tile
    masked: bool
    tiles: int
    visited: Ints
    settings: Ints
    at: int = 0


@dataclass(slots=True)
class _Column:
    """Strides of one setting in one tile shape, by key tiles visited; `at`: the next one."""

    pool: _Pool
    setting: Setting
    visited: Ints
    stride: Ints
    at: int = 0

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.setting, tuple(map(int, self.stride[self.at])), self.pool.tile)


_Item = _Pool | _Column | tuple[Candidate, Estimate]


class _Search:
    """A heap of floors and times, least first: pools open into columns, columns into candidates, candidates into answers."""

    def __init__(
        self, point: Point, rows: Sequence[Tile], settings: Sequence[Setting], most_stride: Shape, across: bool, name: str
    ) -> None:
        assert isinstance(point.mask, Neighborhood)
        spec = point.schedule.spec
        self.point, self.mask, self.settings, self.name = point, point.mask, settings, name
        self.dynamic, self.partial = spec.key_tiles == "dynamic", spec.masking != "unless-block-sparse"
        self.trimmed = across and not self.partial and spec.split is None
        self.most_stride = most_stride
        self.q_sides = list(zip(*(box(row, point.query) for row in rows), strict=True))
        self.beyond = point.sizes[point.key] - point.sizes[point.query]
        self.considered = self.evaluated = 0
        self.aligned = False
        self.refused: InfeasibleError | None = None
        self.results: list[tuple[Candidate, Estimate]] = []
        self.dominated = self._dominated_across if across else self._dominated_within
        self.heap: list[tuple[float, bool, int, int, int, _Item]] = []
        self.order = count()
        self.axes = [self._axes(setting) for setting in settings]
        for row in rows:
            self._open(row)
        if not self.heap and self.refused is not None:
            raise self.refused

    def run(self, top: int) -> Found:
        while self.heap and len(self.results) < top:
            *_, item = heappop(self.heap)
            if isinstance(item, _Pool):
                self._put_column(self._column(item, self.settings[int(item.settings[item.at])]))
                item.at += 1
                self._put_pool(item)
            elif isinstance(item, _Column):
                candidate = item.candidate
                item.at += 1
                if not self.dominated(candidate.setting, candidate.stride):
                    self._put_answer(candidate)
                self._put_column(item)
            elif not self.dominated(item[0].setting, item[0].stride):
                self.results.append(item)
        return Found(tuple(self.results), self.considered, self.evaluated, self.aligned)

    def _dominated_within(self, setting: Setting, stride: Shape | None) -> bool:
        # Nothing is asked about that could be faster than a result.
        if stride is None:
            return False
        return any(one.setting is setting and all(map(int.__le__, one.stride, stride)) for one, _ in self.results)

    def _dominated_across(self, setting: Setting, _stride: Shape | None) -> bool:
        return bool(self.results) and self.results[-1][0].setting.pairs >= setting.pairs  # each result attends more than the one before

    def _put(self, seconds: float, known: bool, setting: Setting, steps: int, item: _Item) -> None:
        heappush(self.heap, (seconds, known, -setting.pairs, steps, next(self.order), item))

    def _put_pool(self, pool: _Pool) -> None:
        """Put a pool back for the next of its settings that is not dominated."""
        while pool.at < len(pool.settings):
            setting = self.settings[int(pool.settings[pool.at])]
            if not self.dominated(setting, None):
                self._put(self._seconds(pool, int(pool.visited[pool.at])), False, setting, 0, pool)
                return
            pool.at += 1

    def _put_column(self, column: _Column) -> None:
        """Put a column back for the next of its strides that is not dominated."""
        while column.at < len(column.visited):
            stride = column.candidate.stride
            if not self.dominated(column.setting, stride):
                self._put(self._seconds(column.pool, int(column.visited[column.at])), False, column.setting, sum(stride), column)
                return
            column.at += 1

    def _put_answer(self, candidate: Candidate) -> None:
        self.evaluated += 1
        estimate = evaluate(masked_by(with_tile(self.point, candidate.tile), candidate.setting, candidate.stride), self.name)
        self._put(estimate.latency_s, True, candidate.setting, sum(candidate.stride), (candidate, estimate))

    def _seconds(self, pool: _Pool, visited: int) -> float:
        return pool.floor.seconds(pool.tiles, visited, pool.masked and not self.partial)

    def _axes(self, setting: Setting) -> list[tuple[Axis, Shape]]:
        """The axes under a setting, and the strides to try along each."""
        out = []
        for axis, w, d, sides, most in zip(self.mask.axes, setting.window, setting.dilation, self.q_sides, self.most_stride, strict=True):
            one = replace(axis, window=w, dilation=d, stride=1)
            tried = stride_choices(one, sides, most)
            self.aligned = self.aligned or len(tried) < min(w, most)
            out.append((one, tried))
        return out

    def _open(self, row: Tile) -> None:
        """Pools of all settings in one tile shape, by what else their floors depend on."""
        q_tile, k_tile = box(row, self.point.query), box(row, self.point.key)
        found: dict[tuple[bool, int, bool], list[tuple[int, int]]] = {}
        beyond = -(-self.beyond // prod(k_tile))
        known: list[dict[tuple[int, int], Least]] = [{} for _ in q_tile]
        for index, (setting, axes) in enumerate(zip(self.settings, self.axes, strict=True)):
            least = []
            for number, (axis, tried) in enumerate(axes):
                one = known[number].get((axis.window, axis.dilation))
                if one is None:
                    one = least_visited(axis, tried, q_tile[number], k_tile[number], self.dynamic)
                    known[number][axis.window, axis.dilation] = one
                least.append(one)
            self.considered += prod(one.choices for one in least)
            tiles = prod(one.tiles for one in least)
            for masked in (False, True):
                visited = [one.visited if masked else one.apart for one in least]
                if None not in visited:
                    total = prod(filter(None, visited)) + tiles * beyond
                    found.setdefault((masked, tiles, setting.dense), []).append((total, index))
        floors: dict[bool, Floor] = {}
        for (masked, tiles, dense), entries in found.items():
            try:
                if dense not in floors:
                    floors[dense] = Floor(self.point, self.settings[entries[0][1]], row)
            except InfeasibleError as error:
                self.refused = self.refused or error
                continue
            entries.sort(key=lambda entry: (entry[0], -self.settings[entry[1]].pairs, entry[1]))
            both: Ints = np.array(entries, dtype=np.int64)
            self._put_pool(_Pool(floors[dense], row, masked, tiles, both[:, 0], both[:, 1]))

    def _column(self, pool: _Pool, setting: Setting) -> _Column:
        """The useful strides of a setting whose kernel masks as the pool says."""
        sides = zip(self._axes(setting), box(pool.tile, self.point.query), box(pool.tile, self.point.key), strict=True)
        by_axis = [useful_strides(axis, tried, q, k, self.dynamic, self.partial) for (axis, tried), q, k in sides]
        beyond = -(-self.beyond // prod(box(pool.tile, self.point.key)))
        places = np.indices(tuple(len(one.stride) for one in by_axis)).reshape(len(by_axis), -1)
        together = list(zip(by_axis, places, strict=True))
        chosen = np.flatnonzero(np.all([one.apart[at] for one, at in together], axis=0) != pool.masked)
        visited: Ints = np.prod([one.visited[at] for one, at in together], axis=0)[chosen] + pool.tiles * beyond
        stride: Ints = np.stack([one.stride[at] for one, at in together], axis=1)[chosen]
        if self.trimmed and len(chosen):
            least = int(np.argmin(visited))
            most = int(np.prod([one.most[at[chosen[least]]] for one, at in together])) + beyond
            near = visited < visited[least] + pool.floor.ahead(pool.tiles, int(visited[least]), most, pool.masked)
            visited, stride = visited[near], stride[near]
        order = np.lexsort((stride.sum(axis=1), visited))
        return _Column(pool, setting, visited[order], stride[order])
