"""Blocks of keys that are chosen while the kernel runs: how many a query attends is known beforehand, not which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.mask.arith import Number, ceil_div, one_size
from attnsim.mask.banded import CAUSAL, DENSE, Banded
from attnsim.mask.base import Mask, Run, TileShape, TileWalk
from attnsim.mask.tally import number_formula, stretches

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr


@dataclass(frozen=True, slots=True)
class Topk(Mask):
    """`together` neighbouring queries attend the same `keep` blocks of `block` keys, or `density` of the pairs on average.

    causal: keys after the aligned position p + M - P are hidden, and the query's own block is always one of those kept (as MoBA does,
    arXiv 2502.13189). Counts are those of any such choice; with `density`, rounded to whole pairs.
    """

    block: int
    keep: int | None = None
    density: float | None = None
    together: int = 1
    causal: bool = False

    @property
    def kind(self) -> str:
        """`topk`."""
        return "topk"

    def describe(self) -> str:
        """Such as "16 chosen blocks of 64 keys for each query, causal"."""
        which = f"{self.keep} chosen blocks of {self.block} keys" if self.keep else f"{self.density:.4g} of the blocks of {self.block} keys"
        words = f"{which} for {'each query' if self.together == 1 else f'every {self.together} queries'}"
        return f"{words}, causal" if self.causal else words

    @property
    def within_causal(self) -> bool:
        """Whether no query attends a key after it."""
        return self.causal

    @property
    def every(self) -> Banded:
        """The mask without the choice."""
        return CAUSAL if self.causal else DENSE

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended pairs."""
        P, M = one_size(P, "P"), one_size(M, "M")
        every: int = self.every.pairs(P, M)
        if self.density is not None:
            return round(self.density * every)
        keep = self.keep or 0
        if not self.causal:
            return min(P * keep * self.block, every)
        # Before its own block a query attends keep - 1 whole ones, as far as there are so many; beyond that it is a causal window.
        band = Banded.of((keep - 1) * self.block, 0)
        own = _sum_of_rests(M, self.block) - _sum_of_rests(max(0, M - P), self.block)  # sum of q mod block
        return band.pairs(P, M) + own - _hidden(P, M, keep, self.block)

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of a query whose chosen keys lie together, summed over the queries."""
        return ceil_div(self.pairs(P, M), one_size(block, "block"))

    def queries(self, P: Number, M: Number) -> Number:
        """All that attend a key without the choice."""
        return self.every.queries(P, M)

    def keys(self, P: Number, M: Number) -> Number:
        """The fewest keys that such a choice can touch: those of one query, since all may choose the same."""
        P, M = one_size(P, "P"), one_size(M, "M")
        return max(1, self.pairs(P, M) // P)

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """ValueError: which blocks are chosen is not known."""
        raise ValueError("which blocks a topk mask chooses is known only when it runs")

    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """Per query tile, the key tiles visited.

        Queries that choose together fill tiles of their own. Queries that each choose (fewer together than a tile has rows) are gathered:
        for every block of keys the queries that chose it, in tiles of their own, as MoBA's kernels do; then a tile here is one of these.
        ValueError where a tile of keys is no part of a block.
        """
        rows, keys = stretches(q_tile, k_tile, pack, dynamic)
        if self.block % keys:
            raise ValueError(f"a block of {self.block} chosen keys is not whole tiles of {keys}")
        every = self.every.walk(P, M, rows, keys, pack)
        if rows <= self.together * pack:
            runs = tuple(self._kept(run, P, M, every, keys) for run in every.runs)
            return TileWalk(runs, rows, P * pack, every.across)
        blocks, chosen = ceil_div(M, self.block), ceil_div(self.pairs(P, M) * pack, min(self.block, M))
        tiles = min(chosen, blocks * ceil_div(ceil_div(chosen, blocks), rows))
        partial = every.partial_total if self.causal else 0
        visited = self.block // keys
        masked = ceil_div(partial, visited)  # tiles of gathered queries that hold the diagonal
        runs = tuple(run for run in (Run(tiles - masked, visited, 0), Run(min(masked, tiles), visited, visited)) if run.tiles > 0)
        return TileWalk(runs, rows, P * pack, every.across, dense_total=every.all_total)

    def _kept(self, run: Run, P: int, M: int, every: TileWalk, keys: int) -> Run:
        if self.density is not None:
            visited = min(run.visited, max(1, round(self.density * run.visited))) if run.visited else 0
        else:
            visited = min(run.visited, (self.keep or 0) * (self.block // keys))
        return Run(run.tiles, visited, min(run.partial, visited))

    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """Per key tile, the query tiles visited: the same pairs, spread evenly over the key tiles."""
        walk = self.walk(P, M, q_tile, k_tile, pack)
        each, more = divmod(walk.visited_total, walk.across)
        masked, over = divmod(walk.partial_total, walk.across)
        counts = [(1, each + (i < more), min(each + (i < more), masked + (i < over))) for i in range(walk.across)]
        rows, keys = stretches(q_tile, k_tile, pack)
        return TileWalk.of(counts, keys, M, ceil_div(P * pack, rows))

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` as a number, and the sizes it holds for. ValueError without `at`: there is no formula for all sizes."""
        return number_formula(self, at)


def _sum_of_rests(n: int, block: int) -> int:
    """Sum of x mod block for x in 0 ... n-1."""
    whole, rest = divmod(n, block)
    return whole * block * (block - 1) // 2 + rest * (rest - 1) // 2


def _hidden(P: int, M: int, keep: int, block: int) -> int:
    """What a window of (keep - 1) * block + 1 keys and the rest of the own block count twice: queries with fewer blocks before them."""
    first, last = max(0, M - P), min(M, (keep - 1) * block)
    return max(0, _sum_of_rests(last, block) - _sum_of_rests(first, block)) if last > first else 0
