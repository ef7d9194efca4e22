"""Bands of blocks and strided columns against boolean masks: counts, every tile of every walk, published densities."""

import numpy as np
import pytest
from brute import tiled, unrolled
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.mask import CAUSAL
from attnsim.mask.strided import Strided


@st.composite
def masks(draw):
    stride = draw(st.none() | st.integers(1, 6))
    return Strided.of(
        draw(st.integers(1, 9)),
        draw(st.integers(0, 4)),
        stride,
        draw(st.integers(0, (stride or 1) - 1)),
        draw(st.integers(0, 3)),
        draw(st.booleans()),
    )


SIZES, TILES, PACKS = st.integers(1, 60), st.integers(1, 14), st.integers(1, 4)


def attended(mask: Strided, P: int, M: int) -> np.ndarray:
    """By the words of the class, pair by pair."""
    out = np.zeros((P, M), bool)
    local = min(mask.alpha, M)
    local = -(-local // mask.block)
    for p in range(P):
        q = p + M - P
        for k in range(M):
            i, j = q // mask.block, k // mask.block
            near = abs(i - j) < local or j < mask.sinks or (mask.stride is not None and j % mask.stride == mask.offset)
            out[p, k] = near and (k <= q or not mask.causal)
    return out


@settings(max_examples=300)
@given(masks(), SIZES, SIZES, TILES)
def test_counts_equal_brute_force(mask, P, M, block):
    exists = attended(mask, P, M)
    assert (mask.attends(P, M) == exists).all()
    assert mask.pairs(P, M) == exists.sum()
    assert mask.queries(P, M) == exists.any(axis=1).sum()
    assert mask.keys(P, M) == exists.any(axis=0).sum()
    assert mask.row_blocks(P, M, block) == tiled(exists, 1, block, 1)[0].sum()


@settings(max_examples=1000)
@given(masks(), SIZES, SIZES, TILES, TILES, PACKS)
def test_every_tile_of_both_walks_equals_brute_force(mask, P, M, q_tile, k_tile, pack):
    exists = attended(mask, P, M)
    visited, partial = tiled(exists, q_tile, k_tile, pack)
    walk = mask.walk(P, M, q_tile, k_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=1), partial.sum(axis=1), strict=True))
    inside = visited & ~tiled(np.pad(exists, ((0, 0), (0, -M % k_tile)), constant_values=True), q_tile, k_tile, pack)[1]
    assert walk.full_total == inside.sum()
    walk = mask.walk_keys(P, M, k_tile, q_tile, pack)
    assert unrolled(walk) == list(zip(visited.sum(axis=0), partial.sum(axis=0), strict=True))


@pytest.mark.parametrize("stride, published", [(16, 12.97), (32, 21.59), (64, 32.32)])
def test_densities_of_s2_attention(stride, published):
    """Heterogeneous context sharding at 128K: 16 local blocks of 64, one column in `stride`, other ones for each head."""
    causal = CAUSAL.walk(2**17, 2**17, 64, 64).visited_total
    shards = [Strided.of(64, 16, stride, offset).walk(2**17, 2**17, 64, 64).visited_total for offset in range(stride)]
    assert causal / (sum(shards) / stride) == pytest.approx(published, abs=0.005)
