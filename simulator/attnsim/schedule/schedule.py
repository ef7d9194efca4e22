"""A schedule as the engine uses it: the file plus its conditions compiled, asked about one point at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from attnsim.errors import InfeasibleError, Issue, SpecError
from attnsim.schedule.choice import Choice, Conditional, Entry
from attnsim.schedule.condition import ConditionError, Context, compile_condition, condition_names, holds
from attnsim.spec import library
from attnsim.spec.calibration import KernelConstants
from attnsim.spec.constants import Constants, Overlap
from attnsim.spec.schedule import Loop, ScheduleSpec, Tile
from attnsim.spec.yaml import Document, validate


class _Constant(Conditional, Protocol):
    @property
    def value(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Schedule:
    """A schedule file, its conditions checked; `doc` keeps where each field was written.

    measured: what a machine's file put before the constants of `spec` (`attnsim.schedule.calibrated`).
    """

    spec: ScheduleSpec
    doc: Document
    measured: KernelConstants | None = None
    _choices: dict[int, Choice[Any]] = field(
        default_factory=dict, init=False, repr=False
    )  # by identity of the list, which the choice holds

    def __reduce__(self) -> tuple[type[Schedule], tuple[Any, ...]]:
        """Without what was compiled."""
        return type(self), (self.spec, self.doc, self.measured)

    def _first(self, entries: Sequence[Entry], context: Context) -> Entry | None:
        """The first entry that holds."""
        if not entries or entries[0].when is None:
            return entries[0] if entries else None
        choice = self._choices.get(id(entries))
        if choice is None:
            choice = self._choices[id(entries)] = Choice(entries)
        return choice.first(context)

    @property
    def name(self) -> str:
        """Library name."""
        return self.spec.name

    def __repr__(self) -> str:
        return f"Schedule({self.name}: {', '.join(_loop_text(loop) for loop in self.spec.loops) or 'each Einsum its own kernel'})"

    @cached_property
    def grid(self) -> Loop | None:
        """The parallel loop, or None for an unfused schedule."""
        return next((loop for loop in self.spec.loops if loop.parallel), None)

    @cached_property
    def sequential(self) -> tuple[str, ...]:
        """Ranks walked inside a CTA, outermost first."""
        return tuple(str(loop.rank) for loop in self.spec.loops if loop.sequential)

    def issue(self, loc: Sequence[str | int], message: str) -> Issue:
        """A problem at a place of the schedule's file; without a file position (a Python dict) it names the field only."""
        loc = tuple(loc)
        if any(loc[:length] in self.doc.positions for length in range(1, len(loc) + 1)):
            return self.doc.issue(loc, message)
        return Issue(message, path=".".join(("schedule", *map(str, loc))))

    def tile(self, context: Context) -> Tile:
        """The first row of the tile table that holds.

        Raises:
            InfeasibleError: no row holds for these sizes.
        """
        row = self._first(self.spec.tiles, context)
        if row is not None:
            return row
        raise self._no_tile(context)

    def tile_rows(self, context: Context) -> tuple[Tile, ...]:
        """The rows of the tile table that a kernel may take: all that hold where it takes the fastest, else the first.

        Raises:
            InfeasibleError: no row holds for these sizes.
        """
        if self.spec.tile_rule == "first":
            return (self.tile(context),)
        rows = tuple(row for row in self.spec.tiles if holds(row.when, context))
        if not rows:
            raise self._no_tile(context)
        return rows

    def _no_tile(self, context: Context) -> InfeasibleError:
        shown = ", ".join(f"{name}={context[name]}" for name in ("E", "F", "dtype", "isa") if name in context)
        asked = sorted({name for row in self.spec.tiles if row.when for name in condition_names(row.when) if name not in context})
        why = f": its rows ask for {', '.join(asked)}, which this cascade does not have" if asked else ""
        return InfeasibleError(f"schedule {self.name} has no tile for {shown}{why}; add a row to `tiles`")

    def constant(self, entries: Sequence[_Constant], context: Context, default: float) -> float:
        """The value of the first entry that holds, or `default` for a kernel without this effect."""
        entry = self._first(entries, context)
        return default if entry is None else float(entry.value)

    def tensor_path(self, context: Context) -> str | None:
        """The matrix instruction path on this machine; None: the unit's full rate."""
        choice = self._first(self.spec.tensor_path, context)
        return None if choice is None else choice.value

    def order(self, context: Context) -> str:
        """In which order the CTAs of the grid are handed out."""
        choice = None if self.grid is None else self._first(self.grid.order, context)
        return "launch" if choice is None else choice.value

    def exposed(self, resource: str, context: Context) -> float:
        """Share of a resource's time that stays visible beside the longest one; 0 when the schedule does not say."""
        by_resource = cast("Mapping[str, Sequence[_Constant]]", self.spec.overlap.exposed)
        return self.constant(by_resource.get(resource, ()), context, 0.0)

    def fitted_on(self, context: Context) -> tuple[str, ...]:
        """The rows that the schedule's own constants used for this point were fitted on."""
        return tuple(dict.fromkeys(entry.rows for entry in self._used(context, here=False) if entry.rows))

    def calibrated_on(self, context: Context) -> tuple[str, ...]:
        """The rows that those constants used for this point were fitted on which the machine's file gives, or where else they come from."""
        if self.measured is None:
            return ()
        return tuple(dict.fromkeys(entry.rows or entry.source for entry in self._used(context, here=True)))

    def _used(self, context: Context, here: bool) -> Iterator[Any]:
        """Constants used for a point that were measured on its machine, or those that were not."""
        for entries, own in self._sources:
            entry = self._first(entries, context)
            if entry is not None and (id(entry) in own) == here:
                yield entry

    @cached_property
    def _sources(self) -> tuple[tuple[Sequence[Any], frozenset[int]], ...]:
        """Every list of constants that is not empty, and the identities of those of its entries that were measured on the machine."""
        lists = {} if self.measured is None else constant_lists(self.measured.constants, self.measured.overlap)
        found = constants_of(self.spec).items()
        return tuple((entries, frozenset(map(id, lists.get(loc, ())))) for loc, entries in found if entries)

    def require(self, context: Context, kinds: Iterable[str]) -> None:
        """Refuse machines and workloads the kernel was not written for; kinds: of the masks it has to know.

        Raises:
            InfeasibleError: `requires` does not hold, or the kernel does not know the mask.
        """
        masks = self.spec.masks
        unknown = sorted({*kinds} - {*masks})
        if unknown and "any" not in masks:
            raise InfeasibleError(f"schedule {self.name} knows no {' or '.join(unknown)} mask, only {', '.join(masks)}")
        text = self.spec.requires
        if not holds(text, context):
            raise InfeasibleError(
                f"schedule {self.name} requires {text}; here kind = {context['kind']}, isa = {context['isa']}, dtype = {context['dtype']}"
            )


