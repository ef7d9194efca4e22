"""Scores, verdicts and reports of cases, with predictions that are exactly known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from attnsim.errors import InfeasibleError
from attnsim.validate import ValidationReport, run_cases
from attnsim.validate.predict import ArchRef, Prediction


def predictor(rate: float, floor_rate: float = 989e12):
    """A machine that runs everything at `rate` FLOP/s and could run it at `floor_rate`."""

    def predict(workload: Mapping[str, Any], arch: ArchRef) -> tuple[float, float]:
        s = workload["sizes"]
        flops = 2 * s["B"] * s["H"] * s["P"] * s["M"] * (s["E"] + s["F"]) / (2 if workload["mask"]["kind"] == "causal" else 1)
        return flops / rate, flops / floor_rate

    return predict


def run(folder: Path, rate: float = 400e12, floor_rate: float = 989e12, **options: Any) -> ValidationReport:
    return run_cases([str(folder)], predict=predictor(rate, floor_rate), **options)


def test_errors_are_signed_in_time(case_folder: Path) -> None:
    errors = [p.error for p in run(case_folder).cases[0].points]
    # measured 400, 200, 500 TFLOP/s, predicted 400: exact, half the time too short, a quarter too long
    assert errors == pytest.approx([0.0, -0.5, 0.25])


def test_fitted_and_held_out_rows_are_scored_apart(case_folder: Path) -> None:
    report = run(case_folder)
    assert report.stats().mape == pytest.approx(0.25)
    assert report.stats(True).n == 1 and report.stats(True).mape == pytest.approx(0.0, abs=1e-12)
    assert report.stats(False).n == 2 and report.stats(False).mape == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ("{mape: 0.26}", True),
        ("{mape: 0.24}", False),
        ("{mape: 0.26, rows: held_out}", False),
        ("{mape: 0.38, rows: held_out}", True),
        ("{worst: 0.51}", True),
        ("{worst: 0.49}", False),
        ("{mape: 0.26, worst: 0.49}", False),
    ],
)
def test_a_target_is_met_or_the_case_fails(case_folder: Path, target: str, met: bool) -> None:
    path = case_folder / "case.yaml"
    path.write_text(path.read_text().replace("{mape: 0.10}", target))
    report = run(case_folder)
    assert report.ok is met and report.cases[0].groups[0].target_met is met
    assert ("FAILS" in report.text()) is not met


def test_a_held_out_target_without_held_out_rows_is_not_met(case_folder: Path) -> None:
    path = case_folder / "case.yaml"
    text = path.read_text().replace("{mape: 0.10}", "{mape: 0.9, rows: held_out}")
    path.write_text(text.replace("{causal: false, head_dim: 64}", "{kernel: A}"))
    assert run(case_folder).cases[0].groups[0].target_met is False


def test_without_a_target_the_floor_still_counts(case_folder: Path) -> None:
    path = case_folder / "case.yaml"
    path.write_text(path.read_text().replace("targets: {mape: 0.10}\n", ""))
    assert run(case_folder).ok
    broken = run(case_folder, floor_rate=450e12)
    assert not broken.ok and [p.below_floor for p in broken.cases[0].points] == [False, False, True]
    assert "line 4 (B1 H2 S512 d128 dense) measured at 0.90 of the lower bound: no reason known" in broken.text()
    path.write_text(path.read_text() + "below_floor:\n  - {where: {head_dim: 128}, reason: boost clock}\n")
    explained = run(case_folder, floor_rate=450e12)
    assert explained.ok and explained.stats().below_floor == 1 and "boost clock" in explained.text()


def test_a_row_the_engine_refuses_is_named_and_fails_the_case(case_folder: Path) -> None:
    def predict(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
        if workload["sizes"]["E"] == 128:
            raise InfeasibleError("the tile does not fit")
        return Prediction(1.0, 1e-9, "tensor")

    report = run_cases([str(case_folder)], predict=predict)
    case = report.to_dict()["cases"][0]
    assert not report.ok and case["groups"][0]["all"]["n"] == 2
    assert [(f["line"], f["reason"]) for f in case["failed"]] == [(4, "the tile does not fit")]
    assert "no prediction for 1 of its rows: the tile does not fit" in report.text()


def test_a_bug_in_the_engine_is_not_swallowed(case_folder: Path) -> None:
    def predict(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_cases([str(case_folder)], predict=predict)


def test_the_engine_gets_the_machine_and_the_conditions_of_the_case(case_folder: Path) -> None:
    path = case_folder / "case.yaml"
    changes = "arch_overrides: {levels.hbm.bandwidth: 4 TB/s}\nconditions: {tensor_clock: 1830 MHz, power_limit: false, launch: none}\n"
    path.write_text(path.read_text() + changes)
    seen: list[tuple[Mapping[str, Any], ArchRef]] = []

    def predict(workload: Mapping[str, Any], arch: ArchRef) -> tuple[float, float]:
        seen.append((workload, arch))
        return 1.0, 1e-9

    run_cases([str(case_folder)], predict=predict)
    assert seen[0][0]["conditions"] == {"tensor_clock": "1830000000.0 Hz", "power_limit": False, "launch": "none"}
    assert seen[0][1] == {"extends": "h100_sxm", "levels": {"hbm": {"bandwidth": "4 TB/s"}}}


def test_json_has_no_nan_and_names_the_sets(case_folder: Path) -> None:
    text = json.dumps(run(case_folder).to_dict(), allow_nan=False)
    rows = json.loads(text)["cases"][0]["rows"]
    assert [r["set"] for r in rows] == ["fitted", "held_out", "held_out"]
    promised = {"line", "sizes", "measured_s", "predicted_s", "lower_bound_s", "error", "below_floor", "provenance"}
    assert all(promised <= set(r) for r in rows)


def test_details_are_for_named_cases_and_for_verbose(case_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnsim.validate.scoring.folders", lambda: {"small": case_folder})
    monkeypatch.setattr("attnsim.validate.scoring.machine_folders", dict)
    brief, full = run_cases(predict=predictor(4e14)), run_cases(verbose=True, predict=predictor(4e14))
    assert "rows" not in brief.to_dict()["cases"][0] and "held out" in brief.text() and "TFLOP/s" not in brief.text()
    assert len(full.to_dict()["cases"][0]["rows"]) == 3 and "400.0 TFLOP/s" in full.text()
    assert repr(brief) == brief.text()


def test_the_same_case_named_twice_is_run_once(case_folder: Path) -> None:
    assert len(run_cases([str(case_folder), str(case_folder / "case.yaml")], predict=predictor(4e14)).cases) == 1


def test_a_ceiling_is_scored_against_the_machine_and_kept_out_of_the_kernel_summary(case_folder: Path) -> None:
    path = case_folder / "case.yaml"
    path.write_text(path.read_text().replace("kind: case", "kind: ceiling"))
    report = run_cases([str(case_folder)], ceiling=lambda arch, dtype: (400e12, 450e12))
    assert [p.error for p in report.cases[0].points] == pytest.approx([0.0, -0.5, 0.25])
    assert [p.below_floor for p in report.cases[0].points] == [False, False, True]
    assert report.stats().n == 0 and "H100 A fp16" in report.text()
