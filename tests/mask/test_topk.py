"""Blocks that are chosen at run time: counts that every choice has in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.mask import CAUSAL, DENSE
from attnsim.mask.topk import Topk

SIZES = st.integers(1, 80)


def chosen(mask: Topk, P: int, M: int) -> np.ndarray:
    """One choice: the query's own block and the first ones before it; without causality the first ones."""
    out = np.zeros((P, M), bool)
    for p in range(P):
        q = p + M - P
        own = q // mask.block
        before = range(min(mask.keep - 1, max(own, 0))) if mask.causal else range(mask.keep)
        for block in (*before, own) if mask.causal else before:
            if block >= 0:
                out[p, block * mask.block : (block + 1) * mask.block] = True
        if mask.causal:
            out[p, max(0, q + 1) :] = False
    return out


@given(st.integers(1, 9), st.integers(1, 6), st.booleans(), SIZES, SIZES)
def test_pairs_equal_those_of_a_choice(block, keep, causal, P, M):
    mask = Topk(block, keep=keep, causal=causal)
    assert mask.pairs(P, M) == chosen(mask, P, M).sum()


@given(st.floats(0.01, 1), st.booleans(), SIZES, SIZES)
def test_a_density_is_a_share_of_the_pairs(density, causal, P, M):
    every = (CAUSAL if causal else DENSE).pairs(P, M)
    assert Topk(4, density=density, causal=causal).pairs(P, M) == round(density * every)


@given(st.integers(1, 6), st.integers(1, 4), st.booleans(), st.integers(1, 200), st.integers(1, 200))
def test_queries_that_choose_together_visit_what_they_keep(keep, parts, causal, P, M):
    mask = Topk(4 * parts, keep=keep, together=8, causal=causal)
    walk, every = mask.walk(P, M, 8, 4), (CAUSAL if causal else DENSE).walk(P, M, 8, 4)
    assert walk.tile_count == every.tile_count
    for index in range(walk.tile_count):
        seen, whole = walk.at(index), every.at(index)
        assert seen.visited == min(whole.visited, keep * parts)
        assert seen.partial <= seen.visited


@given(st.integers(1, 6), st.booleans(), st.integers(1, 300))
def test_gathered_queries_fill_tiles_of_each_block(keep, causal, P):
    mask = Topk(16, keep=keep, causal=causal)
    walk = mask.walk(P, P, 8, 4)
    assert walk.visited_total * 8 * 4 >= mask.pairs(P, P), "all chosen pairs have room in the tiles"
    assert walk.all_total == DENSE.walk(P, P, 8, 4).all_total
    assert walk.max_visited <= 4, "a tile of gathered queries walks one block"
    keys = mask.walk_keys(P, P, 4, 8)
    assert (keys.visited_total, keys.partial_total) == (walk.visited_total, walk.partial_total)


def test_tiles_have_to_divide_blocks():
    with pytest.raises(ValueError, match="a block of 64 chosen keys is not whole tiles of 128"):
        Topk(64, keep=4, together=128).walk(1024, 1024, 128, 128)
    with pytest.raises(ValueError, match="known only when it runs"):
        Topk(64, keep=4).attends(64, 64)
