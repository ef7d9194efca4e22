"""Schedules a kernel on processors can be given: tiles with their warps, CTAs per processor, launch order, pipeline stages, splits.

A candidate is the schedule's own with some fields changed, so that it can be written as ``{extends: NAME, tiles: [...]}`` and run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from attnsim.errors import InfeasibleError, UsageError
from attnsim.evaluate.point import Point
from attnsim.evaluate.recommend.search import tile_rows
from attnsim.schedule.schedule import Schedule
from attnsim.spec.constants import ShareConstant
from attnsim.spec.schedule import OrderChoice, Tile

VARIED = ("tiles", "ctas", "order", "stages", "split")
#: Longest tile along the walk, in positions: two instructions of the longest kind (256 columns).
LONGEST_TILE = 512
#: Most CTAs per processor that are tried where the schedule fixes them, and most stages beyond its own.
MOST_CTAS, MORE_STAGES = 4, 2
#: Split counts that are tried, and the length beyond any walk, up to which a piece of one length is asked for.
SPLITS, ANY_LENGTH = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128), 2**28


@dataclass(frozen=True)
class Candidate:
    """A schedule's own fields changed: `row`, its only tile; the others None or empty where they stay as they are.

    stages: tensor -> pipeline stages; split: pieces of every walk and the positions of one; fill: exposed share of filling and draining.
    """

    row: Tile
    order: str | None = None
    stages: tuple[tuple[str, int], ...] = ()
    split: tuple[int, int] | None = None
    fill: float | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Tile size by rank."""
        return self.row.sizes()

    @property
    def warps(self) -> int | None:
        """Warps that compute."""
        return self.row.warps

    @property
    def ctas(self) -> int | None:
        """CTAs per processor, where they are fixed."""
        return self.row.ctas

    @property
    def shown(self) -> str:
        """The tile in words."""
        sizes = " x ".join(f"{rank} {size}" for rank, size in self.sizes.items())
        return f"tile {sizes}" + (f" in {self.warps} warps" if self.warps else "")

    def changes(self, schedule: Schedule) -> dict[str, Any]:
        """The fields of a schedule file that extends `schedule` to be this one."""
        out: dict[str, Any] = {"tiles": [row_fields(self.row)]}
        if self.order is not None:
            loops = deepcopy(list(schedule.doc.data["loops"]))
            for loop in loops:
                if loop.get("parallel"):
                    loop["order"] = self.order
            out["loops"] = loops
        if self.stages:
            out["buffers"] = dict(self.stages)
        if self.split is not None:
            out["split"] = {"rule": "pieces", "pieces": {ANY_LENGTH: self.split[1]}, "when": None, "unsplit": ""}
        if self.fill is not None:
            out["overlap"] = {"exposed": {"fill": [{"value": self.fill, "source": FILL_SOURCE}]}}
        return out

    def on(self, point: Point) -> Point:
        """The point under this schedule; `point` holds the schedule as its file has it."""
        spec = point.schedule.spec
        update: dict[str, Any] = {"tiles": [self.row], "tile_rule": "first"}
        if self.order is not None:
            order = [OrderChoice(value=self.order)]  # type: ignore[arg-type]
            update["loops"] = [loop.model_copy(update={"order": order}) if loop.parallel else loop for loop in spec.loops]
        if self.stages:
            update["buffers"] = {**spec.buffers, **dict(self.stages)}
        if self.split is not None and spec.split is not None:
            fields = {"rule": "pieces", "pieces": {ANY_LENGTH: self.split[1]}, "when": None, "unsplit": ""}
            update["split"] = spec.split.model_copy(update=fields)
        if self.fill is not None:
            entry = [ShareConstant(value=self.fill, source=FILL_SOURCE)]
            update["overlap"] = spec.overlap.model_copy(update={"exposed": {**spec.overlap.exposed, "fill": entry}})
        return replace(point, schedule=Schedule(spec.model_copy(update=update), point.schedule.doc))


FILL_SOURCE = "derived: one of the CTAs of a processor fills or drains while the others compute"


def row_fields(row: Tile) -> dict[str, Any]:
    """A tile row as a file has it, without its condition."""
    out: dict[str, Any] = {}
    for rank in row.sizes():
        shape = row.shape(rank)
        out[rank] = list(shape) if isinstance(shape, tuple) else shape
    for name in ("warps", "ctas", "registers", "cluster"):
        value = getattr(row, name)
        if value is not None:
            out[name] = int(value)
    return out


