"""The certified lower bound: no schedule of this cascade on this machine is faster.

Counted: multiply-adds of the attended pairs at the fastest unit's peak rate, exponentials at the joint rate of every unit that can
compute them, and compulsory bytes (each input read once, as far as the mask needs it; each output written once) at the nominal memory
bandwidth, all at the boost clock and perfectly overlapped. Inputs are taken to be in memory, or in a warm cache as far as it can hold them.
Left out, since kernels fuse or pack them: the other vector work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attnsim.evaluate.point import Point
from attnsim.evaluate.traffic import attended_share
from attnsim.evaluate.warm import least_moved_share
from attnsim.lanes import Number, added, maximum
from attnsim.mask.base import Mask
from attnsim.tape import call


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What the cascade itself asks for, tiling left out: exact operation counts of the attended pairs."""

    counts: Mapping[str, Mapping[str, Number]]
    ops_by_kind: Mapping[str, Number]
    matmul_macs: Number
    compulsory_read: Mapping[str, Number]
    compulsory_write: Mapping[str, Number]


def algorithm(point: Point) -> Algorithm:
    """Operation counts by Einsum and kind with the key rank in one chunk (the fewest corrections any tiling does), and compulsory bytes."""
    counts = _counts(point, point.cascade.resolve_sizes(point.sizes))
    totals: dict[str, Number] = {}
    macs: Number = 0
    for label, kinds in counts.items():
        for kind, count in kinds.items():
            totals[kind] = totals.get(kind, 0) + count
            if kind == "mac" and point.cascade.by_label[label].is_matmul:
                macs += count
    reads = {name: point.tensor_bytes(name) * attended_share(point, name) for name in point.cascade.inputs}
    writes = {name: point.tensor_bytes(name) for name in point.cascade.outputs}
    return Algorithm(counts, totals, macs, reads, writes)


def _counts(point: Point, sizes: Mapping[str, Number]) -> dict[str, dict[str, Number]]:
    """Operations by Einsum and kind. Heads with other masks are counted as if all were like them, and weighted by how many they are."""
    if not point.positioned:
        return point.cascade.counts(sizes)
    masks, p, m = point.masks, point.sizes[point.query], point.sizes[point.key]
    if len(masks) == 1:
        return point.cascade.counts(sizes, **_points(masks[0][1], p, m))
    heads = sum(count for count, _ in masks)
    total: dict[str, dict[str, Number]] = {}
    for count, mask in masks:
        for label, kinds in point.cascade.counts(sizes, **_points(mask, p, m)).items():
            summed = total.setdefault(label, {})
            for kind, number in kinds.items():
                summed[kind] = summed.get(kind, 0) + number * count
    return {label: {kind: number // heads for kind, number in kinds.items()} for label, kinds in total.items()}


def _points(mask: Mask, p: Number, m: Number) -> dict[str, Number]:
    """Points that a mask leaves of one head, as `Cascade.counts` wants them: with the keys in one chunk every query has one."""
    return {"pairs": call(type(mask).pairs, mask, p, m), "row_blocks": call(type(mask).queries, mask, p, m)}


def lower_bound(point: Point, work: Algorithm) -> dict[str, Number]:
    """Seconds each resource needs at least, by resource; the bound is their maximum.

    Where multiply-adds and exponentials share one unit (a CPU's vector unit) their times add up.
    """
    machine = point.machine
    seconds: dict[str, Number] = {}
    macs = work.ops_by_kind.get("mac", 0)
    unit = machine.matmul_unit(point.dtype)
    if macs and unit is not None:
        rate = machine.op_rate(unit, "mac", point.dtype, which="boost")
        if rate:
            seconds[unit] = macs / rate
    exponentials = work.ops_by_kind.get("exp", 0)
    if exponentials:
        shares = _exp_rates(point)
        fastest = max(shares, key=lambda name: (shares[name], machine.units[name].rate("exp", point.dtype) is not None))
        time = exponentials / added(shares.values())
        seconds[fastest] = seconds.get(fastest, 0.0) + time if set(shares) == {unit} else maximum(seconds.get(fastest, 0.0), time)
    moved = added(work.compulsory_read.values()) + added(work.compulsory_write.values())
    seconds[machine.memory.name] = moved * least_moved_share(point) / machine.memory.bandwidth
    return seconds


def _exp_rates(point: Point) -> dict[str, float]:
    """Exponentials per second of each unit that computes them, natively or as the machine's polynomial."""
    machine = point.machine
    rates: dict[str, float] = {}
    for name, unit in machine.units.items():
        native = unit.rate("exp", point.dtype)
        if native is not None:
            rates[name] = native * machine.clock(name, "boost") * machine.processors
        elif name == "vector" and "exp" in machine.expand:
            cycles = 0.0
            for kind, count in machine.emulation("exp", name, point.dtype).items():
                rate = unit.rate(kind, point.dtype)
                cycles += count / rate if rate else 0.0
            if cycles:
                rates[name] = machine.clock(name, "boost") * machine.processors / cycles
    return rates
