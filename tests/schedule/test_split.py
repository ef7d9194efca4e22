"""Split-KV counts against the kernels' own heuristics, written out again with exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from attnsim.schedule.schedule import load_schedule
from attnsim.schedule.split import piece_tiles, split_count, stream_k
from attnsim.spec.schedule import Split

FA2 = Split(rank="M", rule="wave-efficiency", slots_per_processor=2)
NEAR = Fraction(1, 10**9)

processors = st.sampled_from((78, 92, 108, 114, 132, 148, 304))
rows, tiles = st.integers(1, 700), st.integers(1, 1200)


def num_splits_heuristic(rows: int, slots: int, tiles: int, most: int, least: int = 1) -> int | None:
    """flash_api.cpp, in exact arithmetic; None where a threshold is hit so closely that rounding may decide.

    A split count is a real one when the longest share shrinks against one split fewer; among real ones the smallest is taken whose last
    wave is filled at least 0.85 times as well as that of the best.
    """
    if tiles <= least:
        return 1
    filled = Fraction(rows, slots)
    if abs(filled - Fraction(8, 10)) < NEAR:
        return None
    if filled > Fraction(8, 10):
        return 1
    best, scores = Fraction(0), []
    for count in range(1, min(most, slots, tiles) + 1):
        shares = [len(range(i, tiles, count)) for i in range(count)]
        before = [len(range(i, tiles, count - 1)) for i in range(count - 1)]
        if before and max(shares) == max(before):
            continue
        waves = Fraction(rows * count, slots)
        score = waves / ceil(waves)
        best = max(best, score)
        scores.append((count, score))
    wanted = Fraction(85, 100) * best
    if any(abs(score - wanted) < NEAR for _, score in scores):
        return None
    return next(count for count, score in scores if score > wanted)


@given(rows, tiles, processors)
def test_flash_attention_2_splits_as_its_source_does(rows: int, tiles: int, processors: int) -> None:
    wanted = num_splits_heuristic(rows, 2 * processors, tiles, 128)
    assume(wanted is not None)
    assert split_count(FA2, rows, tiles, processors) == wanted


@given(rows, st.integers(1, 40), processors)
def test_flash_attention_3_never_splits_four_tiles_or_fewer(rows: int, tiles: int, processors: int) -> None:
    split = load_schedule("flash-attention-3").spec.split
    assert split is not None
    wanted = num_splits_heuristic(rows, processors, tiles, 128, least=4)
    assume(wanted is not None)
    assert split_count(split, rows, tiles, processors) == wanted
    assert tiles > 4 or wanted == 1


@given(st.integers(1, 40), st.integers(1, 200), tiles, processors)
def test_pieces_of_even_share_are_no_longer_than_a_slot_is_due(heads: int, requests: int, tiles: int, processors: int) -> None:
    split = Split(rank="M", rule="even-share", min_tiles=4)
    count = split_count(split, heads * requests, tiles, processors, requests)
    due = ceil(Fraction(11, 10) * heads * requests * tiles / processors)
    lone = split_count(Split(rank="M", rule="wave-efficiency", min_tiles=4), heads, tiles, processors)
    assert count == 1 if tiles <= 4 else 1 <= count <= lone
    if 1 < count < lone:
        assert ceil(tiles / count) <= due + 1


def test_by_hand() -> None:
    # One head of 64 tiles on an A100, 216 slots. More splits fill more, so 0.85 of the best needs 55 splits; 55 to 63 leave a share of
    # two tiles, as 32 does already, so 64 it is.
    assert split_count(FA2, 1, 64, 108) == 64
    # Eight heads: 22 splits (3 tiles each) fill 176 of 216 slots, 0.81. 27 would fill all, but leave 3 tiles too. 32 splits need a second
    # wave (0.59), 64 a third (0.79), and 16 fill 0.59.
    assert split_count(FA2, 8, 64, 108) == 22
    # A hundred heads: two splits fill 200 of 216 slots, 0.93. From 0.8 of the slots on, 172.8, nothing is split.
    assert split_count(FA2, 100, 64, 108) == 2
    assert split_count(FA2, 172, 64, 108) > 1
    assert split_count(FA2, 173, 64, 108) == 1


@given(rows, tiles, processors, st.integers(1, 4))
def test_fill_takes_what_fits_into_one_wave(rows: int, tiles: int, processors: int, each: int) -> None:
    count = split_count(Split(rank="M", rule="fill", slots_per_processor=each), rows, tiles, processors)
    slots = each * processors
    assert 1 <= count <= min(tiles, 128)
    assert count == 1 or rows * count <= slots
    assert count == min(tiles, 128) or rows * (count + 1) > slots


@given(rows, tiles, processors, st.integers(1, 4))
def test_equal_walks_are_cut_alike_by_both_ways_to_count(rows: int, tiles: int, processors: int, each: int) -> None:
    split = Split(rank="M", rule="fill", slots_per_processor=each)
    assert _piece(split, [(rows, tiles)], 64, processors) == ceil(tiles / split_count(split, rows, tiles, processors))


def _piece(split: Split, walks: list[tuple[int, int]], tile: int, processors: int) -> int:
    whole = (sum(count for count, _ in walks), sum(count * visited for count, visited in walks), max(visited for _, visited in walks))
    piece: int = piece_tiles(split, whole, lambda size: sum(count * ceil(visited / size) for count, visited in walks), tile, processors)
    return piece


@given(st.lists(st.tuples(st.integers(1, 40), tiles), min_size=1, max_size=8), processors, st.sampled_from((1, 128, 1000)))
def test_ragged_walks_are_cut_into_the_shortest_pieces_that_fill_one_wave(
    walks: list[tuple[int, int]], processors: int, least: int
) -> None:
    """PrefillBinarySearchKVChunkSize, in tiles of 64."""
    split = Split(rank="M", rule="fill", slots_per_processor=2, least=least, maximum=10_000)
    piece, longest = _piece(split, walks, 64, processors), max(visited for _, visited in walks)

    def pieces(size: int) -> int:
        return sum(count * ceil(visited / size) for count, visited in walks)

    assert piece <= longest
    if sum(count for count, _ in walks) > 2 * processors:
        assert piece == longest
    elif piece > 1:
        assert pieces(piece) <= 2 * processors
        assert piece == min(longest, ceil(least / 64)) or longest == 1 or pieces(piece - 1) > 2 * processors


@given(st.integers(1, 128), st.integers(1, 3000), processors)
def test_pieces_are_as_long_as_mla_plan_makes_them(requests: int, tiles: int, processors: int) -> None:
    split = load_schedule("flashinfer-mla").spec.split
    assert split is not None
    share = ceil(requests * tiles * 64 / processors)
    limit = next((keys for most, keys in ((8, 32), (16, 64), (32, 128), (64, 192)) if share <= most), ceil(share / 256) * 256)
    assert _piece(split, [(requests, tiles)], 64, processors) == min(tiles, ceil(limit / 64))


@given(rows, tiles, processors, st.sampled_from(("wave-efficiency", "fill")), st.integers(1, 32))
def test_the_maximum_is_one(rows: int, tiles: int, processors: int, rule: Any, most: int) -> None:
    assert split_count(Split(rank="M", rule=rule, maximum=most), rows, tiles, processors) <= most


@given(rows, tiles, processors)
def test_stream_k_has_no_count_of_its_own(rows: int, tiles: int, processors: int) -> None:
    assert split_count(Split(rank="M", rule="stream-k"), rows, tiles, processors) == 1


@given(st.integers(1, 2000), st.integers(1, 500), st.integers(1, 1000), st.integers(1, 128))
def test_stream_k_shares_differ_by_one_tile_at_most(rows: int, each: int, slots: int, most: int) -> None:
    total = rows * each
    grid, longest, longer = stream_k(total, rows, slots, most)
    assert 1 <= grid <= total
    assert grid <= max(slots, rows * most)
    assert 1 <= longer <= grid
    # every tile once: `longer` CTAs take the longer share, the rest one tile less, and nobody is idle
    assert longer * longest + (grid - longer) * (longest - 1) == total
    assert longest == ceil(Fraction(total, grid))
    assert longer == grid or longest >= 2


def test_stream_k_uses_every_slot_of_a_long_decode() -> None:
    # LeanAttention on an A100: 216 slots, 56 heads of 500 tiles; 28000 tiles are 129 or 130 each.
    assert stream_k(56 * 500, 56, 216, 32) == (216, 130, 136)
    # Still every slot when there are only two or three tiles for each.
    assert stream_k(600, 3, 216, 32) == (216, 3, 168)
    # A small problem: two tiles a CTA, at most 32 CTAs a walk.
    assert stream_k(300, 3, 216, 32) == (96, 4, 12)
    assert stream_k(100, 50, 216, 32) == (50, 2, 50)
    assert stream_k(1, 1, 216, 32) == (1, 1, 1)
