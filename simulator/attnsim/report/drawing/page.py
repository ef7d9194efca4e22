"""A page of equal panels with its texts around them: sizes in inches, so that nothing is cut off and no text runs into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attnsim.report.roofline.figure import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches.
LEFT, PANEL_WIDTH, PANEL_HEIGHT, RIGHT = 0.72, 3.7, 3.0, 0.18
HEAD, SUBTITLE, HEADING, AXIS, LEGEND, FOOTER, ROWS = 0.32, 0.15, 0.24, 0.5, 0.19, 0.1, 0.16
TITLE, LABEL, TICK, SMALL = 9.5, 8.0, 7.5, 5.5  # points


class Page:
    """A figure of panels in rows, above them a title and a subtitle, below a legend and a footer.

    shape: columns and rows; margin: inches right of each panel; texts: title, subtitle and footer, broken behind semicolons; heading:
    inches for the title of a panel.
    """

    def __init__(
        self, shape: tuple[int, int], margin: float, texts: tuple[str, str, str], handles: Sequence[Any], heading: float = 0.0
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        (self.columns, rows), self.margin, self.heading = shape, margin, heading
        self.width = self.columns * (LEFT + PANEL_WIDTH + margin)
        room = self.width - LEFT - RIGHT
        subtitle, footer = _wrapped(texts[1], room, TICK), _wrapped(texts[2], room, SMALL)
        entry = text_width([handle.get_label() for handle in handles], TICK) + 0.62
        entries = max(1, min(len(handles), int(room // entry)))
        self.top = HEAD + SUBTITLE * len(subtitle) + 0.08
        legend, foot = LEGEND * -(-len(handles) // entries), FOOTER + 0.1 * len(footer)
        self.height = self.top + rows * (heading + PANEL_HEIGHT + AXIS) + (rows - 1) * ROWS + legend + foot
        self.figure = Figure(figsize=(self.width, self.height))
        FigureCanvasAgg(self.figure)
        self._text(texts[0], 0.18, fontsize=TITLE, fontweight="bold", color=INK)
        for number, line in enumerate(subtitle):
            self._text(line, HEAD + 0.03 + number * SUBTITLE, fontsize=TICK, color=INK)
        for number, line in enumerate(footer):
            self._text(line, self.height - 0.1 * (len(footer) - number), fontsize=SMALL, color=FAINT)
        self.figure.legend(
            handles=list(handles), loc="upper left", bbox_to_anchor=(LEFT / self.width, (foot + legend) / self.height), ncols=entries,
            frameon=False, fontsize=TICK, borderpad=0, borderaxespad=0, columnspacing=1.6, handlelength=2.4, labelspacing=0.4,
        )  # fmt: skip

    def _text(self, text: str, down: float, **style: Any) -> None:
        self.figure.text(LEFT / self.width, 1 - down / self.height, text, va="center_baseline", **style)

    def panel(self, number: int) -> Axes:
        """A panel by its number, row by row."""
        row, column = divmod(number, self.columns)
        left = LEFT + column * (LEFT + PANEL_WIDTH + self.margin)
        bottom = self.height - self.top - (row + 1) * (self.heading + PANEL_HEIGHT) - row * (AXIS + ROWS)
        return self.figure.add_axes((left / self.width, bottom / self.height, PANEL_WIDTH / self.width, PANEL_HEIGHT / self.height))


def text_width(texts: Sequence[str], points: float) -> float:
    """Inches of the longest of the texts in a size."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return max((float(TextPath((0, 0), text, points, prop=FontProperties()).get_extents().x1) for text in texts if text), default=0.0) / 72


def bold_width(text: str, points: float) -> float:
    """Inches of a bold text, a little generous."""
    return 1.15 * text_width([text], points)


def _wrapped(text: str, inches: float, points: float) -> list[str]:
    """Lines no longer than that, broken behind semicolons where one is too long."""
    lines: list[str] = []
    for part in text.split("; "):
        if lines and text_width([f"{lines[-1]}; {part}"], points) <= inches:
            lines[-1] = f"{lines[-1]}; {part}"
        else:
            lines.append(part)
    return lines
