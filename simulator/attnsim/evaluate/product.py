"""Matrix products in kernels of their own, as libraries run them: output tiles over CTAs, operands re-read through the shared cache.

Y[x, m, n] = X[x, m, k] * W[x, k, n]: ranks of the first operand alone are rows, of the second alone columns, of both repeated (batch,
experts), the reduced ones the depth. A CTA computes rows x cols of a tile, padded, over the depth or a split of it. Operands come from
memory once and from the shared cache once a tile; a cluster of CTAs loads what its CTAs share once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import NamedTuple

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError
from attnsim.evaluate.kernel import Kernel, stretched_cycles
from attnsim.evaluate.makespan import makespan
from attnsim.evaluate.occupancy import Occupancy
from attnsim.evaluate.point import Point
from attnsim.evaluate.spans import grid_span
from attnsim.evaluate.streaming import level_times, streaming_kernel
from attnsim.evaluate.traffic import STATE_BYTES, Traffic
from attnsim.evaluate.work import Work
from attnsim.lanes import Number, largest, many, maximum, minimum, nonzero, where, whole
from attnsim.schedule.condition import Value, holds
from attnsim.schedule.split import split_count
from attnsim.spec.schedule import Tile


@dataclass(frozen=True, slots=True)
class Shape:
    """Of one kernel: `products` products of (rows x depth) and (depth x cols); loads: the rows of each where they differ."""

    rows: Number
    cols: Number
    depth: Number
    products: Number
    loads: tuple[int, ...] = ()

    @property
    def all_rows(self) -> Number:
        """Rows of all products."""
        return sum(self.loads) or self.products * self.rows

    def row_tiles(self, side: Number) -> Number:
        """Tiles of `side` rows of all products, each product padded on its own."""
        return sum(ceil(load / side) for load in self.loads) or self.products * ceil(self.rows / side)


class Block(NamedTuple):
    """The output of one CTA, rows x cols, and `depth` of the reduction at a time; cluster: CTAs that load together; ctas: resident."""

    rows: Number
    cols: Number
    depth: Number
    cluster: Number
    warps: Number
    ctas: int

    @classmethod
    def of(cls, row: Tile, shape: Shape) -> Block:
        """A row of the tile table."""
        return cls(int(row.rows or 1), int(row.cols or 1), whole(row.depth or shape.depth), row.cluster or 1, row.warps or 1, row.ctas or 1)


def product_kernels(point: Point, einsum: Einsum, sizes: Mapping[str, Number], traffic: Traffic, name: str) -> tuple[Kernel, ...]:
    """The kernel of one matrix product, and the one that adds its splits; traffic: every operand and result once.

    Raises:
        InfeasibleError: no tile row holds, or the Einsum adds several products.
    """
    if len(einsum.operands) != 2:
        raise InfeasibleError(
            f"schedule {point.schedule.name} runs one product of two tensors a kernel; {einsum.label} of {point.cascade.name} adds "
            f"several: name a schedule that fuses them (attnsim list schedule)"
        )
    shape = _shape(point, einsum, sizes)
    context = {**point.context, "rows": shape.rows, "cols": shape.cols, "depth": shape.depth, "products": shape.products}
    rows = point.schedule.tile_rows(context) if point.schedule.spec.tiles else ()
    if not rows or rows[0].rows is None or rows[0].cols is None:
        return (_by_rank(point, einsum, rows[0] if rows else None, sizes, traffic, name, context),)
    unit = point.machine.matmul_unit(point.dtype) or next(iter(point.machine.units))
    clock = point.machine.clock(unit)

    def tiled(block: Block, shape: Shape, traffic: Traffic, context: Mapping[str, Value]) -> tuple[Kernel, ...]:
        return _tiled(point, einsum, block, shape, _splits(point, block, shape, context), traffic, name, context)

    def seconds(kernels: tuple[Kernel, ...]) -> Number:
        return sum(kernel.seconds(clock) + point.machine.launch.graph_s for kernel in kernels)

    blocks = [Block.of(row, shape) for row in rows]
    if len(blocks) > 1 and many(shape.rows, shape.cols, shape.depth, shape.products):
        from attnsim.evaluate.laneblocks import fastest

        blocks = [fastest(blocks, lambda *asked: seconds(tiled(*asked)), shape, traffic, context)]
    candidates = [tiled(block, shape, traffic, context) for block in blocks]
    return candidates[0] if len(candidates) == 1 else min(candidates, key=seconds)


def _span(ctas: Number, cost: Number, processors: int, resident: int) -> Number:
    """Of CTAs that are alike."""
    return grid_span([(ctas, cost)], 1, False, False, (processors, resident, 1.0), makespan)


def _apart(point: Point, einsum: Einsum) -> tuple[list[str], list[str]]:
    """Ranks of the output over which the product is repeated because the cascade says so, and the others."""
    batch = {*point.cascade.batch, *point.cascade.groups}
    return [rank for rank in einsum.ranks if rank in batch], [rank for rank in einsum.output.ranks if rank not in batch]


def _shape(point: Point, einsum: Einsum, sizes: Mapping[str, Number]) -> Shape:
    repeated, kept = _apart(point, einsum)
    first, second = (set(operand.ranks) for operand in einsum.operands)
    repeated += [rank for rank in kept if rank in first and rank in second]
    rows, cols = ([rank for rank in kept if rank in side and rank not in other] for side, other in ((first, second), (second, first)))
    reduced = [rank for rank in einsum.ranks if rank not in einsum.output.ranks and rank not in repeated]
    m, n, k, x = (prod(sizes[rank] for rank in ranks) for ranks in (rows, cols, reduced, repeated))
    return Shape(m, n, k, x, point.loads)


def _splits(point: Point, block: Block, shape: Shape, context: Mapping[str, Value]) -> Number:
    """How many CTAs share the reduction of a tile."""
    spec = point.schedule.spec
    if spec.split is None or not holds(spec.split.when, context):
        return 1
    tiles = shape.row_tiles(block.rows) * ceil(shape.cols / block.cols)
    return split_count(spec.split, tiles, ceil(shape.depth / block.depth), point.machine.processors)


def _tiled(
    point: Point, einsum: Einsum, block: Block, shape: Shape, splits: Number, operands: Traffic, name: str, context: Mapping[str, Value]
) -> tuple[Kernel, ...]:
    """With a row of the tile table that gives rows and columns; operands: each read once."""
    schedule, spec, machine = point.schedule, point.schedule.spec, point.machine
    side, width, step, cluster, warps, resident = block
    down, across = shape.row_tiles(side), ceil(shape.cols / width)
    depth = ceil(ceil(shape.depth / step) / splits) * step
    splits = ceil(shape.depth / depth)
    ctas = down * across * splits
    each = Work()
    for term in einsum.terms:
        each.add(point, point.unit(einsum, term.kind), term.kind, side * width * depth * 1.0 * term.per_element)
    _operand_reads(point, warps, side, width, depth, each)
    cost = largest(stretched_cycles(point, each.cycles).values()) + schedule.constant(spec.constants.cta_overhead, context, 0.0)
    traffic = Traffic()
    traffic.merge(operands)
    _cached(point, einsum, shape, (down, across), cluster, traffic)
    after: tuple[Kernel, ...] = ()
    if splits > 1:
        after = (_sum_of_splits(point, einsum, shape, splits, traffic, name),)
    level_s = level_times(point, traffic, schedule.constant(spec.constants.memory_efficiency, context, 1.0))
    if point.shared is not None:  # a processor draws at most its share of the cache's rate
        cache = machine.levels[point.shared].name
        level_s[cache] /= minimum(1.0, ctas / machine.processors)
    kernel = Kernel(
        name=name,
        compute_cycles=_span(ctas, cost, machine.processors, resident),
        busy_cycles={unit: ctas * cycles / machine.processors for unit, cycles in each.cycles.items()},
        ops={unit: {kind: ctas * count for kind, count in kinds.items()} for unit, kinds in each.ops.items()},
        smem_bytes=ctas * each.smem_bytes,
        traffic=traffic,
        level_s=level_s,
        exposed_memory=schedule.exposed("memory", context),
        drain_cycles=0.0,
        fixed_s=schedule.constant(spec.constants.kernel_overhead, context, 0.0),
        ctas=ctas,
        tile={"rows": side, "cols": width},
        splits=splits,
        occupancy=Occupancy(resident, "schedule", 0.0),
        slots=resident * machine.processors,
        filled=shape.all_rows * shape.cols / (down * side * across * width),
    )
    return (kernel, *after)


def _operand_reads(point: Point, warps: Number, side: Number, width: Number, depth: Number, work: Work) -> None:
    """What the matrix instructions of a CTA read from its processor's own memory: a side of the tile once, and the other once for every
    instruction that covers a part of the first (arXiv 2603.05451, section 3.1).
    """
    if point.local is None or not point.tensor_path:
        return
    level, path = point.machine.levels[point.local], point.machine.path("tensor", point.tensor_path)
    least = minimum(*(first + ceil(first / path.covered(first, warps)) * second for first, second in ((side, width), (width, side))))
    work.smem_bytes = least * depth * point.element
    if level.bytes_per_cycle:
        work.cycles[level.name] = work.smem_bytes / level.bytes_per_cycle


def _cached(point: Point, einsum: Einsum, shape: Shape, grid: tuple[Number, Number], cluster: Number, traffic: Traffic) -> None:
    """Reads of the operands from the shared cache: each side of the output once for every tile along the other. grid: tiles of the rows
    of all products, and of the columns.
    """
    if point.shared is None:
        return
    down, across = grid
    rows, cols = shape.depth * shape.all_rows * 1.0, shape.depth * shape.cols * shape.products * 1.0
    by_rows, by_cols = rows * across, shape.depth * shape.cols * down * 1.0
    # the cluster lies along the side where sharing saves more
    along, each = minimum(cluster, across), minimum(cluster, maximum(1.0, down / shape.products))
    by_row = by_rows * (1 - 1 / along) > by_cols * (1 - 1 / each)
    by_rows, by_cols = by_rows / where(by_row, along, 1), by_cols / where(by_row, 1, each)
    cache = point.machine.levels[point.shared].name
    first, second = einsum.operands
    for operand, once, loaded in ((first, rows, by_rows), (second, cols, by_cols)):
        again = maximum(loaded - once, 0.0)
        if nonzero(again):
            traffic.add(cache, operand.name, "read", again * point.stored(operand.name))


def _sum_of_splits(point: Point, einsum: Einsum, shape: Shape, splits: Number, traffic: Traffic, name: str) -> Kernel:
    """The kernel that adds the partial results in fp32; they pass through the shared cache, and through memory where they do not fit."""
    machine, label = point.machine, einsum.label
    elements = shape.all_rows * shape.cols * 1.0
    partial = splits * elements * STATE_BYTES
    own, places = Traffic(), [machine.memory.name]
    if point.shared is not None:
        level = machine.levels[point.shared]
        places = [level.name, *(places if partial > level.capacity_bytes else ())]
        own.add(level.name, label, "write", elements * point.stored(label))
    own.add(machine.memory.name, label, "write", elements * point.stored(label))
    for place in places:
        own.add(place, label, "read", partial)
    for level_name, tensors in traffic.moved.items():
        tensors[label]["write"] = partial if level_name in places else 0.0
    work = Work()
    work.add(point, "vector", "add", splits * elements)
    return streaming_kernel(point, work, own, f"{name} sum of splits")


def _by_rank(
    point: Point, einsum: Einsum, row: Tile | None, sizes: Mapping[str, Number], traffic: Traffic, name: str, context: Mapping[str, Value]
) -> Kernel:
    """With tile sizes by rank, or none: whole tiles of the output, operands read once."""
    schedule, tile = point.schedule, {} if row is None else row.sizes()
    repeated, kept = _apart(point, einsum)
    sides: dict[str, tuple[Number, Number]] = {rank: (sizes[rank], tile.get(rank, sizes[rank])) for rank in kept}
    resident = 1 if row is None else row.ctas or 1
    reduced = prod(sizes[rank] for rank in einsum.ranks if rank not in einsum.output.ranks and rank not in repeated)
    padded = reduced * prod(side for _, side in sides.values()) * 1.0
    ctas = prod(sizes[rank] for rank in repeated) * prod(ceil(size / side) for size, side in sides.values())
    each = Work()
    for term in einsum.terms:
        each.add(point, point.unit(einsum, term.kind), term.kind, padded * term.per_element)
    cost = largest(stretched_cycles(point, each.cycles).values()) + schedule.constant(schedule.spec.constants.cta_overhead, context, 0.0)
    processors = point.machine.processors
    return Kernel(
        name=name,
        compute_cycles=_span(ctas, cost, processors, resident),
        busy_cycles={unit: ctas * cycles / processors for unit, cycles in each.cycles.items()},
        ops={unit: {kind: ctas * count for kind, count in kinds.items()} for unit, kinds in each.ops.items()},
        smem_bytes=0.0,
        traffic=traffic,
        level_s=level_times(point, traffic),
        exposed_memory=schedule.exposed("memory", context),
        drain_cycles=0.0,
        fixed_s=schedule.constant(schedule.spec.constants.kernel_overhead, context, 0.0),
        ctas=ctas,
        tile={rank: side for rank, (_, side) in sides.items()},
        splits=1,
        occupancy=Occupancy(resident, "schedule", 0.0),
        slots=resident * processors,
    )
