"""Every shipped case against the engine itself: targets, floors, and rows that must have a prediction."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnsim.validate import ValidationReport, run_cases, score_measurements
from attnsim.validate.cases import folders
from attnsim.validate.measurements import COLUMNS
from attnsim.validate.scoring import CaseScore

NAMES = list(folders())


@pytest.fixture(scope="module")
def report() -> ValidationReport:
    return run_cases(verbose=True)


@pytest.fixture(scope="module")
def scores(report: ValidationReport) -> dict[str, CaseScore]:
    return {case.name: case for case in report.cases}


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_a_prediction(name: str, scores: dict[str, CaseScore]) -> None:
    assert [(f.point.record.line, f.reason) for group in scores[name].groups for f in group.failures] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_prediction_beats_its_own_floor(name: str, scores: dict[str, CaseScore]) -> None:
    for p in scores[name].points:
        assert 0 < p.prediction.lower_bound_s <= p.prediction.latency_s, p.point.record.line


@pytest.mark.parametrize("name", NAMES)
def test_no_measurement_beats_the_floor_without_a_reason(name: str, scores: dict[str, CaseScore]) -> None:
    assert [p.point.record.line for group in scores[name].groups for p in group.unexplained] == []


@pytest.mark.parametrize("name", NAMES)
def test_targets_are_met(name: str, scores: dict[str, CaseScore]) -> None:
    missed = [(g.group.name, g.target, g.stats().to_dict(), g.stats(False).to_dict()) for g in scores[name].groups if g.target_met is False]
    assert missed == []


def test_reasons_for_floor_breaks_name_rows_that_do_break_it(scores: dict[str, CaseScore]) -> None:
    stale = [
        (name, p.point.record.line) for name, case in scores.items() for p in case.points if p.point.floor_reason and not p.below_floor
    ]
    assert stale == []


def test_the_report_can_be_written_both_ways(report: ValidationReport) -> None:
    import json

    shown = report.text()
    assert all(name in shown for name in NAMES)
    assert len(json.loads(json.dumps(report.to_dict(), allow_nan=False))["cases"]) == len(NAMES)


def test_measurements_of_real_kernels_are_scored(tmp_path: Path) -> None:
    rows = [
        "flash-attention-3,forward,bf16,1,32,32,8192,8192,128,128,1,,1025",
        "flash-attention-3,forward,bf16,1,32,8,4096,4096,128,128,0,,430",
        "fa3,backward,bf16,1,32,8,4096,4096,128,128,0,,1500",
        "flash-attention-3,forward,bf16,1,32,8,8192,8192,128,128,1,1023,300",
        "no-such-kernel,forward,bf16,1,32,8,4096,4096,128,128,0,,430",
        "flash-attention-3,forward,fp4,1,32,8,4096,4096,128,128,0,,430",
    ]
    path = tmp_path / "m.csv"
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    report = score_measurements(path, "h100_sxm")
    assert [row.line for row in report.rows] == [2, 3, 4, 5] and [row.line for row in report.skipped] == [6, 7]
    assert "no-such-kernel" in report.skipped[0].reason and "fp4" in report.skipped[1].reason
    assert all(row.prediction.bound for row in report.rows)
    full, windowed = report.rows[0], report.rows[3]
    assert windowed.prediction.latency_s < full.prediction.latency_s / 2
