"""Labels on a figure that never lie over one another or over a marker: what has no free place is kept aside, to be listed elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attnsim.report.drawing.placing import Placer, Point, Shape, box, overlap
from attnsim.report.drawing.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ANGLES = (90, 45, 135, 0, 180, 270, 315, 225, 67, 113, 22, 158, 293, 247, 338, 202)
"""Where a tag is tried around its point, in degrees."""
REACHES = (3.0, 7.0, 13.0, 20.0, 29.0, 40.0, 54.0, 70.0)
"""How far from the marker's edge, in points; beyond the second a line leads to it."""
NEAR, FAR, END = 1.2, 9.0, 4.0
"""Points between a line and its name, at first and where that is not free; and between the name and the line's end."""
CROSSED = 2
"""Lines that the name of a line may cross."""
MARGIN = 1.5
"""Points kept free around a label: fonts are a little wider in one format than in another."""
ELLIPSIS = "…"


def plain(text: str) -> str:
    """A text from a file on one line, without characters that no font draws."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def fitted(figure: Figure, text: str, inches: float, **style: Any) -> str:
    """The text, shortened in its middle until it takes no more than so many inches."""
    text = plain(text)
    probe = figure.text(0.0, 0.0, "", parse_math=False, **style)

    def fits(kept: int) -> bool:
        probe.set_text(_shortened(text, kept))
        return bool(probe.get_window_extent().width <= inches * figure.dpi)

    low, high = 1, len(text)
    if fits(high):
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    probe.remove()
    return _shortened(text, low)


def wrapped(figure: Figure, texts: Sequence[str], inches: float, most: int | None = None, **style: Any) -> list[str]:
    """Texts one after another in lines of at most so many inches, broken between them; one, or a last line, that is longer is shortened."""
    probe = figure.text(0.0, 0.0, "", parse_math=False, **style)
    lines: list[str] = []
    words = [plain(text) for text in texts]
    for index, word in enumerate(words):
        probe.set_text(f"{lines[-1]} {word}" if lines else word)
        if lines and probe.get_window_extent().width <= inches * figure.dpi:
            lines[-1] = probe.get_text()
        elif most is not None and len(lines) == most:
            lines[-1] = fitted(figure, " ".join((lines[-1], *words[index:])), inches, **style)
            break
        else:
            lines.append(fitted(figure, word, inches, **style))
    probe.remove()
    return lines


def _shortened(text: str, kept: int) -> str:
    if kept >= len(text):
        return text
    head = (kept + 1) // 2
    return text[:head] + ELLIPSIS + text[len(text) - (kept - head) :]


class Canvas:
    """Draws labels on one axes where there is room; coordinates in are data, shapes are pixels of the figure.

    Labels and markers keep apart from each other always. Lines are avoided too, and crossed, with white around the letters, where nothing
    else is left. `homeless`: labels without a place.
    """

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        edge = axes.get_window_extent()
        self.point = axes.figure.dpi / 72
        inset = 2 * self.point
        low_x, low_y, high_x, high_y = edge.x0 + inset, edge.y0 + inset, edge.x1 - inset, edge.y1 - inset
        inside = ((low_x, low_y), (high_x, low_y), (high_x, high_y), (low_x, high_y))
        self.placer, self.solid = Placer(inside), Placer(inside)
        self.homeless: list[str] = []

    def pixel(self, point: Point) -> Point:
        """Where a point of the data lies on the figure."""
        x, y = self.axes.transData.transform(point)
        return float(x), float(y)

    def segment(self, start: Point, end: Point) -> Shape:
        """Mark a line as drawn."""
        shape = (self.pixel(start), self.pixel(end))
        self.placer.add(shape)
        return shape

    def dot(self, point: Point, size: float) -> None:
        """Mark a marker of so many points across as drawn."""
        self.solid.add(box(self.pixel(point), size * self.point, size * self.point))

    def along(self, lines: Sequence[Shape], text: str, steps: Sequence[float]) -> None:
        """A label on one of several pieces of a line, turned to its slope: above it, else below, at the first step that is free."""
        width, height = self._size(text)
        found: list[tuple[bool, Shape, float, Shape]] = []
        for line in lines:
            (x0, y0), (x1, y1) = line
            length = math.hypot(x1 - x0, y1 - y0)
            if length == 0:
                continue
            degrees = math.degrees(math.atan2(y1 - y0, x1 - x0))
            across = (-(y1 - y0) / length, (x1 - x0) / length)
            room = length - END * self.point
            for side, gap in ((1, NEAR), (-1, NEAR), (1, FAR), (-1, FAR)):
                offset = side * (height / 2 + gap * self.point)
                # The steps run over the places where the whole label lies beside the line; a longer label ends where the line does.
                for step in steps if room > width else (1.0, 0.5, 0.0):
                    t = (width / 2 + step * (room - width)) / length
                    foot = (x0 + t * (x1 - x0), y0 + t * (y1 - y0))
                    center = (foot[0] + offset * across[0], foot[1] + offset * across[1])
                    shape = box(center, width, height, degrees)
                    own = any(overlap(shape, other) for other in lines if other != line)
                    found.append((own, shape, degrees, (foot, center)))
        found.sort(key=lambda item: item[0])  # the other pieces may be crossed, but better not
        shapes, angles = [shape for _, shape, _, _ in found], [degrees for _, _, degrees, _ in found]
        self._put(text, shapes, angles, lines, [stem for _, _, _, stem in found], color=INK)

    def upright(self, line: Shape, text: str, color: str) -> None:
        """A label turned upright beside a vertical line, as low as there is room."""
        (x, y0), (_, y1) = line
        width, height = self._size(text)
        offset = height / 2 + NEAR * self.point
        shapes = [
            box((x + side * offset, y0 + 4 * self.point + width / 2 + step * max(0.0, y1 - y0 - width)), width, height, 90.0)
            for step in (percent / 100 for percent in range(0, 91, 3))
            for side in (1, -1)
        ]
        self._put(text, shapes, [90.0] * len(shapes), (line,), (), color=color)

    def beside(self, points: Sequence[tuple[Point, float]], texts: Sequence[str], color: str) -> None:
        """A tag near one of several (point, marker size); the first of the texts that finds a place.

        Far from its point it gets a thin line to it.
        """
        for text in texts:
            width, height = self._size(text, fontweight="bold")
            shapes, leaders = [], []
            for reach in REACHES:
                for point, size in points:
                    x, y = self.pixel(point)
                    away = (size / 2 + reach) * self.point
                    for angle in ANGLES:
                        dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                        u, v = x + dx * away + _sign(dx) * width / 2, y + dy * away + _sign(dy) * height / 2
                        shapes.append(box((u, v), width, height))
                        near = (min(max(x, u - width / 2), u + width / 2), min(max(y, v - height / 2), v + height / 2))
                        leaders.append(((x, y), near) if reach > REACHES[1] else None)
            chosen = self._place(shapes, (), leaders)
            if chosen is None:
                continue
            leader = leaders[chosen]
            if leader is not None:
                ends = self.axes.transData.inverted().transform(leader)
                self.axes.plot(ends[:, 0], ends[:, 1], color=color, linewidth=0.5, zorder=2.5)
            self._write(text, shapes[chosen], 0.0, (), color=color, fontweight="bold")
            return
        self.homeless.append(texts[0])

    def _put(
        self,
        text: str,
        shapes: Sequence[Shape],
        angles: Sequence[float],
        lines: Sequence[Shape],
        stems: Sequence[Shape],
        **style: Any,
    ) -> None:
        """Write the name of lines at the best of several places. stems: from the line to each place, where no other line should pass."""
        chosen = self._place(shapes, lines, stems, CROSSED)
        if chosen is None:
            self.homeless.append(text)
        else:
            self._write(text, shapes[chosen], angles[chosen], lines, **style)

    def _place(
        self, shapes: Sequence[Shape], ignore: Sequence[Shape], leaders: Sequence[Shape | None], most: float = math.inf
    ) -> int | None:
        """The first of the shapes that is free of labels, markers and lines, else the one that crosses the fewest lines, at most `most`."""
        best: tuple[float, int] | None = None
        for index, shape in enumerate(shapes):
            if not self.placer.inside(shape) or self.solid.hits(shape):
                continue
            leader = leaders[index] if leaders else None
            crossed = self.placer.hits(shape, ignore) + (0 if leader is None else self.placer.hits(leader, ignore))
            if crossed <= most and (best is None or crossed < best[0]):
                best = (crossed, index)
            if crossed == 0:
                break
        if best is None:
            return None
        for drawn in (shapes[best[1]], leaders[best[1]] if leaders else None):
            if drawn is not None:
                self.placer.add(drawn)
        self.solid.add(shapes[best[1]])
        return best[1]

    def _size(self, text: str, **style: Any) -> tuple[float, float]:
        probe = self.axes.text(0.5, 0.5, text, transform=self.axes.transAxes, parse_math=False, **style)
        extent = probe.get_window_extent()
        probe.remove()
        return extent.width + 2 * MARGIN * self.point, extent.height + MARGIN / 2 * self.point

    def _write(self, text: str, shape: Shape, degrees: float, beside: Sequence[Shape], **style: Any) -> None:
        from matplotlib.patheffects import withStroke

        center = (sum(x for x, _ in shape) / 4, sum(y for _, y in shape) / 4)
        x, y = self.axes.transData.inverted().transform(center)
        written = self.axes.text(
            x, y, text, rotation=degrees, ha="center", va="center", rotation_mode="anchor", zorder=5, parse_math=False, **style
        )
        others = [line for line in beside if overlap(shape, line)]
        if others or self.placer.hits(shape, (shape, *beside)):  # it crosses a line
            written.set_path_effects([withStroke(linewidth=2.0, foreground="white")])


def _sign(value: float) -> float:
    return 0.0 if abs(value) < 1e-9 else 1.0 if value > 0 else -1.0
