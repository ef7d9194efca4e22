"""cascade x mask x schedule x machine -> SpatialEstimate: every spatial schedule on every spatial machine goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnsim.cascade.cascade import totals
from attnsim.evaluate.accounts import FLOPS_PER_OP, reported_passes
from attnsim.evaluate.spatial.bounds import lower_bound
from attnsim.evaluate.spatial.cycles import drain_cycles, einsum_cycles, pe_cycles
from attnsim.evaluate.spatial.energy import buffer_rows, energy_parts, register_accesses, unit_actions
from attnsim.evaluate.spatial.estimate import PhaseEstimate, SpatialEstimate, StageEstimate
from attnsim.evaluate.spatial.located import Choice
from attnsim.evaluate.spatial.phases import Phase, plans_of, resolved
from attnsim.evaluate.spatial.point import SpatialPoint, check_capacity, check_point
from attnsim.evaluate.spatial.traffic import Words, moving_seconds
from attnsim.evaluate.spatial.visits import visits
from attnsim.schedule.stages import stall
from attnsim.units import format_quantity


def evaluate_spatial(point: SpatialPoint, name: str, baseline: tuple[str, float] | None = None) -> SpatialEstimate:
    """Latency, bounds, traffic, energy and area of one point.

    baseline: (schedule name, latency in s) the speedup upper bound refers to; left out, the schedule itself.

    Raises:
        InfeasibleError: an Einsum no array executes, a buffer smaller than one tile, a stage plan that breaks a dependency.
    """
    check_point(point)
    machine, cascade = point.machine, point.cascade
    phases = [resolved(point, plan) for plan in plans_of(point)]
    estimates = tuple(_phase_estimate(point, phase) for phase in phases)
    memory, buffer = Words(), Words()
    for phase in phases:
        memory.merge(phase.memory)
        buffer.merge(phase.buffer)
    footprint = sum(point.words(tensor) * point.copies(tensor) for tensor in memory.moved) * point.word
    check_capacity(point, footprint, "inputs, outputs and what passes through memory take")
    latency = sum(estimate.latency_s for estimate in estimates)
    pairs, row_blocks = _attended(point)
    counts = cascade.counts(point.resolved, pairs=pairs, row_blocks=row_blocks)
    moved = memory.total() * point.heads * point.word
    actions, accesses = _actions(point, phases, _issued(point))
    energy = energy_parts(point, actions, accesses, moved, buffer, latency)
    floors = lower_bound(point)
    floor = max(floors.values())
    useful = _useful(point, phases, counts)
    rows = buffer_rows(point, buffer, "read") + buffer_rows(point, buffer, "write")
    ports = rows / (latency * machine.clock_hz)
    base_name, base_latency = baseline if baseline is not None else (point.schedule.name, latency)
    main = max(estimates, key=lambda estimate: estimate.latency_s)
    busy = _busy(point, estimates)
    return SpatialEstimate(
        name=name,
        kind="kernel",
        schedule=point.schedule.name,
        cascade=cascade.name,
        dtype=point.dtype,
        direction=point.direction,
        sizes=dict(point.sizes),
        flops=int(cascade.matmul_flops(counts)),
        flops_by_unit=_flops(phases, counts),
        ops_by_kind=totals(counts),
        bytes={"dram": moved, "buffer": buffer.total() * point.heads * point.word},
        bytes_by_tensor={
            "dram": memory.scaled(point.heads * point.word),
            "buffer": buffer.scaled(point.heads * point.word),
        },
        passes=dict(reported_passes(cascade)),
        footprint_bytes=footprint,
        latency_s=latency,
        lower_bound_s=floor,
        lower_bound_by_resource_s=floors,
        bound=main.bound,
        utilization={
            **{array: sum(by.values()) / (machine.arrays[array].pes * latency * machine.clock_hz) for array, by in useful.items()},
            "dram": min(1.0, busy["dram"] / latency),
        },
        utilization_by_einsum={
            array: {label: value / (machine.arrays[array].pes * latency * machine.clock_hz) for label, value in by.items()}
            for array, by in useful.items()
        },
        energy_j=sum(energy.values()),
        energy_by_part_j=energy,
        area_m2=machine.area_m2,
        speedup_upper_bound=base_latency / floor,
        baseline=base_name,
        time_by_resource_s=busy,
        mask=_mask(point),
        phases=estimates,
        lag={label: lag for phase in phases for label, lag in phase.plan.lag.items()},
        interleave=tuple(tuple(group) for group in point.schedule.spec.interleave),
        once_a_row=tuple(e.label for e in cascade.einsums if point.key not in {cascade.whole(rank) for rank in e.ranks}),
        ports_needed=ports,
        clock_hz=machine.clock_hz,
        assumptions=_assumptions(point, phases, ports),
    )


def _phase_estimate(point: SpatialPoint, phase: Phase) -> PhaseEstimate:
    machine, plan = point.machine, phase.plan
    stages = []
    for stage in plan.stages:
        busy = {
            name: {label: einsum_cycles(point, point.cascade.by_label[label], point.array(name), phase.spaces[label]) for label in members}
            for name, members in stage
        }
        stages.append(StageEstimate(max((sum(by.values()) for by in busy.values()), default=0), busy))
    tiles = _tiles(point, phase)
    waits, waited_for = stall(point.cascade, plan, lambda einsum, name: drain_cycles(einsum, point.array(name), phase.spaces[einsum.label]))
    stalled = tiles * waits
    cycles = sum(stage.cycles for stage in stages) + stalled
    compute = cycles / machine.clock_hz
    memory, near = moving_seconds(point, phase.memory, phase.buffer)
    latency = max(compute, memory, near)
    block, choice = phase.block, phase.choice
    held = block.held_words if block is not None else 0.0
    spilled = block.spilled if block is not None else 0.0
    if choice is not None:
        held, spilled = choice.held_words, choice.spilled or spilled
    rows = choice.rows if choice is not None else block.row_tile * block.tiles if block is not None else 0
    return PhaseEstimate(
        name=plan.name or "+".join(plan.labels),
        einsums=plan.labels,
        latency_s=latency,
        compute_s=compute,
        memory_s=memory,
        buffer_s=near,
        bound=_bound(point, stages, stalled, cycles, latency, compute, memory),
        stages=tuple(stages),
        stall_cycles=stalled,
        stall_behind=plan.slots[waited_for].stage if waited_for else 0,
        tiles=tiles,
        row_block=rows,
        blocks=-(-point.sizes[point.query] // rows) if rows and point.query else 1,
        held_bytes=held * point.word,
        spilled=spilled,
        mapping=str(choice or phase.blocking or ""),
        choice={} if choice is None else _choice(choice),
    )


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "granularity": "head" if choice.head else "row",
        "rows": choice.rows,
        "stationary": choice.stationary,
        "location": dict(choice.location),
        "spilled": choice.spilled,
        "tried": choice.tried,
    }


def _bound(
    point: SpatialPoint, stages: list[StageEstimate], stalled: float, cycles: float, latency: float, compute: float, memory: float
) -> str:
    """What a phase waits for: memory, the buffer, the drain of an array, or its busiest array."""
    if latency > compute:
        return "dram" if memory == latency else "buffer"
    if stalled > cycles / 2:
        return "drain"
    busy = _array_cycles(stages)
    return max(busy, key=lambda name: busy[name])


def _array_cycles(stages: list[StageEstimate] | tuple[StageEstimate, ...]) -> dict[str, float]:
    total: dict[str, float] = {}
    for stage in stages:
        for name, by in stage.busy.items():
            total[name] = total.get(name, 0) + sum(by.values())
    return total


def _tiles(point: SpatialPoint, phase: Phase) -> int:
    """(query tile, key tile) pairs of all heads."""
    if not point.key or phase.blocking is not None:
        return 0
    query, key = point.tiles.get(point.query), point.tiles.get(point.key)
    if query is None or key is None:
        return 0
    return visits(point).pairs * point.heads


# --- accounts ----------------------------------------------------------------------------------------------------------------------


def _issued(point: SpatialPoint) -> Mapping[str, Mapping[str, int]]:
    """Operations that are executed: all points of the tiles gone through, masked ones included."""
    if not point.key:
        return point.cascade.counts(point.resolved)
    gone = visits(point)
    return point.cascade.counts(point.resolved, pairs=gone.points, row_blocks=gone.rows)


def _attended(point: SpatialPoint) -> tuple[int | None, int | None]:
    if not point.key or point.mask.kind == "dense":
        return None, None
    p, m = point.sizes[point.query], point.sizes[point.key]
    inner = point.cascade.partition.get(point.key, ())[-1:]
    blocks = point.mask.row_blocks(p, m, point.resolved[inner[0]]) if inner else None
    return int(point.mask.pairs(p, m)), None if blocks is None else int(blocks)


def _useful(point: SpatialPoint, phases: list[Phase], counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, float]]:
    """PE-cycles of useful work by array and Einsum."""
    chains = point.schedule.spec.chained
    found: dict[str, dict[str, float]] = {name: {} for name in point.machine.arrays}
    for phase in phases:
        for label, slot in phase.plan.slots.items():
            found[slot.array][label] = pe_cycles(point.array(slot.array), counts[label], chains)
    return found


def _actions(
    point: SpatialPoint, phases: list[Phase], counts: Mapping[str, Mapping[str, int]]
) -> tuple[dict[str, dict[str, float]], dict[str, tuple[float, float]]]:
    """Actions of functional units and register accesses, by array."""
    actions: dict[str, dict[str, float]] = {}
    accesses: dict[str, tuple[float, float]] = {}
    for phase in phases:
        for label, slot in phase.plan.slots.items():
            einsum, array = point.cascade.by_label[label], point.array(slot.array)
            mine = unit_actions(point, einsum, array, counts[label])
            by_unit = actions.setdefault(slot.array, {})
            for unit, count in mine.items():
                by_unit[unit] = by_unit.get(unit, 0) + count
            staying = {other for other, place in phase.plan.slots.items() if place.array == slot.array}
            reads, writes = register_accesses(point, einsum, array, mine, staying)
            before = accesses.get(slot.array, (0.0, 0.0))
            accesses[slot.array] = (before[0] + reads, before[1] + writes)
    return actions, accesses


def _flops(phases: list[Phase], counts: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for phase in phases:
        for label, slot in phase.plan.slots.items():
            found[slot.array] = found.get(slot.array, 0) + sum(count * FLOPS_PER_OP.get(kind, 1) for kind, count in counts[label].items())
    return found


def _busy(point: SpatialPoint, estimates: tuple[PhaseEstimate, ...]) -> dict[str, float]:
    """Seconds each resource is busy; a drain is time in which the arrays wait for their own results."""
    busy = dict.fromkeys((*point.machine.arrays, "dram"), 0.0)
    for estimate in estimates:
        for name, cycles in _array_cycles(estimate.stages).items():
            busy[name] += cycles / point.machine.clock_hz
        busy["dram"] += estimate.memory_s
        if estimate.buffer_s:
            busy["buffer"] = busy.get("buffer", 0.0) + estimate.buffer_s
        if estimate.stall_cycles:
            busy["drain"] = busy.get("drain", 0.0) + estimate.stall_cycles / point.machine.clock_hz
    return busy


def _mask(point: SpatialPoint) -> dict[str, Any]:
    if not point.key:
        return {"kind": "dense", "description": "no mask applies"}
    p, m = point.sizes[point.query], point.sizes[point.key]
    query, key = point.tiles.get(point.query), point.tiles.get(point.key)
    return point.mask.record(p, m, point.mask.walk(p, m, query, key) if query and key else None)


def _assumptions(point: SpatialPoint, phases: list[Phase], ports: float) -> tuple[str, ...]:
    machine, spec = point.machine, point.schedule.spec
    notes = ["inputs start in memory", "steady state: the first and the last tile are not charged for filling and draining the pipeline"]
    if spec.cascade != point.cascade.name:
        notes.append(f"schedule {spec.name} was written for {spec.cascade} and runs {point.cascade.name} here")
    if spec.budget is not None:
        notes.append(
            f"tiles take {format_quantity(min(spec.budget, machine.buffer.capacity_bytes), 'B')} of the buffer: {spec.budget_note}"
        )
    if spec.chained:
        notes.append(f"one pipelined operation of the PE each: {', '.join(' with '.join(chain) for chain in spec.chained)}")
    if not point.conditions.count_register_files and any(array.registers for array in machine.arrays.values()):
        notes.append("energy of register files is not counted (conditions.count_register_files)")
    if machine.buffer.bandwidth is None:
        over = " (more than it has)" if ports > machine.buffer.ports else ""
        notes.append(f"buffer ports are no limit: {ports:.2f} rows a cycle of {machine.buffer.ports} ports are used{over}")
    if any(point.sizes.get(group, 0) < point.sizes.get(heads, 0) for group, heads in point.cascade.groups.items()):
        notes.append("heads run one after another: keys and values of a group are read again for every query head")
    if machine.dram.capacity_bytes is None:
        notes.append("memory capacity is not modelled")
    if any(phase.block is not None and phase.block.spilled for phase in phases):
        notes.append("fibers do not fit into the buffer: a share of them is spilled to memory and loaded again")
    return (*notes, *machine.assumptions)
