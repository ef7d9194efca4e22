"""What every mask answers, and the tiles a kernel visits under one.

P is the number of queries and M the number of keys of one head. Counts are per head; a batch and heads multiply them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attnsim.lanes import maximum, minimum, whole
from attnsim.mask.arith import Number

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr

TileShape: TypeAlias = int | tuple[int, ...]
"""Rows of a tile, or the sides of a box of tokens by axis of the layout."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive tiles that look alike.

    tiles: how many; visited: tiles of the other axis each of them visits (those with at least one attended pair);
    partial: of these, tiles that also hold a masked or an out-of-range pair, so that masking code has to run.
    """

    tiles: int
    visited: int
    partial: int


class Rounds(tuple[tuple[int, int, int], ...]):
    """(tiles, visited, of these with a mask computed) of consecutive tiles that look alike, in order; what is asked of them is kept."""

    @cached_property
    def tally(self) -> tuple[int, int, int, int]:
        """Tiles, tiles they visit in all, of these with a mask computed, and the most that one of them visits."""
        tiles = visits = masked = longest = 0
        for count, visited, partial in self:
            tiles += count
            visits += count * visited
            masked += count * partial
            if visited > longest:
                longest = visited
        return tiles, visits, masked, longest

    @cached_property
    def columns(self) -> tuple[np.ndarray[Any, np.dtype[np.int64]], ...]:
        """The three columns as arrays. Imports numpy."""
        import numpy as np

        return tuple(np.array(self, dtype=np.int64).reshape(-1, 3).T.copy())


@dataclass(frozen=True, slots=True)
class TileWalk:
    """The tiles visited along one axis, run-length encoded in tile order.

    tile, extent: rows of a tile and rows in all (the last tile may be short); across: tiles of the other axis, which is what a
    dense mask visits from every tile. needed_total: visited tiles that hold an attended pair; full_total: those without a masked pair,
    keys out of range aside; block_sparse: whether these are the same; block_sparse_test: whether the kernel's own test finds it so
    (None: nobody asked); dense_total: tile pairs of a mask of all ones, where the tiles are others than its.
    """

    runs: tuple[Run, ...]
    tile: int
    extent: int
    across: int
    needed_total: int = -1
    full_total: int | None = None
    block_sparse: bool | None = None
    block_sparse_test: bool | None = None
    dense_total: int | None = None
    tile_count: int = field(init=False)
    visited_total: int = field(init=False)
    partial_total: int = field(init=False)
    max_visited: int = field(init=False)
    _rounds: dict[str, Rounds] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tiles = visited = partial = highest = 0
        for run in self.runs:
            tiles += run.tiles
            visited += run.tiles * run.visited
            partial += run.tiles * run.partial
            if run.visited > highest:
                highest = run.visited
        if self.needed_total < 0:
            object.__setattr__(self, "needed_total", visited)
        for name, value in (("tile_count", tiles), ("visited_total", visited), ("partial_total", partial), ("max_visited", highest)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, counts: Iterable[tuple[int, int, int]], tile: int, extent: int, across: int, **known: Any) -> TileWalk:
        """The walk of (tiles, visited, partial) triples in tile order; equal neighbours are merged. known: the fields with defaults."""
        runs: list[Run] = []
        alike, seen, masked = 0, -1, -1
        for count, visited, partial in counts:
            if visited == seen and partial == masked:
                alike += count
                continue
            if alike:
                runs.append(Run(alike, seen, masked))
            alike, seen, masked = count, visited, partial
        if alike:
            runs.append(Run(alike, seen, masked))
        return cls(tuple(runs), tile, extent, across, **known)

    def within(self, blocks: TileWalk, rows: int, across: int) -> TileWalk:
        """This walk under a mask that is stored in larger blocks, whose walk is `blocks`: a tile is visited, and masked, as the whole
        block is that it lies in. rows, across: tiles of a block along the two axes. A short last block is computed whole, but never more
        tiles than there are (pytorch/pytorch v2.11.0 torch/_inductor/kernel/flex/templates/flex_attention.py.jinja, block_n_end).
        """
        counts, left = [], self.tile_count
        for run in blocks.runs:
            tiles = min(run.tiles * rows, left)  # a short last block has fewer tiles
            visited = min(run.visited * across, self.across)
            counts.append((tiles, visited, min(run.partial * across, visited)))
            left -= tiles
        known = {"needed_total": self.needed_total, "full_total": self.full_total, "block_sparse": self.block_sparse}
        return TileWalk.of(counts, self.tile, self.extent, self.across, **known)

    def rounds(self, masked: Literal["partial", "visited", "none"]) -> Rounds:
        """The runs as triples. masked: which of the tiles visited from a tile compute their mask."""
        found = self._rounds.get(masked)
        if found is None:
            none = masked == "none"
            found = self._rounds[masked] = Rounds((run.tiles, run.visited, 0 if none else getattr(run, masked)) for run in self.runs)
        return found

    @property
    def all_total(self) -> int:
        """Tile pairs that a mask of all ones visits."""
        return self.tile_count * self.across if self.dense_total is None else self.dense_total

    def at(self, index: int) -> Run:
        """The run that holds tile `index`; IndexError beyond the last tile."""
        first = 0
        for run in self.runs:
            first += run.tiles
            if 0 <= index < first:
                return run
        raise IndexError(f"tile {index} of {self.tile_count}")


def causal_pairs(P: Number, M: Number) -> Number:
    """Pairs of causal attention."""
    seen, hidden = minimum(P, M), maximum(0, M - P)
    return seen * (seen + 1) // 2 + seen * hidden


class Mask(ABC):
    """The (query, key) pairs of one head that exist.

    Implementations are immutable and hashable, and count by closed form: nothing here costs time in proportion to P x M.
    Where a size is typed `Number` it may be an int (exact), a numpy array (elementwise, float64; object arrays stay exact) or a
    sympy expression. Sizes and tiles below 1 are a ValueError.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name used in workload files."""

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind of mask that a kernel has to know to run this one."""
        return frozenset({self.kind})

    @abstractmethod
    def describe(self) -> str:
        """One line for people: "causal (bottom-right aligned)"."""

    def fits(self, P: int, M: int) -> str | None:
        """Why the mask cannot have P queries and M keys, in words; None where it can."""
        return None

    @abstractmethod
    def pairs(self, P: Number, M: Number) -> Number:
        """Attended (query, key) pairs."""

    @abstractmethod
    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of `block` keys touched by a query, summed over the queries."""

    @abstractmethod
    def queries(self, P: Number, M: Number) -> Number:
        """Queries that attend at least one key."""

    @abstractmethod
    def keys(self, P: Number, M: Number) -> Number:
        """Keys that at least one query attends: no kernel can read fewer."""

    @abstractmethod
    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask itself, [P, M], True where the pair exists: for pictures and for checks, not for counting. Imports numpy."""

    @property
    def within_causal(self) -> bool:
        """Whether no query attends a key after its own aligned position, so that causal attention is what it is compared with."""
        return False

    @property
    def dimensions(self) -> int:
        """Axes of the layout of tokens: 1 for a sequence."""
        return 1

    @property
    def permuted(self) -> bool:
        """Whether boxes of tokens are no stretches of the sequence, so that they have to be put together."""
        return False

    @abstractmethod
    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """Per query tile, the key tiles visited. ValueError for tiles the mask cannot be cut into.

        Boxes of tokens need a mask with a layout of as many axes. dynamic: boxes of keys start at the first key needed.

        pack = g: g query heads that share a key head are packed into the rows of a tile (row r is query r // g, tile i holds rows
        i*q_tile ... (i+1)*q_tile - 1 of P*g). A short last key tile counts as partial, since its missing keys must be masked;
        a short last query tile does not, since rows that do not exist are never stored.
        """

    @abstractmethod
    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """Per key tile, the query tiles visited: the same tile pairs as `walk`, as a backward pass goes over them."""

    @abstractmethod
    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` as a sympy expression, and the domain on which it holds.

        P, M: sympy symbols (or ints). Without `at` the expression holds everywhere and may contain Max. With `at`, sizes (P, M)
        of interest, it is the polynomial that holds there, and the domain says how far: "M >= P".
        """

    def by_head(self, heads: int) -> tuple[tuple[int, Mask], ...]:
        """How many of `heads` query heads have which mask; here all have this one."""
        return ((heads, self),)

    def record(self, P: Number, M: Number, walk: TileWalk | None = None) -> dict[str, Any]:
        """The entry `mask` of the JSON: pairs of one head and, given the walk of a kernel, the tiles it visits.

        flop_speedup: all pairs / attended pairs, flop_speedup_causal: those of causal attention / attended pairs;
        speedup_worst_tile: tiles of self attention / most tiles any query tile visits (NATTENSim's, arXiv 2504.16922, appendix B.1);
        speedup_mean_tile: the same with the mean.
        """
        pairs = whole(self.pairs(P, M))
        out = {"kind": self.kind, "description": self.describe(), "attended_pairs": pairs, "density": pairs / (P * M)}
        if pairs:
            out["flop_speedup"] = P * M / pairs
        if self.within_causal and pairs and self.kind != "causal":
            out["flop_speedup_causal"] = causal_pairs(P, M) / pairs
        if walk is None:
            return out
        out.update(
            q_tiles=walk.tile_count,
            tile_pairs_needed=walk.needed_total,
            tile_pairs_kernel=walk.visited_total,
            tile_pairs_partial=walk.partial_total,
            tile_pairs_dense=walk.visited_total - walk.partial_total,
            tile_pairs_all=walk.all_total,
            max_kv_tiles=walk.max_visited,
        )
        if walk.visited_total:
            out.update(speedup_worst_tile=walk.across / walk.max_visited, speedup_mean_tile=walk.all_total / walk.visited_total)
        if walk.block_sparse is not None:
            out["block_sparse"] = walk.block_sparse
        if walk.block_sparse_test is not None:
            out["block_sparse_natten"] = walk.block_sparse_test
        return out
