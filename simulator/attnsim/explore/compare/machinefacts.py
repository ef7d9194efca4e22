"""The numbers of a machine by the names they have in its file, for two machines side by side. SI units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attnsim.errors import AttnsimError
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine


@dataclass(frozen=True, slots=True)
class Fact:
    """A number and its unit, one that `format_quantity` knows; no unit for a count."""

    value: float
    unit: str = ""


def known_machine(name: str, sha256: str) -> Machine | SpatialMachine | None:
    """The machine of the library that an answer names, if its content is what it was when the answer was given."""
    try:
        machine = load_machine(name)
    except AttnsimError:
        return None
    return machine if machine.sha256 == sha256 else None


def facts(machine: Machine | SpatialMachine, dtypes: Iterable[str] = ()) -> dict[str, Fact]:
    """Processors, clocks, peaks of these formats, rates, bandwidths, capacities, limits, power, links."""
    return _spatial(machine, dtypes) if isinstance(machine, SpatialMachine) else _processors(machine, dtypes)


def _processors(machine: Machine, dtypes: Iterable[str]) -> dict[str, Fact]:
    found = {"processors.count": Fact(machine.processors)}
    for name, clock in machine.clocks.items():
        found[f"clocks.{name}.nominal"] = Fact(clock.nominal_hz, "Hz")
        found[f"clocks.{name}.boost"] = Fact(clock.boost_hz, "Hz")
    for dtype in dtypes:
        if machine.supports(dtype):
            found[f"peak {dtype}"] = Fact(machine.peak_flops(dtype), "FLOP/s")
    for unit, operation in (("vector", "mac"), ("sfu", "exp")):
        rate = machine.op_rate(unit, operation, "fp32") if unit in machine.units else None
        if rate is not None:
            found[f"units.{unit} {operation}"] = Fact(rate, "OP/s")
    for level in machine.levels:
        if level.name == "register":
            continue
        found[f"levels.{level.name}.bandwidth"] = Fact(level.bandwidth, "B/s")
        found[f"levels.{level.name}.sustained"] = Fact(level.sustained, "B/s")
        found[f"levels.{level.name}.capacity"] = Fact(level.capacity_bytes, "B")
    found["limits.smem_per_cta"] = Fact(machine.limits.smem_per_cta_bytes, "B")
    found["limits.registers"] = Fact(machine.limits.registers)
    found["launch.graph"] = Fact(machine.launch.graph_s, "s")
    found["power.tdp"] = Fact(machine.power.tdp_w, "W")
    return found | {f"links.{name}.bandwidth": Fact(link.bandwidth, "B/s") for name, link in machine.links.items()}


def _spatial(machine: SpatialMachine, dtypes: Iterable[str]) -> dict[str, Fact]:
    found = {"clock": Fact(machine.clock_hz, "Hz")}
    found |= {f"arrays.{name} PEs": Fact(array.pes) for name, array in machine.arrays.items()}
    found |= {f"peak {dtype}": Fact(machine.peak_flops(dtype), "FLOP/s") for dtype in dtypes if machine.supports(dtype)}
    optional: Mapping[str, tuple[float | None, str]] = {
        "buffer.capacity": (machine.buffer.capacity_bytes, "B"),
        "buffer.bandwidth": (machine.buffer.bandwidth, "B/s"),
        "dram.bandwidth": (machine.dram.bandwidth, "B/s"),
        "dram.capacity": (machine.dram.capacity_bytes, "B"),
    }
    return found | {name: Fact(value, unit) for name, (value, unit) in optional.items() if value is not None}
