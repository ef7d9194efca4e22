"""A layer is the sum of its kernels; its mistakes are told where the layer says them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import InfeasibleError, SpecError, UsageError

SIZES = {"B": 2, "H": 12, "P": 2048, "M": 2048, "E": 64, "F": 64, "D": 768, "S": 3072}
LAYER: dict[str, Any] = {
    "attnsim": 1, "kind": "layer", "name": "layer", "dtype": "fp16", "sizes": SIZES,
    "steps": [
        {"name": "attention", "cascade": "attention-1pass", "schedule": "fusemax"},
        {"name": "linear", "cascade": "encoder-linear", "schedule": "unfused"},
    ],
}  # fmt: skip


def test_a_layer_is_the_sum_of_its_steps() -> None:
    total, *parts = attnsim.run(LAYER, "fusemax_cloud").results
    assert [part.name for part in parts] == ["layer: attention", "layer: linear"]
    assert total.kind == "layer" and total.latency_s == pytest.approx(sum(part.latency_s for part in parts), rel=1e-15)
    assert total.energy_j == pytest.approx(sum(part.energy_j for part in parts), rel=1e-15)
    assert total.flops == sum(part.flops for part in parts)
    assert total.bytes["dram"] == sum(part.bytes["dram"] for part in parts)
    assert 0 < total.lower_bound_s <= total.latency_s
    assert total.lower_bound_s >= max(part.lower_bound_s for part in parts)


def test_a_step_is_what_it_would_be_alone() -> None:
    _, attention, linear = attnsim.run(LAYER, "fusemax_cloud").results
    shared = {"attnsim": 1, "kind": "kernel", "name": "x", "dtype": "fp16"}
    ranks = {rank: SIZES[rank] for rank in "BHPMEF"}
    alone = attnsim.run({**shared, "cascade": "attention-1pass", "sizes": ranks}, "fusemax_cloud", "fusemax").results[0]
    assert alone.latency_s == attention.latency_s and alone.energy_j == attention.energy_j
    # six products by hand: all bound by the 256x256 array, every rank a multiple of it
    tokens, width, inner = SIZES["B"] * SIZES["P"], SIZES["D"], SIZES["S"]
    macs = tokens * (4 * width * width + 2 * width * inner)
    assert linear.flops == 2 * macs and linear.latency_s == pytest.approx(macs / 65536 / 940e6, rel=1e-12)


def test_a_layer_runs_on_processors_too() -> None:
    steps = [{"name": "a", "cascade": "attention-1pass"}, {"name": "b", "cascade": "attention-1pass", "sizes": {"M": 4096}}]
    sizes = {**{rank: SIZES[rank] for rank in "BHPMEF"}}
    total, first, second = attnsim.run({**LAYER, "sizes": sizes, "steps": steps}, "h100_sxm").results
    assert second.sizes["M"] == 4096 and first.sizes["M"] == 2048
    assert total.latency_s == pytest.approx(first.latency_s + second.latency_s)


def test_json_and_text_have_every_part() -> None:
    report = attnsim.run(LAYER, "fusemax_cloud")
    data = report.to_dict()
    assert [result["kind"] for result in data["results"]] == ["layer", "kernel", "kernel"]
    assert set(data["results"][0]["steps"]) == {"layer: attention", "layer: linear"}
    assert "layer: linear" in repr(report) and "stage plan" in repr(report)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "layer.yaml"
    path.write_text(
        "attnsim: 1\nkind: layer\nname: layer\ndtype: fp16\n"
        "sizes: {B: 2, H: 12, P: 2048, M: 2048, E: 64, F: 64, D: 768, S: 3072}\n"
        "steps:\n"
        "  - {name: attention, cascade: attention-1pass, schedule: fusemax}\n"
        "  - {name: linear, cascade: encoder-linear, schedule: unfused}\n"
    )
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schedule: fusemax", "schedule: fusemaxx", "layer.yaml:7:49: schedule: unknown schedule 'fusemaxx'; did you mean 'fusemax'?"),
        ("cascade: encoder-linear", "cascade: encoder", "unknown cascade 'encoder'; did you mean 'encoder-linear'?"),
        (", S: 3072", "", "the size of rank S (feed-forward dim) is missing"),
        ("D: 768", "D: -768", "layer.yaml:5:54: sizes.D: must be a whole number of at least 1, not -768"),
        ("steps:\n", "stesp:\n", "layer.yaml:6:1: stesp: unknown field; did you mean 'steps'?"),
    ],
)
def test_mistakes_are_told_where_the_layer_says_them(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SpecError) as caught:
        attnsim.run(file, "fusemax_cloud")
    assert message in str(caught.value), str(caught.value)
    assert "layer.yaml:" in str(caught.value)


def test_a_schedule_beside_a_layer_is_refused(file: Path) -> None:
    with pytest.raises(SpecError, match="every step of a layer names its own schedule"):
        attnsim.run(file, "fusemax_cloud", "fusemax")


def test_a_step_the_machine_cannot_run_is_told(file: Path) -> None:
    with pytest.raises(InfeasibleError, match="pe2d of flat_cloud does not execute"):
        attnsim.run(file, "flat_cloud")


def test_sets_reach_into_steps(file: Path) -> None:
    slow = attnsim.run(file, "fusemax_cloud", sets=["steps.0.schedule=fusemax-architecture"]).results[1]
    assert slow.schedule == "fusemax-architecture"
    with pytest.raises(UsageError):
        attnsim.run(file, "fusemax_cloud", sets=["steps.7.schedule=fusemax"])
