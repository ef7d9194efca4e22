"""From tiles to the time of a kernel: the cost of a CTA, the order of the grid, packing, memory beside compute."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.evaluate.evaluate import evaluate, kernels_of
from attnsim.evaluate.kernel import Kernel, tile_cycles
from attnsim.evaluate.makespan import makespan
from attnsim.evaluate.point import Point
from attnsim.evaluate.work import cta_work
from attnsim.machine import load_machine

MakePoint = Callable[..., Point]
CAUSAL = {"kind": "causal"}
KIB = 1024

#: A kernel without any constant: on an A100 a tile of 128 x 64 x 128 takes the 2048 cycles of its matmuls, everything else is hidden.
BARE: dict[str, Any] = {
    "attnsim": 1,
    "kind": "schedule",
    "name": "bare",
    "cascade": "attention-1pass",
    "loops": [{"ranks": ["P", "B", "H"], "parallel": "cta"}, {"rank": "M", "sequential": "first-to-last"}],
    "tiles": [{"P": 128, "M": 64, "warps": 4}],
    "resident": {"Q": "smem", "K": "smem", "V": "smem"},
    "bindings": {"mac": "tensor", "exp": "sfu", "default": "vector"},
    "tensor_path": "mma_sync",
}
#: An A100 whose L2 fills the first tiles in no time.
FAST = load_machine("a100", sets=("levels.l2.bandwidth=1e9 TB/s",))
TILE, EPILOGUE, MASKED = 2048, 256, 384  # cycles; the epilogue divides 128 x 128 outputs, masking is 3 operations an element


def bare(**changes: Any) -> dict[str, Any]:
    return {**BARE, **changes}


def about(cycles: float) -> Any:
    """Equal but for what is left of the fill."""
    return pytest.approx(cycles, rel=1e-6)


def constant(**entries: Any) -> dict[str, Any]:
    return {name: {"value": value, "source": "test"} for name, value in entries.items()}


def kernel(point: Point) -> Kernel:
    return next(kernel for kernel in kernels_of(point) if kernel.name == point.schedule.name)


# --- one CTA --------------------------------------------------------------------------------------


def test_a_cta_walks_its_tiles_and_ends(point: MakePoint) -> None:
    assert kernel(point(FAST, bare(), {"P": 128, "M": 1024, "E": 128})).compute_cycles == about(16 * TILE + EPILOGUE)


def test_a_tile_that_needs_the_mask_costs_more(point: MakePoint) -> None:
    asked = bare(constants=constant(masked_ops=3))
    ragged = kernel(point(FAST, asked, {"P": 128, "M": 1000, "E": 128}))  # the last tile has 40 of 64 keys
    causal = kernel(point(FAST, asked, {"P": 128, "M": 1024, "E": 128}, mask=CAUSAL))  # the last two tiles hold the diagonal
    assert ragged.compute_cycles == about(16 * TILE + MASKED + EPILOGUE)
    assert causal.compute_cycles == about(16 * TILE + 2 * MASKED + EPILOGUE)
    assert causal.ops["vector"]["mask"] == 2 * 3 * 128 * 64


def test_overhead_and_efficiency(point: MakePoint) -> None:
    asked = bare(constants=constant(cta_overhead="800 cycle", tensor_efficiency=0.5))
    assert kernel(point(FAST, asked, {"P": 128, "M": 1024, "E": 128})).compute_cycles == about(16 * 2 * TILE + EPILOGUE + 800)


def test_every_tile_of_a_walk_has_its_overhead(point: MakePoint) -> None:
    asked = bare(constants=constant(tile_overhead="100 cycle"))
    assert kernel(point(FAST, asked, {"P": 128, "M": 1024, "E": 128})).compute_cycles == about(16 * (TILE + 100) + EPILOGUE)


@pytest.mark.parametrize(("batch", "heads", "passed"), [(1, 1, 1), (64, 1, 64), (864, 1, 108), (8, 1000, 108 / 1000)])
def test_a_cta_passes_the_requests_between_it_and_the_next_of_its_slot(point: MakePoint, batch: int, heads: int, passed: float) -> None:
    tiles = {"tiles": [{"P": 128, "M": 64, "warps": 4, "ctas": 1}]}
    sizes = {"B": batch, "H": heads, "P": 128, "M": 64, "E": 128}
    plain, scanned = (kernel(point(FAST, bare(**tiles, **more), sizes)) for more in ({}, {"constants": constant(request_scan="10 cycle")}))
    longest = ceil(batch * heads / 108)  # CTAs of the busiest slot
    assert scanned.compute_cycles - plain.compute_cycles == about(longest * 10 * passed)


SHARE = 7.22e12 * 0.748 / 108 / 1.41e9  # B a cycle and SM from the L2


@pytest.mark.parametrize("exposed", [0, 0.25, 1])
def test_the_fill_of_a_cta_runs_at_its_share_of_the_l2(point: MakePoint, exposed: float) -> None:
    """Q, the first K and V, and the output: 128 + 64 + 64 + 128 rows of 128 at 2 B. A CTA that is the first of its slot finds nothing to
    hide them behind, a later one shows its exposed share: 21600 CTAs are a hundred on each of 216 slots.
    """
    asked = bare(overlap={"exposed": constant(fill=exposed)})
    alone = kernel(point("a100", asked, {"P": 128, "M": 1024, "E": 128})).compute_cycles
    assert alone == pytest.approx(16 * TILE + EPILOGUE + 96 * KIB / SHARE)
    many = kernel(point("a100", asked, {"H": 21600, "P": 128, "M": 1024, "E": 128})).compute_cycles
    assert many == pytest.approx(200 * (16 * TILE + EPILOGUE + (exposed + (1 - exposed) / 100) * 96 * KIB / SHARE))


def test_rows_of_a_packed_tile_are_filled_only_as_far_as_they_exist(point: MakePoint) -> None:
    """Eight heads of one query are eight of 128 rows."""
    found = kernel(point("a100", bare(pack_groups="always"), {"H": 8, "G": 1, "P": 1, "M": 1024, "E": 128}))
    assert found.compute_cycles == pytest.approx(16 * TILE + EPILOGUE + (8 + 64 + 64 + 8) * 256 / SHARE)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 40), st.booleans())
def test_one_processor_does_all_the_work_one_after_the_other(point: MakePoint, queries: int, keys: int, heads: int, causal: bool) -> None:
    one = load_machine("a100", sets=("processors.count=1", "levels.l2.bandwidth=1e9 TB/s"))
    mask = CAUSAL if causal else {"kind": "dense"}
    sizes = {"H": heads, "P": queries, "M": keys, "E": 128}
    asked = point(one, bare(constants=constant(masked_ops=3, cta_overhead="100 cycle")), sizes, mask=mask)
    walk = asked.mask.walk(queries, keys, 128, 64)
    found = kernel(asked)
    ctas = heads * ceil(queries / 128)
    assert found.ctas == ctas
    assert found.compute_cycles == pytest.approx(
        heads * (walk.visited_total * TILE + walk.partial_total * MASKED) + ctas * (EPILOGUE + 100), rel=1e-5
    )
    assert found.busy_cycles["tensor"] == heads * walk.visited_total * TILE


# --- the grid -------------------------------------------------------------------------------------


def orders(point: MakePoint, loops: list[dict[str, Any]], heads: int = 9) -> float:
    asked = point(FAST, bare(loops=[*loops, BARE["loops"][1]]), {"H": heads, "P": 8192, "M": 8192, "E": 128}, mask=CAUSAL)
    return kernel(asked).compute_cycles


def test_the_order_of_the_grid(point: MakePoint) -> None:
    """64 query tiles of each of nine causal heads, short ones first, on 108 x 2 slots (shared memory and registers allow for two)."""
    costs = [2 * (tile + 1) * TILE + EPILOGUE for tile in range(64)]
    resident = 2
    tiles_first = orders(point, [{"ranks": ["P", "B", "H"], "parallel": "cta"}])
    heads_first = orders(point, [{"ranks": ["H", "B", "P"], "parallel": "cta"}])
    longest = orders(point, [{"ranks": ["P", "B", "H"], "parallel": "cta", "order": "longest-first"}])
    assert tiles_first == about(makespan([(1, cost) for cost in costs], 9, 108, resident))
    assert heads_first == about(makespan([(9, cost) for cost in costs], 1, 108, resident))
    assert longest == about(makespan([(9, cost) for cost in reversed(costs)], 1, 108, resident))
    assert longest < min(tiles_first, heads_first)


@pytest.mark.parametrize(("rule", "queries", "packed"), [
    ("never", 1, False), ("always", 1, True), ("always", 4096, True), ("P == 1", 1, True), ("P == 1", 2, False),
    ("efficient", 1, True), ("efficient", 4096, False),
    ("efficient", 130, True),  # 130 of 256 rows alone, 1040 of 1152 packed
    ("efficient", 240, False),  # 240 of 256 rows alone are more than 0.9 of the 1920 of 1920 packed
])  # fmt: skip
def test_heads_of_a_group_become_rows(point: MakePoint, rule: str, queries: int, packed: bool) -> None:
    sizes = {"B": 3, "H": 32, "G": 4, "P": queries, "M": 4096, "E": 128}
    found = kernel(point("a100", bare(pack_groups=rule), sizes))
    assert found.ctas == (3 * 4 * ceil(8 * queries / 128) if packed else 3 * 32 * ceil(queries / 128))


def test_a_head_of_its_own_is_never_packed(point: MakePoint) -> None:
    assert kernel(point("a100", bare(pack_groups="always"), {"H": 8, "G": 8, "P": 1, "M": 4096, "E": 128})).ctas == 8


def test_flash_attention_1_spreads_the_mask_over_its_pieces(point: MakePoint) -> None:
    """One causal head of 4096: 256 query tiles of 16 visit 2176 key tiles of 256, and each masks one. 109 CTAs take 20 visits each (the
    smallest count that fills at least 0.85 of what 128 do), with a hundredth of the masked tiles: three at most.
    """
    wide = load_machine("a100", sets=("levels.l2.bandwidth=1e9 TB/s", "processors.count=120"))  # a processor for each
    asked = point(wide, "flash-attention-1", {"P": 4096, "M": 4096, "E": 64}, mask=CAUSAL)
    row = asked.schedule.tile(asked.context)
    work = cta_work(asked, asked.cascade.einsums, row.sizes(), asked.schedule.sequential, row.warps or 1)
    found = kernel(asked)
    assert found.ctas == 109
    once = sum(work.once.cycles.values()) + asked.schedule.constant(asked.schedule.spec.constants.cta_overhead, asked.context, 0.0)
    assert found.compute_cycles == about(20 * tile_cycles(asked, work.per_tile.cycles) + 3 * work.masked_cycles + once)


def test_a_split_shortens_the_longest_cta(point: MakePoint) -> None:
    sizes = {"P": 1, "M": 65536, "E": 128}
    whole = kernel(point(FAST, bare(), sizes))
    split = kernel(point(FAST, bare(split={"rank": "M", "rule": "fill"}), sizes))
    assert whole.compute_cycles == about(1024 * TILE + EPILOGUE)
    assert (split.splits, split.ctas) == (103, 103)  # ten tiles each, the last four
    assert split.compute_cycles == about(10 * TILE + EPILOGUE)


def test_a_split_may_be_conditional(point: MakePoint) -> None:
    rule = {"rank": "M", "rule": "fill", "when": "P == 1"}
    splits = [kernel(point("a100", bare(split=rule), {"P": rows, "M": 65536, "E": 128})).splits for rows in (1, 2)]
    assert splits == [103, 1]


def test_partial_results_merged_inside_are_taken_in_one_by_one(point: MakePoint) -> None:
    sizes, inside = {"P": 1, "M": 65536, "E": 128}, {"rank": "M", "rule": "fill", "combine": "in-kernel"}
    plain = kernel(point(FAST, bare(split=inside), sizes))
    merged = kernel(point(FAST, bare(split=inside, constants=constant(merge="50 cycle")), sizes))
    assert merged.compute_cycles == about(plain.compute_cycles + 50 * plain.splits)
    unsplit = kernel(point(FAST, bare(constants=constant(merge="50 cycle")), sizes))
    assert unsplit.compute_cycles == about(1024 * TILE + EPILOGUE)


def test_the_kernel_that_merges_has_its_own_overhead(point: MakePoint) -> None:
    sizes, split = {"P": 1, "M": 65536, "E": 128}, {"rank": "M", "rule": "fill"}
    for own, seconds in (({}, 3e-6), ({"combine_overhead": "1 us"}, 1e-6), ({"combine_overhead": "0 us"}, 0.0)):
        walk, combine = kernels_of(point(FAST, bare(split=split, constants=constant(kernel_overhead="3 us", **own)), sizes))
        assert (walk.fixed_s, combine.fixed_s) == (pytest.approx(3e-6), pytest.approx(seconds))


# --- memory beside compute ------------------------------------------------------------------------


def test_memory_gives_what_is_on_order(point: MakePoint) -> None:
    """Little's law: one CTA with a row of Q and the stages of K and V (64 x 128 each) in flight at 392 ns."""
    for stages in (1, 3):
        asked = point("a100", bare(buffers={"K": stages, "V": stages}), {"P": 1, "M": 65536, "E": 128})
        found = kernel(asked)
        rate = (1 + stages * 2 * 64) * 128 * 2 / 392e-9
        assert found.level_s["hbm"] == pytest.approx(found.traffic.total("hbm") / rate)


