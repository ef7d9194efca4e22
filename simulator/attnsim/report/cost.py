"""What a token costs over contexts, models and machines, as data: every row is the answer of `attnsim.run`. `costfigure.py` draws it.

The views are those of arXiv 2507.19427: cost against activated parameters (Figure 1) and against context, with the cache read (Figure 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attnsim
from attnsim.api.documents import Ref, workload_document
from attnsim.api.model import load_model
from attnsim.errors import InfeasibleError, UsageError
from attnsim.evaluate.render import digits3, table
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.report.export import flatten, to_csv
from attnsim.serving.colocated import ACTIVATION
from attnsim.serving.model import Model
from attnsim.spec.serving import IdealDeployment, ModelWorkload
from attnsim.spec.span import count_text, read_counts
from attnsim.spec.yaml import validate
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report
    from attnsim.serving.answer import ModelEstimate

Resource = Literal["memory", "compute", "network"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPoint:
    """One model on one machine at one context. What does not apply is None.

    machines: all that the deployment may use, the one asked about first; runs_on: the machine of each part, where parts have their own.
    bound: what takes longest, as `attnsim run` names it; resource: what bounds that. kv_bytes: cache of a request that one token reads
    (B); activated_parameters: those a token goes through, embedding and head included.
    """

    workload: str
    model: str
    machine: str
    phase: str
    context: int
    batch: int
    gpus: int
    deployment: str
    usd_per_mtok: float
    prices: str
    tokens_per_s_per_gpu: float
    tpot_s: float | None
    ttft_s: float | None
    bound: str
    resource: Resource
    activated_parameters: int
    kv_bytes: float
    machines: tuple[str, ...]
    runs_on: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The row of the JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"machines": list(self.machines), "runs_on": dict(self.runs_on)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A point that has no cost: the model does not fit there, or no batch meets the target."""

    workload: str
    model: str
    machine: str
    context: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The entry of `skipped` in the JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, repr=False)
