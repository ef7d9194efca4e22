"""`attnsim explain`: what follows from the equations alone, and how a schedule lays it on a machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import (
    check_writable,
    cli_command,
    deliver,
    format_option,
    narrate,
    output_option,
    pick_format,
    schedule_option,
    set_option,
)
from attnsim.errors import SpecError, UsageError, suggest

if TYPE_CHECKING:
    from attnsim.cascade.cascade import Cascade
    from attnsim.evaluate.estimate import Report
    from attnsim.report.explain import Question
    from attnsim.spec.library import Kind

ROLES: tuple[Kind, ...] = ("workload", "cascade")
FORMATS = ("text", "json")


@cli_command(
    "explain",
    "attnsim explain llama3-8b-prefill h100_sxm",
    "attnsim explain attention-3pass",
    "attnsim explain fusemax-bert-attention fusemax_cloud --epoch epoch.svg",
)
@click.argument("workload")
@click.argument("arch", required=False)
@schedule_option
@set_option
@click.option("--epoch", metavar="FILE", help="PE arrays: draw which array is busy when in one steady-state epoch; .svg, .pdf or .png.")
@format_option(*FORMATS)
@output_option
def command(
    workload: str, arch: str | None, schedule: str | None, sets: tuple[str, ...], epoch: str | None, format_: str | None, output: str | None
) -> None:
    """Show the equations, passes, footprints and formulas of a workload.

    Passes over each rank with the reason for every new pass, live footprint of each tensor, operations, FLOPs and compulsory traffic as
    closed forms and as integers, and the attended pairs of the mask. With ARCH also the schedule as resolved: kernels, tiles, CTAs, waves;
    on PE arrays the stage plan with its cycles, what bounds it, and with --epoch a picture of it.
    WORKLOAD may be a bare cascade; without sizes only the formulas are printed.
    """
    check_writable(output)
    check_writable(epoch)
    from attnsim.report.explain import explanation, explanation_text

    cascade, question, report = resolve(workload, arch, schedule, sets)
    if epoch is not None:
        _draw_epoch(report, Path(epoch))
    data = explanation(cascade, question, report)
    if pick_format(format_, output, FORMATS) == "json":
        from attnsim.report.export import to_json

        deliver(to_json(data), output)
    else:
        deliver(explanation_text(data), output)


def _draw_epoch(report: Report | None, path: Path) -> None:
    """Raises: UsageError where there is no stage plan to draw."""
    if report is None or report.machine.kind != "spatial":
        raise UsageError("--epoch draws the stage plan of a schedule for PE arrays: name a workload and a machine such as fusemax_cloud")
    from attnsim import __version__
    from attnsim.report.timeline.epoch import save

    data = save(report.results[0], report.arch_name, path, __version__)
    narrate(f"wrote {path} and {data}")


def resolve(workload: str, arch: str | None, schedule: str | None, sets: Sequence[str]) -> tuple[Cascade, Question | None, Report | None]:
    """The cascade to explain, the sizes to put in, and the report of the machine; each None when nothing is known of it.

    Raises: SpecError for a name nobody knows, UsageError for a machine or schedule beside a bare cascade.
    """
    from attnsim.cli.kinds import is_path, kind_of_file, known_names, named

    kinds = {kind_of_file(Path(workload))} if is_path(workload) else {kind for wanted in ROLES for kind, _ in named(workload, wanted)}
    if not kinds:
        raise SpecError(f"{workload!r} is neither a workload nor a cascade of the library{suggest(workload, known_names(*ROLES))}")
    if "workload" in kinds:
        return _of_workload(workload, arch, schedule, sets)
    if "cascade" not in kinds:
        raise UsageError(f"{workload!r} is a file of kind {min(kinds)}; explain takes a workload or a cascade")
    if arch is not None or schedule is not None:
        raise UsageError(f"{workload!r} is a bare cascade, without sizes and number format; name a workload to see it on a machine")
    cascade, question = _of_cascade(workload, sets)
    return cascade, question, None


def _of_workload(workload: str, arch: str | None, schedule: str | None, sets: Sequence[str]) -> tuple[Cascade, Question, Report | None]:
    from attnsim import api, mask
    from attnsim.cascade.cascade import load_cascade
    from attnsim.machine.load import load_machine
    from attnsim.machine.spatial import SpatialMachine
    from attnsim.report.explain import Question
    from attnsim.spec.workload import LayerWorkload

    document = api.workload_document(workload, sets)
    spec = api.workload_spec(document)
    if isinstance(spec, LayerWorkload):
        names = ", ".join(step.name for step in spec.steps)
        raise UsageError(f"{workload!r} is a layer of several kernels ({names}); explain takes one kernel or a cascade")
    if arch is None:
        cascade = load_cascade(spec.cascade, document, ("cascade",))
        if spec.direction == "backward" and "dO" not in cascade.inputs:
            raise UsageError(
                "the equations of a backward pass depend on the schedule: name an ARCH, or explain the cascade attention-backward"
            )
        cascade.resolve_sizes(spec.sizes, doc=document)
        return cascade, Question(spec.name, spec.sizes, {}, mask.from_spec(spec.mask), spec.dtype), None
    report = api.run(workload, arch, schedule=schedule, sets=sets)
    machine_sets = [text.strip().removeprefix("arch.") for text in sets if text.strip().startswith("arch.")]
    machine = load_machine(arch, sets=machine_sets)
    if isinstance(machine, SpatialMachine):
        from attnsim.api.spatial import resolve as resolve_spatial

        spatial = resolve_spatial(spec, document, machine, schedule)
        inner = {rank: size for rank, size in spatial.tiles.items() if rank in spatial.cascade.partition}
        return spatial.cascade, Question(spec.name, spatial.sizes, inner, spatial.mask, spec.dtype), report
    point = api.resolve(spec, document, machine, schedule)
    tiles = {rank: size for kernel in report.results[0].kernels for rank, size in kernel.tile.items() if rank in point.cascade.partition}
    return point.cascade, Question(spec.name, point.sizes, tiles, point.mask, spec.dtype), report


def _of_cascade(name: str, sets: Sequence[str]) -> tuple[Cascade, Question | None]:
    from attnsim import mask
    from attnsim.cascade.cascade import load_cascade
    from attnsim.report.explain import Question
    from attnsim.spec.yaml import from_dict

    cascade = load_cascade(name)
    if not sets:
        return cascade, None
    document = from_dict({"sizes": {}})
    for text in sets:
        field, _, value = text.partition("=")
        if not field.strip().startswith("sizes."):
            raise UsageError(f"--set {text}: a bare cascade has only sizes; write for example sizes.M=4096")
        document = document.with_set(field.strip(), value.strip())
    sizes = document.data["sizes"]
    cascade.resolve_sizes(sizes, doc=document)
    return cascade, Question("", sizes, {}, mask.DENSE, None)
