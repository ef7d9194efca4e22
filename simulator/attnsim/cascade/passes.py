"""How often the fibers of a rank must be traversed, read off the equations.

A pass is one traversal of a whole R-fiber. A new pass starts where an Einsum walks a fiber again and needs a value that exists only after
every element of that same fiber was read (arXiv 2406.10491, section III-A). Two fibers that merely share the rank's name do not wait for
each other, so every tensor carries, for each input fiber it descends from, how far the traversal of that fiber has come:

    2k      it is produced while pass k streams by
    2k + 1  it exists only at the end of pass k

An Einsum that walks the fiber and reads something of level 2k+1 sits in pass k+1. A tensor indexed by an outer part or by the iterative
coordinate of the rank depends on a prefix and still streams; the final coordinate (RD[M1]) exists only at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from attnsim.cascade.einsum import Einsum, TensorRef
from attnsim.errors import SpecError, suggest

if TYPE_CHECKING:
    from attnsim.cascade.cascade import Cascade

ALL = "*"
"""The one root of a trace that takes all fibers of the rank for the same."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """Why a pass starts: `einsum` walks `rereads` again and needs `waits_for`, complete only after pass `starts` - 1."""

    einsum: str
    starts: int
    rank: str
    waits_for: str
    rereads: str

    def __str__(self) -> str:
        needs = f"needs {self.waits_for}, complete only at the end of pass {self.starts - 1}"
        return f"pass {self.starts} over {self.rank} starts at {self.einsum}: it walks {self.rereads} again and {needs}"


@dataclass(frozen=True, slots=True)
class PassPlan:
    """The passes over one rank.

    `pass_of` is the pass each Einsum runs in, or at the end of. Einsums of one `stage` may be fused on the rank; stages also count waits
    between different fibers, which cost no second traversal. `boundaries` say why each new pass starts.
    """

    rank: str
    count: int
    pass_of: Mapping[str, int]
    stage_of: Mapping[str, int]
    boundaries: tuple[Boundary, ...]

    def __repr__(self) -> str:
        return "\n".join(
            [f"{self.count} pass{'es' if self.count != 1 else ''} over {self.rank}", *(f"  {boundary}" for boundary in self.boundaries)]
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """Levels (see the module text) by tensor and root: `made` when a tensor exists, `ran` when its Einsum runs."""

    family: tuple[str, ...]
    made: Mapping[str, Mapping[str, int]]
    ran: Mapping[str, Mapping[str, int]]
    walks: Mapping[str, bool]

    def pass_of(self, label: str) -> int:
        """The pass an Einsum runs in, or at the end of (at least 1)."""
        return max([level // 2 for level in self.ran[label].values()], default=1)


@lru_cache(maxsize=1024)
def pass_plan(cascade: Cascade, rank: str) -> PassPlan:
    """The passes over a rank (the whole rank, not a part). Raises SpecError for a rank the cascade does not have."""
    if rank not in cascade.ranks or rank in cascade.batch:
        known = [name for name in cascade.ranks if name not in cascade.batch]
        raise SpecError(f"cascade {cascade.name} has no rank '{rank}' to pass over{suggest(rank, known)}; its ranks are {', '.join(known)}")
    family = cascade.partition.get(rank, (rank,))
    exact = trace(cascade, family)
    # Only what walks R in full traverses a fiber; the rest touches O(M1) data between two passes.
    count = max([exact.pass_of(label) for label, walks in exact.walks.items() if walks], default=0)
    whole = trace(cascade, family, one_fiber=True)
    labels = [einsum.label for einsum in cascade.einsums]
    return PassPlan(
        rank,
        count,
        MappingProxyType({label: exact.pass_of(label) for label in labels}),
        MappingProxyType({label: whole.pass_of(label) for label in labels}),
        _boundaries(cascade, rank, exact),
    )


def trace(cascade: Cascade, family: tuple[str, ...], one_fiber: bool = False) -> Trace:
    """Follow every fiber of a rank (`family`: its parts, outer to inner) through the cascade.

    With the inner part alone as family, the trace says what happens inside one tile. `one_fiber` takes all fibers of the rank for the same.
    """
    made: dict[str, dict[str, int]] = {einsum.label: {} for einsum in cascade.einsums}
    ran: dict[str, dict[str, int]] = {}
    walks = {einsum.label: family[-1] in einsum.ranks for einsum in cascade.einsums}
    changed = True
    while changed:  # a second round sees what the first carried around an iteration; levels only grow, and by at most one step a tensor
        changed = False
        for einsum in cascade.einsums:
            levels = [_read(operand, made, family, one_fiber) for operand in einsum.operands]
            ran[einsum.label], result = _step(einsum, levels, family, walks[einsum.label], one_fiber)
            changed |= result != made[einsum.label]
            made[einsum.label] = result
    return Trace(family, made, ran, walks)


def _read(operand: TensorRef, made: Mapping[str, Mapping[str, int]], family: tuple[str, ...], one_fiber: bool) -> Mapping[str, int]:
    """Levels of an operand as this Einsum sees it."""
    touches = not set(family).isdisjoint(operand.ranks)
    if operand.name not in made:
        return {ALL if one_fiber else operand.name: 2} if touches else {}
    if operand.iterative in family:
        levels = made[operand.name]
        return {root: level | 1 for root, level in levels.items()} if operand.mode == "final" else levels
    if operand.mode == "previous":  # the result of an earlier iteration over another rank: a fiber of its own
        return {ALL if one_fiber else f"{operand.name} (previous)": 2} if touches else {}
    return made[operand.name]


def _step(
    einsum: Einsum, operands: list[Mapping[str, int]], family: tuple[str, ...], walks: bool, one_fiber: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """(levels at which the Einsum runs, levels of its result)."""
    latest: dict[str, int] = {}
    for levels in operands:
        for root, level in levels.items():
            latest[root] = max(level, latest.get(root, 0))
    if walks:
        walked = {
            root
            for operand, levels in zip(einsum.operands, operands, strict=True)
            if family[-1] in operand.ranks
            for root, level in levels.items()
            if level % 2 == 0
        }
        if not walked:  # the fiber begins here
            root = ALL if one_fiber else einsum.label
            walked = {root}
            latest.setdefault(root, 2)
        for root in walked:
            latest[root] += latest[root] % 2
    keeps = not set(family).isdisjoint(einsum.output.ranks)
    return latest, {root: level if keeps else level | 1 for root, level in latest.items()}


def _boundaries(cascade: Cascade, rank: str, exact: Trace) -> tuple[Boundary, ...]:
    found: dict[int, Boundary] = {}
    family = exact.family
    for einsum in cascade.einsums:
        start = exact.pass_of(einsum.label)
        if not exact.walks[einsum.label] or start in found:
            continue
        levels = [(operand, _read(operand, exact.made, family, False)) for operand in einsum.operands]
        for root, level in exact.ran[einsum.label].items():
            waits = [operand.name for operand, seen in levels if seen.get(root, 0) == level - 1]
            again = [operand.name for operand, seen in levels if family[-1] in operand.ranks and seen.get(root, 0) < level - 1]
            if level == 2 * start and waits and again and not any(seen.get(root, 0) == level for _, seen in levels):
                found[start] = Boundary(einsum.label, start, rank, " and ".join(dict.fromkeys(waits)), " and ".join(dict.fromkeys(again)))
                break
    return tuple(found[start] for start in sorted(found))
