from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

IDEAL = ("cost", "step3-decode-ideal", "h800", "--model", "step3,minimax-m1", "--context", "8k,32k")
SERVED = ("cost", "llama3-70b-serving", "a100_sxm_80gb", "--context", "16k,512k")


def test_a_table_says_once_what_is_the_same_everywhere(call: Any) -> None:
    done = call(*IDEAL)
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[0] == "workload step3-decode-ideal, machine h800, prices stepfun-2025"
    assert lines[2].split() == ["model", "context", "batch", "USD/Mtok", "tokens/s", "a", "device", "time", "bound", "resource"]
    assert [line.split()[:4] for line in lines[3:]] == [
        ["step3", "8k", "1", "0.0632"],
        ["step3", "32k", "1", "0.1905"],
        ["minimax-m1", "8k", "1", "0.1788"],
        ["minimax-m1", "32k", "1", "0.3458"],
    ]


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_what_is_left_out_is_said_on_stderr(call: Any, quiet: tuple[str, ...]) -> None:
    done = call(*SERVED, "--format", "csv", *quiet)
    assert done.code == 0 and len(done.out.splitlines()) == 2
    (line,) = done.err.splitlines()
    assert line.startswith(
        "left out: llama3-70b-serving, llama3-70b on a100_sxm_80gb, context 512k: llama3-70b with 1 requests of 524288 tokens takes "
    )


def test_the_json_lists_what_is_left_out(call: Any, tmp_path: Path) -> None:
    assert call(*SERVED, "-o", str(tmp_path / "c.json")).code == 0
    data = json.loads((tmp_path / "c.json").read_text())
    assert [entry["context"] for entry in data["results"]] == [16384]
    assert [(entry["machine"], entry["context"]) for entry in data["skipped"]] == [("a100_sxm_80gb", 524288)]


def test_nothing_that_can_be_is_an_error(call: Any, tmp_path: Path) -> None:
    done = call("cost", "llama3-70b-serving", "a100_sxm_80gb", "--set", "slo.tpot=10 ms", "-o", str(tmp_path / "c.svg"))
    assert done.code == 4 and done.out == "" and len(done.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("more", "beside"), [((), "c.csv"), (("--format", "json"), "c.json"), (("--format", "text"), "c.txt")])
def test_a_figure_has_its_data_beside_it(call: Any, tmp_path: Path, more: tuple[str, ...], beside: str) -> None:
    target = tmp_path / "c.svg"
    done = call(*IDEAL, "--kv", "-o", str(target), *more)
    assert done.code == 0 and done.out == "" and done.err == f"wrote {target} and {tmp_path / beside}\n"
    assert target.read_text().startswith("<?xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["c.svg", beside])


def test_models_by_their_activated_parameters(call: Any, tmp_path: Path) -> None:
    done = call(*IDEAL, "--against", "activated", "-o", str(tmp_path / "c.png"))
    assert done.code == 0 and (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "c.csv").open()))
    assert {(row["model"], row["context"]) for row in rows} == {(m, c) for m in ("step3", "minimax-m1") for c in ("8192", "32768")}


def test_models_may_be_given_one_by_one(call: Any) -> None:
    one_by_one = ("cost", "step3-decode-ideal", "h800", "--model", "step3", "--model", "minimax-m1", "--context", "8k,32k")
    assert call(*one_by_one).out == call(*IDEAL).out


def test_prices_and_fields_change(call: Any) -> None:
    done = call(*SERVED, "--set", "slo.tpot=80 ms", "--set", "arch.levels.hbm.capacity=160 GB", "--format", "csv")
    assert done.code == 0 and done.err == "" and len(done.out.splitlines()) == 3
    done = call("cost", "step3-decode-ideal", "h800", "--prices", "deepseek-2025")
    assert done.code == 0 and "prices deepseek-2025" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("step3-decode-ideal",), 2, "a machine is missing; write for example attnsim cost step3-decode-ideal h800"),
        (("llama3-8b-prefill", "h100_sxm"), 2, "cost takes workloads of kind model"),
        (("step3-decode-ideal", "h800", "--context", "8q"), 2, "cannot read '8q'"),
        (("step3-decode-ideal", "h800", "--kv"), 2, "add -o FILE.svg"),
        (("step3-decode-ideal", "h800", "--kv", "--against", "activated", "-o", "c.svg"), 2, "--kv needs --against context"),
        (("step3-decode-ideal", "h800", "--model", "stp3"), 3, "did you mean 'step3'?"),
        (("llama3-70b-serving", "h800"), 5, "no price for 'h800'"),
        (("step3-decode-ideal", "h800", "-o", "missing/c.svg"), 2, "there is no folder"),
    ],
)
def test_a_mistake_is_one_line(call: Any, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = call("cost", *arguments)
    assert done.code == code and done.out == "" and says in done.err and len(done.err.splitlines()) == 1
