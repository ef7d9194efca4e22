"""The answer about two pools of devices between which every layer of a model goes back and forth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnsim.evaluate.bottleneck import longest_bound
from attnsim.lanes import Number, largest, many, maximum
from attnsim.machine.machine import Machine
from attnsim.machine.prices import PriceProfile
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.kernels import Cost
from attnsim.spec.serving import ModelWorkload


@dataclass(frozen=True, slots=True)
class Pool:
    """Devices that run one part of a model.

    cost: of one of them, for a token of every request; collective_s: seconds of its pool's collectives in that time.
    """

    name: str
    machine: Machine
    devices: int
    cost: Cost
    collective_s: Number = 0.0

    @property
    def seconds(self) -> Number:
        """Seconds a device is busy or waits for its own pool."""
        return self.cost.seconds + self.collective_s

    def part(self) -> dict[str, Any]:
        """The entry of ``parts``: seconds of a device, the rest of all of them."""
        whole = self.cost.times(self.devices)
        return {
            "machine": self.machine.name,
            "time_s": self.seconds,
            "flops": whole.flops,
            "memory_bytes": whole.bytes,
            "energy_j": whole.energy_j,
        }


def token_cost(devices: Mapping[str, int], prices: PriceProfile | None, tokens_per_s: Number) -> dict[str, Any] | None:
    """What a million tokens cost on so many devices of each machine; None without prices.

    Raises:
        InfeasibleError: the profile has no price for a machine.
    """
    if prices is None:
        return None
    hourly = sum(prices.usd_per_hour(name) * count for name, count in devices.items())
    return {"usd_per_mtok": hourly / 3600 / tokens_per_s * 1e6, "usd_per_hour": hourly, "prices": prices.name}


def answer(
    spec: ModelWorkload,
    model: str,
    pools: tuple[Pool, Pool],
    network_s: Number,
    tpot: Number,
    batch: Number,
    prices: PriceProfile | None,
    *,
    schedule: str,
    dtype: str,
    memory: Mapping[str, Number],
    conditions: Mapping[str, Number],
    assumptions: tuple[str, ...],
) -> ModelEstimate:
    """One token of `batch` requests in `tpot` seconds; a device that waits draws its idle power."""
    parts = {pool.name: pool.part() for pool in pools}
    times = {pools[0].name: pools[0].seconds, "network": network_s, pools[1].name: pools[1].seconds}
    idle = sum(pool.machine.power.idle_w * pool.devices * maximum(0.0, tpot - pool.cost.seconds) for pool in pools)
    energy = sum(part["energy_j"] for part in parts.values()) + idle
    devices = sum(pool.devices for pool in pools)
    counts: dict[str, int] = {}
    for pool in pools:
        counts[pool.machine.name] = counts.get(pool.machine.name, 0) + pool.devices
    return ModelEstimate(
        name=spec.name,
        model=model,
        phase=spec.phase,
        context=spec.context,
        batch=batch,
        schedule=schedule,
        dtype=dtype,
        gpus=devices,
        flops=sum(part["flops"] for part in parts.values()),
        bytes={"hbm": sum(part["memory_bytes"] for part in parts.values())},
        latency_s=tpot,
        lower_bound_s=largest(pool.cost.bound_s for pool in pools),
        bound=longest_bound(list(times.values()), list(times)),
        time_by_resource_s=times,
        parts=parts | {"network": {"time_s": network_s}},
        tokens_per_s=batch / tpot,
        tokens_per_s_per_gpu=batch / tpot / devices,
        tpot_s=tpot,
        energy_j=energy,
        energy_j_per_token=energy / batch,
        cost=token_cost(counts, prices, batch / tpot),
        memory_bytes=memory,
        conditions=conditions,
        assumptions=() if many(tpot) else assumptions,
    )