class CostTable:
    """What tokens cost; its repr is the table and what is left out.

    contexts: all that were asked for; inputs: the machines with the digests of their files.
    """

    points: tuple[CostPoint, ...]
    skipped: tuple[Skipped, ...]
    contexts: tuple[int, ...]
    prices: str
    inputs: tuple[str, ...]
    assumptions: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a point (SI units, USD for a million tokens)."""
        return [flatten(point.to_dict()) for point in self.points]

    def csv(self) -> str:
        """The rows as CSV; what is left out has no row."""
        return to_csv(self.rows(), first=("workload", "model", "machine", "context", "batch", "usd_per_mtok"))

    def to_dict(self) -> dict[str, Any]:
        """The JSON of ``attnsim cost``."""
        return {
            "schema": 1,
            "attnsim": attnsim.__version__,
            "assumptions": list(self.assumptions),
            "prices": self.prices,
            "results": [point.to_dict() for point in self.points],
            "skipped": [left.to_dict() for left in self.skipped],
        }

    def text(self) -> str:
        """The table of the terminal; columns that say the same everywhere stand above it."""
        header = ["workload", "model", "machine", "context", "batch", "USD/Mtok", "tokens/s a device", "time", "bound", "resource"]
        rows = [
            [
                *(point.workload, point.model, point.machine, count_text(point.context), str(point.batch), f"{point.usd_per_mtok:.4f}"),
                *(digits3(point.tokens_per_s_per_gpu), format_quantity(_time(point), "s"), point.bound, point.resource),
            ]
            for point in self.points
        ]
        fixed = [i for i in range(3) if len({row[i] for row in rows}) == 1]
        above = ", ".join([*(f"{header[i]} {rows[0][i]}" for i in fixed), f"prices {self.prices}"])
        keep = [i for i in range(len(header)) if i not in fixed]
        numbers = [keep.index(i) for i in range(3, 8)]
        return above + "\n\n" + table([header[i] for i in keep], [[row[i] for i in keep] for row in rows], right=numbers) + "\n"

    def left_out(self) -> list[str]:
        """A line for each reason why points of a line are missing."""
        alike: dict[tuple[str, str, str, str], list[str]] = {}
        for left in self.skipped:
            alike.setdefault((left.workload, left.model, left.machine, left.reason), []).append(count_text(left.context))
        return [
            f"left out: {workload}, {model} on {machine}, context {', '.join(contexts)}: {reason}"
            for (workload, model, machine, reason), contexts in alike.items()
        ]

    def __repr__(self) -> str:
        return "\n".join([self.text(), *self.left_out()])


def cost_table(
    workloads: Ref | Sequence[Ref],
    archs: Ref | Sequence[Ref],
    models: Ref | Sequence[Ref] = (),
    contexts: str | Sequence[int] = (),
    *,
    prices: str | None = None,
    sets: Sequence[str] = (),
) -> CostTable:
    """What a token costs in every combination of workloads (of kind model), machines, models and contexts.

    models, contexts, prices: in place of the workloads' own; contexts also as ``"1k..128k:log2"``. sets: the command line's ``a.b=c``.

    Raises:
        UsageError: a workload that is no question about a model, no prices, or several profiles. SpecError: a mistake in a file or name.
        MissingDataError: a machine the profile has no price for. InfeasibleError: no point at all can be had.
    """
    given: dict[str, Any] = {} if prices is None else {"prices": prices}
    changes = [{"model": str(model) if isinstance(model, Path) else model, **given} for model in _several(models)] or [given]
    questions = _once(
        [_question(workload, change, sets) for workload in _several(workloads) for change in changes],
        lambda question: f"{question.spec.name} with {question.model.name}",
        lambda question: (question.spec.model_copy(update={"model": ""}), question.model.spec),
    )
    asked = read_counts(contexts) if isinstance(contexts, str) else tuple(sorted(set(contexts)))
    of_machine = [text.strip().removeprefix("arch.") for text in sets if text.strip().startswith("arch.")]
    loaded = [(arch, load_machine(arch, sets=of_machine)) for arch in _several(archs)]
    machines = _once(loaded, lambda pair: pair[1].name, lambda pair: pair[1].sha256)
    profiles = list(dict.fromkeys(question.spec.prices for question in questions if question.spec.prices is not None))
    unpriced = [question.spec.name for question in questions if question.spec.prices is None]
    if unpriced:
        raise UsageError(f"{unpriced[0]} names no price profile; add --prices NAME (attnsim list prices)")
    if len(profiles) > 1:
        raise UsageError(f"prices of {' and '.join(profiles)} do not compare; choose one for all: --prices {profiles[0]}")
    points: list[CostPoint] = []
    skipped: list[Skipped] = []
    inputs: list[str] = []
    assumed: list[str] = []
    for question in questions:
        spec, model = question.spec, question.model
        for arch, machine in machines:
            for context in asked or (spec.context,):
                try:
                    report = attnsim.run(question.workload, arch, sets=sets, **question.overrides, context=context)
                except InfeasibleError as error:
                    reason = "; ".join(issue.message for issue in error.issues)
                    skipped.append(Skipped(spec.name, model.name, machine.name, context, reason))
                    continue
                points.append(_point(report, question))
                inputs += [f"{one.name} {one.sha256[:12]}" for one in (machine, *question.offered)]
                assumed += report.assumptions
    if not points:
        raise InfeasibleError("no point is left: " + "; ".join(dict.fromkeys(left.reason for left in skipped)))
    every = tuple(sorted({point.context for point in points} | {left.context for left in skipped}))
    return CostTable(tuple(points), tuple(skipped), every, profiles[0], tuple(dict.fromkeys(inputs)), tuple(dict.fromkeys(assumed)))


def _several(refs: Ref | Sequence[Ref]) -> Sequence[Ref]:
    return refs if isinstance(refs, list | tuple) else [refs]  # type: ignore[list-item]  # a path, a name or a dict is one


def _once(things: Sequence[T], name: Callable[[T], str], content: Callable[[T], object]) -> list[T]:
    """Each once. Raises UsageError where two that differ have one name: lines and rows could not be told apart."""
    found: dict[str, T] = {}
    for thing in things:
        if content(found.setdefault(name(thing), thing)) != content(thing):
            raise UsageError(f"two are called {name(thing)} and differ; give one of them another name")
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Question:
    """A workload, what replaces its fields, and what both come to; offered: machines it chooses from beside the one asked about."""

    workload: Ref
    overrides: Mapping[str, Any]
    spec: ModelWorkload
    model: Model
    offered: tuple[Machine | SpatialMachine, ...]


def _question(workload: Ref, overrides: Mapping[str, Any], sets: Sequence[str]) -> _Question:
    document = workload_document(workload, sets, overrides)
    if document.data.get("kind") != "model":
        name = document.data.get("name", "the workload")
        raise UsageError(f"{name} is of kind {document.data.get('kind')}; cost takes workloads of kind model, such as step3-decode-ideal")
    spec = validate(ModelWorkload, document)
    model = load_model(spec.model, document)
    named = spec.deployment.hardware if isinstance(spec.deployment, IdealDeployment) else []
    offered = tuple(load_machine(name, doc=document, loc=("deployment", "hardware", index)) for index, name in enumerate(named))
    return _Question(workload, overrides, spec, model if spec.kv is None else model.with_cache(spec.kv), offered)


def _point(report: Report, question: _Question) -> CostPoint:
    estimate: ModelEstimate = report.results[0]
    assert estimate.cost is not None
    runs_on = {name: str(part["machine"]) for name, part in estimate.parts.items() if "machine" in part}
    model = question.model
    return CostPoint(
        workload=question.spec.name,
        model=model.name,
        machine=report.arch_name,
        phase=estimate.phase,
        context=estimate.context,
        batch=estimate.batch,
        gpus=estimate.gpus,
        deployment=estimate.schedule,
        usd_per_mtok=estimate.cost["usd_per_mtok"],
        prices=estimate.cost["prices"],
        tokens_per_s_per_gpu=estimate.tokens_per_s_per_gpu,
        tpot_s=estimate.tpot_s,
        ttft_s=estimate.ttft_s,
        bound=estimate.bound,
        resource=_resource(report, estimate),
        activated_parameters=model.activated,
        kv_bytes=model.kv_read(estimate.context),
        machines=tuple(dict.fromkeys([report.arch_name, *(other.name for other in question.offered), *runs_on.values()])),
        runs_on=runs_on,
    )


def _resource(report: Report, estimate: ModelEstimate) -> Resource:
    """What bounds the longest part: the network where it is one, else memory below the ridge of its machine and compute above."""
    name, part = max(estimate.parts.items(), key=lambda item: float(item[1].get("time_s", item[1].get("seconds", 0.0))))
    if "bound" in part:
        return "compute" if part["bound"] == "compute" else "memory"
    if "flops" not in part:
        return "network"
    machine = report.machine if part.get("machine", report.arch_name) == report.arch_name else load_machine(part["machine"])
    assert not isinstance(machine, SpatialMachine)
    peak = machine.peak_flops(ACTIVATION if name == "attention" else estimate.dtype)
    return "compute" if part["flops"] / peak >= part["memory_bytes"] / machine.memory.bandwidth else "memory"


def _time(point: CostPoint) -> float:
    return point.tpot_s if point.tpot_s is not None else point.ttft_s or 0.0


def distinct(points: Iterable[CostPoint], *names: str) -> tuple[str, ...]:
    """The fields of `names` in which the points differ."""
    rows = list(points)
    return tuple(name for name in names if len({getattr(point, name) for point in rows}) > 1)
