"""`attnsim.sweep`: many points in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim import __version__
from attnsim.api.documents import Ref, changed
from attnsim.errors import UsageError
from attnsim.explore.build import build_plan
from attnsim.explore.execute.local import Outcome, Progress, run_local
from attnsim.explore.output.sinks import File, Frames, form_of
from attnsim.explore.plan.axes import listed, vary, zipped
from attnsim.explore.plan.plan import MOST_POINTS, Plan
from attnsim.explore.plan.ranges import Series, Stepped
from attnsim.explore.plan.request import ONLY, read_request
from attnsim.spec import library

if TYPE_CHECKING:
    import pandas

_SHOWN = 1000  # values of an axis that the metadata spell out


def sweep(
    workload: Ref,
    arch: Ref | None = None,
    vary: Mapping[str, Any] | None = None,
    *,
    zip: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any]] = (),
    filters: Sequence[str] = (),
    sets: Sequence[str] = (),
    schedule: Ref | None = None,
    only: str = "all",
    columns: Sequence[str] = (),
    output: str | Path | None = None,
    executor: str = "local",
    chunk: int | None = None,
    resume: bool = False,
    most: int | None = MOST_POINTS,
) -> pandas.DataFrame | Path:
    """Evaluate a workload on machines at every combination of the fields that vary.

    vary: field -> values, as the command line's text ("1k..1M:log2"), a list, a range or an array; "sizes.P,sizes.M" gives both the same
    value. zip: fields that vary together. points: points written out. They combine. filters: conditions that points have to meet.
    workload: also a sweep file, without anything else. only: "lower-bound" for no more than that. columns: those to keep. most: points
    allowed; None for any number. executor, chunk, resume: as `attnsim sweep`; they need an `output`.

    Returns:
        A DataFrame with one row a point, SI units, points that cannot be had with the reason in `error`; with `output` (.parquet, .csv,
        .jsonl, or a folder) the path of the file instead.

    Raises:
        UsageError: an unknown field, a range, filter or column that is none, too many points. SpecError: a mistake in a file or value.
    """
    if arch is None and not vary and not zip and not points and isinstance(workload, str | Path):
        request = read_request(library.load("sweep", workload))
        with request.placed():
            plan = build_plan(
                request.workload, request.arch, request.axes, (*request.filters, *filters), schedule=schedule or request.schedule,
                sets=(*request.sets, *sets), only=request.only if only == "all" else _only(only), columns=(*request.columns, *columns),
                most=most,
            )  # fmt: skip
    else:
        axes = [_vary(fields, values) for fields, values in (vary or {}).items()]
        axes += [zipped(zip)] if zip else []
        axes += [listed(points)] if points else []
        plan = build_plan(workload, arch, axes, filters, schedule=schedule, sets=sets, only=_only(only), columns=columns, most=most)
    if output is None:
        sink = Frames(plan.schema)
        run_local(plan, sink, chunk=chunk)
        frame: pandas.DataFrame = sink.table().to_pandas()
        return frame
    run_to(plan, Path(output), executor=executor, chunk=chunk, resume=resume)
    return Path(output)


_vary = vary


def _only(text: str) -> Any:
    found = ONLY.get(text.replace("_", "-"))
    if found is None:
        raise UsageError(f"only {text!r} is none of all, lower-bound")
    return found


def run_to(
    plan: Plan,
    output: Path,
    form: str | None = None,
    *,
    executor: str = "local",
    chunk: int | None = None,
    resume: bool = False,
    command: str = "",
    progress: Progress | None = None,
) -> Outcome | None:
    """Run a plan into a file or, where the name has no ending, a folder of Parquet files. Returns what was written, if that was counted.

    Raises: UsageError for an output, a form and an executor that do not go together, and as the executor.
    """
    folder = form is None and (output.is_dir() or not output.suffix)
    form = form or ("parquet" if folder else form_of(output))
    described = about(plan, command)
    if executor == "local" and not resume and not folder:
        return run_local(plan, File(output, form, plan.schema, described), progress, chunk)
    if form != "parquet":
        raise UsageError(f"{'--resume' if resume else f'executor {executor}'} writes Parquet; use -o FILE.parquet, or a folder")
    from attnsim.explore.execute.executors import run_plan

    done = run_plan(plan, executor, output, chunk=chunk, resume=resume, progress=progress, about=described)
    return Outcome(done.rows, done.refused, done.why)


def about(plan: Plan, command: str = "") -> dict[str, Any]:
    """What a file of points says of where they come from: plain JSON data."""
    workload = changed(plan.workload, [text for text in plan.sets if not text.strip().startswith("schedule.")])
    return {
        "schema": 1,
        "attnsim": __version__,
        "command": command,
        "workload": {"name": workload.data.get("name", ""), "sha256": workload.sha256},
        "archs": {name: document.sha256 for name, document in plan.archs.items()},
        "schedule": plan.schedule if plan.schedule is None or isinstance(plan.schedule, dict) else str(plan.schedule),
        "sets": list(plan.sets),
        "axes": [{"fields": list(axis.fields), "count": len(axis), "values": [_values(one) for one in axis.series]} for axis in plan.axes],
        "filters": [one.text for one in plan.filters],
        "only": plan.only,
        "columns": list(plan.columns),
        "count": plan.count,
        "digest": plan.digest,
    }


def _values(series: Series) -> Any:
    if isinstance(series, Stepped):
        return f"{series.first}..{series.value(len(series) - 1)}:+{series.step}"
    if len(series) <= _SHOWN:
        return list(series.values)
    return {"first": series.value(0), "last": series.value(len(series) - 1), "count": len(series)}