def test_a_full_machine_gets_the_sustained_bandwidth(point: MakePoint) -> None:
    asked = point("a100", bare(), {"B": 64, "H": 32, "P": 1, "M": 4096, "E": 128})
    found = kernel(asked)
    assert found.level_s["hbm"] == pytest.approx(found.traffic.total("hbm") / (2039e9 * 0.88))
    assert found.level_s["l2"] == pytest.approx(found.traffic.total("l2") / (7.22e12 * 0.748))
    half = kernel(point("a100", bare(constants=constant(memory_efficiency=0.5)), {"B": 64, "H": 32, "P": 1, "M": 4096, "E": 128}))
    assert half.level_s["hbm"] == pytest.approx(2 * found.level_s["hbm"])
    assert half.level_s["l2"] == found.level_s["l2"]


@settings(max_examples=50)
@given(st.floats(0, 1), st.integers(1, 100_000), st.integers(1, 64), st.floats(1e8, 3e9))
def test_the_shorter_of_compute_and_memory_shows_its_exposed_share(
    point: MakePoint, exposed: float, keys: int, batch: int, clock: float
) -> None:
    asked = bare(overlap={"exposed": constant(memory=exposed)}, constants=constant(kernel_overhead="3 us"))
    found = kernel(point("a100", asked, {"B": batch, "H": 8, "P": 1, "M": keys, "E": 128}))
    compute, memory = found.compute_cycles / clock, max(found.level_s.values())
    assert found.seconds(clock) == pytest.approx(max(compute, memory) + exposed * min(compute, memory) + 3e-6)
    assert found.seconds(clock) >= found.seconds(clock * 1.1)


