from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
from pathlib import Path

import pytest

from attnsim.errors import UsageError
from attnsim.report.export import flatten, report_csv, to_csv, to_json, write_files, write_text


def test_json_is_sorted_and_ends_in_a_newline() -> None:
    text = to_json({"b": 1, "a": {"d": [1.5, 2], "c": "é"}})
    assert text.endswith("}\n")
    assert text.index('"a"') < text.index('"b"') and text.index('"c"') < text.index('"d"')
    assert json.loads(text) == {"a": {"c": "é", "d": [1.5, 2]}, "b": 1}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_json_cannot_hold_and_names_the_place(bad: float) -> None:
    with pytest.raises(ValueError, match=r"results\[0\]\.bytes\.hbm is "):
        to_json({"results": [{"bytes": {"hbm": bad}}]})


def test_json_keeps_large_integers_exact() -> None:
    assert json.loads(to_json({"flops": 2**70 + 1}))["flops"] == 2**70 + 1


def test_flatten_gives_dotted_names_and_one_cell_a_list() -> None:
    row = flatten({"bytes": {"l2": 2, "hbm": 1}, "assumptions": ["a", "b"], "kernels": [{"name": "k"}], "name": "x"})
    assert row == {"assumptions": "a;b", "bytes.hbm": 1, "bytes.l2": 2, "kernels": '[{"name": "k"}]', "name": "x"}


def test_report_csv_has_one_row_a_result_with_the_names_of_the_json() -> None:
    report = {
        "workload": {"name": "w", "sha256": "0"},
        "arch": {"name": "a", "sha256": "1"},
        "results": [
            {"name": "one", "latency_s": 1.5e-3, "bytes": {"hbm": 7}},
            {"name": "two", "latency_s": 2e-3, "mask": {"kind": "causal, wide"}},
        ],
    }
    rows = list(csv.DictReader(io.StringIO(report_csv(report))))
    assert [row["name"] for row in rows] == ["one", "two"]
    assert rows[0] == {"workload": "w", "arch": "a", "name": "one", "bytes.hbm": "7", "latency_s": "0.0015", "mask.kind": ""}
    assert rows[1]["mask.kind"] == "causal, wide"


def test_csv_numbers_survive_a_round_trip() -> None:
    value = 0.1 + 0.2
    assert float(next(csv.DictReader(io.StringIO(to_csv([{"x": value}]))))["x"]) == value


def test_write_text_replaces_a_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")
    write_text(target, "new é\n")
    assert target.read_text(encoding="utf-8") == "new é\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_a_written_file_has_the_rights_of_an_ordinary_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "ours", "x")
    assert stat.S_IMODE(os.stat(tmp_path / "ours").st_mode) == stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)


def test_a_missing_folder_is_one_clear_error_and_nothing_is_written(tmp_path: Path) -> None:
    good, bad = tmp_path / "a.svg", tmp_path / "missing" / "b.csv"
    with pytest.raises(UsageError, match=r"cannot write '.*b\.csv'") as caught:
        write_files({good: b"1", bad: b"2"})
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_renaming_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError):
        write_files({tmp_path / "folder": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
