"""Bars to be beaten: a roofline, and the simplest model with constants, t = roofline / efficiency + overhead, fitted on a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from attnsim.errors import MissingDataError
from attnsim.importers.aiconfigurator import Call
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.spec.dtype import element_bytes

EFFICIENCIES = tuple(step / 100 for step in range(2, 151))


@dataclass(frozen=True, slots=True)
class TwoParameters:
    """efficiency: of the machine's peak; overhead_s: of every call."""

    efficiency: float
    overhead_s: float

    def time_s(self, floor_s: float) -> float:
        """Seconds of a call whose roofline time is `floor_s`."""
        return floor_s / self.efficiency + self.overhead_s


def roofline_s(call: Call, arch: str) -> float:
    """The longer of FLOPs over the peak and of bytes, each tensor once, over the nominal bandwidth; a window is not looked at."""
    flops_s, bytes_s = _rates(arch, call.dtype)
    pairs = call.queries * call.keys - call.queries * (call.queries - 1) / 2
    widths = call.head_dim + call.head_dim_v
    flops = 2 * call.batch * call.heads_q * pairs * widths
    moved = (
        call.batch
        * widths
        * (call.heads_q * call.queries * element_bytes(call.dtype) + call.heads_kv * call.keys * element_bytes(call.kv_dtype))
    )
    return max(flops / flops_s, moved / bytes_s)


@lru_cache(maxsize=64)
def _rates(arch: str, dtype: str) -> tuple[float, float]:
    machine = load_machine(arch)
    if not isinstance(machine, Machine):
        raise MissingDataError(f"{machine.name} is a machine of PE arrays; nothing was measured on it")
    return machine.peak_flops(dtype), machine.memory.bandwidth


def fit_two(pairs: Sequence[tuple[float, float]]) -> TwoParameters | None:
    """The pair with the least mean |predicted / measured - 1| over (roofline, measured) seconds; None for no rows."""
    if not pairs:
        return None
    fits = (TwoParameters(efficiency, _overhead(pairs, efficiency)) for efficiency in EFFICIENCIES)
    return min(fits, key=lambda fit: math.fsum(abs(fit.time_s(floor) / measured - 1) for floor, measured in pairs))


def _overhead(pairs: Sequence[tuple[float, float]], efficiency: float) -> float:
    # sum |(f/e + o - t) / t| is least at the median of the residuals t - f/e, each weighing 1/t
    residuals = sorted((measured - floor / efficiency, 1 / measured) for floor, measured in pairs)
    half = math.fsum(weight for _, weight in residuals) / 2
    passed = 0.0
    for residual, weight in residuals:
        passed += weight
        if passed >= half:
            return max(0.0, residual)
    return 0.0
