"""The answer for a workload on a spatial machine. SI units; cycles are those of the machine's one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnsim.evaluate.estimate import KernelAnswer


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialEstimate(KernelAnswer):
    """The answer for one workload on PE arrays; energy_by_part_j and area_m2 are by component.

    lag: tiles by which an Einsum runs behind the newest; interleave: Einsums that alternate cycle by cycle; once_a_row: Einsums that do not
    walk the keys; ports_needed: buffer rows moved a cycle.
    """

    utilization_by_einsum: Mapping[str, Mapping[str, float]]
    energy_by_part_j: Mapping[str, float]
    area_m2: Mapping[str, float]
    phases: tuple[PhaseEstimate, ...]
    lag: Mapping[str, int]
    interleave: tuple[tuple[str, ...], ...]
    once_a_row: tuple[str, ...]
    ports_needed: float