@dataclass(frozen=True)
class Axis:
    """One thing that is varied, the schedule's own choice first."""

    name: str
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class Space:
    """Candidates of a point by their place on every axis; `own` is the first."""

    point: Point
    own: Candidate
    axes: tuple[Axis, ...]

    @property
    def count(self) -> int:
        """How many candidates there are."""
        return prod(len(axis.choices) for axis in self.axes)

    def places(self) -> Iterator[tuple[int, ...]]:
        """The place of every candidate, the own one first."""
        return product(*(range(len(axis.choices)) for axis in self.axes))

    def candidate(self, place: Sequence[int]) -> Candidate | None:
        """The candidate at a place; None where it is another one over again (more pieces than its walk has tiles)."""
        chosen = {axis.name: axis.choices[at] for axis, at in zip(self.axes, place, strict=True)}
        row = chosen.get("tiles", self.own.row)
        if "ctas" in chosen:
            row = row.model_copy(update={"ctas": chosen["ctas"]})
        order = chosen.get("order")
        more = chosen.get("stages", 0)
        stages = tuple((name, count + more) for name, count in self.point.schedule.spec.buffers.items()) if more else ()
        split = self._split(row, chosen.get("split"))
        if split == (0, 0):
            return None
        return Candidate(row, order, stages, split)

    def _split(self, row: Tile, pieces: int | None) -> tuple[int, int] | None:
        if pieces is None:
            return None
        walked = self.point.schedule.sequential[-1]
        tile = row.sizes()[walked]
        tiles = -(-self.point.sizes[walked] // tile)
        each = -(-tiles // pieces)
        if -(-tiles // each) != pieces:
            return (0, 0)
        return pieces, each * tile

    def changed(self, candidate: Candidate) -> int:
        """How many things differ from the schedule's own."""
        own = self.own
        pairs = (
            (own.sizes, candidate.sizes), (own.warps, candidate.warps), (own.ctas, candidate.ctas), (own.order, candidate.order),
            (own.stages, candidate.stages), (own.split, candidate.split),
        )  # fmt: skip
        return sum(one != other for one, other in pairs)


def space_of(point: Point, vary: Sequence[str] = ()) -> Space:
    """What may be varied of the schedule of `point`; vary: of `VARIED`, left out: all that the schedule has.

    Raises:
        InfeasibleError: a schedule that is no fused kernel with one walk. UsageError: something to vary that the schedule does not have.
    """
    spec = point.schedule.spec
    if spec.fusion != "all" or len(point.schedule.sequential) != 1:
        raise InfeasibleError(f"tune varies fused kernels that walk one rank; schedule {spec.name} is none")
    row = point.schedule.tile(point.context)
    own = Candidate(row.model_copy(update={"when": None}))
    axes = [Axis("tiles", _tiles(point, own.row)), Axis("order", _orders(point))]  # the last one varies fastest
    if row.ctas:
        axes.append(Axis("ctas", tuple(dict.fromkeys((int(row.ctas), *range(1, MOST_CTAS + 1))))))
    if spec.buffers:
        axes.append(Axis("stages", tuple(range(MORE_STAGES + 1))))
    if spec.split is not None:
        axes.append(Axis("split", (None, *(count for count in SPLITS if count <= spec.split.maximum))))
    known = {axis.name: axis for axis in axes}
    for name in vary:
        if name not in VARIED:
            raise UsageError(f"tune varies {', '.join(VARIED)}, not {name!r}")
        if name not in known:
            what = {"ctas": "leaves the CTAs per processor to the limits", "stages": "has no buffers", "split": "splits no walk"}[name]
            raise UsageError(f"schedule {spec.name} {what}, so there are no {name} to vary; it has {', '.join(known)}")
    return Space(point, own, tuple(axis for axis in axes if axis.name in (vary or known)))


def named_tile(space: Space, sizes: Mapping[str, int]) -> tuple[Candidate, ...]:
    """The candidates of a tile somebody names, by how many warps compute it; ranks and fields left out are the schedule's own.

    Raises:
        UsageError: a rank that the schedule's tile does not have.
    """
    own = space.own.row
    fields = {name: size for name, size in sizes.items() if name not in ("warps", "ctas")}
    unknown = sorted(set(fields) - set(own.sizes()))
    if unknown:
        raise UsageError(f"tile: schedule {space.point.schedule.name} has no tile of {', '.join(unknown)}; it has {', '.join(own.sizes())}")
    made = {**own.sizes(), **fields}
    spread, coupled = _spread(space.point, own), _coupled(space.point, own)
    step, walked = _step(space.point), space.point.schedule.sequential[-1]
    if walked in fields and fields[walked] % step:
        raise InfeasibleError(
            f"tile {walked} {fields[walked]}: limited by instructions: {space.point.tensor_path} of {space.point.machine.name} takes "
            f"multiples of {step} in {space.point.dtype}"
        )
    if "warps" in sizes:
        _check_rows(space.point, spread, made[spread], int(sizes["warps"]))
    warps: list[int | None] = [int(sizes["warps"])] if "warps" in sizes else [one for one, each in coupled if one * each == made[spread]]
    if own.warps and not warps:
        rows = ", ".join(map(str, sorted({one * each for one, each in coupled})))
        raise InfeasibleError(
            f"tile {spread} {made[spread]}: limited by rows: the warps of schedule {space.point.schedule.name} cover {rows} rows; "
            "name other warps to try others (warps=4)"
        )
    ctas = {"ctas": sizes["ctas"]} if "ctas" in sizes else {}
    return tuple(Candidate(own.model_copy(update={**fields, "warps": one, **ctas})) for one in (warps or [None]))


def _check_rows(point: Point, rank: str, rows: int, warps: int) -> None:
    """Refuse warps that a matrix instruction does not cover. Raises InfeasibleError."""
    if not point.tensor_path:
        return
    path = point.machine.path("tensor", point.tensor_path)
    step = path.rows or path.warp_rows * warps
    if rows % step:
        covered = f"{path.name} of {point.machine.name} covers multiples of {step} rows"
        raise InfeasibleError(f"tile {rank} {rows} in {warps} warps: limited by instructions: {covered}")


def _step(point: Point) -> int:
    """Keys are multiples of what one matrix instruction reduces over, 1 where the machine's file does not say."""
    path = point.machine.path("tensor", point.tensor_path) if point.tensor_path else None
    return 1 if path is None or path.depth_bytes is None else max(1, int(path.depth_bytes // point.element))


def _row(own: Tile, sizes: Mapping[str, int], warps: int | None, **more: Any) -> Tile:
    return own.model_copy(update={**sizes, "warps": warps, **more})


def _spread(point: Point, row: Tile) -> str:
    """The tiled rank that is spread over CTAs."""
    grid = point.schedule.grid
    assert grid is not None
    return next((rank for rank in grid.ranks if rank in row.sizes()), "")


def _coupled(point: Point, own: Tile) -> list[tuple[int, int]]:
    """(warps, rows of each) that the kernel is written for: as many warps and as many rows of each as some row of its table has.

    Of instructions that cover fewer or more rows than that, the pairs are left out.
    """
    spread = _spread(point, own)
    path = point.machine.path("tensor", point.tensor_path) if point.tensor_path else None
    rows = [row for row in (own, *point.schedule.spec.tiles) if row.warps and spread in row.sizes()]
    warps = dict.fromkeys(int(row.warps or 1) for row in rows)
    each = dict.fromkeys(row.sizes()[spread] // int(row.warps or 1) for row in rows)
    step = 1 if path is None else path.rows or 1
    least = 1 if path is None else path.warp_rows
    return [(one, many) for one in warps for many in each if many >= least and (one * many) % step == 0]


def _tiles(point: Point, own: Tile) -> tuple[Tile, ...]:
    """Tile rows to try: every number of rows that warps cover, every length of the walked tile that instructions cover."""
    if any(isinstance(own.shape(rank), tuple) for rank in own.sizes()):
        return tuple(row.model_copy(update={"when": None}) for row in tile_rows(point))
    spread, walked = _spread(point, own), point.schedule.sequential[-1]
    sizes = own.sizes()
    path = point.machine.path("tensor", point.tensor_path) if point.tensor_path else None
    if path is None or path.depth_bytes is None or not own.warps:
        pairs: list[tuple[int | None, int]] = [(own.warps, rows) for rows in _powers(sizes.get(spread, 1))]
        lengths = _powers(sizes[walked])
    else:
        pairs = [(warps, warps * each) for warps, each in _coupled(point, own)]
        lengths = list(range(_step(point), LONGEST_TILE + 1, _step(point)))
    made: dict[tuple[Any, ...], Tile] = {(own.warps, *sizes.items()): own}
    for warps, rows in pairs:
        for length in lengths:
            row = _row(own, {**sizes, **({spread: rows} if spread else {}), walked: length}, warps)
            made.setdefault((warps, *row.sizes().items()), row)
    return tuple(made.values())


def _powers(size: int) -> list[int]:
    """The size halved and doubled up to three times."""
    return [size >> down for down in range(3, 0, -1) if size >> down] + [size << up for up in range(4)]


def _orders(point: Point) -> tuple[str | None, ...]:
    if point.context["mask"] == "dense":
        return (None,)  # all CTAs take as long, in whatever order
    own = point.schedule.order(point.context)
    return (None, *(name for name in ("launch", "longest-first") if name != own)) if own in ("launch", "longest-first") else (None,)
