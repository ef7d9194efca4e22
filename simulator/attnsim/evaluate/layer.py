"""Kernels one after another: what adds up, and what does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attnsim.evaluate.estimate import Answer, KernelAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEstimate(Answer):
    """The sum of the kernels of all layers. `steps`: latency of each by name, in one layer; footprint_bytes: of the largest kernel.

    lower_bound_s: every resource's least time over all steps, perfectly overlapped; tensors between steps go through memory.
    """

    steps: Mapping[str, float]
    layers: int = 1


def layer_estimate(name: str, dtype: str, sizes: Mapping[str, int], parts: Sequence[KernelAnswer], layers: int = 1) -> LayerEstimate:
    """Sum the kernels of a layer, and `layers` layers that are alike."""
    latency = layers * sum(part.latency_s for part in parts)
    floors = _summed((part.lower_bound_by_resource_s for part in parts), layers)
    floor = max(floors.values())
    longest = max(parts, key=lambda part: part.latency_s)
    return LayerEstimate(
        name=name,
        kind="layer",
        schedule=", ".join(dict.fromkeys(part.schedule for part in parts)),
        dtype=dtype,
        sizes=dict(sizes),
        flops=layers * sum(part.flops for part in parts),
        flops_by_unit=_summed((part.flops_by_unit for part in parts), layers),
        bytes=_summed((part.bytes for part in parts), layers),
        passes={},
        footprint_bytes=max(part.footprint_bytes for part in parts),
        latency_s=latency,
        lower_bound_s=floor,
        lower_bound_by_resource_s=floors,
        bound=longest.bound,
        utilization=_summed(({unit: used * part.latency_s / latency for unit, used in part.utilization.items()} for part in parts), layers),
        energy_j=layers * sum(part.energy_j for part in parts),
        speedup_upper_bound=latency / floor,
        time_by_resource_s=_summed((part.time_by_resource_s for part in parts), layers),
        mask={},
        steps={part.name: part.latency_s for part in parts},
        layers=layers,
        assumptions=tuple(dict.fromkeys(note for part in parts for note in part.assumptions)),
    )


def _summed(maps: Iterable[Mapping[str, float]], times: int) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in maps:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value * times
    return total
