"""The cost of a token at the ideal: peak rates, weights read for free, attention and FFN each where they are cheapest.

arXiv 2507.19427, section 4: attention takes max(core FLOPs, cache bytes) and then its projections, the FFN its FLOPs; routers, norms,
embedding and head are left out. What it asks of batch, sparsity and network is section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from attnsim.lanes import Number, maximum
from attnsim.machine.machine import Machine
from attnsim.serving.model import Conventions, Model
from attnsim.spec.dtype import element_bytes

STAGES = 3
"""Stages that share the time of a token: attention, network, FFN (section 5.1)."""
VALUES_SENT = 3
"""Bytes that travel for every hidden value of a token and layer: one to the FFN in 8 bits, two back in 16 (section 5.4)."""


@dataclass(frozen=True, slots=True)
class Need:
    """What decoding one token takes: bytes of cache, and FLOPs of the cores, the projections and the FFN."""

    kv_bytes: Number
    core_flops: Number
    linear_flops: int
    ffn_flops: int

    @property
    def intensity(self) -> Number:
        """FLOPs of the cores for each byte of cache."""
        return self.core_flops / self.kv_bytes if self.kv_bytes else 0.0


@dataclass(frozen=True, slots=True)
class PartCost:
    """A part of a model on a machine: seconds of one device for a token, what bounds it, and USD for a million tokens."""

    machine: str
    seconds: Number
    bound: str
    usd_per_mtok: Number | None


def need(model: Model, context: Number, conventions: Conventions) -> Need:
    """What a token needs at a context."""
    return Need(model.kv_read(context), model.core_flops(context, conventions), model.flops("attention"), model.flops("ffn"))


def compute_dtype(machine: Machine) -> str:
    """fp8 where the machine computes in it, else bf16 or fp16: integer rates get no credit (section 4.1)."""
    return next((dtype for dtype in ("fp8", "bf16", "fp16") if machine.supports(dtype)), min(machine.dtypes))


def attention(machine: Machine, needed: Need, usd_per_hour: float | None) -> PartCost:
    """Cores and projections, one after the other."""
    peak = machine.peak_flops(compute_dtype(machine))
    compute, memory = needed.core_flops / peak, needed.kv_bytes / machine.memory.bandwidth
    seconds = maximum(compute, memory) + needed.linear_flops / peak
    return PartCost(machine.name, seconds, "compute" if compute >= memory else "memory", _usd(seconds, usd_per_hour))


def ffn(machine: Machine, needed: Need, usd_per_hour: float | None) -> PartCost:
    """The FFN at full rate."""
    seconds = needed.ffn_flops / machine.peak_flops(compute_dtype(machine))
    return PartCost(machine.name, seconds, "compute", _usd(seconds, usd_per_hour))


def _usd(seconds: Number, usd_per_hour: float | None) -> Number | None:
    return None if usd_per_hour is None else seconds * usd_per_hour / 3600 * 1e6


def cheapest(parts: Sequence[PartCost]) -> PartCost:
    """The one that costs least; without prices, the fastest."""
    return min(parts, key=lambda part: part.seconds if part.usd_per_mtok is None else part.usd_per_mtok)


def conditions(model: Model, machine: Machine, tpot_s: float | None, gpus: int, tokens: Number | None) -> Mapping[str, Number]:
    """What the FFN asks for to be bound by compute, and what a stage holds (sections 5.2 to 5.4 and 6).

    dense_batch: tokens with which weights of 8 bits are read in the time of their FLOPs; moe_batch: of all experts together. With a time
    per output token: stage_s of a layer; min_sparsity: the smallest share of active experts whose batch the network of a server delivers;
    network_tokens: tokens it delivers in a stage; network_bytes_per_s: what `tokens` tokens need; and what fits into a stage at half or all
    of the bandwidth, by GPU and by server.
    """
    bandwidth = machine.memory.bandwidth
    out = {
        "dense_batch": machine.peak_flops(compute_dtype(machine))
        / bandwidth
        / 2
        * element_bytes(model.spec.expert_weights or model.spec.weights)
    }
    if model.sparsity is not None:
        out["sparsity"] = model.sparsity
        out["moe_batch"] = out["dense_batch"] / model.sparsity
    if tpot_s is None:
        return out
    stage = tpot_s / STAGES / model.depth
    resident = _resident_weights(model, gpus)
    held = bandwidth * stage
    key = max(layer.core.bytes_per_key for layer in model.layers)
    out |= {
        "stage_s": stage,
        "attention_stage_bytes": held,
        "attention_weight_bytes": resident,
        "attention_kv_bytes": held - resident,
        "attention_kv_tokens": (held - resident) / key if key else 0.0,
        "ffn_stage_bytes": held / 2,
        "ffn_gpu_bytes": held / 2 * model.depth,
        "ffn_server_bytes": held / 2 * model.depth * gpus,
        "ffn_servers": ceil(model.weight_bytes("ffn") / (held / 2 * model.depth * gpus)),
    }
    if tokens is not None:
        out["network_bytes_per_s"] = VALUES_SENT * model.spec.hidden * tokens / stage
    link = machine.links.get("nic")
    if link is not None:
        network = gpus * link.bandwidth
        out["network_tokens"] = network * stage / (VALUES_SENT * model.spec.hidden)
        out["min_sparsity"] = out["dense_batch"] / out["network_tokens"]
    return out


def _resident_weights(model: Model, gpus: int) -> float:
    """Bytes of the projections of one layer that a GPU holds: the output cut by `gpus`, the rest whole."""
    layer = max(model.layers, key=lambda layer: layer.count)
    return sum(matrix.bytes / (gpus if matrix.shard == "depth" else 1) for matrix in layer.of("attention"))
