"""The machine as the evaluator sees it: small frozen types of SI floats, made from an arch file by `attnsim.machine.load`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from attnsim.errors import InfeasibleError, MissingDataError, suggest
from attnsim.lanes import Number, maximum
from attnsim.machine.link import Link
from attnsim.machine.power import Power
from attnsim.spec.calibration import KernelConstants

Which = Literal["nominal", "boost"]
ANY = "*"  #: the dtype of a rate that holds for every dtype


@dataclass(frozen=True, slots=True)
class Clock:
    """`nominal_hz`: the clock at which the published peak holds. `boost_hz`: the highest the chip may run, for certified lower bounds."""

    nominal_hz: float
    boost_hz: float


@dataclass(frozen=True, slots=True)
class Path:
    """An instruction path to a unit: the share of the unit's rate it reaches, and the rows of the output one matrix instruction covers.

    `rows`: of an instruction that all warps of a CTA (or a warpgroup) issue together; None where every warp issues its own, which covers
    the warp's share of the tile and at least `warp_rows`. `depth_bytes`: of one row of an operand that an instruction reduces over, where
    the file says so.
    """

    name: str
    fraction: float
    rows: int | None
    warp_rows: int = 1
    depth_bytes: float | None = None

    def covered(self, tile_rows: Number, warps: Number) -> Number:
        """Rows over which one read of the other operand is shared, in a tile of `tile_rows` computed by `warps` warps."""
        return self.rows or maximum(self.warp_rows, tile_rows // maximum(1, warps))


@dataclass(frozen=True, slots=True)
class Unit:
    """A compute unit. `rates[op][dtype]` is operations per cycle and processor, a mac being one; dtype `ANY` stands for all."""

    name: str
    clock: str
    rates: Mapping[str, Mapping[str, float]]
    paths: Mapping[str, Path]

    def rate(self, op: str, dtype: str) -> float | None:
        """Operations per cycle and processor, or None where the unit does not run `op`."""
        by_dtype = self.rates.get(op)
        return None if by_dtype is None else by_dtype.get(dtype, by_dtype.get(ANY))


@dataclass(frozen=True, slots=True)
class Level:
    """A memory level.

    `capacity_bytes` is that of one instance (one device or one processor, see `per`). `bandwidth` (nominal) and `sustained` (measured,
    or nominal where nothing is known) are B/s of the whole machine. `bytes_per_cycle` is per processor, None for device levels.
    `clock` names its clock, None likewise. `latency_far_s` is to the other partition of a split cache, else equal to `latency_s`.
    `write`: share of the sustained rate at which bytes are written; `ramp_s`: what passes before the loads of a kernel flow and after the
    last of them. `retains` and `forgets`: shares of the capacity up to which a working set survives until the next run, and from which
    nothing does.
    """

    name: str
    per: Literal["device", "processor"]
    capacity_bytes: float
    bandwidth: float
    sustained: float
    latency_s: float
    latency_far_s: float
    energy_j_per_byte: float
    bytes_per_cycle: float | None
    clock: str | None
    retains: float | None = None
    forgets: float | None = None
    write: float = 1.0
    ramp_s: float = 0.0

    def seconds(self, read: float, written: float = 0.0, efficiency: float = 1.0) -> float:
        """Of so many bytes at the sustained rate, or a share of it."""
        return (read + written / self.write) / (self.sustained * efficiency)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one processor can hold: threads (in warps of `warp`), CTAs, 32-bit registers, and bytes of shared memory for one CTA."""

    threads: int
    ctas: int
    registers: int
    registers_per_thread: int
    smem_per_cta_bytes: float
    smem_reserved_per_cta_bytes: float
    warp: int = 32


LaunchMode = Literal["stream", "graph", "none"]


