"""What each kernel of a point launches: its CTAs, what they are and where they run. Recomputed for whoever draws it; no answer needs it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from typing import NamedTuple

from attnsim.evaluate.evaluate import as_split, kernels_of, main_einsums
from attnsim.evaluate.kernel import Kernel, fused_kernel
from attnsim.evaluate.placement import MOST_PIECES, Piece, Placement, place
from attnsim.evaluate.point import Point
from attnsim.evaluate.selection import scoring
from attnsim.evaluate.spans import costs_of
from attnsim.evaluate.traffic import Grid
from attnsim.evaluate.walks import ORDERED_RUNS, HeadWalks
from attnsim.evaluate.work import CtaWork
from attnsim.mask.base import TileWalk


class Grounds(NamedTuple):
    """What `fused_kernel` schedules its CTAs by.

    rounds: (CTAs, tiles visited, of them masked) of one period in launch order; repeat: periods; each: cycles of a processor for a visited
    tile, for the mask of one, and for a CTA beside; walks: of the heads; longest_first, batch_first: how CTAs are handed out; held: CTAs
    resident on a processor, and the share of its rate that one alone reaches.
    """

    grid: Grid
    work: CtaWork
    rounds: Sequence[tuple[int, int, int]]
    repeat: int
    each: tuple[float, float, float]
    walks: HeadWalks
    longest_first: bool
    batch_first: bool
    held: tuple[int, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """CTAs that are alike: tiles they walk (0: no walk), of them with a mask computed, cycles of a processor, and by unit."""

    tiles: int
    masked: int
    cycles: float
    units: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Names:
    """How the CTAs of a grid are called, by their number in launch order.

    ranks: (rank, size, heads in a row of it) from the one that varies fastest; tile: rank of the tiles; splits: CTAs of a tile; firsts:
    number of the first CTA of every run where runs are handed out whole, () where periods follow one another; bases: where in its period
    each run begins; period: CTAs of one.
    """

    ranks: tuple[tuple[str, int, int], ...] = ()
    tile: str = ""
    splits: int = 1
    firsts: tuple[int, ...] = ()
    bases: tuple[int, ...] = ()
    period: int = 0
    repeat: int = 1
    heads: int = 1

    def place(self, number: int) -> dict[str, str]:
        """Where in the tensors a CTA works, rank by rank: tile number, heads, batch element, split; ranks that are not cut left out."""
        if not self.period:
            return {}
        if self.firsts:
            run = bisect_right(self.firsts, number) - 1
            offset, turn = divmod(number - self.firsts[run], self.repeat)
            inside = self.bases[run] + offset
        else:
            turn, inside = divmod(number, self.period)
        if self.heads > 1:  # the period is all heads of a batch element
            head, inside = divmod(inside, self.period // self.heads)
            turn = turn * self.heads + head
        found: dict[str, str] = {}
        if self.tile and self.period > self.splits * self.heads:
            found[self.tile] = str(inside // self.splits)
        for rank, size, pack in self.ranks:
            turn, index = divmod(turn, size)
            if size > 1:
                found[rank] = str(index) if pack == 1 else f"{index * pack}-{index * pack + pack - 1}"
        if self.splits > 1:
            found["split"] = str(inside % self.splits)
        return found


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel and its CTAs. kinds: by run of the launch order; merge_cycles: what CTAs of a split add at the end, in the kernel."""

    kernel: Kernel
    kinds: tuple[Kind, ...]
    placement: Placement
    names: Names = field(default_factory=Names)
    merge_cycles: float = 0.0

    def name(self, piece: Piece) -> str:
        """What a piece holds, in a few words."""
        if piece.count == 1:
            where = self.names.place(piece.first)
            return ", ".join(f"{rank} {index}" for rank, index in where.items()) or f"CTA {piece.first}"
        waves = " of waves not placed one by one" if piece.folded else ""
        return f"{piece.count:.0f} CTAs{waves}"

    def total(self, piece: Piece) -> Kind:
        """All that the CTAs of a piece do, together."""
        if len(piece.held) == 1 and piece.held[0][1] == 1:
            return self.kinds[piece.held[0][0]]
        held = [(self.kinds[run], count) for run, count in piece.held]
        units: dict[str, float] = {}
        for kind, count in held:
            for unit, cycles in kind.units.items():
                units[unit] = units.get(unit, 0.0) + count * cycles
        tiles, masked, cycles = (sum(count * getattr(kind, name) for kind, count in held) for name in ("tiles", "masked", "cycles"))
        return Kind(tiles, masked, cycles, units)


