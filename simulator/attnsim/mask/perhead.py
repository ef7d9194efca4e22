"""A mask that differs from head to head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from attnsim.mask.arith import Number
from attnsim.mask.base import Mask, TileShape, TileWalk, causal_pairs
from attnsim.mask.strided import Strided

if TYPE_CHECKING:
    import numpy as np
    from sympy import Expr


MOST_HEADS = 2**20
"""Query heads of all layers together have stayed far below; each is counted on its own."""


@dataclass(frozen=True, slots=True)
class PerHead(Mask):
    """parts: (heads, mask of each of them), in the order of the query heads; more heads than these take the list again from its start.

    Counts are means over the heads, exact: an int where it is whole, else a Fraction.
    """

    parts: tuple[tuple[int, Mask], ...]

    @classmethod
    def of(cls, parts: Sequence[tuple[int, Mask]]) -> Mask:
        """The mask of a list; neighbours that are alike are one entry, and a list of one is that mask. ValueError for no heads."""
        merged: list[tuple[int, Mask]] = []
        for heads, mask in parts:
            if heads < 1:
                raise ValueError(f"heads must be at least 1, not {heads}")
            if isinstance(mask, PerHead):
                raise ValueError("a mask of a head cannot differ from head to head itself")
            if merged and merged[-1][1] == mask:
                merged[-1] = (merged[-1][0] + heads, mask)
            else:
                merged.append((heads, mask))
        if not merged:
            raise ValueError("a per_head mask lists at least one mask")
        return merged[0][1] if len(merged) == 1 else cls(tuple(merged))

    @property
    def kind(self) -> str:
        """`per_head`."""
        return "per_head"

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of its masks, and its own."""
        return frozenset({self.kind}).union(*(mask.kinds for _, mask in self.parts))

    @property
    def heads(self) -> int:
        """Heads of the list."""
        return sum(heads for heads, _ in self.parts)

    def describe(self) -> str:
        """Such as "by head: 4 causal (bottom-right aligned); 28 causal window of 1024 keys (bottom-right aligned)"."""
        alike = {replace(mask, offset=0) if isinstance(mask, Strided) else mask for _, mask in self.parts}
        if len(alike) == 1:
            return f"{alike.pop().describe()}, other columns by head"
        shown = [f"{heads} {mask.describe()}" for heads, mask in self.parts[:3]]
        return f"by head: {'; '.join(shown)}" + (f"; and {len(self.parts) - 3} more" if len(self.parts) > 3 else "")

    @property
    def within_causal(self) -> bool:
        """Whether no head attends a key after the query."""
        return all(mask.within_causal for _, mask in self.parts)

    @property
    def dimensions(self) -> int:
        """Axes of the layout, which all heads share; 1 where they do not."""
        found = {mask.dimensions for _, mask in self.parts}
        return found.pop() if len(found) == 1 else 1

    @property
    def permuted(self) -> bool:
        """Whether boxes of tokens of any head are no stretches of the sequence."""
        return any(mask.permuted for _, mask in self.parts)

    def fits(self, P: int, M: int) -> str | None:
        """Why one of the masks cannot have P queries and M keys."""
        return next((fault for _, mask in self.parts if (fault := mask.fits(P, M)) is not None), None)

    def by_head(self, heads: int) -> tuple[tuple[int, Mask], ...]:
        """How many of `heads` query heads have which mask, in their order. ValueError where the list does not go into them."""
        if heads > MOST_HEADS:
            raise ValueError(f"{heads} query heads are more than the {MOST_HEADS} that a mask by head is counted for")
        if heads % self.heads:
            raise ValueError(f"the mask lists {self.heads} heads, which must divide the {heads} query heads")
        return self.parts * (heads // self.heads)

    def _mean(self, total: Number) -> Number:
        mean = Fraction(total, self.heads)
        return mean.numerator if mean.denominator == 1 else mean

    def pairs(self, P: Number, M: Number) -> Number:
        """Attended pairs of a head, on average."""
        return self._mean(sum(heads * mask.pairs(P, M) for heads, mask in self.parts))

    def row_blocks(self, P: Number, M: Number, block: Number) -> Number:
        """Key blocks touched by a query, summed over the queries, of a head on average."""
        return self._mean(sum(heads * mask.row_blocks(P, M, block) for heads, mask in self.parts))

    def queries(self, P: Number, M: Number) -> Number:
        """Queries that attend at least one key, of a head on average."""
        return self._mean(sum(heads * mask.queries(P, M) for heads, mask in self.parts))

    def keys(self, P: Number, M: Number) -> Number:
        """Keys that at least one query attends, of a head on average."""
        return self._mean(sum(heads * mask.keys(P, M) for heads, mask in self.parts))

    def attends(self, P: int, M: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """ValueError: it is one matrix a head."""
        raise ValueError("a per_head mask is one matrix a head; ask the masks of by_head")

    def walk(self, P: int, M: int, q_tile: TileShape, k_tile: TileShape, pack: int = 1, dynamic: bool = False) -> TileWalk:
        """ValueError: it is one walk a head."""
        raise ValueError("a per_head mask has one walk a head; this kernel runs the same walk for all heads")

    def walk_keys(self, P: int, M: int, k_tile: TileShape, q_tile: TileShape, pack: int = 1) -> TileWalk:
        """ValueError: it is one walk a head."""
        return self.walk(P, M, q_tile, k_tile, pack)

    def formula(self, P: Any, M: Any, at: tuple[int, int] | None = None) -> tuple[Expr, str]:
        """The mean over the heads, and where all of it holds."""
        found = [(heads, *mask.formula(P, M, at)) for heads, mask in self.parts]
        domains = dict.fromkeys(domain for _, _, domain in found)
        return sum(heads * pairs for heads, pairs, _ in found) / self.heads, ", ".join(domains)


MEANS = (
    "attended_pairs",
    "density",
    "q_tiles",
    "tile_pairs_needed",
    "tile_pairs_kernel",
    "tile_pairs_partial",
    "tile_pairs_dense",
    "tile_pairs_all",
)


def record_of_heads(mask: Mask, P: int, M: int, walks: Sequence[tuple[int, Mask, TileWalk | None]]) -> dict[str, Any]:
    """The entry `mask` of the JSON from (heads, mask, walk) of every head: that of one mask, or means over the heads beside each."""
    if len({one for _, one, _ in walks}) == 1:
        _, one, walk = walks[0]
        return one.record(P, M, walk)
    records = [(heads, one.record(P, M, walk)) for heads, one, walk in walks]
    total = sum(heads for heads, _ in records)
    out: dict[str, Any] = {"kind": mask.kind, "description": mask.describe(), "heads": total}
    for name in MEANS:
        if all(name in record for _, record in records):
            mean = Fraction(sum(heads * Fraction(record[name]) for heads, record in records), total)
            out[name] = mean.numerator if mean.denominator == 1 else float(mean)
    if out["attended_pairs"]:
        out["flop_speedup"] = P * M / out["attended_pairs"]
        if mask.within_causal:
            out["flop_speedup_causal"] = causal_pairs(P, M) / out["attended_pairs"]
    if out.get("tile_pairs_kernel"):
        out["max_kv_tiles"] = max(record["max_kv_tiles"] for _, record in records)
        out["speedup_mean_tile"] = out["tile_pairs_all"] / out["tile_pairs_kernel"]
        out["block_sparse"] = all(record.get("block_sparse", False) for _, record in records)
    counted: dict[Mask, int] = {}
    for heads, one, _ in walks:
        counted[one] = counted.get(one, 0) + heads
    by_mask = {one: record for (_, one, _), (_, record) in zip(walks, records, strict=True)}
    out["by_head"] = [{"heads": heads, **by_mask[one]} for one, heads in counted.items()]
    return out
