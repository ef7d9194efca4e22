"""The tiles that the CTAs of a kernel walk, in the order they are launched: of one mask for all heads, or of another one for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from attnsim.errors import InfeasibleError
from attnsim.evaluate.point import Point
from attnsim.lanes import Number, OneByOne, largest
from attnsim.mask.base import Mask, TileWalk
from attnsim.mask.base import Rounds as PlainRounds
from attnsim.spec.schedule import Tile
from attnsim.tape import call

if TYPE_CHECKING:
    from attnsim.mask.ragged import LaneWalk, Ragged

Rounds: TypeAlias = Union[tuple[tuple[Number, Number, Number], ...], "Ragged"]
"""(CTAs, tiles each of them visits, of these with a mask computed), in launch order; Ragged where lanes have other numbers of them."""
#: Beyond so many runs of CTAs the same head of all batch elements is launched tile by tile.
ORDERED_RUNS = 20_000


HeadWalks: TypeAlias = Sequence[tuple[Number, Mask, Union[TileWalk, "LaneWalk"]]]
"""(query heads, their mask, tiles visited by tile) in the order of the heads."""


def query_walks(point: Point, row: Tile, pack: int = 1) -> HeadWalks:
    """Key tiles by query tile. Raises InfeasibleError for tiles that the mask cannot be cut into."""
    q_tile, k_tile, dynamic = row.shape(point.query), row.shape(point.key), point.schedule.spec.key_tiles == "dynamic"

    def walk(mask: Mask, p: Number, m: Number) -> Any:
        return _in_blocks(point, mask, row, pack, call(type(mask).walk, mask, p, m, q_tile, k_tile, pack, dynamic))

    return _walks(point, walk)


def key_walks(point: Point, row: Tile, pack: int) -> HeadWalks:
    """Query tiles by key tile."""
    q_tile, k_tile = row.shape(point.query), row.shape(point.key)
    return _walks(point, lambda mask, p, m: call(type(mask).walk_keys, mask, p, m, k_tile, q_tile, pack))


def _walks(point: Point, walk: Callable[[Mask, Number, Number], Any]) -> HeadWalks:
    p, m = point.sizes[point.query], point.sizes[point.key]
    try:
        return [(count, mask, walk(mask, p, m)) for count, mask in point.masks]
    except ValueError as error:
        raise InfeasibleError(f"schedule {point.schedule.name}: {error}") from None


def grid_rounds(point: Point, walks: HeadWalks, batch_order: tuple[str, ...], whole: bool, pack: int) -> tuple[Rounds, Number]:
    """(CTAs, tiles visited, of them masked) of one period of the grid in launch order, and how often it comes.

    One mask: the period is a head. Several: all heads of a batch element, each as often in a row as ranks that vary faster repeat it.
    whole: a CTA walks all the tiles of its head.
    """
    heads = point.heads // pack
    if len(walks) == 1:
        return _rounds(point, *walks[0][1:], whole), heads
    if point.many:
        raise OneByOne
    fast = 1
    for rank in batch_order:
        if rank == point.cascade.head_rank:
            break
        fast *= point.sizes.get(rank, 1)
    period: list[tuple[int, int, int]] = []
    for count, mask, walk in walks:
        if count % pack:
            raise InfeasibleError(f"schedule {point.schedule.name} packs {pack} query heads into a tile, but their masks differ")
        one, times = tuple(_rounds(point, mask, walk, whole)), count // pack * fast
        period += one * times if len(one) * times <= ORDERED_RUNS else [(n * times, visited, masked) for n, visited, masked in one]
    return merged_rounds(period), heads * pack // (sum(count for count, _, _ in walks) * fast)


def _rounds(point: Point, mask: Mask, walk: Any, whole: bool) -> Any:
    return call(_rounds_of, walk, _masking(point, mask, walk), whole)


def _rounds_of(walk: Any, masked: Literal["partial", "visited", "none"], whole: bool) -> Any:
    if not isinstance(walk, TileWalk):
        runs: Ragged = walk.runs.masking(masked)
        if whole:
            return ((1, walk.visited_total, runs.summed(runs.count * runs.partial)),)
        return runs.single() or runs
    rounds = walk.rounds(masked)
    return PlainRounds([(1, walk.visited_total, rounds.tally[2])]) if whole else rounds


def tally(rounds: Rounds) -> tuple[Number, Number, Number, Number]:
    """(CTAs, tiles they visit in all, of these with a mask computed, tiles of the longest) of one period."""
    if not isinstance(rounds, tuple):
        visits, masked = (rounds.summed(rounds.count * each) for each in (rounds.visited, rounds.partial))
        return rounds.ctas, visits, masked, rounds.largest(rounds.visited)
    if isinstance(rounds, PlainRounds):
        return rounds.tally
    return (
        sum(count for count, _, _ in rounds),
        sum(count * visited for count, visited, _ in rounds),
        sum(count * partial for count, _, partial in rounds),
        largest((visited for _, visited, _ in rounds), 0),
    )


def _in_blocks(point: Point, mask: Mask, row: Tile, pack: int, walk: Any) -> Any:
    """The walk under a mask stored in blocks. ValueError for blocks that are not whole tiles."""
    blocks, tile = point.schedule.spec.block_mask, row.sizes()
    if blocks is None or mask.kind == "dense":
        return walk
    sides = []
    for rank in (point.query, point.key):
        side = blocks.get(rank, tile[rank])
        if side % tile[rank] or (side != tile[rank] and isinstance(row.shape(rank), tuple)):
            raise ValueError(f"a mask in blocks of {side} along {rank} cannot be cut into its tiles of {tile[rank]}")
        sides.append(side)
    rows, across = sides[0] // tile[point.query], sides[1] // tile[point.key]
    if rows == across == 1:
        return walk
    stored = call(type(mask).walk, mask, point.sizes[point.query], point.sizes[point.key], sides[0], sides[1], pack)
    return call(_within, walk, stored, rows, across)


def _within(walk: Any, stored: Any, rows: int, across: int) -> Any:
    """One function for the walks of one point and of many, which have a method each."""
    return walk.within(stored, rows, across)


def _masking(point: Point, mask: Mask, walk: Any) -> Literal["partial", "visited", "none"]:
    """Which of the tiles visited from a tile compute their mask."""
    rule = point.schedule.spec.masking
    if rule == "partial" or mask.kind == "dense" or (rule == "whole-windows" and point.context["mask"] != "window"):
        return "partial"
    # keys out of range are masked apart, at next to no cost
    return "none" if rule == "unless-block-sparse" and walk.block_sparse_test else "visited"


def merged_rounds(pieces: Iterable[tuple[int, int, int]]) -> Rounds:
    """The same, neighbours that are alike together."""
    out: list[tuple[int, int, int]] = []
    for count, visited, partial in pieces:
        if out and out[-1][1:] == (visited, partial):
            out[-1] = (out[-1][0] + count, visited, partial)
        else:
            out.append((count, visited, partial))
    return PlainRounds(out)
