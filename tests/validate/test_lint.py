"""Times that cannot be are found, and honest ones are left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from attnsim.validate.lint import LintReport, lint_measurements
from attnsim.validate.measurements import COLUMNS
from attnsim.validate.predict import ArchRef, Prediction

GOOD = "flash-attention-3,forward,bf16,{batch},32,8,{tokens},{tokens},128,128,{causal},,{time}"


def row(time: float, batch: int = 1, tokens: int = 4096, causal: int = 0) -> str:
    return GOOD.format(time=time, batch=batch, tokens=tokens, causal=causal)


def predict(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    return Prediction(1e-3, 100e-6, "tensor")


def lint(tmp_path: Path, *rows: str, header: str = ",".join(COLUMNS)) -> LintReport:
    path = tmp_path / "m.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return lint_measurements(path, "h100_sxm", predict=predict)


def faults(report: LintReport) -> list[tuple[int, str, int | None]]:
    return [(finding.line, finding.fault, finding.other) for finding in report.findings]


def test_an_honest_file_is_clean(tmp_path: Path) -> None:
    report = lint(tmp_path, row(200), row(205), row(390, batch=2), row(700, tokens=8192), row(120, causal=1), row(180, batch=2, causal=1))
    assert report.ok and report.text() == "6 rows on h100_sxm: nothing found"
    assert not lint(tmp_path).ok


def test_rows_below_the_certified_bound(tmp_path: Path) -> None:
    report = lint(tmp_path, row(200, tokens=8192), row(50))
    assert faults(report) == [(3, "faster than physics", None)]
    assert "m.csv:3: faster than physics: flash-attention-3 forward bf16 B1" in report.text() and "0.50 of the certified" in report.text()


def test_repeated_rows_that_disagree(tmp_path: Path) -> None:
    assert faults(lint(tmp_path, row(200), row(219), row(230))) == [(4, "repeated", 2)]


def test_more_work_in_clearly_less_time(tmp_path: Path) -> None:
    rows = row(500), row(390, batch=2), row(800, batch=4), row(450, tokens=8192)
    assert faults(lint(tmp_path, *rows)) == [(3, "not monotonic", 2)]
    rows = row(500, tokens=1024), row(490, tokens=2048), row(300, tokens=4096)
    assert faults(lint(tmp_path, *rows)) == [(4, "not monotonic", 2)]


def test_other_backends_and_ragged_batches_are_not_compared(tmp_path: Path) -> None:
    header = ",".join((*COLUMNS, "backend", "lengths"))
    assert lint(tmp_path, row(500) + ",torch,", row(200) + ",other,", row(200, batch=2) + ",other,", header=header).ok
    ragged = row(200, batch=2) + ",,1;4096"
    assert lint(tmp_path, row(500) + ",,", ragged, header=header).ok
    report = lint(tmp_path, row(500) + ",,", ragged.replace(",4096,4096,", ",2,4096,"), header=header)
    assert report.findings == () and "ragged" in report.unchecked[0][1]


@pytest.mark.parametrize("bad", [row(-5), row(200).replace("bf16", "bf17"), row(200).replace("flash-attention-3", "flash-9")])
def test_bad_rows_are_named(tmp_path: Path, bad: str) -> None:
    report = lint(tmp_path, row(200), bad)
    assert faults(report) == [(3, "bad row", None)] and not report.ok


def test_products_norms_and_collectives(tmp_path: Path) -> None:
    header = "kernel,dtype,m,n,k,operation,devices,bytes,time_us"
    rows = [
        "matmul,bf16,64,4096,4096,,,,400", "matmul,bf16,128,4096,4096,,,,200", "matmul,bf16,128,8192,4096,,,,250",
        "row-norm,bf16,64,4096,,rms-norm,,,300", "row-norm,bf16,128,4096,,rms-norm,,,110", "all-reduce,,,,,,8,1000,60",
        "all-reduce,,,,,,8,2000,20",
    ]  # fmt: skip
    assert faults(lint(tmp_path, *rows, header=header)) == [(3, "not monotonic", 2), (6, "not monotonic", 5), (8, "not monotonic", 7)]


def test_the_command(tmp_path: Path) -> None:
    from attnsim.cli.main import main

    path, out = tmp_path / "m.csv", tmp_path / "out.json"
    path.write_text("\n".join([",".join(COLUMNS), row(500), row(0.1, batch=2)]) + "\n")
    assert main(["-q", "lint-measurements", str(path), "--arch", "h100_sxm", "-o", str(out)][1:]) == 1
    data = json.loads(out.read_text())
    assert data["counts"] == {"faster than physics": 1, "not monotonic": 1} and data["rows"] == 2 and not data["ok"]
    assert main(["lint-measurements", str(path)]) == 2
