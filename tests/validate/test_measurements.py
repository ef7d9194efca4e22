"""A user's own timings: good rows are scored, every bad one is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from attnsim.errors import ChecksError, InfeasibleError, SpecError
from attnsim.validate import MeasurementReport, score_measurements
from attnsim.validate.measurements import COLUMNS
from attnsim.validate.predict import ArchRef, Prediction

HEADER = ",".join(COLUMNS)
GOOD = "kernel-a,forward,bf16,1,32,8,4096,4096,128,128,0,,430"


@pytest.fixture(autouse=True)
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine `toy` and two schedules, one of them with an alias and a cascade of its own."""
    schedules, archs = tmp_path / "lib/workloads/schedules", tmp_path / "lib/arch_specs/gpu"
    schedules.mkdir(parents=True)
    archs.mkdir(parents=True)
    (archs / "toy.yaml").write_text("attnsim: 1\nkind: gpu\nname: toy\n")
    (schedules / "kernel-a.yaml").write_text("attnsim: 1\nkind: schedule\nname: kernel-a\naliases: [ka]\ncascade: attention-1pass\n")
    (schedules / "kernel-b.yaml").write_text("attnsim: 1\nkind: schedule\nname: kernel-b\ncascade: attention-3pass\n")
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path / "lib"))


