from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from report_fakes import report, result

import attnsim
from attnsim.errors import UsageError
from attnsim.report.export import to_json
from attnsim.report.roofline.charts import Chart, charts, rows
from attnsim.report.roofline.figure import MOST, draw, limits, render, save
from attnsim.report.roofline.timepanel import BAR

DECODE: dict[str, Any] = {
    "dtype": "bf16",
    "schedule": "flash-decoding",
    "flops": 4_000_000_000,
    "latency_s": 7e-4,
    "lower_bound_s": 6e-4,
    "bound": "hbm",
    "bytes": {"hbm": 1_200_000_000, "l2": 1_300_000_000, "smem": 1_500_000_000},
    "time_by_resource_s": {"hbm": 6.5e-4, "l2": 3e-4, "tensor": 1e-4, "launch": 3e-6},
}


def three() -> tuple[Chart, ...]:
    fp8 = result("prefill-fp8", dtype="fp8", latency_s=7e-4, bytes={"hbm": 100_000_000, "l2": 1_000_000_000, "smem": 5_000_000_000})
    return charts([report(), report(result("decode", **DECODE), name="decode"), report(fp8, name="prefill-fp8")])


def test_roofs_are_the_peaks_of_the_units_and_precisions_used() -> None:
    (chart,) = three()
    assert {roof.name: roof.flops_per_s for roof in chart.roofs} == {
        "tensor bf16": 1e15,
        "tensor fp8": 2e15,
        "vector fp32": 2 * 250 * 1e9 * 100,
    }


def test_precisions_with_one_peak_share_one_roof() -> None:
    (chart,) = charts([report(result("a"), result("b", dtype="fp16"))])
    assert "tensor bf16, fp16" in {roof.name for roof in chart.roofs}


def test_diagonals_are_the_memory_levels_under_profiler_names() -> None:
    (chart,) = three()
    assert [(diagonal.name, diagonal.bytes_per_s) for diagonal in chart.diagonals] == [("DRAM", 2e12), ("L2", 5e12), ("SMEM", 30e12)]


def test_a_ridge_is_the_peak_over_the_bandwidth() -> None:
    (chart,) = charts([report()])
    assert chart.ridge(chart.diagonals[0]) == pytest.approx(500)


def test_a_kernel_stands_once_per_level_at_one_height() -> None:
    (chart,) = charts([report()])
    (kernel,) = chart.kernels
    assert kernel.points() == [("hbm", 2500.0), ("l2", 250.0), ("smem", 50.0)]
    assert kernel.flops_per_s == pytest.approx(5e14)


def test_a_level_without_traffic_has_a_roof_but_no_point() -> None:
    (chart,) = charts([report(result(bytes={"hbm": 1e9, "l2": 0, "smem": 0}))])
    assert [(diagonal.level, diagonal.used) for diagonal in chart.diagonals] == [("hbm", True), ("l2", False), ("smem", False)]
    assert [level for level, _ in chart.kernels[0].points()] == ["hbm"]


def test_each_machine_gets_its_own_chart() -> None:
    assert [chart.arch for chart in charts([report(arch="a"), report(arch="b"), report(arch="a")])] == ["a", "b"]
    assert len(charts([report(arch="a"), report(arch="a")])[0].kernels) == 2


def test_limits_hold_every_point_and_ridge() -> None:
    (chart,) = three()
    (low_x, high_x), (low_y, high_y) = limits(chart)
    for kernel in chart.kernels:
        assert low_y < kernel.flops_per_s < high_y
        assert all(low_x < x < high_x for _, x in kernel.points())
    assert all(low_x < chart.ridge(diagonal) < high_x for diagonal in chart.diagonals)


def test_rows_hold_the_attainable_rate_at_each_level() -> None:
    by_key = {(row["name"], row["level"]): row for row in rows(three())}
    assert len(by_key) == 9
    assert by_key["decode", "hbm"]["attainable_flop_per_s"] == pytest.approx(4e9 / 1.2e9 * 2e12)
    assert by_key["prefill", "hbm"]["attainable_flop_per_s"] == 1e15
    assert by_key["prefill-fp8", "hbm"]["peak_flop_per_s"] == 2e15


