"""Attention on devices of memory, everything else on devices of compute, several batches taking turns (Lamina, arXiv 2405.01814v2).

A layer of a batch passes the compute devices (t_m), sends queries and new keys and values, is attended on the memory devices (t_a), and
sends the results back; with n batches in flight the devices work on one while the others travel (section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from attnsim.errors import InfeasibleError
from attnsim.lanes import Number, largest, maximum, quotient, real
from attnsim.machine.machine import Machine
from attnsim.schedule.schedule import Schedule
from attnsim.serving import colocated
from attnsim.serving.colocated import ACTIVATION, core_cost
from attnsim.serving.kernels import LIMITED, NOTHING, Cost
from attnsim.serving.model import Layer, Model
from attnsim.spec.dtype import element_bytes
from attnsim.spec.model import GroupedAttention
from attnsim.spec.serving import ColocatedDeployment, OffloadDeployment
from attnsim.spec.workload import Conditions


@dataclass(frozen=True, slots=True)
class Question:
    """batch: requests of all batches in flight together."""

    model: Model
    compute: Machine
    memory: Machine
    deployment: OffloadDeployment
    context: Number
    batch: Number
    dtype: str
    schedule: Schedule | None = None
    conditions: Conditions = LIMITED

    @property
    def rows(self) -> Number:
        """Requests of one batch."""
        return ceil(self.batch / self.deployment.batches)


@dataclass(frozen=True, slots=True)
class Turn:
    """One batch through all layers: on a device of compute, on one of memory; network_s: both ways, what overlaps taken off."""

    model: Cost
    reduce_s: Number
    attention: Cost
    network_s: Number
    sent_bytes: Number

    @property
    def model_s(self) -> Number:
        """On the compute devices, their collectives included."""
        return self.model.seconds + self.reduce_s


def turn(asked: Question) -> Turn:
    """What one batch takes.

    Raises:
        InfeasibleError: attention that is not softmax over heads, or a parallel degree that does not divide.
    """
    deployment = asked.deployment
    for layer in asked.model.layers:
        sent_per_token(layer)
    whole = ColocatedDeployment(kind="colocated", tp=deployment.compute)
    step = colocated.step(colocated.Question(asked.model, asked.compute, whole, 1, asked.rows, 1, asked.dtype, None, asked.conditions))
    model, attention = NOTHING, NOTHING
    for name, cost in step.parts.items():
        if name != "attention":
            model += cost
    for layer in asked.model.layers:
        requests = ceil(asked.rows / deployment.memory)
        attention += core_cost(asked.memory, layer, requests, 1, asked.context, 1, asked.schedule, asked.conditions).times(layer.count)
    sent = asked.rows * sum(layer.count * sent_per_token(layer) for layer in asked.model.layers)
    messages = 2 * asked.model.depth  # queries there, results back
    ends = (asked.compute.link("nic"), deployment.compute), (asked.memory.link("nic"), deployment.memory)
    network = largest(messages * link.time_s(sent / messages / devices) for link, devices in ends)
    if deployment.overlap:  # attention over the cache starts once the queries are there; new keys and values travel meanwhile (section 4.4)
        network *= 1.0 - _hidden_share(asked.model)
    return Turn(model, sum(step.network.values()), attention, network, sent)


def sent_per_token(layer: Layer) -> float:
    """Bytes between compute and memory for a token and layer: query out, result back, new key and value out (section 3.1)."""
    spec = layer.core.spec
    if not isinstance(spec, GroupedAttention):
        raise InfeasibleError(f"offloading sends queries, keys and values of softmax attention; this model has {spec.kind} attention")
    value = spec.value_dim or spec.head_dim
    return (spec.heads * (spec.head_dim + value) + spec.kv_heads * (spec.head_dim + value)) * element_bytes(ACTIVATION)


def _hidden_share(model: Model) -> float:
    layer = max(model.layers, key=lambda layer: layer.count)
    spec = layer.core.spec
    assert isinstance(spec, GroupedAttention)
    both = spec.head_dim + (spec.value_dim or spec.head_dim)
    return spec.kv_heads * both * element_bytes(ACTIVATION) / sent_per_token(layer)


def tpot(asked: Question, one: Turn) -> Number:
    """Seconds a token of each batch: every batch in its turn, or one batch through everything, whichever is longer.

    With n batches on n - 1 replicas and devices of memory that take 1/(n-1) of the time of the model, no device waits: a token takes
    t_m + t_a, and (n-1)/t_m batches of tokens come out in a second (section 4.3).
    """
    batches, replicas = asked.deployment.batches, asked.deployment.replicas
    turns = maximum(batches * one.model_s / replicas, batches * one.attention.seconds)
    return maximum(turns, one.model_s + one.attention.seconds + one.network_s)


def memory(asked: Question) -> dict[str, Number]:
    """Bytes of a device of compute (weights) and of one of memory (cache)."""
    model = asked.model
    return {
        "compute weights": model.weight_bytes() / asked.deployment.compute,
        "memory cache": asked.batch * model.kv_stored(asked.context) / asked.deployment.memory,
    }


def room(asked: Question) -> Number:
    """Requests whose cache fits."""
    limit = asked.memory.memory.capacity_bytes * asked.deployment.share * asked.deployment.memory
    return quotient(limit, asked.model.kv_stored(asked.context))


def conditions(asked: Question, one: Turn) -> dict[str, Number]:
    """min_network_bytes_per_s: what keeps the network to `slowdown` of a batch's time; requests_per_device: of a whole memory."""
    slack = asked.deployment.slowdown * (one.model_s + one.attention.seconds)
    return {
        "model_s": one.model_s,
        "attention_s": one.attention.seconds,
        "network_s": one.network_s,
        "min_network_bytes_per_s": one.sent_bytes / slack,
        "requests_per_device": asked.memory.memory.capacity_bytes / asked.model.kv_stored(asked.context),
        "largest_batch": real(room(asked)),
    }
