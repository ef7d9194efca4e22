"""Times of the kernels of a model on one device, asked of the engine that answers single kernels, each kept.

A step of a model launches its kernels one after another from a graph; the power limit is that of each kernel run over and over.
"""

from __future__ import annotations

from typing import Literal

from attnsim.cascade.cascade import load_cascade
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point, schedule_context
from attnsim.lanes import Number, maximum, real
from attnsim.machine.machine import Machine
from attnsim.mask import CAUSAL, DENSE, Banded
from attnsim.mask.base import Mask
from attnsim.schedule.defaults import default_schedule
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.serving.cost import NOTHING as NOTHING
from attnsim.serving.cost import Cost as Cost
from attnsim.serving.cost import remembered
from attnsim.spec.dtype import narrower
from attnsim.spec.model import GroupedAttention, LatentAttention
from attnsim.spec.workload import Conditions

LIMITED, UNLIMITED = Conditions(), Conditions(power_limit=False)


ROWWISE = {
    "norm": ("add-rms-norm", "row-norm"), "activation": ("silu-mul", "elementwise"), "rotary": ("rotary-embedding", "elementwise"),
}  # fmt: skip
"""Cascade and schedule of each kind of kernel over the rows of tokens."""


def _cost(machine: Machine, estimate: Estimate) -> Cost:
    return Cost(
        estimate.latency_s,
        estimate.lower_bound_s,
        real(estimate.flops),
        real(estimate.bytes.get(machine.memory.name, 0.0)),
        estimate.energy_j,
    )


@remembered
def product(
    machine: Machine,
    rows: Number,
    depth: int,
    cols: int,
    dtype: str,
    copies: Number = 1,
    conditions: Conditions = LIMITED,
    kept: str | None = None,
) -> Cost:
    """`copies` matrix products of rows x depth activations by depth x cols weights, in one launch.

    copies: heads or experts, each with weights and rows of its own. kept: format of the weights in memory, if narrower than `dtype`.
    """
    name, sizes = ("linear", {}) if copies == 1 else ("grouped-linear", {"X": copies})
    cascade = load_cascade(name)
    sizes |= {"P": maximum(1, rows), "K": depth, "N": cols}
    plan = load_schedule("matmul" if copies == 1 else "grouped-matmul")
    formats = (("W", narrower(kept, dtype)),) if kept else ()
    point = Point(cascade, sizes, DENSE, dtype, machine, plan, conditions, "forward", formats=formats)
    return _cost(machine, evaluate(point, name))


@remembered
def core(
    machine: Machine,
    spec: GroupedAttention | LatentAttention,
    batch: Number,
    queries: Number,
    keys: Number,
    dtype: str,
    heads: int,
    groups: int,
    schedule: Schedule | None = None,
    conditions: Conditions = LIMITED,
    kept: str | None = None,
) -> Cost:
    """Attention of `batch` requests, `queries` tokens each, over `keys` tokens, with `heads` query and `groups` key heads on this device.

    schedule: None for the best known one; softmax attention runs in the passes that it was written for. kept: format of the cached keys and
    values, if narrower than `dtype`.
    """
    mask: Mask = DENSE if queries == 1 else CAUSAL
    if isinstance(spec, LatentAttention):
        sizes = {"B": batch, "H": heads, "P": queries, "M": keys}
        if queries == 1:
            cascade = load_cascade("mla-absorbed")
            sizes |= {"C": spec.kv_rank, "R": spec.rope_dim}
        else:  # over a prompt, keys and values of every head are computed once: fewer FLOPs than in the latent
            cascade = load_cascade("attention-1pass")
            sizes |= {"G": heads, "E": spec.nope_dim + spec.rope_dim, "F": spec.value_dim}
    else:
        cascade = load_cascade("attention-1pass" if schedule is None else schedule.spec.cascade)
        if spec.window is not None and spec.window < keys:
            mask = Banded.of(spec.window - 1, 0) if queries > 1 else DENSE
            keys = keys if queries > 1 else spec.window
        sizes = {"B": batch, "H": heads, "G": groups, "P": queries, "M": keys, "E": spec.head_dim, "F": spec.value_dim or spec.head_dim}
    context = schedule_context(cascade, sizes, mask, dtype, machine, "forward")
    plan = schedule or default_schedule({**context, "cascade": cascade.name, "positions": len(cascade.positions)})
    cached = [name for name in cascade.inputs if cascade.positions[1] in cascade.tensor_ranks(name)]
    formats = tuple((name, narrower(kept, dtype)) for name in cached) if kept else ()
    return _cost(machine, evaluate(Point(cascade, sizes, mask, dtype, machine, plan, conditions, "forward", formats=formats), cascade.name))


@remembered
def rowwise(
    machine: Machine, rows: Number, width: int, kind: Literal["norm", "activation", "rotary"], conditions: Conditions = LIMITED
) -> Cost:
    """A kernel over `rows` tokens of `width` values: the sum with what came before and its norm, SwiGLU's activation, or a rotation."""
    name, schedule = ROWWISE[kind]
    sizes = {"P": maximum(1, rows), "D": width}
    return _cost(
        machine, evaluate(Point(load_cascade(name), sizes, DENSE, "bf16", machine, load_schedule(schedule), conditions, "forward"), name)
    )


def streaming(machine: Machine, amount: Number, conditions: Conditions = LIMITED) -> Cost:
    """A kernel that moves `amount` bytes between memory and itself and computes next to nothing: a state, copies of a cache."""
    seconds = amount / machine.memory.sustained + machine.launch.seconds(conditions.launch)
    return Cost(
        seconds, amount / machine.memory.bandwidth, 0.0, amount, amount * machine.memory.energy_j_per_byte + seconds * machine.power.idle_w
    )
