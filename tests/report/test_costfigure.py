"""Figures of what a token costs: every line and dot named, no name over another, the same bytes every time."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from figure_texts import clashes

from attnsim.errors import UsageError
from attnsim.report.cost import CostTable, cost_table
from attnsim.report.costfigure import draw, render, save, series

NINE = (
    "step3", "pangu-pro", "qwen3-235b", "kimi-k2", "llama4-maverick", "deepseek-v3", "qwen3-32b", "ernie-4.5-300b", "minimax-m1",
)  # fmt: skip


@cache
def figure_1() -> CostTable:
    return cost_table("step3-decode-ideal", "h800", NINE, "8k,32k", sets=["deployment.hardware=[h20, a800, ascend_910b]"])


@cache
def figure_3() -> CostTable:
    return cost_table("step3-decode-ideal", "h800", ["step3", "minimax-m1", "llama4-maverick"], "1k..128k:log2")


@cache
def nine_lines() -> CostTable:
    return cost_table("step3-decode-ideal", "h800", NINE, "1k..128k:log2")


@cache
def machines() -> CostTable:
    return cost_table("step3-decode-ideal", ["h800", "h20", "a800"], ["step3", "deepseek-v3", "qwen3-32b"], "1k..128k:log2")


@cache
def served() -> CostTable:
    """Lines that end before the last context, where the model no longer fits or meets its target."""
    return cost_table("llama3-70b-serving", ["h100_sxm", "h200", "b200", "a100_sxm_80gb"], contexts="1k..512k:log2")


@cache
def many_dots() -> CostTable:
    return cost_table("step3-decode-ideal", ["h800", "h20", "a800"], NINE, "8k,32k")


@cache
def one() -> CostTable:
    return cost_table("step3-decode-ideal", "h800")


FIGURES: dict[str, Callable[[], Any]] = {
    "figure 1": lambda: draw(figure_1(), "activated"),
    "figure 3": lambda: draw(figure_3(), kv=True),
    "nine lines": lambda: draw(nine_lines(), kv=True),
    "machines": lambda: draw(machines(), kv=True),
    "served": lambda: draw(served()),
    "many dots": lambda: draw(many_dots(), "activated"),
    "one line": lambda: draw(one(), kv=True),
    "one dot": lambda: draw(one(), "activated"),
}


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES.keys())
def test_no_text_lies_over_another_and_all_stay_in_the_picture(make: Callable[[], Any]) -> None:
    assert not clashes(make())


def test_no_name_lies_on_a_dot() -> None:
    for axes in draw(figure_1(), "activated").axes:
        places = [axes.transData.transform((line.get_xdata()[0], line.get_ydata()[0])) for line in axes.lines if line.get_marker() == "o"]
        for text in axes.texts:
            extent = text.get_window_extent()
            assert not any(extent.x0 < x < extent.x1 and extent.y0 < y < extent.y1 for x, y in places), text.get_text()


def test_every_model_is_named_in_every_panel() -> None:
    for axes in draw(figure_1(), "activated").axes:
        assert sorted(text.get_text() for text in axes.texts) == sorted(NINE)
    cost, cache_read = draw(nine_lines(), kv=True).axes
    assert sorted(text.get_text() for text in cost.texts) == sorted(text.get_text() for text in cache_read.texts) == sorted(NINE)


def test_lines_are_named_by_what_differs() -> None:
    cost, cache_read = draw(machines(), kv=True).axes
    assert {text.get_text() for text in cost.texts} == {
        f"{model}, {arch}" for model in ("step3", "deepseek-v3", "qwen3-32b") for arch in ("h800", "h20", "a800")
    }
    assert {text.get_text() for text in cache_read.texts} == {"step3", "deepseek-v3", "qwen3-32b"}
    assert {text.get_text() for text in draw(served()).axes[0].texts} == {"h100_sxm", "h200", "b200", "a100_sxm_80gb"}


def test_workloads_that_cache_alike_share_a_line() -> None:
    asked = {"attnsim": 1, "kind": "model", "model": "step3", "context": 8192, "prices": "stepfun-2025", "deployment": {"kind": "ideal"}}
    one, same, other = ({**asked, "name": name, "kv": kv} for name, kv in (("one", "fp8"), ("same", "fp8"), ("other", "bf16")))
    for workloads, names in (([one, same], {"step3"}), ([one, other], {"one", "other"})):
        cost, cache_read = draw(cost_table(workloads, "h800", contexts="8k,16k"), kv=True).axes
        assert {text.get_text() for text in cache_read.texts} == names
        assert {text.get_text() for text in cost.texts} == {str(workload["name"]) for workload in workloads}


def test_touching_dots_of_a_model_have_one_name() -> None:
    table = cost_table("llama3-70b-serving", ["h100_sxm", "h200"], ["llama3-70b", "llama3-8b"], "8k")
    (axes,) = draw(table, "activated").axes
    assert sorted(text.get_text() for text in axes.texts) == ["llama3-70b", "llama3-70b", "llama3-8b"]


def test_no_two_lines_look_alike() -> None:
    for table, by in ((nine_lines(), ("model",)), (machines(), ("model", "machine"))):
        looks = [(line.color, line.marker) for line in series(table.points, by)]
        assert len(set(looks)) == len(looks) == 9


def strokes(table: CostTable) -> list[tuple[float, float, str]]:
    """(from, to, stroke) of the pieces of the first panel's lines."""
    lines = draw(table).axes[0].lines
    return [
        (*map(float, line.get_xdata()), line.get_linestyle())
        for line in lines
        if line.get_linestyle() != "None" and line.get_linewidth() > 1
    ]


