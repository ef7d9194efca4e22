"""Closed forms for a band of keys around each query, plus a prefix of sink keys.

Query p stands at the aligned position q = p + M - P and attends keys in [lo, hi) and in [0, min(sinks, hi)), where
lo = max(0, q - left) and hi = min(M, max(0, q + right + 1)). left or right None: no limit on that side. Because lo <= hi, and
sinks left of lo are also left of hi, a query attends hi - max(0, lo - sinks) keys. Summed over the queries, each term is a
difference of triangular numbers. The functions do twice the sum where it keeps every step whole.
"""

from __future__ import annotations

from collections.abc import Callable

from attnsim.mask.arith import Number, ceil_div, half, positive_part

Positive = Callable[[Number], Number]


def pairs(P: Number, M: Number, left: int | None, right: int | None, sinks: int, positive: Positive = positive_part) -> Number:
    """Attended pairs; `positive` is max(x, 0), exchanged by `formula` for one that decides the case and notes it."""

    def twice_triangle(n: Number) -> Number:
        n = positive(n)
        return n * (n + 1)

    def twice_ramp(c: Number) -> Number:  # 2 * sum of max(0, q + c) over the queries
        return twice_triangle(M - 1 + c) - twice_triangle(M - P - 1 + c)

    total = 2 * P * M
    if right is not None:
        total = twice_ramp(right + 1)
        if right > 0:  # what of the window hangs over the last key
            total -= right * (right + 1) - twice_triangle(right - P)
    if left is not None:
        total -= twice_ramp(-left - sinks)
    return half(total)


def row_blocks(P: Number, M: Number, block: Number, left: int | None, right: int | None, sinks: int) -> Number:
    """Key blocks of `block` keys touched, summed over the queries: ceil(hi/block) - max(0, floor(lo/block) - ceil(sinks/block))."""

    def twice_floors(n: Number) -> Number:  # 2 * sum of floor(x / block) for x in 0 ... n-1
        n = positive_part(n)
        whole = n // block
        return block * whole * (whole - 1) + 2 * whole * (n - block * whole)

    if right is None:
        total = 2 * P * ceil_div(M, block)
    else:
        short = positive_part(P - right)  # queries whose window ends before the last key; the others reach it
        total = 2 * (P - short) * ceil_div(M, block)
        total += twice_floors(M - P + short + right + block) - twice_floors(M - P + right + block)
    if left is not None:
        hidden = left + ceil_div(sinks, block) * block
        total -= twice_floors(M - hidden) - twice_floors(M - P - hidden)
    return half(total)


def queries(P: Number, M: Number, right: int | None) -> Number:
    """Queries that attend a key: all but those whose window ends before key 0."""
    return P if right is None else P - positive_part(P - M - right)


def keys(P: Number, M: Number, left: int | None, sinks: int) -> Number:
    """Keys that some query attends: all but those between the sinks and the window of the first query."""
    return M if left is None else M - positive_part(M - P - left - sinks)
