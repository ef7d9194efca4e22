"""Best first: the fastest settings of a neighborhood mask in order, with as few calls of the engine as can be justified.

Every candidate first gets a floor in seconds: the engine with CTAs that can be divided at will among the processors. A candidate goes
through the engine only when its floor is the lowest left and nothing found so far dominates it, so what comes out is what evaluating
every candidate would give. Times that are shown and ranked are the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from math import prod

import numpy as np

from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.evaluate import evaluate, kernels_of, latency_of, main_einsums
from attnsim.evaluate.kernel import Kernel, fused_kernel
from attnsim.evaluate.point import Point
from attnsim.evaluate.recommend.space import Ints, Setting, Shape, query_tiles, stride_choices, useful_strides
from attnsim.mask.base import TileWalk
from attnsim.mask.neighborhood import Neighborhood
from attnsim.schedule.condition import holds
from attnsim.spec.schedule import Tile

Choices = Sequence[Sequence[int]]


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
        sides = [box(row, rank) for rank in (point.query, point.key)]
        if any(len(side) != point.mask.dimensions for side in sides):
            shown = "x".join(map(str, sides[0]))
            message = f"schedule {spec.name}: recommend needs tiles with one entry for each of {point.mask.dimensions} axes, not {shown}"
            raise InfeasibleError(Issue(message))
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


class _Floor:
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
            self.known[key] = latency_of(self.point, tuple(kernels))
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
        return busy.occupancy.ctas / alone * (most + once / each) * processors / self.heads


def _evenly(pattern: Sequence[tuple[int, float]], repeat: int, processors: int, resident: int, alone: float) -> float:
    """Cycles until the last CTA ends, were all of them divisible: no schedule ends earlier."""
    return repeat * sum(number * cost for number, cost in pattern) / processors


@dataclass(slots=True)
class _Column:
    """Candidates of one tile shape that are alike but for settings and strides, by key tiles visited; `at`: the next one."""

    floor: _Floor
    tile: Tile
    masked: bool
    tiles: int
    visited: Ints
    setting: Ints
    stride: Ints
    at: int = 0


@dataclass(slots=True)
class _Parts:
    """What a column is put together from."""

    floor: _Floor
    visited: list[Ints] = field(default_factory=list)
    setting: list[Ints] = field(default_factory=list)
    stride: list[Ints] = field(default_factory=list)


class _Search:
    def __init__(
        self, point: Point, rows: Sequence[Tile], settings: Sequence[Setting], most_stride: Shape, across: bool, name: str
    ) -> None:
        assert isinstance(point.mask, Neighborhood)
        self.point, self.mask, self.settings, self.across, self.name = point, point.mask, settings, across, name
        self.dynamic = point.schedule.spec.key_tiles == "dynamic"
        self.partial = point.schedule.spec.masking == "partial"
        self.most_stride = most_stride
        self.q_sides: Choices = list(zip(*(box(row, point.query) for row in rows), strict=True))
        self.considered = self.evaluated = 0
        self.aligned = False
        self.refused: InfeasibleError | None = None
        self.floors: dict[tuple[int, bool], _Floor | None] = {}
        self.columns = [column for number, row in enumerate(rows) for column in self._columns(number, row)]
        if not self.columns and self.refused is not None:
            raise self.refused

    def run(self, top: int) -> Found:
        results: list[tuple[Candidate, Estimate]] = []
        dominated = self._dominated_across(results) if self.across else self._dominated_within(results)
        order = count()
        heap: list[tuple[float, bool, int, int, int, _Column | tuple[Candidate, Estimate]]] = []

        def put(seconds: float, known: bool, candidate: Candidate, item: _Column | tuple[Candidate, Estimate]) -> None:
            heappush(heap, (seconds, known, -candidate.setting.pairs, sum(candidate.stride), next(order), item))

        def put_next(column: _Column) -> None:
            for candidate in self._left(column):
                if not dominated(candidate):
                    seconds = column.floor.seconds(column.tiles, int(column.visited[column.at]), column.masked and not self.partial)
                    put(seconds, False, candidate, column)
                    return

        for column in self.columns:
            put_next(column)
        while heap and len(results) < top:
            *_, item = heappop(heap)
            if isinstance(item, _Column):
                candidate = self._candidate(item)
                item.at += 1
                if not dominated(candidate):
                    estimate = self._evaluate(candidate)
                    put(estimate.latency_s, True, candidate, (candidate, estimate))
                put_next(item)
            elif not dominated(item[0]):
                results.append(item)
        return Found(tuple(results), self.considered, self.evaluated, self.aligned)

    def _evaluate(self, candidate: Candidate) -> Estimate:
        self.evaluated += 1
        return evaluate(masked_by(with_tile(self.point, candidate.tile), candidate.setting, candidate.stride), self.name)

    @staticmethod
    def _dominated_within(results: list[tuple[Candidate, Estimate]]) -> Callable[[Candidate], bool]:
        # All results are at least as fast as what is asked about.
        return lambda asked: any(one.setting is asked.setting and all(map(int.__le__, one.stride, asked.stride)) for one, _ in results)

    @staticmethod
    def _dominated_across(results: list[tuple[Candidate, Estimate]]) -> Callable[[Candidate], bool]:
        return lambda asked: any(one.setting.pairs >= asked.setting.pairs for one, _ in results[-1:])  # each result attends more

    @staticmethod
    def _stride(column: _Column) -> Shape:
        return tuple(map(int, column.stride[column.at]))

    def _candidate(self, column: _Column) -> Candidate:
        return Candidate(self.settings[int(column.setting[column.at])], self._stride(column), column.tile)

    def _left(self, column: _Column) -> Iterator[Candidate]:
        """The candidates of a column from its next one on; `at` moves along."""
        while column.at < len(column.visited):
            yield self._candidate(column)
            column.at += 1

    def _columns(self, number: int, row: Tile) -> Iterator[_Column]:
        """All candidates of one tile shape, those together that share a floor."""
        q_tile, k_tile = box(row, self.point.query), box(row, self.point.key)
        extra = self.point.sizes[self.point.key] - self.point.sizes[self.point.query]
        beyond = -(-extra // prod(k_tile))
        parts: dict[tuple[bool, int, bool], _Parts] = {}
        for index, setting in enumerate(self.settings):
            by_axis = []
            choices = 1
            for axis, w, d, q, k, sides, most in zip(
                self.mask.axes, setting.window, setting.dilation, q_tile, k_tile, self.q_sides, self.most_stride, strict=True
            ):
                one = replace(axis, window=w, dilation=d, stride=1)
                tried = stride_choices(one, sides, most)
                self.aligned = self.aligned or len(tried) < min(w, most)
                choices *= len(tried)
                by_axis.append(useful_strides(one, tried, q, k, self.dynamic, self.partial))
            self.considered += choices
            floor = self._floor(number, row, setting)
            if floor is None:
                continue
            tiles = query_tiles(self.mask, setting, q_tile)
            shape = tuple(len(one.stride) for one in by_axis)
            places = np.indices(shape).reshape(len(shape), -1)
            visited: Ints = np.prod([one.visited[at] for one, at in zip(by_axis, places, strict=True)], axis=0) + tiles * beyond
            most_visited: Ints = np.prod([one.most[at] for one, at in zip(by_axis, places, strict=True)], axis=0) + beyond
            apart = np.all([one.apart[at] for one, at in zip(by_axis, places, strict=True)], axis=0)
            stride: Ints = np.stack([one.stride[at] for one, at in zip(by_axis, places, strict=True)], axis=1)
            for masked in (False, True):
                chosen = np.flatnonzero(apart != masked)
                if not len(chosen):
                    continue
                if self.across and not self.partial and self.point.schedule.spec.split is None:
                    least = chosen[np.argmin(visited[chosen])]
                    margin = floor.ahead(tiles, int(visited[least]), int(most_visited[least]), masked)
                    chosen = chosen[visited[chosen] < visited[least] + margin]
                part = parts.setdefault((masked, tiles, setting.dense), _Parts(floor))
                part.visited.append(visited[chosen])
                part.setting.append(np.full(len(chosen), index, dtype=np.int64))
                part.stride.append(stride[chosen])
        for (masked, tiles, _), part in parts.items():
            seen, setting_of, steps = np.concatenate(part.visited), np.concatenate(part.setting), np.concatenate(part.stride)
            order = np.lexsort((steps.sum(axis=1), seen))
            yield _Column(part.floor, row, masked, tiles, seen[order], setting_of[order], steps[order])

    def _floor(self, number: int, row: Tile, setting: Setting) -> _Floor | None:
        """None for a tile shape that the machine cannot run."""
        key = (number, setting.dense)
        if key not in self.floors:
            try:
                self.floors[key] = _Floor(self.point, setting, row)
            except InfeasibleError as error:
                self.refused = self.refused or error
                self.floors[key] = None
        return self.floors[key]
