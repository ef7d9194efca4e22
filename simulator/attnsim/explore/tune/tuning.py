"""`attnsim.tune`: which tiles, CTAs, splits, order and stages of a schedule are fastest on a machine, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attnsim.api.documents import Ref, placed, question, workload_spec
from attnsim.errors import InfeasibleError, SpecError, UsageError
from attnsim.explore.tune.answer import Tried, Tuning
from attnsim.explore.tune.reasons import common_choices, comparison
from attnsim.explore.tune.search import distinct, search
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec import library
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import Document

LIMIT, TRIALS = 4096, 1000


def tune(
    workload: Ref,
    arch: Ref,
    schedule: Ref | None = None,
    *,
    vary: Sequence[str] = (),
    tile: Mapping[str, int] | None = None,
    limit: int = LIMIT,
    trials: int = TRIALS,
    seed: int = 0,
    top: int = 10,
    sets: Sequence[str] = (),
    **overrides: Any,
) -> Tuning:
    """The fastest schedules of a workload on a machine, as the engine of `attnsim.run` times them, under what the machine can hold.

    workload, arch, schedule, sets, overrides: as of `attnsim.run`. vary: tiles, ctas, order, stages, split of a kernel on processors;
    tiles, order, bindings of a mapping on PE arrays; left out: all that the schedule has. tile: a tile to compare with the best, by rank
    (and `warps`, `ctas`). limit: most candidates timed one by one; where more fit, Optuna chooses `trials` of them from `seed`.

    Returns:
        Tuning: ``results`` the fastest first, at most `top`; ``repr`` is the text, ``to_dict()`` the JSON, ``schedule_yaml()`` the best
        schedule as a file.

    Raises:
        SpecError: a mistake in a file, dict or override. InfeasibleError: a machine or schedule that cannot run the workload, or a named
        tile that does not fit, with the limit. UsageError: an option that makes no sense. MissingDataError: Optuna is needed and not there.
    """
    for name, value in (("limit", limit), ("trials", trials), ("top", top)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    document, machine, named = question(workload, arch, schedule, sets, overrides)
    spec = workload_spec(document) if document.data.get("kind") in ("kernel", None) else None
    if not isinstance(spec, KernelWorkload):
        raise SpecError(document.issue(("kind",), "tune takes a kernel: write kind: kernel, with its cascade and sizes"))
    try:
        return _tuned(spec, document, machine, named, tuple(vary), tile, (limit, trials, seed, top))
    except InfeasibleError as error:
        raise placed(error, document) from None


def _tuned(
    spec: KernelWorkload,
    document: Document,
    machine: Any,
    named: Ref | None,
    vary: tuple[str, ...],
    tile: Mapping[str, int] | None,
    bounds: tuple[int, int, int, int],
) -> Tuning:
    limit, trials, seed, top = bounds
    asked_of = _search_of(spec, document, machine, named, vary)
    problem = asked_of.problem()
    wanted = None if tile is None else asked_of.named(tile)
    found = search(problem, limit, trials, seed)
    kept = distinct(found.results, asked_of.same)
    results = tuple(asked_of.tried(candidate) for candidate, _ in kept[:top])
    own = next((one for one in results if one.own), None) or _own(asked_of, problem)
    asked = None if wanted is None else asked_of.tried(wanted)
    schedule = asked_of.point.schedule
    return Tuning(
        workload_name=spec.name,
        arch_name=machine.name,
        schedule=schedule.name,
        varied=problem.axes,
        method=found.method,
        candidates=found.candidates,
        evaluated=len(found.results),
        refused=dict(sorted(found.refused.items())),
        examples=dict(sorted(found.examples.items())),
        results=results,
        own=own,
        asked=asked,
        reasons=_reasons(results, own),
        notes=tuple(asked_of.notes()),
        document=_document(schedule.doc, schedule.name, asked_of.changes(kept[0][0])),
        digests=lambda: (document.sha256, machine.sha256),
    )


def _search_of(spec: KernelWorkload, document: Document, machine: Any, named: Ref | None, vary: tuple[str, ...]) -> Any:
    if isinstance(machine, SpatialMachine):
        from attnsim.api.spatial import resolve as resolve_spatial
        from attnsim.explore.tune.arrays import ArraySearch

        return ArraySearch(resolve_spatial(spec, document, machine, named), spec.name, vary)
    from attnsim.api.processors import resolve
    from attnsim.explore.tune.kernels import KernelSearch

    return KernelSearch(resolve(spec, document, machine, named), spec.name, vary)


def _own(asked_of: Any, problem: Any) -> Tried:
    candidate = problem.fit(tuple(0 for _ in problem.axes))
    tried: Tried = asked_of.tried(candidate)
    return tried


def _reasons(results: Sequence[Tried], own: Tried) -> tuple[str, ...]:
    best = results[0]
    common = common_choices((*results, own))
    lines: list[str] = ["the schedule's own"] if best.own else []
    if len(results) > 1:
        lines += comparison(best, results[1], "the runner-up", common)
    if not best.own and (len(results) < 2 or not results[1].own):
        lines += comparison(best, own, "the schedule's own", common)
    return tuple(lines)


def _document(doc: Document, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A schedule file with the changes; it extends the library's where the schedule is one of them, else it is written out."""
    try:
        if library.load("schedule", name).data == doc.data:
            return {"extends": name, **changes}
    except SpecError:
        pass
    whole = dict(doc.data)
    for key, value in changes.items():
        old = whole.get(key)
        whole[key] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) and key != "overlap" else value
        if key == "overlap" and isinstance(old, Mapping):
            whole[key] = {**old, "exposed": {**old.get("exposed", {}), **value["exposed"]}}
    return whole
