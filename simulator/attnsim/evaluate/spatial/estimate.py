"""The answer for a workload on a spatial machine. SI units; cycles are those of the machine's one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnsim.evaluate.estimate import plain


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """One stage of a phase over the whole problem. `busy`: cycles of every Einsum by array; cycles: of the array that takes longest."""

    cycles: float
    busy: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """Einsums fused with one another.

    latency_s = max(compute_s, memory_s); compute_s: stages one after another and the stalls of tiles that do not overlap. stall_behind:
    index of the stage whose results are waited for. tiles: (query tile, key tile) pairs of all heads, 0 where a phase has none. row_block:
    rows kept at a time; blocks: how often the keys stream by; held_bytes: what the buffer holds; spilled: share of it that does not fit.
    mapping: the choice of a search, in words.
    """

    name: str
    einsums: tuple[str, ...]
    latency_s: float
    compute_s: float
    memory_s: float
    buffer_s: float
    bound: str
    stages: tuple[StageEstimate, ...]
    stall_cycles: float
    stall_behind: int
    tiles: int
    row_block: int
    blocks: int
    held_bytes: float
    spilled: float
    mapping: str
    choice: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpatialEstimate:
    """Fields as in `attnsim.evaluate.estimate.Estimate`; energy_by_part_j and area_m2 are by component.

    lag: tiles by which an Einsum runs behind the newest; interleave: Einsums that alternate cycle by cycle; once_a_row: Einsums that do not
    walk the keys; ports_needed: buffer rows moved a cycle.
    """

    name: str
    kind: str
    schedule: str
    cascade: str
    dtype: str
    direction: str
    sizes: Mapping[str, int]
    flops: int
    flops_by_unit: Mapping[str, float]
    ops_by_kind: Mapping[str, int]
    bytes: Mapping[str, float]
    bytes_by_tensor: Mapping[str, Mapping[str, Mapping[str, float]]]
    passes: Mapping[str, int]
    footprint_bytes: float
    latency_s: float
    lower_bound_s: float
    lower_bound_by_resource_s: Mapping[str, float]
    bound: str
    utilization: Mapping[str, float]
    utilization_by_einsum: Mapping[str, Mapping[str, float]]
    energy_j: float
    energy_by_part_j: Mapping[str, float]
    area_m2: Mapping[str, float]
    speedup_upper_bound: float
    baseline: str
    time_by_resource_s: Mapping[str, float]
    mask: Mapping[str, Any]
    phases: tuple[PhaseEstimate, ...]
    lag: Mapping[str, int]
    interleave: tuple[tuple[str, ...], ...]
    once_a_row: tuple[str, ...]
    ports_needed: float
    clock_hz: float
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``results`` in the JSON of ``attnsim run``."""
        out: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if name == "phases":
                value = [_record(phase) for phase in value]
            out[name] = plain(value)
        return out


def _record(phase: PhaseEstimate) -> dict[str, Any]:
    record = {slot: getattr(phase, slot) for slot in phase.__slots__}
    record["stages"] = [{"cycles": stage.cycles, "busy": stage.busy} for stage in phase.stages]
    return record