def test_save_writes_the_figure_and_its_data_beside_it(tmp_path: Path) -> None:
    data = save(three(), tmp_path / "r.svg", "0.1.0")
    assert data == tmp_path / "r.csv"
    root = ET.fromstring((tmp_path / "r.svg").read_text())
    assert root.tag.endswith("svg")
    table = list(csv.DictReader(data.read_text().splitlines()))
    assert len(table) == 9 and table[0]["level"] == "hbm" and float(table[0]["latency_s"]) == 1e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "r.svg"]


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.svg, \.pdf, \.png"):
        save(three(), tmp_path / "r.jpg", "0.1.0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ending", "magic"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_the_same_input_gives_the_same_bytes(ending: str, magic: bytes) -> None:
    first, second = (render(charts([report()]), ending, "0.1.0") for _ in range(2))
    assert first == second and first.startswith(magic)


def test_more_kernels_than_can_be_told_apart_are_refused(tmp_path: Path) -> None:
    full = charts([report(*(result(f"kernel {i}", sizes={"P": i}) for i in range(MOST + 1)))])
    with pytest.raises(UsageError, match=f"{MOST + 1} kernels on toy; a roofline shows at most {MOST}"):
        save(full, tmp_path / "r.svg", "0.1.0")
    assert list(tmp_path.iterdir()) == []


def test_the_bound_is_named_beside_its_bar_and_every_time_is_written() -> None:
    (_, bars) = draw(charts([report()]), "0.1.0").axes
    texts = [text.get_text() for text in bars.texts]
    assert "1.00 ms, bound by tensor 90 %" in texts and sum("bound" in text for text in texts) == 1
    assert "tensor 900 us, L2 400 us, sfu 300 us, DRAM 100 us" in texts


def test_bars_stack_the_times_in_units_of_the_latency() -> None:
    (_, bars) = draw(charts([report()]), "0.1.0").axes
    filled = [patch for patch in bars.patches if patch.get_fill() and patch.get_height() == BAR]
    assert [round(patch.get_width(), 9) for patch in filled] == [0.9, 0.3, 0.1, 0.4]
    assert [round(patch.get_x(), 9) for patch in filled] == [0, 0.9, 1.2, 1.3]


def test_resources_stand_in_one_order_in_all_bars() -> None:
    other = result("b", sizes={"P": 1}, time_by_resource_s={"l2": 1e-4, "tensor": 5e-4})
    (_, bars) = draw(charts([report(result("a"), other)]), "0.1.0").axes
    filled = [patch for patch in bars.patches if patch.get_fill() and patch.get_height() == BAR]
    assert [round(patch.get_width(), 9) for patch in filled] == [0.9, 0.3, 0.1, 0.4, 0.5, 0.1]


def test_a_bound_that_is_no_resource_is_named_all_the_same() -> None:
    (_, bars) = draw(charts([report(result(bound="occupancy"))]), "0.1.0").axes
    assert "1.00 ms, bound by occupancy" in [text.get_text() for text in bars.texts]


def test_kernels_without_matmul_flops_have_a_bar_but_no_point_and_the_figure_says_so() -> None:
    made = charts([report(result("a"), result("norm", flops=0, sizes={"P": 1}))])
    figure = draw(made, "0.1.0")
    assert "without matmul FLOPs, so without a point: 2" in [text.get_text() for text in figure.texts]
    assert [row["level"] for row in rows(made) if row["name"] == "norm"] == [""]


def test_a_name_is_drawn_as_it_is_written() -> None:
    name = "a $x_$ % {} \\frac <script>"
    figure = draw(charts([report(result(name))]), "0.1.0")
    assert any(text.get_text().startswith(f"1  {name}") for text in figure.texts)
    render(charts([report(result(name))]), "svg", "0.1.0")


def test_a_chart_as_json_holds_roofs_points_and_limits() -> None:
    (chart,) = charts([attnsim.run("llama3-8b-prefill", "h100_sxm")])
    data = json.loads(to_json(chart.to_dict()))
    assert data["power"][0]["limit_w"] == 700 and data["power"][0]["curve"][-1][1] == pytest.approx(868e12, rel=0.01)
    assert data["kernels"][0]["points"][0]["level"] == "hbm" and data["kernels"][0]["measured"] is None
    assert {roof["name"] for roof in data["roofs"]} == {"tensor bf16", "vector fp32"}


def test_a_layer_gives_a_kernel_a_step() -> None:
    report_ = attnsim.run("fusemax-bert-encoder", "fusemax_cloud")
    (chart,) = charts([report_])
    assert [kernel.name for kernel in chart.kernels] == [f"fusemax-bert-encoder: {step}" for step in ("attention", "linear")]
    assert sum(kernel.latency_s for kernel in chart.kernels) == pytest.approx(report_.results[0].latency_s)


def test_arrays_have_the_peak_of_all_of_them_and_of_the_small_ones() -> None:
    (chart,) = charts([attnsim.run("fusemax-bert-attention", "fusemax_cloud")])
    assert {roof.name: roof.flops_per_s for roof in chart.roofs} == {
        "pe2d + pe1d fp16": 2 * (256 * 256 + 256) * 940e6, "pe1d fp16": 2 * 256 * 940e6,
    }  # fmt: skip
    assert [(one.level, one.used) for one in chart.diagonals] == [("dram", True)] and chart.power == ()
    assert [level for level, _ in chart.kernels[0].points()] == ["dram", "buffer"]
    assert chart.kernels[0].flops_per_s <= chart.top.flops_per_s


def test_a_model_gives_its_step_on_one_device_and_the_parts_with_matrix_products() -> None:
    report_ = attnsim.run("llama3-70b-serving", "h100_sxm")
    (chart,) = charts([report_])
    (answer,) = report_.results
    whole, *parts = chart.kernels
    assert whole.latency_s == pytest.approx(answer.latency_s) and whole.flops == pytest.approx(answer.flops / answer.gpus)
    assert dict(whole.bytes)["hbm"] == pytest.approx(answer.bytes["hbm"] / answer.gpus)
    assert sum(part.flops for part in parts) == pytest.approx(whole.flops)
    assert {part.name.split(": ")[1] for part in parts} == {"projections", "attention", "ffn", "head"}


def test_a_model_on_several_machines_is_refused() -> None:
    with pytest.raises(UsageError, match="whose parts are not kernels of one machine; a roofline draws kernels, layers and colocated"):
        charts([attnsim.run("step3-afd", "h800")])
