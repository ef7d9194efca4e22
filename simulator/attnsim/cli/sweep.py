"""`attnsim sweep`: many points at once."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from attnsim.cli.common import check_writable, cli_command, narrate, output_option, schedule_option, set_option
from attnsim.cli.kinds import is_path, kind_of_file
from attnsim.cli.progress import PointsProgress, duration
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from attnsim.explore.execute.local import Outcome
    from attnsim.explore.plan.axes import Axis
    from attnsim.explore.plan.plan import Plan
    from attnsim.explore.plan.request import Request


@cli_command(
    "sweep",
    "attnsim sweep llama3-8b-prefill h100_sxm --vary sizes.P,sizes.M=1k..64k:log2 --vary sizes.B=1..4:+1 -o prefill.parquet",
    "attnsim sweep llama3-8b-decode h100_sxm --vary arch=h100_sxm,h200 --vary sizes.B=1,8,64 --columns latency_s,bound",
    "attnsim sweep llama3-70b-serving h200 --vary deployment.tp=2,4,8 --vary batch=1..64:log2 --filter 'batch >= deployment.tp'",
    "attnsim sweep decode-machines -o decode.csv",
)
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD ARCH | SWEEP")
@click.option("--vary", "varied", multiple=True, metavar="FIELD[,FIELD]=VALUES",
              help="A field over values: 1k..1M:log2, 1..200:+1, bf16,fp8; FIELD,FIELD take the same value. Repeatable.")  # fmt: skip
@click.option("--zip", "zips", multiple=True, metavar="FIELD=VALUES",
              help="A field that varies together with the other --zip fields, each with as many values.")  # fmt: skip
@click.option("--filter", "filters", multiple=True, metavar="CONDITION", help="Keep points that meet it, as 'sizes.M >= sizes.P'.")
@click.option(
    "--columns", metavar="NAME,...", help="Columns of the answers to keep, as latency_s,bytes,usd_per_mtok.  [default: all numbers]"
)
@click.option("--only", type=click.Choice(("all", "lower-bound")), help="lower-bound: nothing but what no kernel can beat, faster.")
@click.option("--executor", default="local", metavar="WHERE", help="local, processes[:N] or dask://HOST:PORT.")
@click.option("--chunk", type=click.IntRange(min=1), metavar="N", help="Points computed and written together.  [default: chosen]")
@click.option("--resume", is_flag=True, help="Go on with a sweep that was stopped; what is on the disk is kept.")
@click.option("--yes", is_flag=True, help="More than 100 million points are meant.")
@schedule_option
@set_option
@click.option("--format", "format_", type=click.Choice(("parquet", "csv", "jsonl")),
              help="Form of the rows.  [default: by the ending of FILE, else CSV]")  # fmt: skip
@output_option
def command(
    names: tuple[str, ...],
    varied: tuple[str, ...],
    zips: tuple[str, ...],
    filters: tuple[str, ...],
    columns: str | None,
    only: Literal["all", "lower-bound"] | None,
    executor: str,
    chunk: int | None,
    resume: bool,
    yes: bool,
    schedule: str | None,
    sets: tuple[str, ...],
    format_: str | None,
    output: str | None,
) -> None:
    """Many points at once: any field over a range, to Parquet, CSV or JSON lines.

    WORKLOAD and ARCH as for `attnsim run`, or SWEEP, a file of kind sweep (attnsim list sweep), which the options add to. Everything that
    --set takes can vary: sizes.M, dtype, mask.left, schedule, conditions.launch, arch, arch.levels.hbm.bandwidth; of a model also context,
    batch, model, prices and deployment.tp. k is 1024 and M 1024 k. mask.window is the keys that a query of a window mask sees.

    One row a point, in SI units, with the names of `attnsim run --format csv`; the last field varies fastest. A point that cannot be had
    keeps its row, with the reason in the column error. FILE.parquet carries workload, machines, axes and version in its metadata;
    FILE.csv and FILE.jsonl have them beside, in FILE.meta.json. A name without an ending is a folder of Parquet files.
    """
    stdout = output in (None, "-")
    as_folder = not stdout and format_ is None and (Path(str(output)).is_dir() or not Path(str(output)).suffix)
    if not as_folder:
        check_writable(output)
    _check_options(stdout, executor, chunk, resume, format_)
    words = {"--vary": varied, "--zip": zips, "--filter": filters, "--set": sets}
    told = ["attnsim", "sweep", *names, *(word for option, texts in words.items() for text in texts for word in (option, text))]
    told += [
        word for option, text in (("--schedule", schedule), ("--only", only), ("--columns", columns)) if text for word in (option, text)
    ]
    plan = _plan(names, _axes(varied, zips), filters, schedule, sets, only, columns, yes)
    with PointsProgress(plan.count) as progress:
        if stdout:
            from attnsim.explore.execute.local import run_local
            from attnsim.explore.output.sinks import Stream

            done: Outcome | None = run_local(plan, Stream(lambda rows: click.echo(rows, nl=False), format_ or "csv"), progress, chunk)
        else:
            from attnsim.explore.sweep import run_to

            done = run_to(
                plan, Path(str(output)), format_, executor=executor, chunk=chunk, resume=resume, command=shlex.join(told), progress=progress
            )
    _summarise(plan, done, progress.seconds, None if stdout else output)


def _check_options(stdout: bool, executor: str, chunk: int | None, resume: bool, format_: str | None) -> None:
    if not stdout:
        return
    if executor != "local" or resume:
        raise UsageError(f"{'--resume' if resume else '--executor ' + executor} writes Parquet; add -o FILE.parquet, or -o FOLDER")
    if format_ == "parquet":
        raise UsageError("Parquet is no text for stdout; add -o FILE.parquet, or use --format csv")


def _axes(varied: tuple[str, ...], zips: tuple[str, ...]) -> list[Axis]:
    from attnsim.explore.plan.axes import vary, zipped

    axes = [vary(*_assigned(text, "--vary")) for text in varied]
    if zips:
        pairs = [_assigned(text, "--zip") for text in zips]
        if len(pairs) == 1:
            raise UsageError(f"--zip {zips[0]}: alone it is --vary; give a second --zip for the field that varies with it")
        axes.append(zipped(dict(pairs)))
    return axes


def _assigned(text: str, option: str) -> tuple[str, str]:
    field, equals, values = text.partition("=")
    if not equals or not field.strip():
        raise UsageError(f"{option} takes FIELD=VALUES, for example sizes.M=1k..64k:log2, not {text!r}")
    return field.strip(), values.strip()


def _plan(
    names: tuple[str, ...],
    axes: list[Axis],
    filters: tuple[str, ...],
    schedule: str | None,
    sets: tuple[str, ...],
    only: str | None,
    columns: str | None,
    yes: bool,
) -> Plan:
    from attnsim.explore.build import build_plan
    from attnsim.explore.plan.plan import MOST_POINTS
    from attnsim.explore.plan.request import ONLY

    chosen = [name.strip() for name in (columns or "").split(",") if name.strip()]
    most = None if yes else MOST_POINTS
    request = _request(names)
    if request is not None:
        with request.placed():
            return build_plan(
                request.workload, request.arch, (*request.axes, *axes), (*request.filters, *filters), schedule=schedule or request.schedule,
                sets=(*request.sets, *sets), only=ONLY[only] if only else request.only, columns=chosen or request.columns, most=most,
            )  # fmt: skip
    if len(names) > 2:
        raise UsageError(f"a sweep has one workload and one machine; add others with --vary arch={names[1]},{names[2]}")
    if not axes:
        raise UsageError("nothing varies; add for example --vary sizes.M=1k..64k:log2")
    arch = names[1] if len(names) == 2 else None
    return build_plan(names[0], arch, axes, filters, schedule=schedule, sets=sets, only=ONLY[only or "all"], columns=chosen, most=most)


def _request(names: tuple[str, ...]) -> Request | None:
    """The sweep file that a single name stands for; None where it is a workload."""
    from attnsim.cli.kinds import named

    if len(names) != 1:
        return None
    kinds: Any = {kind_of_file(Path(names[0]))} if is_path(names[0]) else {kind for kind, _ in named(names[0])}
    if "workload" in kinds and "sweep" not in kinds:
        return None
    from attnsim.explore.plan.request import read_request
    from attnsim.spec.library import load

    return read_request(load("sweep", names[0]))


def _summarise(plan: Plan, done: Outcome | None, seconds: float, output: str | None) -> None:
    if done is None:
        return
    took = f" in {duration(seconds)} ({done.rows / seconds:,.0f} a second)" if seconds >= 1 else ""
    text = f"{done.rows:,} of {plan.count:,} points{took}" + (f", wrote {output}" if output else "")
    narrate("no point passes the filters" if not done.rows else text)
    if done.refused:
        narrate(f"{done.refused:,} without an answer, the first: {done.why}")
