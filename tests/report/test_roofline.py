from __future__ import annotations

import csv
import itertools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from report_fakes import report, result

from attnsim.errors import UsageError
from attnsim.report.figure import draw, limits, render, save
from attnsim.report.placing import box, overlap
from attnsim.report.roofline import Chart, charts, rows

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


def label_shapes(axes: Any) -> list[tuple[str, Any]]:
    """Every text inside one axes as its turned rectangle, in pixels."""
    shapes = []
    for text in axes.texts:
        angle = text.get_rotation()
        hull = text.get_window_extent()
        center = ((hull.x0 + hull.x1) / 2, (hull.y0 + hull.y1) / 2)
        text.set_rotation(0)
        flat = text.get_window_extent()
        text.set_rotation(angle)
        shapes.append((text.get_text(), box(center, flat.width, flat.height, angle)))
    return shapes


def many() -> tuple[Chart, ...]:
    return charts(
        [report(*(result(f"kernel {i}", latency_s=1e-3 * 1.2**i, bytes={"hbm": 2e8 * 1.5**i, "l2": 2e9, "smem": 1e10}) for i in range(9)))]
    )


@pytest.mark.parametrize("made", [lambda: charts([report()]), three, many], ids=["one", "three", "many"])
def test_no_label_lies_over_another_and_all_stay_in_the_picture(made: Any) -> None:
    figure = draw(made(), "0.1.0")
    for axes in figure.axes:
        labels = label_shapes(axes)
        assert len(labels) >= 6
        for (one, first), (two, second) in itertools.combinations(labels, 2):
            assert not overlap(first, second), (one, two)
        for name, shape in labels:
            assert all(0 <= x <= figure.bbox.width and 0 <= y <= figure.bbox.height for x, y in shape), name


def test_labels_carry_name_and_value_and_follow_the_slope() -> None:
    (roofline, _) = draw(charts([report()]), "0.1.0").axes
    angles = {text.get_text(): text.get_rotation() for text in roofline.texts}
    assert angles["tensor bf16  1.00 PFLOP/s"] == 0
    assert 10 < angles["DRAM  2.00 TB/s"] < 80
    assert angles["DRAM  2.00 TB/s"] == pytest.approx(angles["SMEM  30.0 TB/s"], abs=0.5)
    assert "ridge DRAM  500 FLOP/B" in angles


def test_the_bound_is_named_on_its_bar() -> None:
    (_, bars) = draw(charts([report()]), "0.1.0").axes
    texts = [text.get_text() for text in bars.texts]
    assert " 900 us, 90 %  bound" in texts and sum("bound" in text for text in texts) == 1