def _loop_text(loop: Loop) -> str:
    return f"{'x'.join(loop.ranks)} over {loop.parallel}s" if loop.parallel else f"{loop.rank} {loop.sequential}"


def conditions_of(spec: ScheduleSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every condition text of a schedule with its place in the file."""
    if spec.requires is not None:
        yield ("requires",), spec.requires
    if spec.pack_groups not in ("never", "always", "efficient"):
        yield ("pack_groups",), spec.pack_groups
    if spec.split is not None and spec.split.when is not None:
        yield ("split", "when"), spec.split.when
    choices: dict[tuple[str | int, ...], Sequence[Any]] = {
        ("tiles",): spec.tiles,
        ("tile_choices",): spec.tile_choices,
        ("tensor_path",): spec.tensor_path,
    }
    choices.update({("loops", index, "order"): loop.order for index, loop in enumerate(spec.loops)})
    for loc, entries in choices.items():
        for index, choice in enumerate(entries):
            if choice.when is not None:
                yield (*loc, index, "when"), choice.when
    for name in ("before", "after"):
        for index, helper in enumerate(getattr(spec, name)):
            if helper.when is not None:
                yield (name, index, "when"), helper.when
    groups = constants_of(spec)
    for loc, entries in groups.items():
        for index, entry in enumerate(entries):
            if entry.when is not None:
                yield (*loc, index, "when"), entry.when


def constants_of(spec: ScheduleSpec) -> dict[tuple[str | int, ...], Sequence[Any]]:
    """Every list of constants of a schedule by its place in the file."""
    groups = constant_lists(spec.constants, spec.overlap)
    if spec.permute is not None:
        groups["permute", "memory_efficiency"] = spec.permute.memory_efficiency
    return groups


def constant_lists(constants: Constants, overlap: Overlap) -> dict[tuple[str | int, ...], Sequence[Any]]:
    """Every list of constants by its place below the schedule, or below its entry in an arch file."""
    groups: dict[tuple[str | int, ...], Sequence[Any]] = {}
    groups.update({("overlap", "exposed", name): entries for name, entries in overlap.exposed.items()})
    groups.update({("constants", "executed", name): entries for name, entries in constants.executed.items()})
    groups.update({("constants", name): getattr(constants, name) for name in Constants.model_fields if name != "executed"})
    return groups


def build(doc: Document) -> Schedule:
    """Validate a schedule document and compile its conditions.

    Raises:
        SpecError: with file, line and column of every mistake.
    """
    if doc.data.get("target") == "spatial":
        message = f"schedule {doc.data.get('name', '')} is for PE arrays, not for processors; attnsim list schedule shows both"
        raise SpecError(doc.issue(("target",), message))
    spec = validate(ScheduleSpec, doc)
    issues: list[Issue] = []
    for loc, text in conditions_of(spec):
        try:
            compile_condition(text)
        except ConditionError as error:
            issues.append(doc.issue(loc, str(error)))
    if issues:
        raise SpecError(issues)
    return Schedule(spec, doc)


# Documents of library files are cached by the library, so their identity stands for their content.
_cache: dict[int, tuple[Document, Schedule]] = {}


def load_schedule(ref: library.Ref, *, doc: Document | None = None, loc: Sequence[str | int] = ()) -> Schedule:
    """The schedule of a library name, a path or an inline mapping (``{extends: natten-hopper, tiles: ...}``).

    `doc` and `loc` say where the reference was written, so that an unknown name is reported there.

    Raises:
        SpecError: unknown name or a mistake in the file.
    """
    document = library.load("schedule", ref, doc=doc, loc=tuple(loc))
    cached = _cache.get(id(document))
    if cached is not None and cached[0] is document:
        return cached[1]
    schedule = build(document)
    if isinstance(ref, str | Path):
        _cache[id(document)] = (document, schedule)
    return schedule
