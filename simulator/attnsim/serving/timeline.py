"""When each part of a deployment works on what: one step of a model, layer by layer, stages and micro-batches apart.

Recomputed for whoever draws it, from the very costs of the answer, so that the times of a row add up to those the answer gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeAlias

from attnsim.serving import afd, colocated, offload
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.model import Layer, Model

Question: TypeAlias = afd.Question | colocated.Question | offload.Question


@dataclass(frozen=True, slots=True)
class Row:
    """What works on one thing at a time. resource: as `time_by_resource_s` names it; share: of its time that a second of this row is."""

    name: str
    resource: str
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """row: index; name: what is done; start, seconds: when, and how long; layer, batch: of which layer and micro-batch, -1 for all."""

    row: int
    name: str
    start: float
    seconds: float
    layer: int = -1
    batch: int = -1


@dataclass(slots=True)
class Timeline:
    """One step: a token of every request, or a prompt of each. note: how it is to be read."""

    rows: tuple[Row, ...]
    note: str
    work: list[Work] = field(default_factory=list)

    def add(self, row: int, name: str, start: float, seconds: float, layer: int = -1, batch: int = -1) -> float:
        """Add some work, and say when it ends; nothing is added that takes no time."""
        if seconds > 0:
            self.work.append(Work(row, name, start, seconds, layer, batch))
        return start + seconds

    @property
    def busy_s(self) -> dict[str, float]:
        """Seconds of every resource."""
        busy: dict[str, float] = {}
        for one in self.work:
            row = self.rows[one.row]
            busy[row.resource] = busy.get(row.resource, 0.0) + one.seconds * row.share
        return busy


def timeline(asked: Question | None, answer: ModelEstimate) -> Timeline:
    """The step that `answer` is about. asked: the question behind it; None at the ideal, where the parts follow one another."""
    if isinstance(asked, afd.Question):
        return _of_afd(asked)
    if isinstance(asked, offload.Question):
        return _of_offload(asked, float(answer.latency_s))
    if isinstance(asked, colocated.Question):
        return _of_colocated(asked)
    rows = tuple(Row(name, name) for name in answer.time_by_resource_s)
    found, now = Timeline(rows, "the parts of a token at the ideal, one after another"), 0.0
    for number, row in enumerate(rows):
        now = found.add(number, row.name, now, float(answer.time_by_resource_s[row.resource]))
    return found


def _depths(model: Model) -> Iterable[tuple[int, int, Layer]]:
    """(number of a layer, of the group of alike layers that it belongs to, the group) through the model."""
    every = chain.from_iterable([(number, layer)] * layer.count for number, layer in enumerate(model.layers))
    return ((depth, number, layer) for depth, (number, layer) in enumerate(every))


def _of_afd(asked: afd.Question) -> Timeline:
    """Every interval attention, network and FFN each have another micro-batch; it moves on when the longest of them is done."""
    found = afd.stages(asked)
    sync, batches = asked.deployment.sync, asked.deployment.micro_batches
    rows = (Row("attention", "attention"), Row("network", "network"), Row("ffn", "ffn"))
    told = Timeline(rows, f"{batches} micro-batches go round; an interval is the longest stage and what its devices wait for one another")
    starts, now = [], 0.0
    turns = [(depth, batch, found[number]) for depth, number, _ in _depths(asked.model) for batch in range(batches)]
    for _, _, stage in turns:
        starts.append(now)
        now += float(stage.pace(sync))
    starts += [now, now + float(turns[-1][2].pace(sync)), now + 2 * float(turns[-1][2].pace(sync))]
    free = [0.0, 0.0, 0.0]
    legs: list[tuple[float, int, str, float, int, int]] = []
    for turn, (depth, batch, stage) in enumerate(turns):
        half = float(stage.network_s) / 2
        legs += [
            (starts[turn], 0, "attention", float(stage.attention.seconds), depth, batch),
            (starts[turn + 1], 1, "to the FFN", half, depth, batch),
            (starts[turn + 1] + half, 2, "FFN", float(stage.ffn.seconds), depth, batch),
            (starts[turn + 2] + half, 1, "back", half, depth, batch),
        ]
    for start, row, name, seconds, depth, batch in sorted(legs):  # layers of another pace may have to wait for those before
        free[row] = told.add(row, name, max(start, free[row]), seconds, depth, batch)
    return told


def _of_offload(asked: offload.Question, tpot: float) -> Timeline:
    """The batches start their layers a share of a layer's time apart; each then passes compute, network, memory, network."""
    turn = offload.turn(asked)
    depth, batches, replicas = asked.model.depth, asked.deployment.batches, asked.deployment.replicas
    model, attention, half = (
        float(seconds) / depth for seconds in (turn.model_s, turn.attention.seconds, turn.network_s / 2)
    )  # fmt: skip
    pools = [Row("model" if replicas == 1 else f"model, replica {number}", "model", 1 / replicas) for number in range(replicas)]
    links = [Row(f"network, batch {number}", "network") for number in range(batches)]
    rows = (*pools, Row("attention", "attention"), *links)
    told = Timeline(rows, f"{batches} batches take turns; what runs once a token (the head) is spread over the layers")
    for layer in range(depth):
        for batch in range(batches):
            order = layer * batches + batch
            now = order * tpot / depth / batches
            now = told.add(order % replicas, "model", now, model, layer, batch)
            now = told.add(replicas + 1 + batch, "queries, keys, values", now, half, layer, batch)
            now = told.add(replicas, "attention", now, attention, layer, batch)
            told.add(replicas + 1 + batch, "results", now, half, layer, batch)
    return told


