from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

import attnsim


def test_two_machines_are_compared_as_in_python(call: Any) -> None:
    done = call("compare", "llama3-8b-prefill", "h100_sxm", "b200")
    assert done.code == 0 and done.err == ""
    a, b = (attnsim.run("llama3-8b-prefill", arch) for arch in ("h100_sxm", "b200"))
    assert done.out == repr(attnsim.compare(a, b)) + "\n"
    lines = done.out.splitlines()
    assert lines[0] == "A  llama3-8b-prefill on h100_sxm, flash-attention-3" and lines[1].startswith("B  llama3-8b-prefill on b200")
    assert lines[3].startswith("B is ") and " x faster: " in lines[3]


def test_files_say_the_same_as_names(call: Any, tmp_path: Path) -> None:
    for arch in ("h100_sxm", "b200"):
        assert call("run", "llama3-8b-decode", arch, "-o", str(tmp_path / f"{arch}.json")).code == 0
    a, b = (str(tmp_path / f"{arch}.json") for arch in ("h100_sxm", "b200"))
    named = call("compare", "llama3-8b-decode", "h100_sxm", "b200").out
    assert call("compare", a, b).out == named
    assert call("compare", a, "llama3-8b-decode", "b200").out == named
    assert call("compare", "llama3-8b-decode", "h100_sxm", b).out == named
    assert call("compare", b, a).out != named


PREFILL, DECODE = "llama3-8b-prefill", "llama3-8b-decode"


@pytest.mark.parametrize(
    ("words", "a", "b"),
    [
        ((PREFILL, DECODE, "h100_sxm"), (PREFILL, "h100_sxm"), (DECODE, "h100_sxm")),
        ((PREFILL, "a100_sxm_80gb", DECODE, "h100_sxm"), (PREFILL, "a100_sxm_80gb"), (DECODE, "h100_sxm")),
        ((PREFILL, "h100_sxm", "--set-b", "dtype=fp8"), (PREFILL, "h100_sxm"), (PREFILL, "h100_sxm")),
    ],
)
def test_one_name_stands_for_both_and_two_for_each(call: Any, words: tuple[str, ...], a: tuple[str, str], b: tuple[str, str]) -> None:
    data = json.loads(call("compare", *words, "--format", "json").out)
    assert ((data["a"]["workload"], data["a"]["arch"]), (data["b"]["workload"], data["b"]["arch"])) == (a, b)


def test_two_schedules_and_sets_of_both_and_of_one(call: Any) -> None:
    done = call(
        "compare", "llama3-8b-prefill", "a100_sxm_80gb", "--schedule", "flash-attention-1", "--schedule", "flash-attention-2",
        "--set", "sizes.B=2", "--set-a", "sizes.M=4096", "--format", "json",
    )  # fmt: skip
    data = json.loads(done.out)
    assert data["changed"] == {"schedule": {"a": "flash-attention-1", "b": "flash-attention-2"}, "sizes.M": {"a": 4096, "b": 8192}}
    direct = attnsim.run("llama3-8b-prefill", "a100_sxm_80gb", "flash-attention-1", sets=["sizes.B=2", "sizes.M=4096"])
    assert data["figures"]["latency_s"]["a"] == direct.results[0].latency_s


def test_csv_is_one_row_a_number(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "c.csv"
    assert call("compare", "llama3-8b-prefill", "h100_sxm", "b200", "-o", str(target)).err == f"wrote {target}\n"
    rows = {(row["section"], row["name"]): row for row in csv.DictReader(io.StringIO(target.read_text()))}
    latency = rows["figure", "latency_s"]
    assert float(latency["ratio"]) == float(latency["b"]) / float(latency["a"])
    assert (rows["figure", "bound"]["a"], rows["changed", "arch"]["b"]) == ("tensor", "b200")
    assert {section for section, _ in rows} >= {"figure", "time_by_resource_s", "bytes", "flops_by_unit", "kernel 1", "changed", "machine"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("llama3-8b-prefill", "h100_sxm"), 2, "A and B are the same; name two machines, two workloads, two --schedule, or add --set-b"),
        (("llama3-8b-prefill", "h100_sxm", "b200", "h200"), 2, "compare takes two, not 3 machines"),
        (("llama3-8b-prefill",), 2, "a machine is missing; write for example attnsim compare llama3-8b-prefill h100_sxm b200"),
        (("llama3-8b-prefil", "h100_sxm", "b200"), 3, "did you mean 'llama3-8b-prefill'?"),
        (("llama3-8b-prefill", "llama3-70b-serving", "h100_sxm"), 2, "a kernel and a model have nothing to compare"),
        (("llama3-8b-prefill", "h100_sxm", "a100_sxm_80gb", "--schedule", "flash-attention-3"), 4, "requires"),
        (("missing.json", "h100_sxm"), 2, "cannot read 'missing.json': No such file or directory"),
        (("one.json",), 2, "compare sets two answers side by side, not 1"),
        (("one.json", "one.json", "--set", "dtype=fp8"), 2, "these files hold answers"),
        (("one.json", "llama3-8b-prefill", "b200", "h200"), 2, "compare takes one, beside a file, not 2 machines"),
        (("one.json", "llama3-8b-prefill", "b200", "--set-b", "dtype=fp8"), 2, "one side is a file; change the other one with --set"),
        (("none.json", "one.json"), 2, "'none.json' is no answer of attnsim run; write one with"),
        (("broken.json", "one.json"), 2, "cannot read 'broken.json'"),
        (("llama3-8b-prefill", "h100_sxm", "--set-b", "dtype"), 2, "cannot read 'dtype'; write for example sizes.M=32768"),
    ],
)
def test_a_mistake_is_one_line(
    call: Any, arguments: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.json").write_text(json.dumps(attnsim.run("llama3-8b-prefill", "h100_sxm").to_dict()))
    (tmp_path / "none.json").write_text('{"results": []}')
    (tmp_path / "broken.json").write_text('{"results": [')
    done = call("compare", *arguments)
    assert done.code == code and done.out == "" and says in done.err
    assert len(done.err.splitlines()) == 1 or "Usage" in done.err


def test_the_same_file_twice_has_no_difference(call: Any, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(attnsim.run("llama3-8b-prefill", "h100_sxm").to_dict()))
    done = call("compare", str(tmp_path / "one.json"), str(tmp_path / "one.json"))
    assert done.code == 0 and "B takes as long as A" in done.out
