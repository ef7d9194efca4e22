"""`attnsim.run` on a whole model: its configuration, machines and prices brought together with a deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attnsim.api.documents import Ref, placed
from attnsim.errors import InfeasibleError, SpecError
from attnsim.evaluate.estimate import Report
from attnsim.lanes import many
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.prices import PriceProfile, load_prices
from attnsim.machine.spatial import SpatialMachine
from attnsim.schedule.schedule import load_schedule
from attnsim.serving import ideal
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.model import Conventions, Model
from attnsim.serving.rounds import run_afd, run_offload
from attnsim.serving.steps import run_colocated
from attnsim.spec import library
from attnsim.spec.closed import are_files_closed
from attnsim.spec.model import TransformerSpec
from attnsim.spec.serving import AfdDeployment, ColocatedDeployment, IdealDeployment, ModelWorkload, OffloadDeployment
from attnsim.spec.yaml import Document, from_dict, validate


def run_model(spec: ModelWorkload, document: Document, machine: Machine | SpatialMachine, schedule: Ref | None = None) -> Report:
    """Evaluate a model. Raises as `model_estimate_of`."""
    estimate = model_estimate_of(spec, document, machine, schedule)

    def resolved() -> tuple[Any, ...]:
        told: list[Any] = []
        model_estimate_of(spec.model_copy(update={"batch": estimate.batch}), document, machine, schedule, told.append)
        return (told[0] if told else None,)

    digests = lambda: (document.sha256, machine.sha256)  # noqa: E731 - as everywhere
    return Report(spec.name, machine.name, machine, (estimate,), estimate.assumptions, digests, resolved)


def model_estimate_of(
    spec: ModelWorkload,
    document: Document,
    machine: Machine | SpatialMachine,
    schedule: Ref | None = None,
    watch: Callable[[Any], None] | None = None,
) -> ModelEstimate:
    """The answer of one model, or of many questions that differ in context and batch, given as Lanes. watch: told the Question answered.

    Raises:
        SpecError: also for a schedule beside the model. InfeasibleError: a machine of PE arrays, or a model that does not fit.
    """
    if schedule is not None:
        raise SpecError(document.issue(("model",), "the kernels of a model have the best known schedules; leave --schedule out"))
    if isinstance(machine, SpatialMachine):
        raise InfeasibleError(document.issue(("model",), f"models run on processors; {machine.name} is a machine of PE arrays"))
    model = load_model(spec.model, document)
    prices = None if spec.prices is None else load_prices(spec.prices, doc=document, loc=("prices",))
    if spec.kv is not None:
        model = model.with_cache(spec.kv)
    try:
        if isinstance(spec.deployment, IdealDeployment):
            return _ideal(spec, spec.deployment, document, model, machine, prices)
        return _staged(spec, document, model, machine, prices, watch)
    except InfeasibleError as error:
        raise placed(error, document) from None


def load_model(ref: str | Mapping[str, object], document: Document | None = None) -> Model:
    """A model by library name, path or content; a path may be that of a Hugging Face config.json."""
    if isinstance(ref, str) and ref.endswith(".json") and not are_files_closed():
        from attnsim.importers.huggingface import model_of_config

        path = Path(ref)
        beside = path if document is None else Path(document.locate(("model",))[0]).parent / path
        return Model(validate(TransformerSpec, from_dict(model_of_config(beside if beside.is_file() else path), ref)))
    found = library.load("model", ref, doc=document, loc=("model",))
    return Model(validate(TransformerSpec, found))


def _staged(
    spec: ModelWorkload,
    document: Document,
    model: Model,
    machine: Machine,
    prices: PriceProfile | None,
    watch: Callable[[Any], None] | None = None,
) -> ModelEstimate:
    """On real devices, kernel by kernel."""
    kernels = None
    if spec.attention_schedule is not None:
        kernels = load_schedule(spec.attention_schedule, doc=document, loc=("attention_schedule",))
    if isinstance(spec.deployment, AfdDeployment):
        machines = [
            machine if name is None else _processor(name, document, ("deployment", field))
            for field, name in (("attention_machine", spec.deployment.attention_machine), ("ffn_machine", spec.deployment.ffn_machine))
        ]
        return run_afd(spec, spec.deployment, model, (machines[0], machines[1]), prices, kernels, watch)
    if isinstance(spec.deployment, OffloadDeployment):
        machines = [
            machine if name is None else _processor(name, document, ("deployment", field))
            for field, name in (("compute_machine", spec.deployment.compute_machine), ("memory_machine", spec.deployment.memory_machine))
        ]
        return run_offload(spec, spec.deployment, model, (machines[0], machines[1]), prices, kernels, watch)
    assert isinstance(spec.deployment, ColocatedDeployment)
    return run_colocated(spec, spec.deployment, model, machine, prices, kernels, watch)


def _processor(name: str, document: Document, loc: tuple[str | int, ...]) -> Machine:
    """A GPU or CPU by name. Raises InfeasibleError for PE arrays."""
    found = load_machine(name, doc=document, loc=loc)
    if isinstance(found, SpatialMachine):
        raise InfeasibleError(document.issue(loc, f"models run on processors; {found.name} is a machine of PE arrays"))
    return found


def _ideal(
    spec: ModelWorkload, asked: IdealDeployment, document: Document, model: Model, machine: Machine, prices: PriceProfile | None
) -> ModelEstimate:
    """The bound of arXiv 2507.19427: the sum of the parts, each where it costs least."""
    machines = [machine]
    for index, name in enumerate(asked.hardware):
        other = _processor(name, document, ("deployment", "hardware", index))
        if other.name not in [known.name for known in machines]:
            machines.append(other)
    needed = ideal.need(model, spec.context, Conventions(asked.mla_value, asked.linear_core))
    rates = {known.name: None if prices is None else prices.usd_per_hour(known.name) for known in machines}
    attention = [ideal.attention(known, needed, rates[known.name]) for known in machines]
    ffn = [ideal.ffn(known, needed, rates[known.name]) for known in machines]
    if asked.disaggregated:
        chosen = ideal.cheapest(attention), ideal.cheapest(ffn)
    else:
        chosen = min(
            zip(attention, ffn, strict=True),
            key=lambda pair: sum(part.seconds if part.usd_per_mtok is None else part.usd_per_mtok for part in pair),
        )
    seconds = sum(part.seconds for part in chosen)
    batch = spec.batch or 1
    cost = None
    if prices is not None:
        usd = sum(part.usd_per_mtok or 0.0 for part in chosen)
        cost = {"usd_per_mtok": usd, "prices": prices.name, "usd_per_hour": {part.machine: rates[part.machine] for part in chosen}}
    flops = needed.core_flops + needed.linear_flops + needed.ffn_flops
    return ModelEstimate(
        name=spec.name,
        model=model.name,
        phase=spec.phase,
        context=spec.context,
        batch=batch,
        schedule="ideal",
        dtype=ideal.compute_dtype(machine),
        gpus=1,
        flops=batch * flops,
        bytes={machine.memory.name: batch * needed.kv_bytes},
        latency_s=batch * seconds,
        lower_bound_s=batch * seconds,
        bound=f"{chosen[0].bound} of attention" if chosen[0].seconds >= chosen[1].seconds else "compute of the FFN",
        time_by_resource_s={"attention": batch * chosen[0].seconds, "ffn": batch * chosen[1].seconds},
        parts={
            "attention": _part(chosen[0])
            | {
                "kv_bytes": needed.kv_bytes,
                "core_flops": needed.core_flops,
                "linear_flops": needed.linear_flops,
                "intensity": needed.intensity,
            },
            "ffn": _part(chosen[1]) | {"ffn_flops": needed.ffn_flops},
        },
        tokens_per_s=1.0 / seconds,
        tokens_per_s_per_gpu=1.0 / seconds,
        tpot_s=batch * seconds,
        cost=cost,
        conditions={
            **_unit_costs(machine, rates[machine.name]),
            **ideal.conditions(model, machine, spec.slo.tpot, asked.gpus_per_server, spec.batch),
        },
        assumptions=()
        if many(spec.context, spec.batch)
        else (
            "peak rates of the resource that binds; cache reads hidden behind the cores, projections after them; weights read for free",
            "no network, routers, norms, embedding and head left out; all devices busy all the time (arXiv 2507.19427, section 4)",
        ),
    )


def _unit_costs(machine: Machine, usd_per_hour: float | None) -> dict[str, float]:
    """USD of 10^18 FLOPs and of 10^15 bytes at full rate (arXiv 2507.19427, Table 5)."""
    if usd_per_hour is None:
        return {}
    each = usd_per_hour / 3600
    peak = machine.peak_flops(ideal.compute_dtype(machine))
    return {"usd_per_exaflop": each / peak * 1e18, "usd_per_petabyte": each / machine.memory.bandwidth * 1e15}


def _part(cost: ideal.PartCost) -> dict[str, object]:
    values = {"machine": cost.machine, "seconds": cost.seconds, "bound": cost.bound, "usd_per_mtok": cost.usd_per_mtok}
    return {name: value for name, value in values.items() if value is not None}
