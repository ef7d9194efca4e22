"""What figures of lines and dots share: a frame without clutter, names beside dots, places in pixels and back."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, radians, sin
from typing import TYPE_CHECKING, Any

from attnsim.report.drawing.page import LABEL, TICK
from attnsim.report.drawing.placing import Placer, Point, Shape, box, spread
from attnsim.report.roofline.figure import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOT = 9.0
"""Points of a dot with the room around it."""
ANGLES = (0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 340, 200, 70, 110, 290, 250)
"""Where a name is tried around its dot, in degrees."""


def dot_box(axes: Axes, place: Point) -> Shape:
    """The room of a dot, in pixels."""
    side = DOT * axes.figure.dpi / 72
    return box(pixel_of(axes, place), side, side)


def beside(
    axes: Axes,
    placer: Placer,
    place: Point,
    text: str,
    color: str,
    *,
    crowded: bool = True,
    towards: float | None = None,
    halo: bool = False,
) -> None:
    """A name beside a dot, as near as there is room; farther away, with a line to it.

    Without `crowded`, none where nothing is free. towards: the side that is tried first, in degrees; halo: white around the letters.
    """
    pixel = axes.figure.dpi / 72
    width, height = text_size(axes, text)
    x, y = pixel_of(axes, place)
    angles = ANGLES if towards is None else sorted(ANGLES, key=lambda angle: abs((angle - towards + 180) % 360 - 180))
    spots: list[Point] = []
    leaders: list[Shape | None] = []
    for reach in (5.5, 12.0, 20.0, 30.0, 42.0, 60.0):
        for angle in angles:
            dx, dy = cos(radians(angle)), sin(radians(angle))
            u, v = x + dx * reach * pixel + _sign(dx) * width / 2, y + dy * reach * pixel + _sign(dy) * height / 2
            near = (min(max(x, u - width / 2), u + width / 2), min(max(y, v - height / 2), v + height / 2))
            spots.append((u, v))
            leaders.append(((x, y), near) if reach > 6 else None)
    chosen = placer.place([box(spot, width, height) for spot in spots], (dot_box(axes, place),), leaders, crowded)
    if chosen is None:
        return
    leader = leaders[chosen]
    if leader is not None:
        axes.plot(*zip(*(data_of(axes, end) for end in leader), strict=True), color=color, linewidth=0.6, zorder=2)
    written = axes.text(*data_of(axes, spots[chosen]), text, fontsize=LABEL, color=INK, va="center", ha="center", zorder=5)
    if halo:  # under the lines, which it must not cut
        from matplotlib.patheffects import withStroke

        written.set_zorder(2.5)
        written.set_path_effects([withStroke(linewidth=2.0, foreground="white")])


def end_labels(axes: Axes, placer: Placer, ends: Sequence[tuple[str, str, Point]], last: float) -> None:
    """Names of lines, each (text, colour, where it ends): in the margin for those that reach `last`, spread so that none lies over another.

    The others stand beside their ends.
    """
    edge, pixel = axes.get_window_extent(), axes.figure.dpi / 72
    reaching = [(text, color, pixel_of(axes, end)) for text, color, end in ends if end[0] == last]
    height = 1.18 * LABEL * pixel
    heights = spread([y for _, _, (_, y) in reaching], height, edge.y0 + height / 2, edge.y1 - height / 2)
    for (text, color, (x, y)), at in zip(reaching, heights, strict=True):
        elbow = edge.x1 + 4 * pixel
        corners = [data_of(axes, place) for place in ((x + 3 * pixel, y), (elbow, at), (elbow + 4 * pixel, at))]
        axes.plot(*zip(*corners, strict=True), color=color, linewidth=0.7, clip_on=False, zorder=2)
        axes.text(*data_of(axes, (elbow + 6 * pixel, at)), text, fontsize=LABEL, color=INK, va="center_baseline", ha="left", zorder=5)
    for text, color, end in ends:
        if end[0] != last:
            beside(axes, placer, end, text, color)


def _sign(value: float) -> float:
    return 0.0 if abs(value) < 1e-9 else 1.0 if value > 0 else -1.0


def handle(label: str, **style: Any) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **{"linewidth": 1.3, "markersize": 5.5, **style})


def frame(axes: Axes) -> None:
    """Left and bottom spines, a light grid behind."""
    axes.grid(True, which="major", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=TICK, length=2.5, width=0.6, pad=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_linewidth(0.6)


def placer_of(axes: Axes) -> Placer:
    """A placer of labels inside the axes, in pixels."""
    edge = axes.get_window_extent()
    return Placer(((edge.x0, edge.y0), (edge.x1, edge.y0), (edge.x1, edge.y1), (edge.x0, edge.y1)))


def pixel_of(axes: Axes, point: Point) -> Point:
    """Where a point of the data lies on the figure."""
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def data_of(axes: Axes, pixel: Point) -> Point:
    """The point of the data at a place of the figure."""
    x, y = axes.transData.inverted().transform(pixel)
    return float(x), float(y)


def text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Pixels that a label takes."""
    probe = axes.text(0.5, 0.5, text, transform=axes.transAxes, fontsize=LABEL)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width + 3, extent.height
