"""The arch file as written: pydantic models of one machine, and the checks that every number has a source and adds up.

Any number may be written plainly (``3.35 TB/s``) or with its own provenance (``{value: 3.35 TB/s, source: nv-ds, note: ...}``).
A plain number takes the ``source:`` of the nearest group around it. A source is an id under ``sources:``, or one of the two
reserved words ``estimate`` and ``derived``; these two need a ``note`` that says how the number came about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Protocol

from pydantic import Field, model_validator

from attnsim.errors import Issue, SpecError, suggest
from attnsim.spec import library
from attnsim.spec.base import Aliases, FieldError, FormatVersion, Name, Spec, Title
from attnsim.spec.calibration import Calibrations, KernelConstants
from attnsim.spec.link import LinkSpec
from attnsim.spec.quantity import Between, Bytes, Factor, Size
from attnsim.spec.sourced import (
    Group,
    Sourced,
    SourcedBandwidth,
    SourcedBytes,
    SourcedBytesOrNone,
    SourcedBytesPerCycle,
    SourcedExponent,
    SourcedFlops,
    SourcedHertz,
    SourcedJoulePerByte,
    SourcedJoulePerOp,
    SourcedOpPerCycle,
    SourcedPeak,
    SourcedSeconds,
    SourcedShare,
    SourcedWatts,
)
from attnsim.spec.yaml import Document
from attnsim.units import format_quantity

NonNegative = Annotated[float, Between(0.0)]

RESERVED_SOURCES = ("estimate", "derived")
_UNCITED = ("attnsim", "kernels", "calibration")
PEAK_TOLERANCE = 0.01  # reference check: a published dense peak and SM arithmetic agree within 1 % unless `peak_note` says why not


class Processors(Group):
    """The repeated processor: streaming multiprocessor, compute unit or core."""

    name: str = Field(description="what one is called: SM, CU, core")
    count: Size = Field(description="how many the machine has")


class ClockSpec(Group):
    """A clock domain."""

    nominal: SourcedHertz = Field(description="the one at which the published peak holds")
    boost: SourcedHertz = Field(description="the highest the chip may run")

    @model_validator(mode="after")
    def _ordered(self) -> ClockSpec:
        if self.boost.value < self.nominal.value:
            raise FieldError("the highest clock the chip may run cannot be below nominal", "boost")
        return self


class PathSpec(Group):
    """One instruction path to a unit: the share of the unit's rate it reaches, and the rows of the output one matrix instruction covers."""

    fraction: SourcedShare = Field(description="share of the unit's rate that instructions of this path reach")
    rows: Size | None = Field(
        default=None,
        description="rows of the output that an instruction of several warps together covers (wgmma, tcgen05, a tile unit); left out: "
        "every warp issues its own",
    )
    warp_rows: Size = Field(default=1, description="rows that the instruction of one warp covers at least, where `rows` is left out")
    depth: Bytes | None = Field(
        default=None, description="bytes of one row of an operand that an instruction reduces over: tiles are multiples of so many elements"
    )

    @model_validator(mode="after")
    def _one_issuer(self) -> PathSpec:
        if self.rows is not None and "warp_rows" in self.model_fields_set:
            raise FieldError("give either rows (instruction of several warps) or warp_rows (each warp its own)", "warp_rows")
        return self


class UniformSpec(Group):
    """Operations that a unit runs at one rate, whatever the dtype."""

    ops: list[str] = Field(description="kinds of operations: exp, add, mul, max ...")
    rate: SourcedOpPerCycle = Field(description="of each of them, per cycle and processor")


class UnitSpec(Group):
    """A compute unit: operations per cycle and processor, by kind and dtype. A mac is one operation."""

    clock: str = Field(description="one of `clocks`")
    rates: dict[str, dict[str, SourcedOpPerCycle]] = Field(
        default={}, description='operation -> dtype (`"*"`: any) -> operations per cycle and processor; a mac is one operation'
    )
    uniform: UniformSpec | None = Field(
        default=None, description="short form for operations that all run at one rate; `rates` wins over it"
    )
    paths: dict[str, PathSpec] = Field(default={}, description="instruction paths to the unit, by the name schedules use")


