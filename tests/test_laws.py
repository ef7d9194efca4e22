"""Laws no estimate may break, whatever the sizes, the mask, the schedule and the machine."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import InfeasibleError

ARCHS = ("a100_sxm_80gb", "h100_sxm", "h20", "l40s", "b200")
BYTES = {"fp16": 2, "bf16": 2}  # element sizes of the dtypes used here

ROUNDING = 1 + 1e-12  # the same sum taken in another order

archs = st.sampled_from(ARCHS)
dtypes = st.sampled_from(sorted(BYTES))
lengths = st.integers(1, 160).flatmap(lambda n: st.sampled_from((n, 16 * n, 128 * n)))  # ragged, and whole tiles, up to 20480
masks = st.sampled_from(
    (
        {"kind": "dense"},
        {"kind": "causal"},
        {"kind": "window", "left": 512, "right": 0},
        {"kind": "sinks", "sinks": 4, "left": 700, "right": 0},
    )
)


@st.composite
def attention_sizes(draw: st.DrawFn, decode: bool = False) -> dict[str, int]:
    """Sizes of a forward kernel: P <= M, and H a multiple of G."""
    keys = draw(lengths)
    queries = 1 if decode else draw(st.sampled_from((keys, max(1, keys // 2), max(1, keys - 1), 1)))
    groups, share, dim = draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from((1, 2, 4, 8))), draw(st.sampled_from((64, 128)))
    return {"B": draw(st.sampled_from((1, 2, 3, 8, 64))), "H": groups * share, "G": groups, "P": queries, "M": keys, "E": dim, "F": dim}


def estimate(arch: str, sizes: dict[str, int], mask: dict[str, Any], **fields: Any) -> Any:
    """The one Estimate of a kernel given as a dict. What does not fit into the machine's memory is no kernel: the example is dropped."""
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "law", "cascade": "attention-1pass", "sizes": sizes, "dtype": "bf16", "mask": mask, **fields
    }  # fmt: skip
    try:
        return attnsim.run(workload, arch).results[0]
    except InfeasibleError as error:
        assume("in memory" not in str(error) and "inputs and outputs take" not in str(error))
        raise


@given(archs, attention_sizes(), masks, dtypes)
def test_nothing_is_faster_than_its_lower_bound(arch: str, sizes: dict[str, int], mask: dict[str, Any], dtype: str) -> None:
    e = estimate(arch, sizes, mask, dtype=dtype)
    assert 0 < e.lower_bound_s <= e.latency_s * ROUNDING
    assert e.speedup_upper_bound == pytest.approx(e.latency_s / e.lower_bound_s)
    assert e.lower_bound_s == pytest.approx(max(e.lower_bound_by_resource_s.values()))
    assert all(0 <= share <= 1 for share in e.utilization.values()), e.utilization


@given(archs, attention_sizes())
def test_causal_work_is_no_more_than_dense(arch: str, sizes: dict[str, int]) -> None:
    causal, dense = estimate(arch, sizes, {"kind": "causal"}), estimate(arch, sizes, {"kind": "dense"})
    assert causal.flops <= dense.flops
    assert (causal.flops == dense.flops) == (sizes["P"] == 1)
    assert causal.lower_bound_s <= dense.lower_bound_s * ROUNDING


@given(archs, st.integers(1024, 20000), st.sampled_from((1, 2, 8, 64)), st.sampled_from((8, 16, 32)), st.sampled_from((64, 128)))
def test_causal_takes_no_longer_than_dense(arch: str, length: int, batch: int, heads: int, dim: int) -> None:
    """Where whole tiles are skipped and the grid has a second wave to fill with what is saved. Below that a kernel pays for
    masking and saves nothing: one tile is one tile, and the longest row of a single wave is as long as without the mask."""
    sizes = {"B": batch, "H": heads, "G": heads, "P": length, "M": length, "E": dim, "F": dim}
    dense = estimate(arch, sizes, {"kind": "dense"})
    assume(dense.kernels[0].waves >= 2)
    assert estimate(arch, sizes, {"kind": "causal"}).latency_s <= dense.latency_s * ROUNDING


def attended_pairs(sizes: dict[str, int], mask: dict[str, Any]) -> int:
    """Row by row from the definition of the masks: query row p stands at key p + M - P."""
    queries, keys = sizes["P"], sizes["M"]
    left = None if mask["kind"] in ("dense", "causal") else mask["left"]
    pairs = 0
    for position in range(keys - queries, keys):
        last = keys - 1 if mask["kind"] == "dense" else position
        first = 0 if left is None else max(0, position - left)
        pairs += last - first + 1 + min(mask.get("sinks", 0), first)
    return pairs


