"""Questions about disaggregated models: the batch that fits and meets its target, the pace of the stages, and what a token costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from attnsim.errors import InfeasibleError, Issue
from attnsim.lanes import Number, nonzero, quotient, real, refusal, where
from attnsim.machine.machine import Machine
from attnsim.machine.prices import PriceProfile
from attnsim.schedule.schedule import Schedule
from attnsim.serving import afd, offload
from attnsim.serving.afd import Question
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.model import Model
from attnsim.serving.pools import Pool, answer
from attnsim.spec.serving import AfdDeployment, ModelWorkload, OffloadDeployment
from attnsim.units import format_quantity


def run_afd(
    spec: ModelWorkload,
    deployment: AfdDeployment,
    model: Model,
    machines: tuple[Machine, Machine],
    prices: PriceProfile | None,
    schedule: Schedule | None = None,
    watch: Callable[[Question], None] | None = None,
) -> ModelEstimate:
    """Decoding with attention on the first machine and the FFN on the second. watch: told the question that is answered.

    Raises:
        InfeasibleError: a prompt, a model that does not fit, or no batch that meets the target.
    """
    if spec.phase != "decode":
        raise InfeasibleError(Issue("attention and FFN are disaggregated for decoding; a prompt runs colocated", path="phase"))
    formats = [spec.dtype or (model.spec.weights if machine.supports(model.spec.weights) else "bf16") for machine in machines]
    unit = deployment.micro_batches * deployment.attention * deployment.gpus_per_server
    asked = Question(model, *machines, deployment, spec.context, spec.batch or unit, formats[0], formats[1], schedule, spec.conditions)
    room = _room(asked)
    if spec.batch is None:

        def round_s(rows: Number) -> Number:
            one = replace(asked, batch=rows * unit)
            return afd.tpot(one, afd.stages(one))

        rows = most(round_s, room // unit, spec, "a GPU and micro-batch")
        asked = replace(asked, batch=rows * unit)
    elif spec.batch > room:

        def told(batch: float, context: float, room: float) -> InfeasibleError:
            text = f"{batch:.0f} requests of {context:.0f} tokens do not fit: {machines[0].name} holds {room:.0f}; add attention servers"
            return InfeasibleError(Issue(text, path="batch"))

        raise refusal(told, spec.batch, spec.context, room)
    if watch is not None:
        watch(asked)
    found = afd.stages(asked)
    time = afd.tpot(asked, found)
    check_target(spec, asked.batch, time)
    rounds = deployment.micro_batches
    pools = (
        Pool("attention", asked.attention, asked.attention_gpus, afd.total(found, "attention").times(rounds)),
        Pool("ffn", asked.ffn, asked.ffn_gpus, afd.total(found, "ffn").times(rounds)),
    )
    return answer(
        spec,
        model.name,
        pools,
        rounds * sum(one.count * one.network_s for one in found),
        time,
        asked.batch,
        prices,
        schedule=f"afd, {deployment.attention}A{deployment.ffn}F",
        dtype=asked.ffn_dtype,
        memory=afd.memory(asked),
        conditions=afd.conditions(asked, found) | {"largest_batch": real(room)},
        assumptions=(
            "the longest of attention, network and FFN sets the pace of every layer; experts are chosen evenly; no requests wait",
            f"a stage waits {format_quantity(deployment.sync, 's')} more for the slowest of its devices"
            if deployment.sync
            else "devices of a stage end together",
            *model.widened(*formats),
        ),
    )


def _room(asked: Question) -> Number:
    """Requests that fit, of all attention GPUs."""
    held = afd.memory(asked)
    for machine, name in ((asked.ffn, "ffn weights"), (asked.attention, "attention weights")):
        limit = machine.memory.capacity_bytes * asked.deployment.memory
        if held[name] > limit:
            text = f"{name} of {asked.model.name} take {format_quantity(held[name], 'B')} a device"
            raise InfeasibleError(Issue(f"{text}; {machine.name} has {format_quantity(limit, 'B')}; add servers", path="deployment"))
    free = asked.attention.memory.capacity_bytes * asked.deployment.memory - held["attention weights"]
    return quotient(free, asked.model.kv_stored(asked.context)) * asked.attention_gpus


def most(time: Callable[[Number], Number], limit: Number, spec: ModelWorkload, place: str) -> Number:
    """The most requests in each place, up to `limit`, whose time meets the target, by bisection: time grows with their number.

    place: where they are, for the message. Raises InfeasibleError where not one meets it.
    """
    target = spec.slo.tpot
    if limit < 1:

        def misfit(tokens: float) -> InfeasibleError:
            return InfeasibleError(Issue(f"not one request of {tokens:.0f} tokens {place} fits; add devices", path="deployment"))

        raise refusal(misfit, spec.context)
    if target is None or time(limit) <= target:
        return limit
    least = time(1)
    if least > target:

        def told(tokens: float, seconds: float) -> InfeasibleError:
            text = f"no batch meets tpot {format_quantity(target, 's')}: one request of {tokens:.0f} tokens {place} "
            return InfeasibleError(Issue(f"{text}takes {format_quantity(seconds, 's')}", path="slo.tpot"))

        raise refusal(told, spec.context, least)
    low: Number = 1
    high = limit
    while nonzero(high - low > 1):
        middle = (low + high) // 2
        meets = time(middle) <= target
        low, high = where(meets, middle, low), where(meets, high, middle)
    return low


def check_target(spec: ModelWorkload, batch: Number, time: Number) -> None:
    """Raises InfeasibleError for a batch that misses the target."""
    target = spec.slo.tpot
    if target is not None and time > target:

        def told(batch: float, seconds: float) -> InfeasibleError:
            text = f"{batch:.0f} requests take {format_quantity(seconds, 's')} a token, more than {format_quantity(target, 's')}"
            return InfeasibleError(Issue(f"{text}; leave `batch` out for the largest that meets it", path="slo.tpot"))

        raise refusal(told, batch, time)


def run_offload(
    spec: ModelWorkload,
    deployment: OffloadDeployment,
    model: Model,
    machines: tuple[Machine, Machine],
    prices: PriceProfile | None,
    schedule: Schedule | None = None,
    watch: Callable[[offload.Question], None] | None = None,
) -> ModelEstimate:
    """Decoding with everything but attention on the first machine, attention on the second. watch: told the question that is answered.

    Raises:
        InfeasibleError: a prompt, a model that does not fit, or no batch that meets the target.
    """
    compute, memory = machines
    if spec.phase != "decode":
        raise InfeasibleError(Issue("attention is offloaded for decoding; a prompt runs colocated", path="phase"))
    dtype = spec.dtype or (model.spec.weights if compute.supports(model.spec.weights) else "bf16")
    asked = offload.Question(
        model, compute, memory, deployment, spec.context, spec.batch or deployment.batches, dtype, schedule, spec.conditions
    )
    limit = compute.memory.capacity_bytes * deployment.share
    weights = offload.memory(asked)["compute weights"]
    if weights > limit:
        text = f"weights of {model.name} take {format_quantity(weights, 'B')} a device; {compute.name} has {format_quantity(limit, 'B')}"
        raise InfeasibleError(Issue(f"{text}; add devices of compute", path="deployment.compute"))
    room = offload.room(asked)

    def time(rows: Number) -> Number:
        one = replace(asked, batch=rows * deployment.batches)
        return offload.tpot(one, offload.turn(one))

    if spec.batch is None:
        rows = most(time, room // deployment.batches, spec, "a batch")
        asked = replace(asked, batch=rows * deployment.batches)
    elif spec.batch > room:

        def told(batch: float, context: float, room: float) -> InfeasibleError:
            text = f"{batch:.0f} requests of {context:.0f} tokens do not fit: {deployment.memory} of {memory.name} hold {room:.0f}"
            return InfeasibleError(Issue(f"{text}; add devices of memory", path="batch"))

        raise refusal(told, spec.batch, spec.context, room)
    if watch is not None:
        watch(asked)
    turn = offload.turn(asked)
    tpot = offload.tpot(asked, turn)
    check_target(spec, asked.batch, tpot)
    batches, replicas = deployment.batches, deployment.replicas
    each = batches / replicas
    pools = (
        Pool("model", compute, deployment.compute * replicas, turn.model.times(each), each * turn.reduce_s),
        Pool("attention", memory, deployment.memory, turn.attention.times(batches)),
    )
    return answer(
        spec,
        model.name,
        pools,
        batches * turn.network_s,
        tpot,
        asked.batch,
        prices,
        schedule=f"offload, DOP({deployment.compute},{deployment.memory})" + (f", {replicas} replicas" if replicas > 1 else ""),
        dtype=dtype,
        memory=offload.memory(asked),
        conditions=offload.conditions(asked, turn),
        assumptions=(
            f"{batches} batches take turns; the requests of a batch are spread evenly over the devices of memory",
            *([f"batches move among {replicas} replicas between layers, at no cost"] if replicas > 1 else []),
            *model.widened(dtype),
        ),
    )
