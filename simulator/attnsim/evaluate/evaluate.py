"""cascade x mask x schedule x machine -> Estimate: the one engine every kernel on every machine goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from attnsim.cascade.cascade import Cascade, totals
from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.accounts import FLOPS_PER_OP, reported_passes
from attnsim.evaluate.bottleneck import bound_of, longest_bound
from attnsim.evaluate.bounds import Algorithm, algorithm, lower_bound
from attnsim.evaluate.checks import check_dtype, check_labels, check_size, footprint_tensors
from attnsim.evaluate.estimate import Estimate, KernelEstimate
from attnsim.evaluate.kernel import Kernel, fused_kernel
from attnsim.evaluate.point import Point, unit_of
from attnsim.evaluate.power import Dynamic, dynamic_energy, energy, settled_clock
from attnsim.evaluate.selection import scoring, selection_kernels
from attnsim.evaluate.traffic import Traffic
from attnsim.evaluate.unfused import combine_kernel, helper_kernel, permute_kernel, unfused_kernels
from attnsim.evaluate.walks import query_walks
from attnsim.evaluate.warm import kept_share, warmed
from attnsim.lanes import Number, OneByOne, added, largest, minimum, nonzero, refusal
from attnsim.machine.machine import Machine
from attnsim.mask.banded import CAUSAL
from attnsim.mask.base import Mask, TileShape
from attnsim.mask.perhead import record_of_heads
from attnsim.schedule.condition import holds
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec.schedule import HelperKernel
from attnsim.spec.workload import Conditions
from attnsim.tape import call
from attnsim.units import format_quantity

PERMUTE, UNPERMUTE = "permute", "unpermute"


def kernels_of(point: Point) -> tuple[Kernel, ...]:
    """Every kernel the schedule launches for this point, in order.

    Raises:
        InfeasibleError: the machine, format or sizes do not suit the schedule.
    """
    schedule, spec, cascade = point.schedule, point.schedule.spec, point.cascade
    check_dtype(point)
    check_size(point)
    schedule.require(point.context, {"dense"} if point.context["mask"] == "dense" else point.mask.kinds)
    check_labels(point)
    if spec.fusion == "none":
        return warmed(point, tuple(kernel for einsum in cascade.einsums for kernel in unfused_kernels(point, (einsum,), einsum.label)))
    if spec.fusion == "stream":
        return warmed(point, unfused_kernels(point, cascade.einsums, cascade.name))
    if isinstance(spec.fusion, list):
        grouped = {label: index for index, labels in enumerate(spec.fusion) for label in labels}
        groups: dict[object, list[str]] = {}
        for einsum in cascade.einsums:
            groups.setdefault(grouped.get(einsum.label, einsum.label), []).append(einsum.label)
        found = [unfused_kernels(point, tuple(cascade.by_label[name] for name in labels), "+".join(labels)) for labels in groups.values()]
        return warmed(point, tuple(kernel for group in found for kernel in group))
    main = fused_kernel(point, main_einsums(point), spec.name)
    kernels = [
        *(helper_kernel(point, helper) for helper in _launched(point, spec.before)),
        main,
        *(helper_kernel(point, helper) for helper in _launched(point, spec.after)),
    ]
    if _permutes(point):
        inputs, outputs = tuple(cascade.inputs), tuple(cascade.outputs)
        kernels = [permute_kernel(point, inputs, PERMUTE), *kernels, permute_kernel(point, outputs, UNPERMUTE)]
    if spec.selection is not None and point.many:
        raise OneByOne
    before, after = selection_kernels(point, kernels_of)
    kernels = [*before, *kernels, *after]
    if spec.split is not None and (spec.split.combine == "always" or (main.splits > 1 and spec.split.combine == "kernel")):
        kernels.append(combine_kernel(point, main.splits, f"{spec.name} combine"))
    return warmed(point, tuple(kernels))


def as_split(point: Point) -> Point:
    """The point under the kernel that its library runs: another one, in other tiles, where the heuristic does not split the walk."""
    split = point.schedule.spec.split
    if split is None or not split.unsplit or fused_kernel(point, main_einsums(point), point.schedule.name).splits > 1:
        return point
    return replace(point, schedule=load_schedule(split.unsplit))


def main_einsums(point: Point) -> tuple[Einsum, ...]:
    """What the fused kernel computes: all that the schedule leaves to no helper."""
    spec = point.schedule.spec
    helped = {label for helper in _launched(point, [*spec.before, *spec.after]) for label in helper.einsums}
    return _without(point.cascade, frozenset(helped))


@lru_cache(maxsize=512)
def _without(cascade: Cascade, labels: frozenset[str]) -> tuple[Einsum, ...]:
    return tuple(einsum for einsum in cascade.einsums if einsum.label not in labels)


def _launched(point: Point, helpers: Sequence[HelperKernel]) -> list[HelperKernel]:
    return [helper for helper in helpers if holds(helper.when, point.context)]


def _permutes(point: Point) -> bool:
    """Whether this operation lays its tokens out itself: a dense kernel takes them in any order."""
    asked = point.schedule.spec.permute is not None and point.conditions.permute == "per_op"
    return asked and point.mask.permuted and point.context["mask"] != "dense"


@dataclass(frozen=True, slots=True)
class _Clocks:
    """Hz: of the matrix unit as its rates are given, the highest this run may take, and the one it settles at."""

    nominal: float
    highest: float
    settled: Number


def _clocks(point: Point, kernels: tuple[Kernel, ...]) -> tuple[Dynamic, _Clocks]:
    machine, wanted = point.machine, point.conditions.tensor_clock
    dynamic = dynamic_energy(point, kernels)
    unit = machine.matmul_unit(point.dtype) or next(iter(machine.units))
    nominal = machine.clock(unit)
    highest = wanted if wanted is not None else machine.clock(unit, "boost")
    settled = settled_clock(point, kernels, dynamic, highest, nominal) if point.conditions.power_limit else highest
    return dynamic, _Clocks(nominal, highest, settled)


def _launch(point: Point) -> float:
    return point.machine.launch.seconds(point.conditions.launch)


def latency_of(point: Point, kernels: tuple[Kernel, ...]) -> Number:
    """Seconds that `kernels` take one after another, launches included, at the clock they settle at."""
    clock = _clocks(point, kernels)[1].settled
    return added(kernel.seconds(clock) + _launch(point) for kernel in kernels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What no schedule changes, named as in an `Estimate`."""

    name: str
    kind: str
    dtype: str
    sizes: Mapping[str, Number]
    flops: Number
    lower_bound_s: Number
    lower_bound_by_resource_s: Mapping[str, Number]


