"""Draws masks in their tiles with matplotlib: a matrix a mask, its tiles coloured by what a kernel does with them.

Cells are whole pixels of the PNG, so that no grid beats against the pixels; every colour has a name and a number in the legend.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from attnsim.errors import UsageError
from attnsim.evaluate.render import percent, whole
from attnsim.mask.tilemap import Order, TileClass, TileMap
from attnsim.report.export import write_files
from attnsim.report.maskmap import NAMES, Panel, Picture, classes, counts_text, tiles_text
from attnsim.report.roofline.figure import COLORS, FAINT, INK, check_ending, figure_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

Array = np.ndarray[Any, np.dtype[Any]]
Boxes = list[tuple[int, int, int, int]]

DPI = 300
# Inches, but for the sides of panels: pixels.
EDGE, LEFT, RIGHT, GAP, AXIS, LINE, FOOTER, NARROWEST = 0.14, 0.62, 0.22, 0.12, 0.46, 0.185, 0.2, 4.9
LARGEST, LARGEST_OF_SEVERAL, SHORTEST = 1440, 960, 256
LEAST_CELL, LEAST_TILE, LABEL_WIDTH, LABEL_HEIGHT = 2, 3, 90, 45
MOST_TILES = LARGEST // LEAST_TILE
MOST_BOXES = 30_000
"""Rectangles of attended pairs, beyond which a vector file would be too large to open."""

# (attended pair, other pair of the tile): the darker one says where work counts.
SHADES = {
    TileClass.FULL: (COLORS[0], "#B5D5E9"),
    TileClass.PARTIAL: (COLORS[1], "#F8D7BC"),
    TileClass.EMPTY: (COLORS[3], "#EBCBDC"),
    TileClass.SKIPPED: ("#ECECEC", "#ECECEC"),
}


@dataclass(frozen=True, slots=True)
class _Size:
    """Pixels of a key tile and of a query tile; pairs: whether single pairs are drawn."""

    wide: int
    high: int
    pairs: bool


def save(shown: Picture, path: Path, version: str, beside: dict[Path, bytes] | None = None) -> None:
    """Write the picture (SVG, PDF or PNG by the path's ending), and the files `beside` with it. Raises: UsageError."""
    check_ending(path)
    write_files({path: render(shown, path.suffix.lower().removeprefix("."), version), **(beside or {})})


def render(shown: Picture, format_: str, version: str) -> bytes:
    """The picture as bytes of an SVG, PDF or PNG file. Raises: UsageError for more tiles than can be seen."""
    for panel in shown.panels:
        most = max(panel.map.classes.shape)
        if most > MOST_TILES:
            raise UsageError(
                f"{most} tiles along an axis; a picture shows at most {MOST_TILES}: take larger tiles (--tile) or smaller sizes"
            )
    return figure_bytes(lambda: draw(shown, version), format_, DPI)


def draw(shown: Picture, version: str) -> Figure:
    """The figure: a panel a mask, two a row, each over its legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    several = len(shown.panels) > 1
    sizes = [_size(panel.map, LARGEST_OF_SEVERAL if several else LARGEST) for panel in shown.panels]
    spans = [
        (size.wide * p.map.classes.shape[1] / DPI, size.high * p.map.classes.shape[0] / DPI)
        for size, p in zip(sizes, shown.panels, strict=True)
    ]
    cell = max(3.9 if several else NARROWEST, *(LEFT + wide + RIGHT for wide, _ in spans))
    columns = 2 if several else 1
    texts = [_texts(panel, shown.heads, cell - 2 * EDGE) for panel in shown.panels]
    bands = [slice(first, first + columns) for first in range(0, len(spans), columns)]
    heads = [LINE * max(len(title + under) for title, under in texts[band]) + 0.05 for band in bands]
    legends = [LINE * max(_legend_lines(p.map, several) for p in shown.panels[band]) for band in bands]
    heights = [
        EDGE + head + max(high for _, high in spans[band]) + AXIS + legend + GAP
        for head, band, legend in zip(heads, bands, legends, strict=True)
    ]
    width, height = cell * columns, ceil((sum(heights) + FOOTER) * DPI) / DPI
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for index, (panel, size, span, (title, under)) in enumerate(zip(shown.panels, sizes, spans, texts, strict=True)):
        left = cell * (index % columns)
        band = index // columns
        top = height - sum(heights[:band]) - EDGE - heads[band]
        for number, line in enumerate([*title, *under]):
            style: dict[str, Any] = (
                {"fontweight": "bold", "fontsize": 9.5, "color": INK} if number < len(title) else {"fontsize": 7.5, "color": "#555555"}
            )
            figure.text((left + EDGE) / width, (top + 0.05 + (len(title + under) - number) * LINE) / height, line, va="top", **style)
        corner = (round((left + LEFT) * DPI) / DPI, round((top - span[1]) * DPI) / DPI)
        axes = figure.add_axes((corner[0] / width, corner[1] / height, span[0] / width, span[1] / height))
        _matrix(axes, panel.map, size)
        _legend(figure, panel.map, size.pairs, (left + EDGE, corner[1] - AXIS), (width, height), cell - 2 * EDGE, several)
    more = f"; {shown.hidden} more different masks not shown" if shown.hidden else ""
    figure.text(EDGE / width, 0.09 / height, f"attnsim {version}; {shown.source}{more}", fontsize=6, color=FAINT)
    return figure


def _texts(panel: Panel, heads: int, inches: float) -> tuple[list[str], list[str]]:
    """Title and second line, wrapped to a width."""
    return _even(panel.title(heads), int(inches * 12.5)), _even(tiles_text(panel.map), int(inches * 19))


def _even(text: str, width: int) -> list[str]:
    """Text wrapped to lines as few as `width` allows and about as long as one another."""
    lines = wrap(text, width)
    while len(lines) > 1 and len(shorter := wrap(text, width - 1)) == len(lines):
        lines, width = shorter, width - 1
    return lines


def _size(shown: TileMap, largest: int) -> _Size:
    """Tiles as large as the panel allows, a query as high as a key is wide unless the panel would be too flat to read."""
    (q_tiles, q), (k_tiles, k) = shown.rows.tokens.shape, shown.columns.tokens.shape
    cell = min(largest // (q_tiles * q), largest // (k_tiles * k))
    if cell >= LEAST_CELL:
        wide, high, unit_k, unit_q = cell * k, cell * q, k, q
    else:
        per_row = min(largest // q_tiles / q, largest // k_tiles / k)
        wide, high, unit_k, unit_q = max(LEAST_TILE, int(per_row * k)), max(LEAST_TILE, int(per_row * q)), 1, 1
    if wide * k_tiles < SHORTEST:
        wide = ceil(SHORTEST / k_tiles / unit_k) * unit_k
    if high * q_tiles < SHORTEST:
        high = ceil(SHORTEST / q_tiles / unit_q) * unit_q
    clear = cell >= LEAST_CELL or _coarse(shown.exists)
    return _Size(wide, high, clear and len(boxes(shown.exists)) <= MOST_BOXES)


def _coarse(cells: Array) -> bool:
    """Whether rows and columns hold so few runs of attended pairs that they stay clear however small they are drawn."""
    starts = (np.diff(np.pad(cells, 1).astype(np.int8), axis=axis) == 1 for axis in (0, 1))
    return all(int(found.sum()) <= 4 * max(cells.shape) for found in starts)


def boxes(cells: Array) -> Boxes:
    """(row, row behind the last, column, column behind the last) of rectangles that cover the True cells, none twice."""
    done: Boxes = []
    open_: dict[tuple[int, int], int] = {}
    framed = np.pad(cells, ((0, 1), (1, 1))).astype(np.int8)
    for row, steps in enumerate(np.diff(framed, axis=1)):
        runs = set(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True))
        for run in [run for run in open_ if run not in runs]:
            done.append((open_.pop(run), row, *run))
        for run in runs:
            open_.setdefault(run, row)
    return sorted(done)


def _outline(found: Boxes, high: int = 1, wide: int = 1) -> Outline:
    from matplotlib.path import Path as Outline

    corners = np.array([[(c0, r0), (c1, r0), (c1, r1), (c0, r1), (c0, r0)] for r0, r1, c0, c1 in found], dtype=float)
    codes = np.tile([Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY], len(found))
    return Outline(corners.reshape(-1, 2) * (wide, high), codes)


def _matrix(axes: Axes, shown: TileMap, size: _Size) -> None:
    from matplotlib.patches import PathPatch

    q, k = shown.rows.tokens.shape[1], shown.columns.tokens.shape[1]
    for kind, (dark, light) in SHADES.items():
        tiles = boxes(shown.classes == kind)
        if tiles:
            color = light if size.pairs or kind == TileClass.EMPTY else dark
            axes.add_patch(PathPatch(_outline(tiles, q, k), facecolor=color, linewidth=0, antialiased=False, zorder=1))
            if kind == TileClass.EMPTY:
                axes.add_patch(PathPatch(_outline(tiles, q, k), facecolor="none", edgecolor=dark, hatch="////", linewidth=0, zorder=1.5))
        if size.pairs and kind in (TileClass.FULL, TileClass.PARTIAL):
            mine = shown.exists & np.repeat(np.repeat(shown.classes == kind, q, axis=0), k, axis=1)
            pairs = boxes(mine)
            if pairs:
                axes.add_patch(PathPatch(_outline(pairs), facecolor=dark, linewidth=0, antialiased=False, zorder=2))
    axes.set_xlim(0, shown.exists.shape[1])
    axes.set_ylim(shown.exists.shape[0], 0)
    for order, draw_line, pixels in ((shown.columns, axes.axvline, size.wide), (shown.rows, axes.axhline, size.high)):
        for tile in range(1, len(order.tokens)):
            level = order.border(tile)
            width = min((0.0 if pixels < 8 else 0.6) + 0.7 * min(level, 2), 0.1 * pixels * 72 / DPI)
            if width and (level or pixels >= 8):
                draw_line(tile * order.tokens.shape[1], color="white", linewidth=width, zorder=3)
    for side in axes.spines.values():
        side.set_linewidth(0.6)
        side.set_color(INK)
        side.set_zorder(4)
    axes.set_xticks(*_ticks(shown.columns, shown.M, shown.M, size.wide, LABEL_WIDTH))
    axes.set_yticks(*_ticks(shown.rows, shown.P * shown.pack, shown.P, size.high, LABEL_HEIGHT))
    axes.set_xlabel("key tile" if shown.columns.boxes else "key token", fontsize=8, labelpad=2)
    axes.set_ylabel("query tile" if shown.rows.boxes else "query token", fontsize=8, labelpad=2)
    axes.tick_params(labelsize=7, length=2.5, width=0.6, pad=2)


def _ticks(order: Order, rows: int, count: int, pixels: int, label: int) -> tuple[list[float], list[str]]:
    """Places and labels: the first tokens of tiles, and where the `count` tokens end (`rows` rows); of boxes the numbers of the tiles."""
    tiles, side = order.tokens.shape
    room = max(1, min(16 if order.boxes else 9, tiles * pixels // label))
    # From label to label one tile, else whole rows of boxes, doubled until they fit.
    step = next((tile for tile in range(1, tiles) if order.border(tile)), 1) if order.boxes else 1
    while -(-tiles // step) > room:
        step *= 2
    step = 1 if tiles <= room else step
    if order.boxes:
        return [(tile + 0.5) * side for tile in range(0, tiles, step)], [str(tile) for tile in range(0, tiles, step)]
    places = {tile * side: int(order.tokens[tile, 0]) for tile in range(0, tiles, step)}
    if not order.extra:
        near = 0.8 * label * side / pixels
        places = {place: token for place, token in places.items() if rows - place >= near} | {rows: count}
    return [float(place) for place in places], [str(token) for token in places.values()]


def _legend_lines(shown: TileMap, several: bool) -> int:
    return -(-len(classes(shown)) // (2 if several else 3)) + len(counts_text(shown)) + 1


def _legend(
    figure: Figure, shown: TileMap, pairs: bool, corner: tuple[float, float], size: tuple[float, float], inches: float, several: bool
) -> None:
    """Classes by colour with their counts, three a line or two under small panels, then pairs and work efficiency."""
    from matplotlib.patches import Rectangle

    (left, top), (width, height) = corner, size
    area = shown.rows.tokens.shape[1] * shown.columns.tokens.shape[1]
    columns = 2 if several else 3
    step, vain = (inches - 0.36) / columns, False
    figure.text(left / width, (top - 0.055) / height, "tiles", fontsize=7.5, color=INK, va="center_baseline")
    for index, kind in enumerate(classes(shown)):
        x, y = left + 0.36 + step * (index % columns), top - LINE * (index // columns)
        (dark, light), count = SHADES[kind], shown.count(kind)
        both = pairs and kind in (TileClass.FULL, TileClass.PARTIAL) and int(shown.attended[shown.classes == kind].sum()) < count * area
        vain = vain or both
        for number, color in enumerate((dark, light) if both else (light if kind == TileClass.EMPTY else dark,) * 2):
            place = ((x + 0.09 * number) / width, (y - 0.11) / height)
            hatched: dict[str, Any] = {"hatch": "//////", "edgecolor": dark} if kind == TileClass.EMPTY else {}
            figure.add_artist(
                Rectangle(place, 0.09 / width, 0.11 / height, facecolor=color, linewidth=0, transform=figure.transFigure, **hatched)
            )
        label = f"{NAMES[kind]} {whole(count)} ({percent(count / shown.tile_pairs)})"
        figure.text((x + 0.23) / width, (y - 0.055) / height, label, fontsize=7.5, color=INK, va="center_baseline")
    lines = [" ".join(line.split()) for line in counts_text(shown)]
    if vain:
        lines.append("dark: attended pair; light: computed in vain (masked or padding)")
    elif not pairs and shown.visited:
        lines.append("single pairs are too small to be shown")
    for number, line in enumerate(lines):
        y = top - LINE * (-(-len(classes(shown)) // columns) + number) - 0.055
        figure.text(left / width, y / height, line, fontsize=7.5, color=INK, va="center_baseline")
