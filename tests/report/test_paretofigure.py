"""Figures of fronts: no text over another, the same bytes every time, lines where the front is, colours for a third objective."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from attnsim.errors import UsageError
from attnsim.explore.pareto.front import Front, pareto
from attnsim.report.paretofigure import draw, render, save


@cache
def sweep() -> pa.Table:
    source = np.random.default_rng(5)
    count = 3000
    batch, arch = 2 ** source.integers(0, 9, count), source.integers(0, 3, count)
    latency = (1e-3 + 1e-5 * batch) * np.exp(source.normal(0, 0.3, count)) / np.array([1.0, 2.0, 0.5])[arch]
    return pa.table(
        {
            "point": np.arange(count),
            "sizes.B": batch,
            "sizes.M": 2 ** source.integers(10, 14, count),
            "arch": np.array(["h100_sxm", "b200", "a100_sxm_80gb"])[arch],
            "cost.usd_per_mtok": np.array([3.0, 8.0, 1.5])[arch] * latency / batch * 1e4,
            "energy_j": latency * source.uniform(300, 700, count),
            "latency_s": latency,
            "tokens_per_s_per_gpu": batch / latency,
        }
    )


FRONTS: dict[str, dict[str, Any]] = {
    "two": {"minimize": "latency_s,usd_per_mtok"},
    "two, higher is better": {"minimize": "latency_s", "maximize": "tokens_per_s_per_gpu"},
    "both higher": {"maximize": "tokens_per_s_per_gpu,sizes.B"},
    "groups": {"minimize": "latency_s,usd_per_mtok", "by": "arch"},
    "nine groups": {"minimize": "latency_s,usd_per_mtok", "by": "sizes.B"},
    "third as colour": {"minimize": "latency_s,usd_per_mtok,energy_j", "by": "arch"},
    "four": {"minimize": "latency_s,usd_per_mtok,energy_j", "maximize": "sizes.B"},
    "one point": {"minimize": "latency_s,usd_per_mtok", "where": "point == 7"},
    "filtered": {"minimize": "latency_s,energy_j", "where": ["sizes.B >= 8 and arch != b200", "sizes.M > 1k", "usd_per_mtok < 100"]},
}


def front(name: str) -> Front:
    return pareto(sweep(), **FRONTS[name])


def texts(figure: Any) -> list[tuple[str, Any]]:
    figure.canvas.draw()
    found = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    found += [(text.get_text(), text.get_window_extent()) for text in figure.legends[0].get_texts()]
    for axes in figure.axes:
        drawn = [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        for labels, side, (low, high) in ((axes.get_xticklabels(), 0, axes.get_xlim()), (axes.get_yticklabels(), 1, axes.get_ylim())):
            drawn += [label for label in labels if low <= label.get_position()[side] <= high]
        found += [(text.get_text(), text.get_window_extent()) for text in drawn if text.get_text()]
    return found


@pytest.mark.parametrize("name", FRONTS)
def test_no_text_lies_over_another_and_all_stay_in_the_picture(name: str) -> None:
    figure = draw(front(name))
    found, page = texts(figure), figure.bbox
    for text, extent in found:
        assert extent.x0 >= 0 and extent.y0 >= 0 and extent.x1 <= page.x1 and extent.y1 <= page.y1, text
    for (first, one), (second, other) in combinations(found, 2):
        apart = min(one.x1, other.x1) - max(one.x0, other.x0) <= 1 or min(one.y1, other.y1) - max(one.y0, other.y0) <= 1.5
        assert apart, (first, second)


@pytest.mark.parametrize("name", ["two", "two, higher is better", "both higher"])
def test_the_stepped_line_goes_through_the_front_and_no_point_lies_beyond_it(name: str) -> None:
    found = front(name)
    (axes,) = draw(found).axes
    line = next(drawn for drawn in axes.lines if drawn.get_linestyle() == "-")
    corners = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
    first, second = found.objectives
    rows = found.to_dataframe()
    assert set(zip(rows[first.column], rows[second.column], strict=True)) <= set(corners)
    assert all(a == c or b == d for (a, b), (c, d) in zip(corners, corners[1:], strict=False))
    signs = [-1 if one.maximize else 1 for one in found.objectives]
    kept = {(signs[0] * x, signs[1] * y) for x, y in zip(rows[first.column], rows[second.column], strict=True)}
    # A corner that is no point of the front is as bad as one in each objective: nothing better is promised.
    for x, y in corners[1:-1]:
        assert any(x * signs[0] >= a and y * signs[1] >= b for a, b in kept)


def test_a_point_that_another_group_dominates_is_hollow() -> None:
    found = front("groups")
    (axes,) = draw(found).axes
    hollow = sum(
        len(line.get_xdata()) for line in axes.lines if line.get_marker() in ("o", "s", "^") and line.get_markerfacecolor() == "white"
    )
    assert 0 < hollow == len(found) - sum(found.table["on_overall_front"].to_pylist())


def test_a_third_objective_is_a_colour_and_more_are_panels() -> None:
    panel, bar = draw(front("third as colour")).axes
    assert sum(len(dots.get_array()) for dots in panel.collections if dots.get_array() is not None) == len(front("third as colour"))
    assert len(draw(front("four")).axes) == 3


def test_the_same_front_gives_the_same_bytes_and_a_large_cloud_stays_small(tmp_path: Path) -> None:
    picture = render(front("groups"), "svg")
    assert render(front("groups"), "svg") == picture and len(picture) < 400_000
    assert render(front("groups"), "png").startswith(b"\x89PNG")
    assert save(front("groups"), tmp_path / "f.svg") == [tmp_path / "f.csv"]
    assert (tmp_path / "f.csv").read_text().splitlines()[0].startswith("point,arch,latency_s,cost.usd_per_mtok,")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"minimize": "latency_s"}, "a figure needs two objectives or more"),
        ({"minimize": "latency_s,energy_j", "by": "sizes.B,sizes.M"}, "a figure tells 10 groups apart, not 36"),
    ],
)
def test_what_cannot_be_drawn(asked: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        save(pareto(sweep(), **asked), tmp_path / "f.svg")
    assert list(tmp_path.iterdir()) == []
