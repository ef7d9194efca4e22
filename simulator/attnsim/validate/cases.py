"""Validation cases on disk: found by name, read, and every reference row made into a point that can be scored."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnsim.errors import Issue, SpecError, suggest
from attnsim.spec import dtype as dtypes
from attnsim.spec.case import CaseSpec, GroupSpec, NamedRows, RowFilter, Target
from attnsim.spec.workload import Conditions
from attnsim.spec.yaml import Document, load_yaml, validate
from attnsim.units import parse_quantity
from attnsim.validate.point import RowError, Shape, direction_of, positive, put, workload
from attnsim.validate.predict import ArchRef, cascade_for
from attnsim.validate.records import Record, any_match, matches, read_csv

COLUMNS = (
    "source", "arch", "kernel", "direction", "dtype", "batch", "heads_q", "heads_kv", "seqlen_q", "seqlen_kv", "head_dim", "causal",
    "metric", "value", "unit", "provenance", "verified",
)  # fmt: skip
"""Columns every reference.csv has; a case may carry more."""

CASE, TABLE, MEASURED = "case.yaml", "table.yaml", "measured.yaml"
"""The files that make a folder a case of measured kernels, a set of published tables, or of measured ones that are not shipped."""

MACHINES = "measured"
"""Folder of the cases of measured machines."""

CEILING_WORK = 1e12
"""FLOPs of a ceiling row: a rate has no size, so it is compared as the time of one TFLOP."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that share a machine and a schedule. `arch_name` is for people, `arch` is what the engine gets.

    `schedule` None: the best known one for the machine; `cascade` None: the one the schedule is written for.
    """

    name: str
    where: RowFilter
    arch_name: str
    arch: ArchRef
    schedule: str | None
    cascade: str | None
    mask: Mapping[str, Any] | None
    fields: Mapping[str, str]
    conditions: Conditions
    target: Target | None


@dataclass(frozen=True, slots=True)
class CasePoint:
    """One measured point: its row, its group, the measured seconds, and the FLOPs its published rate counts.

    `shape` is None for a ceiling. `floor_reason` is why it may lie below the certified lower bound, empty for an ordinary row.
    """

    record: Record
    group: Group
    shape: Shape | None
    dtype: str
    direction: str
    flops: float
    measured_s: float
    fitted: bool
    floor_reason: str

    def workload(self, name: str) -> dict[str, Any]:
        """The engine's input for this point; only for points with a shape. Raises SpecError for an unknown schedule."""
        if self.shape is None:
            raise ValueError("a ceiling has no workload")
        group = self.group
        cascade = group.cascade or cascade_for(group.schedule, self.direction)
        made = workload(
            self.shape, name=name, dtype=self.dtype, direction=self.direction, cascade=cascade, mask=group.mask, schedule=group.schedule,
            conditions=group.conditions,
        )  # fmt: skip
        for place, column in group.fields.items():
            if self.record.values[column]:
                put(made, place, self.record.values[column])
        return made


@dataclass(frozen=True, slots=True)
class Case:
    """A case ready to be scored. `excluded` pairs each row left out with the reason."""

    spec: CaseSpec
    folder: Path
    groups: tuple[Group, ...]
    points: tuple[CasePoint, ...]
    excluded: tuple[tuple[Record, str], ...]


def roots() -> tuple[Path, ...]:
    """Folders that hold case folders, the user's own (`validation/` under each folder of ATTNSIM_PATH) before the shipped ones."""
    package = Path(__file__).resolve().parents[1]
    own = [Path(folder).expanduser() / "validation" for folder in os.environ.get("ATTNSIM_PATH", "").split(os.pathsep) if folder]
    shipped = (package.parents[1] / "validation", package / "data" / "validation")  # a checkout, a wheel
    return tuple(folder for folder in (*own, *shipped) if folder.is_dir())


def folders() -> dict[str, Path]:
    """Case name -> folder, sorted by name; of two with one name the first root wins."""
    return _found(f"*/{CASE}")


def machine_folders() -> dict[str, Path]:
    """As `folders`, of measured machines."""
    return _found(f"{MACHINES}/*/{CASE}")


