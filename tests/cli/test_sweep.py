from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from attnsim.cli.progress import PointsProgress, duration

SWEEP = ("sweep", "llama3-8b-prefill", "h100_sxm")
FILE = """\
attnsim: 1
kind: sweep
name: mine
workload: llama3-8b-prefill
arch: h100_sxm
set: {sizes.B: 2}
grid:
  sizes.P,sizes.M: 1k..4k:log2
zip:
  dtype: [bf16, fp8]
  schedule: fa2,fa3
list:
  - {sizes.H: 8, sizes.G: 8}
  - {sizes.H: 32, sizes.G: 4}
filters:
  - sizes.H == 8 or dtype == fp8
columns: [latency_s, bound]
"""


def untimed(text: str) -> str:
    """Narration without how long it took, which a slow machine adds."""
    return re.sub(r" in [^()\n]* \([\d,]+ a second\)", "", text)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_points_on_stdout_narration_on_stderr(call: Any) -> None:
    done = call(*SWEEP, "--vary", "sizes.M=1k..4k:log2", "--vary", "dtype=bf16,fp8", "--filter", "not (dtype == fp8 and sizes.M > 2k)")
    assert done.code == 0 and untimed(done.err) == "5 of 6 points\n"
    found = rows(done.out)
    assert [(row["point"], row["sizes.M"], row["dtype"]) for row in found] == [
        ("0", "1024", "bf16"), ("1", "1024", "fp8"), ("2", "2048", "bf16"), ("3", "2048", "fp8"), ("4", "4096", "bf16")
    ]  # fmt: skip
    single = json.loads(call("run", *SWEEP[1:], "--set", "sizes.M=1024", "--set", "dtype=fp8", "--format", "json").out)["results"][0]
    assert float(found[1]["latency_s"]) == single["latency_s"] and float(found[1]["bytes.l2"]) == single["bytes"]["l2"]
    assert call(*SWEEP, "--vary", "sizes.M=1k", "--quiet").err == ""


def test_json_lines_and_columns(call: Any) -> None:
    done = call(*SWEEP, "--zip", "sizes.M=1k,2k", "--zip", "sizes.B=2,1", "--columns", "bound,schedule", "--format", "jsonl")
    common = {"arch": "h100_sxm", "schedule": "flash-attention-3"}
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"point": 0, "sizes.M": 1024, "sizes.B": 2, "bound": "hbm", **common},
        {"point": 1, "sizes.M": 2048, "sizes.B": 1, "bound": "l2", **common},
    ]


def test_points_without_an_answer_are_told(call: Any) -> None:
    done = call(*SWEEP, "--vary", "schedule=fa2,flash-attention-4", "--columns", "latency_s")
    assert done.code == 0 and [row["error"] == "" for row in rows(done.out)] == [True, False]
    assert done.err.splitlines()[1].startswith(
        "1 without an answer, the first: schedule flash-attention-4 requires isa in [sm_100, sm_103]"
    )
    done = call(*SWEEP, "--vary", "sizes.M=1k", "--filter", "sizes.M > 1k", "--columns", "latency_s")
    assert (done.code, done.out, done.err) == (0, '"point","sizes.M","arch","latency_s","error"\n', "no point passes the filters\n")