@dataclass(frozen=True, slots=True)
class Launch:
    """Seconds to start one kernel among many in a stream, in a replayed graph, and for the smallest kernel timed alone."""

    stream_s: float
    graph_s: float
    floor_s: float

    def seconds(self, mode: LaunchMode) -> float:
        """Of one kernel: in a stream, in a replayed graph, or not counted."""
        return {"none": 0.0, "graph": self.graph_s, "stream": self.stream_s}[mode]


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, resolved. Equality and hash are those of `content_key`, the SHA-256 of the arch file's content after `extends`.

    kernels: constants of schedules as measured here, by the schedule's name.
    """

    name: str
    title: str
    kind: Literal["gpu", "cpu"]
    isa: str
    vendor: str
    processors: int
    processor_name: str
    clocks: Mapping[str, Clock]
    units: Mapping[str, Unit]
    levels: tuple[Level, ...]
    expand: Mapping[str, Mapping[str, float]]
    limits: Limits
    launch: Launch
    power: Power
    links: Mapping[str, Link]
    dtypes: frozenset[str]
    published_peak: Mapping[str, float]
    sources: Mapping[str, str]
    assumptions: tuple[str, ...]
    content_key: str
    kernels: Mapping[str, KernelConstants] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Machine) and other.content_key == self.content_key

    def __hash__(self) -> int:
        return hash(self.content_key)

    @property
    def memory(self) -> Level:
        """The outermost level."""
        return self.levels[0]

    @property
    def sha256(self) -> str:
        """The hash reports carry."""
        return self.content_key

    def level(self, name: str) -> Level:
        """The level called `name`; raises InfeasibleError when the machine has none."""
        for level in self.levels:
            if level.name == name:
                return level
        names = [level.name for level in self.levels]
        raise InfeasibleError(f"{self.name} has no memory level {name!r}{suggest(name, names)}; its levels are {', '.join(names)}")

    def has_level(self, name: str) -> bool:
        """Whether a level of that name exists."""
        return any(level.name == name for level in self.levels)

    def bandwidth(self, level: str, which: Which = "nominal") -> float:
        """Nominal B/s of a level over the whole machine; levels counted in B/cycle run faster at the boost clock. Raises as `level`."""
        found = self.level(level)
        if found.clock is None or which == "nominal":
            return found.bandwidth
        clock = self.clocks[found.clock]
        return found.bandwidth * clock.boost_hz / clock.nominal_hz

    def link(self, name: str, transport: str = "") -> Link:
        """The link called `name`, under one of its `transports` if one is named; raises InfeasibleError when the machine has none."""
        found = self.links.get(name)
        if found is None:
            known = ", ".join(self.links) or "none"
            raise InfeasibleError(f"{self.name} has no link {name!r}{suggest(name, self.links)}; its links are {known}")
        return found.through(transport) if transport else found

    def unit(self, name: str) -> Unit:
        """The compute unit called `name`; raises InfeasibleError when the machine has none."""
        found = self.units.get(name)
        if found is None:
            raise InfeasibleError(f"{self.name} has no unit {name!r}{suggest(name, self.units)}; its units are {', '.join(self.units)}")
        return found

    def path(self, unit: str, name: str) -> Path:
        """The instruction path `name` of `unit`; raises InfeasibleError when the unit has none."""
        paths = self.unit(unit).paths
        found = paths.get(name)
        if found is None:
            known = ", ".join(paths) or "none"
            raise InfeasibleError(f"the {unit} unit of {self.name} has no path {name!r}{suggest(name, paths)}; its paths are {known}")
        return found

    def rate(self, unit: str, op: str, dtype: str, path: str | None = None) -> float | None:
        """Operations per cycle and processor of `op` on `unit`, through `path` if one is named; None where the unit does not run it.

        Raises InfeasibleError for a unit or path that the machine does not have.
        """
        rate = self.unit(unit).rate(op, dtype)
        if rate is None or path is None:
            return rate
        return rate * self.path(unit, path).fraction

    def clock(self, unit: str, which: Which = "nominal") -> float:
        """Clock of `unit` in Hz."""
        clock = self.clocks[self.unit(unit).clock]
        return clock.nominal_hz if which == "nominal" else clock.boost_hz

    def common_clock(self, units: Iterable[str], which: Which = "nominal") -> float:
        """Clock in Hz of a kernel that keeps all of `units` busy: a processor has one clock, and its slowest unit sets it."""
        return min(self.clock(unit, which) for unit in units)

    def op_rate(self, unit: str, op: str, dtype: str, path: str | None = None, which: Which = "nominal") -> float | None:
        """Operations per second of the whole machine; None where the unit does not run `op`. Raises as `rate`."""
        rate = self.rate(unit, op, dtype, path)
        return None if rate is None else rate * self.clock(unit, which) * self.processors

    def supports(self, dtype: str) -> bool:
        """Whether some unit multiplies numbers of `dtype`."""
        return dtype in self.dtypes

    def matmul_unit(self, dtype: str) -> str | None:
        """The unit that names `dtype` with the highest mac rate; None where no unit does."""
        named = [(unit.rates.get("mac", {}).get(dtype, 0.0), name) for name, unit in self.units.items()]
        rate, name = max(named, key=lambda pair: pair[0], default=(0.0, ""))
        return name if rate > 0 else None

    def peak_flops(self, dtype: str, which: Which = "nominal") -> float:
        """Dense FLOP/s (two per mac) of the fastest unit for `dtype`. Raises InfeasibleError for a dtype the machine lacks."""
        name = self.matmul_unit(dtype)
        if name is None:
            known = ", ".join(sorted(self.dtypes))
            raise InfeasibleError(f"{self.name} cannot compute in {dtype}{suggest(dtype, self.dtypes)}; it computes in {known}")
        rate = self.units[name].rates["mac"][dtype]
        return 2 * rate * self.clock(name, which) * self.processors

    def expansion(self, op: str, unit: str = "vector", dtype: str = ANY) -> Mapping[str, float]:
        """`op` as operations that `unit` runs natively: `{op: 1.0}` if it runs `op` itself, else through `expand`, as often as needed.

        Raises MissingDataError when nothing leads to native operations.
        """
        if self.unit(unit).rate(op, dtype) is not None:
            return {op: 1.0}
        return self.emulation(op, unit, dtype)

    def emulation(self, op: str, unit: str = "vector", dtype: str = ANY) -> Mapping[str, float]:
        """`op` through its `expand` entry even where another unit runs it natively (exp as a polynomial on the FMA pipes).

        Raises MissingDataError when the machine has no such entry or the entries do not end in operations `unit` runs.
        """
        return self._expanded(op, self.unit(unit), dtype, ())

    def _expanded(self, op: str, unit: Unit, dtype: str, above: tuple[str, ...]) -> dict[str, float]:
        parts = self.expand.get(op)
        if parts is None or op in above:
            raise MissingDataError(f"{self.name} cannot run {(*above, op)[0]!r} on its {unit.name} unit: add `expand.{op}` to its file")
        total: dict[str, float] = {}
        for part, count in parts.items():
            native = unit.rate(part, dtype) is not None
            inner = {part: 1.0} if native else self._expanded(part, unit, dtype, (*above, op))
            for kind, each in inner.items():
                total[kind] = total.get(kind, 0.0) + count * each
        return total
