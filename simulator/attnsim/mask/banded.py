"""Dense, causal, sliding window, and window with attention sinks: one band of keys around each query, and a prefix of keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.lanes import many
from attnsim.mask import counts, tiles
from attnsim.mask.arith import Number, size
from attnsim.mask.base import Mask, TileShape

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr

_ALIGNED = "(bottom-right aligned)"


@dataclass(frozen=True, slots=True)
class Banded(Mask):
    """Query p, at the aligned position q = p + M - P, attends keys q-left ... q+right and keys 0 ... sinks-1 up to q+right.

    left, right: None means no limit on that side. The alignment and the meaning of left and right are FlashAttention's (window_size,
    version 2.1 and later; -1 there is None here). With P > M the first queries attend nothing.
    """

    left: int | None = None
    right: int | None = None
    sinks: int = 0

    @classmethod
    def of(cls, left: int | None, right: int | None, sinks: int = 0) -> Banded:
        """The mask in its one canonical form; ValueError for a negative argument."""
        for name, value in (("left", left), ("right", right), ("sinks", sinks)):
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, not {value}")
        return cls(left, right, 0 if left is None else sinks)  # a window that reaches back to key 0 holds every sink

    @property
    def kind(self) -> str:
        """`dense`, `causal`, `window` or `sinks`: the simplest that says it."""
        if self.sinks:
            return "sinks"
        if self.left is None:
            return {None: "dense", 0: "causal"}.get(self.right, "window")
        return "window"

    def describe(self) -> str:
        """Such as "causal window of 1024 keys (bottom-right aligned)"."""
        if self.kind == "dense":
            return "dense"
        if self.kind == "causal":
            return f"causal {_ALIGNED}"
        if self.right == 0 and self.left is not None:
            text = f"causal window of {_keys(self.left + 1)}"
        else:
            back = "all keys" if self.left is None else _keys(self.left)
            ahead = "all keys" if self.right is None else _keys(self.right)
            text = f"window of {back} back and {ahead} ahead"
        return f"{text} and {_keys(self.sinks, 'sink ')} {_ALIGNED}" if self.sinks else f"{text} {_ALIGNED}"

    @property
    def within_causal(self) -> bool:
        """Whether the window ends at the query."""
        return self.right == 0

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended (query, key) pairs."""
        return counts.pairs(size(P, "P"), size(M, "M"), self.left, self.right, self.sinks)

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of `block` keys touched by a query, summed over the queries."""
        return counts.row_blocks(size(P, "P"), size(M, "M"), size(block, "block"), self.left, self.right, self.sinks)

    def queries(self, P: Number, M: Number) -> Number:
        """Queries that attend at least one key."""
        return counts.queries(size(P, "P"), size(M, "M"), self.right)

    def keys(self, P: Number, M: Number) -> Number:
        """Keys that at least one query attends."""
        return counts.keys(size(P, "P"), size(M, "M"), self.left, self.sinks)

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask itself, [P, M]."""
        import numpy as np

        keys, at = np.arange(size(M, "M")), (np.arange(size(P, "P")) + (M - P))[:, None]
        back = True if self.left is None else (keys >= at - self.left) | (keys < self.sinks)
        ahead = True if self.right is None else keys <= at + self.right
        return np.broadcast_to(back & ahead, (P, M)).copy()

    def walk(self, P: Number, M: Number, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> Any:
        """Per query tile, the key tiles visited (see Mask.walk); of Lanes a LaneWalk."""
        q_tile, k_tile = _check(P, M, q_tile, k_tile, pack)
        if many(P, M):
            from attnsim.mask import ragged

            return ragged.walk_queries(self.left, self.right, self.sinks, P, M, q_tile, k_tile, pack)
        return tiles.walk_queries(self.left, self.right, self.sinks, P, M, q_tile, k_tile, pack)

    def walk_keys(self, P: Number, M: Number, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> Any:
        """Per key tile, the query tiles visited (see Mask.walk_keys); of Lanes a LaneWalk."""
        q_tile, k_tile = _check(P, M, q_tile, k_tile, pack)
        if many(P, M):
            from attnsim.mask import ragged

            return ragged.walk_keys(self.left, self.right, self.sinks, P, M, k_tile, q_tile, pack)
        return tiles.walk_keys(self.left, self.right, self.sinks, P, M, k_tile, q_tile, pack)

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` as a sympy expression and the domain on which it holds (see Mask.formula)."""
        from attnsim.mask.formula import pairs_formula

        return pairs_formula(P, M, self.left, self.right, self.sinks, at)


DENSE = Banded()
CAUSAL = Banded(right=0)


def _keys(count: int, what: str = "") -> str:
    return f"{count} {what}key" if count == 1 else f"{count} {what}keys"


def _check(P: Number, M: Number, q_tile: TileShape, k_tile: TileShape, pack: int) -> tuple[int, int]:
    """The tiles as rows of a sequence."""
    rows = [tile if isinstance(tile, int) else tile[0] if len(tile) == 1 else 0 for tile in (q_tile, k_tile)]
    if P < 1 or M < 1 or min(*rows, pack) < 1:
        raise ValueError(
            f"sizes and tiles must be at least 1, and tiles of a sequence have one axis, not P={P}, M={M}, q_tile={q_tile}, "
            f"k_tile={k_tile}, pack={pack}"
        )
    return rows[0], rows[1]
