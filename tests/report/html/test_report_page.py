"""The report as Chromium shows it: opened from disk, sorted, hovered, printed, on a wide screen and on a phone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from browser import NARROW, WIDE, is_local, layout_faults, missing

import attnsim
from attnsim.evaluate import render
from attnsim.evaluate.estimate import Report
from attnsim.report.html.assets import script, style
from attnsim.report.html.page import report_page
from attnsim.report.html.views import answer_view
from attnsim.units import format_quantity


@pytest.fixture
def shown(page: Any, report_file: Path) -> Any:
    page.goto(report_file.as_uri())
    page.wait_for_selector(".answer")
    return page


def column(page: Any, name: str) -> list[str]:
    head = page.locator("#results thead th").all_inner_texts()
    number = next(i for i, text in enumerate(head) if text.startswith(name)) + 1
    texts: list[str] = page.locator(f"#results tbody tr > :nth-child({number})").all_inner_texts()
    return texts


def seconds(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit]


def test_every_part_is_there(shown: Any, reports: list[Report]) -> None:
    assert shown.locator(".answer").count() == len(reports)
    titles = set(shown.locator(".answer .part > h3").all_inner_texts())
    wanted = {
        "Time by resource", "Bytes by level and tensor", "FLOPs by unit", "Passes", "Live footprint", "Mask", "Kernels", "Assumptions",
        "How accurate is this?", "Against context and batch", "Time by part", "Memory of a device", "Conditions", "Phases", "Steps",
        "Cascade attention-1pass", "Mask in numbers",
    }  # fmt: skip
    assert wanted <= titles
    assert shown.locator("#rooflines figure.roofline").count() >= 3
    assert "attnsim run llama3-8b-prefill h100_sxm" in shown.locator("#answer-1 pre").first.inner_text()
    assert shown.locator("canvas.tiles").count() >= 5


def test_the_table_sorts_and_filters_by_mouse_and_keyboard(shown: Any) -> None:
    as_asked = column(shown, "latency")
    button = shown.get_by_role("button", name="latency")
    button.click()
    ascending = column(shown, "latency")
    assert ascending == sorted(as_asked, key=seconds) != as_asked
    head = shown.locator("#results thead th", has_text="latency")
    assert head.get_attribute("aria-sort") == "ascending"
    button.focus()
    shown.keyboard.press("Enter")
    assert column(shown, "latency") == ascending[::-1] and head.get_attribute("aria-sort") == "descending"
    shown.keyboard.press("Enter")
    assert column(shown, "latency") == as_asked and head.get_attribute("aria-sort") == "none"
    shown.get_by_role("button", name="USD").click()
    priced = [text for text in column(shown, "USD") if text]
    assert priced == sorted(priced, key=float) and column(shown, "USD")[: len(priced)] == priced, "what has no price comes last"
    shown.get_by_label("Filter").fill("h800 STEP3")
    assert column(shown, "result") == ["step3-afd"]
    shown.get_by_label("Filter").fill("no such thing")
    assert "nothing matches" in shown.locator("#results tbody").inner_text()


def test_hover_and_focus_show_values(shown: Any) -> None:
    tip = shown.locator(".attnsim-tip")
    assert tip.is_hidden()
    point = shown.locator("#rooflines .point").first
    point.scroll_into_view_if_needed()
    point.hover()
    latency = format_quantity(attnsim.run("llama3-8b-prefill", "h100_sxm").results[0].latency_s, "s")
    assert tip.is_visible() and "FLOP/B" in tip.inner_text() and latency in tip.inner_text()
    shown.mouse.move(2, 2)
    assert tip.is_hidden()
    point.focus()
    first = tip.inner_text()
    shown.keyboard.press("ArrowRight")
    assert tip.is_visible() and tip.inner_text() != first
    shown.keyboard.press("Escape")
    assert tip.is_hidden()
    node = shown.locator("#answer-1 .node", has_text="SLNV")
    node.scroll_into_view_if_needed()
    node.hover()
    assert "SLNV[m1,p,f] = SLN[m1,m0,p] * V[m1,m0,f]" in tip.inner_text()
    canvas = shown.locator("#answer-1 canvas")
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 5, "y": 100})
    assert "full" in tip.inner_text()
    canvas.hover(position={"x": 250, "y": 20})
    assert "skipped" in tip.inner_text()


def test_every_chart_point_has_a_text_for_those_who_cannot_see_it(shown: Any) -> None:
    points = "els => els.every(e => e.getAttribute('aria-label') && e.getAttribute('role') === 'img')"
    assert shown.eval_on_selector_all("[data-point]", points)
    stops = (
        "els => els.every(svg => !svg.querySelector('[data-point]') || svg.querySelectorAll('[data-point][tabindex=\"0\"]').length === 1)"
    )
    assert shown.eval_on_selector_all("svg", stops), "one stop of the Tab key a chart"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: str(size["width"]))
def test_nothing_overlaps_or_leaves_the_window(shown: Any, size: Any) -> None:
    shown.set_viewport_size(size)
    shown.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    shown.wait_for_timeout(150)
    assert layout_faults(shown) == []


def test_dark_and_print_have_their_own_colours_and_print_opens_everything(shown: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = shown.evaluate(colour)
    shown.emulate_media(color_scheme="dark")
    assert shown.evaluate(colour) != light
    shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    shown.emulate_media(media="print", color_scheme="dark")
    assert shown.evaluate(colour) == "rgb(255, 255, 255)"
    assert not shown.locator("nav").is_visible() and shown.locator("details:not([open])").count() == 0
    shown.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert shown.locator("details[open]").count() == 0


HOSTILE = "</script><img src=x onerror=alert(1)><b>\u2028 & 'quoted' \"double\" {{x}}"


def test_no_text_becomes_markup(page: Any, tmp_path: Path) -> None:
    workload = {
        "attnsim": 1, "kind": "kernel", "name": HOSTILE, "cascade": "attention-1pass", "dtype": "bf16",
        "sizes": {"B": 1, "H": 4, "P": 256, "M": 256, "E": 64, "F": 64},
        "schedule": {"extends": "flash-attention-2", "name": "<i>mine</i>"},
    }  # fmt: skip
    arch = {"extends": "a100_sxm_80gb", "name": "<u>box</u>", "title": "<script>alert(2)</script>"}
    text = report_page(attnsim.run(workload, arch))
    assert HOSTILE not in text and "<u>" not in text and text.count("<script") == 2
    path = tmp_path / "hostile.html"
    path.write_text(text, encoding="utf-8")
    page.on("dialog", lambda dialog: pytest.fail("a script of the input ran"))
    page.goto(path.as_uri())
    page.wait_for_selector(".answer")
    assert page.locator("img, main b:has-text('mine'), main i, main u, main script").count() == 0
    assert " ".join(page.locator("#results tbody th").inner_text().split()) == " ".join(HOSTILE.split())
    assert "<i>mine</i>" in page.locator("#answer-1 .inputs").inner_text()
    page.evaluate("const probe = document.createElement('div'); document.body.append(probe)")
    assert page.evaluate("document.querySelector('meta[http-equiv]').content").startswith("default-src 'none'; script-src 'sha256-")


@pytest.fixture
def blank(page: Any) -> Any:
    page.goto("about:blank")
    page.set_content("<div id='place'></div>")
    page.add_style_tag(content=style())
    page.evaluate(script())
    return page


def test_numbers_read_as_on_the_terminal(blank: Any) -> None:
    chance = random.Random(8)
    units = ("s", "B", "B/s", "FLOP", "FLOP/s", "J", "W", "Hz", "OP", "m^2")
    values = [0.0, 1.0, 999.4, 999.6, 1000.0, 1e-15, 0.0005, *(10 ** chance.uniform(-14, 20) for _ in range(400))]
    pairs = [(value, chance.choice(units)) for value in values]
    written = blank.evaluate("pairs => pairs.map(([value, unit]) => attnsim.format.quantity(value, unit))", pairs)
    wanted = [format_quantity(value, unit).replace("m^2", "m²") for value, unit in pairs]
    assert [pair for pair in zip(pairs, written, wanted, strict=True) if pair[1] != pair[2]] == []
    for name, python in (("ratio", render.digits3), ("percent", render.percent), ("share", render.share)):
        shown = blank.evaluate(f"values => values.map((value) => attnsim.format.{name}(value))", values)
        spaced = [text.replace("\u202f", " ") for text in shown]
        assert [pair for pair in zip(values, spaced, map(python, values), strict=True) if pair[1] != pair[2]] == []


def test_an_answer_is_redrawn_in_place(blank: Any) -> None:
    before, after = (answer_view(attnsim.run("llama3-8b-prefill", "h100_sxm", sizes={"B": batch})) for batch in (1, 2))
    draw = "view => attnsim.renderAnswer(document.getElementById('place'), view)"
    blank.evaluate(draw, before)
    blank.evaluate("document.querySelector('.cascade details').open = true")
    blank.locator(".cascade .node").first.focus()
    blank.evaluate("window.kept = [document.activeElement, ...document.querySelectorAll('h3, canvas, .facts div')]")
    old = blank.locator(".facts").inner_text()
    blank.evaluate(draw, after)
    assert blank.locator(".facts").inner_text() != old
    assert format_quantity(after["results"][0]["latency_s"], "s") in blank.locator(".facts").inner_text()
    assert blank.evaluate("window.kept.every((element) => element.isConnected) && document.activeElement === window.kept[0]")
    assert blank.evaluate("document.querySelector('.cascade details').open")
    blank.evaluate(draw, answer_view(attnsim.run("step3-afd", "h800")))
    assert "TPOT" in blank.locator(".facts").inner_text() and blank.locator("canvas").count() == 0
    blank.evaluate(draw, json.loads(json.dumps(answer_view(attnsim.run("llama3-8b-decode", "h100_sxm"), curves=False, accuracy=False))))
    assert blank.locator("figure.curves").count() == 0 and blank.locator("figure.roofline").count() == 1


def test_power_limits_are_dashed_and_measured_rates_hollow(blank: Any) -> None:
    view = answer_view(attnsim.run("llama3-8b-prefill", "h100_sxm"), curves=False, accuracy=False, pictures=False)
    (chart,) = view["roofline"]["charts"]
    chart["power"] = [{"name": "700 W, tensor bf16", "curve": [[200.0, 5e14], [400.0, 7e14], [1600.0, 8e14]]}]
    (kernel,) = chart["kernels"]
    kernel["measured"] = {"flops_per_s": kernel["flops_per_s"] / 2, "ratio": 0.5}
    blank.evaluate("view => attnsim.renderAnswer(document.getElementById('place'), view)", view)
    assert blank.locator("path.limited").count() == 1 and "left by 700 W, tensor bf16" in blank.locator(".roofline").inner_text()
    hollow = blank.locator(".series.hollow")
    assert hollow.locator("text").text_content() == "x 0.500" and hollow.locator("path.joint").count() == 1
    assert "0.500 x the predicted rate" in (hollow.locator(".point").get_attribute("aria-label") or "")
    assert layout_faults(blank) == []


def test_what_leaves_the_machine_is_told_from_what_does_not() -> None:
    assert all(map(is_local, ("file:///a.html", "data:,", "http://127.0.0.1:8000/a", "http://localhost/", "http://[::1]:1/")))
    assert not any(map(is_local, ("https://example.org/d3.js", "http://127.0.0.1.example.org/", "ws://example.org")))


def test_a_missing_browser_skips_but_fails_where_ci_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        missing("no browser")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI is set"):
        missing("no browser")
