"""Bars in pieces: totals behind them, published values on them, no text over another."""

from __future__ import annotations

import pytest
from figure_texts import clashes, texts

from attnsim.errors import UsageError
from attnsim.report.bars import MOST, Bar, draw, value_text
from attnsim.report.figures import Shown

STEPS = [Bar("FLAT", {"x": 1.0}), Bar("+Cascade", {"x": 0.907}, 0.907), Bar("+Binding", {"x": 6.7226}, 6.7, "of all 24 points")]
PIECES = [Bar(f"model {number}, 32K", {f"part {part}": 0.01 * (part + number + 1) for part in range(MOST)}) for number in range(4)]
LONG = [Bar("a", {"x": 1e-3}, note="a note that is much longer than the bar it stands behind, and more"), Bar("b", {"x": 0.0}, 2e-3)]


@pytest.mark.parametrize(("bars", "unit"), [(STEPS, "x"), (PIECES, "USD"), (LONG, "s"), ([Bar("nothing", {"x": 0.0})], "B")])
def test_no_text_lies_over_another_and_totals_are_written(bars: list[Bar], unit: str) -> None:
    figure = draw(
        bars, "what it is", unit, "a title that is longer than a short panel is wide, as titles of papers are, and then some", "a subtitle"
    )
    assert not clashes(figure)
    written = [text for text, _ in texts(figure)]
    for bar in bars:
        assert bar.label in written and "  ".join(filter(None, (value_text(bar.total, unit), bar.note))) in written
    make = Shown(lambda: draw(bars, "what it is", unit, "a title"))
    assert make.render("svg") == make.render("svg")


def test_pieces_follow_one_another_and_published_values_are_marked() -> None:
    axes = draw(PIECES, "cost", "USD", "").axes[0]
    first = [patch for patch in axes.patches if round(patch.get_y() + patch.get_height() / 2) == 0]
    ends = [patch.get_x() + patch.get_width() for patch in first]
    assert ends[-1] == pytest.approx(PIECES[0].total) and [patch.get_x() for patch in first] == pytest.approx([0, *ends[:-1]])
    marked = draw(STEPS, "speedup", "x", "").axes[0]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marked.lines] == [(0.907, 1), (6.7, 2)]


def test_a_value_has_three_digits_and_its_unit() -> None:
    assert [value_text(*pair) for pair in ((6.24e-4, "s"), (6.6, "x"), (4034.0, ""), (51.49, "%"), (0.0549, "USD"))] == [
        "624 us", "6.60x", "4 034", "51.5%", "0.0549 USD",
    ]  # fmt: skip


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to draw: no bar has a piece"):
        draw([Bar("a", {})], "", "", "")
    with pytest.raises(UsageError, match="a figure tells 7 pieces apart, not 8; add some together"):
        draw([Bar("a", {str(number): 1.0 for number in range(MOST + 1)})], "", "", "")
    with pytest.raises(UsageError, match="a bar cannot have a negative piece"):
        draw([Bar("a", {"x": -1.0})], "", "", "")
