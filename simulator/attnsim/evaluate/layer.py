"""Kernels one after another: what adds up, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attnsim.evaluate.estimate import Answer, KernelAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEstimate(Answer):
    """The sum of a layer's kernels. `steps`: latency of each by name; footprint_bytes: of the largest.

    lower_bound_s: every resource's least time over all steps, perfectly overlapped; tensors between steps go through memory.
    """

    steps: Mapping[str, float]


def layer_estimate(name: str, dtype: str, sizes: Mapping[str, int], parts: Sequence[KernelAnswer]) -> LayerEstimate:
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
