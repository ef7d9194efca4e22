"""The answer: what one workload costs on one machine under one schedule. SI units throughout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Protocol, runtime_checkable

from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class KernelEstimate:
    """One launched kernel.

    latency_s includes its launch; compute_s is the makespan of its CTAs alone. tile: size by rank; ctas: CTAs of the grid; slots: CTAs
    resident on the whole machine; waves = ctas / slots; splits: CTAs that share one walk; limiter: what bounds the CTAs per processor;
    dtype: number format it computes in.
    """

    name: str
    latency_s: float
    compute_s: float
    ctas: int
    slots: int
    ctas_per_processor: int
    limiter: str
    waves: float
    tile: Mapping[str, int]
    splits: int
    bound: str
    time_by_resource_s: Mapping[str, float]
    issued_ops: Mapping[str, Mapping[str, float]]
    bytes: Mapping[str, float]
    smem_per_cta_bytes: float
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What every answer holds, be it of a kernel or of a layer, on processors or on PE arrays.

    flops: 2 x multiply-adds of the attended pairs, the field's matmul FLOPs. flops_by_unit: algorithmic work by unit (a mac counts 2, any
    other operation 1). bytes: traffic by memory level. time_by_resource_s: busy time of each resource, padding included. lower_bound_s:
    peak rates at the boost clock, compulsory traffic, perfect overlap. speedup_upper_bound: latency of the baseline / lower_bound_s.
    """

    name: str
    kind: str
    schedule: str
    dtype: str
    sizes: Mapping[str, int]
    flops: int
    flops_by_unit: Mapping[str, float]
    bytes: Mapping[str, float]
    passes: Mapping[str, int]
    footprint_bytes: float
    latency_s: float
    lower_bound_s: float
    lower_bound_by_resource_s: Mapping[str, float]
    bound: str
    utilization: Mapping[str, float]
    energy_j: float
    speedup_upper_bound: float
    time_by_resource_s: Mapping[str, float]
    mask: Mapping[str, Any]
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``results`` in the JSON of ``attnsim run``."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAnswer(Answer):
    """One kernel. bytes_by_tensor: traffic by level, tensor and direction; baseline: schedule the speedup upper bound refers to."""

    cascade: str
    direction: str
    ops_by_kind: Mapping[str, int]
    bytes_by_tensor: Mapping[str, Mapping[str, Mapping[str, float]]]
    baseline: str
    clock_hz: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate(KernelAnswer):
    """The answer for one workload on processors. end_to_end: of the model around the kernel, if asked for."""

    kernels: tuple[KernelEstimate, ...]
    end_to_end: Mapping[str, float] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Mappings, tuples and records as the dicts and lists JSON knows."""
    if is_dataclass(value):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


@runtime_checkable
class Told(Protocol):
    """An answer of a later stage that says itself what the terminal shows of it."""

    def lines(self) -> list[str]:
        """Lines of text."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of `attnsim.run` that led to a report, as they were given."""

    workload: Any
    arch: Any
    schedule: Any = None
    sets: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """What `attnsim.run` returns; its repr is the table the command line prints.

    results: an Estimate (processors) or a SpatialEstimate (PE arrays) for a kernel; for a layer its LayerEstimate, then one of every step.
    call: the arguments as given, None for a report that was not made by `attnsim.run`.
    """

    workload_name: str
    arch_name: str
    machine: Machine | SpatialMachine
    results: tuple[Any, ...]
    assumptions: tuple[str, ...]
    digests: Callable[[], tuple[str, str]] = field(repr=False)
    call: Asked | None = field(default=None, repr=False, compare=False)

    @property
    def workload_sha256(self) -> str:
        """Digest of the workload as run, overrides included."""
        return self.digests()[0]

    @property
    def arch_sha256(self) -> str:
        """Digest of the resolved machine file."""
        return self.digests()[1]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``attnsim run``: SI base units, no NaN."""
        from attnsim import __version__

        workload, arch = self.digests()
        return {
            "schema": SCHEMA,
            "attnsim": __version__,
            "workload": {"name": self.workload_name, "sha256": workload},
            "arch": {"name": self.arch_name, "sha256": arch},
            "assumptions": list(self.assumptions),
            "results": [estimate.to_dict() for estimate in self.results],
        }

    def __repr__(self) -> str:
        from attnsim.evaluate.render import render_report

        return render_report(self)
