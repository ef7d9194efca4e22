"""A spatial accelerator as the evaluator sees it: small frozen types in SI units, made by `attnsim.machine.load_spatial`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from attnsim.errors import InfeasibleError, Issue


@dataclass(frozen=True, slots=True)
class FunctionUnit:
    """Energy of one action in J, area of one instance in m^2."""

    energy_j: float
    area_m2: float


@dataclass(frozen=True, slots=True)
class RegisterFile:
    """Registers of one PE: words, J per access, area in m^2."""

    words: int
    read_j: float
    write_j: float
    area_m2: float


@dataclass(frozen=True, slots=True)
class Array:
    """A PE array. `actions` gives an operation as (unit, actions) pairs, `cycles` what it costs a PE; `copies` arrays share the work."""

    name: str
    shape: tuple[int, ...]
    copies: int
    cycles: Mapping[str, float]
    actions: Mapping[str, tuple[tuple[str, float], ...]]
    units: Mapping[str, FunctionUnit]
    registers: RegisterFile | None

    @property
    def pes(self) -> int:
        """PEs of all copies."""
        return prod(self.shape) * self.copies

    @property
    def area_m2(self) -> float:
        """PEs with their functional units and registers."""
        each = sum(unit.area_m2 for unit in self.units.values()) + (self.registers.area_m2 if self.registers else 0.0)
        return each * self.pes

    def executes(self, kinds: Iterable[str]) -> bool:
        """Whether a PE runs every one of these operations."""
        return all(kind in self.cycles for kind in kinds)


@dataclass(frozen=True, slots=True)
class GlobalBuffer:
    """The buffer: bytes, bytes of a row (one access through one port), J per row; `bandwidth` in B/s where it is a limit."""

    capacity_bytes: float
    row_bytes: float
    banks: int
    ports: int
    read_j: float
    write_j: float
    area_m2: float
    bandwidth: float | None


@dataclass(frozen=True, slots=True)
class Dram:
    """Memory off the chip; a capacity of None is not modelled."""

    bandwidth: float
    energy_j_per_byte: float
    capacity_bytes: float | None


@dataclass(frozen=True, slots=True)
class SpatialMachine:
    """One spatial accelerator. Equality and hash are those of `content_key`, the SHA-256 of the arch file's content after `extends`."""

    name: str
    title: str
    dtypes: frozenset[str]
    word_bytes: float
    technology: str
    clock_hz: float
    arrays: Mapping[str, Array]
    buffer: GlobalBuffer
    dram: Dram
    leakage_w: float
    sources: Mapping[str, str]
    assumptions: tuple[str, ...]
    content_key: str
    kind: str = "spatial"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpatialMachine) and other.content_key == self.content_key

    def __hash__(self) -> int:
        return hash(self.content_key)

    @property
    def sha256(self) -> str:
        """The hash reports carry."""
        return self.content_key

    @property
    def area_m2(self) -> dict[str, float]:
        """Area by component: every array, the buffer. Parts whose file gives no area count nothing."""
        return {**{name: array.area_m2 for name, array in self.arrays.items()}, "buffer": self.buffer.area_m2}

    def supports(self, dtype: str) -> bool:
        """Whether the PEs compute in `dtype`."""
        return dtype in self.dtypes

    def peak_flops(self, dtype: str) -> float:
        """Multiply-add FLOP/s of all arrays together (2 a mac); raises InfeasibleError for a format the PEs lack."""
        if not self.supports(dtype):
            raise InfeasibleError(Issue(f"{self.name} computes in {', '.join(sorted(self.dtypes))}, not in {dtype}", path="dtype"))
        return sum(2 * array.pes / array.cycles["mac"] * self.clock_hz for array in self.arrays.values() if "mac" in array.cycles)
