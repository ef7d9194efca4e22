"""Energy from action counts times energy per action: functional units, registers, buffer rows, memory bytes, leakage."""

from __future__ import annotations

from collections.abc import Mapping

from attnsim.cascade.einsum import Einsum
from attnsim.evaluate.spatial.point import SpatialPoint
from attnsim.evaluate.spatial.traffic import Words
from attnsim.machine.spatial import Array

#: Operands that one operation reads beside the result it writes: a multiply-add has a multiplicand, a multiplier and an accumulator.
OPERANDS: Mapping[str, int] = {"mac": 3, "add": 2, "sub": 2, "mul": 2, "div": 2, "max": 2, "min": 2}


def unit_actions(point: SpatialPoint, einsum: Einsum, array: Array, counts: Mapping[str, int]) -> dict[str, float]:
    """Actions of every functional unit for the attended points of an Einsum."""
    found: dict[str, float] = {}
    for kind, count in counts.items():
        for unit, times in array.actions[kind]:
            found[unit] = found.get(unit, 0) + times * count
    return found


def register_accesses(
    point: SpatialPoint, einsum: Einsum, array: Array, actions: Mapping[str, float], staying: set[str]
) -> tuple[float, float]:
    """(reads, writes) of the PEs' registers.

    Every action of a unit reads its operands and writes its result. Operands that come from outside the PE at each step, and a sum that is
    handed on to the next PE, are written first: all but those of `staying`, tensors that the PEs already hold.
    """
    reads = sum(count * OPERANDS.get(unit, 1) for unit, count in actions.items())
    arriving = sum(ref.name not in staying for ref in einsum.operands)
    points = max((count for unit, count in actions.items()), default=0.0)
    steps = sum(actions.values())
    return reads, steps + arriving * (points if einsum.is_matmul else 0)


def buffer_rows(point: SpatialPoint, buffer: Words, direction: str) -> float:
    """Rows of the buffer that are read or written, over all heads."""
    return buffer.total(direction) * point.heads * point.word / point.machine.buffer.row_bytes


def energy_parts(
    point: SpatialPoint,
    actions: Mapping[str, Mapping[str, float]],
    accesses: Mapping[str, tuple[float, float]],
    memory_bytes: float,
    buffer: Words,
    latency_s: float,
) -> dict[str, float]:
    """J by component. `actions`: of every functional unit, by array; `accesses`: register reads and writes, by array."""
    machine = point.machine
    parts: dict[str, float] = {}
    for name, units in actions.items():
        array = machine.arrays[name]
        for unit, count in units.items():
            parts[f"{name} {unit}"] = parts.get(f"{name} {unit}", 0) + count * array.units[unit].energy_j
        if array.registers is not None and point.conditions.count_register_files and name in accesses:
            reads, writes = accesses[name]
            parts[f"{name} registers"] = reads * array.registers.read_j + writes * array.registers.write_j
    parts["buffer"] = (
        buffer_rows(point, buffer, "read") * machine.buffer.read_j + buffer_rows(point, buffer, "write") * machine.buffer.write_j
    )
    parts["dram"] = memory_bytes * machine.dram.energy_j_per_byte
    if machine.leakage_w:
        parts["leakage"] = machine.leakage_w * latency_s
    return parts
