"""Masks given block by block against boolean masks, with and without causality."""

import numpy as np
import pytest
from brute import tiled, unrolled
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnsim.mask.blocks import Blocks

TILES, PACKS = st.integers(1, 14), st.integers(1, 4)


@st.composite
def problems(draw):
    """A mask, and sizes that it covers."""
    table = draw(hnp.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
    mask = Blocks.of(table, draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.booleans()))
    sizes = [
        draw(st.integers((blocks - 1) * side + 1, blocks * side))
        for blocks, side in zip(table.shape, (mask.q_block, mask.k_block), strict=True)
    ]
    return mask, *sizes


def attended(mask: Blocks, P: int, M: int) -> np.ndarray:
    pairs = np.kron(mask.table, np.ones((mask.q_block, mask.k_block), bool))[:P, :M]
    return pairs & np.tri(P, M, M - P, dtype=bool) if mask.causal else pairs


@settings(max_examples=300)
@given(problems(), TILES)
def test_counts_equal_brute_force(problem, block):
    mask, P, M = problem
    exists = attended(mask, P, M)
    assert (mask.attends(P, M) == exists).all()
    assert mask.pairs(P, M) == exists.sum()
    assert mask.queries(P, M) == exists.any(axis=1).sum()
    assert mask.keys(P, M) == exists.any(axis=0).sum()
    assert mask.row_blocks(P, M, block) == tiled(exists, 1, block, 1)[0].sum()


@settings(max_examples=600)
@given(problems(), TILES, TILES, PACKS)
def test_every_tile_of_both_walks_equals_brute_force(problem, q_tile, k_tile, pack):
    mask, P, M = problem
    exists = attended(mask, P, M)
    visited, partial = tiled(exists, q_tile, k_tile, pack)
    walk = mask.walk(P, M, q_tile, k_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=1), partial.sum(axis=1), strict=True))
    inside = visited & ~tiled(np.pad(exists, ((0, 0), (0, -M % k_tile)), constant_values=True), q_tile, k_tile, pack)[1]
    assert (walk.full_total, walk.block_sparse) == (inside.sum(), inside.sum() == visited.sum())
    walk = mask.walk_keys(P, M, k_tile, q_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=0), partial.sum(axis=0), strict=True))


def test_sizes_that_the_blocks_do_not_cover():
    mask = Blocks.of(np.ones((4, 2), bool), 64, 128)
    assert mask.fits(256, 256) is None
    assert mask.fits(193, 129) is None
    with pytest.raises(ValueError, match="4 x 2 blocks of 64 x 128 pairs; P = 320, M = 256 need 5 x 2"):
        mask.pairs(320, 256)


def test_equal_tables_are_equal_masks():
    table = np.eye(5, dtype=bool)
    assert Blocks.of(table, 4, 4) == Blocks.of(table.astype(int), 4, 4)
    assert hash(Blocks.of(table, 4, 4)) == hash(Blocks.of(table.copy(), 4, 4))
    assert Blocks.of(table, 4, 4) != Blocks.of(table, 4, 4, causal=True)