def bounds(point: Point, name: str) -> Bounds:
    """The lower bound of one point, or of many at once.

    Raises:
        InfeasibleError: the machine does not compute in that format, or does not hold the inputs and outputs.
    """
    check_dtype(point)
    check_size(point)
    work = algorithm(point)
    floors = lower_bound(point, work)
    macs = work.matmul_macs + sum(algorithm(asked).matmul_macs for asked in scoring(point))
    return Bounds(
        name=name,
        kind="kernel",
        dtype=point.dtype,
        sizes=dict(point.sizes),
        flops=2 * macs,
        lower_bound_s=largest(floors.values()),
        lower_bound_by_resource_s=floors,
    )


def evaluate(point: Point, name: str, baseline: tuple[str, Number] | None = None, notes: tuple[str, ...] = ()) -> Estimate:
    """Latency, bounds, traffic and energy of one point, or of many at once: then its numbers are Lanes, and it says nothing in words.

    baseline: (schedule name, latency in s) the speedup upper bound refers to; left out, the schedule itself.
    """
    point = as_split(point)
    kernels = kernels_of(point)
    work = algorithm(point)
    floors = lower_bound(point, work)
    all_work = [(point, work), *((asked, algorithm(asked)) for asked in scoring(point))]
    dynamic, clocks = _clocks(point, kernels)
    clock = clocks.settled
    parts = tuple(_kernel_estimate(point, kernel, clock, _launch(point)) for kernel in kernels)
    latency = added(part.latency_s for part in parts)
    floor = largest(floors.values())
    traffic = Traffic()
    times: dict[str, Number] = {}
    for kernel, part in zip(kernels, parts, strict=True):
        traffic.merge(kernel.traffic)
        for resource, seconds in part.time_by_resource_s.items():
            times[resource] = times.get(resource, 0.0) + seconds
    base_name, base_latency = baseline if baseline is not None else (point.schedule.name, latency)
    return Estimate(
        name=name,
        kind="kernel",
        schedule=point.schedule.name,
        cascade=point.cascade.name,
        dtype=point.dtype,
        direction=point.direction,
        sizes=dict(point.sizes),
        flops=2 * sum(done.matmul_macs for _, done in all_work),
        flops_by_unit=_flops_by_unit(all_work),
        ops_by_kind=totals({asked.cascade.name: done.ops_by_kind for asked, done in all_work}),
        bytes=_bytes(point, kernels, traffic),
        bytes_by_tensor=traffic.moved,
        passes=dict(reported_passes(point.cascade)),
        footprint_bytes=_footprint(point, kernels),
        latency_s=latency,
        lower_bound_s=floor,
        lower_bound_by_resource_s=floors,
        bound=longest_bound([part.latency_s for part in parts], [part.bound for part in parts]),
        utilization={resource: minimum(1.0, seconds / latency) for resource, seconds in times.items()},
        energy_j=energy(point, dynamic, latency, clock, clocks.nominal),
        speedup_upper_bound=base_latency / floor,
        baseline=base_name,
        time_by_resource_s=times,
        mask=_mask(point, kernels),
        kernels=parts,
        clock_hz=clock,
        assumptions=() if point.many else (*notes, *_assumptions(point, clock, clocks.highest)),
    )


