"""Energy of a run, and the clock a board under its power limit settles at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnsim.errors import InfeasibleError
from attnsim.evaluate.kernel import Kernel, duration
from attnsim.evaluate.point import Point
from attnsim.lanes import Number, added, minimum
from attnsim.machine.power import Power, highest_within
from attnsim.tape import call

TENSOR = "tensor"


@dataclass(frozen=True, slots=True)
class Dynamic:
    """Joules beside idle power: of operations at the nominal clock (they grow with clock ** exponent), and of data movement (fixed)."""

    ops_j: Number
    bytes_j: Number


def dynamic_energy(point: Point, kernels: Sequence[Kernel]) -> Dynamic:
    """Issued operations x energy per operation, plus bytes x energy per byte of each level; products at their operands' `activity`."""
    machine = point.machine
    activity = point.schedule.constant(point.schedule.spec.constants.activity, point.context, 1.0)
    ops_j: Number = 0.0
    bytes_j: Number = 0.0
    for kernel in kernels:
        for unit, kinds in kernel.ops.items():
            each = machine.power.energy(unit, kernel.dtype or point.dtype)
            if each is not None:
                share = activity if unit == TENSOR else 1.0
                ops_j += share * each * added(kinds.values()) * kernel.filled
        for level in machine.levels:
            bytes_j += level.energy_j_per_byte * kernel.traffic.total(level.name)
        if point.local is not None:
            bytes_j += machine.levels[point.local].energy_j_per_byte * kernel.smem_bytes
    return Dynamic(ops_j, bytes_j)


def settled_clock(point: Point, kernels: Sequence[Kernel], dynamic: Dynamic, highest_hz: float, nominal_hz: float) -> Number:
    """The highest clock, at most `highest_hz`, at which the average power stays within the board's limit.

    Raises InfeasibleError where none does: idle power, or what data takes, is above the limit.
    """

    parts = [[*kernel.parts] for kernel in kernels]
    name, power = point.machine.name, point.machine.power
    return call(_settled_clock, name, power, parts, dynamic.ops_j, dynamic.bytes_j, highest_hz, nominal_hz)


def _settled_clock(
    name: str, power: Power, parts: Sequence[Sequence[Number]], ops_j: Number, bytes_j: Number, highest_hz: float, nominal_hz: float
) -> Number:
    def watts(clock: Number) -> Number:
        seconds = added(duration(clock, *one) for one in parts)
        return _joules(power, ops_j, bytes_j, seconds, clock, nominal_hz) / seconds if seconds else 0.0

    settled = highest_within(watts, power.tdp_w, highest_hz)
    if type(settled) is float and settled == 0.0:
        raise InfeasibleError(f"{name} takes more than its limit of {power.tdp_w:g} W at any clock; see `power` of the machine")
    return settled


def energy(point: Point, dynamic: Dynamic, seconds: Number, clock_hz: Number, nominal_hz: float) -> Number:
    """Joules of a run of `seconds` at `clock_hz`."""
    return _joules(point.machine.power, dynamic.ops_j, dynamic.bytes_j, seconds, clock_hz, nominal_hz)


def _joules(power: Power, nominal_ops_j: Number, bytes_j: Number, seconds: Number, clock_hz: Number, nominal_hz: float) -> Number:
    ops_j = nominal_ops_j * (clock_hz / nominal_hz) ** power.clock_exponent
    return power.idle_w * seconds + ops_j + bytes_j - power.shared * minimum(ops_j, bytes_j)
