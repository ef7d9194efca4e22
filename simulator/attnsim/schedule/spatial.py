"""A schedule for PE arrays as the engine uses it: the file, its partitioning resolved, and what each Einsum unrolls in space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.cascade.einsum import Einsum
from attnsim.cascade.functions import OPERATIONS
from attnsim.errors import InfeasibleError, Issue, SpecError, suggest
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec import library
from attnsim.spec.mapping import PartSize, SpatialScheduleSpec, Stationary, part_size
from attnsim.spec.yaml import Document, validate

Fault: TypeAlias = tuple[tuple[str | int, ...], str]
Space: TypeAlias = tuple[tuple[str, ...], ...]
"""For each dimension of an array the ranks unrolled over it; none: only one coordinate of the dimension works."""


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product: its operands in order, and the ranks by role. `rows` are of the first operand and the result, `columns` of the
    second and the result, `reduced` of both operands only."""

    first: str
    second: str
    result: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    reduced: tuple[str, ...]

    def roles(self, stationary: Stationary) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]:
        """((ranks over rows of the array, over columns), ranks walked in time) for what stays in the PEs."""
        if stationary == "output":
            return (self.columns, self.rows), self.reduced
        if stationary == "weight":
            return (self.columns, self.reduced), self.rows
        return (self.reduced, self.rows), self.columns


def product_of(cascade: Cascade, einsum: Einsum) -> Product | None:
    """The Einsum as a matrix product of two tensors; None where it is none, or has more than two operands."""
    if not einsum.is_matmul or len(einsum.operands) != 2:
        return None
    hidden = {*cascade.batch, *cascade.groups}
    first, second = (
        tuple(rank for rank in cascade.merged(operand.ranks) if rank not in hidden and rank != operand.iterative)
        for operand in einsum.operands
    )
    kept = tuple(rank for rank in cascade.merged(einsum.output.ranks) if rank not in hidden and rank != einsum.output.iterative)
    reduced = tuple(rank for rank in first if rank in second and rank not in kept)
    kept = tuple(rank for rank in kept if cascade.whole(rank) not in reduced)  # one result for every chunk of the reduced rank
    rows = tuple(rank for rank in first if rank not in second)
    columns = tuple(rank for rank in second if rank not in first)
    if {*rows, *columns} != set(kept) or len(reduced) + len(rows) != len(first):
        return None
    return Product(einsum.operands[0].name, einsum.operands[1].name, einsum.label, rows, columns, reduced)


