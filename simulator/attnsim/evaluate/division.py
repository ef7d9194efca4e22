"""Walks that several CTAs share: the rounds of a grid after the split rule of its schedule (split-KV, stream-K)."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from attnsim.evaluate.point import Point
from attnsim.evaluate.walks import Rounds, merged_rounds, tally
from attnsim.lanes import Number, count_of, many, maximum, minimum
from attnsim.schedule.condition import holds
from attnsim.schedule.split import piece_tiles, split_count, stream_k
from attnsim.spec.schedule import Split
from attnsim.tape import call

if TYPE_CHECKING:
    from attnsim.mask.ragged import Ragged


def divided(point: Point, rounds: Rounds, heads: Number, slots: int, tile: int) -> tuple[Number, Rounds, Number, Number]:
    """(splits per walk, rounds per period, periods, CTAs) after the schedule's split rule; splits 0: nothing is split.

    rounds, heads: of one period, and how often it comes; slots: CTAs resident at a time; tile: key positions of a tile.
    """
    split = point.schedule.spec.split
    if split is None or not holds(split.when, point.context):
        return 0, rounds, heads, call(tally, rounds)[0] * heads
    at_end = split.rank == point.key
    found: tuple[Number, Rounds, Number, Number] = call(
        _divided, split, rounds, heads, slots, tile, point.machine.processors, point.requests, at_end
    )
    return found


def _divided(
    split: Split, rounds: Rounds, heads: Number, slots: int, tile: int, processors: int, requests: Number, at_end: bool
) -> tuple[Number, Rounds, Number, Number]:
    tiles, visits, masked, longest = tally(rounds)
    alone = 0, rounds, heads, tiles * heads
    if longest == 0:
        return alone
    if split.rule == "stream-k":
        grid, share, longer = stream_k(visits * heads, tiles * heads, slots, split.maximum)
        # Partial tiles are spread evenly: a linearised tile space has no row structure left.
        each = minimum(share, ceil(masked * heads / grid))
        shares = [(longer, share, each), (grid - longer, share - 1, minimum(each, share - 1))]
        if not many(grid, share):
            shares = [one for one in shares if one[0]]
        return maximum(1, ceil(grid / maximum(1, tiles * heads))), tuple(shares), 1, grid
    if split.rule in ("fill", "pieces"):
        whole = (tiles * heads, visits * heads, longest)
        piece = piece_tiles(split, whole, lambda length: _pieces(rounds, length) * heads, tile, processors)
        count = ceil(longest / piece)
    else:
        piece, count = 0, split_count(split, heads * tiles, longest, processors, requests)
    if count == 1:
        return alone
    lanes = count_of(piece, count, heads, longest, visits, masked)
    if lanes or not isinstance(rounds, tuple):
        from attnsim.evaluate.lanedivision import cut

        cut_rounds = cut(rounds, piece, count, at_end, lanes)
        made = cut_rounds.ctas
        return ceil(made / tiles), cut_rounds, heads, made * heads
    pieces: list[tuple[int, int, int]] = []
    for alike, visited, partial in rounds:
        pieces += shares_of(visited, partial, piece or ceil(visited / count), at_end) * alike
    return ceil(len(pieces) / tiles), merged_rounds(pieces), heads, len(pieces) * heads


def _pieces(rounds: Rounds, length: Number) -> Number:
    """Pieces of at most `length` tiles of all walks of a period."""
    if isinstance(rounds, tuple):
        return sum(count * ceil(visited / length) for count, visited, _ in rounds)
    ragged: Ragged = rounds
    import numpy as np

    return ragged.summed(ragged.count * np.ceil(ragged.visited / ragged.spread(length)))


def shares_of(visited: int, partial: int, each: int, at_end: bool) -> Sequence[Any]:
    """One walk cut into pieces of at most `each` tiles, as (1, visited, partial). Masked tiles lie at the end of a walk over the keys,
    hence in its last pieces; a walk that is cut along the queries has its share of them in every piece.
    """
    sizes = [min(each, visited - first) for first in range(0, visited, each or 1)]
    pieces: list[tuple[int, int, int]] = []
    for left in range(len(sizes), 0, -1):
        size = sizes[left - 1]
        masked = min(size, partial if at_end else ceil(partial / left))
        pieces.append((1, size, masked))
        partial -= masked
    return pieces[::-1]
