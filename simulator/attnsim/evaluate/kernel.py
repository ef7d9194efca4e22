"""Time of one kernel: tile time, CTA time, makespan, then memory and fixed overheads beside it.

A tile takes the exposed parts of every unit in series beside the longest hidden part; CTAs are list-scheduled in launch order; L2 and
memory run beside the whole kernel (form and constants of FlashAttention-class kernels: arXiv 2603.05451, section 3.1, and validation/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, prod
from typing import Any

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError
from attnsim.evaluate.division import divided
from attnsim.evaluate.makespan import makespan
from attnsim.evaluate.occupancy import Occupancy, occupancy
from attnsim.evaluate.point import Point
from attnsim.evaluate.spans import Span, grid_times
from attnsim.evaluate.traffic import STATE_BYTES, Grid, Traffic, fill_bytes, fused_traffic, results_of, summed_over_grid, tile_bytes
from attnsim.evaluate.walks import HeadWalks, grid_rounds, key_walks, query_walks, tally
from attnsim.evaluate.work import CtaWork, Ops, cta_work, extents
from attnsim.lanes import Number, added, largest, maximum, minimum, nonzero
from attnsim.mask.base import TileWalk
from attnsim.schedule.condition import holds
from attnsim.tape import call


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel before the clock is known.

    compute_cycles: makespan of its CTAs; busy_cycles: of each unit, averaged over the processors; level_s: time of each device memory
    level at its sustained bandwidth; exposed_memory: share of the shorter of compute and memory that stays visible; drain_cycles: what is
    still computed when the last byte has come from memory, or while only some processors ask for more; fixed_s: overhead
    beside launch; filled: share of the tile rows that exist (padding rows are zeros, which cost time but next to no energy); dtype: what it
    computes in, where that is not the format of its point.
    """

    name: str
    compute_cycles: Number
    busy_cycles: Mapping[str, Number]
    ops: Ops
    smem_bytes: Number
    traffic: Traffic
    level_s: Mapping[str, Number]
    exposed_memory: float
    drain_cycles: Number
    fixed_s: float
    ctas: Number
    tile: Mapping[str, int]
    splits: Number
    occupancy: Occupancy
    slots: int
    filled: Number = 1.0
    dtype: str | None = None
    memory_s: Number = field(init=False)
    """The slowest device level."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory_s", largest(self.level_s.values()))

    def seconds(self, clock_hz: Number) -> Number:
        """Duration without launch."""
        return duration(clock_hz, *self.parts)

    @property
    def parts(self) -> tuple[Number, Number, Number, float, float]:
        """What `duration` asks for."""
        return self.compute_cycles, self.memory_s, self.drain_cycles, self.exposed_memory, self.fixed_s


def duration(
    clock_hz: Number, compute_cycles: Number, memory_s: Number, drain_cycles: Number, exposed_memory: float, fixed_s: float
) -> Number:
    """Seconds of a kernel without launch."""
    compute = compute_cycles / clock_hz
    drained = memory_s + minimum(compute, drain_cycles / clock_hz)
    return maximum(compute, drained) + exposed_memory * minimum(compute, memory_s) + fixed_s


def fused_kernel(
    point: Point,
    einsums: tuple[Einsum, ...],
    name: str,
    walk: TileWalk | None = None,
    span_of: Span = makespan,
    watch: Callable[..., None] | None = None,
) -> Kernel:
    """The tiled kernel that runs all of `einsums` in one walk.

    walk: the tiles visited, left out as the mask has them; span_of: when the last CTA ends, as `makespan`; watch: told the grid and what
    its CTAs are, as `attnsim.evaluate.launch.Grounds`.

    Raises:
        InfeasibleError: no tile for these sizes, a tile that does not fit, or a cascade that needs more passes than the walk makes.
    """
    schedule, spec = point.schedule, point.schedule.spec
    loop = schedule.grid
    if loop is None:
        raise InfeasibleError(f"schedule {spec.name} has no parallel loop")
    row = schedule.tile(point.context)
    tile = {rank: size for rank, size in row.sizes().items() if rank in point.cascade.ranks}
    tiled = tuple(rank for rank in loop.ranks if rank in tile)
    walked = schedule.sequential
    _check_passes(point, walked)
    _check_loops(point, tile, loop.ranks, walked)
    pack = packed_heads(point, tile)
    heads = point.heads // pack
    held = occupancy(point, row, tile)
    slots = held.ctas * point.machine.processors
    work = cta_work(point, einsums, tile, walked, row.warps or 1)
    if walk is not None:
        walks: HeadWalks = [(point.heads, point.mask, walk)]
    else:
        walks = query_walks(point, row, pack) if point.key not in tiled else key_walks(point, row, pack)
    batch_order = tuple(rank for rank in loop.ranks if rank not in tile)
    rounds, repeat = grid_rounds(point, walks, batch_order, len(walked) > 1, pack)
    launched, visits, masked, _ = (number * repeat for number in call(tally, rounds))
    tiles = launched // heads
    splits, rounds, repeat, ctas = divided(point, rounds, repeat, slots, tile.get(point.key, 1))
    if nonzero(splits):
        masked = call(tally, rounds)[2] * repeat
    else:
        splits = 1
    inside = extents(point, tile)
    reduced = spec.split is not None and spec.split.rank == point.key  # splitting the queries of a CTA leaves nothing to combine
    grid = Grid(tile, tiled, walked, batch_order, ctas, visits, heads, pack, tiles * splits, slots, splits if reduced else 1, inside)
    fill = fill_bytes(point, einsums, grid)
    per_tile = tile_cycles(point, {**work.per_tile.cycles, **_reduce_cycles(point, einsums, grid)})
    each = _each(point, work, per_tile, fill, grid)
    alone = schedule.constant(spec.constants.alone, point.context, 1.0)
    longest_first = schedule.order(point.context) == "longest-first"
    batch_first = bool(loop.ranks) and loop.ranks[0] not in tile
    resident = (point.machine.processors, held.ctas, alone)
    span, total = call(grid_times, rounds, [*each], repeat, (longest_first, batch_first), resident, span_of)
    if watch is not None:
        watch(grid, work, rounds, repeat, each, walks, longest_first, batch_first, (held.ctas, alone))
    even = minimum(span, total / maximum(1, minimum(ctas, point.machine.processors)))
    if splits > 1 and spec.split is not None and spec.split.combine == "in-kernel":
        span += splits * schedule.constant(spec.constants.merge, point.context, 0.0)
    traffic = fused_traffic(point, einsums, grid)
    return Kernel(
        name=name,
        compute_cycles=span,
        busy_cycles=_busy(point, work, visits, masked, ctas),
        ops=_issued(work, visits, masked, ctas),
        smem_bytes=work.per_tile.smem_bytes * visits,
        traffic=traffic,
        level_s=_level_times(point, traffic, grid),
        exposed_memory=schedule.exposed("memory", point.context),
        drain_cycles=schedule.exposed("drain", point.context) * (1 * each[0] + 0 * each[1] + each[2] + span - even),
        fixed_s=schedule.constant(spec.constants.kernel_overhead, point.context, 0.0),
        ctas=ctas,
        tile=tile,
        splits=grid.splits,
        occupancy=held,
        slots=slots,
        filled=_filled(point, tile, pack, walks[0][2]),
    )


def _check_loops(point: Point, tile: Mapping[str, int], spread: Sequence[str], walked: tuple[str, ...]) -> None:
    """Queries and keys each need a tile and a loop, and a CTA walks at least one of them: nothing else covers every pair."""
    name, positions = point.schedule.name, (point.query, point.key)
    for rank in dict.fromkeys((*walked, *positions)):
        if rank not in tile:
            raise InfeasibleError(f"schedule {name} walks or spreads {rank}, but its tile row gives no size for it")
    for rank in positions:
        if rank not in walked and rank not in spread:
            raise InfeasibleError(f"schedule {name} tiles {rank}, but none of its loops runs over it")
    if not set(positions) & set(walked):
        raise InfeasibleError(f"schedule {name} spreads both {' and '.join(positions)} over CTAs; one must be a sequential loop")


def _check_passes(point: Point, walked: tuple[str, ...]) -> None:
    if point.key not in walked or point.query in walked:
        return
    plan = point.cascade.passes(point.key)
    if plan.count > 1:
        raise InfeasibleError(
            f"schedule {point.schedule.name} walks {point.key} once, but cascade {point.cascade.name} takes {plan.count} passes over it; "
            f"choose a 1-pass cascade (attention-1pass), or an unfused schedule (naive)"
        )


def packed_heads(point: Point, tile: Mapping[str, int]) -> int:
    """Query heads of a group that become rows of one tile."""
    rule, group = point.schedule.spec.pack_groups, point.group
    if group == 1 or rule == "never":
        return 1
    if rule == "always":
        return group
    rows, size = point.sizes[point.query], tile.get(point.query, 1)
    if rule == "efficient":
        # FlashAttention-3, hopper/heuristics.h: pack when single-head tiles are filled clearly less well than packed ones.
        alone, packed = rows / (ceil(rows / size) * size), rows * group / (ceil(rows * group / size) * size)
        return group if alone < point.schedule.spec.pack_threshold * packed else 1
    return group if holds(rule, point.context) else 1


def _filled(point: Point, tile: Mapping[str, int], pack: int, walk: Any) -> Number:
    """Share of the query rows of all tiles that hold a query."""
    if point.mask.dimensions > 1 and walk.extent == point.sizes[point.query]:
        return walk.extent / (walk.tile_count * walk.tile)
    rows, size = point.sizes[point.query] * pack, tile.get(point.query, 1)
    return rows / (ceil(rows / size) * size)


def _port(point: Point) -> float:
    """Bytes per cycle that one processor gets of the shared cache, or of memory where there is none."""
    machine = point.machine
    near = machine.levels[point.shared if point.shared is not None else 0]
    return near.sustained / machine.processors / machine.clock(next(iter(machine.units)))


def _reduce_cycles(point: Point, einsums: tuple[Einsum, ...], grid: Grid) -> dict[str, float]:
    """Cycles in which a processor sends what a step of the walk adds to results of the whole grid, where the schedule says how fast.

    Whole tiles, padding too: the sums are kept in a workspace of whole tiles.
    """
    efficiency = point.schedule.constant(point.schedule.spec.constants.reduce_efficiency, point.context, 0.0)
    if not efficiency:
        return {}
    inside = grid.inside
    summed = [name for name in results_of(point, einsums) if summed_over_grid(point, grid, name)]
    elements = sum(prod(inside.get(rank, 1) for rank in point.cascade.tensor_ranks(name)) for name in summed)
    return {"reduce": elements * STATE_BYTES / (efficiency * _port(point))}


def _each(point: Point, work: CtaWork, per_tile: Number, fill: Number, grid: Grid) -> tuple[Number, Number, Number]:
    """Cycles of a processor for a visited tile, for the mask of one, and for a CTA beside."""
    schedule, spec = point.schedule, point.schedule.spec
    first = minimum(1.0, grid.slots / maximum(1, grid.ctas))  # share of the CTAs that are the first on their slot
    slower = (schedule.constant(spec.constants.masked_tile_cost, point.context, 1.0) - 1.0) * per_tile
    overhead = schedule.constant(spec.constants.cta_overhead, point.context, 0.0) + added(work.once.cycles.values())
    # From one CTA of a slot to the next the others take theirs: so many batch elements are passed.
    passed = minimum(point.requests, grid.slots * point.requests / maximum(1, grid.ctas))
    overhead += schedule.constant(spec.constants.request_scan, point.context, 0.0) * passed
    exposed = schedule.exposed("fill", point.context)
    exposed += (1.0 - exposed) * first  # the first CTA of a slot finds no other to hide its fill behind
    if exposed and fill:
        overhead += exposed * fill / _port(point)
    per_tile += schedule.constant(spec.constants.tile_overhead, point.context, 0.0)
    return per_tile, work.masked_cycles + slower, overhead


def tile_cycles(point: Point, cycles: Mapping[str, Number]) -> Number:
    """Cycles of one tile from the busy cycles of each resource: exposed parts follow one another, hidden parts run beside one another.

    sum(x_u * t_u) + max((1 - x_u) * t_u), with x_u the exposed share of resource u. With the longest resource on the matrix unit this is
    "the longest plus the exposed share of the others"; it is continuous and monotone in every t_u. The matrix unit's cycles are stretched
    by the kernel's efficiency on it.
    """
    serial: Number = 0.0
    hidden: Number = 0.0
    for name, value in stretched_cycles(point, cycles).items():
        share = point.schedule.exposed(name, point.context)
        serial += share * value
        hidden = maximum(hidden, (1.0 - share) * value)
    return serial + hidden


def stretched_cycles(point: Point, cycles: Mapping[str, Number]) -> dict[str, Number]:
    """Cycles with the matrix instructions issued at the kernel's efficiency."""
    efficiency = point.schedule.constant(point.schedule.spec.constants.tensor_efficiency, point.context, 1.0)
    main = "tensor" if "tensor" in cycles else "vector" if "tensor" not in point.machine.units else ""
    return {name: value / efficiency if name == main else value for name, value in cycles.items()}


