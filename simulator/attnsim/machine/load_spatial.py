"""From a `kind: spatial` arch document to a SpatialMachine."""

from __future__ import annotations

from attnsim.cascade.functions import OPERATIONS
from attnsim.errors import Issue, SpecError, suggest
from attnsim.machine.spatial import Array, Dram, FunctionUnit, GlobalBuffer, RegisterFile, SpatialMachine
from attnsim.spec.dtype import element_bytes
from attnsim.spec.sourced import Sourced
from attnsim.spec.spatial import ArraySpec, SpatialArchSpec, check_spatial
from attnsim.spec.yaml import Document, validate


def build_spatial(document: Document) -> SpatialMachine:
    """The machine of one resolved arch document. Raises SpecError with every issue found."""
    spec = validate(SpatialArchSpec, document)
    issues = [*check_spatial(spec, document), *_unknown_operations(spec, document)]
    if issues:
        raise SpecError(issues)
    buffer, dram = spec.buffer, spec.dram
    return SpatialMachine(
        name=spec.name,
        title=spec.title or spec.name,
        dtypes=frozenset(spec.dtypes),
        word_bytes=element_bytes(spec.dtypes[0]),
        technology=spec.technology,
        clock_hz=spec.clock.value,
        arrays={name: _array(name, array) for name, array in spec.arrays.items()},
        buffer=GlobalBuffer(
            capacity_bytes=buffer.capacity.value,
            row_bytes=buffer.row.value,
            banks=buffer.banks,
            ports=buffer.ports,
            read_j=buffer.read.value,
            write_j=buffer.write.value,
            area_m2=_value(buffer.area),
            bandwidth=None if buffer.bandwidth is None else buffer.bandwidth.value,
        ),
        dram=Dram(dram.bandwidth.value, dram.energy.value, None if dram.capacity is None else dram.capacity.value),
        leakage_w=_value(spec.leakage),
        sources=dict(spec.sources),
        assumptions=tuple(spec.assumptions),
        content_key=document.sha256,
    )


def _value(number: Sourced | None) -> float:
    return 0.0 if number is None else number.value


def _unknown_operations(spec: SpatialArchSpec, document: Document) -> list[Issue]:
    return [
        document.issue(
            ("arrays", name, "ops", op),
            f"no Einsum has an operation {op!r}{suggest(op, OPERATIONS)}; the operations are {', '.join(sorted(OPERATIONS))}",
        )
        for name, array in spec.arrays.items()
        for op in array.ops
        if op not in OPERATIONS
    ]


def _array(name: str, array: ArraySpec) -> Array:
    """Costs with expansions written out: an exponential as six multiply-adds costs six times a multiply-add, in cycles and in energy."""
    cycles: dict[str, float] = {}
    actions: dict[str, tuple[tuple[str, float], ...]] = {}
    native = {op: cost for op, cost in array.ops.items() if not cost.expand}
    for op, cost in native.items():
        cycles[op] = cost.cycles or 0
        actions[op] = ((cost.unit or op, 1),)
    for op, cost in array.ops.items():
        if cost.expand:
            cycles[op] = sum(_whole(times) * cycles[part] for part, times in cost.expand.items())
            actions[op] = tuple((actions[part][0][0], _whole(times)) for part, times in cost.expand.items())
    registers = array.registers
    return Array(
        name=name,
        shape=tuple(array.shape),
        copies=array.count,
        cycles=cycles,
        actions=actions,
        units={unit: FunctionUnit(each.energy.value, _value(each.area)) for unit, each in array.units.items()},
        registers=None
        if registers is None
        else RegisterFile(registers.words, registers.read.value, registers.write.value, _value(registers.area)),
    )


def _whole(number: float) -> float:
    """An int where it is one: cycle counts of whole costs stay exact."""
    return int(number) if float(number).is_integer() else number
