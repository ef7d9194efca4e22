"""Pictures of waves and stages: what they show is the schedule of the engine, the same every time, and no label lies over another."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Report
from attnsim.report.timeline import stages, waves
from attnsim.report.timeline.waves import Waves, draw, rows, save, waves_of
from attnsim.serving.timeline import timeline


@cache
def report(workload: str, arch: str) -> Report:
    return attnsim.run(workload, arch)


@cache
def shown(workload: str, arch: str) -> Waves:
    return waves_of(report(workload, arch))


def apart(figure: Any) -> None:
    """No two texts of a figure share a place, and none is cut off."""
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts]
    for axes in figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for legend in figure.legends:
        texts += legend.get_texts()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text() and text.get_visible()]
    width, height = figure.canvas.get_width_height()
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, f"{text!r} is cut off"
    for (one, first), (other, second) in combinations(boxes, 2):
        overlap = min(first.x1, second.x1) - max(first.x0, second.x0) > 1 and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
        assert not overlap, f"{one!r} lies over {other!r}"


def test_the_first_and_the_last_wave_are_drawn() -> None:
    one = shown("llama3-8b-prefill", "a100_sxm_80gb")
    (begin, first), (last, end) = one.windows
    assert begin == 0 and end == one.launch.placement.span and first == end - last < end / 2
    assert one.span_s == pytest.approx(one.kernel.compute_s, rel=1e-9)
    pieces = rows(one)
    clock = one.answer.clock_hz
    assert all(row["start_s"] * clock < first or row["end_s"] * clock > last for row in pieces)
    assert {(row["processor"], row["slot"]) for row in pieces} == {(processor, slot) for processor in range(108) for slot in range(2)}
    assert max(row["end_s"] for row in pieces) == pytest.approx(one.span_s)


def test_idle_time_is_what_wave_quantization_leaves() -> None:
    """CTAs that are alike: the last wave is paid whole."""
    one = waves_of(attnsim.run("llama3-8b-prefill", "h100_sxm", mask={"kind": "dense"}))
    processors, resident = one.launch.placement.processors, one.launch.placement.resident
    waves_, rest = divmod(one.kernel.ctas, processors * resident)
    assert one.idle == pytest.approx(1 - one.kernel.ctas / processors / (waves_ * resident + -(-rest // processors)))
    assert 0 < one.idle < 0.1


def test_a_short_run_is_one_panel() -> None:
    one = shown("llama3-8b-decode", "h100_sxm")
    assert one.windows == ((0.0, one.launch.placement.span),)
    assert len(rows(one)) == one.kernel.ctas


WAVES = [
    ("llama3-8b-prefill", "a100_sxm_80gb"),
    ("llama3-8b-prefill", "epyc_turin_2core"),
    ("wan2.1-1.3b", "h100_sxm"),
]
STAGES = [("step3-afd", "h800"), ("deepseek-v3-ep128", "h800"), ("step3-decode-ideal", "h800")]


@pytest.mark.parametrize(("workload", "arch"), WAVES)
def test_no_label_of_waves_lies_over_another(workload: str, arch: str) -> None:
    apart(draw(shown(workload, arch), report(workload, arch), "0"))


@pytest.mark.parametrize(("workload", "arch"), STAGES)
def test_no_label_of_stages_lies_over_another(workload: str, arch: str) -> None:
    answered = report(workload, arch)
    apart(stages.draw(timeline(answered.resolved()[0], answered.results[0]), answered.results[0], answered, "0"))


@pytest.mark.parametrize(
    ("workload", "arch"), [("llama3-8b-decode", "h100_sxm"), ("step3-decode-ideal", "h800"), ("fusemax-bert-attention", "fusemax_cloud")]
)
def test_the_picture_is_the_same_every_time_and_its_data_stands_beside_it(tmp_path: Path, workload: str, arch: str) -> None:
    for name in ("a.svg", "b.svg"):
        data = save(report(workload, arch), tmp_path / name, "0")
        assert data == tmp_path / name.replace("svg", "csv")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    ET.parse(tmp_path / "a.svg")
    assert len(list(csv.DictReader(data.open()))) > 1


def test_the_stages_beside_the_picture_are_the_whole_step(tmp_path: Path) -> None:
    answered = report("step3-afd", "h800")
    data = list(csv.DictReader(save(answered, tmp_path / "s.svg", "0").open()))
    for name, seconds in answered.results[0].time_by_resource_s.items():
        assert sum(float(row["seconds"]) for row in data if row["resource"] == name) == pytest.approx(float(seconds))


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"end the name in .svg, .pdf, .png"):
        waves.save(report("llama3-8b-decode", "h100_sxm"), tmp_path / "a.gif", "0")
    assert not list(tmp_path.iterdir())
