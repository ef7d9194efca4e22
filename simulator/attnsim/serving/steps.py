"""Questions about models on real devices: the batch that fits and meets its target, the step, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from attnsim.errors import InfeasibleError, Issue
from attnsim.evaluate.bottleneck import longest_bound
from attnsim.lanes import Number, many, maximum, minimum, nonzero, real, refusal, where
from attnsim.machine.machine import Machine
from attnsim.machine.prices import PriceProfile
from attnsim.schedule.schedule import Schedule
from attnsim.serving import colocated
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.colocated import Question, Step
from attnsim.serving.model import Model
from attnsim.serving.pools import token_cost
from attnsim.spec.serving import ColocatedDeployment, ModelWorkload
from attnsim.units import format_quantity

MOST_REQUESTS = 65536


def run_colocated(
    spec: ModelWorkload,
    deployment: ColocatedDeployment,
    model: Model,
    machine: Machine,
    prices: PriceProfile | None,
    schedule: Schedule | None = None,
    watch: Callable[[Question], None] | None = None,
) -> ModelEstimate:
    """A model in one phase on devices that each hold a share of all of it. watch: told the question that is answered.

    Raises:
        InfeasibleError: it does not fit, or no batch meets the target.
    """
    dtype = spec.dtype or _format(model, machine)
    tokens = 1 if spec.phase == "decode" else spec.context
    asked = Question(model, machine, deployment, spec.context, spec.batch or deployment.dp, tokens, dtype, schedule, spec.conditions)
    limit = machine.memory.capacity_bytes * deployment.memory
    room = colocated.most_requests(asked, limit)
    if room == 0 or asked.batch > room:
        raise _too_large(asked, limit, room)
    asked, step = (asked, colocated.step(asked)) if spec.batch is not None else _largest(spec, asked, minimum(room, MOST_REQUESTS))
    _check_target(spec, asked, step)
    if watch is not None:
        watch(asked)
    return _answer(spec, asked, step, prices, room)


def _format(model: Model, machine: Machine) -> str:
    """The format of the weights, or bf16 where the machine cannot compute in it."""
    return model.spec.weights if machine.supports(model.spec.weights) else "bf16"


def _too_large(asked: Question, limit: float, room: Number) -> Exception:
    held = colocated.memory(asked)

    def told(batch: float, context: float, room: float, *values: float) -> InfeasibleError:
        model, machine = asked.model, asked.machine
        parts = ", ".join(f"{name} {format_quantity(value, 'B')}" for name, value in zip(held, values, strict=True))
        text = f"{model.name} with {batch:.0f} requests of {context:.0f} tokens takes {parts} a device; "
        text += f"{machine.name} has {format_quantity(limit, 'B')}"
        if room:
            return InfeasibleError(Issue(f"{text}; {room:.0f} requests fit", path="batch"))
        least = 1
        while least < 1024 and values[0] * asked.deployment.tp / least > limit * 0.95:
            least *= 2
        return InfeasibleError(Issue(f"{text}; cut its weights over more of them (tp: {least})", path="deployment"))

    return refusal(told, asked.batch, asked.context, room, *held.values())


def _target(spec: ModelWorkload) -> tuple[str, float | None]:
    return ("tpot", spec.slo.tpot) if spec.phase == "decode" else ("ttft", spec.slo.ttft)


def _largest(spec: ModelWorkload, asked: Question, room: Number) -> tuple[Question, Step]:
    """The most requests that fit and meet the target, by bisection: a step takes longer with more of them."""
    dp = asked.deployment.dp
    name, target = _target(spec)

    def with_batch(groups: Number) -> tuple[Question, Step]:
        one = replace(asked, batch=groups * dp)
        return one, colocated.step(one)

    low: Number = 1
    high = room // dp
    if target is None:
        return with_batch(high)
    found = with_batch(low)
    if found[1].seconds > target:

        def told(seconds: float) -> InfeasibleError:
            text = f"no batch meets {name} {format_quantity(target, 's')}: {dp} already take {format_quantity(seconds, 's')}"
            return InfeasibleError(Issue(text, path=f"slo.{name}"))

        raise refusal(told, found[1].seconds)
    while nonzero(low < high):
        middle = (low + high + 1) // 2
        meets = with_batch(middle)[1].seconds <= target
        low, high = where(meets, middle, low), where(meets, high, middle - 1)
    return with_batch(low)


def _check_target(spec: ModelWorkload, asked: Question, step: Step) -> None:
    name, target = _target(spec)
    if target is not None and step.seconds > target:

        def told(batch: float, seconds: float) -> InfeasibleError:
            text = f"{batch:.0f} requests take {format_quantity(seconds, 's')}, more than {name} {format_quantity(target, 's')}; "
            return InfeasibleError(Issue(f"{text}leave `batch` out for the largest that meets it", path=f"slo.{name}"))

        raise refusal(told, asked.batch, step.seconds)


def _answer(spec: ModelWorkload, asked: Question, step: Step, prices: PriceProfile | None, room: Number) -> ModelEstimate:
    model, machine, devices = asked.model, asked.machine, asked.devices
    stages = asked.deployment.pp
    latency = step.seconds * stages  # a step passes all stages; each is busy with other requests meanwhile
    tokens = asked.batch * asked.tokens
    rate = tokens / step.seconds if stages == 1 else tokens / latency * stages
    flops, moved = (sum(getattr(cost, name) for cost in step.parts.values()) for name in ("flops", "bytes"))
    energy = sum(cost.energy_j for cost in step.parts.values()) * devices + machine.power.idle_w * sum(step.network.values()) * devices
    if step.waiting:
        energy += machine.power.idle_w * step.waiting * devices
    held = colocated.memory(asked)
    floor = maximum(
        flops / max(machine.peak_flops(dtype, "boost") for dtype in {asked.dtype, colocated.ACTIVATION}),
        colocated.least_bytes(asked) / machine.memory.bandwidth,
    )
    times = {name: cost.seconds for name, cost in step.parts.items()} | step.network
    if step.waiting:
        times["host"] = step.waiting
    layer = [step.parts[name].times(stages / model.depth) for name in ("projections", "attention")]
    conditions = {
        "attention_layer_s": sum(cost.seconds for cost in layer),
        "attention_layer_bound_s": sum(cost.bound_s for cost in layer),
        "largest_batch": real(room),
    }
    longest = colocated.longest_context(asked, machine.memory.capacity_bytes * asked.deployment.memory)
    if longest is not None:
        conditions["longest_context"] = real(longest)
    page = colocated.tokens_per_page(asked)
    if page is not None:
        conditions["tokens_per_page"] = float(page)
    if asked.cached < maximum(asked.context, asked.tokens):
        conditions["cached_tokens"] = real(asked.cached)
    conditions["average_power_w"] = energy / devices / latency
    if step.network:
        conditions["network_bytes_per_s"] = step.sent_bytes / step.seconds
    return ModelEstimate(
        name=spec.name,
        model=model.name,
        phase=spec.phase,
        context=spec.context,
        batch=asked.batch,
        schedule=_deployed(asked.deployment),
        dtype=asked.dtype,
        gpus=devices,
        flops=flops * devices,
        bytes={machine.memory.name: moved * devices},
        latency_s=latency,
        lower_bound_s=floor * stages,
        bound=longest_bound(list(times.values()), list(times)),
        time_by_resource_s={name: seconds * stages for name, seconds in times.items()},
        parts={
            **{
                name: {"time_s": cost.seconds, "flops": cost.flops, "memory_bytes": cost.bytes, "lower_bound_s": cost.bound_s}
                for name, cost in step.parts.items()
            },
            **{name: {"time_s": seconds} for name, seconds in times.items() if name not in step.parts},
        },
        tokens_per_s=rate,
        tokens_per_s_per_gpu=rate / devices,
        ttft_s=latency if spec.phase == "prefill" else None,
        tpot_s=latency if spec.phase == "decode" else None,
        energy_j=energy,
        energy_j_per_token=energy / tokens,
        cost=token_cost({machine.name: devices}, prices, rate),
        memory_bytes=held,
        conditions=conditions,
        assumptions=()
        if many(latency)
        else (
            "kernels and collectives of a step follow one another; experts are chosen evenly; no requests wait",
            f"matrix products in {asked.dtype}, attention in {colocated.ACTIVATION}, keys and values cached in {model.spec.kv}",
            *model.widened(asked.dtype),
            *_stated(asked),
        ),
    )


def _stated(asked: Question) -> list[str]:
    """What the answer assumes of the cache and of the software around the kernels."""
    cache, stack = asked.deployment.cache, asked.deployment.stack
    lines = []
    if asked.cached < maximum(asked.context, asked.tokens):
        lines.append(f"keys and values of {asked.cached} tokens of a request stay, on average over layers and heads")
    if cache.page is not None or cache.block is not None:
        lines.append("half of the last page of every request, layer and cached tensor is empty")
    if asked.scored > asked.requests:
        lines.append("scores of the vocabulary for every token of the prompt, in 16 bits and in fp32")
    if stack.adds:
        said = [
            *([f"kernels at {stack.efficiency:.3g} of their speed"] if stack.efficiency < 1 else []),
            *([f"{format_quantity(stack.overhead, 's')} of host time a step"] if stack.overhead else []),
            *([f"the cache copied {stack.cache_copies:.3g} times a step"] if stack.cache_copies else []),
        ]
        origin = f"{stack.source}: {stack.rows}" if stack.rows else stack.source
        lines.append(f"{stack.name or 'the serving stack'}: {', '.join(said)} ({origin})")
    return lines


def _deployed(deployment: ColocatedDeployment) -> str:
    degrees = {"tp": deployment.tp, "dp": deployment.dp, "ep": deployment.ep, "pp": deployment.pp}
    cut = [f"{name} {count}" for name, count in degrees.items() if count > 1]
    return f"colocated, {', '.join(cut)}" if cut else "colocated"
