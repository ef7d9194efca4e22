"""Lines over a shared axis: named, apart, the same bytes every time."""

from __future__ import annotations

import pytest
from figure_texts import clashes, texts

from attnsim.errors import UsageError
from attnsim.report.figures import Shown
from attnsim.report.lines import MOST, Line, Scale, draw

TOKENS, TIME, PLAIN = Scale("tokens", tokens=True), Scale("time", "s"), Scale("speedup")
GROWING = [(1 << power, 2.0 ** (2 * power) * 1e-9) for power in range(9, 17)]


def several() -> list[Line]:
    near = [Line(f"line number {number}", [(x, 7 + 0.01 * number) for x, _ in GROWING]) for number in range(MOST - 1)]
    return [
        *near,
        Line("limit", [(x, 6.9) for x, _ in GROWING], limit=True),
        Line("with marks", [(512, 1.0), (65536, 2.0)], measured=[(2048, 1.2)]),
    ]


@pytest.mark.parametrize(
    ("lines", "x", "y"),
    [
        ([Line("latency", GROWING), Line("lower bound", [(x, y / 2) for x, y in GROWING], limit=True)], TOKENS, TIME),
        (several(), TOKENS, PLAIN),
        ([Line("one", [(1.0, 2.0)])], PLAIN, PLAIN),
        ([Line("ends early", [(1.0, 2.0), (2.0, 3.0)]), Line("does not", [(1.0, 1.0), (7.0, 3.0)])], PLAIN, PLAIN),
    ],
    ids=["two", "many", "one point", "early end"],
)
def test_every_line_is_named_and_no_text_lies_over_another(lines: list[Line], x: Scale, y: Scale) -> None:
    figure = draw(lines, x, y, "a title that is longer than a panel is wide, as titles of papers often are, and then some", "a subtitle")
    assert not clashes(figure)
    assert {line.label for line in lines} <= {text for text, _ in texts(figure)}
    make = Shown(lambda: draw(lines, x, y, "a title"))
    assert make.render("svg") == make.render("svg")


def test_axes_are_logarithmic_where_values_differ_by_much_and_else_start_at_zero() -> None:
    steep = draw([Line("a", GROWING)], TOKENS, TIME, "").axes[0]
    assert (steep.get_xscale(), steep.get_yscale()) == ("log", "log")
    flat = draw([Line("a", [(1.0, 4.0), (2.0, 5.0)])], PLAIN, PLAIN, "").axes[0]
    assert (flat.get_xscale(), flat.get_yscale()) == ("linear", "linear") and flat.get_ylim()[0] == 0
    forced = draw([Line("a", [(1.0, 4.0), (2.0, 5.0)])], Scale("x", spacing="log"), Scale("y", spacing="log"), "").axes[0]
    assert (forced.get_xscale(), forced.get_yscale()) == ("log", "log")


def test_values_are_written_with_their_units() -> None:
    shown = [(TOKENS, 8192.0, "8K"), (TOKENS, 1000.0, "1000"), (TIME, 1e-3, "1 ms"), (TIME, 2.5e-6, "2.5 us"), (PLAIN, 100 / 9, "11.1")]
    for scale, value, text in [*shown, (PLAIN, 1e5, "100 000"), (PLAIN, 0.0, "0")]:
        assert scale.text(value) == text


def test_a_legend_stands_only_where_marks_differ() -> None:
    assert not draw([Line("a", GROWING)], TOKENS, TIME, "").legends[0].get_texts()
    measured = draw([Line("a", GROWING, measured=GROWING[:1])], TOKENS, TIME, "", measured="measured")
    assert [text.get_text() for text in measured.legends[0].get_texts()] == ["predicted", "measured"]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to draw: no line has a point"):
        draw([Line("a", [])], PLAIN, PLAIN, "")
    with pytest.raises(UsageError, match="a figure tells 7 lines apart, not 8; draw fewer"):
        draw([Line(str(number), [(1.0, 1.0)]) for number in range(MOST + 1)], PLAIN, PLAIN, "")
