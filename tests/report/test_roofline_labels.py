from __future__ import annotations

import itertools
from typing import Any

import pytest
from color_vision import VISION, distance
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from report_fakes import report, result

import attnsim
from attnsim.machine.power import Power
from attnsim.report.drawing.placing import box, overlap
from attnsim.report.drawing.style import COLORS
from attnsim.report.roofline.charts import Chart, Diagonal, Kernel, Measured, PowerRoof, Roof, charts
from attnsim.report.roofline.figure import draw, styled
from attnsim.report.roofline.ratepanel import color_of, line_of
from attnsim.report.roofline.roofs import Ceiling
from attnsim.report.roofline.timepanel import FILLS, fills_of

SLACK = 0.5
"""Pixels that two neighbours may share: places are rounded."""


def labels_of(texts: Any) -> list[tuple[str, Any]]:
    """Every text that is not empty as its turned rectangle, in pixels."""
    shapes = []
    for text in texts:
        if not text.get_text():
            continue  # an arrow
        angle = text.get_rotation()
        hull = text.get_window_extent()
        center = ((hull.x0 + hull.x1) / 2, (hull.y0 + hull.y1) / 2)
        text.set_rotation(0)
        flat = text.get_window_extent()
        text.set_rotation(angle)
        shapes.append((text.get_text(), box(center, flat.width - SLACK, flat.height - SLACK, angle)))
    return shapes


def markers_of(axes: Any) -> list[Any]:
    """Squares around the markers, in pixels."""
    shapes = []
    for line in axes.lines:
        if line.get_marker() not in ("None", None, "|"):
            side = line.get_markersize() * axes.figure.dpi / 72 - SLACK
            shapes += [box(tuple(point), side, side) for point in line.get_transform().transform(line.get_xydata())]
    return shapes


def inside(shape: Any, frame: Any) -> bool:
    return all(frame.x0 - 1 <= x <= frame.x1 + 1 and frame.y0 - 1 <= y <= frame.y1 + 1 for x, y in shape)


def check(made: tuple[Chart, ...]) -> Any:
    """No label lies over another or over a marker, and all are in the picture; the figure."""
    with styled():
        figure = draw(made, "0.1.0")
        figure.draw_without_rendering()  # names of axes take their places
        _check(figure)
    return figure


def _check(figure: Any) -> None:
    beside = labels_of(figure.texts)
    groups = [beside]
    for axes in figure.axes:
        labels = labels_of(axes.texts)
        roofline = axes.get_xscale() == "log"
        for name, shape in labels:
            assert inside(shape, axes.get_window_extent() if roofline else figure.bbox), name
            assert not roofline or not any(overlap(shape, marker) for marker in markers_of(axes)), name
        named = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
        edge = axes.get_xlim(), axes.get_ylim()
        ticks = labels_of(text for text in named if text.get_text() and _shown(text, edge))
        groups.append([*labels, *ticks] if not roofline else labels)
        groups.append([*beside, *ticks])
        for name, shape in ticks:
            assert inside(shape, figure.bbox), name
    for name, shape in beside:
        assert inside(shape, figure.bbox), name
    for group in groups:
        for (one, first), (two, second) in itertools.combinations(group, 2):
            assert not overlap(first, second), (one, two)
    return figure


def _shown(text: Any, edge: Any) -> bool:
    """Whether a tick lies within the limits; matplotlib keeps others about."""
    (x_low, x_high), (y_low, y_high) = edge
    x, y = text.get_position()
    lies = x_low <= x <= x_high or min(y_low, y_high) <= y <= max(y_low, y_high)
    return bool(lies)


def three() -> tuple[Chart, ...]:
    decode = result(
        "decode", flops=4_000_000_000, latency_s=7e-4, bound="hbm", bytes={"hbm": 1.2e9, "l2": 1.3e9, "smem": 1.5e9},
        time_by_resource_s={"hbm": 6.5e-4, "l2": 3e-4, "tensor": 1e-4, "launch": 3e-6},
    )  # fmt: skip
    fp8 = result("prefill-fp8", dtype="fp8", latency_s=7e-4, bytes={"hbm": 1e8, "l2": 1e9, "smem": 5e9})
    return charts([report(), report(decode, name="decode"), report(fp8, name="prefill-fp8")])


def many() -> tuple[Chart, ...]:
    return charts(
        [report(*(result(f"kernel {i}", latency_s=1e-3 * 1.2**i, bytes={"hbm": 2e8 * 1.5**i, "l2": 2e9, "smem": 1e10}) for i in range(9)))]
    )


def machines() -> tuple[Chart, ...]:
    named = ("llama3-8b-prefill", "llama3-8b-decode")
    return charts([attnsim.run(workload, arch) for arch in ("b200", "rtx_4090", "epyc_7763") for workload in named])


def layers() -> tuple[Chart, ...]:
    return charts([attnsim.run("wan2.1-1.3b", "h100_sxm"), attnsim.run("llama3-70b-serving", "h100_sxm")])


