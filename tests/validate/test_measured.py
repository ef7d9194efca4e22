"""Measured tables that are not shipped: the rows chosen, the sample, both bars, and the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aic_tables import CONTEXT, GENERATION, write

from attnsim.errors import MissingDataError, SpecError
from attnsim.importers import aiconfigurator as aic
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.report.export import to_json
from attnsim.spec.library import find
from attnsim.validate import measured, run_cases
from attnsim.validate.cases import folders, measured_folders
from attnsim.validate.fit import fit_two, roofline_s
from attnsim.validate.predict import ArchRef, Prediction

pytest.importorskip("pyarrow")

CASE = """\
attnsim: 1
kind: measured-tables
name: few
title: A few rows
source: nobody
licence: none
fit_rows: 2
conditions: {launch: graph, cache: warm}
tables:
  - {name: prefill, arch: h100_sxm, phase: prefill, system: h100_sxm, framework: sglang, version: 0.5.14, kernel_sources: [fa3],
     head_dims: [64, 128], schedule: flash-attention-3, targets: {mape: 0.05, rows: held_out}}
  - {name: decode, arch: h100_sxm, phase: decode, system: h100_sxm, framework: sglang, version: 0.5.14, schedule: flash-attention-3}
transfers:
  - {table: decode, schedule: flash-attention-3, fitted_on: H100, baseline: prefill, targets: {mape: 0.05}}