@dataclass(frozen=True, eq=False)
class SpatialSchedule:
    """A spatial schedule file; `doc` keeps where each field was written."""

    spec: SpatialScheduleSpec
    doc: Document

    @property
    def name(self) -> str:
        """Library name."""
        return self.spec.name

    def __repr__(self) -> str:
        phases = len(self.spec.plan)
        return f"SpatialSchedule({self.name}: {'no fusion' if not phases else f'{phases} phases' if phases > 1 else 'one phase'})"

    def issue(self, loc: Sequence[str | int], message: str) -> Issue:
        """A problem at a place of the schedule's file; without a file position it names the field only."""
        loc = tuple(loc)
        if any(loc[:length] in self.doc.positions for length in range(1, len(loc) + 1)):
            return self.doc.issue(loc, message)
        return Issue(message, path=".".join(("schedule", *map(str, loc))))

    def infeasible(self, message: str, *loc: str | int) -> InfeasibleError:
        """The error of a schedule that does not suit the question, at a place of its file."""
        return InfeasibleError(self.issue(loc, message))

    def parts(self, rank: str) -> tuple[PartSize, ...]:
        """The parts of a rank, outermost first; empty where it is not partitioned."""
        return tuple(part_size(text) for text in self.spec.mapping.partitioning.get(rank, ()))

    def tile(self, rank: str, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
        """Size of the innermost part of a rank; None where the rank is not partitioned. Raises InfeasibleError for an unknown array."""
        parts = self.parts(rank)
        if not parts or parts[-1].fits:
            return None
        last = parts[-1]
        if last.size is not None:
            return last.size
        shape = shapes.get(last.array)
        loc = ("mapping", "partitioning", rank, len(parts) - 1)
        if shape is None:
            raise self.infeasible(f"no array '{last.array}'{suggest(last.array, shapes)}; the machine has {', '.join(shapes)}", *loc)
        if last.dimension >= len(shape):
            raise self.infeasible(f"array {last.array} has one dimension, its length, and no columns", *loc)
        return shape[last.dimension]

    def fits_buffer(self, rank: str) -> bool:
        """Whether a part of the rank is as large as the buffer allows."""
        return any(part.fits for part in self.parts(rank))

    def outer(self, cascade: Cascade) -> Literal["rows", "keys"]:
        """Whether the loop over key tiles runs inside the loop over (blocks of) rows, or around it; rows for a file without `loop-order`.

        Raises:
            InfeasibleError: a loop that does not exist, or an order that no tile-by-tile fusion has.
        """
        order = self.spec.mapping.loop_order
        if not order or len(cascade.positions) != 2:
            return "rows"
        query, key = cascade.positions
        legal = {f"{rank}{part}" for rank in (query, key) for part in range(1, len(self.parts(rank)) + 1)}
        for index, name in enumerate(order):
            if name not in legal:
                message = f"no loop over tiles is called '{name}'{suggest(name, legal)}; the partitioning makes {', '.join(sorted(legal))}"
                raise self.infeasible(message, "mapping", "loop-order", index)
        missing = sorted(legal - set(order))
        if missing or len(order) != len(set(order)):
            raise self.infeasible(
                f"every loop over tiles stands in the order once; {', '.join(missing) or 'one'} does not", "mapping", "loop-order"
            )
        if f"{key}1" not in legal:
            return "rows"
        at = order.index(f"{key}1")
        before = [name for name in order[:at] if name.startswith(query)]
        if self.fits_buffer(query) and (len(before) != 1 or before[0] != f"{query}{len(self.parts(query))}"):
            blocks, tiles = f"{query}{len(self.parts(query))}", f"{query}{len(self.parts(query)) - 1}"
            message = f"rows are kept in the buffer while keys stream by: the order is {blocks}, {key}1, {tiles}"
            raise self.infeasible(message, "mapping", "loop-order")
        return "rows" if before else "keys"

    def space(self, cascade: Cascade, einsum: Einsum, array: str, dimensions: int) -> Space | None:
        """What the file unrolls for an Einsum on an array, as ranks of the cascade; None where the file leaves it open."""
        spacetime = self.spec.mapping.spacetime
        entry = spacetime.get(einsum.label, spacetime.get(array))
        if entry is None:
            return None
        if entry.stationary is not None:
            product = product_of(cascade, einsum)
            if product is None:
                message = f"{einsum.label} is no matrix product of two tensors, so nothing of it is stationary; name its ranks in `space`"
                raise self.infeasible(message, "mapping", "spacetime", einsum.label if einsum.label in spacetime else array)
            return product.roles(entry.stationary)[0][:dimensions]
        found = [_rank(cascade, einsum, name) for name in entry.space[:dimensions]]
        return tuple(found + [()] * (dimensions - len(found)))


def _rank(cascade: Cascade, einsum: Einsum, name: str) -> tuple[str, ...]:
    """The rank of an Einsum that a name of the schedule means: M0 is the innermost part of M, or M where the cascade does not split it."""
    base = base_rank(cascade, name)
    inner = cascade.partition.get(base, (base,))[-1]
    for rank in einsum.ranks:
        if rank in (name, inner) or (rank == base and base not in cascade.partition):
            return (rank,)
    return (base,) if base in cascade.merged(einsum.ranks) else ()


def base_rank(cascade: Cascade, name: str) -> str:
    """The whole rank behind M2, M0 or M."""
    return name if name in cascade.ranks else cascade.whole(name) if cascade.whole(name) != name else name.rstrip("0123456789")


@lru_cache(maxsize=512)
def check_spatial_names(schedule: SpatialSchedule, cascade: Cascade) -> None:
    """Refuse names that the cascade does not know. Raises SpecError with every unknown name at its place in the schedule's file."""
    issues = [schedule.issue(loc, text) for loc, text in _name_faults(schedule, cascade)]
    if issues:
        raise SpecError(issues)


def _name_faults(schedule: SpatialSchedule, cascade: Cascade) -> Iterator[Fault]:
    spec = schedule.spec
    labels, ranks = set(cascade.by_label), set(cascade.ranks)
    planned = {label for _, label in placed(spec)}
    if spec.fusion == "stages" and spec.cascade != cascade.name and planned != labels:
        lacking = ", ".join(sorted(planned - labels)) or "nothing of its own"
        message = f"the stage plan is for cascade {spec.cascade}; {cascade.name} does not compute {lacking}: name a schedule written for it"
        yield (("stages",) if spec.stages else ("phases",)), message
        return
    tensors = labels | set(cascade.inputs)
    where = "" if spec.cascade == cascade.name else f"; the schedule was written for {spec.cascade}"

    def unknown(name: str, known: set[str], what: str) -> str:
        return f"no {what} '{name}' in cascade {cascade.name}{suggest(name, known) or where}"

    for rank in spec.mapping.partitioning:
        if rank not in ranks:
            yield ("mapping", "partitioning", rank), unknown(rank, ranks, "rank")
    for index, name in enumerate(spec.mapping.loop_order):
        if base_rank(cascade, name) not in ranks:
            yield ("mapping", "loop-order", index), unknown(name, ranks, "rank")
    for key, entry in spec.mapping.spacetime.items():
        for field in ("space", "time"):
            for index, name in enumerate(getattr(entry, field)):
                if base_rank(cascade, name) not in ranks:
                    yield ("mapping", "spacetime", key, field, index), unknown(name, ranks, "rank")
    for index, name in enumerate(spec.staged):
        if name not in labels:
            yield ("staged", index), unknown(name, labels, "Einsum")
    for index, chain in enumerate(spec.chained):
        for place, name in enumerate(chain):
            if name not in OPERATIONS:
                yield ("chained", index, place), f"no operation '{name}'{suggest(name, OPERATIONS)}"
    for index, group in enumerate(spec.interleave):
        for place, name in enumerate(group):
            if name not in labels:
                yield ("interleave", index, place), unknown(name, labels, "Einsum")
    if spec.search is not None:
        for index, choice in enumerate(spec.search.location):
            for place, name in enumerate(choice.tensors):
                if name not in tensors:
                    yield ("search", "location", index, "tensors", place), unknown(name, tensors, "tensor")
        for index, name in enumerate(spec.search.weigh):
            if name not in labels:
                yield ("search", "weigh", index), unknown(name, labels, "Einsum")
    if spec.fusion == "stages":
        yield from _plan_faults(schedule, cascade, labels, where)


def _plan_faults(schedule: SpatialSchedule, cascade: Cascade, labels: set[str], where: str) -> Iterator[Fault]:
    """Every Einsum of the cascade stands in the stage plan exactly once."""
    seen: dict[str, tuple[str | int, ...]] = {}
    for loc, label in placed(schedule.spec):
        if label not in labels:
            yield loc, f"no Einsum '{label}' in cascade {cascade.name}{suggest(label, labels) or where}"
        elif label in seen:
            yield loc, f"{label} stands in the stage plan twice"
        seen.setdefault(label, loc)
    missing = [label for label in cascade.by_label if label not in seen]
    if missing:
        yield (("stages",) if schedule.spec.stages else ("phases",)), f"the stage plan leaves out {', '.join(missing)}{where}"


def placed(spec: SpatialScheduleSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every Einsum of the stage plan with its place in the file."""
    for number, phase in enumerate(spec.plan):
        root: tuple[str | int, ...] = ("stages",) if spec.stages else ("phases", number, "stages")
        for index, stage in enumerate(phase.stages):
            for array, members in stage.items():
                for place, label in enumerate(members):
                    yield (*root, index, array, place), label


_cache: dict[int, tuple[Document, SpatialSchedule]] = {}


def is_spatial(document: Document) -> bool:
    """Whether a schedule document is for PE arrays."""
    return isinstance(document.data, dict) and document.data.get("target") == "spatial"


def load_spatial_schedule(ref: library.Ref, *, doc: Document | None = None, loc: Sequence[str | int] = ()) -> SpatialSchedule:
    """The spatial schedule of a library name, a path or an inline mapping. Raises SpecError: unknown name or a mistake in the file."""
    document = library.load("schedule", ref, doc=doc, loc=tuple(loc))
    cached = _cache.get(id(document))
    if cached is not None and cached[0] is document:
        return cached[1]
    if not is_spatial(document):
        message = f"schedule {document.data.get('name', ref)} is for processors, not for PE arrays; attnsim list schedule shows both"
        raise SpecError(doc.issue(tuple(loc), message) if doc is not None else message)
    schedule = SpatialSchedule(validate(SpatialScheduleSpec, document), document)
    load_cascade(schedule.spec.cascade, document, ("cascade",))
    if isinstance(ref, str | Path):
        _cache[id(document)] = (document, schedule)
    return schedule


def load_any_schedule(ref: library.Ref, *, doc: Document | None = None, loc: Sequence[str | int] = ()) -> Schedule | SpatialSchedule:
    """A schedule of either target. Raises SpecError: unknown name or a mistake in the file."""
    if is_spatial(library.load("schedule", ref, doc=doc, loc=tuple(loc))):
        return load_spatial_schedule(ref, doc=doc, loc=loc)
    return load_schedule(ref, doc=doc, loc=loc)
