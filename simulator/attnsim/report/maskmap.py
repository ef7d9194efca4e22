"""A mask and its tiles as text, JSON and CSV, and as the panels that `maskfigure.py` draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attnsim.api.tiling import Tiling
from attnsim.errors import UsageError
from attnsim.evaluate.render import percent, whole
from attnsim.mask.base import TileShape
from attnsim.mask.tilemap import Order, TileClass, TileMap, tile_map

MOST_PANELS = 6
MOST_LETTERS = 120
"""Tiles along an axis beyond which text shows the counts alone."""
LETTERS = {TileClass.FULL: "#", TileClass.PARTIAL: "+", TileClass.SKIPPED: ".", TileClass.EMPTY: "o"}
NAMES = {
    TileClass.FULL: "full",
    TileClass.PARTIAL: "partial",
    TileClass.SKIPPED: "skipped",
    TileClass.EMPTY: "padding queries",
}


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One mask in its tiles, and how many query heads have it."""

    heads: int
    map: TileMap

    def title(self, of: int) -> str:
        """The mask in words, behind its heads where not all of `of` have it."""
        return self.map.mask.describe() if self.heads == of else f"{self.heads} of {of} heads: {self.map.mask.describe()}"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What is shown: a panel for each different mask; hidden: masks beyond the first MOST_PANELS; heads: of all masks."""

    workload: str
    arch: str | None
    schedule: str | None
    heads: int
    panels: tuple[Panel, ...]
    hidden: int

    @property
    def source(self) -> str:
        """Whose tiles these are, as "llama3-8b-prefill, tiles of flash-attention-3 on h100_sxm"."""
        return f"{self.workload}, tiles of {self.schedule} on {self.arch}" if self.schedule else self.workload


def picture(cut: Tiling, workload: str, arch: str | None = None) -> Picture:
    """The panels of a workload's mask. Raises: UsageError for what is too large or cannot be drawn in these tiles."""
    masks: Counter[Any] = Counter()
    for count, mask in cut.mask.by_head(cut.heads):
        masks[mask] += count
    try:
        panels = tuple(
            Panel(count, tile_map(mask, cut.P, cut.M, cut.q_tile, cut.k_tile, cut.pack, cut.dynamic))
            for mask, count in list(masks.items())[:MOST_PANELS]
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Picture(workload, arch, cut.schedule, cut.heads, panels, max(0, len(masks) - MOST_PANELS))


def classes(shown: TileMap) -> list[TileClass]:
    """The classes a legend lists: padding queries only where there are some."""
    return [kind for kind in LETTERS if kind != TileClass.EMPTY or shown.count(kind)]


def shape_text(tile: TileShape) -> str:
    """Such as 64 or 4x8x8."""
    return str(tile) if isinstance(tile, int) else "x".join(map(str, tile))


def tiles_text(shown: TileMap) -> str:
    """Such as "256 queries, 256 keys; query tiles of 4x4, key tiles of 4x2 tokens (boxes)"."""
    rows, columns = shown.rows, shown.columns
    text = f"{whole(shown.P)} {'query' if shown.P == 1 else 'queries'}, {whole(shown.M)} {'key' if shown.M == 1 else 'keys'}; "
    text += f"query tiles of {shape_text(rows.tile)}, key tiles of {shape_text(columns.tile)} tokens"
    text += " (boxes)" if rows.boxes else ""
    text += f", {rows.groups} dilation groups" if rows.groups > 1 else ""
    text += f", {columns.extra} {'tile' if columns.extra == 1 else 'tiles'} of extra keys" if columns.extra else ""
    return text + (f"; {shown.pack} query heads packed into the rows of a tile" if shown.pack > 1 else "")


def counts_text(shown: TileMap) -> list[str]:
    """Attended pairs and work efficiency, a line each."""
    pairs = shown.P * shown.pack * shown.M
    return [
        f"attended pairs  {whole(shown.pairs)} of {whole(pairs)} ({percent(shown.pairs / pairs)})",
        f"work efficiency {percent(shown.efficiency)}: attended pairs / pairs of the visited tiles",
    ]


def text(shown: Picture) -> str:
    """A letter a tile pair, a line a query tile, and the counts; large matrices as counts alone."""
    blocks = []
    for panel in shown.panels:
        one = panel.map
        lines = [panel.title(shown.heads), tiles_text(one), ""]
        if max(one.classes.shape) <= MOST_LETTERS:
            lines += [*_letters(one), ""]
        else:
            lines += [f"{one.classes.shape[0]} x {one.classes.shape[1]} tiles: too many for letters, -o FILE.svg draws them", ""]
        width = max(len(NAMES[kind]) for kind in classes(one))
        digits = max(len(whole(one.count(kind))) for kind in classes(one))
        for kind in classes(one):
            count = one.count(kind)
            share = percent(count / one.tile_pairs)
            lines.append(f"{LETTERS[kind]} {NAMES[kind]:{width}}  {whole(count):>{digits}} tiles  {share:>7}")
        blocks.append("\n".join([*lines, *counts_text(one)]))
    if shown.hidden:
        blocks.append(f"{shown.hidden} more different masks are not shown")
    return shown.source + "\n" + "\n\n".join(blocks)


def _letters(shown: TileMap) -> list[str]:
    """Rows and planes of boxes, dilation groups and extra keys set apart."""
    lines = []
    for row, line in enumerate(shown.classes.tolist()):
        if row and shown.rows.border(row):
            lines.append("")
        lines.append("".join(_gap(shown.columns, column) + LETTERS[TileClass(kind)] for column, kind in enumerate(line)))
    return lines


def _gap(order: Order, tile: int) -> str:
    return " " if tile and order.border(tile) else ""


def record(shown: Picture) -> dict[str, Any]:
    """The picture for JSON: of every mask the counts, and `rows`, a letter a key tile for every query tile."""
    return {
        "workload": shown.workload,
        "arch": shown.arch,
        "schedule": shown.schedule,
        "letters": {LETTERS[kind]: kind.name.lower() for kind in LETTERS},
        "masks_not_shown": shown.hidden,
        "masks": [_panel_record(panel) for panel in shown.panels],
    }


def _panel_record(panel: Panel) -> dict[str, Any]:
    one = panel.map
    return {
        "kind": one.mask.kind,
        "description": one.mask.describe(),
        "heads": panel.heads,
        "queries": one.P,
        "keys": one.M,
        "q_tile": shape_text(one.rows.tile),
        "k_tile": shape_text(one.columns.tile),
        "packed_heads": one.pack,
        "tile_pairs": {kind.name.lower(): one.count(kind) for kind in LETTERS},
        "attended_pairs": one.pairs,
        "work_efficiency": one.efficiency,
        "rows": ["".join(LETTERS[TileClass(kind)] for kind in line) for line in one.classes.tolist()],
    }


def rows(shown: Picture) -> Sequence[dict[str, Any]]:
    """One row a tile pair: mask (from 1, in the order of the panels), q_tile, k_tile, class, attended pairs."""
    return [
        {"mask": number, "q_tile": row, "k_tile": column, "class": TileClass(kind).name.lower(), "attended": attended}
        for number, panel in enumerate(shown.panels, 1)
        for row, (kinds, pairs) in enumerate(zip(panel.map.classes.tolist(), panel.map.attended.tolist(), strict=True))
        for column, (kind, attended) in enumerate(zip(kinds, pairs, strict=True))
    ]
