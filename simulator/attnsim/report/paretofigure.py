"""Draws the front of a sweep with matplotlib: all points faint, the front as a stepped line with its points named.

Two objectives are the axes; a third is the colour of the points; with more, a panel for each of them against the first. The same front
gives the same bytes; pyplot is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnsim.errors import UsageError
from attnsim.evaluate.render import whole
from attnsim.explore.pareto.front import OVERALL, Front, Objective
from attnsim.explore.shown import label, shown, unit
from attnsim.report.drawing.axes import beside, dot_box, frame, handle, pixel_of, placer_of
from attnsim.report.drawing.page import HEADING, LABEL, PANEL_HEIGHT, PANEL_WIDTH, RIGHT, TICK, Page, text_width
from attnsim.report.export import to_csv, write_files
from attnsim.report.roofline.figure import COLORS, FAINT, INK, check_ending, figure_bytes
from attnsim.spec.span import count_text
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 200
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
NAMED = 12
"""Points of a panel that are named at most, and fields in a name."""
FIELDS_NAMED = 3
MOST_WITH_NAMES = 60
"""Points of a front, without steps, from which none is named."""
ROOM = 0.06
"""Share of an axis that stays empty at its ends."""
STEEP = 8.0
"""Largest over smallest value from which an axis is logarithmic."""
DRAWN_AS_PIXELS = 2000
"""Points from which the cloud is pixels in an SVG or PDF, and not shapes."""
COLOR_MAP, BAR_ROOM = "viridis", 0.85  # told apart by readers with any colour vision; inches


def save(front: Front, path: Path, beside_it: Mapping[Path, bytes] | None = None) -> list[Path]:
    """Write the figure (SVG, PDF or PNG by the path's ending) and the files beside it, left out the rows as CSV; return their paths.

    All appear whole or none does. Raises: UsageError for another ending, or more groups than a figure can tell apart.
    """
    check_ending(path)
    others = {path.with_suffix(".csv"): to_csv(front.rows()).encode("utf-8")} if beside_it is None else dict(beside_it)
    write_files({path: render(front, path.suffix.lower().removeprefix(".")), **others})
    return list(others)


def render(front: Front, format_: str) -> bytes:
    """The figure as bytes of an SVG, PDF or PNG file."""
    return figure_bytes(lambda: draw(front), format_, DPI)


def draw(front: Front) -> Figure:
    """The figure. Raises: UsageError for more groups than it can tell apart, or a single objective, which has no axes."""
    if len(front.groups) > len(MARKERS):
        raise UsageError(
            f"a figure tells {len(MARKERS)} groups apart, not {len(front.groups)}; leave --by out, or some groups with --where"
        )
    if len(front.objectives) < 2:
        raise UsageError("a figure needs two objectives or more; the front of one is its best points, as a table")
    first, *others = front.objectives
    shaded = others[1] if len(others) == 2 else None
    panels = others[:1] if shaded else others
    columns = min(2, len(panels))
    shape = (columns, -(-len(panels) // columns))
    page = Page(shape, BAR_ROOM if shaded else RIGHT, _texts(front), _handles(front, shaded), HEADING if shaded else 0.0)
    for number, other in enumerate(panels):
        axes = page.panel(number)
        _panel(axes, front, first, other, shaded, steps=len(others) == 1)
        if shaded:
            _color_bar(page, front, shaded)
    return page.figure


def _handles(front: Front, shaded: Objective | None) -> list[Any]:
    found = [handle("all points", marker="o", linestyle="none", color=FAINT, markersize=3, alpha=0.6)]
    if not front.by:
        return [
            *found,
            handle("front", marker="o", color=INK if shaded else COLORS[0], linestyle="none" if len(front.objectives) > 2 else "-"),
        ]
    line = "-" if len(front.objectives) == 2 else "none"
    found += [
        handle(name, marker=MARKERS[number], color=INK if shaded else COLORS[number % len(COLORS)], linestyle=line)
        for number, name in enumerate(front.groups)
    ]
    if not shaded and len(front.groups) > 1:
        found.append(handle("hollow: dominated", marker="o", linestyle="none", color=INK, markerfacecolor="white"))
    return found


def _panel(axes: Axes, front: Front, across: Objective, up: Objective, shaded: Objective | None, steps: bool) -> None:
    x, y = (_column(front, one) for one in (across, up))
    columns = [front.objectives.index(one) for one in (across, up)]
    cloud = front.cloud[:, columns]
    cloud = cloud[np.isfinite(cloud).all(axis=1)]
    names = _names(front)
    _scale(
        axes,
        "x",
        np.concatenate([x, cloud[:, 0]]),
        across,
        min(0.4, (text_width([name for _, name in names], LABEL) + 0.15) / PANEL_WIDTH) if names else ROOM,
    )
    _scale(axes, "y", np.concatenate([y, cloud[:, 1]]), up, 0.1 if names else ROOM)
    frame(axes)
    axes.plot(
        cloud[:, 0], cloud[:, 1], "o", color=FAINT, markersize=2.2, markeredgewidth=0, linestyle="none", zorder=1,
        alpha=0.45 if len(cloud) < DRAWN_AS_PIXELS else 0.2, rasterized=len(cloud) > DRAWN_AS_PIXELS,
    )  # fmt: skip
    placer = placer_of(axes)
    for number in range(len(front.groups)):
        own = front.group == number
        if steps:
            for corners in _steps(axes, x[own], y[own], across, up):
                axes.plot(*corners, color=COLORS[number % len(COLORS)], linewidth=1.2, zorder=3)
                pixels = [pixel_of(axes, (float(a), float(b))) for a, b in zip(*corners, strict=True)]
                for start, end in zip(pixels, pixels[1:], strict=False):
                    placer.add((start, end))
        _dots(axes, front, number, x, y, shaded)
    places = list(zip(x.tolist(), y.tolist(), strict=True))
    for place in dict.fromkeys(places):
        placer.add(dot_box(axes, place))
    seen: set[tuple[tuple[float, float], str]] = set()
    towards = {(False, False): 225, (True, False): 315, (False, True): 135, (True, True): 45}[across.maximize, up.maximize]
    for index, name in names:
        if (places[index], name) not in seen and np.isfinite(places[index]).all():
            seen.add((places[index], name))
            beside(axes, placer, places[index], name, FAINT, crowded=False, towards=towards, halo=True)


def _dots(axes: Axes, front: Front, number: int, x: np.ndarray, y: np.ndarray, shaded: Objective | None) -> None:
    own = np.flatnonzero(front.group == number)
    color, marker = COLORS[number % len(COLORS)], MARKERS[number]
    if shaded:
        values = _column(front, shaded)
        axes.scatter(x[own], y[own], c=values[own], norm=_norm(values), cmap=COLOR_MAP, marker=marker, s=24, edgecolors=INK, linewidths=0.4,
                     zorder=4)  # fmt: skip
        return
    overall = np.array(front.table[OVERALL].to_pylist()) if front.by else np.ones(len(front), dtype=bool)
    for filled in (False, True):
        some = own[overall[own] == filled]
        axes.plot(x[some], y[some], marker, color=color, markerfacecolor=color if filled else "white", markersize=5, markeredgewidth=1.0,
                  linestyle="none", zorder=5 if filled else 4)  # fmt: skip


def _steps(axes: Axes, x: np.ndarray, y: np.ndarray, across: Objective, up: Objective) -> list[tuple[list[float], list[float]]]:
    """The border of what the front dominates, from edge to edge of the axes."""
    order = np.argsort(x)
    xs, ys = x[order].tolist(), y[order].tolist()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    worst_x, worst_y = left if across.maximize else right, bottom if up.maximize else top
    if across.maximize:  # from the best x down to the worst
        xs, ys = xs[::-1], ys[::-1]
    line = [(xs[0], worst_y)]
    for index, (a, b) in enumerate(zip(xs, ys, strict=True)):
        if index:
            line.append((a, ys[index - 1]))
        line.append((a, b))
    line.append((worst_x, ys[-1]))
    return [([a for a, _ in line], [b for _, b in line])]


def _names(front: Front) -> list[tuple[int, str]]:
    """Rows to name and their names: the fields that differ, of points spread over every front."""
    fields = _fields_named(front)
    if not fields:
        return []
    each = max(2, NAMED // len(front.groups))
    rows: list[int] = []
    for number in range(len(front.groups)):
        own = np.flatnonzero(front.group == number)
        rows += own[np.unique(np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(int))].tolist()
    columns = {name: front.table[name] for name in fields}
    found = []
    for row in rows:
        values = {name: column[row].as_py() for name, column in columns.items()}
        found.append((row, ", ".join(_named(name, value) for name, value in values.items() if value is not None)))
    return found


def _fields_named(front: Front) -> tuple[str, ...]:
    """None where there is no line to tell which names belong to which of many points."""
    return front.fields[:FIELDS_NAMED] if len(front) <= MOST_WITH_NAMES or len(front.objectives) == 2 else ()


def _named(name: str, value: Any) -> str:
    number = count_text(value) if isinstance(value, int) and value >= 1024 else shown(name, value)
    return value if isinstance(value, str) else f"{name.rpartition('.')[2]} {number}"


def _column(front: Front, objective: Objective) -> np.ndarray:
    return np.asarray(front.table[objective.column].to_numpy(), dtype=np.float64)


def _scale(axes: Axes, which: str, values: np.ndarray, objective: Objective, better: float) -> None:
    """Limits with room, `better` of it at the better end, logarithmic where values differ by much; the label says which end that is."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    axis = axes.xaxis if which == "x" else axes.yaxis
    limits, scale = (axes.set_xlim, axes.set_xscale) if which == "x" else (axes.set_ylim, axes.set_yscale)
    below, above = (ROOM, better) if objective.maximize else (better, ROOM)
    if low > 0 and high > STEEP * low:
        scale("log")
        limits(low / (high / low) ** below, high * (high / low) ** above)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,), numticks=9))
    else:
        span = high - low or abs(high) or 1.0
        limits(low - below * span, high + above * span)
        axis.set_major_locator(MaxNLocator(6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(_tick(objective)))
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(_axis_label(objective), fontsize=LABEL)


def _axis_label(objective: Objective) -> str:
    return f"{label(objective.column)} ({'higher' if objective.maximize else 'lower'} is better)"


def _tick(objective: Objective) -> Callable[[float, int | None], str]:
    """A value with its unit and no more digits than it needs."""

    def text(value: float, _position: int | None) -> str:
        if unit(objective.column):
            number, _, rest = format_quantity(value, unit(objective.column)).partition(" ")
            return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {rest}"
        if 1000 <= abs(value) < 1e6:
            return whole(value)
        return f"{value:.3g}"

    return text


def _norm(values: np.ndarray) -> Any:
    from matplotlib.colors import LogNorm, Normalize

    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return LogNorm(low, high) if low > 0 and high > STEEP * low else Normalize(low, high if high > low else low + 1.0)


def _color_bar(page: Page, front: Front, shaded: Objective) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes = page.figure.axes[0]
    place = axes.get_position()
    width = place.width / PANEL_WIDTH  # of an inch
    bar = page.figure.add_axes((place.x1 + 0.12 * width, place.y0, 0.1 * width, place.height))
    drawn = page.figure.colorbar(ScalarMappable(_norm(_column(front, shaded)), COLOR_MAP), cax=bar)
    drawn.ax.yaxis.set_minor_locator(NullLocator())
    drawn.ax.yaxis.set_major_formatter(FuncFormatter(_tick(shaded)))
    drawn.ax.tick_params(labelsize=TICK, length=2.5, width=0.6, pad=2)
    drawn.outline.set_visible(False)
    # Above the bar and flush right with its numbers, so that it runs into nothing.
    page.figure.text(
        place.x1 + (BAR_ROOM - 0.05) * width, place.y1 + 0.08 * place.height / PANEL_HEIGHT, f"colour: {_axis_label(shaded)}",
        fontsize=LABEL, color=INK, ha="right", va="bottom",
    )  # fmt: skip


def _texts(front: Front) -> tuple[str, str, str]:
    """What is drawn, of what, and the inputs."""
    from attnsim import __version__

    counts = front.counts
    among = counts.rows - counts.failed - counts.filtered - counts.unvalued
    told = [one.text for one in front.objectives]
    told.append(f"{whole(counts.front)} of {whole(among)} points")
    if len(front.cloud) < among:
        told.append(f"{whole(len(front.cloud))} of all are drawn")
    told += [f"where {text}" for text in front.where]
    told.append(", ".join(f"{name} {value if isinstance(value, str) else shown(name, value)}" for name, value in front.same.items()))
    told += [f"named by {', '.join(_fields_named(front))}"] if _fields_named(front) else []
    title = f"Pareto fronts by {', '.join(front.by)}" if front.by else "Pareto front"
    return title, "; ".join(text for text in told if text), f"attnsim {__version__}; {front.source}"
