"""Bytes by level and tensor, against formulas written out for each kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.evaluate.evaluate import kernels_of
from attnsim.evaluate.kernel import Kernel
from attnsim.evaluate.point import Point
from attnsim.evaluate.traffic import Traffic, attended_share
from attnsim.machine import Machine, load_machine

MakePoint = Callable[..., Point]
CAUSAL = {"kind": "causal"}
BF16, FP32 = 2, 4


def moved(point: Point, level: str, kernel: int = 0) -> dict[str, dict[str, float]]:
    """Bytes of one kernel at a level, by tensor and direction."""
    return kernels_of(point)[kernel].traffic.moved[level]


def main(point: Point) -> Kernel:
    return next(kernel for kernel in kernels_of(point) if kernel.name == point.schedule.name)


def boundless(arch: str) -> Machine:
    """The machine with an L2 that holds anything."""
    return load_machine(arch, sets=("levels.l2.capacity=1 TB",))


# --- forward --------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.sampled_from((1, 3)),
    st.sampled_from((1, 2, 8)),
    st.sampled_from((1, 4)),
    st.integers(2, 5000),  # one query: the heads of a group share a tile
    st.integers(1, 5000),
    st.sampled_from((64, 128)),
    st.sampled_from((64, 128)),
)
def test_compulsory_bytes_once_and_keys_again_for_each_query_tile(
    point: MakePoint, B: int, G: int, share: int, P: int, M: int, E: int, F: int
) -> None:
    asked = point(
        boundless("a100"),
        {"extends": "flash-attention-2", "pack_groups": "never"},
        {"B": B, "H": G * share, "G": G, "P": P, "M": M, "E": E, "F": F},
    )
    tile = main(asked).tile
    heads, q_tiles, k_tiles = B * G * share, ceil(P / tile["P"]), ceil(M / tile["M"])
    memory, shared = moved(asked, "hbm"), moved(asked, "l2")
    assert {name: sum(by.values()) for name, by in memory.items()} == {
        "Q": BF16 * heads * P * E,
        "K": BF16 * B * G * M * E,  # once for the query heads of a group
        "V": BF16 * B * G * M * F,
        "AV": BF16 * heads * P * F,
    }
    assert memory["AV"].keys() == {"write"} and memory["K"].keys() == {"read"}
    # whole tiles, clipped to the rows that exist
    assert shared["Q"]["read"] == BF16 * heads * q_tiles * min(tile["P"], P) * E
    assert shared["K"]["read"] == BF16 * heads * q_tiles * k_tiles * min(tile["M"], M) * E
    assert shared["V"]["read"] == BF16 * heads * q_tiles * k_tiles * min(tile["M"], M) * F
    assert shared["AV"]["write"] == memory["AV"]["write"]


def test_a_causal_walk_rereads_half_of_the_keys(point: MakePoint) -> None:
    sizes = {"H": 16, "P": 8192, "M": 8192, "E": 128}
    dense = moved(point("a100", "fa2", sizes), "l2")["K"]["read"]
    causal = moved(point("a100", "fa2", sizes, mask=CAUSAL), "l2")["K"]["read"]
    tiles = sum(2 * (row + 1) for row in range(64))  # 128 rows see two more tiles of 64 keys than the 128 rows before
    assert causal == 16 * tiles * 64 * 128 * BF16
    assert causal / dense == pytest.approx(0.5, abs=0.01)


def test_packed_heads_read_their_keys_together(point: MakePoint) -> None:
    """Eight query heads of a group are eight rows of one tile, so the keys are read once from the L2 too."""
    sizes = {"B": 2, "H": 32, "G": 4, "P": 1, "M": 4096, "E": 128}
    packed = moved(point("a100", {"extends": "flashinfer-decode", "split": None}, sizes), "l2")
    apart = moved(point("a100", {"extends": "flashinfer-decode", "split": None, "pack_groups": "never"}, sizes), "l2")
    assert packed["K"]["read"] == 2 * 4 * 4096 * 128 * BF16
    assert apart["K"]["read"] == 8 * packed["K"]["read"]
    assert packed["Q"]["read"] == apart["Q"]["read"] == 2 * 32 * 128 * BF16


@pytest.mark.parametrize("left", [0, 127, 1000])
def test_a_decoding_window_reads_only_the_keys_it_sees(point: MakePoint, left: int) -> None:
    sizes = {"H": 8, "P": 1, "M": 65536, "E": 128}
    asked = point("h100", "flash-decoding", sizes, mask={"kind": "window", "left": left, "right": 0})
    for name in "KV":
        assert moved(asked, "hbm")[name]["read"] == 8 * (left + 1) * 128 * BF16
        assert attended_share(asked, name) == (left + 1) / 65536
    assert attended_share(asked, "Q") == attended_share(asked, "AV") == 1


def test_a_prefill_window_reads_all_keys_but_walks_few_tiles(point: MakePoint) -> None:
    sizes = {"H": 8, "P": 16384, "M": 16384, "E": 128}
    window = point("h100", "fa3", sizes, mask={"kind": "window", "left": 1023, "right": 0})
    causal = point("h100", "fa3", sizes, mask=CAUSAL)
    assert moved(window, "hbm")["K"]["read"] == moved(causal, "hbm")["K"]["read"] == 8 * 16384 * 128 * BF16
    # at most nine tiles of 128 keys for a tile of 128 rows, of 128 in all
    assert moved(window, "l2")["K"]["read"] < 9 / 64 * moved(causal, "l2")["K"]["read"]


def test_queries_that_attend_nothing_are_not_read(point: MakePoint) -> None:
    asked = point("h100", "fa2", {"P": 300, "M": 100, "E": 64}, mask=CAUSAL)  # bottom-right: the first 200 queries see no key
    assert moved(asked, "hbm")["Q"]["read"] == 100 * 64 * BF16
    assert moved(asked, "hbm")["AV"]["write"] == 300 * 64 * BF16  # zeros are written
    assert (attended_share(asked, "Q"), attended_share(asked, "AV")) == (1 / 3, 1)


def test_fp8_inputs_and_wider_results(point: MakePoint) -> None:
    memory = moved(point("h100", "fa3", {"H": 16, "P": 2048, "M": 2048, "E": 128}, dtype="fp8"), "hbm")
    assert memory["K"]["read"] == 16 * 2048 * 128
    assert memory["AV"]["write"] == 16 * 2048 * 128 * BF16


# --- keys that do not stay in the L2 --------------------------------------------------------------


def test_keys_come_from_memory_once_while_they_fit_the_l2(point: MakePoint) -> None:
    """One head of an A100: 8.4 MB at 16k keys, 67 MB at 131k of 41.9 MB, with 216 of 1024 query tiles in flight."""
    for length, fits in ((16384, True), (131072, False)):
        asked = point("a100", "fa2", {"P": length, "M": length, "E": 128})
        read, once = moved(asked, "hbm")["K"]["read"], length * 128 * BF16
        if fits:
            assert read == once
        else:
            kept = load_machine("a100").level("l2").capacity_bytes / (2 * once)
            sweeps = (length / 128) / 216  # the grid passes over the keys once a wave
            assert read == pytest.approx(once * (1 + (1 - kept) * (sweeps - 1)))
            assert once < read < moved(asked, "l2")["K"]["read"]


def test_a_single_wave_sweeps_once(point: MakePoint) -> None:
    asked = point("a100", "fa2", {"P": 216 * 128, "M": 1 << 20, "E": 128})
    assert moved(asked, "hbm")["K"]["read"] == (1 << 20) * 128 * BF16


def test_the_order_of_the_grid_keeps_a_group_together(point: MakePoint) -> None:
    """With the heads before the batch, the heads in flight share their keys; with the batch first they come from other requests."""
    sizes = {"B": 16, "H": 64, "G": 8, "P": 8192, "M": 131072, "E": 128}
    loops = [{"ranks": ["P", "H", "B"], "parallel": "cta"}, {"rank": "M", "sequential": "first-to-last"}]
    together = moved(point("a100", {"extends": "fa2", "loops": loops}, sizes), "hbm")["K"]["read"]
    apart = moved(point("a100", "fa2", sizes), "hbm")["K"]["read"]
    assert 16 * 8 * 131072 * 128 * BF16 <= together < apart


def test_without_a_shared_cache_every_visit_goes_to_memory(point: MakePoint) -> None:
    epyc = load_machine("epyc_7763")
    bare = dataclasses.replace(epyc, levels=tuple(level for level in epyc.levels if level.name != "l3"), content_key="epyc without l3")
    sizes = {"H": 64, "P": 2048, "M": 8192, "E": 64}
    shared, alone = (moved(point(machine, "cpu-flash", sizes), "dram")["K"]["read"] for machine in (epyc, bare))
    assert shared == 64 * 8192 * 64 * BF16
    assert alone == 8 * shared  # tiles of 256 queries


# --- splits ---------------------------------------------------------------------------------------


def test_partial_results_of_a_split_are_written_and_read_back_in_fp32(point: MakePoint) -> None:
    sizes = {"B": 2, "H": 32, "G": 8, "P": 1, "M": 32768, "E": 128, "F": 64}
    asked = point("a100", "flash-decoding", sizes)
    walk, combine = kernels_of(asked)
    assert walk.splits > 1 and combine.name == "flash-decoding combine"
    rows = 2 * 32
    partial = walk.splits * rows * (64 + 1) * FP32  # a row of the output and its log-sum-exp
    assert walk.traffic.moved["hbm"]["AV"] == {"write": partial}
    assert combine.traffic.moved["hbm"] == {"AV": {"read": partial, "write": rows * 64 * BF16}}
    assert combine.ops == {"vector": {"mac": walk.splits * rows * 64}, "sfu": {"exp": walk.splits * rows}}


def test_a_split_inside_the_kernel_also_writes_the_result(point: MakePoint) -> None:
    sizes = {"B": 2, "H": 32, "G": 8, "P": 1, "M": 32768, "E": 128}
    (kernel,) = kernels_of(point("a100", "lean-attention", sizes))
    assert kernel.splits > 1
    rows = 2 * 32
    partial = kernel.splits * rows * (128 + 1) * FP32
    for level in ("hbm", "l2"):
        assert kernel.traffic.moved[level]["AV"] == {"write": partial + rows * 128 * BF16, "read": partial}


def test_a_split_reads_the_keys_no_more_than_once(point: MakePoint) -> None:
    sizes = {"B": 1, "H": 8, "G": 8, "P": 1, "M": 65536, "E": 128}
    for name in ("flash-decoding", "lean-attention", "flashinfer-decode"):
        assert moved(point("a100", name, sizes), "hbm")["K"]["read"] == 8 * 65536 * 128 * BF16
        assert moved(point("a100", name, sizes), "l2")["K"]["read"] == 8 * 65536 * 128 * BF16


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 20000), st.integers(1, 300), st.sampled_from(("dense", "causal")), st.sampled_from((1, 64, 128)))
def test_the_pieces_of_a_split_walk_are_the_walk(point: MakePoint, heads: int, keys: int, queries: int, mask: str, slots: int) -> None:
    """Every tile is visited once, and masked once if it needs the mask, however the walk is cut: one processor takes as long for the pieces
    as for the whole, but for the division at the end of each (64 rows of 128, 64 a cycle).
    """
    one = load_machine("a100", sets=("processors.count=1", "levels.l2.bandwidth=1e9 TB/s"))
    sizes = {"H": heads, "P": min(queries, keys), "M": keys, "E": 128}
    whole, split = (
        main(point(one, {"extends": "flash-decoding", "split": rule}, sizes, mask={"kind": mask}))
        for rule in (None, {"rank": "M", "rule": "fill", "slots_per_processor": slots})
    )
    assert split.compute_cycles - split.ctas * 128 == pytest.approx(whole.compute_cycles - whole.ctas * 128)
    assert whole.ctas <= split.ctas <= split.splits * whole.ctas


# --- backward -------------------------------------------------------------------------------------


def test_backward_reduces_the_query_gradient_in_the_l2(point: MakePoint) -> None:
    sizes = {"B": 2, "H": 4, "P": 4096, "M": 2048, "E": 64, "F": 64}
    asked = point("a100", "flash-attention-2-backward", sizes, cascade="attention-backward")
    preprocess, walk, convert = kernels_of(asked)
    heads, k_tiles = 8, 2048 // 128
    shared, memory = walk.traffic.moved["l2"], walk.traffic.moved["hbm"]
    assert walk.tile == {"P": 128, "M": 128}
    # fp32 sums of dQ, one for each key tile; they leave the L2 once
    assert shared["dQ"] == {"write": heads * k_tiles * 4096 * 64 * FP32}
    assert memory["dQ"] == {"write": heads * 4096 * 64 * FP32}
    # Q and dO again for each key tile, K and V once a CTA, dK and dV written once
    for name in ("Q", "dO"):
        assert shared[name] == {"read": heads * k_tiles * 4096 * 64 * BF16}
        assert memory[name] == {"read": heads * 4096 * 64 * BF16}
    for name in ("K", "V"):
        assert shared[name] == memory[name] == {"read": heads * 2048 * 64 * BF16}
    for name in ("dK", "dV"):
        assert shared[name] == memory[name] == {"write": heads * 2048 * 64 * BF16}
    assert "O" not in memory and "D" in memory  # O is read by the preprocess, which leaves one number a row
    assert preprocess.traffic.moved["hbm"]["D"] == {"write": heads * 4096 * BF16}
    assert preprocess.traffic.moved["hbm"]["dQ"] == {"write": heads * 4096 * 64 * FP32}  # cleared
    assert convert.traffic.moved["hbm"] == {"dQ": {"read": heads * 4096 * 64 * FP32, "write": heads * 4096 * 64 * BF16}}


# --- FlashAttention-1: keys outside, queries inside -----------------------------------------------


@pytest.mark.parametrize("capacity", ["40 MiB", "1 TB", "1 MB"])
def test_flash_attention_1_carries_its_state_through_memory(point: MakePoint, capacity: str) -> None:
    """Algorithm 1: O, l and m of every query tile are read and written at each of the key tiles, in fp32."""
    machine = load_machine("a100", sets=(f"levels.l2.capacity={capacity}",))
    sizes = {"B": 8, "H": 16, "P": 4096, "M": 4096, "E": 64}
    (walk,) = kernels_of(point(machine, {"extends": "flash-attention-1", "split": None}, sizes))
    heads, k_tiles = 128, 4096 // 256
    for name, width in (("RNV", 64), ("RD", 1), ("RM", 1)):
        state = heads * k_tiles * 4096 * width * FP32
        assert walk.traffic.moved["l2"][name] == {"read": state, "write": state}
        held = heads * 4096 * (64 + 2) * FP32  # of the heads in flight: all of them, 128 CTAs on 216 slots
        missed = 1 - min(1, machine.level("l2").capacity_bytes / held)
        assert walk.traffic.moved["hbm"][name] == pytest.approx({"read": missed * state, "write": missed * state})
    assert walk.traffic.moved["l2"]["K"]["read"] == heads * 4096 * 64 * BF16
    assert walk.traffic.moved["l2"]["Q"]["read"] == heads * k_tiles * 4096 * 64 * BF16


# --- unfused --------------------------------------------------------------------------------------

shapes = st.tuples(*(st.integers(1, 3000) for _ in range(2)), *(st.sampled_from((32, 64, 128)) for _ in range(2)))


@given(shapes, st.integers(1, 4), st.integers(1, 3))
def test_unfused_three_pass_attention(point: MakePoint, shape: tuple[int, int, int, int], heads: int, batch: int) -> None:
    """Unfused attention of FuseMax (arXiv 2406.10491), elements a head: 4 M P + (P + M) E + (P + M) F. One product, one softmax kernel
    that reads and writes its scores once, one product.
    """
    P, M, E, F = shape
    sizes = {"B": batch, "H": heads, "P": P, "M": M, "E": E, "F": F}
    total = Traffic()
    for kernel in kernels_of(point("h100", "pytorch-eager", sizes, cascade="attention-3pass")):
        total.merge(kernel.traffic)
    assert total.total("hbm") == BF16 * batch * heads * (4 * M * P + (P + M) * E + (P + M) * F)
    assert total.total("l2") == total.total("hbm")


@given(shapes)
def test_each_einsum_on_its_own_reads_its_scores_again(point: MakePoint, shape: tuple[int, int, int, int]) -> None:
    """QK written, read for the maximum and for the exponential; SN written, read twice; A written, read: 8 M P, and four vectors of P."""
    P, M, E, F = shape
    total = Traffic()
    for kernel in kernels_of(point("h100", "naive", {"P": P, "M": M, "E": E, "F": F}, cascade="attention-3pass")):
        total.merge(kernel.traffic)
    assert total.total("hbm") == BF16 * (8 * M * P + 4 * P + (P + M) * E + (P + M) * F)


def test_fused_in_one_group_nothing_goes_through_memory(point: MakePoint) -> None:
    labels = ["QK", "GM", "SN", "SD", "A", "AV"]
    asked = point("h100", {"extends": "naive", "fusion": [labels]}, {"P": 64, "M": 96, "E": 32}, cascade="attention-3pass")
    (kernel,) = kernels_of(asked)
    assert kernel.name == "+".join(labels)
    assert kernel.traffic.total("hbm") == BF16 * 32 * 2 * (64 + 96)


# --- adding up ------------------------------------------------------------------------------------


def test_traffic_adds_up() -> None:
    one, other = Traffic(), Traffic()
    one.add("hbm", "K", "read", 10)
    one.add("hbm", "K", "read", 5)
    other.add("hbm", "K", "write", 2)
    other.add("l2", "Q", "read", 1)
    one.merge(other)
    assert one.moved == {"hbm": {"K": {"read": 15, "write": 2}}, "l2": {"Q": {"read": 1}}}
    assert (one.total("hbm"), one.total("l2"), one.total("smem")) == (17, 1, 0)
    assert other.moved["hbm"] == {"K": {"write": 2}}


@settings(max_examples=60)
@given(st.sampled_from(("fa2", "fa3", "flash-decoding", "flashinfer-decode", "lean-attention", "cudnn")), st.data())
def test_the_shared_level_sees_at_least_what_memory_sends(point: MakePoint, schedule: str, data: Any) -> None:
    lengths = st.integers(1, 40000)
    keys, queries = data.draw(lengths), data.draw(lengths)
    mask = data.draw(st.sampled_from(({"kind": "dense"}, CAUSAL, {"kind": "window", "left": 200, "right": 0})))
    sizes = {"B": data.draw(st.integers(1, 9)), "H": 8, "G": data.draw(st.sampled_from((1, 2, 8))), "P": min(queries, keys), "M": keys}
    for kernel in kernels_of(point("h100", schedule, {**sizes, "E": 128}, mask=mask)):
        for name, directions in kernel.traffic.moved["hbm"].items():
            for direction, count in directions.items():
                assert 0 < count <= kernel.traffic.moved["l2"][name][direction] * (1 + 1e-12), (name, direction)
