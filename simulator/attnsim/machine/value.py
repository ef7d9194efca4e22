"""What a unit of price buys of a machine: memory, bandwidth and FLOP/s (as arXiv 2504.02263, Table 3, compares machines)."""

from __future__ import annotations

from dataclasses import dataclass

from attnsim.errors import InfeasibleError
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.prices import PriceProfile, known_machines
from attnsim.spec.prices import fold


@dataclass(frozen=True, slots=True)
class Value:
    """A machine under a profile. price: of an hour, in the profile's unit; capacity_bytes, bandwidth (B/s), flops (FLOP/s): over it."""

    machine: str
    price: float
    dtype: str
    capacity_bytes: float
    bandwidth: float
    flops: float


def value(machine: Machine, profile: PriceProfile, dtype: str = "bf16") -> Value:
    """What a unit of price buys: one USD for an hour, or one unit of a relative profile.

    Raises:
        MissingDataError: the profile has no price for the machine.
        InfeasibleError: the machine cannot compute in `dtype`.
    """
    price, memory = profile.price(machine.name), machine.memory
    flops = machine.published_peak.get(dtype) or machine.peak_flops(dtype)
    return Value(machine.name, price, dtype, memory.capacity_bytes / price, memory.bandwidth / price, flops / price)


def values(profile: PriceProfile, dtype: str = "bf16") -> list[Value]:
    """Every machine of the profile that the library holds and that computes in `dtype`, most FLOP/s first.

    Raises:
        InfeasibleError: none computes in `dtype`.
    """
    known_names = known_machines()
    loaded = [load_machine(known_names[fold(name)]) for name in profile.prices if fold(name) in known_names]
    machines = [machine for machine in loaded if isinstance(machine, Machine)]  # an array has no price of an hour
    able = [machine for machine in machines if machine.supports(dtype)]
    if not able:
        known = ", ".join(sorted({one for machine in machines for one in machine.dtypes}))
        raise InfeasibleError(f"no machine of price profile '{profile.name}' computes in {dtype}; they compute in {known or 'nothing'}")
    return sorted((value(machine, profile, dtype) for machine in able), key=lambda one: -one.flops)
