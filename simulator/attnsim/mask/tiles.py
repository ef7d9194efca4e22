"""The tiles that a band of keys with a prefix of sinks visits (names as in counts.py), tile by tile in closed form.

Along both axes the limits of a tile's band never decrease from tile to tile. So a tile visits a contiguous range of tiles beside
those of the sinks, and the tiles that need no masking are one contiguous range inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise, repeat

from attnsim.mask.base import TileWalk

Limits = tuple[int, int, int, int]
"""Of one tile: start of the range seen by any row, start seen by all rows, end seen by all rows, end seen by any row."""
Count = Callable[[Limits], tuple[int, int]]
"""Visited and partial tiles, from the limits."""

_CACHED_WALKS = 128  # a walk of 1M queries holds some 10 000 runs of about 80 bytes


@lru_cache(maxsize=_CACHED_WALKS)
def walk_queries(left: int | None, right: int | None, sinks: int, P: int, M: int, q_tile: int, k_tile: int, pack: int) -> TileWalk:
    """Per tile of q_tile rows (P * pack rows in all), the tiles of k_tile keys visited."""
    shift = M - P
    back = P + M if left is None else left  # P + M reaches past either end from every position
    ahead = (P + M if right is None else right) + 1
    rows = P * pack
    sink_tiles = -(-sinks // k_tile)
    sink_end = sink_tiles * k_tile

    def limits(tile: int) -> Limits:
        first = tile * q_tile // pack + shift
        last = (min(tile * q_tile + q_tile, rows) - 1) // pack + shift
        any_start, all_start, all_end, any_end = first - back, last - back, first + ahead, last + ahead
        return (
            any_start if any_start > sink_end else sink_end,
            all_start if all_start > 0 else 0,
            M if all_end > M else all_end if all_end > 0 else 0,
            M if any_end > M else any_end if any_end > 0 else 0,
        )

    def count(limits: Limits) -> tuple[int, int]:
        any_start, all_start, all_end, any_end = limits
        visited = -(-any_end // k_tile) - any_start // k_tile + sink_tiles
        if all_start <= sinks:  # no gap between the sinks and the window in any row
            return visited, visited - all_end // k_tile
        full = all_end // k_tile - -(-all_start // k_tile)
        return visited, visited - (full if full > 0 else 0) - min(sinks, all_end) // k_tile

    ends = [limit - shift for limit in (sink_end + back, back, sinks + back, -ahead, M - ahead, sinks - ahead)]
    step = q_tile // pack if q_tile % pack == 0 else 0
    counts = _encode(0, -(-rows // q_tile), limits, count, [end * pack // q_tile for end in ends], step, k_tile)
    return TileWalk.of(counts, q_tile, rows, -(-M // k_tile))


@lru_cache(maxsize=_CACHED_WALKS)
def walk_keys(left: int | None, right: int | None, sinks: int, P: int, M: int, k_tile: int, q_tile: int, pack: int) -> TileWalk:
    """Per tile of k_tile keys, the tiles of q_tile rows (P * pack rows in all) visited."""
    shift = P - M
    back = (P + M if left is None else left) + 1
    ahead = P + M if right is None else right
    rows = P * pack
    tiles = -(-M // k_tile)

    def limits(tile: int) -> Limits:
        first = tile * k_tile
        last = min(first + k_tile, M) - 1
        any_end = P if first < sinks else last + back + shift  # a sink is seen by all the queries it is not ahead of
        all_end = P if last < sinks else max(first, sinks) + back + shift
        return (
            max(first - ahead + shift, 0),
            max(last - ahead + shift, 0),
            P if all_end > P else all_end if all_end > 0 else 0,
            P if any_end > P else any_end if any_end > 0 else 0,
        )

    def count(limits: Limits) -> tuple[int, int]:
        any_start, all_start, all_end, any_end = limits
        visited = -(-any_end * pack // q_tile) - any_start * pack // q_tile
        # Rows beyond the last do not exist and need no mask: a short last query tile is whole once its queries are.
        end = -(-rows // q_tile) if all_end == P else all_end * pack // q_tile
        return visited, visited - max(end - -(-all_start * pack // q_tile), 0)

    sink_tiles = min(-(-sinks // k_tile), tiles)
    whole = M // k_tile
    counts = [(1, *count(limits(tile))) for tile in range(min(sink_tiles, whole))]
    cuts = [limit // k_tile for limit in (ahead - shift, -back - shift, P - back - shift)]
    counts += _encode(sink_tiles, whole, limits, count, cuts, k_tile if k_tile * pack % q_tile == 0 else 0, 1)
    if whole < tiles:  # a short last tile holds keys out of range, so each tile it visits is partial
        visited, _ = count(limits(whole))
        counts.append((1, visited, visited))
    return TileWalk.of(counts, k_tile, M, -(-rows // q_tile))


def _encode(
    start: int, stop: int, limits: Callable[[int], Limits], count: Count, cuts: Iterable[int], step: int, period: int
) -> Iterator[tuple[int, int, int]]:
    """(tiles, visited, partial) of the tiles start ... stop-1, a stretch of equal tiles at once where its ends prove it equal.

    No limit decreases from tile to tile or grows by more than `step` positions (0: not the same whole number for every tile). So
    if over a stretch each limit grew by nothing or by the full step at every tile, the limits between are known; and all its
    tiles are alike if no limit grew, or if all did and `step` is a whole number of tiles of the other axis (`period` divides it).
    `cuts` are the tiles near which a limit meets an end of the sequence: they only say which stretches are worth trying.
    """
    borders = {start, stop, stop - 1, *(cut + offset for cut in cuts for offset in (-1, 0, 1, 2))}
    for first, after in pairwise(sorted(border for border in borders if start <= border <= stop)):
        begin, end = limits(first), limits(after - 1)
        full = step * (after - 1 - first)
        grown = [late - early for early, late in zip(begin, end, strict=True)]
        if not any(grown) or (step and step % period == 0 and min(grown) == full):
            yield after - first, *count(begin)
        elif all(growth in (0, full) for growth in grown):
            between = (range(early, late + 1, step) if late > early else repeat(early) for early, late in zip(begin, end, strict=True))
            for known in zip(*between, strict=False):
                yield 1, *count(known)
        else:
            for tile in range(first, after):
                yield 1, *count(limits(tile))