def launches(point: Point, most: int = MOST_PIECES) -> tuple[Launch, ...]:
    """What every kernel of the answer launches, in order. most: pieces that all placements together keep apart, about.

    Raises:
        InfeasibleError: as `attnsim.run`.
    """
    point = as_split(point)
    kernels = kernels_of(point)
    fused: dict[str, list[Grounds]] = {}
    for asked, prefix in [(point, ""), *((one, "score ") for one in scoring(point))]:
        if asked.schedule.spec.fusion == "all":
            fused.setdefault(prefix + asked.schedule.name, []).append(_grounds(asked))
    found = []
    for kernel in kernels:
        known = fused.get(kernel.name)
        share = max(1, most // len(kernels))
        found.append(_walking(point, kernel, known.pop(0), share) if known else _alike(point, kernel, share))
    return tuple(found)


def _grounds(point: Point) -> Grounds:
    told: list[Grounds] = []
    fused_kernel(point, main_einsums(point), point.schedule.name, watch=lambda *grounds: told.append(Grounds(*grounds)))
    return told[0]


def _walking(point: Point, kernel: Kernel, grounds: Grounds, most: int) -> Launch:
    """A fused kernel: CTAs as the mask makes them."""
    found = costs_of(tuple(grounds.rounds), *grounds.each)
    assert isinstance(found, list)
    costs = [cost for _, cost in found]
    order = list(range(len(costs)))
    if grounds.longest_first:
        order.sort(key=lambda run: -costs[run])
    whole = grounds.longest_first or grounds.batch_first
    times, repeat = (grounds.repeat, 1) if whole else (1, grounds.repeat)
    pattern = [(grounds.rounds[run][0] * times, costs[run]) for run in order]
    resident, alone = grounds.held
    placement = place(pattern, repeat, point.machine.processors, resident, alone, most)
    kinds = tuple(_kind(grounds, run, costs[run]) for run in order)
    # Whatever the span does not hold, the engine adds behind it: CTAs that share a walk merge what they found.
    return Launch(
        kernel, kinds, placement, _names(point, grounds, order if whole else []), max(0.0, kernel.compute_cycles - placement.span)
    )


def _kind(grounds: Grounds, run: int, cost: float) -> Kind:
    _, visited, masked = grounds.rounds[run]
    units: dict[str, float] = {}
    for share, cycles in (
        (visited, grounds.work.per_tile.cycles), (1, grounds.work.once.cycles), (masked, {"vector": grounds.work.masked_cycles}),
    ):  # fmt: skip
        for unit, value in cycles.items():
            units[unit] = units.get(unit, 0.0) + share * value
    return Kind(visited, masked, cost, units)


def _names(point: Point, grounds: Grounds, order: Sequence[int]) -> Names:
    """order: of the runs, where they are handed out whole."""
    grid, walks = grounds.grid, grounds.walks
    counts = [count for count, _, _ in grounds.rounds]
    period, ends = sum(counts), list(accumulate(counts, initial=0))
    firsts = tuple(accumulate((counts[run] * grounds.repeat for run in order), initial=0))[:-1]
    bases = tuple(ends[run] for run in order)
    head = point.cascade.head_rank
    ranks = []
    for rank in grid.batch_order:
        pack = grid.pack if rank == head else 1
        ranks.append((rank, max(1, int(point.sizes.get(rank, 1)) // pack), pack))
    tiled = next((rank for rank in grid.tiled if rank in (point.query, point.key)), "")
    tiles = [walk.tile_count if isinstance(walk, TileWalk) and len(grid.walked) == 1 else 1 for _, _, walk in walks]
    heads = 1
    if len(walks) > 1:
        heads = prod(size for _, size, _ in ranks) // grounds.repeat
        times = max(count for count, _, _ in walks) // grid.pack
        alike = len(set(tiles)) == 1 and not order and max(len(walk.runs) for _, _, walk in walks) * times <= ORDERED_RUNS
        if not alike or period % (heads * tiles[0]):
            return Names()
    elif prod(size for _, size, _ in ranks) != grounds.repeat or period % tiles[0]:
        return Names()  # stream-K, or walks in unequal numbers of pieces: CTAs have no place of their own
    splits = period // (heads * tiles[0])
    return Names(tuple(ranks), tiled if len(grid.walked) == 1 else "", splits, firsts, bases, period, grounds.repeat, heads)


def _alike(point: Point, kernel: Kernel, most: int) -> Launch:
    """A kernel whose CTAs are all alike: tiles of a product, shares of a stream."""
    processors, resident = point.machine.processors, kernel.occupancy.ctas
    waves, rest = divmod(kernel.ctas, processors * resident)
    cost = kernel.compute_cycles / (waves * resident + -(-rest // processors))
    units = {unit: cycles * processors / kernel.ctas for unit, cycles in kernel.busy_cycles.items()}
    placement = place([(kernel.ctas, cost)], 1, processors, resident, 1.0, most)
    return Launch(kernel, (Kind(0, 0, cost, units),), placement)