class LevelSpec(Group):
    """A memory level. Give ``bandwidth`` (whole machine) or ``bytes_per_cycle`` (one processor) with its ``clock``; both are nominal."""

    per: Literal["device", "processor"] = Field(default="device", description="one for the whole device, or one in each processor")
    capacity: SourcedBytes = Field(description="bytes of one of them")
    bandwidth: SourcedBandwidth | None = Field(default=None, description="nominal, of the whole machine; or give `bytes_per_cycle`")
    bytes_per_cycle: SourcedBytesPerCycle | None = Field(default=None, description="nominal, of one processor, with its `clock`")
    clock: str | None = Field(default=None, description="one of `clocks`, which `bytes_per_cycle` counts in")
    sustained: SourcedShare | None = Field(
        default=None,
        description="share of the nominal bandwidth that was measured, so that it still holds when a what-if changes the nominal figure",
    )
    write: SourcedShare | None = Field(
        default=None, description="share of the sustained rate at which bytes are written (buses turn around)"
    )
    ramp: SourcedSeconds | None = Field(
        default=None, description="time that passes before the loads of a kernel flow, and after the last of them"
    )
    latency: SourcedSeconds | None = Field(default=None, description="of one load")
    far_latency: SourcedSeconds | None = Field(default=None, description="of one load from the far part of the level")
    retains: SourcedShare | None = Field(
        default=None,
        description="of a cache: share of its capacity up to which everything of a working set is still there when a kernel is run again",
    )
    forgets: SourcedShare | None = Field(
        default=None, description="of a cache: share of its capacity from which on nothing of a working set is still there"
    )
    energy: SourcedJoulePerByte = Field(description="of moving one byte")

    @model_validator(mode="after")
    def _one_bandwidth(self) -> LevelSpec:
        if (self.bandwidth is None) == (self.bytes_per_cycle is None):
            raise ValueError("give either bandwidth (whole machine) or bytes_per_cycle (one processor)")
        if (self.bytes_per_cycle is None) != (self.clock is None):
            raise FieldError("clock goes with bytes_per_cycle: give both or neither", "clock")
        if (self.retains is None) != (self.forgets is None):
            raise FieldError("retains goes with forgets: give both or neither", "retains")
        return self


class ExpandSpec(Group):
    """An operation as a sum of simpler ones, for machines (or schedules) that do not run it natively."""

    ops: dict[str, Factor] = Field(description="simpler operation -> how many of them")


class LimitsSpec(Group):
    """What one processor can hold at a time."""

    threads: Size = Field(description="resident threads")
    ctas: Size = Field(description="resident thread blocks")
    registers: Size = Field(description="32-bit words")
    registers_per_thread: Size = Field(description="most that one thread may have")
    warp: Size = Field(default=32, description="threads that execute one instruction together")
    smem_per_cta: SourcedBytes = Field(description="most shared memory of one thread block")
    smem_reserved_per_cta: SourcedBytesOrNone = Field(description="shared memory that the system takes of every thread block")


class LaunchSpec(Group):
    """Time to start a kernel."""

    stream: SourcedSeconds = Field(description="from one kernel to the next, back to back in a stream")
    graph: SourcedSeconds = Field(description="from one kernel to the next, replayed from a graph")
    floor: SourcedSeconds = Field(description="of the smallest kernel, seen alone")


class GemmSpec(Group):
    """The measured GEMM that the energy of one dtype was fitted to."""

    rate: SourcedFlops = Field(description="what it reached")
    efficiency: SourcedShare = Field(description="share of the tensor peak that the same GEMM reaches at an unthrottled clock")
    bytes_per_flop: dict[str, NonNegative] = Field(description="traffic by level, so that data movement is not charged to the tensor unit")


class PowerSpec(Group):
    """Board power. The energy of an operation grows as clock**clock_exponent."""

    tdp: SourcedWatts = Field(description="board limit")
    idle: SourcedWatts = Field(description="drawn when nothing runs")
    clock_exponent: SourcedExponent = Field(description="energy of an operation grows as clock to this power")
    shared: SourcedShare | None = Field(
        default=None,
        description="of what operations and what bytes draw, the share of the smaller that both count (clock trees, issue, fabric) and "
        "the board draws once",
    )
    joule_per_op: dict[str, dict[str, SourcedJoulePerOp]] = Field(
        description="unit -> dtype -> energy of one operation at the nominal clock"
    )
    gemm: dict[str, GemmSpec] | None = Field(default=None, description="dtype -> the measured GEMM that its energy was fitted to")


