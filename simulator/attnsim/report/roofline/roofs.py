"""What stands over the points of a roofline: peaks, bandwidths, what the board's power allows, and what special functions allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.machine.power import Power, clock_scale
from attnsim.machine.spatial import SpatialMachine

if TYPE_CHECKING:
    from attnsim.machine.machine import Machine

# Profilers call a GPU's device memory DRAM and write the levels in capitals; the same names let a reader lay a capture over the figure.
LEVEL_LABELS = {"hbm": "DRAM", "dram": "DRAM", "smem": "SMEM", "buffer": "buffer"}
# Every operation goes through these: as roofs they say nothing.
UNROOFED = ("register", "tmem")
SAMPLES = 97
_BINDS = 0.999  # of the roof it lies under: nearer than that the two are one line
_HALVINGS = 40
_ENDLESS = 1e30  # FLOP/B


def level_label(name: str) -> str:
    """Name of a memory level in the figure: hbm -> DRAM, l2 -> L2, smem -> SMEM."""
    return LEVEL_LABELS.get(name, name.upper())


@dataclass(frozen=True, slots=True)
class Roof:
    """A flat roof: the peak of one unit at one or several precisions, FLOP/s at the nominal clock."""

    unit: str
    dtypes: tuple[str, ...]
    flops_per_s: float

    @property
    def name(self) -> str:
        """Unit and precisions, as `tensor bf16, fp16`."""
        return f"{self.unit} {', '.join(self.dtypes)}"


@dataclass(frozen=True, slots=True)
class Diagonal:
    """A sloped roof: the nominal bandwidth of one memory level, B/s; `used` when a kernel counts bytes there."""

    level: str
    bytes_per_s: float
    used: bool = True

    @property
    def name(self) -> str:
        """Label of the level, as `DRAM`."""
        return level_label(self.level)


@dataclass(frozen=True, slots=True)
class PowerRoof:
    """The rate at which a unit can run while the board stays within its power limit, by FLOP/B of the outermost level.

    A unit at the share s of its nominal clock, all of it busy, computes s x peak FLOP/s and moves s x peak / intensity B/s. The board draws

        W(s) = idle + O(s) + B(s) - shared x min(O(s), B(s)),   O(s) = op_w x s^(1 + clock_exponent),   B(s) = s x peak / intensity x J/B

    and the roof is peak x the largest s <= 1 with W(s) <= limit. op_w is peak / 2 x the joules of a mac. Bytes of the levels on the chip
    are left out, as if every byte from memory were used from registers: a kernel with traffic there stays below.
    """

    unit: str
    dtypes: tuple[str, ...]
    peak: float
    op_w: float
    joule_per_byte: float
    power: Power

    @property
    def name(self) -> str:
        """What it is, as `700 W, tensor bf16`."""
        return f"{self.limit_w:.0f} W, {self.unit} {', '.join(self.dtypes)}"

    @property
    def limit_w(self) -> float:
        """The board's limit, W."""
        return self.power.tdp_w

    @property
    def flops_per_s(self) -> float:
        """Where it levels off: with no bytes to move, FLOP/s."""
        return self.at(_ENDLESS)

    def at(self, intensity: float) -> float:
        """FLOP/s at an intensity of the outermost level, FLOP/B."""
        return self.peak * clock_scale(self.power, self.op_w, self.peak / intensity * self.joule_per_byte)

    def curve(self, low: float, high: float, bytes_per_s: float) -> list[tuple[float, float]]:
        """(FLOP/B, FLOP/s) from `low` to `high` where it lies under both the peak and the memory's diagonal; none where it nowhere does."""

        def binds(x: float) -> bool:
            return self.at(x) < _BINDS * min(self.peak, bytes_per_s * x)

        step = math.log(high / low) / (SAMPLES - 1)
        xs = [low * math.exp(index * step) for index in range(SAMPLES)]
        bound = [index for index, x in enumerate(xs) if binds(x)]
        if not bound:
            return []
        first, last = bound[0], bound[-1]
        ends = [_edge(binds, xs[first - 1], xs[first])] if first else []
        tail = [_edge(binds, xs[last + 1], xs[last])] if last + 1 < SAMPLES else []
        return [(x, self.at(x)) for x in (*ends, *xs[first : last + 1], *tail)]


