"""Figures that notebooks show: the same picture as the command line's, as SVG, saved whole."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import attnsim
import attnsim.report
from attnsim import __version__
from attnsim.errors import UsageError
from attnsim.report import figures
from attnsim.report.roofline.charts import charts
from attnsim.report.roofline.figure import render
from attnsim.validate import run_cases, score_measurements

SMALL: dict[str, Any] = {"sizes": {"P": 512, "M": 512}}


def test_a_roofline_is_that_of_the_command_line(tmp_path: Path) -> None:
    reports = [attnsim.run(name, "h100_sxm") for name in ("llama3-8b-prefill", "llama3-8b-decode")]
    shown = figures.roofline(*reports)
    assert shown.render("svg") == render(charts(reports), "svg", __version__)
    assert shown.save(tmp_path / "a.svg").read_bytes() == shown.render("svg")
    assert ET.fromstring(shown._repr_svg_()).tag.endswith("svg")
    with pytest.raises(UsageError, match=r"end the name in .svg, .pdf, .png"):
        shown.save(tmp_path / "a.gif")


def test_masks_in_tiles_of_a_schedule_of_the_user_or_of_nobody() -> None:
    of_schedule = figures.mask_picture("llama3-8b-prefill", "h100_sxm", **SMALL)
    assert of_schedule.schedule == "flash-attention-3" and of_schedule.panels[0].map.rows.tile == 128
    changed = figures.mask_picture("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-2", **SMALL)
    assert changed.schedule == "flash-attention-2"
    named = figures.mask_picture("llama3-8b-prefill", tiles=(128, 32), mask={"kind": "window", "left": 99, "right": 0}, **SMALL)
    assert named.panels[0].map.columns.tile == 32 and "window" in named.panels[0].map.mask.describe()
    assert figures.mask_picture("llama3-8b-prefill", sets=["sizes.P=256", "sizes.M=256"]).panels[0].map.rows.tile == 64
    assert "<svg" in figures.mask("llama3-8b-prefill", **SMALL)._repr_svg_()
    with pytest.raises(UsageError, match="a schedule needs a machine to run on; without one, give tiles"):
        figures.mask_picture("llama3-8b-prefill", schedule="flash-attention-2")
    with pytest.raises(UsageError, match="'fusemax-bert-encoder' is a layer of several kernels"):
        figures.mask_picture("fusemax-bert-encoder", "fusemax_cloud")


def test_an_epoch_is_of_pe_arrays_alone() -> None:
    shown = figures.epoch(attnsim.run("fusemax-bert-attention", "fusemax_cloud"))
    assert "<svg" in shown._repr_svg_() and shown._repr_svg_() == shown._repr_svg_()
    with pytest.raises(UsageError, match="h100_sxm has no PE arrays; an epoch is drawn of machines such as fusemax_cloud"):
        figures.epoch(attnsim.run("llama3-8b-prefill", "h100_sxm"))


def test_scatters_of_cases_and_of_a_file_and_a_front(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,head_dim_v,causal,window,time_us\n"
        "sdpa-flash,forward,bf16,4,32,8,4096,4096,128,128,true,,1650\n",
        encoding="utf-8",
    )
    assert "<svg" in figures.scatter(score_measurements(file, "h200"))._repr_svg_()
    assert "<svg" in figures.scatter(run_cases(["fa3-h100-backward"]))._repr_svg_()
    table = attnsim.sweep("llama3-8b-prefill", "h100_sxm", vary={"arch": ["h100_sxm", "b200", "a100_sxm_80gb"]})
    assert "<svg" in figures.front(attnsim.pareto(table, minimize=["latency_s", "energy_j"]))._repr_svg_()


def test_figures_of_ones_own_are_shown_too() -> None:
    from matplotlib.figure import Figure

    own = Figure(figsize=(1, 1))
    assert "<svg" in attnsim.report.show(own)._repr_svg_()
    assert attnsim.report.show(lambda: Figure(figsize=(1, 1))).render("png").startswith(b"\x89PNG")
    with pytest.raises(AttributeError, match="module 'attnsim.report' has no attribute 'shew'"):
        _ = attnsim.report.shew


def test_published_tables_are_found_by_name() -> None:
    paper = run_cases(["fusemax"]).tables[0]
    assert paper.mean("speedup over FLAT").value == pytest.approx(6.7226, rel=1e-3)
    values = paper.check("attention", "binding", "latency_s").values
    assert values[0].row["model"] == "BERT" and float(values[0].published) == pytest.approx(values[0].predicted)
    with pytest.raises(UsageError, match="fusemax has no mean 'speedup over FLATT'; did you mean 'speedup over FLAT'"):
        paper.mean("speedup over FLATT")
    with pytest.raises(UsageError, match="fusemax scores no 'attention', 'binding', 'latency'; it has attention, flat, latency_s; "):
        paper.check("attention", "binding", "latency")
