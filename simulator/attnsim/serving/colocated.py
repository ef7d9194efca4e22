"""A model whose parts run on the same devices: tensor, data, expert and pipeline parallel.

A step goes through the layers one kernel after another; collectives stand between them. Experts are chosen evenly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import reduce
from math import ceil
from operator import add

from attnsim.errors import InfeasibleError
from attnsim.evaluate import collectives
from attnsim.lanes import Number, largest, maximum, quotient, where
from attnsim.machine.fabric import fabric_of
from attnsim.machine.machine import Machine
from attnsim.schedule.schedule import Schedule
from attnsim.serving.cost import remembered
from attnsim.serving.kernels import LIMITED, NOTHING, Cost, core, product, rowwise, streaming
from attnsim.serving.model import Layer, Matrix, Model
from attnsim.spec.dtype import element_bytes, narrower
from attnsim.spec.model import LatentAttention, LinearAttention
from attnsim.spec.serving import ColocatedDeployment
from attnsim.spec.workload import Conditions
from attnsim.units import format_quantity

ACTIVATION = "bf16"
"""Format of what passes between kernels and devices."""

ENDLESS = 2**30
"""Tokens beyond which a context counts as endless."""


@dataclass(frozen=True, slots=True)
class Question:
    """tokens: of a request in this step (1: decoding); context: those it attends; batch: requests of all devices; schedule: of the
    attention kernels, None for the best known.
    """

    model: Model
    machine: Machine
    deployment: ColocatedDeployment
    context: Number
    batch: Number
    tokens: Number
    dtype: str
    schedule: Schedule | None = None
    conditions: Conditions = LIMITED

    @property
    def devices(self) -> int:
        """Of the whole deployment."""
        return self.deployment.tp * self.deployment.dp * self.deployment.pp

    @property
    def requests(self) -> Number:
        """Of one group of tensor-parallel devices."""
        return ceil(self.batch / self.deployment.dp)

    @property
    def rows(self) -> Number:
        """Tokens of one such group in this step."""
        return self.requests * self.tokens

    @property
    def scored(self) -> Number:
        """Tokens of one such group for which the next is predicted: the last of each request, or all."""
        return self.rows if self.deployment.stack.prompt_logits else self.requests

    @property
    def cached(self) -> Number:
        """Tokens of a request whose keys and values stay after this step."""
        return self.deployment.cache.tokens(maximum(self.context, self.tokens))

    @property
    def attended(self) -> Number:
        """Keys that a token of this step may meet: of a cache what was kept, of a prompt all."""
        return self.cached if self.tokens == 1 else self.context


@dataclass(frozen=True, slots=True)
class Step:
    """Costs of one device over all its layers, by kind of operator; network: seconds of each collective by name; waiting: for the host."""

    parts: dict[str, Cost] = field(default_factory=dict)
    network: dict[str, Number] = field(default_factory=dict)
    sent_bytes: Number = 0.0
    waiting: float = 0.0

    @property
    def seconds(self) -> Number:
        """Kernels, collectives and waiting, one after another."""
        return sum(cost.seconds for cost in self.parts.values()) + sum(self.network.values()) + self.waiting


def step(asked: Question) -> Step:
    """One step of one device.

    Raises:
        InfeasibleError: a parallel degree that does not divide what it cuts.
    """
    _check(asked)
    parts: dict[str, Cost] = {}
    network: dict[str, Number] = {}
    sent: Number = 0.0
    for layer in asked.model.layers:
        share = layer.count / asked.deployment.pp
        for name, cost in layer_kernels(asked, layer):
            parts[name] = parts.get(name, NOTHING) + cost.times(share)
        for name, seconds, amount in layer_collectives(asked, layer):
            network[name] = network.get(name, 0.0) + seconds * share
            sent += amount * share
    words = ceil(asked.model.spec.vocabulary / asked.deployment.tp)
    head = product(asked.machine, asked.scored, asked.model.spec.hidden, words, ACTIVATION)
    parts["head"] = head.times(1 / asked.deployment.pp)
    stack = asked.deployment.stack
    if stack.efficiency < 1:
        parts = {name: _slowed(asked.machine, cost, stack.efficiency) for name, cost in parts.items()}
    if stack.cache_copies and asked.tokens == 1:
        parts["cache copies"] = streaming(asked.machine, 2 * stack.cache_copies * memory(asked)["cache"], asked.conditions)
    return Step(parts, network, sent, stack.overhead / asked.deployment.pp)


def _slowed(machine: Machine, cost: Cost, efficiency: float) -> Cost:
    """The same work at a share of its speed; the device idles meanwhile."""
    seconds = cost.seconds / efficiency
    return replace(cost, seconds=seconds, energy_j=cost.energy_j + (seconds - cost.seconds) * machine.power.idle_w)


def _check(asked: Question) -> None:
    deployment, model = asked.deployment, asked.model
    for layer in model.layers:
        heads = layer.core.spec.heads
        if heads % deployment.tp:
            raise InfeasibleError(f"tp = {deployment.tp} does not divide the {heads} attention heads of {model.name}")
    if deployment.ep > 1 and (deployment.tp * deployment.dp) % deployment.ep:
        raise InfeasibleError(f"ep = {deployment.ep} does not divide tp x dp = {deployment.tp * deployment.dp} devices")
    if deployment.pp > model.depth:
        raise InfeasibleError(f"pp = {deployment.pp} stages for {model.depth} layers of {model.name}")


def layer_kernels(asked: Question, layer: Layer) -> Iterator[tuple[str, Cost]]:
    """(kind of operator, cost) of the kernels of a layer on one device."""
    tp, machine, rows = asked.deployment.tp, asked.machine, asked.rows
    yield "norms", rowwise(machine, rows, asked.model.spec.hidden, "norm", asked.conditions).times(2)
    for matrix in fused(layer.of("attention"), asked.model.spec.hidden):
        yield "projections", _matrix(asked, matrix, rows, tp)
    yield "rotary", placed(machine, layer, rows, tp, asked.conditions)
    yield "attention", core_cost(machine, layer, asked.requests, asked.tokens, asked.attended, tp, asked.schedule, asked.conditions)
    for matrix in layer.of("router"):
        yield "router", _matrix(asked, matrix, rows, 1)
    for matrix in layer.of("ffn"):
        yield "ffn", _expert(asked, matrix) if matrix.experts > 1 else _matrix(asked, matrix, rows, _shared_cut(asked, layer))
        if matrix.gated:
            yield "activations", _activation(asked, matrix, layer)


def fused(matrices: Iterable[Matrix], hidden: int) -> list[Matrix]:
    """Projections of the same input as one product, as serving engines store them; those cut over devices apart from those kept whole."""
    out: list[Matrix] = []
    for matrix in matrices:
        alike = next(
            (i for i, one in enumerate(out) if (one.depth, one.copies, one.shard) == (matrix.depth, matrix.copies, matrix.shard)), None
        )
        if alike is None or matrix.depth != hidden or matrix.copies > 1:
            out.append(matrix)
        else:
            out[alike] = replace(out[alike], name=f"{out[alike].name}+{matrix.name}", cols=out[alike].cols + matrix.cols)
    return out


def least_bytes(asked: Question) -> Number:
    """Bytes that a device reads in a step whatever its kernels: weights that one token meets, and in decoding the cache."""
    deployment, model = asked.deployment, asked.model
    weights = model.head_weights / deployment.tp * element_bytes(ACTIVATION)
    for layer in model.layers:
        for matrix in layer.matrices:
            if matrix.experts == 1 or deployment.ep == 1:
                each = element_bytes(narrower(matrix.format, asked.dtype))
                weights += layer.count * matrix.active_weights * each / deployment.tp
    return weights / deployment.pp + (memory(asked)["cache"] if asked.tokens == 1 else 0.0)


def _shared_cut(asked: Question, layer: Layer) -> int:
    """Devices over which a dense FFN or shared experts are cut: beside routed experts on devices of their own, none."""
    routed = any(matrix.experts > 1 for matrix in layer.of("ffn"))
    return 1 if routed and asked.deployment.ep > 1 else asked.deployment.tp


def _matrix(asked: Question, matrix: Matrix, rows: Number, cut: int) -> Cost:
    """A matrix every token goes through; matrices side by side are one product, heads of their own are many."""
    depth, cols, copies = matrix.depth, matrix.cols, matrix.copies
    if matrix.shard == "depth":
        depth = ceil(depth / cut)
    elif matrix.shard == "cols" and copies <= 2:
        cols = ceil(cols / cut)
    elif matrix.shard == "cols":
        copies = ceil(copies / cut)
    if copies <= 2:
        cols, copies = cols * copies, 1
    return product(asked.machine, rows, depth, cols, asked.dtype, copies, asked.conditions, matrix.format)


def _expert(asked: Question, matrix: Matrix) -> Cost:
    """Routed experts: those of a device that some token chose, each with the tokens that chose it."""
    deployment = asked.deployment
    ep = deployment.ep
    tokens = asked.rows if ep == 1 else ceil(asked.batch * asked.tokens * ep / (deployment.tp * deployment.dp))
    chosen = tokens * matrix.active / matrix.experts  # by an expert, on average
    own = ceil(matrix.experts / ep)
    met = own * (1.0 - (1.0 - matrix.active / matrix.experts) ** tokens)  # experts that at least one token chose
    cut = deployment.tp if ep == 1 else 1
    depth, cols = matrix.depth, matrix.cols * matrix.copies
    depth, cols = (ceil(depth / cut), cols) if matrix.shard == "depth" else (depth, ceil(cols / cut))
    rows, count = maximum(1, ceil(chosen * own / met)), maximum(1, round(met))
    return product(asked.machine, rows, depth, cols, asked.dtype, count, asked.conditions, matrix.format)


def _activation(asked: Question, matrix: Matrix, layer: Layer) -> Cost:
    """SwiGLU's activation between the two products of an FFN, over the rows of all experts of a device in one kernel."""
    deployment = asked.deployment
    if matrix.experts == 1:
        rows, cut = asked.rows, _shared_cut(asked, layer)
    elif deployment.ep == 1:
        rows, cut = asked.rows * matrix.active, deployment.tp
    else:  # what the tokens of all devices ask of the experts of one
        rows, cut = ceil(asked.batch * asked.tokens * matrix.active / (deployment.tp * deployment.dp)), 1
    return rowwise(asked.machine, rows, ceil(matrix.cols / cut), "activation", asked.conditions)


