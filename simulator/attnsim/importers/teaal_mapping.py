"""The `mapping:` of a TeAAL file: per Einsum there, one for all Einsums in attnsim."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from attnsim.errors import suggest
from attnsim.importers.common import Source
from attnsim.importers.documents import Line
from attnsim.spec.scan import Loc

_MAPPING: Final = ("rank-order", "partitioning", "loop-order", "spacetime")
_PARTS: Final[Mapping[str, str]] = {
    "uniform_occupancy": "it cuts by the number of nonzeros, and attnsim computes on dense tensors; write uniform_shape(n)",
    "flatten": "attnsim flattens no ranks; partition each of them, as uniform_shape(n)",
    "nway_shape": "write the size of a part, as uniform_shape(n), instead of their number",
}


class TeaalMapping:
    """The mapping of a file, checked against its Einsums.

    rank_of: variable to rank. batch: ranks that attnsim walks outside everything else. unread: tensors whose Einsum may have a mistake, so
    that their ranks are not known.
    """

    def __init__(
        self, source: Source, lines: Sequence[Line], rank_of: Mapping[str, str], batch: Sequence[str], unread: Sequence[str] = ()
    ) -> None:
        self.source = source
        self.unread = unread
        self.batch = batch
        self.ranks = {line.label: [rank_of.get(name, name.upper()) for name in line.variables] for line in lines}
        self.parts: dict[str, list[str]] = {}
        self.first: dict[str, str] = {}
        self.doubtful: set[str] = set()
        self.orders: dict[str, list[str]] = {}
        self.space: dict[str, list[str]] = {}
        for key in source.mapping(("mapping",)):
            if key not in _MAPPING:
                hint = "; it is called spacetime" if key == "display" else suggest(key, _MAPPING)
                source.fail(("mapping", key), f"`mapping:` has no part '{key}'{hint}; its parts are {', '.join(_MAPPING)}")
        if source.value(("mapping", "rank-order")):
            source.note("rank-order is left out: how a dense tensor is laid out in memory changes no result")
        self._partition(set(rank_of.values()))
        for label, loc in self._by_einsum("loop-order"):
            given = source.words(loc)
            if self._check_loops(label, loc, given, "loop-order"):
                self.orders[label] = given
        for label, loc in self._by_einsum("spacetime"):
            self._spacetime(label, loc)
        self.merged = self._merged()

    def content(self, positions: Sequence[str]) -> dict[str, Any]:
        """The mapping in attnsim's words; empty where the file says nothing that attnsim uses."""
        content: dict[str, Any] = {}
        if self.parts:
            content["partitioning"] = self.parts
        tiles = {name for rank in positions for name in _names(rank, self.parts.get(rank, []))[:-1]}
        order = [name for name in self.merged if name in tiles]
        if order and set(order) == tiles and all(rank in self.parts for rank in positions):
            content["loop-order"] = order
        elif self.merged:
            what = f"tiles of both {' and '.join(positions)}" if positions else "tiles of queries and keys, and there are none"
            self.source.note(f"loop-order is left out: in attnsim it orders the {what}; all other loops are found by search")
        if any(self.space.values()):
            content["spacetime"] = {label: {"space": ranks} for label, ranks in self.space.items() if ranks}
        return content

    def _by_einsum(self, part: str) -> Iterator[tuple[str, Loc]]:
        for label, value in self.source.mapping(("mapping", part)).items():
            loc: Loc = ("mapping", part, label)
            if label not in self.ranks and label not in self.unread:
                self.source.fail(loc, f"no Einsum computes '{label}'{suggest(label, self.ranks)}")
            elif value is not None:
                yield label, loc

    def _partition(self, ranks: set[str]) -> None:
        own: dict[str, set[str]] = {}
        for label, loc in self._by_einsum("partitioning"):
            faults = len(self.source.issues)
            for rank in self.source.mapping(loc):
                parts = self._parts(label, rank, (*loc, rank), ranks)
                if label not in self.ranks:
                    continue
                own.setdefault(rank, set()).add(label)
                if parts and self.parts.setdefault(rank, parts) != parts:
                    already = f"{self.first[rank]} partitions {rank} as [{', '.join(self.parts[rank])}]"
                    self.source.fail((*loc, rank), f"{already}, and attnsim partitions a rank once, for all Einsums; write the same here")
                elif parts:
                    self.first.setdefault(rank, label)
            if len(self.source.issues) > faults:
                self.doubtful.add(label)
        for rank in self.parts:
            others = [label for label, walked in self.ranks.items() if rank in walked and label not in own[rank]]
            if others:
                self.source.note(f"{rank} is partitioned for every Einsum that walks it, so for {', '.join(others)} too")

    def _parts(self, label: str, rank: str, loc: Loc, ranks: set[str]) -> list[str]:
        """The parts of a rank as attnsim writes them; none after a mistake."""
        if "(" in rank:
            self.source.fail(loc, f"flatten() of {rank} is not imported: {_PARTS['flatten']}")
            return []
        if label in self.ranks and (rank not in self.ranks[label] or rank in self.batch):
            why = "is a batch rank, which attnsim does not partition" if rank in self.batch else f"is no rank of {label}"
            self.source.fail(loc, f"{rank} {why}; its ranks are {', '.join(name for name in self.ranks[label] if name not in self.batch)}")
            return []
        found = []
        for index, text in enumerate(self.source.words(loc)):
            call = re.fullmatch(r"\s*(\w+)\s*\(\s*([^()]*?)\s*\)\s*", text)
            if call and call[1] == "uniform_shape" and call[2].isdigit() and int(call[2]) > 0:
                found.append(f"uniform_shape({int(call[2])})")
                continue
            kind = call[1] if call else ""
            right = _PARTS.get(kind, "write uniform_shape(n) with the size of a part as a number")
            self.source.fail((*loc, index), f"{kind + '()' if kind in _PARTS else repr(text)} is not imported: {right}")
            return []
        clash = [name for name in _names(rank, found) if name in ranks]
        if found and clash:
            self.source.fail(loc, f"a part of {rank} would be called {clash[0]}, which is a rank of its own; rename that rank")
        return [] if clash else found

    def _loops(self, label: str) -> list[str]:
        return [name for rank in self.ranks[label] for name in (_names(rank, self.parts[rank]) if rank in self.parts else [rank])]

    def _check_loops(self, label: str, loc: Loc, given: list[str], what: str) -> bool:
        """Whether the loops of an Einsum are known, and these are they."""
        if label not in self.ranks or label in self.doubtful:
            return False
        expected = self._loops(label)
        if sorted(given) == sorted(expected):
            return True
        foreign = [
            f"{rank} is partitioned, by {first}" for rank, first in self.first.items() if rank in self.ranks[label] and rank in given
        ]
        hint = f" ({', '.join(foreign)}, for every Einsum)" if foreign else ""
        self.source.fail(
            loc, f"{what} must list the loops of {label} once each, {', '.join(expected)}{hint}; not {', '.join(given) or 'none'}"
        )
        return False

    def _spacetime(self, label: str, loc: Loc) -> None:
        for key in self.source.mapping(loc):
            if key not in ("space", "time"):
                self.source.fail((*loc, key), f"'{key}' of spacetime is not imported; attnsim has space, and time by the loop-order")
        space, time = ([re.sub(r"\.(pos|coord)$", "", name) for name in self.source.words((*loc, key))] for key in ("space", "time"))
        if len(space) > 2:
            self.source.fail((*loc, "space"), f"{len(space)} ranks in space; an array has two dimensions: put at most two there")
        if not self._check_loops(label, loc, space + time, "space and time together"):
            return
        order = [name for name in self.orders.get(label, []) if name in time]
        if order and order != time:
            self.source.fail((*loc, "time"), f"the loop-order of {label} walks {', '.join(order)} in time; list them in that order")
        for index, name in enumerate(space):
            whole = next((rank for rank in self.parts if name in _names(rank, self.parts[rank])), name)
            if whole in self.batch:
                self.source.fail(
                    (*loc, "space", index), f"{name} is a batch rank (on both operands and the result), which runs in time only"
                )
            elif name not in (f"{whole}0", whole):
                self.source.fail(
                    (*loc, "space", index), f"attnsim unrolls the innermost part of a rank in space; write {whole}0, not {name}"
                )
        self.space[label] = space[:2]
        if not space:
            self.source.note(f"{label} has nothing in space, and attnsim then picks what an array unrolls")

    def _merged(self) -> list[str]:
        """One order of all loops in time that every Einsum's own order agrees with."""
        after: dict[str, set[str]] = {}
        seen: dict[str, list[str]] = {}
        merged: list[str] = []
        for label, order in self.orders.items():
            loops = [name for name in order if name not in self.space.get(label, []) and name not in self.batch]
            against = next((other for other, there in seen.items() if _common(loops, there) != _common(there, loops)), "")
            seen[label] = loops
            for outer, inner in zip(["", *loops], loops, strict=False):
                after.setdefault(inner, set()).update({outer} - {""})
            try:
                merged = list(TopologicalSorter({name: sorted(after[name], key=list(after).index) for name in after}).static_order())
            except CycleError:
                earlier = (
                    f"{against} has {', '.join(_common(seen[against], loops))}" if against else f"{', '.join(seen)} contradict one another"
                )
                message = f"loop-order differs between Einsums: {earlier}; attnsim has one order of loops for all"
                self.source.fail(("mapping", "loop-order", label), message)
                return []
        return merged


def _names(rank: str, parts: Sequence[str]) -> list[str]:
    """What the parts of a rank are called, outermost first: n cuts make Mn to M0."""
    return [f"{rank}{number}" for number in range(len(parts), -1, -1)]


def _common(loops: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in loops if name in others]
