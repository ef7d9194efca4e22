"""Banded masks against boolean masks written from their definition: counts, and every tile of every walk."""

import numpy as np
import pytest
from brute import tiled, unrolled
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.mask import CAUSAL, DENSE, Banded, Mask, Run, from_spec
from attnsim.spec.mask import CausalMask, DenseMask, SinksMask, WindowMask

REACH = st.none() | st.integers(0, 30)
MASKS = st.one_of(
    st.builds(DenseMask),
    st.builds(CausalMask, kind=st.just("causal")),
    st.builds(WindowMask, kind=st.just("window"), left=REACH, right=REACH),
    st.builds(SinksMask, kind=st.just("sinks"), sinks=st.integers(1, 20), left=REACH, right=REACH),
)
SIZES = st.integers(1, 40)
TILES = st.integers(1, 12)
PACKS = st.integers(1, 5)


def attends(spec: DenseMask | CausalMask | WindowMask | SinksMask, P: int, M: int) -> np.ndarray:
    """(P, M) booleans by the words of the specification."""
    left = getattr(spec, "left", None)
    right = 0 if spec.kind == "causal" else getattr(spec, "right", None)
    q = np.arange(P)[:, None] + M - P
    k = np.arange(M)[None, :]
    not_after = np.full((P, M), True) if right is None else k <= q + right
    not_before = np.full((P, M), True) if left is None else k >= q - left
    return not_after & (not_before | (k < getattr(spec, "sinks", 0)))


@given(MASKS, SIZES, SIZES, TILES)
def test_counts_equal_brute_force(spec, P, M, block):
    exists, mask = attends(spec, P, M), from_spec(spec)
    touched = tiled(exists, 1, block, 1)[0]
    assert (mask.attends(P, M) == exists).all()
    assert mask.pairs(P, M) == exists.sum()
    assert mask.row_blocks(P, M, block) == touched.sum()
    assert mask.queries(P, M) == exists.any(axis=1).sum()
    assert mask.keys(P, M) == exists.any(axis=0).sum()


@settings(max_examples=200)
@given(MASKS, SIZES, SIZES, TILES, TILES, PACKS)
def test_every_tile_of_both_walks_equals_brute_force(spec, P, M, q_tile, k_tile, pack):
    visited, partial = tiled(attends(spec, P, M), q_tile, k_tile, pack)
    walk = from_spec(spec).walk(P, M, q_tile, k_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=1), partial.sum(axis=1), strict=True))
    walk = from_spec(spec).walk_keys(P, M, k_tile, q_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=0), partial.sum(axis=0), strict=True))


@settings(max_examples=60)
@given(
    MASKS,
    st.integers(100, 200),
    st.integers(100, 200),
    st.sampled_from([(2, 2, 1), (4, 2, 1), (2, 4, 1), (8, 4, 2), (4, 4, 2), (2, 4, 4), (6, 2, 3), (6, 4, 4)]),
)
def test_long_walks_whose_tiles_repeat_equal_brute_force(spec, P, M, shape):
    q_tile, k_tile, pack = shape
    visited, partial = tiled(attends(spec, P, M), q_tile, k_tile, pack)
    walk = from_spec(spec).walk(P, M, q_tile, k_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=1), partial.sum(axis=1), strict=True))
    walk = from_spec(spec).walk_keys(P, M, k_tile, q_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=0), partial.sum(axis=0), strict=True))


