"""Tiles counted one by one, by tile of queries and by tile of keys, turned into walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.mask.base import Mask, TileShape, TileWalk

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr

    Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class TileCounts:
    """Per tile of queries (rows) and of keys (columns): tiles visited, and of these the full ones, which need no mask.

    A short last tile of keys is not full; full_total counts it where its keys are all attended.
    """

    visited_by_query: Array
    full_by_query: Array
    visited_by_key: Array
    full_by_key: Array
    full_total: int

    @property
    def visited(self) -> int:
        """Tile pairs visited."""
        return int(self.visited_by_query.sum())

    def walk(self, q_tile: int, rows: int) -> TileWalk:
        """By tile of queries; rows: those of all tiles."""
        known = {"full_total": self.full_total, "block_sparse": self.full_total == self.visited}
        return _walk(self.visited_by_query, self.full_by_query, q_tile, rows, self.visited_by_key.size, **known)

    def walk_keys(self, k_tile: int, M: int) -> TileWalk:
        """By tile of keys."""
        return _walk(self.visited_by_key, self.full_by_key, k_tile, M, self.visited_by_query.size)


def _walk(visited: Array, full: Array, tile: int, extent: int, across: int, **known: Any) -> TileWalk:
    triples = ((1, seen, seen - whole) for seen, whole in zip(visited.tolist(), full.tolist(), strict=True))
    return TileWalk.of(triples, tile, extent, across, **known)


def stretches(q_tile: TileShape, k_tile: TileShape, pack: int, dynamic: bool = False) -> tuple[int, int]:
    """Tiles of a mask whose tokens have no layout of several axes. ValueError for any other."""
    if not isinstance(q_tile, int) or not isinstance(k_tile, int):
        raise ValueError("tiles with one entry an axis need a mask with a layout of tokens (kind: neighborhood, windows, grid)")
    if min(q_tile, k_tile, pack) < 1:
        raise ValueError(f"tiles must be at least 1, not {min(q_tile, k_tile, pack)}")
    if dynamic:
        raise ValueError("key tiles that start at the first key needed are for masks with a layout of tokens")
    return q_tile, k_tile


def number_formula(mask: Mask, at: tuple[int, int] | None) -> tuple[Expr, str]:
    """Attended pairs of a mask without a formula in P and M, at one place. ValueError without one."""
    from sympy import sympify

    if at is None:
        raise ValueError(f"a {mask.kind} mask has no formula for all sizes")
    P, M = at
    return sympify(mask.pairs(P, M)), f"P = {P}, M = {M}"
