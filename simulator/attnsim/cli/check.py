"""`attnsim check`: spec files, each on its own and against what it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import cli_command, narrate
from attnsim.errors import Issue, SpecError

if TYPE_CHECKING:
    from attnsim.spec.yaml import Document


@cli_command("check", "attnsim check workloads/examples/llama3-8b-prefill.yaml arch_specs/gpu/h100_sxm.yaml")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def command(files: tuple[str, ...]) -> None:
    """Check spec files: every error of every file, with its place.

    The `kind:` of a file says what it must hold. What it names is checked too: the cascade of a workload or schedule must exist and have
    the ranks that are used, equations must build, a machine must resolve. Exit 3 when anything is wrong.
    """
    issues: list[Issue] = []
    good = 0
    for file in files:
        found, said = inspect(Path(file))
        issues += found
        good += not found
        if not found:
            click.echo(f"{file}: ok, {said}")
    narrate(f"{good} of {len(files)} {'file' if len(files) == 1 else 'files'} fine")
    if issues:
        raise SpecError(dict.fromkeys(issues))


def inspect(path: Path) -> tuple[list[Issue], str]:
    """Everything wrong with one file, and what it is, in a few words."""
    from attnsim.cli.kinds import kind_of_file
    from attnsim.spec.library import load

    checks: dict[str, Callable[[Document], tuple[list[Issue], str]]] = {
        "arch": _arch,
        "cascade": _cascade,
        "schedule": _schedule,
        "model": _model,
        "workload": _workload,
        "prices": _prices,
        "sweep": _sweep,
    }
    try:
        kind = kind_of_file(path)
        return checks[kind](load(kind, path))
    except SpecError as error:
        return list(error.issues), ""


def _arch(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.machine.load import build_any
    from attnsim.machine.spatial import SpatialMachine
    from attnsim.units import format_quantity

    machine = build_any(doc)
    peaks = ", ".join(f"{dtype} {format_quantity(machine.peak_flops(dtype), 'FLOP/s')}" for dtype in sorted(machine.dtypes))
    if isinstance(machine, SpatialMachine):
        from attnsim.evaluate.spatial.render import machine_text

        return [], f"machine {machine.name}: {machine_text(machine)}; {peaks}"
    return [], f"machine {machine.name}: {machine.processors} {machine.processor_name}s, {peaks}"


def _prices(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.machine.prices import build_prices

    profiles = build_prices(doc)
    return [], f"price list of {len(profiles)} profiles: {', '.join(profile.name for profile in profiles)}"


def _cascade(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.cascade.cascade import load_cascade

    cascade = load_cascade(doc.data, doc)
    passes = ", ".join(f"{count} over {rank}" for rank, count in cascade.pass_counts().items())
    return [], f"cascade {cascade.name}: {len(cascade.einsums)} Einsums, passes {passes or 'none'}"


def _model(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.serving.model import Model
    from attnsim.spec.model import TransformerSpec
    from attnsim.spec.yaml import validate

    model = Model(validate(TransformerSpec, doc))
    return (
        [],
        f"model {model.name}: {model.parameters / 1e9:.1f} B parameters, {model.activated / 1e9:.1f} B activated, {model.depth} layers",
    )


def _schedule(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.cascade.cascade import load_cascade
    from attnsim.schedule.names import check_names
    from attnsim.schedule.schedule import build
    from attnsim.schedule.spatial import check_spatial_names, is_spatial, load_spatial_schedule

    if is_spatial(doc):
        spatial = load_spatial_schedule(doc.data, doc=doc)
        check_spatial_names(spatial, load_cascade(spatial.spec.cascade, doc, ("cascade",)))
        return [], f"schedule {spatial.name} of cascade {spatial.spec.cascade}, for PE arrays"
    schedule = build(doc)
    check_names(schedule)
    return [], f"schedule {schedule.name} of cascade {schedule.spec.cascade}"


def _question(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.api.model import load_model
    from attnsim.machine.prices import load_prices
    from attnsim.spec.serving import ModelWorkload
    from attnsim.spec.yaml import validate

    spec = validate(ModelWorkload, doc)
    model = load_model(spec.model, doc)
    if spec.prices is not None:
        load_prices(spec.prices, doc=doc, loc=("prices",))
    return [], f"workload {spec.name}: {spec.phase} of model {model.name}"


def _sweep(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.explore.build import build_plan
    from attnsim.explore.plan.request import read_request

    asked = read_request(doc)
    with asked.placed():
        plan = build_plan(
            asked.workload,
            asked.arch,
            asked.axes,
            asked.filters,
            schedule=asked.schedule,
            sets=asked.sets,
            columns=asked.columns,
            most=None,
        )
    return [], f"sweep {asked.name} of workload {asked.workload.data['name']}: {plan.count:,} points before filters"


def _workload(doc: Document) -> tuple[list[Issue], str]:
    from attnsim.api import workload_spec
    from attnsim.cascade.cascade import load_cascade
    from attnsim.schedule.spatial import load_any_schedule
    from attnsim.spec.workload import LayerWorkload

    if doc.data.get("kind") == "model":
        return _question(doc)
    spec = workload_spec(doc)
    issues: list[Issue] = []

    def attempt(step: Callable[[], object]) -> None:
        try:
            step()
        except SpecError as error:
            issues.extend(error.issues)

    if isinstance(spec, LayerWorkload):
        from attnsim.api.layer import step_document

        for index in range(len(spec.steps)):
            attempt(lambda index=index: issues.extend(_workload(step_document(spec, doc, index))[0]))  # type: ignore[misc]
        return issues, f"layer {spec.name} of {len(spec.steps)} kernels"
    attempt(lambda: load_cascade(spec.cascade, doc, ("cascade",)).resolve_sizes(spec.sizes, doc=doc))
    for field, reference in (("schedule", spec.schedule), ("baseline", spec.baseline)):
        if reference is not None:
            attempt(lambda field=field, reference=reference: load_any_schedule(reference, doc=doc, loc=(field,)))  # type: ignore[misc]
    return issues, f"workload {spec.name}"
