"""Cases of measured machines: what is judged, what must be said of a row, and the machines that ship."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from attnsim.errors import SpecError
from attnsim.spec.library import load
from attnsim.validate import run_cases, score_measurements
from attnsim.validate.call import required
from attnsim.validate.cases import CASE, machine_folders
from attnsim.validate.fitted import calibrated_lines
from attnsim.validate.machinecase import MachineScore, arch_of, score_machine
from attnsim.validate.records import any_match, read_csv

HEADER = "kernel,dtype,m,n,k,time_us\n"
SIZES = (1024, 2048, 4096, 8192)
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def times(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """Predicted microseconds of square products on an H100, so that a case may be measured as far off as it likes."""
    file = tmp_path_factory.mktemp("times") / "t.csv"
    file.write_text(HEADER + "".join(f"matmul,bf16,{m},4096,4096,1000\n" for m in SIZES))
    return {m: row.prediction.latency_s * 1e6 for m, row in zip(SIZES, score_measurements(file, "h100_sxm").rows, strict=True)}


@pytest.fixture
def make(tmp_path: Path, times: dict[int, float]) -> Make:
    def made(factors: tuple[float, ...], **fields: Any) -> Path:
        """A case whose rows took `factors` times as long as predicted."""
        rows = "".join(f"matmul,bf16,{m},4096,4096,{times[m] * factor}\n" for m, factor in zip(SIZES, factors, strict=True))
        (tmp_path / "gemm.csv").write_text(HEADER + rows)
        case: dict[str, Any] = {
            "attnsim": 1, "kind": "measured", "name": "toy", "title": "a toy", "source": "made up", "arch": "h100_sxm",
            "files": {"gemm.csv": 4},
        }  # fmt: skip
        (tmp_path / CASE).write_text(json.dumps({**case, **fields}))
        return tmp_path

    return made


def group(folder: Path) -> Any:
    return score_machine(folder).groups[0]


def test_targets_are_about_held_out_rows_only(make: Make) -> None:
    fitted = [{"m": [1024]}]
    target = {"mape": 0.06, "p90": 0.1}
    score = score_machine(make((1.2, 1.05, 1.05, 1.05), fitted=fitted, groups=[{"name": "all", "targets": target}]))
    assert score.ok and score.groups[0].target_met
    assert (score.stats(True).n, score.stats(False).n) == (1, 3)
    assert score.stats(False).mape == pytest.approx(1 - 1 / 1.05)
    assert not group(make((1.2, 1.05, 1.05, 1.05), groups=[{"name": "all", "targets": target}])).target_met
    assert not group(make((1, 1, 1, 1.13), fitted=fitted, groups=[{"name": "all", "targets": {"worst": 0.1}}])).target_met


def test_a_target_without_a_held_out_row_is_not_met(make: Make) -> None:
    folder = make((1, 1, 1, 1), fitted=[{"kernel": "matmul"}], groups=[{"name": "all", "targets": {"mape": 0.5}}])
    assert group(folder).target_met is False and not score_machine(folder).ok


def test_a_misfit_must_be_explained(make: Make) -> None:
    bare = score_machine(make((1, 1, 1, 2)))
    assert not bare.ok and [one.record.values["m"] for one in bare.unexplained] == ["8192"]
    said = score_machine(make((1, 1, 1, 2), explained=[{"where": {"m": 8192}, "reason": "it was hot"}]))
    assert said.ok and not said.unexplained and [one.explanation for one in said.misfits] == ["it was hot"]
    assert score_machine(make((1, 1, 1, 2), fitted=[{"m": 8192}])).ok  # a fitted row is judged by nobody


def test_a_row_below_the_floor_must_be_named(make: Make) -> None:
    assert [one.record.values["m"] for one in score_machine(make((1, 1, 1, 0.2))).broken] == ["8192"]
    named = {"where": {"m": 8192}, "reason": "timed without its output"}
    score = score_machine(make((1, 1, 1, 0.2), below_floor=[named], explained=[dict(named)]))
    assert score.ok and not score.broken


def test_rows_in_no_group_are_skipped_and_fail(make: Make) -> None:
    score = score_machine(make((1, 1, 1, 1), groups=[{"name": "small", "where": {"m": [1024, 2048]}}]))
    assert not score.ok and len(score.skipped) == 2 and "belongs to no group" in score.skipped[0][1].reason
    left_out = [{"where": {"m": [4096, 8192]}, "reason": "another day"}]
    assert score_machine(make((1, 1, 1, 1), groups=[{"name": "small", "where": {"m": [1024, 2048]}}], excluded=left_out)).ok


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"files": {"gemm.csv": 5}}, "says 5 rows, but .* has 4"),
        ({"fitted": [{"m": 7}]}, "matches no row"),
        ({"explained": [{"where": {"m": 7}, "reason": "x"}]}, "matches no row"),
        ({"groups": [{"name": "a"}, {"name": "a"}]}, "two groups are called 'a'"),
        ({"groups": [{"name": "a", "targets": {}}]}, "a target needs mape, p90 or worst"),
        ({"files": {"../gemm.csv": 4}}, "names a CSV file of this folder"),
        ({"arch": "h101"}, "h101"),
    ],
)
def test_mistakes_are_named(make: Make, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        score_machine(make((1, 1, 1, 1), **fields))


def test_the_report_shows_groups_misfits_and_every_row(make: Make) -> None:
    folder = make((1, 1, 1, 2), explained=[{"where": {"m": 8192}, "reason": "it was hot"}])
    report = run_cases([str(folder)])
    text = report.text()
    assert report.ok and "1 of 4 held-out rows, 0 of them unexplained" in text and "1: it was hot" in text
    made = report.to_dict()["machines"][0]
    assert len(made["rows"]) == 4 and made["ok"] is True


SHIPPED = sorted(machine_folders().items())


@pytest.fixture(scope="module")
def scores() -> dict[str, MachineScore]:
    return {score.name: score for score in run_cases([name for name, _ in SHIPPED]).machines}


@pytest.mark.parametrize("name", [name for name, _ in SHIPPED])
def test_shipped_machines_meet_their_targets(scores: dict[str, MachineScore], name: str) -> None:
    score = scores[name]
    missed = [group.group.name for group in score.groups if group.target_met is False]
    assert not missed and not score.skipped and not score.broken and not score.unexplained


@pytest.mark.parametrize(("name", "folder"), SHIPPED)
def test_shipped_files_say_where_they_come_from(name: str, folder: Path) -> None:
    for file in folder.rglob("*.csv"):
        head = file.read_text().split("\n")[:5]
        assert [line.split(":")[0] for line in head] == ["# device", "# driver", "# versions", "# date", "# command"], file
        assert "attnsim measure --device" in head[4]


@pytest.mark.parametrize(("name", "folder"), SHIPPED)
def test_the_machine_and_its_case_name_the_same_fitted_rows(name: str, folder: Path) -> None:
    case = yaml.safe_load((folder / CASE).read_text())
    arch = arch_of(case["arch"], folder)
    record: Any = load("arch", arch).data["calibration"]
    for one in record if isinstance(record, list) else [record]:
        lines = calibrated_lines(arch, folder / one["file"])
        assert lines == {line for some in one["rows"].values() for line in some}, "the file changed since the calibration"
    for file in case["files"] if load("arch", arch).data.get("kernels") else ():  # else constants of schedules for any machine were fitted
        lines = calibrated_lines(arch, folder / file)
        named = {
            row.line
            for row in read_csv(folder / file, required).records
            if any_match({**row.values, "file": file.removesuffix(".csv")}, case["fitted"])
        }
        assert lines == named, file


def test_no_kernel_has_more_than_eight_fitted_constants_on_a_machine() -> None:
    for _, folder in SHIPPED:
        arch = arch_of(yaml.safe_load((folder / CASE).read_text())["arch"], folder)
        kernels: Any = load("arch", arch).data.get("kernels", {})
        for kernel, parts in kernels.items():
            entries = [*parts.get("constants", {}).values(), *parts.get("overlap", {}).get("exposed", {}).values()]
            fitted = [e for entry in entries for e in (entry if isinstance(entry, list) else [entry]) if e["source"].startswith("fitted")]
            assert len(fitted) <= 8, f"{kernel}: {len(fitted)}"