def _kernel_estimate(point: Point, kernel: Kernel, clock: Number, launch: float) -> KernelEstimate:
    times = {unit: cycles / clock for unit, cycles in kernel.busy_cycles.items()}
    times.update(kernel.level_s)
    if launch:
        times["launch"] = launch
    seconds = kernel.seconds(clock) + launch
    compute = kernel.compute_cycles / clock
    return KernelEstimate(
        name=kernel.name,
        latency_s=seconds,
        compute_s=compute,
        ctas=kernel.ctas,
        slots=kernel.slots,
        ctas_per_processor=kernel.occupancy.ctas,
        limiter=kernel.occupancy.limiter,
        waves=kernel.ctas / kernel.slots,
        tile=kernel.tile,
        splits=kernel.splits,
        bound=bound_of(times, compute, kernel, seconds),
        time_by_resource_s=times,
        issued_ops=kernel.ops,
        bytes={level: kernel.traffic.total(level) for level in kernel.traffic.moved},
        smem_per_cta_bytes=kernel.occupancy.scratch_bytes,
        dtype=kernel.dtype or point.dtype,
    )


def _bytes(point: Point, kernels: tuple[Kernel, ...], traffic: Traffic) -> dict[str, Number]:
    """Bytes by level: device levels by tensor, and what matrix instructions read from the processors' own memory."""
    out = {level.name: traffic.total(level.name) for level in point.machine.levels if level.per == "device"}
    near = added(kernel.smem_bytes for kernel in kernels)
    if point.local is not None and nonzero(near):
        out[point.machine.levels[point.local].name] = near
    return out


def _flops_by_unit(all_work: Sequence[tuple[Point, Algorithm]]) -> dict[str, Number]:
    """Algorithmic work by the unit that does it; a mac is two."""
    out: dict[str, Number] = {}
    for point, work in all_work:
        for label, kind, unit, each in _units(point.cascade, point.schedule, point.machine, point.dtype):
            out[unit] = out.get(unit, 0) + work.counts[label][kind] * each
    return out


@lru_cache(maxsize=1024)
def _units(cascade: Cascade, schedule: Schedule, machine: Machine, dtype: str) -> tuple[tuple[str, str, str, int], ...]:
    """(Einsum, kind, unit, FLOPs each) of all operations of a cascade."""
    found = []
    for einsum in cascade.einsums:
        for kind in dict.fromkeys(term.kind for term in einsum.terms):
            unit = unit_of(schedule, machine, dtype, einsum.label, kind, kind == "mac" and einsum.is_matmul)
            found.append((einsum.label, kind, unit, FLOPS_PER_OP.get(kind, 1)))
    return tuple(found)


