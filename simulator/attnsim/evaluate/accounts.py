"""What is counted the same way on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from attnsim.cascade.cascade import Cascade

FLOPS_PER_OP: Mapping[str, int] = {"mac": 2}  # a multiply-add is two FLOPs by the field's convention; any other operation is one


@lru_cache(maxsize=512)
def reported_passes(cascade: Cascade) -> Mapping[str, int]:
    """Passes over the ranks that matter to a reader: the two position ranks, and any rank walked more than once."""
    counts = cascade.pass_counts()
    kept = {rank: count for rank, count in counts.items() if rank in cascade.positions or count > 1}
    return kept or counts