def test_memory_is_solid_and_compute_dashed_and_the_stroke_changes_half_way() -> None:
    table = cost_table("step3-decode-ideal", "h800", contexts="1k,2k,4k")
    assert [point.resource for point in table.points] == ["compute", "memory", "memory"]
    (a, b, first), (c, d, second), (e, f, third) = strokes(table)
    assert (first, second, third) == ("--", "-", "-")
    assert (a, b, c, d, e, f) == pytest.approx((1024, 1024 * 2**0.5, 1024 * 2**0.5, 2048, 2048, 4096))


def test_a_line_breaks_where_a_point_is_left_out() -> None:
    table = cost_table("step3-decode-ideal", "h800", contexts="4k,8k,16k,32k")
    holed = replace(table, points=tuple(point for point in table.points if point.context != 8192))
    assert [(a, b) for a, b, _ in strokes(holed)] == [(16384, 32768)]
    dots = next(line for line in draw(holed).axes[0].lines if line.get_marker() == "o")
    assert list(map(float, dots.get_xdata())) == [4096, 16384, 32768]


def test_dots_stand_at_their_values_and_are_hollow_where_compute_bounds() -> None:
    table = figure_1()
    for axes, context in zip(draw(table, "activated").axes, (8192, 32768), strict=True):
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        points = [point for point in table.points if point.context == context]
        assert [float(dot.get_xdata()[0]) * 1e9 for dot in dots] == pytest.approx([point.activated_parameters for point in points])
        assert [float(dot.get_ydata()[0]) for dot in dots] == [point.usd_per_mtok for point in points]
        assert [dot.get_markerfacecolor() == "white" for dot in dots] == [point.resource == "compute" for point in points]
    assert any(point.resource == "compute" for point in table.points)


def test_costs_that_differ_little_start_at_zero_and_others_are_logarithmic() -> None:
    assert all(axes.get_yscale() == "linear" and axes.get_ylim()[0] == 0 for axes in draw(figure_1(), "activated").axes)
    assert all(axes.get_yscale() == "log" for axes in draw(figure_3(), kv=True).axes)


def test_the_figure_says_what_all_points_share() -> None:
    said = [text.get_text() for text in draw(figure_1(), "activated").texts]
    assert "each part on the cheapest of h800, h20, a800, ascend_910b; ideal; prices stepfun-2025" in said
    assert "Cost of a decoded token" in said and any("attnsim 0.1.0; step3-decode-ideal; h800" in line for line in said)


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_same_table_gives_the_same_bytes(ending: str) -> None:
    assert render(figure_3(), ending) == render(figure_3(), ending)


def test_the_data_stand_beside_the_figure(tmp_path: Path) -> None:
    assert save(figure_1(), tmp_path / "f.svg", "activated") == [tmp_path / "f.csv"]
    rows = list(csv.DictReader((tmp_path / "f.csv").open()))
    assert [float(row["usd_per_mtok"]) for row in rows] == [point.usd_per_mtok for point in figure_1().points]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"end the name in \.svg, \.pdf, \.png"):
        save(one(), tmp_path / "f.jpg")
    with pytest.raises(UsageError, match="against context"):
        draw(one(), "activated", kv=True)
    assert list(tmp_path.iterdir()) == []
