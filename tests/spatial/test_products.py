"""Matrix products alone on an array: the blocking found moves what a walk over its blocks loads, and no legal blocking moves less."""

from __future__ import annotations

from itertools import product
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import InfeasibleError

GEMM = {
    "attnsim": 1, "kind": "cascade", "name": "gemm", "ranks": {"I": "rows", "J": "columns", "K": "reduced"}, "batch": [], "positions": [],
    "inputs": {"A": ["I", "K"], "W": ["K", "J"]}, "body": ["C[i,j] = A[i,k] * W[k,j]"],
}  # fmt: skip


def run(i: int, j: int, k: int, side: int, buffer: int, bandwidth: str = "400 GiB/s") -> Any:
    arch = {
        "extends": "fusemax_cloud", "name": "x", "arrays": {"pe2d": {"shape": [side, side]}}, "dram": {"bandwidth": bandwidth},
        "buffer": {"capacity": f"{buffer} B"},
    }  # fmt: skip
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": GEMM, "dtype": "fp16", "sizes": {"I": i, "J": j, "K": k}}
    return attnsim.run(workload, arch, "unfused").results[0]


def loads(i: int, j: int, rows: int, columns: int, keep: str) -> tuple[int, int]:
    """How often each element of A and W is loaded when blocks of (rows, columns) of the result are computed one after another.

    A block keeps the tensor `keep`; another operand that stays the same from one block to the next is not loaded again.
    """
    a = w = 0
    last_a: object = None
    last_w: object = None
    order = product(range(ceil(i / rows)), range(ceil(j / columns)))
    if keep == "W":
        order = ((r, c) for c, r in product(range(ceil(j / columns)), range(ceil(i / rows))))
    for r, c in order:
        if last_a != r:
            a, last_a = a + 1, r
        if last_w != c:
            w, last_w = w + 1, c
    return a, w


def least(i: int, j: int, k: int, side: int, words: int) -> int:
    """Words at the memory of the best blocking: one tensor kept by blocks, two tiles of each in flight; every block size is tried."""
    tiles = 2 * (min(side, i) * min(side, k) + min(side, k) * min(side, j) + min(side, i) * min(side, j))
    free = words - tiles
    best = []
    for size in {*range(side, i + side, side), i}:
        if min(size, i) * k <= free:
            best.append(i * k + ceil(i / size) * k * j)
    for size in {*range(side, j + side, side), j}:
        if min(size, j) * k <= free:
            best.append(ceil(j / size) * i * k + k * j)
    for rows, columns in product({*range(side, i + side, side), i}, {*range(side, j + side, side), j}):
        if min(rows, i) * min(columns, j) <= free:
            best.append(ceil(j / columns) * i * k + ceil(i / rows) * k * j)
    return min(best) + i * j


def test_what_fits_crosses_the_memory_once() -> None:
    result = run(1024, 512, 256, 256, 16 * 2**20)
    assert result.bytes["dram"] == 2 * (1024 * 256 + 256 * 512 + 1024 * 512)
    assert result.phases[0].compute_s * 940e6 == 1024 * 512 * 256 / 65536


def test_ranks_that_do_not_fill_the_array_cost_a_whole_one() -> None:
    # 300 = 256 + 44 rows: two pieces; the best of the three stationarities walks the rank that wastes most
    result = run(300, 512, 64, 256, 16 * 2**20, bandwidth="100 TB/s")
    assert result.phases[0].compute_s * 940e6 == min(2 * 2 * 64, 2 * 1 * 300, 2 * 1 * 512)


@settings(max_examples=60, deadline=None)
@given(
    i=st.sampled_from([16, 48, 64, 100, 256]), j=st.sampled_from([16, 32, 96, 130]), k=st.sampled_from([8, 16, 64, 200]),
    kilobytes=st.integers(4, 64),
)  # fmt: skip
def test_the_blocking_is_within_a_block_of_the_best(i: int, j: int, k: int, kilobytes: int) -> None:
    words = kilobytes * 512
    result = run(i, j, k, 16, kilobytes * 1024)
    moved = result.bytes["dram"] / 2
    best = least(i, j, k, 16, words)
    assert moved >= i * k + k * j + i * j
    # blocks of the result are tried in two shapes, not in all; kept operands in every size
    assert best <= moved <= 1.36 * best  # 1.356 at worst, of all 4,880 points of this grid


@pytest.mark.parametrize("keep", ["A", "W"])
def test_loads_of_a_walk_over_blocks(keep: str) -> None:
    a, w = loads(64, 96, 16, 32, keep)
    assert (a, w) == ((4, 12) if keep == "A" else (12, 3))


def test_a_kept_operand_that_does_not_fit_makes_the_other_one_come_again() -> None:
    # 64 KiB hold 32768 words; in flight 2 x 3 x 256; A of 512 x 128 = 65536 words needs three blocks of 240 rows at most
    i, j, k = 512, 4096, 128
    result = run(i, j, k, 16, 64 * 1024)
    rows = (32768 - 2 * 3 * 256) // k // 16 * 16
    keep_a = i * k + ceil(i / rows) * k * j
    assert result.bytes["dram"] / 2 <= keep_a + i * j
    a, w = loads(i, j, rows, 16, "A")
    assert (a, w) == (ceil(i / rows), ceil(i / rows) * ceil(j / 16))


def test_a_slow_buffer_is_weighed_in_the_choice() -> None:
    sizes = {"I": 8192, "J": 3072, "K": 768}
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": GEMM, "dtype": "fp16", "sizes": sizes}
    fast = attnsim.run(workload, "eyeriss", "unfused", sets=["arch.buffer.bandwidth=1 TB/s"]).results[0]
    slow = attnsim.run(workload, "eyeriss", "unfused", sets=["arch.buffer.bandwidth=10 GB/s"]).results[0]
    assert slow.bound == "buffer" and slow.latency_s == slow.bytes["buffer"] / 10e9
    assert slow.latency_s < 0.7 * fast.bytes["buffer"] / 10e9  # what the choice for the fast buffer would take behind the slow one


def test_a_buffer_smaller_than_one_tile_of_each_tensor_is_refused() -> None:
    with pytest.raises(InfeasibleError, match=r"^[^\n]*C needs 3.07 kB of buffer for one tile of each of its tensors[^\n]*1.02 kB$"):
        run(64, 64, 64, 16, 1024)