def test_files_know_their_command(call: Any, tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    done = call(*SWEEP, "--vary", "sizes.M=1k,2k", "--filter", "sizes.M > 1k", "--only", "lower-bound", "-o", str(out))
    assert (done.code, done.out, untimed(done.err)) == (0, "", f"1 of 2 points, wrote {out}\n")
    about = json.loads(pq.read_schema(out).metadata[b"attnsim"])
    assert about["command"] == "attnsim sweep llama3-8b-prefill h100_sxm --vary sizes.M=1k,2k --filter 'sizes.M > 1k' --only lower-bound"
    assert call(*SWEEP, "--vary", "sizes.M=1k,2k", "-o", str(tmp_path / "s.csv")).code == 0
    assert json.loads((tmp_path / "s.csv.meta.json").read_text())["count"] == 2
    assert call(*SWEEP, "--vary", "sizes.M=1k,2k", "-o", str(tmp_path / "s.txt"), "--format", "jsonl").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.csv.meta.json", "s.parquet", "s.txt", "s.txt.meta.json"]


def test_a_sweep_file(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    done = call("sweep", str(path))
    found = rows(done.out)
    assert done.code == 0 and untimed(done.err) == "9 of 12 points\n" and list(found[0])[:8] == [
        "point", "sizes.P", "sizes.M", "dtype", "schedule", "sizes.H", "sizes.G", "arch"
    ]  # fmt: skip
    assert {(row["dtype"], row["schedule"]) for row in found} == {("bf16", "fa2"), ("fp8", "fa3")}
    sets = [f"--set={field}={value}" for field, value in (("sizes.B", 2), ("sizes.P", 1024), ("sizes.M", 1024), ("sizes.H", 8))]
    single = call("run", *SWEEP[1:], "--schedule", "fa2", *sets, "--set=sizes.G=8", "--format", "json")
    assert float(found[0]["latency_s"]) == json.loads(single.out)["results"][0]["latency_s"]
    more = call("sweep", str(path), "--vary", "arch=h100_sxm,h200", "--filter", "sizes.P == 1k", "--columns", "energy_j")
    assert more.code == 0 and len(rows(more.out)) == 6 and "energy_j" in rows(more.out)[0]
    assert call("check", str(path)).out == f"{path}: ok, sweep mine of workload llama3-8b-prefill: 12 points before filters\n"


def test_the_library_holds_sweeps(call: Any) -> None:
    assert {"decode-machines", "prefill-lengths"} <= {line.split()[0] for line in call("list", "sweep").out.splitlines() if line}
    assert "kind: sweep" in call("show", "decode-machines").out
    assert json.loads(call("schema", "sweep").out)["title"] == "attnsim sweep"
    done = call("sweep", "decode-machines", "--set", "deployment.memory=0.95")
    assert done.code == 0 and len(rows(done.out)) == 18 and "cost.usd_per_mtok" in rows(done.out)[0]


def test_the_examples_of_the_help_run(call: Any) -> None:
    text = call("sweep", "--help").out
    assert "Everything that --set takes can vary" in " ".join(text.split())
    done = call(
        "sweep",
        "llama3-70b-serving",
        "h200",
        "--vary",
        "deployment.tp=2,4,8",
        "--vary",
        "batch=1..64:log2",
        "--filter",
        "batch >= deployment.tp",
    )
    assert done.code == 0 and len(rows(done.out)) == 6 + 5 + 4


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        (SWEEP, 2, "attnsim: nothing varies; add for example --vary sizes.M=1k..64k:log2"),
        (SWEEP[:2] + ("--vary", "sizes.M=1k"), 2,
         "attnsim: a machine is missing; name one (attnsim list arch), or vary it: arch=h100_sxm,b200"),
        (("sweep", "nonsense"), 3, "attnsim: unknown sweep 'nonsense'; attnsim list sweep shows the names"),
        (("sweep", "h100_sxm"), 3, "attnsim: unknown sweep 'h100_sxm'; that is the name of an arch"),
        (SWEEP + ("h200", "--vary", "sizes.M=1k"), 2,
         "attnsim: a sweep has one workload and one machine; add others with --vary arch=h100_sxm,h200"),
        (SWEEP + ("--vary", "sizes.M"), 2, "attnsim: --vary takes FIELD=VALUES, for example sizes.M=1k..64k:log2, not 'sizes.M'"),
        (SWEEP + ("--vary", "=1"), 2, "attnsim: --vary takes FIELD=VALUES, for example sizes.M=1k..64k:log2, not '=1'"),
        (SWEEP + ("--vary", "sizes.M="), 2, "attnsim: sizes.M: has no values; write for example 1k..1M:log2, 1..200:+1, or bf16,fp8"),
        (SWEEP + ("--vary", "sizes.M=8k..1k:log2"), 2, "attnsim: sizes.M: '8k..1k:log2' ends before it starts; write 1k..8k:log2"),
        (SWEEP + ("--vary", "sizes.M=1k..8k:+0"), 2, "attnsim: sizes.M: '1k..8k:+0' never ends: the step must be more than 0"),
        (SWEEP + ("--vary", "mask.widow=1k"), 2, "attnsim: unknown field 'mask.widow'; the fields here are kind"),
        (SWEEP + ("--vary", "size.M=1k"), 2, "attnsim: unknown field 'size.M'; did you mean 'sizes.M'?"),
        (SWEEP + ("--vary", "dtype=bf61"), 2,
         "attnsim: dtype: must be one of fp64, fp32, tf32, bf16, fp16, fp8, int8, fp4, int4, mxfp4, not 'bf61'; did you mean 'bf16'?"),
        (SWEEP + ("--vary", "mask.kind=causal,window"), 3, None),
        (SWEEP + ("--vary", "sizes.M=1k", "--zip", "sizes.B=1"), 2,
         "attnsim: --zip sizes.B=1: alone it is --vary; give a second --zip for the field that varies with it"),
        (SWEEP + ("--zip", "sizes.M=1k,2k", "--zip", "sizes.B=1"), 2,
         "attnsim: fields that vary together need as many values each: sizes.M has 2, sizes.B has 1"),
        (SWEEP + ("--vary", "sizes.M=1..2000000:+1", "--vary", "sizes.B=1..500000:+1"), 2,
         "attnsim: 1,000,000,000,000 points (sizes.M 2,000,000 x sizes.B 500,000) are more than 100,000,000; narrow an axis, or add --yes"),
        (SWEEP + ("--vary", "sizes.M=1k", "--filter", "__import__('os')"), 2,
         "attnsim: filter: unexpected '(' at column 11 of \"__import__('os')\"; write for example 'sizes.M >= sizes.P and dtype == bf16'"),
        (SWEEP + ("--vary", "sizes.M=1k", "--filter", "sizes.M >= batch"), 2, None),
        (SWEEP + ("--vary", "sizes.M=1k", "--columns", "latncy_s"), 2, "attnsim: there is no column 'latncy_s'; did you mean 'latency_s'?"),
        (SWEEP + ("--vary", "sizes.M=1k", "--format", "parquet"), 2,
         "attnsim: Parquet is no text for stdout; add -o FILE.parquet, or use --format csv"),
        (SWEEP + ("--vary", "sizes.M=1k", "--executor", "processes"), 2,
         "attnsim: --executor processes writes Parquet; add -o FILE.parquet, or -o FOLDER"),
        (SWEEP + ("--vary", "sizes.M=1k", "--resume", "-o", "s.csv"), 2,
         "attnsim: --resume writes Parquet; use -o FILE.parquet, or a folder"),
        (SWEEP + ("--vary", "sizes.M=1k", "--executor", "processes", "-o", "s.jsonl"), 2,
         "attnsim: executor processes writes Parquet; use -o FILE.parquet, or a folder"),
        (SWEEP + ("--vary", "sizes.M=1k", "-o", "s.txt"), 2,
         "attnsim: cannot tell the form of 's.txt' by its ending; end it in .parquet, .csv or .jsonl, or add --format"),
        (SWEEP + ("--vary", "sizes.M=1k", "-o", "nowhere/s.csv"), 2,
         "attnsim: cannot write 'nowhere/s.csv': there is no folder 'nowhere'; make it first"),
    ],
)  # fmt: skip
def test_every_mistake_is_one_line(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], code: int, line: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*args)
    assert done.code == code and done.out == ""
    (found,) = done.err.splitlines()
    if line is None:
        line = {
            "mask.kind=causal,window": "mask.left: missing; this field is required (with mask.kind=window)",
            "sizes.M >= batch": "filter: unknown field 'batch' at column 12 of 'sizes.M >= batch'",
        }[args[-1]]
        assert line in found
    else:
        assert found == line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("sizes.P,sizes.M: 1k..4k:log2", "sizes.P,sizes.M: 4k..1k:log2", "8:3: grid.sizes.P,sizes.M",
         "'4k..1k:log2' ends before it starts; write 1k..4k:log2"),
        ("sizes.P,sizes.M: 1k..4k:log2", "sizes.P,size.M: 1k..4k:log2", "8:3: grid.sizes.P,size.M",
         "unknown field 'size.M'; did you mean 'sizes.M'?"),
        ("schedule: fa2,fa3", "schedule: fa2", "9:1: zip",
         "fields that vary together need as many values each: dtype has 2, schedule has 1"),
        ("sizes.H == 8 or", "sizes.Z == 8 or", "16:5: filters.0", "unknown field 'sizes.Z' at column 1 of 'sizes.Z == 8 or dtype == fp8'"),
        ("{sizes.H: 32, sizes.G: 4}", "{sizes.H: 32}", "12:1: list", "point 1 lacks sizes.G; every point of a list gives the same fields"),
        ("dtype: [bf16, fp8]\n  schedule: fa2,fa3", "dtype: [bf16, fp8, fp9]\n  schedule: fa2,fa3,fa4", "10:3: zip.dtype",
         "must be one of fp64, fp32, tf32, bf16, fp16, fp8, int8, fp4, int4, mxfp4, not 'fp9'; did you mean 'fp8'?"),
        ("[latency_s, bound]", "[latency_s, bond]", "17:1: columns", "there is no column 'bond'; did you mean 'bound'?"),
        ("set: {sizes.B: 2}", "set: {mask.knd: 2}", "6:7: set.mask.knd", "unknown field; "),
        ("set: {sizes.B: 2}", "set: {arch.limits.warp: x}", "6:7: set.arch.limits.warp", "must be a whole number of at least 1, not 'x'"),
        ("arch: h100_sxm", "arch: h101_sxm", "5:1: arch", "unknown arch 'h101_sxm'; did you mean 'h100_sxm'?"),
        ("arch: h100_sxm\n", "", "1:1: arch", "missing; name a machine, or vary it: grid: {arch: [h100_sxm, b200]}"),
        ("workload: llama3-8b-prefill", "workload: llama3-8b-prefil", "4:1: workload", "unknown workload 'llama3-8b-prefil'; did you mean"),
        ("filters:", "filter:", "15:1: filter", "unknown field; did you mean 'filters'?"),
        ("kind: sweep", "kind: swep", "2:1: kind", "'swep' is not a kind of spec; did you mean 'sweep'?"),
    ],
)  # fmt: skip
def test_mistakes_of_a_file_are_at_their_place(call: Any, tmp_path: Path, old: str, new: str, place: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    for command in ("sweep", "check"):
        done = call(command, str(path))
        found = [line for line in done.err.splitlines() if line.startswith(f"{path}:")]
        assert done.code == 3 and len(found) == 1 and found[0].startswith(f"{path}:{place}: {message}"), done.err


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr("attnsim.cli.progress.time.monotonic", lambda: now[0])
    with PointsProgress(10_000_000) as progress:
        for seconds, done in ((1, 100_000), (6, 600_000), (7, 700_000), (20, 2_000_000), (100, 10_000_000)):
            now[0] = 100.0 + seconds
            progress(done, 0)
    assert capsys.readouterr().err.splitlines() == [
        "600,000 of 10,000,000 points, 100,000 points/s, 1 min 34 s left",
        "2,000,000 of 10,000,000 points, 100,000 points/s, 1 min 20 s left",
    ]
    assert [duration(seconds) for seconds in (0.4, 59, 60, 3600, 90_061)] == ["0 s", "59 s", "1 min 0 s", "1 h 0 min", "25 h 1 min"]