@given(MASKS, SIZES, SIZES, TILES, TILES, PACKS)
def test_a_walk_sums_up_its_own_runs(spec, P, M, q_tile, k_tile, pack):
    walk = from_spec(spec).walk(P, M, q_tile, k_tile, pack)
    visited, partial = zip(*unrolled(walk), strict=True)
    assert walk.tile_count == len(visited) == -(-P * pack // q_tile)
    assert (walk.visited_total, walk.partial_total, walk.max_visited) == (sum(visited), sum(partial), max(visited))
    assert walk.all_total == walk.tile_count * -(-M // k_tile) == DENSE.walk(P, M, q_tile, k_tile, pack).visited_total
    assert (walk.tile, walk.extent) == (q_tile, P * pack)
    assert [(walk.at(i).visited, walk.at(i).partial) for i in range(walk.tile_count)] == unrolled(walk)
    neighbours = zip(walk.runs, walk.runs[1:], strict=False)
    assert all((a.visited, a.partial) != (b.visited, b.partial) for a, b in neighbours)


# --- laws ---


@given(MASKS, SIZES, SIZES, TILES, TILES, PACKS)
def test_both_walks_go_over_the_same_tile_pairs(spec, P, M, q_tile, k_tile, pack):
    rows, keys = from_spec(spec).walk(P, M, q_tile, k_tile, pack), from_spec(spec).walk_keys(P, M, k_tile, q_tile, pack)
    assert (rows.visited_total, rows.partial_total) == (keys.visited_total, keys.partial_total)
    assert (rows.tile_count, rows.across) == (keys.across, keys.tile_count)


@given(MASKS, SIZES, SIZES, TILES, TILES, PACKS)
def test_visited_tiles_have_room_for_the_pairs_and_full_ones_are_full(spec, P, M, q_tile, k_tile, pack):
    mask = from_spec(spec)
    walk, pairs = mask.walk(P, M, q_tile, k_tile, pack), mask.pairs(P, M) * pack
    assert 0 <= walk.partial_total <= walk.visited_total <= walk.all_total
    assert walk.visited_total * q_tile * k_tile >= pairs
    full = sum((v - p) * min(q_tile, P * pack - i * q_tile) * k_tile for i, (v, p) in enumerate(unrolled(walk)))
    assert full <= pairs


def ordered(smaller: Mask, larger: Mask, P: int, M: int, q_tile: int, k_tile: int) -> bool:
    return (
        smaller.pairs(P, M) <= larger.pairs(P, M)
        and smaller.row_blocks(P, M, k_tile) <= larger.row_blocks(P, M, k_tile)
        and smaller.keys(P, M) <= larger.keys(P, M)
        and all(a[0] <= b[0] for a, b in zip(*(unrolled(m.walk(P, M, q_tile, k_tile)) for m in (smaller, larger)), strict=True))
    )


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 20), st.integers(0, 9), SIZES, SIZES, TILES, TILES)
def test_more_reach_never_means_less_work(left, right, sinks, more, P, M, q_tile, k_tile):
    mask = Banded.of(left, right, sinks)
    for wider in (Banded.of(left + more, right, sinks), Banded.of(left, right + more, sinks), Banded.of(left, right, sinks + more), DENSE):
        assert ordered(mask, wider, P, M, q_tile, k_tile)
    assert ordered(Banded.of(left, 0, sinks), CAUSAL, P, M, q_tile, k_tile)
    assert ordered(CAUSAL, DENSE, P, M, q_tile, k_tile)


@given(MASKS, SIZES, SIZES)
def test_a_window_past_both_ends_is_dense(spec, P, M):
    assert Banded.of(P + M, P + M).pairs(P, M) == P * M
    assert Banded.of(P + M, P + M).walk(P, M, 4, 4) == DENSE.walk(P, M, 4, 4)


# --- known values ---


def test_published_and_hand_counted_values():
    assert CAUSAL.pairs(8192, 8192) == 8192 * 8193 // 2
    assert CAUSAL.pairs(1, 8192) == 8192, "a decoded token sees the whole cache"
    assert CAUSAL.pairs(2, 5) == 4 + 5, "bottom-right: the first of two queries sees all keys but one"
    assert CAUSAL.pairs(5, 2) == 1 + 2 and CAUSAL.queries(5, 2) == 2, "queries before the first key attend nothing"
    assert Banded.of(3, 0).pairs(6, 6) == 1 + 2 + 3 + 4 + 4 + 4
    assert Banded.of(1, 0, 2).pairs(6, 6) == 1 + 2 + 3 + 4 + 4 + 4
    assert Banded.of(1023, 0).keys(1, 8192) == 1024
    assert Banded.of(1023, 0, 4).keys(1, 8192) == 1028
    assert CAUSAL.walk(256, 256, 128, 64).runs == (Run(1, 2, 2), Run(1, 4, 2))
    assert CAUSAL.walk(5, 2, 2, 2).runs == (Run(1, 0, 0), Run(1, 1, 1), Run(1, 1, 0)), "the last query sees both keys"
    assert CAUSAL.walk_keys(256, 256, 64, 128).runs == (Run(2, 2, 1), Run(2, 1, 1))
    assert DENSE.walk(8192, 8192, 128, 128).runs == (Run(64, 64, 0),)
    assert DENSE.walk(8192, 8190, 128, 128).runs == (Run(64, 64, 1),), "a short last key tile needs masking"
    assert DENSE.walk(8190, 8192, 128, 128).runs == (Run(64, 64, 0),), "a short last query tile does not"