def _busy(point: Point, work: CtaWork, visits: Number, masked: Number, ctas: Number) -> dict[str, Number]:
    """Cycles each unit is busy, averaged over the processors, at the rate its instructions really reach (efficiency is waiting, not
    work).
    """
    total: dict[str, Number] = {}
    for share, cycles in ((visits, work.per_tile.cycles), (ctas, work.once.cycles), (masked, {"vector": work.masked_cycles})):
        for name, value in cycles.items():
            total[name] = total.get(name, 0.0) + share * value / point.machine.processors
    return total


def _issued(work: CtaWork, visits: Number, masked: Number, ctas: Number) -> Ops:
    """Operations issued, padding included, by unit and kind."""
    total: Ops = {}
    for share, ops in ((visits, work.per_tile.ops), (ctas, work.once.ops), (masked, {"vector": {"mask": work.masked_ops}})):
        for unit, kinds in ops.items():
            for kind, value in kinds.items():
                if nonzero(share) and nonzero(value):
                    by_kind = total.setdefault(unit, {})
                    by_kind[kind] = by_kind.get(kind, 0.0) + share * value
    return total


def _level_times(point: Point, traffic: Traffic, grid: Grid) -> dict[str, Number]:
    """Seconds of each device level. Memory delivers no more than what the CTAs in flight ask for: bytes in flight / latency (Little's
    law).
    """
    machine, schedule = point.machine, point.schedule
    efficiency = schedule.constant(schedule.spec.constants.memory_efficiency, point.context, 1.0)
    times: dict[str, Number] = {}
    for level in machine.levels:
        moved = traffic.total(level.name)
        if level.per != "device" or not moved:
            continue
        rate = level.sustained * (efficiency if level is machine.memory else 1.0)
        if level is machine.memory and level.latency_s > 0:
            rate = minimum(rate, _bytes_in_flight(point, grid) / level.latency_s)
        read, written = traffic.directed(level.name)
        times[level.name] = (read + written / level.write) / rate
    return times


def _bytes_in_flight(point: Point, grid: Grid) -> Number:
    """Bytes the resident CTAs have on order: the tile of every input, walked ones as often as they are buffered."""
    spec = point.schedule.spec
    per_cta = added(tile_bytes(point, name, grid) * spec.buffers.get(name, 1) for name in point.cascade.inputs)
    return maximum(1.0, minimum(grid.ctas, grid.slots) * per_cta)