def arrays() -> tuple[Chart, ...]:
    return charts([attnsim.run("fusemax-bert-attention", "fusemax_cloud"), attnsim.run("fusemax-bert-encoder", "fusemax_cloud")])


REAL = {"one": lambda: charts([report()]), "three": three, "many": many, "machines": machines, "layers": layers, "arrays": arrays}


@pytest.mark.parametrize("name", list(REAL))
def test_no_label_lies_over_another_and_all_stay_in_the_picture(name: str) -> None:
    check(REAL[name]())


def test_labels_that_find_no_room_are_listed_below() -> None:
    crowd = Kernel("k", "s", "bf16", 1e12, 1e-3, 1e-3, "hbm", (("hbm", 1e10),), (("hbm", 1e-3),))
    (chart,) = charts([report()])
    levels = tuple(Diagonal(f"level{index}", 2e12 * 1.005**index) for index in range(12))
    figure = check((Chart("a", "A", chart.roofs, levels, (crowd,), ("a 1",)),))
    listed = " ".join(text.get_text() for text in figure.texts)
    drawn = {text.get_text() for text in figure.axes[0].texts}
    assert "no room for the labels:" in listed
    for level in levels:
        assert any(text.startswith(f"{level.name} ") for text in drawn) or f"{level.name} " in listed


WIDE = st.floats(-1, 1)


@st.composite
def kernels(draw_: Any, number: int) -> Kernel:
    flops = 10 ** draw_(st.floats(7, 14))
    seconds = 10 ** draw_(st.floats(-6, 0))
    times = {name: seconds * draw_(st.floats(0, 1.2)) for name in ("tensor", "sfu", "hbm", "launch")}
    ratio = draw_(st.one_of(st.none(), st.floats(0.05, 20)))
    return Kernel(
        name=draw_(st.text(min_size=1, max_size=60)),
        schedule="flash-attention-3",
        dtype="bf16",
        flops=flops,
        latency_s=seconds,
        lower_bound_s=seconds / 2,
        bound=draw_(st.sampled_from(["tensor", "hbm", "occupancy"])),
        bytes=tuple((level, flops / 10 ** draw_(st.floats(-1, 4))) for level in ("hbm", "l2", "smem")),
        time_by_resource_s=tuple(times.items()),
        ceilings=(Ceiling("sfu", ("exp",), 10 ** draw_(st.floats(13, 16))),),
        measured=None if ratio is None else Measured(seconds / ratio, "m.csv", (number,)),
    )


@st.composite
def made_charts(draw_: Any) -> Chart:
    count = draw_(st.integers(1, 24))
    tops = draw_(st.lists(st.floats(13, 15.5), min_size=1, max_size=3))
    bandwidths = sorted(10 ** draw_(st.floats(11, 13.5)) for _ in range(3))
    roofs = tuple(Roof("tensor", (dtype,), 10**top) for dtype, top in zip(("bf16", "fp8", "fp4"), tops, strict=False))
    watts = draw_(st.floats(100, 2000))
    power = PowerRoof("tensor", ("bf16",), roofs[0].flops_per_s, watts, 200 / bandwidths[0], Power(700.0, 120.0, 0.57, {}, {}))
    return Chart(
        arch="made",
        title=draw_(st.text(min_size=1, max_size=200)),
        roofs=roofs,
        diagonals=tuple(Diagonal(level, width) for level, width in zip(("hbm", "l2", "smem"), bandwidths, strict=True)),
        kernels=tuple(draw_(kernels(number)) for number in range(count)),
        inputs=("made 1",),
        power=(power,),
    )


# Without shrinking: a chart takes half a second to check.
@settings(max_examples=5, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(chart=made_charts())
def test_whatever_the_chart_its_labels_keep_apart(chart: Chart) -> None:
    check((chart,))


@pytest.mark.parametrize("vision", list(VISION))
def test_colours_that_stand_together_are_told_apart_with_any_vision(vision: str) -> None:
    # 2.3 is just noticeable; 10 is plain at a glance. Numbers, lines, markers and hatches tell them apart a second time.
    for palette in ((*COLORS, "#FFFFFF"), (*FILLS, "#FFFFFF", "#222222")):
        for one, other in itertools.combinations(palette, 2):
            assert distance(one, other, vision) > 10, (one, other)


def test_the_measure_of_colours_knows_black_from_white_and_what_red_is_to_a_protanope() -> None:
    assert distance("#000000", "#FFFFFF", "normal") == pytest.approx(100, abs=0.01)
    assert distance("#800000", "#1E1E00", "protanopia") < 15 < 50 < distance("#800000", "#1E1E00", "normal")


def test_kernels_and_resources_never_share_both_colour_and_pattern() -> None:
    assert len({(color_of(index), line_of(index)) for index in range(24)}) == 24
    times = {f"resource {index}": 1e-4 for index in range(20)}
    fills = fills_of(charts([report(result(time_by_resource_s=times))]))
    assert len(set(fills.values())) == 20