def placed(machine: Machine, layer: Layer, rows: Number, tp: int, conditions: Conditions = LIMITED) -> Cost:
    """Between projections and attention: queries are rotated, keys too, and written to the cache with the values; a kernel each."""
    spec = layer.core.spec
    if isinstance(spec, LinearAttention):
        return NOTHING
    if isinstance(spec, LatentAttention):
        widths = [spec.heads * spec.rope_dim // tp, spec.kv_rank + spec.rope_dim]
    else:
        groups, value = max(1, spec.kv_heads // tp), spec.value_dim or spec.head_dim
        widths = [spec.heads * spec.head_dim // tp, groups * spec.head_dim, groups * value]
    return reduce(add, (rowwise(machine, rows, width, "rotary", conditions) for width in widths))


def core_cost(
    machine: Machine,
    layer: Layer,
    requests: Number,
    tokens: Number,
    context: Number,
    tp: int,
    schedule: Schedule | None,
    conditions: Conditions = LIMITED,
) -> Cost:
    """Attention of `requests` requests with `tokens` tokens each, its heads cut over `tp` devices, computed in 16 bits.

    A cache in a narrower format is read in it by decoding; a prompt attends what it has just computed.
    """
    spec = layer.core.spec
    if isinstance(spec, LinearAttention):
        return streaming(machine, requests * 2 * layer.core.state_bytes / tp, conditions)
    heads = spec.heads // tp
    groups = max(1, getattr(spec, "kv_heads", heads) // tp)
    kept = layer.core.kv if tokens == 1 else None
    return core(machine, spec, requests, tokens, maximum(context, tokens), ACTIVATION, heads, groups, schedule, conditions, kept)


def layer_collectives(asked: Question, layer: Layer) -> Iterator[tuple[str, Number, Number]]:
    """(name, seconds, bytes sent by a device) of what stands between the kernels of a layer."""
    deployment, machine, hidden = asked.deployment, asked.machine, asked.model.spec.hidden
    routed = next((matrix for matrix in layer.of("ffn") if matrix.experts > 1), None)
    if deployment.tp > 1:
        reduced = _reduced(machine, asked.rows * hidden * element_bytes(ACTIVATION), deployment.tp)
        times = 1 if routed is not None and deployment.ep > 1 else 2
        yield "all-reduce", times * reduced.seconds, times * reduced.bytes
    if routed is not None and deployment.ep > 1:
        tokens = asked.rows / deployment.tp
        for name in ("moe-dispatch", "moe-combine"):
            moved = _moved(machine, name, tokens, hidden, routed.active, deployment.ep)
            yield name, moved.seconds, moved.bytes


@remembered
def _reduced(machine: Machine, amount: Number, devices: int) -> Cost:
    """An all-reduce among `devices`; bytes: those that a device sends."""
    return _sent(collectives.all_reduce(amount, devices, fabric_of(machine)))


@remembered
def _moved(machine: Machine, name: str, tokens: Number, hidden: int, active: int, devices: int) -> Cost:
    """Tokens to their experts, or back."""
    fabric = fabric_of(machine)
    # Between nodes every pair of devices talks over the network, as the low-latency kernels of DeepEP do.
    joined = fabric if devices <= fabric.node or fabric.outer is None else fabric.outer
    move = collectives.moe_dispatch if name == "moe-dispatch" else collectives.moe_combine
    return _sent(move(tokens, hidden, active, devices, joined))


def _sent(done: collectives.Collective) -> Cost:
    return Cost(done.time_s, done.lower_bound_s, 0.0, sum(done.sent.values()), 0.0)


def memory(asked: Question) -> dict[str, Number]:
    """Bytes of one device: weights, cache, and what passes between kernels."""
    deployment, model = asked.deployment, asked.model
    weights = model.embedding_weights / deployment.tp * element_bytes(ACTIVATION)
    for layer in model.layers:
        for matrix in layer.matrices:
            cut = deployment.ep if matrix.experts > 1 and deployment.ep > 1 else 1 if matrix.shard == "none" else deployment.tp
            weights += layer.count * matrix.bytes / cut
    widest = max(m.cols * m.copies for layer in model.layers for m in layer.matrices)
    held = {
        "weights": weights / deployment.pp,
        "cache": asked.requests * sum(layer.count * _stored(asked, layer, asked.cached) for layer in model.layers) / deployment.pp,
        "activations": asked.rows * (2 * model.spec.hidden + widest / deployment.tp) * element_bytes(ACTIVATION),
    }
    if asked.attended > asked.cached:  # a prompt is cut down layer by layer, each attended in full before
        held["prompt of a layer"] = asked.requests * largest(_stored(asked, layer, asked.attended) for layer in model.layers)
    if asked.scored > asked.requests:  # in the format of activations, and widened
        each = element_bytes(ACTIVATION) + element_bytes("fp32")
        held["logits"] = asked.scored * model.spec.vocabulary / deployment.tp * each
    waste = sum(layer.count * _page_bytes(asked, layer) / 2 for layer in model.layers)
    if waste:  # requests end anywhere in their last pages: half of each is empty
        held["paging waste"] = asked.requests * waste / deployment.pp
    return held


def _stored(asked: Question, layer: Layer, tokens: Number) -> Number:
    """Bytes of `tokens` tokens of a request in the cache of a layer on one device."""
    return layer.core.stored(tokens) / _groups_cut(asked, layer)


def _groups_cut(asked: Question, layer: Layer) -> int:
    """Devices over which the key heads of a layer are spread; a latent is held by each."""
    return min(asked.deployment.tp, getattr(layer.core.spec, "kv_heads", 1))


def _page_bytes(asked: Question, layer: Layer) -> float:
    """Bytes of a page of each tensor of a layer's cache: keys and values, or the latent; 0 without pages."""
    cache, each = asked.deployment.cache, layer.core.bytes_per_key / _groups_cut(asked, layer)
    if not each:
        return 0.0
    if cache.block is not None:
        return cache.block * each
    return (cache.page or 0.0) * layer.core.tensors


def tokens_per_page(asked: Question) -> int | None:
    """Tokens that a page holds, the fewest of all layers; None without pages.

    Raises:
        InfeasibleError: a page that holds less than one token.
    """
    cache = asked.deployment.cache
    if cache.block is not None or cache.page is None:
        return cache.block
    sizes = [layer.core.bytes_per_key / layer.core.tensors / _groups_cut(asked, layer) for layer in asked.model.layers]
    held = min((int(cache.page // each) for each in sizes if each), default=None)
    if held == 0:
        raise InfeasibleError(f"a page of {format_quantity(cache.page, 'B')} holds less than a token of {asked.model.name}")
    return held


def most_requests(asked: Question, limit: float) -> Number:
    """Requests of all devices that fit into `limit` bytes of each; 0: not one."""
    one = memory(asked)
    free = limit - one["weights"]
    each = (sum(one.values()) - one["weights"]) / asked.requests
    return maximum(0, quotient(free, each)) * asked.deployment.dp


def longest_context(asked: Question, limit: float) -> Number | None:
    """Tokens of a request with which all requests still fit into `limit` bytes of a device; 0: not one; None: any number."""

    def fits(tokens: Number) -> Number:
        longer = replace(asked, context=tokens, tokens=1 if asked.tokens == 1 else tokens)
        return sum(memory(longer).values()) <= limit

    if fits(ENDLESS):
        return None
    low: Number = 0
    high: Number = ENDLESS
    while high - low > 1:  # the same number of halves whatever fits
        middle = (low + high) // 2
        held = fits(middle)
        low, high = where(held, middle, low), where(held, high, middle)
    return low
