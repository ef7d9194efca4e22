from __future__ import annotations

import csv
import os
import subprocess
import sys
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


HEADER = "kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,head_dim_v,causal,window,time_us"
ROW = "flash-attention-3,forward,bf16,1,32,8,8192,8192,128,128,1,,{}"


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "measured.csv"
    path.write_text(
        "\n".join((HEADER, ROW.format(1000), ROW.replace("8192", "4096").format(300), ROW.replace("-3", "-33").format(1))) + "\n"
    )
    return path


def test_measured_rows_alone_are_kernels_of_their_own(call: Any, tmp_path: Path, measured: Path) -> None:
    target = tmp_path / "r.svg"
    done = call("roofline", "h100_sxm", "--measurements", str(measured), "-o", str(target))
    assert done.code == 0 and done.out == ""
    assert done.err.splitlines() == [
        f"not drawn: {measured}:4: kernel: unknown schedule 'flash-attention-33'; did you mean 'flash-attention-3'?",
        f"wrote {target} and {tmp_path / 'r.csv'}",
    ]
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert {(row["measured_lines"], float(row["measured_s"])) for row in rows} == {("2", 1e-3), ("3", 3e-4)}


def test_measured_rows_stand_beside_the_workload_they_time(call: Any, tmp_path: Path, measured: Path) -> None:
    target = tmp_path / "r.svg"
    done = call("roofline", "llama3-8b-prefill", "h100_sxm", "--measurements", str(measured), "-o", str(target))
    assert done.code == 0 and f"not drawn: {measured}:3: no kernel drawn here is this call\n" in done.err
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert {(row["name"], row["measured_lines"]) for row in rows} == {("llama3-8b-prefill", "2")}


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["h100_sxm", "a100", "--measurements", "M"], "measurements are of one machine; name one of h100_sxm, a100"),
        (["h100_sxm", "--where", "causal=1"], "a workload is missing"),
        (["llama3-8b-prefill", "h100_sxm", "--where", "causal=1"], "--where chooses rows of measurements; add --measurements FILE.csv"),
        (["h100_sxm", "--measurements", "M", "--where", "line=4"], "can be drawn"),
        (["h100_sxm", "--measurements", "M", "--where", "line=9"], "has no row with line=9"),
        (["h100_sxm", "--measurements", "M", "--schedule", "cudnn"], "--schedule and --set change workloads"),
        (["llama3-8b-prefill", "--measurements", "M"], "a machine is missing"),
    ],
)
def test_a_choice_of_rows_that_cannot_work_says_what_to_write(
    args: list[str], says: str, call: Any, tmp_path: Path, measured: Path
) -> None:
    done = call("roofline", *(str(measured) if arg == "M" else arg for arg in args), "-o", str(tmp_path / "r.svg"))
    assert done.code == 2 and says in done.err and not (tmp_path / "r.svg").exists()


def test_more_rows_than_a_roofline_shows_are_refused_with_a_way_to_choose(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text(
        "\n".join((HEADER, *(ROW.replace("8192,8192", f"{size},{size}").format(100) for size in range(128, 28 * 128, 128)))) + "\n"
    )
    done = call("roofline", "h100_sxm", "--measurements", str(path), "-o", str(tmp_path / "r.svg"))
    assert (
        done.code == 2
        and "has 27 different calls to draw; a roofline shows at most 24: choose rows, for example --where kernel=" in done.err
    )


@pytest.mark.parametrize("case", ["h200/decode.csv", "h200/gemm.csv"])
def test_rows_of_the_validation_folder_can_be_drawn(case: str, call: Any, tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "validation" / "measured" / case
    target = tmp_path / "r.pdf"
    done = call("roofline", "h200", "--measurements", str(path), "--where", "line=7,9,60", "-o", str(target))
    assert done.code == 0 and target.read_bytes().startswith(b"%PDF")
    assert all(0.5 < float(row["measured_over_predicted"]) < 2 for row in csv.DictReader((tmp_path / "r.csv").open()))


def test_the_bytes_are_the_same_whatever_the_order_of_sets(call: Any, tmp_path: Path) -> None:
    words = ["roofline", "llama3-8b-prefill", "llama3-8b-decode", "h100_sxm", "-q", "-o"]
    assert call(*words, str(tmp_path / "here.svg")).code == 0
    command = "from attnsim.cli.main import main; main()"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", command, *words, str(tmp_path / "there.svg")], check=True, env=environment)
    for ending in ("svg", "csv"):
        assert (tmp_path / f"here.{ending}").read_bytes() == (tmp_path / f"there.{ending}").read_bytes()