def _found(pattern: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in roots():
        for file in root.glob(pattern):
            found.setdefault(file.parent.name, file.parent)
    return dict(sorted(found.items()))


def table_folders() -> dict[str, Path]:
    """As `folders`, of published tables."""
    return _found(f"*/{TABLE}")


def measured_folders() -> dict[str, Path]:
    """As `folders`, of measured tables."""
    return _found(f"*/{MEASURED}")


def find(name: str) -> Path:
    """Folder of a case or table by name (`-` and `_` are the same, case is ignored) or path. Raises SpecError with the nearest name."""
    every = {**measured_folders(), **machine_folders(), **table_folders(), **folders()}
    known = {_plain(known): folder for known, folder in every.items()}
    if _plain(name) in known:
        return known[_plain(name)]
    path = Path(name)
    if path.name in (CASE, TABLE, MEASURED) and path.is_file():
        return path.parent
    if any((path / file).is_file() for file in (CASE, TABLE, MEASURED)):
        return path
    raise SpecError(f"no validation case {name!r}{suggest(name, list(every))}; `attnsim validate` without a name runs them all")


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def load_case(folder: Path) -> Case:
    """Read case.yaml and reference.csv of a folder. Raises SpecError naming file, line and reason of everything that is wrong."""
    doc = load_yaml(folder / "case.yaml")
    spec = validate(CaseSpec, doc)
    table = read_csv(folder / "reference.csv", COLUMNS)
    groups = tuple(_group(spec, group) for group in spec.groups or [GroupSpec(name="")])
    issues: list[Issue] = list(_unused_filters(spec, doc, table.records))
    if len(table.records) != spec.points:
        issues.append(doc.issue(("points",), f"says {spec.points} rows, but {table.file} has {len(table.records)}"))
    points: list[CasePoint] = []
    excluded: list[tuple[Record, str]] = []
    for record in table.records:
        reason = _reason(spec.excluded, record)
        if reason:
            excluded.append((record, reason))
            continue
        try:
            points.append(_point(spec, groups, record))
        except RowError as e:
            issues.append(Issue(str(e), file=table.file, line=record.line))
    if issues:
        raise SpecError(issues)
    return Case(spec, folder, groups, tuple(points), tuple(excluded))


def _unused_filters(spec: CaseSpec, doc: Document, records: Iterable[Record]) -> Iterator[Issue]:
    # A filter that matches no row is a typing error: silently, it would turn fitted rows into held-out ones.
    filters: list[tuple[tuple[str | int, ...], RowFilter]] = [(("fitted", i), where) for i, where in enumerate(spec.fitted)]
    filters += [(("below_floor", i, "where"), rows.where) for i, rows in enumerate(spec.below_floor)]
    filters += [(("excluded", i, "where"), rows.where) for i, rows in enumerate(spec.excluded)]
    filters += [(("groups", i, "where"), group.where) for i, group in enumerate(spec.groups)]
    rows = list(records)
    for loc, where in filters:
        if not any(matches(record.values, where) for record in rows):
            yield doc.issue(loc, "matches no row of reference.csv")


def _reason(named: Iterable[NamedRows], record: Record) -> str:
    return next((rows.reason for rows in named if matches(record.values, rows.where)), "")


def _group(spec: CaseSpec, group: GroupSpec) -> Group:
    def own(field: str) -> Any:
        # Not `or`: a group may say `targets: null` to have none where the case has one.
        return getattr(group if field in group.model_fields_set else spec, field)

    arch_name: str = own("arch")
    overrides: dict[str, Any] = own("arch_overrides")
    arch: ArchRef = {"extends": arch_name, **_nested(overrides)} if overrides else arch_name
    return Group(
        group.name, group.where, arch_name, arch, own("schedule"), own("cascade"), own("mask"), own("fields"), own("conditions"),
        own("targets"),
    )  # fmt: skip


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in dotted.items():
        *parents, leaf = path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = value
    return tree


def _point(spec: CaseSpec, groups: Iterable[Group], record: Record) -> CasePoint:
    values = record.values
    if record.fault:
        raise RowError(record.fault)
    group = next((g for g in groups if matches(values, g.where)), None)
    if group is None:
        raise RowError("belongs to no group of case.yaml, and is not excluded")
    missing = sorted(set(group.fields.values()) - set(values))
    if missing:
        raise RowError(f"has no column {missing[0]!r}, which `fields` of case.yaml names{suggest(missing[0], list(values))}")
    if spec.metric not in values["metric"]:
        raise RowError(f"metric is {values['metric']!r}, the case is about {spec.metric}")
    dtype = dtypes.canonical(values["dtype"]) or spec.dtype
    if dtype is None or spec.dtype not in (None, dtype):
        raise RowError(f"dtype is {values['dtype']!r}, the case is about {spec.dtype}")
    shape, direction, flops = None, "forward", CEILING_WORK
    if spec.kind == "case":
        shape, direction = Shape.from_values(values), direction_of(values["direction"])
        if direction != spec.direction:
            raise RowError(f"direction is {values['direction']!r}, the case is about {spec.direction}")
        flops = shape.published_flops(direction)
    fitted, floor_reason = any_match(values, spec.fitted), _reason(spec.below_floor, record)
    return CasePoint(record, group, shape, dtype, direction, flops, _seconds(values, flops), fitted, floor_reason)


def _seconds(values: Mapping[str, str], flops: float) -> float:
    positive("value", values["value"])
    wanted = "s" if values["metric"] == "latency" else "FLOP/s"
    try:
        measured = parse_quantity(f"{values['value']} {values['unit']}", wanted)
    except ValueError as e:
        raise RowError(str(e)) from None
    return measured if wanted == "s" else flops / measured