# --- matrix products of unfused kernels -----------------------------------------------------------


def test_the_last_tile_and_the_last_ctas_drain_after_memory(point: MakePoint) -> None:
    asked, clock = bare(overlap={"exposed": constant(drain=1)}), 1.41e9
    alone = kernel(point(FAST, asked, {"P": 1, "M": 65536, "E": 128}))
    assert alone.drain_cycles == about(TILE + EPILOGUE)
    full = kernel(point(FAST, asked, {"B": 108, "P": 1, "M": 4096, "E": 128}))
    assert full.drain_cycles == about(TILE + EPILOGUE)
    memory = max(full.level_s.values())
    assert full.seconds(clock) == about(max(full.compute_cycles / clock, memory + full.drain_cycles / clock))
    ragged = kernel(point(FAST, asked, {"B": 109, "P": 1, "M": 4096, "E": 128}))  # the last CTA runs alone for nearly a whole walk
    assert ragged.drain_cycles == about(TILE + EPILOGUE + (1 - 1 / 108) * (64 * TILE + EPILOGUE))
    assert kernel(point(FAST, bare(), {"B": 109, "P": 1, "M": 4096, "E": 128})).drain_cycles == 0


def test_an_unfused_product_computes_whole_tiles(point: MakePoint) -> None:
    """1000 x 700 scores of heads of 64: 8 x 6 tiles of 128 x 128, 1024 macs a cycle at 0.87."""
    kernels = {k.name: k for k in kernels_of(point("a100", "naive", {"H": 3, "P": 1000, "M": 700, "E": 64}, cascade="attention-3pass"))}
    product = kernels["QK"]
    assert product.ctas == 3 * 8 * 6
    assert product.ops == {"tensor": {"mac": 3 * 8 * 6 * 128 * 128 * 64}}
    cost = 128 * 128 * 64 / 1024 / 0.87
    assert product.compute_cycles == pytest.approx(2 * cost)  # 144 tiles on 108 SMs, one at a time
    assert kernels["AV"].ctas == 3 * 8  # 1000 x 64 outputs
    assert kernels["SN"].ops["sfu"] == {"exp": 3 * 1000 * 700}  # streaming kernels pad nothing


