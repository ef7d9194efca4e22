"""Blocks chosen at run time through the engine: scoring, sorting, gathering, merging, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import attnsim
from attnsim.errors import InfeasibleError, SpecError

TOPK = {"kind": "topk", "block": 512, "keep": 8}


def ask(mask: Any, schedule: Any = "moba", arch: str = "h800", n: int = 32768, heads: int = 12, groups: int = 12, **fields: Any) -> Any:
    workload = {
        "attnsim": 1, "kind": "kernel", "name": "asked", "cascade": "attention-1pass", "dtype": "bf16", "schedule": schedule, "mask": mask,
        "sizes": {"B": 1, "H": heads, "G": groups, "P": n, "M": n, "E": 128, "F": 128}, **fields,
    }  # fmt: skip
    return attnsim.run(workload, arch).results[0]


def by_name(result: Any) -> dict[str, Any]:
    return {kernel.name: kernel for kernel in result.kernels}


def test_flops_are_those_of_the_chosen_pairs_and_of_the_scores():
    result = ask(TOPK)
    attended = 4 * 12 * 32768 * 8 * 512 * 128
    scores = 2 * 12 * 32768 * 64 * 128
    assert result.flops == attended + scores
    assert [kernel.name for kernel in result.kernels] == ["score KB", "score S", "sort", "gather", "moba", "merge"]
    assert result.mask["attended_pairs"] == 32768 * 8 * 512


def test_what_is_copied_is_what_was_chosen():
    kernels = by_name(ask(TOPK))
    chosen = 12 * 32768 * 8
    assert kernels["gather"].bytes["hbm"] == 2 * chosen * 128 * 2
    assert kernels["merge"].bytes["hbm"] == 2 * chosen * (128 * 2 + 4)
    assert kernels["sort"].bytes["hbm"] == 2 * 4 * 12 * 32768 * 64 * 8
    rate = kernels["gather"].bytes["hbm"] / kernels["gather"].latency_s
    assert rate < 0.5 * 3.35e12, "rows in any order are copied at a share of the bandwidth"


def test_queries_that_choose_together_are_not_gathered():
    result = ask({**TOPK, "queries": 128})
    assert [kernel.name for kernel in result.kernels] == ["score KB", "score S", "sort", "moba"]
    assert result.latency_s < ask(TOPK).latency_s


def test_more_blocks_take_longer_and_all_of_them_longer_than_no_choice():
    times = [ask({**TOPK, "keep": keep, "queries": 128}).latency_s for keep in (4, 16, 64)]
    assert times == sorted(times)
    assert times[-1] > ask({"kind": "dense"}, "flash-attention-2").latency_s


def test_a_narrow_estimate_runs_at_its_own_rate():
    """SALE: a 4-bit product of all queries and keys, then a fifth of the pairs."""
    mask = {"kind": "topk", "block": 32, "density": 0.19, "queries": 64, "causal": True}
    result = ask(mask, "sale", "rtx_4090", n=65536, heads=8, groups=8)
    dense = ask({"kind": "causal"}, "flash-attention-2", "rtx_4090", n=65536, heads=8, groups=8)
    kernels = by_name(result)
    assert list(kernels) == ["score block-estimate-int4", "sale"]
    share = kernels["score block-estimate-int4"].latency_s / dense.latency_s
    assert 0.06 < share < 0.14, "half of the FLOPs at eight times the rate, and its own overheads"
    assert 0.19 < kernels["sale"].latency_s / dense.latency_s < 0.35
    causal = 65536 * 65537 // 2
    assert result.flops == 8 * 128 * (4 * round(0.19 * causal) + 2 * causal)


def test_a_bound_does_not_count_how_blocks_are_chosen():
    result = ask(TOPK)
    assert result.lower_bound_s < by_name(result)["moba"].latency_s < result.latency_s


def test_heads_that_choose_and_heads_that_do_not():
    mask = {"kind": "per_head", "masks": [{"heads": 6, "mask": TOPK}, {"heads": 6, "mask": {"kind": "dense"}}]}
    both, chosen = ask(mask), ask(TOPK)
    assert by_name(both)["gather"].bytes["hbm"] == by_name(chosen)["gather"].bytes["hbm"] / 2
    assert by_name(both)["score S"].bytes["hbm"] < by_name(chosen)["score S"].bytes["hbm"]
    assert both.latency_s > chosen.latency_s


def test_what_a_kernel_cannot_choose_is_refused():
    with pytest.raises(InfeasibleError, match="sale attends 64 queries at a time, which have to choose together: set mask.queries"):
        ask({"kind": "topk", "block": 32, "density": 0.2}, "sale", "rtx_4090")
    with pytest.raises(InfeasibleError, match="a block of 48 chosen keys is not whole tiles of 64"):
        ask({"kind": "topk", "block": 48, "keep": 4})
    with pytest.raises(InfeasibleError, match="knows no topk mask"):
        ask(TOPK, "flash-attention-2")
    with pytest.raises(InfeasibleError, match="sale scores blocks in int4, in which h800 cannot compute"):
        ask({"kind": "topk", "block": 32, "density": 0.2, "queries": 64}, "sale", "h800")
    with pytest.raises(SpecError, match="a kernel of topk masks says how it chooses"):
        ask(TOPK, {"extends": "flash-attention-2", "masks": ["topk"]})
    with pytest.raises(SpecError, match="give either `keep`"):
        ask({"kind": "topk", "block": 32})


def test_a_cascade_without_positions_runs_one_kernel_an_einsum():
    sizes = {"B": 2, "P": 4096, "D": 1024, "H": 16, "E": 64, "F": 64, "S": 4096}
    workload = {"attnsim": 1, "kind": "kernel", "name": "linear", "cascade": "encoder-linear", "dtype": "bf16", "sizes": sizes}
    result = attnsim.run(workload, "h100_sxm").results[0]
    assert result.schedule == "matmul"
    assert result.flops == 2 * 2 * 4096 * (4 * 1024 * 1024 + 2 * 1024 * 4096)
    assert by_name(result)["FF1"].ctas == (2 * 4096 // 128) * (4096 // 256), "batch and positions are rows, heads and features columns"
    assert by_name(result)["Q"].ctas == (2 * 4096 // 128) * (1024 // 256)
    assert result.lower_bound_s <= result.latency_s
    with pytest.raises(InfeasibleError, match="no query and key rank, which schedule flash-attention-3 walks"):
        attnsim.run(workload, "h100_sxm", schedule="flash-attention-3")


def test_layers_multiply_what_adds_up():
    one, all_ = (attnsim.run("wan2.1-1.3b", "h800", layers=layers).results for layers in (1, 30))
    assert all_[0].flops == 30 * one[0].flops
    assert all_[0].latency_s == pytest.approx(30 * one[0].latency_s)
    assert all_[0].utilization == pytest.approx(one[0].utilization)
    assert [step.latency_s for step in all_[1:]] == [step.latency_s for step in one[1:]]
