"""From the text of a cascade to resolved Einsums in the order they run; every mistake is collected with its place in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from attnsim.cascade.access import Declared, Names, declare, walked
from attnsim.cascade.einsum import Einsum, Mode, Space, TensorRef, operations
from attnsim.cascade.grammar import Access, Constant, Equation, ExpressionError, accesses, parse_equation
from attnsim.cascade.order import Reads, find_cycle, run_order
from attnsim.errors import Issue, SpecError, suggest
from attnsim.spec.cascade import CascadeSpec

Place: TypeAlias = tuple[str | int, ...]
Affine: TypeAlias = tuple[str, tuple[tuple[int, str], ...], int]


@dataclass(frozen=True, slots=True)
class Built:
    """What Cascade.from_spec needs: see the fields of Cascade."""

    ranks: tuple[str, ...]
    batch: tuple[str, ...]
    groups: dict[str, str]
    inputs: dict[str, tuple[str, ...]]
    outputs: tuple[str, ...]
    einsums: tuple[Einsum, ...]
    tensor_ranks: dict[str, tuple[str, ...]]
    affine: tuple[Affine, ...]


def build(spec: CascadeSpec, issue: Callable[[Place, str], Issue]) -> Built:
    """Resolve a spec. Raises SpecError with all the issues of the stage that found some; `issue` gives each its place."""
    return _Builder(spec, issue).build()


@dataclass(frozen=True, slots=True)
class _Line:
    place: Place
    text: str  # as written: columns of errors count its characters
    equation: Equation

    @property
    def label(self) -> str:
        return self.equation.output.name


@dataclass(frozen=True, slots=True)
class _Read:
    """One tensor on the right side of an equation: how it is written, the ranks it walks, the coordinate it reads."""

    access: Access
    ranks: tuple[str, ...]
    mode: Mode

    @property
    def name(self) -> str:
        return self.access.name


Walks: TypeAlias = Mapping[str, Sequence[_Read]]


class _Builder:
    def __init__(self, spec: CascadeSpec, issue: Callable[[Place, str], Issue]) -> None:
        self.spec = spec
        self.issue = issue
        self.issues: list[Issue] = []

    def build(self) -> Built:
        self._check_ranks()
        self._stop()
        lines = [*self._parse("body", self.spec.body), *self._parse("finally", self.spec.finally_)]
        initial = self._parse("init", self.spec.init)
        self._stop()
        declared = self._declare(lines)
        self._stop()
        walks = {line.label: self._walk(line, declared) for line in lines}
        self._check_init(initial, lines, declared, walks)
        self._stop()
        reads = {label: [(read.name, read.mode) for read in walk] for label, walk in walks.items()}
        self._check_use(lines, initial, reads)
        self._check_cycles(lines, declared, reads)
        self._stop()
        batch = self._batches(reads)
        by_label = {line.label: line for line in lines}
        einsums = [self._einsum(by_label[label], declared, walks[label], batch) for label in run_order(reads)]
        self._stop()
        merged = {name: self._merged(batch[name], declared[name]) for name in declared}
        inputs = {name: tuple(ranks) for name, ranks in self.spec.inputs.items()}
        return Built(self.ranks, tuple(self.spec.batch), self.groups, inputs, self._outputs(reads),
                     tuple(e for e in einsums if e is not None), merged, self._affine(lines, declared))  # fmt: skip

    def _fail(self, place: Place, message: str) -> None:
        self.issues.append(self.issue(place, message))

    def _wrong(self, line: _Line, error: ExpressionError) -> None:
        self._fail(line.place, error.within(line.text))

    def _stop(self) -> None:
        if self.issues:
            raise SpecError(self.issues)

    def _check_ranks(self) -> None:
        spec = self.spec
        self.groups = dict(spec.groups)
        if "groups" not in spec.model_fields_set and "H" in spec.batch and any("G" in ranks for ranks in spec.inputs.values()):
            self.groups = {"G": "H"}
        parts = [part for children in spec.partition.values() for part in children]
        known = dict.fromkeys([*spec.ranks, *self.groups, *parts])
        for rank in known:
            if not (rank.isidentifier() and rank[0].isupper()):
                self._fail(("ranks", rank), f"'{rank}' cannot be a rank; a rank starts with an upper-case letter, as M or M1")
        self._twice(("ranks",), [rank.lower() for rank in known], "two ranks have the variable")
        for field, names in (("batch", spec.batch), ("positions", spec.positions)):
            for i, rank in enumerate(names):
                self._known((field, i), rank, spec.ranks)
        if spec.positions and (len(set(spec.positions)) != 2 or set(spec.positions) & set(spec.batch)):
            self._fail(("positions",), "positions takes a query rank and a key rank, such as [P, M], or [] where no mask applies")
        for group, heads in self.groups.items():
            if heads not in spec.batch:
                self._fail(("groups", group), f"{group} groups {heads}, which is not a batch rank")
        for rank, children in spec.partition.items():
            self._known(("partition", rank), rank, spec.ranks)
            if len(children) < 2 or rank in spec.batch or rank in parts:
                self._fail(
                    ("partition", rank), f"a partition splits a rank of the equations into two or more, as {{{rank}: [{rank}1, {rank}0]}}"
                )
        self._twice(("partition",), parts, "a partition names twice the rank")
        for name, ranks in spec.inputs.items():
            for i, rank in enumerate(ranks):
                self._known(("inputs", name, i), rank, known)
            self._twice(("inputs", name), [self.groups.get(rank, rank) for rank in ranks], f"{name} has twice the rank")
        order = [part for rank in spec.ranks for part in (rank, *spec.partition.get(rank, ()))]
        hidden = {*spec.batch, *self.groups}
        self.ranks = tuple(dict.fromkeys(rank for rank in order if rank not in hidden))
        self.names = Names(self.ranks, frozenset(hidden), {rank: tuple(children) for rank, children in spec.partition.items()})

    def _known(self, place: Place, rank: str, known: Iterable[str]) -> None:
        if rank not in known:
            self._fail(place, f"unknown rank '{rank}'{suggest(rank, known)}; the ranks are {', '.join(known)}")

    def _twice(self, place: Place, names: list[str], message: str) -> None:
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            self._fail(place, f"{message} '{name}'")

    def _parse(self, field: str, texts: list[str]) -> list[_Line]:
        lines = []
        for i, text in enumerate(texts):
            try:
                lines.append(_Line((field, i), text, parse_equation(text)))
            except ExpressionError as error:
                self._fail((field, i), error.within(text))
        return lines

    def _declare(self, lines: list[_Line]) -> dict[str, Declared]:
        declared = {
            name: Declared(tuple(rank for rank in ranks if rank not in self.names.batch)) for name, ranks in self.spec.inputs.items()
        }
        first: dict[str, str] = {}
        for line in lines:
            output = line.equation.output
            if output.name in self.spec.inputs:
                self._fail(line.place, f"{output.name} is an input and cannot be defined by an equation")
            elif output.name in first:
                self._fail(line.place, f"{output.name} is defined twice; first by '{first[output.name]}'")
            else:
                first[output.name] = line.equation.text
                try:
                    declared[output.name] = declare(output, self.names)
                except ExpressionError as error:
                    self._wrong(line, error)
        for name, group in self.spec.shared.items():
            if name not in first or group not in self.groups:
                self._fail(
                    ("shared", name),
                    f"shared gives a computed tensor its group rank; the group ranks are: {', '.join(self.groups) or 'none'}",
                )
        return declared

    def _walk(self, line: _Line, declared: Mapping[str, Declared]) -> list[_Read]:
        found = []
        for access in accesses(line.equation.expression):
            try:
                if access.name not in declared:
                    raise ExpressionError(
                        f"'{access.name}' is neither an input nor defined by an equation{suggest(access.name, declared)}", access.column
                    )
                ranks, mode = walked(access, declared[access.name], self.names)
                found.append(_Read(access, ranks, mode))
            except ExpressionError as error:
                self._wrong(line, error)
        used = {rank for read in found for rank in read.ranks} | set(declared[line.label].ranks)
        for rank, parts in self.names.partition.items():
            if rank in used and used & set(parts):
                self._fail(line.place, f"rank {rank} is walked whole and in parts by one equation: '{line.equation.text}'")
        return found

    def _check_init(self, initial: list[_Line], lines: list[_Line], declared: Mapping[str, Declared], walks: Walks) -> None:
        started: set[str] = set()
        for line in initial:
            output, value = line.equation.output, line.equation.expression
            target = declared.get(output.name, Declared(()))
            if not target.iterative:
                self._fail(line.place, f"{output.name} is not iterative: no equation defines it at a coordinate such as m1+1")
                continue
            if output.name in started:
                self._fail(line.place, f"{output.name} is initialised twice")
            started.add(output.name)
            shape = [("0" if rank == target.iterative else rank.lower()) for rank in target.ranks]
            if [str(index) for index in output.indices] != shape:
                self._fail(line.place, f"write {output.name}[{','.join(shape)}], not {output}")
            if line.equation.reductions or not (
                isinstance(value, Constant) or (isinstance(value, Access) and value.name in self.spec.inputs)
            ):
                self._fail(line.place, f"{output.name} must start from a number, -inf, or an input tensor")
        for line in lines:
            for name in dict.fromkeys(read.name for read in walks[line.label] if read.mode == "previous"):
                if name not in started:
                    started.add(name)
                    self._fail(line.place, f"{line.label} reads {name} at its previous coordinate, but init does not start {name}")

    def _check_use(self, lines: list[_Line], initial: list[_Line], reads: Reads) -> None:
        read = {name for label, operands in reads.items() for name, _ in operands if name != label}
        read |= {access.name for line in initial for access in accesses(line.equation.expression)}
        for name in self.spec.inputs:
            if name not in read:
                self._fail(("inputs", name), f"input {name} is never used")
        for i, name in enumerate(self.spec.outputs):
            if name not in reads:
                self._fail(("outputs", i), f"output '{name}' is not defined by an equation{suggest(name, reads)}")
        for line in lines:
            if self.spec.outputs and line.label not in read and line.label not in self.spec.outputs:
                self._fail(line.place, f"{line.label} is computed, but neither read nor an output")

    def _check_cycles(self, lines: list[_Line], declared: Mapping[str, Declared], reads: Reads) -> None:
        cycle = find_cycle(
            reads, {name: shape.ranks for name, shape in declared.items()}, {name: shape.iterative for name, shape in declared.items()}
        )
        if cycle:
            place = next(line.place for line in lines if line.label == cycle[0])
            self._fail(place, f"cyclic cascade: {' needs '.join(cycle)}")

    def _outputs(self, reads: Reads) -> tuple[str, ...]:
        read = {name for label, operands in reads.items() for name, _ in operands if name != label}
        return tuple(self.spec.outputs) or tuple(name for name in reads if name not in read)

    def _batches(self, reads: Reads) -> dict[str, Space]:
        """Batch and group ranks of every tensor: those of its operands together, a group rank giving way to the heads it groups."""
        batch: dict[str, Space] = {name: frozenset(ranks) & self.names.batch for name, ranks in self.spec.inputs.items()}
        batch |= dict.fromkeys(reads, frozenset())
        changed = True
        while changed:  # an iterative tensor is among its own operands; the sets only grow
            changed = False
            for label, operands in reads.items():
                whole = self._iterated(batch[name] for name, _ in operands)
                if group := self.spec.shared.get(label):
                    whole = whole - {self.groups[group]} | {group}
                changed |= whole != batch[label]
                batch[label] = whole
        return batch

    def _iterated(self, operands: Iterable[Space]) -> Space:
        whole = frozenset[str]().union(*operands)
        return whole - {group for group, heads in self.groups.items() if heads in whole}

    def _ordered(self, space: Space) -> tuple[str, ...]:
        slots = [rank for heads in self.spec.batch for rank in (heads, *(group for group, of in self.groups.items() if of == heads))]
        return tuple(rank for rank in (*slots, *self.ranks) if rank in space)

    def _einsum(self, line: _Line, declared: Mapping[str, Declared], walk: Sequence[_Read], batch: Mapping[str, Space]) -> Einsum | None:
        equation, label = line.equation, line.label
        target = declared[label]
        iterated = self._iterated(batch[read.name] for read in walk)
        spaces = {id(read.access): frozenset(read.ranks) | self._lifted(batch[read.name], iterated) for read in walk}
        kept = frozenset(target.ranks) | (batch[label] & iterated)
        try:
            terms, reductions = operations(equation, kept, lambda access: spaces[id(access)], self.names.rank_of, self._ordered)
        except ExpressionError as error:
            self._wrong(line, error)
            return None
        operands = dict.fromkeys(
            TensorRef(
                read.name,
                self._ordered(frozenset(read.ranks) | batch[read.name]),
                str(read.access),
                read.mode,
                declared[read.name].iterative,
            )
            for read in walk
        )
        mode: Mode = "current" if target.iterative else "plain"
        output = TensorRef(label, self._ordered(frozenset(target.ranks) | batch[label]), str(equation.output), mode, target.iterative)
        whole = self._ordered(frozenset().union(*spaces.values()))
        return Einsum(label, equation.text, output, tuple(operands), reductions, whole, terms)

    def _lifted(self, batch: Space, iterated: Space) -> Space:
        """Batch ranks of an operand as the equation iterates them: K of group g is read for every head of the group."""
        return frozenset(self.groups[rank] if rank in self.groups and rank not in iterated else rank for rank in batch)

    def _merged(self, batch: Space, declared: Declared) -> tuple[str, ...]:
        """Full ranks of a tensor: partitions merged back, the iterative rank dropped."""
        ranks = [rank for rank in declared.ranks if rank != declared.iterative]
        for whole, parts in self.names.partition.items():
            if set(parts) <= set(ranks):
                at = ranks.index(parts[0])
                ranks = [rank for rank in ranks if rank not in parts]
                ranks.insert(at, whole)
        return (*self._ordered(batch), *ranks)

    def _affine(self, lines: list[_Line], declared: Mapping[str, Declared]) -> tuple[Affine, ...]:
        """(rank, ((factor, walked rank), ...), offset) for every index that reaches beyond one variable; resolve_sizes checks they fit."""
        found: dict[Affine, None] = {}
        for line in lines:
            for access in accesses(line.equation.expression):
                ranks = declared[access.name].ranks
                if len(ranks) != len(access.indices):
                    continue
                for rank, index in zip(ranks, access.indices, strict=True):
                    if rank != declared[access.name].iterative and not index.final and (not index.variable or index.offset):
                        found[rank, tuple((factor, self.names.rank_of[variable]) for factor, variable in index.terms), index.offset] = None
        return tuple(found)
