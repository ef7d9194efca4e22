"""The texts of a matplotlib figure: which lie over another, and which leave the picture."""

from __future__ import annotations

from itertools import combinations
from typing import Any


def texts(figure: Any) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels."""
    figure.canvas.draw()
    found = [(text.get_text(), text.get_window_extent()) for text in figure.texts if text.get_text()]
    found += [(text.get_text(), text.get_window_extent()) for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        drawn = [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for labels, side, limits in ((axes.get_xticklabels(), 0, axes.get_xlim()), (axes.get_yticklabels(), 1, axes.get_ylim())):
            drawn += [label for label in labels if min(limits) <= label.get_position()[side] <= max(limits)]
        found += [(text.get_text(), text.get_window_extent()) for text in drawn if text.get_text()]
    return found


def clashes(figure: Any) -> list[tuple[str, ...]]:
    """Texts outside the picture, and pairs of texts that overlap."""
    found, page = texts(figure), figure.bbox
    outside: list[tuple[str, ...]] = [
        (name,) for name, extent in found if extent.x0 < 0 or extent.y0 < 0 or extent.x1 > page.x1 or extent.y1 > page.y1
    ]
    return outside + [
        (first, second)
        for (first, one), (second, other) in combinations(found, 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1.5
    ]
