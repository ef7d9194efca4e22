"""From what was asked to a Plan: documents loaded, every field known, filters read, the points counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnsim.api.documents import Ref, workload_spec
from attnsim.cascade.cascade import load_cascade
from attnsim.errors import AttnsimError, SpecError, UsageError, suggest
from attnsim.explore.answer.columns import located, prepared
from attnsim.explore.plan.axes import Axis
from attnsim.explore.plan.filter import Filter, FilterError, FilterField, parse_filter
from attnsim.explore.plan.plan import MOST_POINTS, Only, Plan, SweepError
from attnsim.explore.plan.ranges import Listed, Stepped, label
from attnsim.machine.load import load_machine
from attnsim.spec import library
from attnsim.spec.serving import ModelWorkload
from attnsim.spec.workload import LayerWorkload
from attnsim.spec.yaml import Document, validate

_TEXTS = 10_000


def build_plan(
    workload: Ref | Document,
    arch: Ref | Document | None,
    axes: Sequence[Axis],
    filters: Sequence[str] = (),
    *,
    schedule: Ref | None = None,
    sets: Sequence[str] = (),
    only: Only = "all",
    columns: Sequence[str] = (),
    most: int | None = MOST_POINTS,
) -> Plan:
    """A plan that is ready to run. most: points it may have; None for any number.

    Raises: SweepError for an unknown field, filter or column, or too many points; SpecError for a mistake in a file; as `attnsim.run`
    where a combination of values has no point that can be asked about.
    """
    document = workload if isinstance(workload, Document) else library.load("workload", workload)
    counted = ("context", "batch") if document.data.get("kind") == "model" else ()
    axes = tuple(_counting(axis, counted) for axis in axes)
    fields = [name for axis in axes for name in axis.fields]
    for name in fields:
        if fields.count(name) > 1:
            raise SweepError(f"{name} varies more than once; give all its values in one place", name)
    archs, own = _machines(arch, axes)
    plan = Plan(document, archs, own, schedule, tuple(sets), axes, (), only, tuple(columns))
    _check_fields(plan)
    plan = _with_filters(plan, filters)
    if plan.count >= 2**63 or (most is not None and plan.count > most):
        points = " x ".join(axis.text for axis in sorted(axes, key=len, reverse=True) if len(axis) > 1)
        hint = "narrow an axis" if plan.count >= 2**63 else "narrow an axis, or add --yes"
        raise SweepError(f"{plan.count:,} points ({points}) are more than {most or 2**63 - 1:,}; {hint}")
    return prepared(plan)


def _counting(axis: Axis, counted: Sequence[str]) -> Axis:
    """The axis, knowing which of its fields are counts."""
    found = set()
    for name, series in zip(axis.fields, axis.series, strict=True):
        if not name.startswith("sizes.") and name not in counted:
            continue
        least = series.first if isinstance(series, Stepped) else min(series.values) if series.whole else 0
        if series.whole and least >= 1:
            found.add(name)
        elif (
            name != "batch" or not isinstance(series, Listed) or any(value is not None and not _is_count(value) for value in series.values)
        ):
            wrong = least if series.whole else next(value for value in series.values if not _is_count(value))  # type: ignore[union-attr]
            raise SweepError(f"{name} must be whole numbers of at least 1, not {wrong!r}", name)
    return Axis(axis.fields, axis.series, frozenset(found))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _machines(arch: Ref | Document | None, axes: Iterable[Axis]) -> tuple[dict[str, Document], str]:
    """The machine files by name, and the name of the one asked about where none varies."""
    found: dict[str, Document] = {}
    own = ""
    if arch is not None:
        document = arch if isinstance(arch, Document) else library.load("arch", arch)
        own = load_machine(document.data).name
        found[own] = document
    elif not any("arch" in axis.fields for axis in axes):
        raise SweepError("a machine is missing; name one (attnsim list arch), or vary it: arch=h100_sxm,b200", "arch")
    for axis in axes:
        for name, series in zip(axis.fields, axis.series, strict=True):
            if name != "arch":
                continue
            found = {}
            for position in range(len(series)):
                value = series.value(position)
                if not isinstance(value, str | dict):
                    raise SweepError(f"arch: {value!r} is no machine; write library names (attnsim list arch) or paths", "arch")
                if label(value) in found:
                    raise SweepError(f"arch: two machines are called {label(value)}", "arch")
                try:
                    found[label(value)] = library.load("arch", value)
                    load_machine(found[label(value)].data)
                except SpecError as error:
                    raise (error if error.issues[0].file else SweepError(f"arch: {error.issues[0].message}", "arch")) from None
            own = next(iter(found))
    return found, own


# --- fields -----------------------------------------------------------------------------


def _check_fields(plan: Plan) -> None:
    """Refuse fields that nobody knows, before anything runs. Values are tried later, with the points."""
    try:
        first = plan.combine({name: value for axis in plan.axes for name, value in axis.settings(0).items()})
    except AttnsimError as error:
        raise located(plan, _unknown(plan, error), {}) from None
    document = first.document
    try:
        if document.data.get("kind") == "model":
            validate(ModelWorkload, document)
            return
        spec = workload_spec(document)
    except SpecError as error:
        found = _unknown(plan, error)
        if found is not error:
            raise found from None
        return  # what is wrong with the values is told with the points that have them
    if isinstance(spec, LayerWorkload):
        cascades = [load_cascade(step.cascade, document, ("steps", at, "cascade")) for at, step in enumerate(spec.steps)]
    else:
        cascades = [load_cascade(spec.cascade, document, ("cascade",))]
    ranks = dict.fromkeys(rank for one in cascades for rank in (*one.ranks, *one.groups) if rank not in _parts(one))
    for name in plan.fields:
        rank = name.removeprefix("sizes.")
        if name.startswith("sizes.") and rank not in ranks and rank not in document.data.get("sizes", {}):
            known = f"; the ranks are {', '.join(ranks)}"
            near = suggest(name, [f"sizes.{one}" for one in ranks]) if len(rank) > 1 else ""
            raise SweepError(f"unknown field '{name}'{near or known}", name)


def _parts(cascade: Any) -> set[str]:
    return {part for parts in cascade.partition.values() for part in parts}


def _unknown(plan: Plan, error: AttnsimError) -> AttnsimError:
    """The error of an unknown field, told in the words of the sweep; any other as it is."""
    for issue in error.issues:
        of_set = re.match(r"--set ([^=]+)=", issue.file or issue.message)
        path = issue.path or (of_set[1] if of_set else "")
        for name in plan.fields:
            own = name.removeprefix("arch.")
            if not path or (path not in (name, own) and not own.startswith(f"{path}.") and not name.startswith(f"{path}.")):
                continue
            if issue.message.startswith("unknown field"):
                hint = issue.message.removeprefix("unknown field")
                near = re.search(r"did you mean '([^']*)'", hint)
                if near is not None:
                    prefix = name[: len(name) - len(own)]
                    steps, depth = own.split("."), path.count(".")
                    hint = f"; did you mean '{prefix}{'.'.join([*steps[:depth], near[1], *steps[depth + 1 :]])}'?"
                return SweepError(f"unknown field '{name}'{hint}", name)
            if isinstance(error, UsageError) and not isinstance(error, SweepError):
                return SweepError(issue.message.removeprefix("--set "), name)
    return error


# --- filters -----------------------------------------------------------------------------


def _with_filters(plan: Plan, filters: Sequence[str]) -> Plan:
    from dataclasses import replace

    if not filters:
        return plan
    own = _own_fields(plan)
    known = {name: FilterField(_kind(value)) for name, value in own.items()}  # type: ignore[arg-type]
    for axis in plan.axes:
        for name, series in zip(axis.fields, axis.series, strict=True):
            known[name] = _filter_field(series)
    found: list[Filter] = []
    for number, text in enumerate(filters):
        try:
            found.append(parse_filter(text, known))
        except FilterError as error:
            raise SweepError(f"filter: {error}", f"filters.{number}", error.column) from None
    used = {name for one in found for name in one.fields}
    constants = {name: value for name, value in own.items() if name in used and name not in plan.fields}
    return replace(plan, filters=tuple(found), constants=constants)


def _filter_field(series: Listed | Stepped) -> FilterField:
    if series.whole:
        return FilterField("number")
    assert isinstance(series, Listed)
    kinds = {type(value) for value in series.values}
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        return FilterField("number")
    if kinds == {bool}:
        return FilterField("flag")
    return FilterField("text", frozenset(label(value) for value in series.values if value is not None) if len(series) <= _TEXTS else None)


def _kind(value: Any) -> str:
    return "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _own_fields(plan: Plan) -> dict[str, Any]:
    """The fields of the workload that do not vary, defaults included, and the machine's name."""
    try:
        document = plan.combine({name: value for axis in plan.axes for name, value in axis.settings(0).items()}).document
        spec = validate(ModelWorkload, document) if document.data.get("kind") == "model" else workload_spec(document)
    except AttnsimError:  # told with the points
        return {}
    found: dict[str, Any] = {"arch": plan.arch}

    def walk(values: Mapping[str, Any], prefix: str) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if name in plan.fields or name == "attnsim":
                continue
            if isinstance(value, Mapping):
                walk(value, f"{name}.")
            elif isinstance(value, bool | int | float | str):
                found[name] = value

    walk(spec.model_dump(), "")
    return found