def predict(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
    return Prediction(400e-6, 100e-6, "tensor")


def score(tmp_path: Path, *rows: str, header: str = HEADER, using: Any = predict) -> MeasurementReport:
    path = tmp_path / "m.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return score_measurements(path, "toy", predict=using)


def asked(tmp_path: Path, row: str) -> Mapping[str, Any]:
    seen: list[Mapping[str, Any]] = []

    def spy(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
        seen.append(workload)
        return predict(workload, arch)

    assert not score(tmp_path, row, using=spy).skipped
    return seen[0]


def test_the_contract(tmp_path: Path) -> None:
    d = score(tmp_path, GOOD, "no-such-kernel,forward,bf16,1,32,8,4096,4096,128,128,0,,430", GOOD.replace("430", "-3")).to_dict()
    assert d["summary"]["n"] == 1 and d["summary"]["skipped"] == 2
    assert {"mape", "median", "p90", "max", "below_floor"} <= set(d["summary"]) and set(d["by_kernel"]) == {"kernel-a"}
    (row,) = d["rows"]
    assert row["error"] == pytest.approx(400 / 430 - 1)
    assert row["predicted_us"] == pytest.approx(400) and row["lower_bound_us"] == pytest.approx(100)
    assert [s["line"] for s in d["skipped"]] == [3, 4]
    assert json.loads(json.dumps(d, allow_nan=False)) == d


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("kernel-a", "kernel-z", "kernel: unknown schedule 'kernel-z'"),
        ("kernel-a", "", "kernel is empty"),
        ("forward", "sideways", "direction is 'sideways'"),
        ("bf16", "bf17", "dtype is 'bf17'"),
        (",1,32,", ",0,32,", "batch is '0'"),
        (",32,8,", ",32,5,", "32 is not a multiple of heads_kv 5"),
        ("4096,4096", "4096.5,4096", "seqlen_q is '4096.5'"),
        (",0,,", ",2,,", "causal is '2'"),
        (",0,,", ",0,-1,", "window is '-1'"),
        ("430", "0", "time_us is '0'"),
        ("430", "-430", "time_us is '-430'"),
        ("430", "nan", "time_us is 'nan'"),
        ("430", "inf", "time_us is 'inf'"),
        ("430", "0.43 ms", "time_us is '0.43 ms'"),
        ("430", "", "time_us is ''"),
        (",430", "", "12 fields where the header has 13"),
    ],
)
def test_every_bad_row_is_named_with_its_line_and_the_good_ones_are_scored(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in GOOD
    report = score(tmp_path, GOOD, GOOD.replace(old, new, 1), GOOD)
    assert [row.line for row in report.rows] == [2, 4] and not report.ok
    (skipped,) = report.skipped
    assert skipped.line == 3 and reason in skipped.reason
    assert f"m.csv:3: {skipped.reason}" in report.text()


def test_a_row_the_machine_cannot_run_is_skipped_with_its_words(tmp_path: Path) -> None:
    def refuse(workload: Mapping[str, Any], arch: ArchRef) -> Prediction:
        if workload["dtype"] == "fp8":
            raise InfeasibleError("toy cannot compute in fp8")
        return predict(workload, arch)

    report = score(tmp_path, GOOD, GOOD.replace("bf16", "fp8"), using=refuse)
    assert [s.reason for s in report.skipped] == ["toy cannot compute in fp8"] and len(report.rows) == 1


def test_aliases_and_spellings_are_one_kernel(tmp_path: Path) -> None:
    report = score(tmp_path, *(GOOD.replace("kernel-a", name) for name in ("kernel-a", "ka", "Kernel_A", "kernel-b")))
    assert report.kernels == ("kernel-a", "kernel-b") and report.stats("kernel-a").n == 3 and report.stats().n == 4


def test_the_workload_follows_the_row(tmp_path: Path) -> None:
    made = asked(tmp_path, "kernel-b,fwd,float16,2,32,8,16,4096,192,128,1,,430")
    assert made["sizes"] == {"B": 2, "H": 32, "G": 8, "P": 16, "M": 4096, "E": 192, "F": 128}
    assert (made["schedule"], made["cascade"], made["dtype"], made["mask"]) == ("kernel-b", "attention-3pass", "fp16", {"kind": "causal"})
    assert asked(tmp_path, GOOD)["mask"] == {"kind": "dense"}
    assert asked(tmp_path, GOOD.replace("forward", "bwd"))["cascade"] == "attention-backward"


def test_windows_look_left_and_without_causal_to_both_sides(tmp_path: Path) -> None:
    assert asked(tmp_path, GOOD.replace(",0,,", ",1,1023,"))["mask"] == {"kind": "window", "left": 1023, "right": 0}
    assert asked(tmp_path, GOOD.replace(",0,,", ",0,128,"))["mask"] == {"kind": "window", "left": 128, "right": 128}


def test_rows_below_the_floor_are_counted_and_named(tmp_path: Path) -> None:
    report = score(tmp_path, GOOD.replace("430", "90"))
    assert report.stats().below_floor == 1 and not report.ok and "below the certified lower bound" in report.text()


def test_comments_other_columns_and_column_order_do_not_matter(tmp_path: Path) -> None:
    names = ["note", *reversed(COLUMNS)]
    row = ",".join(["x", *reversed(GOOD.split(","))])
    report = score(tmp_path, "# GPU at 1.5 GHz", row, header="# measured by hand\n" + ",".join(names))
    assert [r.line for r in report.rows] == [4] and report.ok


def test_an_empty_table_is_no_success(tmp_path: Path) -> None:
    report = score(tmp_path)
    assert not report.ok and report.to_dict()["summary"]["n"] == 0 and "0 rows scored" in report.text()


def test_missing_columns_and_machines_are_errors_of_the_whole_file(tmp_path: Path) -> None:
    with pytest.raises(ChecksError, match="column 'window' is missing") as raised:
        score(tmp_path, GOOD, header=HEADER.replace(",window", ""))
    assert raised.value.exit_code == 1
    (tmp_path / "m.csv").write_text(HEADER + "\n" + GOOD + "\n")
    with pytest.raises(SpecError, match="toz"):
        score_measurements(tmp_path / "m.csv", "toz", predict=predict)
    with pytest.raises(SpecError, match="no such file"):
        score_measurements(tmp_path / "none.csv", "toy", predict=predict)


def test_the_text_shows_the_worst_rows_first(tmp_path: Path) -> None:
    rows = [GOOD.replace("430", str(t)) for t in (410, 900, 500)]
    text = score(tmp_path, *rows).text()
    assert text.index("900.0") < text.index("500.0") < text.index("410.0")
