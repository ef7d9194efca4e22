"""Sequences laid end to end in one buffer, each attending itself: ragged batches of variable-length kernels, documents of a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnsim.mask.arith import Number, ceil_div, one_size
from attnsim.mask.banded import CAUSAL, DENSE, Banded
from attnsim.mask.base import Mask, TileShape, TileWalk
from attnsim.mask.tally import number_formula, stretches

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr


@dataclass(frozen=True, slots=True)
class Packed(Mask):
    """Sequence i has lengths[i] queries and as many keys; causal: each query attends up to its own key. Tiles start with a sequence."""

    lengths: tuple[int, ...]
    causal: bool = False

    @classmethod
    def of(cls, lengths: Sequence[int], causal: bool = False) -> Packed:
        """ValueError for no sequences, or one without tokens."""
        if not lengths or min(lengths) < 1:
            raise ValueError("a packed mask lists at least one length, each at least 1")
        return cls(tuple(lengths), causal)

    @property
    def kind(self) -> str:
        """`packed`."""
        return "packed"

    def describe(self) -> str:
        """Such as "8 causal sequences of 512 to 4096 tokens"."""
        count, low, high = len(self.lengths), min(self.lengths), max(self.lengths)
        what = f"{'causal ' * self.causal}sequence{'s' * (count > 1)}"
        return f"{count} {what} of {low if low == high else f'{low} to {high}'} tokens"

    @property
    def within_causal(self) -> bool:
        """Whether no query attends a key after it."""
        return self.causal

    @property
    def each(self) -> Banded:
        """The mask of one sequence."""
        return CAUSAL if self.causal else DENSE

    def fits(self, P: int, M: int) -> str | None:
        """Why the mask cannot have P queries and M keys."""
        total = sum(self.lengths)
        return None if P == M == total else f"its sequences have {total} tokens together, which is P and M, not P = {P} and M = {M}"

    def _summed(self, P: Number, M: Number, of: Callable[[int], Number]) -> Number:
        fault = self.fits(one_size(P, "P"), one_size(M, "M"))
        if fault is not None:
            raise ValueError(fault)
        return sum(of(length) for length in self.lengths)

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended pairs."""
        return self._summed(P, M, lambda length: self.each.pairs(length, length))

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks of `block` keys, counted from the start of a sequence, touched by a query, summed over the queries."""
        return self._summed(P, M, lambda length: self.each.row_blocks(length, length, block))

    def queries(self, P: Number, M: Number) -> Number:
        """All."""
        return self._summed(P, M, lambda length: length)

    def keys(self, P: Number, M: Number) -> Number:
        """All."""
        return self.queries(P, M)

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """The mask itself, [P, M]."""
        import numpy as np

        own = np.repeat(np.arange(len(self.lengths)), self.lengths)
        seen: np.ndarray[Any, np.dtype[np.bool_]] = own[:, None] == own[None, :]
        if self.causal:
            seen &= np.tri(P, M, dtype=bool)
        return seen

    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """Per query tile, the key tiles visited, sequence by sequence."""
        rows, keys = stretches(q_tile, k_tile, pack, dynamic)
        return self._walk(rows, ceil_div(M, keys), P * pack, lambda length: self.each.walk(length, length, rows, keys, pack))

    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """Per key tile, the query tiles visited, sequence by sequence."""
        rows, keys = stretches(q_tile, k_tile, pack)
        return self._walk(keys, ceil_div(P * pack, rows), M, lambda length: self.each.walk_keys(length, length, keys, rows, pack))

    def _walk(self, tile: int, across: int, extent: int, of: Callable[[int], TileWalk]) -> TileWalk:
        walks = {length: of(length) for length in set(self.lengths)}
        runs = [(run.tiles, run.visited, run.partial) for length in self.lengths for run in walks[length].runs]
        return TileWalk.of(runs, tile, extent, across, dense_total=ceil_div(extent, tile) * across)

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """`pairs` as a number, and the sizes it holds for. ValueError without `at`: there is no formula for all sizes."""
        return number_formula(self, at)