"""
LENGTHS = (1024, 2048, 3072, 4096, 6144, 8192)


def predict(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    keys = workload["sizes"]["M"]
    return Prediction(keys * 1e-7, keys * 0.4e-7, "tensor")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prefill = [{**CONTEXT, "isl": n, "latency": n * 1e-4} for n in LENGTHS]
    others = [{"kernel_source": "triton"}, {"attn_dtype": "fp8"}, {"kv_cache_dtype": "fp8"}, {"window_size": 128}, {"head_dim": 256}]
    write(tmp_path / "data", "context_attention", [*prefill, prefill[0], *({**CONTEXT, **other} for other in others)])
    write(tmp_path / "data", "generation_attention", [{**GENERATION, "step": n - 1, "latency": n * 1.25e-4} for n in LENGTHS])
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "few").mkdir()
    (tmp_path / "few/measured.yaml").write_text(CASE)
    return tmp_path / "few"


def test_rows_are_split_scored_and_counted(data: Path, folder: Path) -> None:
    score = measured.score_measured(folder, data, predict=predict)
    prefill, decode = score.tables
    assert (prefill.stats(True).n, prefill.stats().n, prefill.of, prefill.repeats) == (2, 4, 4, 1)
    assert prefill.stats().mape == pytest.approx(0) and decode.stats().bias == pytest.approx(-0.2)
    floors = [roofline_s(row.call, "h100_sxm") / row.call.time_s for row in prefill.rows if not row.fitted]
    assert prefill.roofline().mape == pytest.approx(1 - sum(floors) / 4)
    assert 0 < (decode.two_parameters().mape or 1) < 0.02  # linear in the keys but for Q and the output
    assert sum(prefill.left_out.values()) == 5 and {"sliding window", "fp8 cache", "another number format"} < set(prefill.left_out)
    assert prefill.ok and prefill.target_met and decode.ok and decode.target_met is None


def test_a_schedule_from_elsewhere_holds_every_row_out_beside_the_parameters_of_another_table(data: Path, folder: Path) -> None:
    score = measured.score_measured(folder, data, predict=predict)
    (moved,) = score.transfers
    assert moved.stats().n == 6 and moved.stats(True).n == 0 and moved.two == score.tables[0].two
    assert moved.target_met is False and not moved.ok and not score.ok


def test_the_sample_depends_on_nothing_but_the_sizes(data: Path, folder: Path) -> None:
    spec = measured.load_measured(folder)
    calls, _ = measured.select(data, spec.tables[0])
    other, _ = measured.select(data, spec.tables[0].model_copy(update={"phase": "prefill"}))
    assert calls == other == sorted(reversed(calls), key=measured.order)
    brief = measured.score_measured(folder, data, sample=1, predict=predict)
    whole = measured.score_measured(folder, data, predict=predict)
    assert brief.tables[0].rows == whole.tables[0].rows[:3]


def test_every_row_is_asked_as_it_was_measured(data: Path, folder: Path) -> None:
    asked: list[Mapping[str, Any]] = []

    def spy(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
        asked.append(workload)
        return predict(workload, arch)

    measured.score_measured(folder, data, predict=spy, only=("prefill",))
    assert {w["sizes"]["P"] for w in asked} == set(LENGTHS) and all(w["mask"] == {"kind": "causal"} for w in asked)
    asked.clear()
    measured.score_measured(folder, data, predict=spy, only=("decode",))
    first = asked[0]
    assert first["sizes"]["P"] == 1 and first["mask"] == {"kind": "dense"} and first["schedule"] == "flash-attention-3"
    assert first["conditions"] == {"launch": "graph", "cache": "warm"}
    call = aic.Call("fa3", 1, 8, 8, 1, 4096, 128, 128, 128, "bf16", "bf16", 1e-5)
    assert measured.question(call, "fa", "attention-1pass", {})["mask"] == {"kind": "window", "left": 127, "right": 0}


def test_processes_give_what_this_one_gives(data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = measured.score_measured(folder, data, only=("decode",))
    monkeypatch.setattr(measured, "ALONE", 0)
    monkeypatch.setattr(measured, "CHUNK", 4)
    seen: list[tuple[str, int, int]] = []
    spread = measured.score_measured(folder, data, only=("decode",), progress=lambda *line: seen.append(line))
    assert spread.tables == alone.tables and seen == [("decode", 4, 6), ("decode", 6, 6)]


def test_a_refused_row_and_one_below_the_floor_fail_the_table(data: Path, folder: Path) -> None:
    refused = measured.score_measured(folder, data, predict=refuse, only=("prefill",)).tables[0]
    assert dict(refused.failures) == {"not here": 1} and not refused.ok
    below = measured.score_measured(folder, data, predict=lambda w, a: Prediction(1, 1), only=("prefill",)).tables[0]
    assert below.stats(None).below_floor == 6 and not below.ok


def refuse(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    if workload["sizes"]["M"] == LENGTHS[0]:
        raise SpecError("not here")
    return predict(workload, arch)


def test_the_report_in_text_and_json(data: Path, folder: Path) -> None:
    report = run_cases([str(folder)], data=data, predict=predict)
    text = report.text()
    assert "few: A few rows" in text and "2 parameters" in text and "fitted on" in text and "1 rows say a key again" in text
    made = json.loads(to_json(report.to_dict()))["measured"][0]
    assert made["tables"][0]["held_out"]["n"] == 4 and len(made["tables"][0]["rows"]) == 6
    assert made["tables"][0]["baselines"]["two_parameters"]["efficiency"] == score_of(report).two.efficiency


def score_of(report: Any) -> Any:
    return report.measured[0].tables[0]


def test_missing_tables_fail_a_named_case_and_are_a_note_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(aic.VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDataError, match="pip install"):
        run_cases([str(folder)])
    monkeypatch.setattr("attnsim.validate.scoring.folders", dict)
    monkeypatch.setattr("attnsim.validate.scoring.table_folders", dict)
    monkeypatch.setattr("attnsim.validate.scoring.machine_folders", dict)
    report = run_cases()
    assert report.ok and report.notes and report.notes[0].startswith("aiconfigurator is not scored") and report.notes[0] in report.text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("baseline: prefill", "baseline: prefil", "no table is called 'prefil'"),
        ("name: decode", "name: prefill", "two tables have one name"),
    ],
)
def test_a_faulty_case_is_named_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    file = folder / "measured.yaml"
    file.write_text(CASE.replace(old, new, 1))
    with pytest.raises(SpecError, match=said):
        measured.load_measured(folder)


def test_the_shipped_case_names_schedules_and_machines_of_the_library() -> None:
    shipped = measured_folders()["aiconfigurator"]
    spec = measured.load_measured(shipped)
    assert spec.name == shipped.name and "Apache-2.0" in spec.licence and (shipped / "README.md").is_file()
    assert {(t.arch, t.phase) for t in spec.tables if t.targets} == {
        (arch, phase) for arch in ("a100_sxm_80gb", "h100_sxm", "h200", "b200") for phase in ("prefill", "decode")
    }
    for table in spec.tables:
        assert find("arch", table.arch) and (not isinstance(table.schedule, str) or find("schedule", table.schedule))
        assert aic.kernel_map().machines[table.system] == table.arch
    assert shipped.name not in folders()


def test_the_roofline_by_hand() -> None:
    machine = load_machine("h100_sxm")
    assert isinstance(machine, Machine)
    prefill = aic.Call("fa3", 2, 32, 8, 4096, 4096, 192, 128, 0, "bf16", "bf16", 1)
    assert roofline_s(prefill, "h100_sxm") == pytest.approx(2 * 2 * 32 * (4096 * 4097 / 2) * 320 / machine.peak_flops("bf16"))
    decode = aic.Call("fa3", 64, 32, 8, 1, 8192, 128, 128, 0, "bf16", "fp8", 1)
    assert roofline_s(decode, "h100_sxm") == pytest.approx(64 * 256 * (32 * 2 + 8 * 8192) / machine.memory.bandwidth)


def test_two_parameters_are_found_again_and_outliers_do_not_move_them() -> None:
    floors = [1e-6 * 1.5**step for step in range(20)]
    pairs = [(floor, floor / 0.5 + 12e-6) for floor in floors]
    fit = fit_two(pairs)
    assert fit is not None and (fit.efficiency, fit.overhead_s) == (0.5, pytest.approx(12e-6))
    assert fit_two([*pairs, (1e-3, 1.0)]) == fit and fit_two([]) is None
