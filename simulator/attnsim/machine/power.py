"""Board power: what an operation costs, and the clock at which a kernel stays inside the board's limit.

Dynamic power grows as f x V^2 and the voltage of these chips rises about linearly with the clock, so the energy of one operation
grows as clock^2 and the power of a compute-bound kernel as clock^3 (`clock_exponent` 2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnsim.lanes import Lanes, Number, where

if TYPE_CHECKING:
    from attnsim.machine.machine import Machine

_HALVINGS = 24  # bisection steps: the clock is known to 1e-7 of the highest, far below its own accuracy
_SECANTS = 4
_NEAR = 2.0**-22  # of a clock: about what is left after the halvings


@dataclass(frozen=True, slots=True)
class GemmPoint:
    """The best measured GEMM of one dtype (FLOP/s), which the operation energy was fitted to.

    `efficiency` is the share of the tensor peak such a GEMM reaches at an unthrottled clock, `bytes_per_flop` its traffic by level.
    """

    rate: float
    efficiency: float
    bytes_per_flop: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Power:
    """Watts of the board, and joules per operation by unit and dtype (`"*"`: any) at the nominal clock.

    `shared`: share of the smaller of the operations' and the bytes' energy that both count and the board draws once.
    """

    tdp_w: float
    idle_w: float
    clock_exponent: float
    joule_per_op: Mapping[str, Mapping[str, float]]
    gemm: Mapping[str, GemmPoint]
    shared: float = 0.0

    def energy(self, unit: str, dtype: str) -> float | None:
        """Joules of one operation (a mac is one) of `unit` at the nominal clock; None where the file gives none."""
        by_dtype = self.joule_per_op.get(unit, {})
        return by_dtype.get(dtype, by_dtype.get("*"))


def highest_within(watts: Callable[[Number], Number], limit_w: float, highest: float) -> Number:
    """The largest clock, at most `highest`, at which `watts(clock)` keeps to `limit_w`; power rises with the clock. 0.0: none does."""
    drawn = watts(highest)
    if type(drawn) is Lanes:
        return _highest_of_lanes(watts, limit_w, highest, drawn)
    if drawn <= limit_w:
        return highest
    within, beyond = _bracket(watts, limit_w, highest, drawn)
    low, high = 0.0, highest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle <= within or (middle < beyond and watts(middle) <= limit_w):
            low = middle
        else:
            high = middle
    return low


def _highest_of_lanes(watts: Callable[[Number], Number], limit_w: float, highest: float, drawn: Lanes) -> Number:
    unlimited = drawn <= limit_w
    if unlimited.values.all():
        return highest
    low: Number = 0.0
    high: Number = highest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        within = watts(middle) <= limit_w
        low, high = where(within, middle, low), where(within, high, middle)
    return where(unlimited, highest, low)


def _bracket(watts: Callable[[float], float], limit_w: float, highest: float, drawn: float) -> tuple[float, float]:
    """A clock that keeps to the limit and one that does not, near one another where power is smooth: most halvings need no more."""
    within, beyond = 0.0, highest
    clock, other, beside = highest * (limit_w / drawn) ** 0.5, highest, drawn
    for _ in range(_SECANTS):
        if not within < clock < beyond:
            break
        found = watts(clock)
        within, beyond = (clock, beyond) if found <= limit_w else (within, clock)
        if found == beside:
            break
        slope = (found - beside) / (clock - other)
        other, beside = clock, found
        clock += (limit_w - found) / slope
    for near in (clock * (1 - _NEAR), clock * (1 + _NEAR)):
        if within < near < beyond:
            within, beyond = (near, beyond) if watts(near) <= limit_w else (within, near)
    return within, beyond


def clock_scale(power: Power, op_w: float, other_w: float = 0.0, highest: float = 1.0) -> float:
    """The largest share of the nominal clock, at most `highest`, at which a compute-bound kernel stays inside the board's limit.

    `op_w`: watts of operations at the nominal clock; they grow as clock ** (1 + clock_exponent). `other_w`: watts of data movement
    at the nominal clock; they grow with the clock, because a compute-bound kernel moves its bytes as fast as it computes.
    Returns 0.0 when the board cannot even idle within its limit.
    """

    def watts(scale: float) -> float:
        op, other = op_w * scale ** (1 + power.clock_exponent), other_w * scale
        drawn: float = power.idle_w + op + other - power.shared * min(op, other)
        return drawn

    return float(highest_within(watts, power.tdp_w, highest))


def sustained_gemm(machine: Machine, dtype: str) -> tuple[float, float] | None:
    """FLOP/s and clock (Hz) that a large GEMM of `dtype` settles at under the power limit; None without a fitted point.

    This turns the fit of the operation energy around, so it should give back the measured rate.
    """
    point = machine.power.gemm.get(dtype)
    unit = machine.matmul_unit(dtype)
    if point is None or unit is None:
        return None
    joule = machine.power.energy(unit, dtype)
    if joule is None:
        return None
    full = machine.peak_flops(dtype) * point.efficiency
    moved = sum(count * full * machine.level(level).energy_j_per_byte for level, count in point.bytes_per_flop.items())
    scale = clock_scale(machine.power, op_w=full / 2 * joule, other_w=moved)
    return full * scale, machine.clock(unit) * scale
