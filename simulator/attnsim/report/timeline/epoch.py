"""Draws one steady-state epoch: which array works on which Einsum when, and on the tile of which age. The bars as CSV beside it.

The numbers are those of `attnsim.evaluate.spatial.steady`; the picture is that of the waterfall in arXiv 2406.10491, section V.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.evaluate.render import digits3, percent, whole
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.evaluate.spatial.steady import Bar, Epoch, epoch
from attnsim.report.export import to_csv, write_files
from attnsim.report.roofline.figure import COLORS, FAINT, INK, check_ending, figure_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
WIDTH, LEFT, RIGHT, TITLE, AXIS, ROW, LINE, FOOTER = 10.0, 0.9, 1.5, 0.75, 0.62, 0.62, 0.21, 0.32
HATCHES = ("", "//", "..", "xx")
LABELLED = 0.045
"""A bar narrower than this share of the epoch carries its number instead of its name."""
COLUMNS = 3


def save(estimate: SpatialEstimate, arch: str, path: Path, version: str) -> Path:
    """Write the picture (SVG, PDF or PNG by the path's ending) and its bars as CSV; return the CSV's path. Raises: UsageError."""
    check_ending(path)
    epochs = [epoch(estimate, phase) for phase in estimate.phases]
    data = path.with_suffix(".csv")
    footer = f"{version}; bars as CSV beside this file"
    picture = figure_bytes(lambda: draw(estimate, arch, epochs, footer), path.suffix.lower().removeprefix("."))
    write_files({path: picture, data: to_csv(rows(epochs)).encode("utf-8")})
    return data


def rows(epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    """One row a bar: phase, array, Einsum, start and length in cycles, tiles behind the newest."""
    return [
        {"phase": one.name, "array": bar.array, "einsum": bar.label, "start": bar.start, "cycles": bar.cycles, "tiles_behind": bar.behind}
        for one in epochs
        for bar in one.bars
    ]


def draw(estimate: SpatialEstimate, arch: str, epochs: Sequence[Epoch], version: str) -> Figure:
    """The figure: a panel a phase, a row an array, the Einsums listed below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    arrays = [list(dict.fromkeys(bar.array for bar in one.bars)) for one in epochs]
    heights = [ROW * len(names) for names in arrays]
    legends = [LINE * -(-len(one.bars) // COLUMNS) + 0.1 for one in epochs]
    height = TITLE + FOOTER + sum(panel + AXIS + legend for panel, legend in zip(heights, legends, strict=True))
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    left = LEFT / WIDTH
    what = "one tile in the steady state" if estimate.phases[0].tiles else "one phase" if len(epochs) == 1 else "phases one after another"
    figure.text(left, 1 - 0.3 / height, f"{estimate.schedule} on {arch}: {what}", fontsize=11, fontweight="bold", color=INK)
    sizes = " ".join(f"{rank}={size}" for rank, size in estimate.sizes.items())
    figure.text(left, 1 - 0.52 / height, f"{estimate.cascade}, {estimate.dtype}: {sizes}", fontsize=8, color=FAINT)
    top = height - TITLE
    for one, names, panel, legend in zip(epochs, arrays, heights, legends, strict=True):
        bottom = top - panel
        axes = figure.add_axes((left, bottom / height, (WIDTH - LEFT - RIGHT) / WIDTH, panel / height))
        _panel(axes, one, names)
        _legend(figure, one, (bottom - AXIS) / height, LINE / height)
        top = bottom - AXIS - legend
    alternating = "; ".join(f"{' and '.join(group)} alternate cycle by cycle" for group in estimate.interleave)
    figure.text(left, 0.26 / height, alternating, fontsize=7.5, color=INK)
    figure.text(left, 0.08 / height, f"attnsim {version}", fontsize=6.5, color=FAINT)
    return figure


def _style(index: int) -> Mapping[str, Any]:
    return {
        "facecolor": COLORS[index % len(COLORS)],
        "hatch": HATCHES[index // len(COLORS) % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.8,
    }


def _panel(axes: Axes, one: Epoch, names: list[str]) -> None:
    for index, bar in enumerate(one.bars):
        row = len(names) - 1 - names.index(bar.array)
        axes.barh(row, bar.cycles, left=bar.start, height=0.56, alpha=0.55 if bar.behind else 0.95, **_style(index))
        wide = bar.cycles >= LABELLED * one.cycles
        text = f"{bar.label}{f' (t-{bar.behind})' if bar.behind else ''}" if wide else str(index + 1)
        middle = bar.start + bar.cycles / 2
        if wide:
            background = {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85}
            axes.text(middle, row, text, ha="center", va="center", fontsize=8, color=INK, clip_on=True, bbox=background)
        else:  # numbers of narrow bars stand above them, alternating so that neighbours keep apart
            axes.text(middle, row + (0.36 if index % 2 else -0.36), text, ha="center", va="center", fontsize=7, color=INK)
    for start, cycles in one.stalls:
        axes.axvspan(start, start + cycles, facecolor="#EEEEEE", edgecolor=FAINT, hatch="\\\\", linewidth=0)
        axes.text(
            start + cycles / 2, len(names) / 2 - 0.5, f"drain {digits3(cycles)}", ha="center", va="center", fontsize=8, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    for row, name in enumerate(reversed(names)):
        busy = sum(bar.cycles for bar in one.bars if bar.array == name) / one.cycles
        axes.text(one.cycles * 1.01, row, f"busy {percent(busy)}", va="center", fontsize=8, color=INK)
    axes.set_xlim(0, one.cycles)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.xaxis.set_major_formatter(lambda value, _position: whole(value) if one.cycles >= 10 else digits3(value))
    axes.set_xlabel(f"cycles ({digits3(one.cycles)} in all)", fontsize=8)
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _legend(figure: Figure, one: Epoch, top: float, line: float) -> None:
    from matplotlib.patches import Rectangle

    per_column = -(-len(one.bars) // COLUMNS)
    step = (WIDTH - LEFT - 0.3) / WIDTH / COLUMNS
    for index, bar in enumerate(one.bars):
        x = LEFT / WIDTH + step * (index // per_column)
        y = top - line * (index % per_column) - 0.2 * line
        figure.add_artist(
            Rectangle((x, y), 0.014, 0.62 * line, transform=figure.transFigure, alpha=0.55 if bar.behind else 0.95, **_style(index))
        )
        figure.text(x + 0.02, y, _entry(index, bar), fontsize=7.5, color=INK, va="bottom")


def _entry(index: int, bar: Bar) -> str:
    behind = f", {bar.behind} tile{'s' if bar.behind > 1 else ''} behind" if bar.behind else ""
    return f"{index + 1}  {bar.label} on {bar.array}: {digits3(bar.cycles)}{behind}"