class ArchSpec(Spec):
    """One machine of processors, a GPU or CPU, as written in ``arch_specs/{gpu,cpu}/*.yaml``."""

    attnsim: FormatVersion
    kind: Literal["gpu", "cpu"]
    name: Name
    title: Title = ""
    aliases: Aliases = []
    isa: str = Field(description="instruction set, as conditions of schedules ask for it: sm_90, gfx942, avx512")
    vendor: str = Field(description="who makes it")
    processors: Processors = Field(description="the repeated processor")
    clocks: dict[str, ClockSpec] = Field(description="clock domains by name")
    units: dict[str, UnitSpec] = Field(description="compute units by name: tensor, vector, sfu")
    levels: dict[str, LevelSpec] = Field(description="memory levels in order, outermost (memory) first")
    expand: dict[str, ExpandSpec] = Field(default={}, description="operation -> simpler ones, where no unit runs it natively")
    limits: LimitsSpec = Field(description="what one processor can hold at a time")
    launch: LaunchSpec = Field(description="what starting a kernel takes")
    power: PowerSpec = Field(description="board power and energy of operations")
    links: dict[str, LinkSpec | None] = Field(
        default={}, description="links out of the device by name; null: the link of the base is not there"
    )
    peak: dict[str, SourcedPeak] = Field(
        default={}, description="dtype -> published dense peak, held against processors x macs x 2 x nominal clock"
    )
    peak_note: dict[str, str] | None = Field(default=None, description="dtype -> why the published peak differs from that product")
    kernels: dict[str, KernelConstants] = Field(
        default={}, description="constants of schedules as measured on this machine, by the schedule's name"
    )
    calibration: Calibrations = Field(default=[], description="the measurement files that numbers of this file were fitted to")
    assumptions: list[str] = Field(default=[], description="sentences that every answer about this machine lists")
    sources: dict[str, str] = Field(description="source id -> citation")

    def mac_rate(self, dtype: str) -> tuple[str, float] | None:
        """The fastest unit that names ``dtype`` and its macs per cycle and processor; None if no unit names it."""
        rates = [(unit.rates.get("mac", {}).get(dtype), name) for name, unit in self.units.items()]
        found = [(rate.value, name) for rate, name in rates if rate is not None]
        if not found:
            return None
        rate, name = max(found)
        return name, rate

    def computed_peak(self, dtype: str) -> float | None:
        """Dense FLOP/s from processors x macs x 2 x nominal clock; None where no unit (or its clock) is known."""
        found = self.mac_rate(dtype)
        if found is None:
            return None
        name, rate = found
        clock = self.clocks.get(self.units[name].clock)
        return None if clock is None else 2 * self.processors.count * rate * clock.nominal.value


def check(spec: ArchSpec, doc: Document, peaks: bool = True) -> tuple[Issue, ...]:
    """Everything wrong with a well-formed arch file, each issue at its place in ``doc``: references, sources, peaks.

    A published peak is a claim about the machine of the file it stands in. A file that extends another, or a what-if (``peaks`` False),
    may change the machine and need not repeat the claim, so peaks from a base are left alone.
    """
    issues = [doc.issue(loc, text) for loc, text in _reference_faults(spec)]
    issues += [doc.issue(loc, text) for loc, text in _order_faults(spec)]
    issues += [doc.issue(loc, text) for loc, text in source_faults(spec)]
    issues += [doc.issue(loc, text) for loc, text in _kernel_faults(spec)]
    if peaks:
        issues += [doc.issue(loc, text) for loc, text in _peak_faults(spec) if doc.locate(loc)[0] == doc.file]
    return tuple(issues)


Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]


def _reference_faults(spec: ArchSpec) -> Iterator[Fault]:
    """Names that point nowhere: clocks of units and levels, units and levels of the power section."""

    def known(loc: Loc, name: str, names: Mapping[str, object], what: str) -> Iterator[Fault]:
        if name not in names:
            yield loc, f"unknown {what} {name!r}{suggest(name, names)}; this file has {', '.join(names) or 'none'}"

    for name, unit in spec.units.items():
        yield from known(("units", name, "clock"), unit.clock, spec.clocks, "clock")
        if not any(unit.rates.values()) and (unit.uniform is None or not unit.uniform.ops):
            yield ("units", name, "rates"), "a unit needs at least one operation rate"
    for name, level in spec.levels.items():
        if level.clock is not None:
            yield from known(("levels", name, "clock"), level.clock, spec.clocks, "clock")
    for name in spec.power.joule_per_op:
        yield from known(("power", "joule_per_op", name), name, spec.units, "unit")
    for dtype, gemm in (spec.power.gemm or {}).items():
        for name in gemm.bytes_per_flop:
            yield from known(("power", "gemm", dtype, "bytes_per_flop", name), name, spec.levels, "level")
    for field in ("units", "levels", "clocks"):
        if not getattr(spec, field):
            yield (field,), "at least one is needed"