def _edge(binds: Any, free: float, bound: float) -> float:
    """Where a power limit begins to bind, between a place where it does not and one where it does."""
    for _ in range(_HALVINGS):
        middle = math.sqrt(free * bound)
        free, bound = (free, middle) if binds(middle) else (middle, bound)
    return bound


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The rate one kernel would reach if only the operations of a unit without multiply-adds took time: its exponentials on the SFU.

    FLOP/s = matmul FLOPs / sum over these operations of count / rate, as the schedule issues them, at the nominal clock.
    """

    unit: str
    ops: tuple[str, ...]
    flops_per_s: float

    @property
    def name(self) -> str:
        """Unit and operations, as `sfu exp`."""
        return f"{self.unit} {', '.join(self.ops)}"


def roofs_of(machine: Machine | SpatialMachine, dtypes: Sequence[str], units: Sequence[str]) -> tuple[Roof, ...]:
    """Peaks of the units that compute these dtypes; beside them fp32 of the vector unit, where `units` holds it."""
    if isinstance(machine, SpatialMachine):
        return _array_roofs(machine, dtypes)
    peaks: dict[tuple[str, float], list[str]] = {}
    for dtype in dtypes:
        peaks.setdefault((machine.matmul_unit(dtype) or "", machine.peak_flops(dtype)), []).append(dtype)
    if "vector" in units and "vector" in machine.units and all(unit != "vector" for unit, _ in peaks):
        # Everything that is not a matmul runs in fp32. A mac is one operation of the machine's rates and two FLOPs of the axis.
        rate = machine.op_rate("vector", "mac", "fp32")
        if rate is not None:
            peaks.setdefault(("vector", 2 * rate), []).append("fp32")
    return tuple(Roof(unit, tuple(names), peak) for (unit, peak), names in peaks.items())


def _array_roofs(machine: SpatialMachine, dtypes: Sequence[str]) -> tuple[Roof, ...]:
    """Of all arrays together, which may work at once, and of each that is smaller than half of that."""
    each = {name: 2 * array.pes / array.cycles["mac"] * machine.clock_hz for name, array in machine.arrays.items() if "mac" in array.cycles}
    whole = sum(each.values())
    names, known = " + ".join(each), tuple(dtypes)
    return (Roof(names, known, whole), *(Roof(name, known, peak) for name, peak in each.items() if peak < whole / 2))


def diagonals_of(machine: Machine | SpatialMachine, used: Iterable[str]) -> tuple[Diagonal, ...]:
    """Bandwidths of the memory levels, the outermost first."""
    counted = set(used)
    if isinstance(machine, SpatialMachine):
        known = [("dram", machine.dram.bandwidth), ("buffer", machine.buffer.bandwidth)]
    else:
        known = [(level.name, level.bandwidth) for level in machine.levels if level.name not in UNROOFED]
    return tuple(Diagonal(name, bandwidth, name in counted) for name, bandwidth in known if bandwidth)


def power_roofs_of(machine: Machine | SpatialMachine, dtypes: Sequence[str]) -> tuple[PowerRoof, ...]:
    """Of the units that multiply in these dtypes; none where the machine's file says nothing of power or of an operation's energy."""
    power: Power | None = getattr(machine, "power", None)
    if power is None or isinstance(machine, SpatialMachine):
        return ()
    found: dict[tuple[str, float, float], list[str]] = {}
    for dtype in dtypes:
        unit = machine.matmul_unit(dtype) or ""
        joule = power.energy(unit, dtype)
        if joule:
            peak = machine.peak_flops(dtype)
            found.setdefault((unit, peak, peak / 2 * joule), []).append(dtype)
    each = machine.memory.energy_j_per_byte if found else 0.0
    return tuple(PowerRoof(unit, tuple(names), peak, watts, each, power) for (unit, peak, watts), names in found.items())


def ceilings_of(machine: Machine | SpatialMachine, answer: Any) -> tuple[Ceiling, ...]:
    """Of one answer on processors: units that run no multiply-adds."""
    kernels = [] if isinstance(machine, SpatialMachine) else [kernel for kernel in answer.kernels if hasattr(kernel, "issued_ops")]
    seconds: dict[str, float] = {}
    ops: dict[str, dict[str, None]] = {}
    for kernel in kernels:
        for unit, counts in kernel.issued_ops.items():
            spent = _seconds(machine, unit, counts, kernel.dtype)
            if spent > 0:
                seconds[unit] = seconds.get(unit, 0.0) + spent
                ops.setdefault(unit, {}).update(dict.fromkeys(op for op, count in counts.items() if count > 0))
    return tuple(Ceiling(unit, tuple(ops[unit]), answer.flops / spent) for unit, spent in seconds.items() if answer.flops > 0)


def _seconds(machine: Any, unit: str, counts: Mapping[str, float], dtype: str) -> float:
    """Of operations on a unit without multiply-adds; 0.0 for another unit and for operations it does not run itself."""
    if machine.op_rate(unit, "mac", dtype) is not None:
        return 0.0
    rates: dict[str, float | None] = {op: machine.op_rate(unit, op, dtype) for op, count in counts.items() if count > 0}
    return sum(counts[op] / rate for op, rate in rates.items() if rate)
