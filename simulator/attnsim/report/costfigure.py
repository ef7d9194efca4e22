"""Draws what a token costs with matplotlib: against context, a line for each model and machine, or against activated parameters.

The same table gives the same bytes; pyplot is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot, log2
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attnsim.errors import UsageError
from attnsim.report.cost import CostPoint, CostTable, Resource, distinct
from attnsim.report.drawing.axes import DOT, beside, dot_box, end_labels, frame, handle, pixel_of, placer_of
from attnsim.report.drawing.page import HEADING, LABEL, RIGHT, Page, text_width
from attnsim.report.drawing.placing import Point
from attnsim.report.export import write_files
from attnsim.report.roofline.figure import COLORS, INK, LineStyle, check_ending, figure_bytes
from attnsim.spec.span import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Against = Literal["context", "activated"]

STROKES: dict[Resource, LineStyle] = {"memory": "-", "compute": "--", "network": ":"}
# One more than there are colours, so that the eighth line differs from the first.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
FIELDS = ("model", "machine", "workload")

DPI = 200  # pixels an inch
STEEP = 8.0
"""Largest over smallest value from which an axis is logarithmic; below, it starts at zero."""


@dataclass(frozen=True, slots=True)
class _Series:
    """A line or a kind of dot: what it is called, how it looks, its points in ascending context."""

    label: str
    color: str
    marker: str
    points: tuple[CostPoint, ...]


def save(
    table: CostTable, path: Path, against: Against = "context", kv: bool = False, beside: Mapping[Path, bytes] | None = None
) -> list[Path]:
    """Write the figure (SVG, PDF or PNG by the path's ending) and the files beside it, left out the rows as CSV; return their paths.

    All appear whole or none does. Raises: UsageError for another ending.
    """
    check_ending(path)
    others = {path.with_suffix(".csv"): table.csv().encode("utf-8")} if beside is None else dict(beside)
    write_files({path: render(table, path.suffix.lower().removeprefix("."), against, kv), **others})
    return list(others)


def render(table: CostTable, format_: str, against: Against = "context", kv: bool = False) -> bytes:
    """The figure as bytes of an SVG, PDF or PNG file."""
    return figure_bytes(lambda: draw(table, against, kv), format_, DPI)


def draw(table: CostTable, against: Against = "context", kv: bool = False) -> Figure:
    """The figure: cost against context, beside it with `kv` the cache a token reads; or cost against activated parameters by context.

    Raises: UsageError for `kv` beside activated parameters.
    """
    if against == "activated":
        if kv:
            raise UsageError("the cache is drawn against context; leave the cache out, or draw against context")
        return _scatters(table)
    return _lines(table, kv)


def series(points: Sequence[CostPoint], by: Sequence[str]) -> list[_Series]:
    """The points by the fields of `by`: the first one has a colour a value, the others together a marker a value."""
    groups: dict[tuple[str, ...], list[CostPoint]] = {}
    for point in points:
        groups.setdefault(tuple(getattr(point, name) for name in by), []).append(point)
    first = list(dict.fromkeys(key[:1] for key in groups))
    others = list(dict.fromkeys(key[1:] for key in groups))
    # With nothing but a first field, colour and marker change together: a reader who sees no colours has the marker.
    return [
        _Series(
            ", ".join(key) or points[0].model,
            COLORS[first.index(key[:1]) % len(COLORS)],
            MARKERS[(others.index(key[1:]) if len(others) > 1 else first.index(key[:1])) % len(MARKERS)],
            tuple(sorted(group, key=lambda point: point.context)),
        )
        for key, group in groups.items()
    ]


def _lines(table: CostTable, kv: bool) -> Figure:
    by = distinct(table.points, *FIELDS)
    lines = series(table.points, by)
    kinds = [name for name in STROKES if any(point.resource == name for point in table.points)]
    handles = [handle(f"{name}-bound", linestyle=STROKES[name], color=INK) for name in kinds]
    page = Page((2 if kv else 1, 1), text_width([line.label for line in lines], LABEL) + 0.3, _texts(table), handles)
    _line_panel(page.panel(0), table, lines, "usd_per_mtok", 1.0, "USD for a million tokens")
    if kv:
        _line_panel(page.panel(1), table, _cache_lines(table, lines), "kv_bytes", 1e9, "cache read for a token, GB")
    return page.figure


def _cache_lines(table: CostTable, lines: Sequence[_Series]) -> list[_Series]:
    """A line for each model, and workload where these cache in different formats, that looks as the first of its costs."""
    once: dict[tuple[str, str], dict[int, CostPoint]] = {}
    for point in table.points:
        once.setdefault((point.model, point.workload), {}).setdefault(point.context, point)
    kept: list[dict[int, CostPoint]] = []
    for points in once.values():
        alike = [other for other in kept if points[min(points)].model == other[min(other)].model]
        if not any(all(at in other and point.kv_bytes == other[at].kv_bytes for at, point in points.items()) for other in alike):
            kept.append(points)
    names = distinct([points[min(points)] for points in kept], "model", "workload")
    found = []
    for points in kept:
        first = points[min(points)]
        like = next(line for line in lines if (line.points[0].model, line.points[0].workload) == (first.model, first.workload))
        label = ", ".join(str(getattr(first, name)) for name in names) or first.model
        found.append(_Series(label, like.color, like.marker, tuple(points[context] for context in sorted(points))))
    return found


def _line_panel(axes: Axes, table: CostTable, lines: Sequence[_Series], name: str, unit: float, ylabel: str) -> None:
    """Lines with their names behind the last context, those that end before it beside their ends."""
    values = [getattr(point, name) / unit for line in lines for point in line.points]
    axes.set_xscale("log", base=2)
    low, high = table.contexts[0], table.contexts[-1]
    axes.set_xlim(low / 2**0.15 if high > low else low / 2, high * (2**0.15 if high > low else 2))
    _context_ticks(axes, table.contexts)
    _value_axis(axes, values)
    axes.set_xlabel("context, tokens", fontsize=LABEL)
    axes.set_ylabel(ylabel, fontsize=LABEL)
    frame(axes)
    placer = placer_of(axes)
    for line in lines:
        ends = [(float(point.context), getattr(point, name) / unit) for point in line.points]
        for index, (start, end) in enumerate(zip(ends, ends[1:], strict=False)):
            near = table.contexts.index(line.points[index + 1].context) - table.contexts.index(line.points[index].context)
            if near > 1:  # what is left out between them has no line
                continue
            kinds = ("memory", "memory") if name == "kv_bytes" else (line.points[index].resource, line.points[index + 1].resource)
            _segment(axes, start, end, kinds, line.color)
            placer.add((pixel_of(axes, start), pixel_of(axes, end)))
        axes.plot(
            *zip(*ends, strict=True), line.marker, color=line.color, markersize=4.2, markeredgecolor="white", markeredgewidth=0.5, zorder=4
        )
        for end in ends:
            placer.add(dot_box(axes, end))
    last = [(line.label, line.color, (float(line.points[-1].context), getattr(line.points[-1], name) / unit)) for line in lines]
    end_labels(axes, placer, last, float(high))


def _segment(axes: Axes, start: Point, end: Point, kinds: tuple[Resource, Resource] | tuple[str, str], color: str) -> None:
    """A piece of a line; where its ends are bound by two resources the stroke changes half way on the paper."""
    (x0, y0), (x1, y1) = (pixel_of(axes, point) for point in (start, end))
    middle = axes.transData.inverted().transform(((x0 + x1) / 2, (y0 + y1) / 2))
    pieces = [(start, end, kinds[0])] if kinds[0] == kinds[1] else [(start, middle, kinds[0]), (middle, end, kinds[1])]
    for first, last, kind in pieces:
        axes.plot([first[0], last[0]], [first[1], last[1]], color=color, linewidth=1.5, linestyle=STROKES[kind], zorder=3)  # type: ignore[index]


def _scatters(table: CostTable) -> Figure:
    """A panel for each context: every model a dot, filled where memory bounds it; a colour and marker for each machine or workload."""
    contexts = [context for context in table.contexts if any(point.context == context for point in table.points)]
    by = distinct(table.points, "machine", "workload")
    dots = series(table.points, by)
    kinds = [name for name in STROKES if any(point.resource == name for point in table.points)]
    handles = [handle(f"{name}-bound", marker=dots[0].marker, linestyle="none", **_face(name, INK)) for name in kinds]
    if by:
        handles += [handle(kind.label, marker=kind.marker, linestyle="none", color=kind.color) for kind in dots]
    page = Page((min(2, len(contexts)), -(-len(contexts) // 2)), RIGHT, _texts(table), handles, HEADING)
    for number, context in enumerate(contexts):
        axes = page.panel(number)
        axes.set_title(f"context {_tokens(context)}", fontsize=LABEL, fontweight="bold", color=INK, loc="left", pad=5)
        axes.set_xlim(0, 1.12 * max(point.activated_parameters for point in table.points) / 1e9)
        _scatter_panel(axes, [(kind, point) for kind in dots for point in kind.points if point.context == context])
    return page.figure


def _scatter_panel(axes: Axes, dots: Sequence[tuple[_Series, CostPoint]]) -> None:
    _value_axis(axes, [point.usd_per_mtok for _, point in dots])
    axes.set_xlabel("activated parameters, 10⁹", fontsize=LABEL)
    axes.set_ylabel("USD for a million tokens", fontsize=LABEL)
    frame(axes)
    placer = placer_of(axes)
    places = [(point.activated_parameters / 1e9, point.usd_per_mtok) for _, point in dots]
    for (kind, point), place in zip(dots, places, strict=True):
        axes.plot([place[0]], [place[1]], kind.marker, **_face(point.resource, kind.color), markersize=6, zorder=4)
        placer.add(dot_box(axes, place))
    named: list[tuple[str, Point]] = []
    for index in sorted(range(len(dots)), key=lambda index: _room(axes, places[index], places)):
        model, (x, y) = dots[index][1].model, pixel_of(axes, places[index])
        # Dots of a model that touch have one name.
        if not any(name == model and hypot(x - u, y - v) < DOT * axes.figure.dpi / 72 for name, (u, v) in named):
            beside(axes, placer, places[index], model, dots[index][0].color)
            named.append((model, (x, y)))


def _face(resource: Resource, color: str) -> dict[str, Any]:
    """Filled: memory; hollow: compute; half filled: network."""
    face = {"memory": color, "compute": "white", "network": color}[resource]
    return {
        "color": color,
        "markerfacecolor": face,
        "markerfacecoloralt": "white",
        "fillstyle": "left" if resource == "network" else "full",
        "markeredgewidth": 1.1,
    }


def _room(axes: Axes, place: Point, others: Sequence[Point]) -> float:
    """Distance to the nearest other dot, in pixels; the most crowded is named first."""
    x, y = pixel_of(axes, place)
    return min((hypot(x - u, y - v) for u, v in (pixel_of(axes, other) for other in others) if (u, v) != (x, y)), default=0.0)


def _value_axis(axes: Axes, values: Sequence[float]) -> None:
    """From zero, or logarithmic where the values differ by more than STEEP."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(values), max(values)
    if high < STEEP * low:
        axes.set_ylim(0, 1.08 * high)
        return
    axes.set_yscale("log")
    axes.set_ylim(low / 1.25, high * 1.25)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _context_ticks(axes: Axes, contexts: Sequence[int]) -> None:
    """At the contexts where they are few and apart, else at powers of two."""
    from matplotlib.ticker import NullLocator

    powers = [2**power for power in range(contexts[0].bit_length() - 1, contexts[-1].bit_length() + 1)]
    places = [float(value) for value in powers if contexts[0] <= value <= contexts[-1]]
    apart = all(log2(after / before) > 0.45 for before, after in zip(contexts, contexts[1:], strict=False))
    if (apart and len(contexts) <= 11) or not places:
        places = [float(context) for context in contexts]
    places = places[:: -(-len(places) // 11)]
    axes.set_xticks(places, [_tokens(int(place)) for place in places])
    axes.xaxis.set_minor_locator(NullLocator())


def _tokens(count: int) -> str:
    return count_text(count).replace("k", "K")


def _texts(table: CostTable) -> tuple[str, str, str]:
    """What is drawn, what all points share, and the inputs."""
    from attnsim import __version__

    phases = {point.phase for point in table.points}
    what = {"decode": "a decoded token", "prefill": "a token of a prompt"}[min(phases)] if len(phases) == 1 else "a token"
    first, differ = table.points[0], distinct(table.points, "model", "machine", "workload", "machines", "deployment", "batch")
    shared = [first.model] if "model" not in differ else []
    if first.deployment == "ideal" and len(first.machines) > 1 and "machines" not in differ:
        shared.append(f"each part on the cheapest of {', '.join(first.machines)}")
    elif "machine" not in differ:
        shared.append(first.machine)
    shared += [first.deployment] if "deployment" not in differ else []
    shared += [f"batch {first.batch}"] if "batch" not in differ and first.batch > 1 else []
    inputs = [f"attnsim {__version__}", *dict.fromkeys(point.workload for point in table.points), *table.inputs]
    return f"Cost of {what}", "; ".join([*shared, f"prices {table.prices}"]), "; ".join(inputs)
