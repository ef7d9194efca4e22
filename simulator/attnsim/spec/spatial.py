"""An accelerator of PE arrays as written (`kind: spatial`): arrays and what their PEs execute, buffers, memory, clock, energy and area.

A number may carry its provenance as in `attnsim.spec.arch`; a plain number takes the `source:` of the nearest group around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from attnsim.errors import Issue, suggest
from attnsim.spec.arch import Fault, source_faults
from attnsim.spec.base import Aliases, FieldError, FormatVersion, Name, Spec, Title
from attnsim.spec.dtype import BITS, Dtype
from attnsim.spec.quantity import Factor, Size, show
from attnsim.spec.sourced import (
    Group,
    SourcedArea,
    SourcedBandwidth,
    SourcedBytes,
    SourcedHertz,
    SourcedJoulePerByte,
    SourcedJoules,
    SourcedWatts,
)
from attnsim.spec.yaml import Document

MAX_DIMENSIONS = 2


class FunctionUnitSpec(Group):
    """One functional unit of a PE: energy of one action, area of one instance (0 where another unit's area holds it)."""

    energy: SourcedJoules = Field(description="of one action")
    area: SourcedArea | None = Field(default=None, description="of one instance; 0 where another unit's area holds it")


def _cost(value: Any) -> Any:
    """A cost may be written as its cycles."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"cycles": value}
    raise ValueError(f"write its cycles, as 1, or an expansion such as {{expand: {{mac: 6}}}}, not {show(value)}")


class OpCostSpec(Group):
    """What one operation costs a PE: its own `cycles` on a functional `unit`, or an `expand` into operations the PE executes itself."""

    cycles: Size | None = Field(default=None, description="of a PE for one operation")
    unit: str | None = Field(default=None, description="functional unit whose energy an action takes; left out: the one named as the op")
    expand: dict[str, Factor] = Field(default_factory=dict, description="such as {mac: 6}: an exponential as six multiply-adds")

    @model_validator(mode="after")
    def _one_form(self) -> OpCostSpec:
        if (self.cycles is None) == (not self.expand):
            raise FieldError("an operation has either its cycles (`add: 1`) or an expansion (`exp: {expand: {mac: 6}}`)")
        if self.expand and self.unit is not None:
            raise FieldError("an expanded operation runs on the units of its parts", "unit")
        return self


class RegisterFileSpec(Group):
    """Registers of one PE: words of the array's number format, energy of one access."""

    words: Size = Field(description="of the array's number format")
    read: SourcedJoules = Field(description="energy of reading a word")
    write: SourcedJoules = Field(description="energy of writing a word")
    area: SourcedArea | None = Field(default=None, description="of one register file")


class ArraySpec(Group):
    """A PE array: `shape` is [rows, columns] or [length], `ops` what every PE executes and at which cost in cycles."""

    shape: list[Size] = Field(min_length=1, max_length=MAX_DIMENSIONS, description="[rows, columns] or [length]")
    count: Size = Field(default=1, description="identical arrays that share the work")
    ops: dict[str, Annotated[OpCostSpec, BeforeValidator(_cost)]] = Field(
        min_length=1, description="operation -> its cost in cycles of a PE, as `add: 1` or `exp: {expand: {mac: 6}}`"
    )
    units: dict[str, FunctionUnitSpec] = Field(default_factory=dict, description="functional units of a PE: energy and area")
    registers: RegisterFileSpec | None = Field(default=None, description="registers of one PE; left out: not modelled")


class BufferSpec(Group):
    """The global buffer between memory and the arrays. A row moves in one access through one port."""

    capacity: SourcedBytes = Field(description="bytes of the whole buffer")
    row: SourcedBytes = Field(description="bytes that move in one access through one port")
    banks: Size = Field(default=1, description="independent parts")
    ports: Size = Field(default=1, description="accesses that one bank takes at a time")
    read: SourcedJoules = Field(description="energy of reading a row")
    write: SourcedJoules = Field(description="energy of writing a row")
    area: SourcedArea | None = Field(default=None, description="of the whole buffer")
    bandwidth: SourcedBandwidth | None = Field(
        default=None,
        description="words stream no faster than this; left out: the ports are no limit, and an answer says how many of them it needs",
    )


class MemorySpec(Group):
    """Memory off the chip."""

    bandwidth: SourcedBandwidth = Field(description="nominal")
    energy: SourcedJoulePerByte = Field(description="of moving one byte")
    capacity: SourcedBytes | None = Field(default=None, description="left out: not modelled")


class SpatialArchSpec(Spec):
    """A spatial accelerator: PE arrays that share one global buffer in front of one memory."""

    attnsim: FormatVersion
    kind: Literal["spatial"]
    name: Name
    title: Title = ""
    aliases: Aliases = []
    dtypes: list[Dtype] = Field(min_length=1, description="number formats the PEs compute in, all of one width")
    technology: str = Field(default="", description="process of the energy and area figures, such as '45 nm'")
    clock: SourcedHertz = Field(description="the one clock of arrays and buffer")
    arrays: dict[str, ArraySpec] = Field(min_length=1, description="PE arrays by name")
    buffer: BufferSpec = Field(description="the global buffer")
    dram: MemorySpec = Field(description="memory off the chip")
    leakage: SourcedWatts | None = Field(default=None, description="power drawn whatever runs")
    assumptions: list[str] = Field(default=[], description="sentences that every answer about this machine lists")
    sources: dict[str, str] = Field(description="source id -> citation")


def check_spatial(spec: SpatialArchSpec, doc: Document) -> tuple[Issue, ...]:
    """Everything wrong with a well-formed spatial arch file, each issue at its place: sources, names of operations and units, widths."""
    faults = [*_op_faults(spec), *_width_faults(spec), *source_faults(spec)]
    return tuple(doc.issue(loc, text) for loc, text in faults)


def _op_faults(spec: SpatialArchSpec) -> Iterator[Fault]:
    for name, array in spec.arrays.items():
        native = [op for op, cost in array.ops.items() if not cost.expand]
        for op, cost in array.ops.items():
            loc = ("arrays", name, "ops", op)
            for part in cost.expand:
                if part not in native:
                    yield (
                        (*loc, "expand", part),
                        f"expands into {part!r}, which the PE does not execute itself; it executes {', '.join(native)}",
                    )
            unit = cost.unit or op
            if not cost.expand and unit not in array.units:
                yield loc, f"no energy is given for unit {unit!r}; add it under arrays.{name}.units{suggest(unit, array.units)}"


def _width_faults(spec: SpatialArchSpec) -> Iterator[Fault]:
    widths = {BITS[dtype] for dtype in spec.dtypes}
    if len(widths) > 1:
        yield (
            ("dtypes",),
            f"formats of one width are needed, since a PE has one word size; these have {', '.join(map(str, sorted(widths)))} bits",
        )
    width = max(widths) / 8
    if spec.buffer.row.value % width:
        yield ("buffer", "row"), f"a row of {spec.buffer.row.value:g} B holds no whole number of {width:g}-byte words"
    if spec.buffer.row.value > spec.buffer.capacity.value:
        yield ("buffer", "row"), "a row is larger than the buffer"
