"""Synthetic measurements made by the engine with known constants: the fit gives these back, and faulty rows and files are told."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import attnsim
from attnsim.cli.main import main
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.spec.measurement import FILE
from attnsim.validate import score_measurements
from attnsim.validate.answer import Answers
from attnsim.validate.call import Reader
from attnsim.validate.records import Record

MIB = 2**20
SOURCED = {"source": "estimate", "note": "made up"}

TRUTH: dict[str, Any] = {
    "attnsim": 1, "kind": "gpu", "extends": "h100_sxm", "name": "truth",
    "levels": {"hbm": {"sustained": {"value": 0.83, **SOURCED}}, "l2": {"sustained": {"value": 0.61, **SOURCED}}},
    "launch": {
        "stream": {"value": "3.1 us", **SOURCED}, "graph": {"value": "0.9 us", **SOURCED}, "floor": {"value": "7.7 us", **SOURCED},
    },
    "links": {"nvlink": {
        "sustained": {"value": 0.7, **SOURCED}, "call": {"value": "6 us", **SOURCED}, "latency": {"value": "1.2 us", **SOURCED},
    }},
    "kernels": {
        "flash-attention-2": {
            "constants": {
                "tensor_efficiency": [{"value": 0.71, "source": "estimate: made up"}],
                "cta_overhead": [{"value": "2500 cycle", "source": "estimate: made up"}],
                "kernel_overhead": [{"value": "3 us", "source": "estimate: made up"}],
            },
            "overlap": {"exposed": {"sfu": [{"value": 0.55, "source": "estimate: made up"}]}},
        },
        "matmul": {"constants": {
            "kernel_overhead": [{"value": "2.5 us", "source": "estimate: made up"}],
            "memory_efficiency": [{"value": 0.8, "source": "estimate: made up"}],
        }},
    },
}  # fmt: skip


def attention(s: int, d: int, causal: bool, b: int = 1, h: int = 16) -> dict[str, Any]:
    return dict(
        kernel="flash-attention-2", direction="forward", dtype="bf16", batch=b, heads_q=h, heads_kv=h, seqlen_q=s, seqlen_kv=s,
        head_dim=d, head_dim_v=d, causal=int(causal),
    )  # fmt: skip


# Without causal masks: CTAs of different lengths change places as constants change, and times jump with them.
ATTENTION = [attention(s, d, False, b) for s in (128, 256, 512, 1024, 2048, 4096, 8192) for d in (64, 128) for b in (1, 8)]
PRODUCTS = [dict(kernel="matmul", dtype="bf16", m=m, n=n, k=k) for n, k in ((4096, 4096), (8192, 8192)) for m in (1, 16, 256, 2048, 8192)]
MICRO = [
    *(dict(suite="micro", kernel=kernel, bytes=size * MIB, sets=64) for kernel in ("copy", "read") for size in (32, 64, 256, 1024)),
    *(dict(suite="micro", kernel="l2-read", bytes=size * MIB, sets=1) for size in (4, 8, 16, 32)),
    *(dict(suite="micro", kernel=f"launch-{name}", bytes=0) for name in ("stream", "graph", "floor")),
]
COLLECTIVES = [
    dict(kernel=kernel, devices=devices, bytes=size * 1024) for kernel in ("all-gather", "all-reduce", "send")
    for devices in ((2,) if kernel == "send" else (2, 8)) for size in (16, 256, 4096, 262144)
]  # fmt: skip


def timed(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any] = TRUTH) -> list[dict[str, Any]]:
    """The rows with the times that the engine gives them."""
    answers, reader, made = Answers(machine), Reader(), []
    for row in rows:
        values = {column: str(row.get(column, "")) for column in FILE} | {"time_us": "1"}
        made.append({**row, "time_us": f"{answers.of(reader.read(Record(2, values))).latency_s * 1e6:.9g}"})
    return made


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("# device: Synthetic\n# driver: 1.2\n# date: 2026-11-25T01:02:03+00:00\n")
        writer = csv.DictWriter(file, FILE, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def machine_at(path: Path) -> Machine:
    machine = load_machine(path)
    assert isinstance(machine, Machine)
    return machine


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("calibrate")
    write(made / "micro.csv", timed([*MICRO, *COLLECTIVES]))
    write(made / "kernels.csv", timed([*ATTENTION, *PRODUCTS]))
    files = [str(made / "micro.csv"), str(made / "kernels.csv")]
    assert main(["calibrate", *files, "--arch", "h100_sxm", "--rows", "30", "-o", str(made / "new.yaml"), "-q"]) == 0
    return made


def test_fields_of_the_machine_come_back(folder: Path) -> None:
    found, truth = machine_at(folder / "new.yaml"), load_machine(TRUTH)
    assert isinstance(truth, Machine)
    for level in ("hbm", "l2"):
        assert found.level(level).sustained == pytest.approx(truth.level(level).sustained, rel=0.02)
    assert (found.launch.stream_s, found.launch.graph_s, found.launch.floor_s) == pytest.approx((3.1e-6, 0.9e-6, 7.7e-6), rel=0.02)
    link = found.links["nvlink"]
    assert (link.sustained, link.call_s, link.latency_s) == pytest.approx((0.7 * 450e9, 6e-6, 1.2e-6), rel=0.02)


def test_constants_come_back(folder: Path) -> None:
    kernels = yaml.safe_load((folder / "new.yaml").read_text(encoding="utf-8"))["kernels"]
    flash, products = kernels["flash-attention-2"], kernels["matmul"]["constants"]
    lists = {**flash["constants"], **flash["overlap"]["exposed"]}
    first = {
        name: next(entry["value"] for entry in entries if entry.get("rows", "").startswith("kernels.csv"))
        for name, entries in lists.items()
    }
    assert first["tensor_efficiency"] == pytest.approx(0.71, rel=0.02)
    assert first["sfu"] == pytest.approx(0.55, rel=0.02)
    assert float(first["cta_overhead"].split()[0]) == pytest.approx(2500, rel=0.02)
    assert first["kernel_overhead"].split()[1] == "us" and float(first["kernel_overhead"].split()[0]) == pytest.approx(3, rel=0.02)
    fitted = [entry for entry in products["memory_efficiency"] if entry.get("rows", "").startswith("kernels.csv")]
    assert [entry["value"] for entry in fitted] == [pytest.approx(0.8, rel=0.02)]
    assert all(entry["source"].startswith("fitted") for entry in fitted)


def test_the_new_file_works_and_keeps_fitted_rows_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = str(folder / "new.yaml")
    assert main(["check", new]) == 0
    assert main(["run", "llama3-8b-prefill", new]) == 0
    report = score_measurements(folder / "kernels.csv", new)
    assert report.stats(fitted=True).n == len(ATTENTION) + len(PRODUCTS) and report.stats(fitted=False).n == 0
    others = [attention(s, d, True) for s in (384, 3000, 6000) for d in (64, 128)]
    held = score_measurements(write(folder / "others.csv", timed(others)), new).stats(fitted=False)
    assert held.n == len(others) and held.mape is not None and held.mape < 0.02
    (*_, record) = yaml.safe_load((folder / "new.yaml").read_text(encoding="utf-8"))["calibration"]
    assert (record["file"], record["device"], record["driver"], record["date"]) == ("kernels.csv", "Synthetic", "1.2", "2026-11-25")
    assert set(record["rows"]) == {"flash-attention-2", "matmul"}


def test_a_share_of_the_rows_is_fitted_and_the_rest_judges(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--arch", "h100_sxm", "--kernel", "matmul", "--rows", "5", "-o", str(tmp_path / "new.yaml")]
    assert main(["calibrate", str(folder / "kernels.csv"), *arguments]) == 0
    assert "on 4 fitted rows; " in capsys.readouterr().out
    report = score_measurements(folder / "kernels.csv", tmp_path / "new.yaml")
    assert (report.stats("matmul", fitted=True).n, report.stats("matmul", fitted=False).n) == (4, 6)


def test_a_second_calibration_extends_the_first(folder: Path) -> None:
    (folder / "again").mkdir()
    again = folder / "again" / "again.yaml"
    arguments = [str(folder / "kernels.csv"), "--arch", str(folder / "new.yaml"), "--kernel", "matmul", "--rows", "0", "-o", str(again)]
    assert main(["calibrate", *arguments]) == 0
    made = yaml.safe_load(again.read_text(encoding="utf-8"))
    assert made["extends"] == "../new.yaml" and set(made["kernels"]) == {"matmul"}
    assert {record["file"] for record in made["calibration"]} == {"kernels.csv", "micro.csv"}
    assert machine_at(again).kernels.keys() == {"flash-attention-2", "matmul"}


def test_a_faulty_row_is_named_and_the_others_used(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = timed(ATTENTION[:12])
    rows[3]["time_us"] = "fast"
    path = write(tmp_path / "some.csv", rows)
    assert main(["calibrate", str(path), "--arch", "h100_sxm", "-o", str(tmp_path / "new.yaml")]) == 1
    text = capsys.readouterr().out
    assert "some.csv:8: flash-attention-2: time_us is 'fast'; a number is wanted" in text
    assert machine_at(tmp_path / "new.yaml").kernels.keys() == {"flash-attention-2"}


@pytest.mark.parametrize(
    ("rows", "options", "code", "words"),
    [
        ([{**ATTENTION[0], "time_us": "-1"}], (), 3, "no row can be calibrated on, of 1; line 5 of bad.csv"),
        ([{**ATTENTION[0], "time_us": "10"}], ("--kernel", "cudnn"), 3, "no usable row of kernel 'cudnn'"),
        ([{**ATTENTION[0], "time_us": "10"}], ("--kernel", "flsh-attention-2"), 3, "flash-attention-2"),
        ([{**ATTENTION[0], "time_us": "10"}], ("--arch", "fusemax_cloud"), 4, "PE arrays"),
        ([{**ATTENTION[0], "time_us": "10"}], ("--arch", "h1000"), 3, "h1000"),
    ],
)
def test_failures_are_one_line_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], options: tuple[str, ...], code: int, words: str
) -> None:
    path = write(tmp_path / "bad.csv", rows)
    assert main(["calibrate", str(path), "--arch", "h100_sxm", "-o", str(tmp_path / "new.yaml"), *options]) == code
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.csv"]


def test_a_constant_at_its_bound_is_marked(tmp_path: Path) -> None:
    rows = [{**row, "time_us": float(row["time_us"]) / 4} for row in timed(ATTENTION)]
    path = write(tmp_path / "fast.csv", rows)
    assert main(["calibrate", str(path), "--arch", "h100_sxm", "--rows", "0", "-o", str(tmp_path / "new.yaml")]) == 0
    constants = yaml.safe_load((tmp_path / "new.yaml").read_text(encoding="utf-8"))["kernels"]["flash-attention-2"]["constants"]
    assert "fitted; at the upper bound of the fit" in [entry["source"] for entry in constants["tensor_efficiency"]]


def test_a_cpu_gets_its_lanes_and_its_caches(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        dict(suite="micro", kernel="copy", backend="torch", bytes=2**power, time_us=2**power / (150e9 if power < 26 else 30e9) * 1e6)
        for power in range(14, 31)
    ]
    rows += [
        dict(suite="micro", backend="numpy", kernel="matmul", dtype="fp32", m=n, n=n, k=n, time_us=2 * n**3 / 200e9 * 1e6)
        for n in (512, 2048)
    ]
    rows.append(dict(suite="micro", backend="torch", kernel="launch-floor", bytes=0, time_us=2.0))
    assert main(["calibrate", str(write(tmp_path / "m.csv", rows)), "--arch", "epyc_turin_2core", "-o", str(tmp_path / "mine.yaml")]) == 0
    machine = machine_at(tmp_path / "mine.yaml")
    assert machine.memory.sustained == pytest.approx(30e9, rel=0.02) and machine.level("l3").sustained == pytest.approx(150e9, rel=0.02)
    assert machine.peak_flops("fp32") == pytest.approx(200e9 / 0.92, rel=0.01)
    assert machine.launch.graph_s == 2e-6
    assert math.isclose(machine.rate("vector", "mul", "fp32") or 0, machine.rate("vector", "mac", "fp32") or 1)
    assert attnsim.run("llama3-8b-prefill", tmp_path / "mine.yaml", "naive").results[0].latency_s > 0