# --- what stops it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "schedule", "sizes", "bound"),
    [
        ("h100", "fa3", {"H": 32, "P": 8192, "M": 8192, "E": 128}, "tensor"),
        ("h100", "fa3", {"B": 64, "H": 32, "G": 8, "P": 1, "M": 8192, "E": 128}, "hbm"),
        ("h100", "flashinfer-decode", {"H": 8, "P": 1, "M": 128, "E": 128}, "latency"),
        ("a100", "fa2", {"H": 1, "P": 1, "M": 65536, "E": 128}, "occupancy"),
        ("l40s", "naive", {"H": 8, "P": 8192, "M": 8192, "E": 64}, "hbm"),
        ("epyc_7763", "cpu-flash", {"H": 64, "P": 2048, "M": 2048, "E": 128}, "vector"),
    ],
)
def test_the_bound_is_named(point: MakePoint, arch: str, schedule: str, sizes: dict[str, int], bound: str) -> None:
    cascade = "attention-3pass" if schedule == "naive" else "attention-1pass"
    assert evaluate(point(arch, schedule, sizes, cascade=cascade, launch="stream"), "w").bound == bound


def test_the_footprint_is_inputs_outputs_and_what_is_handed_over(point: MakePoint) -> None:
    sizes = {"H": 4, "G": 2, "P": 1024, "M": 2048, "E": 64}
    held = 2 * 64 * (2 * 4 * 1024 + 2 * 2 * 2048)
    assert evaluate(point("a100", "fa2", sizes), "w").footprint_bytes == held
    unfused = evaluate(point("a100", "pytorch-eager", sizes, cascade="attention-3pass"), "w")
    assert unfused.footprint_bytes == held + 2 * 2 * 4 * 1024 * 2048  # the scores and the probabilities