@given(archs, attention_sizes(), masks)
def test_flops_are_two_for_each_attended_multiply(arch: str, sizes: dict[str, int], mask: dict[str, Any]) -> None:
    e = estimate(arch, sizes, mask)
    assert e.flops == 2 * sizes["B"] * sizes["H"] * attended_pairs(sizes, mask) * (sizes["E"] + sizes["F"])


@given(archs, attention_sizes(), masks)
def test_fused_moves_no_more_than_unfused(arch: str, sizes: dict[str, int], mask: dict[str, Any]) -> None:
    fused = estimate(arch, sizes, mask)
    unfused = estimate(arch, sizes, mask, cascade="attention-3pass", schedule="naive")
    # The parts of a split are merged through memory in fp32; with few keys they are larger than all the scores.
    if all(kernel.splits == 1 for kernel in fused.kernels):
        assert fused.bytes["hbm"] <= unfused.bytes["hbm"]
    assert fused.lower_bound_s <= unfused.latency_s


@given(archs, attention_sizes(), dtypes)
def test_keys_and_values_are_read_once_at_least_and_by_the_group(arch: str, sizes: dict[str, int], dtype: str) -> None:
    def read(groups: int) -> dict[str, float]:
        by_tensor = estimate(arch, {**sizes, "H": 64, "G": groups}, {"kind": "dense"}, dtype=dtype).bytes_by_tensor["hbm"]
        return {name: by_tensor[name]["read"] for name in "KV"}

    few, many = read(4), read(32)
    for name in "KV":
        once = BYTES[dtype] * sizes["B"] * 4 * sizes["M"] * sizes["E"]
        assert few[name] >= once
        assert many[name] >= 8 * once
        assert many[name] >= few[name]


@given(archs, attention_sizes(decode=True), dtypes)
def test_decode_traffic_scales_with_the_groups(arch: str, sizes: dict[str, int], dtype: str) -> None:
    """One query row reads each key once, so K and V bytes are exactly those of the G heads that exist."""
    for groups in (1, 4, 32):
        by_tensor = estimate(arch, {**sizes, "H": 32, "G": groups}, {"kind": "causal"}, dtype=dtype).bytes_by_tensor["hbm"]
        for name in "KV":
            assert by_tensor[name]["read"] == pytest.approx(BYTES[dtype] * sizes["B"] * groups * sizes["M"] * sizes["E"])


@given(archs, attention_sizes(), masks, st.sampled_from("MPBH"), st.integers(2, 5))
def test_the_lower_bound_grows_with_every_size(arch: str, sizes: dict[str, int], mask: dict[str, Any], rank: str, times: int) -> None:
    grown = {**sizes, rank: sizes[rank] * times}
    if rank == "P":
        grown["P"] = min(grown["P"], grown["M"])  # more queries than keys would leave rows that attend nothing
    assert estimate(arch, sizes, mask).lower_bound_s <= estimate(arch, grown, mask).lower_bound_s * ROUNDING


@given(archs, attention_sizes(), masks, st.integers(2, 6))
def test_a_larger_batch_takes_no_less_time(arch: str, sizes: dict[str, int], mask: dict[str, Any], times: int) -> None:
    one, many = estimate(arch, sizes, mask), estimate(arch, {**sizes, "B": sizes["B"] * times}, mask)
    assert many.flops == times * one.flops
    assert one.lower_bound_s <= many.lower_bound_s * ROUNDING
    # A kernel's split rule is no optimum: it may split a small grid and pay for the merge, and leave a larger one whole.
    assume([kernel.splits for kernel in one.kernels] == [kernel.splits for kernel in many.kernels])
    assert one.latency_s <= many.latency_s * ROUNDING


@settings(max_examples=30)
@given(archs, attention_sizes(), masks)
def test_the_report_adds_up(arch: str, sizes: dict[str, int], mask: dict[str, Any]) -> None:
    e = estimate(arch, sizes, mask)
    for level, tensors in e.bytes_by_tensor.items():
        assert e.bytes[level] == pytest.approx(sum(sum(directions.values()) for directions in tensors.values())), level
    assert e.bound in {*e.time_by_resource_s, "latency", "occupancy"}
    assert sum(kernel.latency_s for kernel in e.kernels) == pytest.approx(e.latency_s)
