"""Attention and FFN on servers of their own: micro-batches go round between them, so the longest of three stages sets the pace.

Attention is data parallel over its GPUs, but for the output projection, which the GPUs of a server share; experts are spread over the FFN
servers and cut over the GPUs of each. Every token goes to every FFN server, in 8 bits, and comes back in 16 (arXiv 2507.19427, section 5).
How many micro-batches hide the network is section 4.1 of arXiv 2504.02263: m >= 2 (1 + T_c / T_f).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal

from attnsim.lanes import Number, largest, maximum, real
from attnsim.machine.machine import Machine
from attnsim.schedule.schedule import Schedule
from attnsim.serving.colocated import ACTIVATION, core_cost, fused
from attnsim.serving.ideal import VALUES_SENT
from attnsim.serving.kernels import LIMITED, NOTHING, Cost, product, rowwise
from attnsim.serving.model import Layer, Model
from attnsim.spec.dtype import element_bytes
from attnsim.spec.serving import AfdDeployment
from attnsim.spec.workload import Conditions


@dataclass(frozen=True, slots=True)
class Question:
    """batch: requests in flight, of all micro-batches; each decodes a token in one round."""

    model: Model
    attention: Machine
    ffn: Machine
    deployment: AfdDeployment
    context: Number
    batch: Number
    attention_dtype: str
    ffn_dtype: str
    schedule: Schedule | None = None
    conditions: Conditions = LIMITED

    @property
    def attention_gpus(self) -> int:
        """GPUs of attention."""
        return self.deployment.attention * self.deployment.gpus_per_server

    @property
    def ffn_gpus(self) -> int:
        """GPUs of the FFN."""
        return self.deployment.ffn * self.deployment.gpus_per_server

    @property
    def rows(self) -> Number:
        """Tokens of a micro-batch on one attention GPU."""
        return ceil(self.batch / (self.deployment.micro_batches * self.attention_gpus))

    @property
    def tokens(self) -> Number:
        """Tokens of a micro-batch."""
        return self.rows * self.attention_gpus


@dataclass(frozen=True, slots=True)
class Stages:
    """Of one layer: what attention and FFN take on a GPU of theirs, and seconds of the network; count: layers alike."""

    count: int
    attention: Cost
    ffn: Cost
    network_s: Number

    def pace(self, sync: float) -> Number:
        """Seconds after which the next micro-batch follows."""
        return largest((self.attention.seconds, self.ffn.seconds, self.network_s)) + sync


def stages(asked: Question) -> tuple[Stages, ...]:
    """The stages of every group of alike layers."""
    return tuple(Stages(layer.count, _attention(asked, layer), _ffn(asked, layer), _network(asked)) for layer in asked.model.layers)


def total(found: tuple[Stages, ...], side: Literal["attention", "ffn"]) -> Cost:
    """What all layers take of a device of that side, one micro-batch."""
    cost = NOTHING
    for one in found:
        cost += (one.attention if side == "attention" else one.ffn).times(one.count)
    return cost


def tpot(asked: Question, found: tuple[Stages, ...]) -> Number:
    """Seconds of a round: every micro-batch through every layer."""
    return asked.deployment.micro_batches * sum(one.count * one.pace(asked.deployment.sync) for one in found)


def _attention(asked: Question, layer: Layer) -> Cost:
    machine, rows, gpus = asked.attention, asked.rows, asked.deployment.gpus_per_server
    cost = rowwise(machine, rows, asked.model.spec.hidden, "norm", asked.conditions).times(2)
    for matrix in fused(layer.of("attention"), asked.model.spec.hidden):
        if matrix.shard == "depth":
            cost += product(
                machine, rows * gpus, ceil(matrix.depth / gpus), matrix.cols, asked.attention_dtype, 1, asked.conditions, matrix.format
            )
        else:
            cost += product(machine, rows, matrix.depth, matrix.cols, asked.attention_dtype, matrix.copies, asked.conditions, matrix.format)
    for matrix in layer.of("router"):
        cost += product(machine, rows, matrix.depth, matrix.cols, asked.attention_dtype, 1, asked.conditions, matrix.format)
    return cost + core_cost(machine, layer, rows, 1, asked.context, 1, asked.schedule, asked.conditions)


def _ffn(asked: Question, layer: Layer) -> Cost:
    machine, gpus, servers = asked.ffn, asked.deployment.gpus_per_server, asked.deployment.ffn
    cost = NOTHING
    for matrix in layer.of("ffn"):
        depth, cols = matrix.depth, matrix.cols * matrix.copies
        if matrix.experts > 1:
            depth, cols = (ceil(depth / gpus), cols) if matrix.shard == "depth" else (depth, ceil(cols / gpus))
            own = ceil(matrix.experts / servers)
            rows = maximum(1, ceil(asked.tokens * matrix.active / matrix.experts))
            cost += product(machine, rows, depth, cols, asked.ffn_dtype, own, asked.conditions, matrix.format)
            held, width = rows * own, cols
        else:  # shared experts and dense layers are cut over all GPUs
            cut = gpus * servers
            depth, cols = (ceil(depth / cut), cols) if matrix.shard == "depth" else (depth, ceil(cols / cut))
            cost += product(machine, asked.tokens, depth, cols, asked.ffn_dtype, 1, asked.conditions, matrix.format)
            held, width = asked.tokens, cols
        if matrix.gated:
            cost += rowwise(machine, held, ceil(width / matrix.copies), "activation", asked.conditions)
    return cost


def _network(asked: Question) -> Number:
    """Seconds of the busier side: what an attention GPU sends to all FFN servers and gets back, and what arrives at an FFN GPU."""
    amount = VALUES_SENT * asked.model.spec.hidden
    sides = (
        (asked.attention, asked.rows * asked.deployment.ffn),
        (asked.ffn, asked.tokens / asked.deployment.gpus_per_server),
    )
    return largest(machine.link("nic").time_s(tokens * amount) for machine, tokens in sides)


def memory(asked: Question) -> Mapping[str, Number]:
    """Bytes of a GPU of attention (weights, and the cache of all micro-batches) and of one of the FFN."""
    model = asked.model
    gpus = asked.deployment.gpus_per_server
    weights = sum(
        layer.count * matrix.bytes / (gpus if matrix.shard == "depth" else 1)
        for layer in model.layers
        for matrix in (*layer.of("attention"), *layer.of("router"))
    )
    weights += model.embedding_weights * element_bytes(ACTIVATION) / gpus
    requests = asked.rows * asked.deployment.micro_batches
    return {
        "attention weights": weights,
        "attention cache": requests * model.kv_stored(asked.context),
        "ffn weights": model.weight_bytes("ffn") / asked.ffn_gpus,
    }


def conditions(asked: Question, found: tuple[Stages, ...]) -> dict[str, Number]:
    """Stages of the most common layer, the micro-batches that hide its network, and the attention servers that would balance the FFN's."""
    main = max(found, key=lambda one: one.count)
    longest = maximum(main.attention.seconds, main.ffn.seconds)
    return {
        "attention_stage_s": main.attention.seconds,
        "ffn_stage_s": main.ffn.seconds,
        "network_stage_s": main.network_s,
        "pace_s": main.pace(asked.deployment.sync),
        "micro_batches_needed": 2 * (1 + main.network_s / 2 / longest),
        "balanced_attention_servers": asked.deployment.attention * main.attention.seconds / main.ffn.seconds,
        "ffn_tokens": real(asked.tokens),
    }