def _order_faults(spec: ArchSpec) -> Iterator[Fault]:
    """Numbers that contradict each other: a board limit that the idle power alone uses up."""
    tdp, idle = spec.power.tdp.value, spec.power.idle.value
    if tdp <= idle:
        yield ("power", "tdp"), f"{format_quantity(tdp, 'W')} leaves nothing above the idle power of {format_quantity(idle, 'W')}"


def _kernel_faults(spec: ArchSpec) -> Iterator[Fault]:
    """Constants of schedules that do not exist, or of one schedule under two of its names."""
    seen: dict[str, str] = {}
    for name in spec.kernels:
        try:
            found = library.find("schedule", name).name
        except SpecError as error:
            yield ("kernels", name), error.issues[0].message
            continue
        if found in seen:
            yield ("kernels", name), f"{name!r} and {seen[found]!r} are names of one schedule; keep one of them"
        seen[found] = name


class Cited(Protocol):
    """An arch file of any kind: it lists what its numbers cite."""

    @property
    def sources(self) -> dict[str, str]:
        """Source id to citation."""


def source_faults(spec: Cited) -> Iterator[Fault]:
    """Numbers without a source, source ids without a citation, and reserved sources without a note."""
    for loc, source, note in _numbers(spec, (), "", ""):
        if not source:
            yield loc, "this number has no source; add `source: ID` to it or to the group around it (ids are listed under `sources`)"
        elif source in RESERVED_SOURCES:
            if not note:
                yield loc, f"a number whose source is {source!r} needs a note that says how it came about"
        elif source not in spec.sources:
            ids = (*spec.sources, *RESERVED_SOURCES)
            yield loc, f"source {source!r} is not listed under `sources`{suggest(source, ids)}"
    for name in spec.sources:
        if name in RESERVED_SOURCES:
            yield ("sources", name), f"{name!r} is a reserved word and cannot be cited"


def _numbers(node: object, loc: Loc, source: str, note: str) -> Iterator[tuple[Loc, str, str]]:
    """Every number below ``node`` with the source and note that hold for it; the format version is not a number of the machine, and
    constants of kernels cite as schedules do.
    """
    if isinstance(node, Sourced):
        yield loc, node.source or source, node.note or ("" if node.source else note)
    elif isinstance(node, Spec):
        if isinstance(node, Group) and (node.source or node.note):
            source, note = (node.source, node.note) if node.source else (source, node.note)
        for name in type(node).model_fields:
            if name not in _UNCITED and name in node.model_fields_set:
                yield from _numbers(getattr(node, name), (*loc, name), source, note)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _numbers(value, (*loc, key), source, note)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _numbers(value, (*loc, index), source, note)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield loc, source, note


def _peak_faults(spec: ArchSpec) -> Iterator[Fault]:
    """Published peaks that the arithmetic does not reproduce: most often a 2:4-sparse figure or the clock of another pipe."""
    explained = spec.peak_note or {}
    for dtype, published in spec.peak.items():
        computed = spec.computed_peak(dtype)
        if computed is None:
            yield ("peak", dtype), f"no unit has a mac rate for {dtype!r}"
        elif abs(computed / published.value - 1) > PEAK_TOLERANCE and dtype not in explained:
            yield (
                ("peak", dtype),
                f"processors x macs x 2 x nominal clock gives {computed / 1e12:.4g} TFLOP/s, the published dense peak is "
                f"{published.value / 1e12:.4g}: correct one of them, or say why they differ in peak_note.{dtype}",
            )
    for dtype in explained:
        if dtype not in spec.peak:
            yield ("peak_note", dtype), f"explains a peak that is not given; peaks are given for {', '.join(spec.peak) or 'none'}"
