"""Draws the stages of a deployment: which part works on which micro-batch when, for a few layers in the middle of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.evaluate.estimate import Report
from attnsim.evaluate.render import percent, whole
from attnsim.report.drawing.page import text_width
from attnsim.report.export import to_csv, write_files
from attnsim.report.roofline.figure import COLORS, FAINT, INK, check_ending, figure_bytes
from attnsim.report.timeline.strip import PITCH, Bar, bare, draw_strip, time_unit
from attnsim.serving.answer import ModelEstimate
from attnsim.serving.timeline import Timeline, Work, timeline
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
WIDTH, TITLE, ROW, AXIS, LEGEND, HEADING, FOOTER = 11.0, 0.8, 0.34, 0.5, 0.3, 0.26, 0.24
LAYERS, ALONE = 3, 2
"""Layers that the upper panel shows: where micro-batches go round, and of a device alone."""
HATCHES = ("", "////", "....", "xxxx")
LABEL, SMALL = 8.0, 6.5  # points


def save(answer: ModelEstimate, report: Report, path: Path, version: str) -> Path:
    """Write the picture (SVG, PDF or PNG by the path's ending) and all of the step as CSV; return the CSV's path. Raises: UsageError."""
    check_ending(path)
    told = timeline(report.resolved()[0], answer)
    data = path.with_suffix(".csv")
    picture = figure_bytes(lambda: draw(told, answer, report, version), path.suffix.lower().removeprefix("."))
    write_files({path: picture, data: to_csv(rows(told)).encode("utf-8")})
    return data


def rows(told: Timeline) -> list[dict[str, Any]]:
    """One row for each piece of work of the step: what works, on which layer and micro-batch, from when and how long in seconds."""
    return [
        {"row": told.rows[one.row].name, "resource": told.rows[one.row].resource, "name": one.name}
        | {"layer": one.layer if one.layer >= 0 else "", "micro_batch": one.batch if one.batch >= 0 else ""}
        | {"start_s": one.start, "seconds": one.seconds}
        for one in told.work
    ]


def _window(told: Timeline) -> tuple[float, float, Sequence[int]]:
    """(start, end, layers) of the panel: some layers in the middle; all of it where there are no more."""
    layers = sorted({one.layer for one in told.work if one.layer >= 0})
    end = max(one.start + one.seconds for one in told.work)
    most = LAYERS if any(one.batch >= 0 for one in told.work) else ALONE
    if len(layers) <= most:
        return 0.0, end, layers
    middle = len(layers) // 2
    shown = layers[middle : middle + most]
    starts = {layer: min(one.start for one in told.work if one.layer == layer) for layer in (shown[0], shown[-1] + 1)}
    return starts[shown[0]], starts.get(shown[-1] + 1, end), shown


def draw(told: Timeline, answer: ModelEstimate, report: Report, version: str) -> Figure:
    """The figure: a row for each part above, below how long each is busy in the whole step."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    start, end, layers = _window(told)
    seen = [one for one in told.work if one.start + one.seconds > start * (1 + 1e-9) and one.start < end * (1 - 1e-9)]
    shown = sorted({one.row for one in seen})
    length = float(answer.latency_s)
    bars = [
        Bar(name, ((0.0, float(seconds)),), "bound" if name == answer.bound else "") for name, seconds in answer.time_by_resource_s.items()
    ]
    bars.sort(key=lambda bar: -bar.seconds)
    left_in = text_width([*(bar.label for bar in bars), *(told.rows[row].name for row in shown)], LABEL) + 0.22
    right = text_width([bar.told(length) for bar in bars], LABEL) + 0.2
    panel, strip = ROW * len(shown), PITCH * (len(bars) + 0.4)
    height = TITLE + panel + AXIS + LEGEND + HEADING + strip + AXIS + FOOTER
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    left, wide = left_in / WIDTH, (WIDTH - left_in - right) / WIDTH
    figure.text(
        left, 1 - 0.3 / height, f"{answer.name} on {report.arch_name}: {answer.schedule}", fontsize=11, fontweight="bold", color=INK
    )
    where = f"layers {layers[0]} to {layers[-1]} of {max(one.layer for one in told.work) + 1}" if len(layers) > 1 else "a whole step"
    context = f"{answer.model}, {answer.phase}, {whole(answer.batch)} requests of {whole(answer.context)} tokens: {where}"
    figure.text(left, 1 - 0.5 / height, context, fontsize=LABEL, color=INK)
    figure.text(left, 1 - 0.66 / height, told.note, fontsize=LABEL - 0.5, color=FAINT)
    axes = figure.add_axes((left, 1 - (TITLE + panel) / height, wide, panel / height))
    keys = _panel(axes, told, seen, shown, (start, end), wide * WIDTH)
    if len(keys) > 1:
        _legend(figure, keys, (left, 1 - (TITLE + panel + AXIS) / height))
    bottom = FOOTER + AXIS
    draw_strip(figure.add_axes((left, bottom / height, wide, strip / height)), bars, length)
    figure.text(left, (bottom + strip + 0.07) / height, "the whole step", fontsize=LABEL, fontweight="bold", color=INK)
    figure.text(left, 0.1 / height, f"attnsim {version}; the whole step as CSV beside this file", fontsize=SMALL, color=FAINT)
    return figure


def _key(one: Work, batches: bool) -> tuple[str, int]:
    """What the colour of some work says: its micro-batch, its layer, or nothing."""
    if batches:
        return f"micro-batch {one.batch}", one.batch
    return (f"layer {one.layer}", one.layer) if one.layer >= 0 else ("once a step", -1)


def _style(number: int, keys: int) -> Mapping[str, Any]:
    if keys == 1:
        return {"facecolor": COLORS[0], "edgecolor": "white", "linewidth": 0.5}
    look = {"facecolor": COLORS[number % len(COLORS)], "hatch": HATCHES[number % len(HATCHES)]}
    return {**look, "edgecolor": "white", "linewidth": 0.5}


def _panel(
    axes: Axes, told: Timeline, seen: Sequence[Work], shown: Sequence[int], window: tuple[float, float], inches: float
) -> dict[str, int]:
    """The bars; (name, number) of what their colours mean."""
    start, end = window
    unit, scale = time_unit(end - start)
    batches = any(one.batch >= 0 for one in told.work)
    keys = {name: number for number, (name, _) in enumerate(sorted({_key(one, batches) for one in seen}, key=lambda key: key[1]))}
    for place, row in enumerate(shown):
        own = [(max(start, one.start), min(end, one.start + one.seconds), one) for one in seen if one.row == row]
        for first, last, one in own:
            axes.barh(
                place, (last - first) * scale, left=(first - start) * scale, height=0.7, **_style(keys[_key(one, batches)[0]], len(keys))
            )
        if batches:
            _label(axes, place, own, window, scale, inches)
        busy = sum(last - first for first, last, _ in own) / (end - start)
        axes.text((end - start) * scale * 1.008, place, f"busy {percent(busy)}", fontsize=LABEL - 0.5, color=INK, va="center")
    axes.set_xlim(0, (end - start) * scale)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_yticks(range(len(shown)), [told.rows[row].name for row in shown])
    since = "" if start == 0 else f" from {format_quantity(start, 's')} on"
    axes.set_xlabel(f"{unit}{since}", fontsize=LABEL)
    bare(axes)
    return keys


def _label(
    axes: Axes, place: int, own: Sequence[tuple[float, float, Work]], window: tuple[float, float], scale: float, inches: float
) -> None:
    """The layers of the bars of a row, in the longest form that all whole ones have room for."""
    inside = [one for one in own if one[0] == one[2].start and one[1] < window[1]] or list(own)
    forms: list[Callable[[Work], str]] = [
        lambda one: f"{one.name}, layer {one.layer}",
        lambda one: f"layer {one.layer}",
        lambda one: str(one.layer),
    ]
    each = inches / (window[1] - window[0])
    for form in forms:
        if all(text_width([form(one)], SMALL) + 0.08 < (last - first) * each for first, last, one in inside):
            break
    else:
        return
    for first, last, one in own:
        if text_width([form(one)], SMALL) + 0.08 < (last - first) * each:
            background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.88}
            middle = ((first + last) / 2 - window[0]) * scale
            axes.text(middle, place, form(one), fontsize=SMALL, color=INK, ha="center", va="center_baseline", bbox=background)


def _legend(figure: Figure, keys: Mapping[str, int], place: tuple[float, float]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(**_style(number, len(keys)), label=name) for name, number in keys.items()]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=place, ncols=min(8, len(handles)), frameon=False,
        fontsize=LABEL - 0.5, borderpad=0, borderaxespad=0, columnspacing=1.4, handlelength=2.2, handleheight=1.1,
    )  # fmt: skip