def test_packing_shares_a_key_tile_among_the_heads_of_a_group():
    assert CAUSAL.walk(1, 8192, 64, 128, pack=8).runs == (Run(1, 64, 0),)
    assert CAUSAL.walk(8, 64, 16, 8, pack=4).runs == (Run(2, 8, 1),)
    assert CAUSAL.walk(2, 64, 3, 8, pack=4).tile_count == 3, "a tile may end in the middle of a query's heads"


@given(MASKS, SIZES, SIZES, TILES, TILES, PACKS)
def test_packed_tiles_of_whole_queries_look_like_unpacked_ones(spec, P, M, q_tile, k_tile, pack):
    mask = from_spec(spec)
    assert mask.walk(P, M, q_tile * pack, k_tile, pack).runs == mask.walk(P, M, q_tile, k_tile).runs


# --- numbers of every sort ---


@given(MASKS, st.lists(st.tuples(SIZES, SIZES, TILES), min_size=1, max_size=8))
def test_arrays_are_elementwise(spec, cases):
    mask = from_spec(spec)
    P, M, block = (np.array(column) for column in zip(*cases, strict=True))
    assert mask.pairs(P, M).tolist() == [mask.pairs(p, m) for p, m, _ in cases]
    assert mask.row_blocks(P, M, block).tolist() == [mask.row_blocks(p, m, b) for p, m, b in cases]
    assert np.broadcast_to(mask.keys(P, M), P.shape).tolist() == [mask.keys(p, m) for p, m, _ in cases]
    assert np.broadcast_to(mask.queries(P, M), P.shape).tolist() == [mask.queries(p, m) for p, m, _ in cases]
    assert mask.pairs(int(P[0]), M).tolist() == [mask.pairs(int(P[0]), m) for _, m, _ in cases]


def test_large_sizes_neither_overflow_nor_lose_a_pair():
    n = 2**40
    assert CAUSAL.pairs(n, n) == n * (n + 1) // 2, "Python ints are exact"
    assert CAUSAL.pairs(np.array([n]), np.array([n]))[0] == pytest.approx(n * (n + 1) / 2, rel=1e-15)
    assert CAUSAL.pairs(np.array([n], dtype=object), np.array([n], dtype=object))[0] == n * (n + 1) // 2
    assert CAUSAL.pairs(np.int64(n), np.int64(n)) == n * (n + 1) // 2, "numpy scalars become Python ints"
    assert Banded.of(1023, 0, 4).pairs(np.array([2**20]), 2**20)[0] == Banded.of(1023, 0, 4).pairs(2**20, 2**20)


@pytest.mark.parametrize("P, M", [(0, 4), (4, 0), (-1, 4), (4, np.array([4.0, 0.0])), (np.array([2.5]), 4)])
def test_impossible_sizes_are_refused(P, M):
    with pytest.raises(ValueError, match="at least 1"):
        CAUSAL.pairs(P, M)


def test_impossible_tiles_and_indices_are_refused():
    with pytest.raises(ValueError, match="q_tile=0"):
        CAUSAL.walk(4, 4, 0, 4)
    with pytest.raises(ValueError, match="pack=0"):
        CAUSAL.walk_keys(4, 4, 4, 4, 0)
    with pytest.raises(ValueError, match="left must not be negative"):
        Banded.of(-1, 0)
    for index in (-1, 2):
        with pytest.raises(IndexError):
            CAUSAL.walk(8, 8, 4, 4).at(index)


def test_a_mask_that_repeats_costs_the_same_at_any_length():
    """A growing context must not cost a growing number of tiles: runs stay few where tiles look alike."""
    n = 2**30
    assert DENSE.walk(n, n, 128, 128).runs == (Run(n // 128, n // 128, 0),)
    assert len(Banded.of(1023, 0).walk(n, n, 128, 128).runs) == 9
    assert len(Banded.of(1023, 0, 4).walk_keys(n, n, 64, 128, pack=2).runs) < 40
