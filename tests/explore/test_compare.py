"""Two answers side by side: ratios are those of the answers, what changed is what was changed, and the sentence names it."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import attnsim
from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Report
from attnsim.explore.compare.compare import Comparison, compare


@cache
def answer(workload: str, arch: str, schedule: str | None = None, *sets: str) -> Report:
    return attnsim.run(workload, arch, schedule, sets=sets)


H100, B200 = ("llama3-8b-prefill", "h100_sxm"), ("llama3-8b-prefill", "b200")


def pairs(found: Comparison, section: str) -> dict[str, tuple[Any, Any]]:
    return {one.name: (one.a, one.b) for one in getattr(found, section)}


def test_two_machines() -> None:
    a, b = answer(*H100), answer(*B200)
    found = attnsim.compare(a, b)
    x, y = a.results[0], b.results[0]
    assert pairs(found, "figures")["latency_s"] == (x.latency_s, y.latency_s)
    assert found.figure("headroom").a == x.latency_s / x.lower_bound_s  # type: ignore[union-attr]
    assert pairs(found, "resources") == {name: (x.time_by_resource_s[name], y.time_by_resource_s[name]) for name in x.time_by_resource_s}
    assert pairs(found, "inputs") == {"arch": ("h100_sxm", "b200"), "schedule": ("flash-attention-3", "flash-attention-4")}
    machine = pairs(found, "machine")
    assert machine["processors.count"] == (132, 148)
    assert machine["levels.hbm.bandwidth"] == (3.35e12, 8e12)
    assert machine["peak bf16"] == (a.machine.peak_flops("bf16"), b.machine.peak_flops("bf16"))
    assert "launch.graph" not in machine  # the same on both
    faster, tensor = x.latency_s / y.latency_s, x.time_by_resource_s["tensor"] / y.time_by_resource_s["tensor"]
    assert found.summary == (
        f"B is {faster:.2f} x faster: both are bound by tensor; tensor time {tensor:.2f} x lower (same work, rate {tensor:.2f} x higher)"
    )


def test_a_time_is_its_work_over_its_rate_and_shares_are_of_the_latency() -> None:
    found = compare(answer(*H100), answer(*B200))
    latency = found.figure("latency_s")
    assert latency is not None
    for busy in found.resources:
        assert busy.share == pytest.approx((busy.b - busy.a) / (latency.b - latency.a))  # type: ignore[operator]
        if busy.work is not None and busy.rate is not None:
            assert busy.work / busy.rate == pytest.approx(busy.ratio)
    assert {busy.name for busy in found.resources if busy.work is None} == {"launch"}


def test_reports_and_their_json_compare_alike() -> None:
    a, b = answer(*H100), answer(*B200)
    written = [json.loads(json.dumps(one.to_dict())) for one in (a, b)]
    assert compare(*written).to_dict() == compare(a, b).to_dict() == compare(a, written[1]).to_dict()


def test_a_machine_that_the_library_no_longer_has_as_it_was_is_told() -> None:
    a = answer("llama3-8b-decode", "h100_sxm")
    b = answer("llama3-8b-decode", "h100_sxm", None, "arch.levels.hbm.bandwidth=5 TB/s")
    assert pairs(compare(a, b), "machine") == {
        "levels.hbm.bandwidth": (3.35e12, 5e12),
        "levels.hbm.sustained": (a.machine.memory.sustained, b.machine.memory.sustained),  # type: ignore[union-attr]
    }
    found = compare(a, b.to_dict())
    assert found.machine == () and found.notes == (
        "the numbers of h100_sxm are not in the answer, and the library has no such machine or another content",
    )
    assert "hbm time 1.49 x lower (same work, rate 1.49 x higher)" in found.summary


def test_two_schedules_and_what_their_kernels_do() -> None:
    a = answer("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-1")
    b = answer("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-2")
    found = compare(a, b)
    assert pairs(found, "inputs") == {"schedule": ("flash-attention-1", "flash-attention-2")} and found.machine == ()
    assert [(pair.a["tile"], pair.b["tile"]) for pair in found.kernels] == [({"M": 128, "P": 16}, {"M": 64, "P": 128})]  # type: ignore[index]
    # The bound of A is no resource, so the one that changed most explains it.
    assert "bound moves from occupancy to tensor; hbm time 37.6 x lower (work 37.6 x less, same rate)" in found.summary
    text = repr(found)
    heads = [line.split() for line in text.splitlines()]
    assert ["kernel", "flash-attention-1", "flash-attention-2"] in heads and ["waves", "0.889", "9.48", "10.7"] in heads
    assert ["tile", "M=128", "P=16", "M=64", "P=128"] in heads and ["CTAs", "a", "processor", "2", "2", "same"] in heads


def test_sizes_and_formats_that_differ_are_listed() -> None:
    found = compare(answer(*H100), answer(*H100, None, "sizes.B=2", "dtype=fp8", "mask={kind: dense}"))
    inputs = pairs(found, "inputs")
    assert (inputs["sizes.B"], inputs["dtype"]) == ((1, 2), ("bf16", "fp8")) and "sizes.M" not in inputs
    assert pairs(found, "mask")["description"][1] == "dense"


def test_what_answers_do_not_tell_is_said() -> None:
    found = compare(answer(*H100), answer(*H100, None, "conditions.launch=stream"))
    assert found.inputs == () and "such as conditions" in found.notes[0]
    assert {(one.a, one.b) for one in found.assumptions} == {("launch: graph", None), (None, "launch: stream")}


def test_an_answer_beside_itself_has_no_difference() -> None:
    found = compare(answer(*H100), answer(*H100))
    assert found.summary == "B takes as long as A"
    assert (found.inputs, found.machine, found.mask, found.assumptions, found.notes) == ((), (), (), (), ())
    assert all(pair.ratio == 1 and pair.share is None for pair in found.resources)


def test_the_parts_of_a_model_make_its_difference() -> None:
    a, b = answer("llama3-70b-serving", "h100_sxm"), answer("llama3-70b-serving", "h100_sxm", None, "deployment.tp=8")
    found = compare(a, b)
    assert found.kind == "model" and found.resources == ()
    assert sum(part.share for part in found.parts) == pytest.approx(1)  # type: ignore[misc]
    assert pairs(found, "inputs")["gpus"] == (4, 8)
    assert "attention adds" in found.summary and found.summary.startswith(
        "B costs 1.37 x less a token and gives 1.37 x more tokens/s a device;"
    )
    assert pairs(found, "figures")["cost.usd_per_mtok"] == (a.results[0].cost["usd_per_mtok"], b.results[0].cost["usd_per_mtok"])


def test_the_steps_of_a_layer_make_its_difference() -> None:
    found = compare(answer("wan2.1-1.3b", "h100_sxm"), answer("wan2.1-1.3b-vmoba", "h100_sxm"))
    assert [part.name for part in found.parts] == ["self attention", "linear", "cross attention"]
    assert sum(part.share for part in found.parts) == pytest.approx(1)  # type: ignore[misc]
    assert sum(part.a for part in found.parts) == pytest.approx(found.figure("latency_s").a)  # type: ignore[misc, union-attr]
    assert "self attention makes" in found.summary


def test_spatial_answers_and_one_beside_a_gpu() -> None:
    spatial = answer("fusemax-bert-attention", "fusemax_cloud")
    found = compare(answer("fusemax-bert-attention", "fusemax_cloud", "fusemax-cascade"), spatial)
    assert "pe1d time 17.6 x lower (work 8.64 x less, rate 2.03 x higher)" in found.summary
    other = compare(spatial, answer("fusemax-bert-attention", "h100_sxm", "flash-attention-3"))
    assert "bound moves from pe1d to sfu" in other.summary
    assert all(busy.share is None for busy in other.resources) and pairs(other, "bytes")["dram"][1] is None
    assert {"arrays.pe2d PEs", "processors.count"} <= pairs(other, "machine").keys()


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_ratios_are_b_over_a_and_turn_over(by: float, work: float) -> None:
    data = answer(*H100).to_dict()
    other = copy.deepcopy(data)
    result = other["results"][0]
    result["latency_s"] *= by
    result["time_by_resource_s"] = {name: seconds * by for name, seconds in result["time_by_resource_s"].items()}
    result["flops_by_unit"]["tensor"] *= work
    forth, back = compare(data, other), compare(other, data)
    assert forth.figure("latency_s").ratio == pytest.approx(by)  # type: ignore[union-attr]
    assert back.figure("latency_s").ratio == pytest.approx(1 / by)  # type: ignore[union-attr]
    tensor = next(busy for busy in forth.resources if busy.name == "tensor")
    assert (tensor.work, tensor.rate) == (pytest.approx(work), pytest.approx(work / by))
    assert ("faster" in forth.summary) == (by < 1 - 5e-4) and ("slower" in forth.summary) == (by > 1 + 5e-4)


@pytest.mark.parametrize(
    "wrong", [{}, {"results": []}, {"results": [{"latency_s": 1}]}, {"workload": {}, "arch": {}, "results": [{}]}, {"results": "x"}, 3]
)
def test_what_is_no_answer_is_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match="the second is no answer of attnsim run; write one with: attnsim run"):
        compare(answer(*H100), wrong)


def test_a_model_and_a_kernel_do_not_compare() -> None:
    with pytest.raises(UsageError, match="a model and a kernel have nothing to compare"):
        compare(answer("llama3-70b-serving", "h100_sxm"), answer(*H100))
