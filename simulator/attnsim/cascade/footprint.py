"""What must stay live while a fiber is traversed: lower bounds that hold for every mapping.

A tensor that a later pass reads again must be kept for a whole fiber, or spilled and reloaded; one that its own pass consumes streams
through in a tile (arXiv 2406.10491, section III-B). Which is which follows from the levels of passes.py: kept if some consumer runs at a
later level than the tensor was made at, for a fiber that the tensor streams along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from attnsim.cascade.numbers import Number, product
from attnsim.cascade.passes import Trace, pass_plan, trace

if TYPE_CHECKING:
    from attnsim.cascade.cascade import Cascade

Role: TypeAlias = Literal["fiber", "state", "stream"]


@dataclass(frozen=True, slots=True)
class Live:
    """The live words of one tensor, per live query row (per live coordinate of the other position rank), per batch element and head.

    `fiber`: kept for a whole fiber of the rank, because a later pass reads it again; `state`: does not grow with the rank (accumulators,
    running values, the row of an input); `stream`: a tile that comes and goes, `ranks` giving its least size. `shared` tensors have no
    query rank: one copy serves all rows. `replaces` names the tensor whose place this one takes, as it is made element by element
    while the other one dies.
    """

    tensor: str
    role: Role
    ranks: tuple[str, ...]
    shared: bool = False
    replaces: str = ""

    def words(self, sizes: Mapping[str, Number]) -> Number:
        """Words for sizes of resolve_sizes: the product over `ranks`."""
        return product(sizes[rank] for rank in self.ranks)

    @property
    def formula(self) -> str:
        """The words as text, such as `M` or `E*M0`."""
        return "*".join(self.ranks) or "1"


@lru_cache(maxsize=1024)
def live_footprints(cascade: Cascade, rank: str | None = None) -> Mapping[str, Live]:
    """Lower bound of every tensor while `rank` is traversed (default: the key rank, or the rank with the most passes).

    Raises SpecError for a rank the cascade does not have.
    """
    rank = _default_rank(cascade) if rank is None else rank
    pass_plan(cascade, rank)  # checks the rank
    family = cascade.partition.get(rank, (rank,))
    across, inside = trace(cascade, family), trace(cascade, family[-1:])
    rows = next((other for other in cascade.positions if other != rank), "")
    found: dict[str, Live] = {}
    for name in (*cascade.inputs, *(einsum.label for einsum in cascade.einsums)):
        found[name] = _live(cascade, name, rank, rows, across, inside)
    for name, kept in _replacements(cascade, found).items():
        live = found[name]
        found[name] = Live(name, live.role, live.ranks, live.shared, kept)
    return MappingProxyType(found)


def footprint_words(cascade: Cascade, sizes: Mapping[str, Number], rank: str | None = None, rows: Number = 1) -> Number:
    """Words that must be live at once for `rows` query rows of one batch element and head: fibers and state, without the streaming tiles.

    A tensor that takes the place of one that dies counts once, so the 3-pass cascade keeps M words a row, not 2*M. The order of growth is
    that of the paper: M for several passes, independent of M for one.
    """
    lives = [live for live in live_footprints(cascade, rank).values() if live.role != "stream" and not live.replaces]
    own: Number = sum(live.words(sizes) for live in lives if not live.shared)
    shared: Number = sum(live.words(sizes) for live in lives if live.shared)
    return own * rows + shared


def _default_rank(cascade: Cascade) -> str:
    if len(cascade.positions) == 2:
        return cascade.positions[1]
    counts = cascade.pass_counts()
    return max(counts, key=counts.__getitem__) if counts else next(rank for rank in cascade.ranks if rank not in cascade.batch)


def _accessed(cascade: Cascade, name: str) -> tuple[str, ...]:
    """The ranks a tensor is made with, or an input is read with; batch left out, parts apart, the iterative rank dropped."""
    einsum = cascade.producer(name)
    refs = (
        [einsum.output]
        if einsum
        else [operand for reader in cascade.consumers(name) for operand in reader.operands if operand.name == name]
    )
    hidden = {*cascade.batch, *cascade.groups, *(ref.iterative for ref in refs)}
    return tuple(dict.fromkeys(rank for ref in refs for rank in ref.ranks if rank not in hidden))


def _live(cascade: Cascade, name: str, rank: str, rows: str, across: Trace, inside: Trace) -> Live:
    ranks = _accessed(cascade, name)
    family = set(across.family) | {rank}
    others = tuple(part for part in cascade.merged(ranks) if part not in family and cascade.whole(part) != rows)
    shared = bool(rows) and not any(cascade.whole(part) == rows for part in ranks)
    fiber = tuple(part for part in ranks if part in family)
    if not fiber:
        return Live(name, "state", others, shared)
    if _reread(cascade, name, across):
        return Live(name, "fiber", (*cascade.merged(fiber), *others), shared)
    tile = across.family[-1:] if len(across.family) > 1 and across.family[-1] in fiber and _reread(cascade, name, inside) else ()
    return Live(name, "stream", (*others, *tile), shared)


def _reread(cascade: Cascade, name: str, levels: Trace) -> bool:
    """Whether a consumer runs at a later level than the tensor was made at."""
    made = levels.made.get(name, {name: 2})
    return any(levels.ran[reader.label].get(root, 0) > level for reader in cascade.consumers(name) for root, level in made.items())


def _replacements(cascade: Cascade, found: Mapping[str, Live]) -> dict[str, str]:
    """Tensor to the tensor whose place it takes: an operand of the same size, no input or output, that nothing reads afterwards."""
    taken: dict[str, str] = {}
    for einsum in cascade.einsums:
        mine = found[einsum.label]
        for operand in einsum.operands:
            theirs = found[operand.name]
            fits = mine.role == theirs.role != "stream" and sorted(mine.ranks) == sorted(theirs.ranks) and mine.shared == theirs.shared
            dies = cascade.consumers(operand.name)[-1] is einsum and (not operand.iterative or operand.mode == "final")
            if fits and dies and operand.name in cascade.tensors and operand.name not in taken.values():
                taken[einsum.label] = operand.name
                break
    return taken