def _of_colocated(asked: colocated.Question) -> Timeline:
    """Kernels and collectives of a device one after another, through all stages of the pipeline."""
    step, stages = colocated.step(asked), asked.deployment.pp
    names = [*step.parts, *step.network, *(["host"] if step.waiting else [])]
    told = Timeline(tuple(Row(name, name) for name in names), "one device, kernels and collectives one after another")
    if stages > 1:
        told.note = f"one step through the {stages} stages of the pipeline, a device of each"
    at, now, slower = {name: row for row, name in enumerate(names)}, 0.0, 1 / asked.deployment.stack.efficiency
    known = [_in_order(asked, layer) for layer in asked.model.layers]
    if step.waiting:
        now = told.add(at["host"], "host", now, step.waiting * stages)
    for depth, number, _ in _depths(asked.model):
        for name, seconds in known[number]:
            now = told.add(at[name], name, now, seconds * (slower if name in step.parts else 1.0), depth)
    now = told.add(at["head"], "head", now, float(step.parts["head"].seconds) * stages)
    if "cache copies" in at:
        told.add(at["cache copies"], "cache copies", now, float(step.parts["cache copies"].seconds) * stages)
    return told


def _in_order(asked: colocated.Question, layer: Layer) -> list[tuple[str, float]]:
    """(name, seconds) of the kernels and collectives of a layer as they follow one another."""
    outputs = [matrix.shard == "depth" for matrix in colocated.fused(layer.of("attention"), asked.model.spec.hidden)]
    sent = {name: float(seconds) for name, seconds, _ in colocated.layer_collectives(asked, layer)}
    norm = 0.0
    before: list[tuple[str, float]] = []
    core: list[tuple[str, float]] = []
    after: list[tuple[str, float]] = []
    ffn: list[tuple[str, float]] = []
    for name, cost in colocated.layer_kernels(asked, layer):
        seconds = float(cost.seconds)
        if name == "norms":
            norm = seconds / 2  # one before attention, one before the FFN
        elif name == "projections":
            (after if outputs.pop(0) else before).append((name, seconds))
        elif name in ("rotary", "attention"):
            core.append((name, seconds))
        else:
            ffn.append((name, seconds))
    reduced = sent.get("all-reduce", 0.0)
    twice = "all-reduce" in sent and "moe-dispatch" not in sent
    middle = [("all-reduce", reduced / 2 if twice else reduced)]
    routed = len([1 for name, _ in ffn if name == "router"])
    moved = [[(name, sent.get(name, 0.0))] for name in ("moe-dispatch", "moe-combine")]
    found = [
        ("norms", norm), *before, *core, *after, *middle, ("norms", norm),
        *ffn[:routed], *moved[0], *ffn[routed:], *moved[1], ("all-reduce", reduced / 2 if twice else 0.0),
    ]  # fmt: skip
    return [(name, seconds) for name, seconds in found if seconds > 0]
