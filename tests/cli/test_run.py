from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

import attnsim

GOOD = """\
attnsim: 1
kind: kernel
name: small
cascade: attention-1pass
sizes: {B: 1, H: 8, G: 8, P: 1024, M: 1024, E: 64, F: 64}
dtype: bf16
mask: {kind: causal}
schedule: flash-attention-2
"""


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "w.yaml"
    path.write_text(GOOD)
    return path


def test_text_is_the_repr_of_the_report(workload: Path, call: Any) -> None:
    done = call("run", str(workload), "a100_sxm_80gb")
    assert done.code == 0 and done.err == ""
    assert done.out == repr(attnsim.run(str(workload), "a100_sxm_80gb")) + "\n"


def test_json_is_the_dict_of_the_report(workload: Path, call: Any) -> None:
    data = json.loads(call("run", str(workload), "a100_sxm_80gb", "--format", "json").out)
    assert data == json.loads(json.dumps(attnsim.run(str(workload), "a100_sxm_80gb").to_dict()))
    assert data["schema"] == 1 and list(data) == sorted(data)


def test_csv_is_one_row_with_the_same_names(workload: Path, call: Any) -> None:
    (row,) = csv.DictReader(io.StringIO(call("run", str(workload), "a100_sxm_80gb", "--format", "csv").out))
    result = attnsim.run(str(workload), "a100_sxm_80gb").to_dict()["results"][0]
    assert row["arch"] == "a100_sxm_80gb" and row["schedule"] == result["schedule"]
    assert float(row["latency_s"]) == result["latency_s"] and float(row["bytes.hbm"]) == result["bytes"]["hbm"]


def test_set_changes_the_answer_and_may_be_repeated(workload: Path, call: Any) -> None:
    def latency(*args: str) -> float:
        value: float = json.loads(call("run", str(workload), "a100_sxm_80gb", "--format", "json", *args).out)["results"][0]["latency_s"]
        return value

    once = latency("--set", "sizes.M=8192", "--set", "sizes.P=8192")
    assert once > 10 * latency()
    direct = attnsim.run(str(workload), "a100_sxm_80gb", sizes={"M": 8192, "P": 8192}).results[0].latency_s
    assert math.isclose(once, direct, rel_tol=1e-12)


def test_the_schedule_option_wins_over_the_file(workload: Path, call: Any) -> None:
    data = json.loads(call("run", str(workload), "h100_sxm", "--schedule", "flash-attention-3", "--format", "json").out)
    assert data["results"][0]["schedule"] == "flash-attention-3"


@pytest.mark.parametrize("ending", ["json", "csv", "txt"])
def test_the_ending_of_the_output_file_decides_the_format(ending: str, workload: Path, call: Any, tmp_path: Path) -> None:
    target = tmp_path / f"out.{ending}"
    done = call("run", str(workload), "a100_sxm_80gb", "-o", str(target))
    assert done.code == 0 and done.out == "" and done.err == f"wrote {target}\n"
    format_ = "text" if ending == "txt" else ending
    assert target.read_text() == call("run", str(workload), "a100_sxm_80gb", "--format", format_).out


def test_quiet_says_nothing(workload: Path, call: Any, tmp_path: Path) -> None:
    assert call("run", str(workload), "a100_sxm_80gb", "-q", "-o", str(tmp_path / "x.json")).err == ""


def test_a_dash_is_stdout(workload: Path, call: Any) -> None:
    assert call("run", str(workload), "a100_sxm_80gb", "-o", "-").out.startswith("small on a100_sxm_80gb")


@pytest.mark.parametrize("target", ["missing/out.json", "folder", "w.yaml/out.json"])
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    target: str, workload: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setitem(vars(attnsim), "run", lambda *_a, **_k: pytest.fail("the work was done first"))
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = call("run", str(workload), "a100_sxm_80gb", "-o", str(tmp_path / target))
    assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1 and "cannot write" in done.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


BAD = {
    "unknown field": (GOOD + "sheduel: naive\n", "did you mean 'schedule'?"),
    "duplicate key": (GOOD + "dtype: fp16\n", "dtype"),
    "negative size": (GOOD.replace("P: 1024", "P: -1"), "sizes.P"),
    "zero size": (GOOD.replace("P: 1024", "P: 0"), "sizes.P"),
    "missing size": (GOOD.replace("E: 64, ", ""), "E"),
    "empty file": ("", ""),
    "bad mask": (GOOD.replace("causal", "casual"), "causal"),
    "bad dtype": (GOOD.replace("bf16", "bf17"), "bf16"),
    "bad cascade": (GOOD.replace("attention-1pass", "attention-9pass"), "attention-"),
    "not yaml": ("sizes: [1, 2", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_by_file_and_line_and_exits_3(name: str, call: Any, tmp_path: Path) -> None:
    text, says = BAD[name]
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    done = call("run", str(path), "a100_sxm_80gb", "-o", str(tmp_path / "out.json"))
    assert done.code == 3 and done.out == "" and "Traceback" not in done.err
    assert all(line.startswith(str(path)) for line in done.err.splitlines()) and says in done.err
    assert not (tmp_path / "out.json").exists()


def test_all_errors_of_a_file_come_in_one_run(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace("P: 1024", "P: -1").replace("bf16", "bf17") + "sheduel: naive\n")
    lines = call("run", str(path), "a100_sxm_80gb").err.splitlines()
    assert [line.split(":")[1] for line in lines] == ["5", "6", "9"]


@pytest.mark.parametrize("content", [bytes(range(256)) * 20, b"\xff\xfe\x00", None])
def test_binary_and_missing_files_are_refused(content: bytes | None, call: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    if content is not None:
        path.write_bytes(content)
    done = call("run", str(path), "a100_sxm_80gb")
    assert done.code in (2, 3) and done.out == "" and len(done.err.splitlines()) == 1 and "w.yaml" in done.err


def test_unknown_names_get_a_suggestion(workload: Path, call: Any) -> None:
    assert "did you mean 'h100_sxm'?" in call("run", str(workload), "h100_smx").err
    assert "did you mean 'llama3-8b-prefill'?" in call("run", "llama3-8b-prefil", "h100_sxm").err


def test_what_the_machine_cannot_do_exits_4_at_the_workload(workload: Path, call: Any) -> None:
    done = call("run", str(workload), "a100_sxm_80gb", "--schedule", "flash-attention-3")
    assert done.code == 4 and done.out == "" and done.err.startswith(str(workload)) and "sm_90" in done.err