def _footprint(point: Point, kernels: tuple[Kernel, ...]) -> Number:
    """Most bytes held in memory at a time: inputs and outputs always, what kernels hand to one another from its write to its last read.

    Raises:
        InfeasibleError: more than the machine's memory holds.
    """
    names = set(footprint_tensors(point.cascade))
    always = added(point.tensor_bytes(name) for name in names)
    memory = point.machine.memory
    born: dict[str, tuple[int, Number]] = {}
    last: dict[str, int] = {}
    for index, kernel in enumerate(kernels):
        for tensor, moved in kernel.traffic.moved.get(memory.name, {}).items():
            if tensor in names:
                continue
            if nonzero(moved.get("write", 0.0)) and tensor not in born:
                born[tensor] = (index, moved["write"])
            last[tensor] = index
    live = [added(size for name, (first, size) in born.items() if first <= index <= last[name]) for index in range(len(kernels))]
    total = always + largest(live)
    if total > memory.capacity_bytes:

        def told(total: float) -> InfeasibleError:
            text = f"schedule {point.schedule.name} holds {format_quantity(total, 'B')} in memory, intermediates included; "
            text += f"{memory.name} of {point.machine.name} has {format_quantity(memory.capacity_bytes, 'B')}"
            return InfeasibleError(Issue(text, path="sizes"))

        raise refusal(told, total)
    return total


def _mask(point: Point, kernels: tuple[Kernel, ...]) -> dict[str, Any]:
    if not point.positioned:
        return {}
    main = next((kernel for kernel in kernels if kernel.name == point.schedule.name), kernels[0])
    if point.schedule.spec.fusion != "all" or not {point.query, point.key} <= main.tile.keys():
        return _record(point, [[count, mask, None] for count, mask in point.masks], (), {})
    row = point.schedule.tile(point.context)
    more: dict[str, Number] = {}
    cost = point.schedule.constant(point.schedule.spec.constants.masked_tile_cost, point.context, 0.0)
    if cost:
        more["masked_tile_cost"] = cost
    copies = [kernel.traffic.total(point.machine.memory.name) for kernel in kernels if kernel.name in (PERMUTE, UNPERMUTE)]
    if point.schedule.spec.permute is not None:
        more["permute_bytes"] = added(copies)
    walks = [[*walk] for walk in query_walks(point, row)]
    return _record(point, walks, (row.shape(point.query), row.shape(point.key)), more)


def _record(point: Point, walks: Sequence[Any], tile: Sequence[TileShape], more: Mapping[str, Number]) -> dict[str, Any]:
    sizes = point.sizes[point.query], point.sizes[point.key]
    found: dict[str, Any] = call(_record_of, point.mask, *sizes, walks, tile, more)
    return found


def _record_of(mask: Mask, p: Number, m: Number, walks: Sequence[Any], tile: Sequence[Any], more: Mapping[str, Number]) -> dict[str, Any]:
    record = record_of_heads(mask, p, m, walks)
    if "flop_speedup_causal" in record and tile and all(isinstance(side, int) for side in tile):
        q_tile, k_tile = tile
        record["speedup_mean_tile_causal"] = CAUSAL.walk(p, m, q_tile, k_tile).visited_total / record["tile_pairs_kernel"]
    record.update(more)
    return record


def _assumptions(point: Point, clock: float, highest: float) -> tuple[str, ...]:
    notes = [f"launch: {point.conditions.launch}", call(_place, kept_share(point))]
    if point.schedule.spec.cascade != point.cascade.name:
        notes.append(f"schedule {point.schedule.name} was written for {point.schedule.spec.cascade} and runs {point.cascade.name} here")
    fitted = point.schedule.fitted_on(point.context)
    here = point.schedule.calibrated_on(point.context)
    if here:
        notes.append(f"constants of {point.schedule.name} as calibrated on this machine: {'; '.join(here)}")
    if fitted:
        notes.append(f"constants of {point.schedule.name} fitted on {'; '.join(fitted)}")
    elif not here:
        notes.append(f"no fitted constants in {point.schedule.name}")
    about_clock = call(_clock_notes, point.conditions, clock, highest, point.machine.power.tdp_w)
    return (*notes, *about_clock, *point.machine.assumptions)


def _place(kept: float) -> str:
    return f"{kept:.0%} of the tensors are in the shared cache from the run before" if kept else "inputs start in memory, not in a cache"


def _clock_notes(conditions: Conditions, clock: float, highest: float, limit_w: float) -> list[str]:
    notes = []
    if conditions.tensor_clock is not None:
        notes.append(f"clock locked at {clock / 1e6:.0f} MHz")
    if not conditions.power_limit:
        notes.append("power limit not applied (short or locked-clock run)")
    elif clock < highest:
        notes.append(f"clock lowered from {highest / 1e6:.0f} to {clock / 1e6:.0f} MHz by the {limit_w:.0f} W board limit")
    return notes
