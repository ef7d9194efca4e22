"""Neighborhood masks against boolean masks written from their definition, and against tiles of tokens permuted one by one.

ATTNSIM_EXAMPLES=10000 tries that many random problems instead of a few hundred.
"""

import os
from dataclasses import dataclass
from functools import partial, reduce
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from attnsim.mask import DENSE, from_spec
from attnsim.mask.neighborhood import Neighborhood
from attnsim.spec.mask import MaskSpec

ADAPTER = TypeAdapter(MaskSpec)
several = settings(max_examples=int(os.environ.get("ATTNSIM_EXAMPLES", "150")))


# --- the definition ---


def attended(position: int, length: int, w: int, s: int, causal: bool) -> range:
    """Positions that a position of a group of `length` tokens attends. One in the padding behind the group does as the last token."""
    position = min(position, length - 1)
    together = [p for p in range(length) if p // s == position // s]  # one window for the whole stride group ...
    leader = together[-1] if causal else together[min(s // 2, len(together) - 1)]  # ... that of its leader
    if causal:
        start = min(range(length), key=lambda start: abs(start - (leader - w + 1)))
        return range(start, position + 1)
    start = min(range(length - w + 1), key=lambda start: abs(start - (leader - w // 2)))
    return range(start, start + w)


def group_length(extent: int, d: int, g: int) -> int:
    return len(range(g, extent, d))


def cut(extent: int, tile: int, d: int) -> np.ndarray:
    """(dilation group, tile, row of the tile): positions inside the group, padding included."""
    tiles = -(-extent // (tile * d))
    tokens = np.arange(tiles * tile * d).reshape(tiles, tile, d)
    return tokens.transpose(2, 0, 1) // d


@dataclass(frozen=True)
class Problem:
    shape: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    causal: tuple[bool, ...]
    q_tile: tuple[int, ...]
    k_tile: tuple[int, ...]

    @property
    def mask(self) -> Neighborhood:
        return Neighborhood.of(self.shape, self.window, self.stride, self.dilation, self.causal)

    @property
    def n(self) -> int:
        return prod(self.shape)

    def across(self, extra: int) -> int:
        """Key tiles of self attention, and those of keys that every query attends."""
        return prod(-(-L // t) for L, t in zip(self.shape, self.k_tile, strict=True)) + -(-extra // prod(self.k_tile))

    def axes(self):
        return zip(self.shape, self.window, self.stride, self.dilation, self.causal, self.q_tile, self.k_tile, strict=True)

    def exists(self) -> np.ndarray:
        """(N, N) booleans, tokens in row-major order: the Cartesian product of what each axis attends."""
        one_axis = []
        for L, w, s, d, causal, _, _ in self.axes():
            attends = np.zeros((L, L), bool)
            for x in range(L):
                keys = attended(x // d, group_length(L, d, x % d), w, s, causal)
                attends[x, [x % d + d * p for p in keys]] = True
            one_axis.append(attends)
        return reduce(np.kron, one_axis)

    def permuted(self, tile: tuple[int, ...], copy_last: bool = False) -> np.ndarray:
        """(tiles, rows of a tile) tokens: padded, dilation groups outermost, axes in order. Padding is -1, or the last token's copy."""
        per_axis = []
        for L, T, d in zip(self.shape, tile, self.dilation, strict=True):
            positions = cut(L, T, d)
            tokens = np.empty_like(positions)
            for g in range(d):
                last = group_length(L, d, g) - 1
                real = np.minimum(positions[g], last) * d + g
                tokens[g] = real if copy_last else np.where(positions[g] <= last, real, -1)
            per_axis.append(tokens)
        n = len(per_axis)
        token, real = np.zeros((), int), np.ones((), bool)
        for axis, tokens in enumerate(per_axis):
            place = [1] * (3 * n)  # groups of all axes, tiles of all axes, rows of all axes
            place[axis], place[n + axis], place[2 * n + axis] = tokens.shape
            token = token * self.shape[axis] + tokens.reshape(place)
            real = real & (tokens >= 0).reshape(place)
        return np.where(real, token, -1).reshape(-1, prod(tile))


def membership(tiles: np.ndarray, n: int) -> np.ndarray:
    """(tiles, N) how often a token is in a tile."""
    out = np.zeros((len(tiles), n), np.float32)
    for tile, tokens in zip(out, tiles, strict=True):
        np.add.at(tile, tokens[tokens >= 0], 1)
    return out


class Pairs(NamedTuple):
    """(query tiles, key tiles) booleans. visited: by the kernel; needed: with an attended pair; whole: all real queries attend all real
    keys; unmasked: and no key is out of range."""

    visited: np.ndarray
    needed: np.ndarray
    whole: np.ndarray
    unmasked: np.ndarray

    def by_tile(self, axis: int) -> list[tuple[int, int]]:
        visited, unmasked = self.visited.sum(axis=axis), self.unmasked.sum(axis=axis)
        return list(zip(visited.tolist(), (visited - unmasked).tolist(), strict=True))


def tile_pairs(exists: np.ndarray, queries: np.ndarray, launched: np.ndarray, keys: np.ndarray, extra: int) -> Pairs:
    """queries, keys: tokens of each tile, -1 for padding; launched: queries whose keys are visited; extra: keys in tiles of their own."""
    n, size, exists = len(exists), keys.shape[1], exists.astype(np.float32)
    in_q, in_k = membership(queries, n), membership(keys, n)
    pairs = in_q @ exists @ in_k.T
    rows, columns = in_q.sum(axis=1)[:, None], in_k.sum(axis=1)[None, :]
    needed = pairs > 0
    whole = needed & (pairs == rows * columns)
    out = [membership(launched, n) @ exists @ in_k.T > 0, needed, whole, whole & (columns == size)]
    for first in range(0, extra, size):  # keys that every query attends
        inside = min(size, extra - first)
        more = [np.ones_like(rows, bool), rows > 0, rows > 0, np.full_like(rows, inside == size, bool)]
        out = [np.hstack(columns) for columns in zip(out, more, strict=True)]
    return Pairs(*out)


def multi_dimensional(p: Problem, extra: int = 0) -> Pairs:
    return tile_pairs(p.exists(), p.permuted(p.q_tile), p.permuted(p.q_tile, copy_last=True), p.permuted(p.k_tile), extra)


def flattened(p: Problem, q_tile: int, k_tile: int, extra: int = 0) -> Pairs:
    def cut(tile: int) -> np.ndarray:
        tokens = np.arange(-(-p.n // tile) * tile)
        return np.where(tokens < p.n, tokens, -1).reshape(-1, tile)

    return tile_pairs(p.exists(), cut(q_tile), cut(q_tile), cut(k_tile), extra)


def dynamic_counts(p: Problem, extra: int = 0) -> list[int]:
    """Key tiles of every query tile, the first one laid at the first key it needs: axis by axis, from first needed to last needed key."""
    per_axis = []
    for L, w, s, d, causal, q_tile, k_tile in p.axes():
        counts = []
        for g, tiles in enumerate(cut(L, q_tile, d)):
            needed = [set().union(*(attended(int(x), group_length(L, d, g), w, s, causal) for x in tile)) for tile in tiles]
            counts.append([len(range(min(keys), max(keys) + 1, k_tile)) for keys in needed])
        per_axis.append(counts)
    beyond = len(range(0, extra, prod(p.k_tile)))
    return [prod(trips) + beyond for groups in product(*per_axis) for trips in product(*groups)]  # dilation groups outermost


def kernel_test(p: Problem) -> bool:
    """What NATTEN evaluates at run time (csrc/include/natten/cuda/fna_hopper/collective/fna_fusion.hpp), for all dilation groups."""

    def passes(L: int, w: int, s: int, q_tile: int, k_tile: int) -> bool:
        last_start = attended(L - 1, L, w, s, False)[0]
        aligned = (w // 2 - s // 2) % k_tile == 0 or (L % k_tile == 0 and -(-L // s) == 2 and s + s // 2 >= L - w)
        return w == L or (s % q_tile == 0 and w % k_tile == 0 and (L % s == 0 or last_start % k_tile == 0) and aligned)

    return not any(p.causal) and all(
        passes(group_length(L, d, g), w, s, q_tile, k_tile) for L, w, s, d, _, q_tile, k_tile in p.axes() for g in range(d)
    )


# --- random problems ---


@st.composite
def problems(draw, most_axes: int = 3) -> Problem:
    n_axes = draw(st.integers(1, most_axes))
    extent = st.integers(2, (0, 200, 20, 7)[n_axes])
    tile = st.integers(1, (0, 16, 8, 5)[n_axes])
    rows = []
    for _ in range(n_axes):
        L = draw(extent)
        d = draw(st.integers(1, min(4, L // 2)))
        w = draw(st.integers(2, L // d) | st.just(L // d))
        s = draw(st.integers(1, w) | st.just(w))
        of_window = st.sampled_from([t for t in range(1, 17) if w % t == 0])
        of_stride = st.sampled_from([t for t in range(1, 17) if s % t == 0])
        rows.append((L, w, s, d, draw(st.booleans()), draw(tile | of_stride), draw(tile | of_window)))
    return Problem(*zip(*rows, strict=True))


@st.composite
def aligned_problems(draw, unit: int = 1) -> Problem:
    """Multiples of a key tile and of a query tile on every axis: many are block sparse, some with a ragged end."""
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        q_tile, k_tile = unit * draw(st.integers(1, 4 // unit)), unit * draw(st.integers(1, 4 // unit))
        w = draw(st.sampled_from([w for w in range(2, 15) if w % k_tile == 0]))
        s = draw(st.sampled_from([s for s in range(1, w + 1) if s % q_tile == 0] or [1]))
        rows.append((w + draw(st.integers(0, 6)), w, s, 1, draw(st.integers(0, 9)) == 0, q_tile, k_tile))
        if prod(row[0] for row in rows) > 40:
            break
    return Problem(*zip(*rows, strict=True))


EXTRA = st.just(0) | st.integers(0, 40)


def unrolled(walk) -> list[tuple[int, int]]:
    return [(run.visited, run.partial) for run in walk.runs for _ in range(run.tiles)]


@several
@given(problems(), EXTRA)
def test_pairs_queries_and_keys_equal_brute_force(p, extra):
    exists = np.hstack([p.exists(), np.ones((p.n, extra), bool)])
    assert (p.mask.attends(*exists.shape) == exists).all()
    assert p.mask.pairs(*exists.shape) == exists.sum()
    assert p.mask.queries(*exists.shape) == exists.any(axis=1).sum()
    assert p.mask.keys(*exists.shape) == exists.any(axis=0).sum()


@several
@given(problems() | aligned_problems(), EXTRA)
def test_tiles_of_several_axes_equal_permuted_tokens(p, extra):
    pairs = multi_dimensional(p, extra)
    walk = p.mask.walk(p.n, p.n + extra, p.q_tile, p.k_tile)
    assert unrolled(walk) == pairs.by_tile(axis=1)
    assert (walk.tile_count, walk.across) == (len(pairs.visited), p.across(extra))
    assert (walk.visited_total, walk.max_visited) == (pairs.visited.sum(), pairs.visited.sum(axis=1).max())
    assert walk.partial_total == pairs.visited.sum() - pairs.unmasked.sum()
    assert (walk.needed_total, walk.full_total) == (pairs.needed.sum(), pairs.whole.sum())
    assert walk.block_sparse == (pairs.needed == pairs.whole).all()
    assert walk.block_sparse_test == kernel_test(p)


@several
@given(problems() | aligned_problems(), EXTRA)
def test_tiles_by_key_equal_permuted_tokens(p, extra):
    pairs = multi_dimensional(p, extra)
    walk = p.mask.walk_keys(p.n, p.n + extra, p.k_tile, p.q_tile)
    assert unrolled(walk) == pairs.by_tile(axis=0)
    assert walk.tile_count == pairs.visited.shape[1]
    assert (walk.visited_total, walk.max_visited) == (pairs.visited.sum(), pairs.visited.sum(axis=0).max())
    assert walk.partial_total == pairs.visited.sum() - pairs.unmasked.sum()


@several
@given(problems(), EXTRA)
def test_tiles_that_start_at_the_first_key_equal_their_definition(p, extra):
    walk = p.mask.walk(p.n, p.n + extra, p.q_tile, p.k_tile, dynamic=True)
    counts = dynamic_counts(p, extra)
    assert [visited for visited, _ in unrolled(walk)] == counts
    assert (walk.tile_count, walk.visited_total, walk.max_visited) == (len(counts), sum(counts), max(counts))
    assert walk.across == p.across(extra)


@several
@given(problems(), st.integers(1, 40), st.integers(1, 40), EXTRA)
def test_tiles_of_the_flattened_sequence_equal_brute_force(p, q_tile, k_tile, extra):
    pairs = flattened(p, q_tile, k_tile, extra)
    walk = p.mask.walk(p.n, p.n + extra, q_tile, k_tile)
    assert unrolled(walk) == pairs.by_tile(axis=1)
    assert (walk.tile_count, walk.across, walk.full_total) == (*pairs.visited.shape, pairs.whole.sum())
    walk = p.mask.walk_keys(p.n, p.n + extra, k_tile, q_tile)
    assert unrolled(walk) == pairs.by_tile(axis=0)
    assert (walk.tile_count, walk.across) == pairs.visited.T.shape


@several
@given(problems(most_axes=1), EXTRA)
def test_one_axis_takes_a_number_for_a_tile(p, extra):
    p = Problem(p.shape, p.window, p.stride, (1,), p.causal, p.q_tile, p.k_tile)
    sizes, (q,), (k,) = (p.n, p.n + extra), p.q_tile, p.k_tile
    assert p.mask.walk(*sizes, q, k) == p.mask.walk(*sizes, (q,), (k,))
    assert p.mask.walk_keys(*sizes, k, q) == p.mask.walk_keys(*sizes, (k,), (q,))


# --- laws and known values ---


@several
@given(aligned_problems(unit=2))
def test_the_kernels_test_passes_nothing_that_needs_a_mask_if_tiles_are_even(p):
    walk = p.mask.walk(p.n, p.n, p.q_tile, p.k_tile)
    assert walk.block_sparse or not walk.block_sparse_test


MISSED, WRONG = [(8, 6, 2, 4, 2), (14, 12, 6, 2, 2), (16, 14, 4, 4, 2)], [(5, 4, 1, 1, 2), (4, 3, 2, 2, 3)]


@pytest.mark.parametrize("L, w, s, q_tile, k_tile", MISSED + WRONG)
def test_problems_that_the_kernels_test_gets_wrong(L, w, s, q_tile, k_tile):
    """It misses some, and passes others with odd tiles, which NATTEN does not have."""
    walk = Neighborhood.of((L,), (w,), (s,), (1,), (False,)).walk(L, L, (q_tile,), (k_tile,))
    assert (walk.block_sparse, walk.block_sparse_test) == ((True, False) if (L, w, s, q_tile, k_tile) in MISSED else (False, True))


def test_more_tiles_than_a_walk_keeps_in_order():
    """Beyond some tens of thousands of runs the order is free, the tiles are not: those of each axis by brute force, multiplied."""
    sizes, ones, larger = ((35, 42, 44), (8, 10, 10), (1, 1, 1), (1, 2, 1), (True, False, False)), (1, 1, 1), (2, 3, 4)
    mask, n = Neighborhood.of(*sizes), prod(sizes[0])
    walks = (mask.walk(n, n, ones, larger), ones, larger, 1), (mask.walk_keys(n, n, ones, larger), larger, ones, 0)
    for walk, q_tile, k_tile, axis in walks:
        one_axis = [multi_dimensional(Problem(*((entry,) for entry in row))) for row in Problem(*sizes, q_tile, k_tile).axes()]
        visited = reduce(np.multiply.outer, [pairs.visited.sum(axis=axis) for pairs in one_axis]).ravel()
        unmasked = reduce(np.multiply.outer, [pairs.unmasked.sum(axis=axis) for pairs in one_axis]).ravel()
        assert sorted(unrolled(walk)) == sorted(zip(visited.tolist(), (visited - unmasked).tolist(), strict=True))
        assert len(walk.runs) < 300 < len(visited)


def test_a_window_over_everything_is_dense():
    mask = Neighborhood.of((6, 10), (6, 10), (1, 3), (1, 1), (False, False))
    assert mask.pairs(60, 60) == mask.pairs(60, 67) - 60 * 7 == 60 * 60
    assert unrolled(mask.walk(60, 60, 16, 8)) == unrolled(DENSE.walk(60, 60, 16, 8))
    walk = mask.walk(60, 60, (4, 4), (2, 4))
    assert (walk.visited_total, walk.block_sparse, walk.block_sparse_test) == (6 * 9, True, True)
    assert walk.partial_total == 6 * 3, "the last column of key tiles is half padding"


# --- what may be written ---


@pytest.mark.parametrize(
    "fields, window, stride, dilation, causal",
    [
        ({"window": [3, 4]}, (3, 4), (1, 1), (1, 1), (False, False)),
        ({"window": 3, "stride": 2, "dilation": 2, "causal": True}, (3, 3), (2, 2), (2, 2), (True, True)),
        ({"window": [3, 4], "stride": [1, 4], "dilation": [2, 3], "causal": [True, False]}, (3, 4), (1, 4), (2, 3), (True, False)),
        ({"window": [-1, 4], "dilation": [1, 2]}, (8, 4), (1, 1), (1, 2), (False, False)),
        ({"window": -1, "dilation": [3, 1]}, (2, 12), (1, 1), (3, 1), (False, False)),
        ({"window": [4, 12], "stride": [4, 12], "dilation": [2, 1]}, (4, 12), (4, 12), (2, 1), (False, False)),
        ({"window": [4], "shape": [16]}, (4,), (1,), (1,), (False,)),
        ({"window": 2, "shape": [4, 6, 8]}, (2, 2, 2), (1, 1, 1), (1, 1, 1), (False, False, False)),
    ],
)
def test_written_masks(fields, window, stride, dilation, causal):
    mask = from_spec(ADAPTER.validate_python({"kind": "neighborhood", "shape": [8, 12], **fields}))
    wanted = Neighborhood.of(tuple(fields.get("shape", (8, 12))), window, stride, dilation, causal)
    assert (mask, hash(mask), mask.kind) == (wanted, hash(wanted), "neighborhood")


ILLEGAL = [
    *({"window": window} for window in ([1, 4], 0, [3, -2], [9, 4], [3], [3, 4, 5], [], [3, 2.5], None, "3")),
    *({"window": [3, 4], "stride": stride} for stride in ([0, 1], [1, 5], 4, -1, [1], [1, True], "1")),
    *({"window": [3, 4], "dilation": dilation} for dilation in ([3, 1], [1, 4], [1, 0], -1, [1, 1, 1])),
    *({"window": -1, "dilation": dilation, "stride": stride} for dilation, stride in (([5, 1], 1), ([1, 4], [1, 4]))),
    *({"window": 2, "shape": shape} for shape in ([], [4, 4, 4, 4], [8, 0], [8, 1], 8.5, None)),
    *({"window": 2, "causal": causal} for causal in ([True], [True, "maybe"], [True, False, True])),
    *({"window": 3, "tile": [2, 2]}, {}),
]


@pytest.mark.parametrize("fields", ILLEGAL, ids=str)
def test_an_illegal_mask_is_one_error(fields):
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python({"kind": "neighborhood", "shape": [8, 12], **fields})
    assert caught.value.error_count() == 1


MASK = Neighborhood.of((8, 12), (3, 4), (1, 2), (1, 1), (False, True))


@pytest.mark.parametrize("P, M", [(95, 96), (96, 95), (97, 97), (192, 192), (1, 96), (0, 96), (96, 0)])
def test_sizes_that_are_not_the_shapes_are_refused(P, M):
    walks = [partial(walk, q_tile=tile, k_tile=tile) for walk in (MASK.walk, MASK.walk_keys) for tile in (4, (2, 2))]
    for ask in (MASK.pairs, MASK.queries, MASK.keys, *walks):
        with pytest.raises(ValueError, match="96"):
            ask(P, M)


@pytest.mark.parametrize("tile", [0, -1, (0, 2), (2, -1), (2,), (2, 2, 2), ()])
def test_impossible_tiles_are_refused(tile):
    good = 4 if isinstance(tile, int) else (2, 2)
    for walk, tiles in product((MASK.walk, MASK.walk_keys), ((tile, good), (good, tile))):
        with pytest.raises(ValueError):
            walk(96, 96, *tiles)


def test_heads_are_not_packed():
    for walk, tile in product((MASK.walk, MASK.walk_keys), (4, (2, 2))):
        with pytest.raises(ValueError, match="heads"):
            walk(96, 96, tile, tile, pack=2)
