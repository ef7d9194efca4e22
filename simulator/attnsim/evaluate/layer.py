"""Kernels one after another: what adds up, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attnsim.evaluate.estimate import Estimate, plain
from attnsim.evaluate.spatial.estimate import SpatialEstimate

Part = Estimate | SpatialEstimate


@dataclass(frozen=True, slots=True)
class LayerEstimate:
    """The sum of a layer's kernels. `steps`: latency of each by name; footprint_bytes: of the largest; the rest as in `Estimate`.

    lower_bound_s: every resource's least time over all steps, perfectly overlapped; tensors between steps go through memory.
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
    steps: Mapping[str, float]
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``results`` in the JSON of ``attnsim run``."""
        return {name: plain(getattr(self, name)) for name in self.__slots__}


def layer_estimate(name: str, dtype: str, sizes: Mapping[str, int], parts: Sequence[Part]) -> LayerEstimate:
    """Sum the kernels of a layer."""
    latency = sum(part.latency_s for part in parts)
    floors = _summed(part.lower_bound_by_resource_s for part in parts)
    floor = max(floors.values())
    longest = max(parts, key=lambda part: part.latency_s)
    return LayerEstimate(
        name=name,
        kind="layer",
        schedule=", ".join(dict.fromkeys(part.schedule for part in parts)),
        dtype=dtype,
        sizes=dict(sizes),
        flops=sum(part.flops for part in parts),
        flops_by_unit=_summed(part.flops_by_unit for part in parts),
        bytes=_summed(part.bytes for part in parts),
        passes={},
        footprint_bytes=max(part.footprint_bytes for part in parts),
        latency_s=latency,
        lower_bound_s=floor,
        lower_bound_by_resource_s=floors,
        bound=longest.bound,
        utilization=_summed({unit: used * part.latency_s / latency for unit, used in part.utilization.items()} for part in parts),
        energy_j=sum(part.energy_j for part in parts),
        speedup_upper_bound=latency / floor,
        time_by_resource_s=_summed(part.time_by_resource_s for part in parts),
        mask={},
        steps={part.name: part.latency_s for part in parts},
        assumptions=tuple(dict.fromkeys(note for part in parts for note in part.assumptions)),
    )


def _summed(maps: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in maps:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total
