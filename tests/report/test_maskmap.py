"""Masks in their tiles as text, JSON, CSV and pictures: every form says the same, and the picture is the same every time."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from attnsim.api.tiling import Tiling
from attnsim.errors import UsageError
from attnsim.mask import CAUSAL, DENSE, Banded, Mask, Neighborhood
from attnsim.mask.tilemap import TileClass
from attnsim.report.export import to_csv
from attnsim.report.maskfigure import SHADES, boxes, draw, save
from attnsim.report.maskmap import Picture, picture, record, rows, text


@dataclass(frozen=True, slots=True)
class ByHead(Banded):
    """A causal mask of which some heads see a window of their own."""

    windows: tuple[int, ...] = ()

    def by_head(self, heads: int) -> tuple[tuple[int, Mask], ...]:
        return ((heads - len(self.windows), CAUSAL), *((1, Banded.of(window, 0)) for window in self.windows))


BOXES = Neighborhood.of((13,), (4,), None, (3,))


def shown(mask: Mask = CAUSAL, size: int = 64, tile: int = 16, **more: int) -> Picture:
    return picture(Tiling(mask, size, size, 8, tile, tile, **more), "w")


def test_letters_and_counts_of_a_causal_mask() -> None:
    assert text(shown()).splitlines() == [
        "w",
        "causal (bottom-right aligned)",
        "64 queries, 64 keys; query tiles of 16, key tiles of 16 tokens",
        "",
        "+...",
        "#+..",
        "##+.",
        "###+",
        "",
        "# full     6 tiles   37.5 %",
        "+ partial  4 tiles   25.0 %",
        ". skipped  6 tiles   37.5 %",
        "attended pairs  2 080 of 4 096 (50.8 %)",
        "work efficiency 81.2 %: attended pairs / pairs of the visited tiles",
    ]


def test_boxes_set_rows_and_dilation_groups_apart() -> None:
    lines = text(picture(Tiling(BOXES, 13, 13, 1, (2,), (2,)), "w")).splitlines()
    assert lines[4:15] == [
        "##. ... ...", "+#+ ... ...", "+#+ ... ...", "",
        "... ##. ...", "... ##. ...", "... oo. ...", "",
        "... ... ##.", "... ... ##.", "... ... oo.",
    ]  # fmt: skip
    assert "o padding queries   4 tiles   4.94 %" in lines


def test_too_many_tiles_for_letters_leave_the_counts() -> None:
    lines = text(shown(size=484, tile=4)).splitlines()
    assert "121 x 121 tiles: too many for letters, -o FILE.svg draws them" in lines
    assert "# full     7 260 tiles   49.6 %" in lines


def test_csv_and_json_hold_the_same_tiles() -> None:
    one = shown(Banded.of(20, 0, 3))
    table = list(csv.DictReader(io.StringIO(to_csv(rows(one)))))
    (mask,) = record(one)["masks"]
    names = record(one)["letters"]
    assert len(table) == 16 and list(table[0]) == ["mask", "q_tile", "k_tile", "class", "attended"]
    assert all(names[mask["rows"][int(row["q_tile"])][int(row["k_tile"])]] == row["class"] for row in table)
    assert sum(int(row["attended"]) for row in table) == mask["attended_pairs"] == Banded.of(20, 0, 3).pairs(64, 64)
    assert {name: sum(row["class"] == name for row in table) for name in mask["tile_pairs"]} == mask["tile_pairs"]


def test_each_different_mask_of_the_heads_gets_a_panel() -> None:
    one = shown(ByHead(right=0, windows=(7, 15, 7)))
    assert [(panel.heads, panel.map.mask) for panel in one.panels] == [(5, CAUSAL), (2, Banded.of(7, 0)), (1, Banded.of(15, 0))]
    assert "2 of 8 heads: causal window of 8 keys" in text(one)
    assert {row["mask"] for row in rows(one)} == {1, 2, 3}
    titles = [item.get_text() for item in draw(one, "0").texts]
    assert "5 of 8 heads: causal (bottom-right aligned)" in titles


def test_panels_beyond_the_limit_are_counted() -> None:
    one = picture(Tiling(ByHead(right=0, windows=tuple(range(1, 9))), 64, 64, 20, 16, 16), "w")
    assert (len(one.panels), one.hidden) == (6, 3) and text(one).endswith("3 more different masks are not shown")
    assert any("3 more different masks not shown" in item.get_text() for item in draw(one, "0").texts)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_rectangles_cover_each_cell_once(height: int, width: int, data: st.DataObject) -> None:
    cells = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=height, max_size=height)))
    covered = np.zeros(cells.shape, dtype=int)
    for top, bottom, left, right in boxes(cells):
        covered[top:bottom, left:right] += 1
    assert (covered == cells).all()


@pytest.mark.parametrize(
    ("mask", "size", "tile"),
    [(CAUSAL, 512, 64), (Banded.of(40, 8, 5), 96, 16), (BOXES, 13, (2,)), (Neighborhood.of((4, 6, 6), (2, 3, 3)), 144, (2, 2, 2))],
)
def test_every_pair_has_its_colour_in_the_png(mask: Mask, size: int, tile: int | tuple[int, ...], tmp_path: Path) -> None:
    """The pixel in the middle of each pair of tokens: class by hue, attended or not by shade."""
    one = picture(Tiling(mask, size, size, 1, tile, tile), "w")
    save(one, tmp_path / "m.png", "0")
    pixels = imread(tmp_path / "m.png")[:, :, :3]
    (axes,) = draw(one, "0").axes
    place, (high, wide) = axes.get_position(), pixels.shape[:2]
    cells = one.panels[0].map.exists
    ys = (1 - place.y1) * high + (np.arange(cells.shape[0]) + 0.5) * place.height * high / cells.shape[0]
    xs = place.x0 * wide + (np.arange(cells.shape[1]) + 0.5) * place.width * wide / cells.shape[1]
    side = cells.shape[0] // one.panels[0].map.classes.shape[0]
    kinds = np.repeat(np.repeat(one.panels[0].map.classes, side, axis=0), side, axis=1)
    shades = np.array([[to_rgb(shade) for shade in SHADES[kind][::-1]] for kind in TileClass])
    expected = shades[kinds, cells.astype(int)]
    found = pixels[ys.astype(int)][:, xs.astype(int)]
    # Grid lines and hatches lie over a few of the pixels.
    plain = kinds != TileClass.EMPTY
    assert (np.abs(found - expected).max(axis=2) < 0.02)[plain].mean() > 0.9


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_same_mask_gives_the_same_bytes(ending: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(shown(), tmp_path / f"{name}.{ending}", "0.1.0")
    first = (tmp_path / f"a.{ending}").read_bytes()
    assert first == (tmp_path / f"b.{ending}").read_bytes() and len(first) > 5000
    if ending == "svg":
        ET.fromstring(first)


@pytest.mark.parametrize(
    "one",
    [
        shown(),
        picture(Tiling(CAUSAL, 1, 2048, 8, 64, 128, 4), "a workload with quite a long name", "h100_sxm"),
        picture(Tiling(Neighborhood.of((4, 8, 8), (2, 4, 4), (1, 2, 2), (1, 2, 2)), 256, 266, 1, (2, 2, 2), (2, 2, 2)), "w"),
        shown(ByHead(right=0, windows=(7, 15, 7))),
        picture(Tiling(BOXES, 13, 13, 1, (2,), (2,)), "w"),
        shown(DENSE, 4096, 128),
        shown(CAUSAL, 1, 1),
    ],
    ids=["causal", "decode", "boxes", "heads", "padding", "large", "one"],
)
def test_no_text_leaves_the_figure_or_lies_over_another(one: Picture) -> None:
    figure = draw(one, "0.1.0")
    figure.canvas.draw()
    texts = [*figure.texts, *(label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label))]
    for axes in figure.axes:
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    extents = [item.get_window_extent() for item in texts if item.get_text()]
    assert all(e.x0 >= -1 and e.y0 >= -1 and e.x1 <= figure.bbox.x1 + 1 and e.y1 <= figure.bbox.y1 + 1 for e in extents)
    overlaps = [
        (first, second)
        for index, first in enumerate(extents)
        for second in extents[:index]
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1 and min(first.y1, second.y1) - max(first.y0, second.y0) > 2
    ]
    assert not overlaps


def test_what_is_too_large_or_too_fine_says_what_would_be_right(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="P = 8192: pictures show at most 4096 tokens an axis; `attnsim run` counts the tiles of any size"):
        shown(size=8192)
    with pytest.raises(UsageError, match="1024 tiles along an axis; a picture shows at most 480: take larger tiles"):
        save(shown(size=1024, tile=1), tmp_path / "m.svg", "0")
    with pytest.raises(UsageError, match="end the name in .svg, .pdf, .png"):
        save(shown(), tmp_path / "m.jpg", "0")
    assert list(tmp_path.iterdir()) == []


def test_pairs_too_small_to_be_seen_are_said_to_be_missing() -> None:
    """A dilated window of 4096 tokens is a pattern finer than the pixels; a causal mask has one edge a row, clear at any size."""

    def says(mask: Mask) -> bool:
        return any("too small to be shown" in item.get_text() for item in draw(shown(mask, 4096, 64), "0").texts)

    assert says(Neighborhood.of((4096,), (64,), None, (4,))) and not says(CAUSAL)
