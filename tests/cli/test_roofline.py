from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.cli.kinds import split
from attnsim.errors import SpecError, UsageError


def test_workloads_and_machines_are_told_apart_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: h100_sxm\nname: mine\n")
    assert split(["llama3-8b-prefill", "h100", str(path), "llama3_8b_decode"], "attnsim roofline a b") == (
        ["llama3-8b-prefill", "llama3_8b_decode"],
        ["h100", str(path)],
    )


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        (["h100_sxm"], UsageError, "a workload is missing"),
        (["llama3-8b-prefill"], UsageError, "a machine is missing"),
        (["llama3-8b-prefil", "h100_sxm"], SpecError, "did you mean 'llama3-8b-prefill'?"),
    ],
)
def test_a_missing_or_unknown_name_says_what_to_write(names: list[str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says.replace("?", r"\?")):
        split(names, "attnsim roofline llama3-8b-prefill h100_sxm")


def test_figure_and_data_of_two_workloads_on_two_machines(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "r.svg"
    done = call("roofline", "llama3-8b-prefill", "llama3-8b-decode", "h100_sxm", "a100_sxm_80gb", "-o", str(target))
    assert done.code == 0 and done.out == "" and done.err == f"wrote {target} and {tmp_path / 'r.csv'}\n"
    assert target.read_text().startswith("<?xml")
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert {(row["arch"], row["name"]) for row in rows} == {
        (a, w) for a in ("h100_sxm", "a100_sxm_80gb") for w in ("llama3-8b-prefill", "llama3-8b-decode")
    }
    first = attnsim.run("llama3-8b-prefill", "h100_sxm").results[0]
    hbm = next(row for row in rows if (row["arch"], row["name"], row["level"]) == ("h100_sxm", "llama3-8b-prefill", "hbm"))
    assert float(hbm["latency_s"]) == first.latency_s and float(hbm["bytes"]) == first.bytes["hbm"]
    # No kernel may stand above the roofs of the machine it runs on.
    assert all(float(row["achieved_flop_per_s"]) <= float(row["peak_flop_per_s"]) for row in rows)


def test_set_and_schedule_reach_the_workloads(call: Any, tmp_path: Path) -> None:
    done = call(
        "roofline",
        "llama3-8b-prefill",
        "h100_sxm",
        "--schedule",
        "flash-attention-2",
        "--set",
        "sizes.M=8448",
        "-o",
        str(tmp_path / "r.png"),
    )
    assert done.code == 0
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert {row["schedule"] for row in rows} == {"flash-attention-2"}
    assert float(rows[0]["flops"]) == attnsim.run("llama3-8b-prefill", "h100_sxm", sizes={"M": 8448}).results[0].flops


@pytest.mark.parametrize("target", ["r.jpg", "r", "missing/r.svg"])
def test_a_figure_that_cannot_be_written_is_refused_before_the_work(
    target: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(attnsim), "run", lambda *_a, **_k: pytest.fail("the work was done first"))
    done = call("roofline", "llama3-8b-prefill", "h100_sxm", "-o", str(tmp_path / target))
    assert done.code == 2 and len(done.err.splitlines()) == 1 and list(tmp_path.iterdir()) == []
