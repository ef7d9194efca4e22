"""Rows of every kind of kernel: read, asked and predicted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.api.collective import run_collective
from attnsim.errors import SpecError
from attnsim.machine.load import load_machine
from attnsim.spec.collective import CollectiveSpec
from attnsim.spec.measurement import FILE
from attnsim.validate import MeasurementReport, score_measurements
from attnsim.validate.answer import micro
from attnsim.validate.call import Call

ARCH = "h100_sxm"
ATTENTION = {
    "kernel": "flashinfer-decode", "direction": "forward", "dtype": "bf16", "batch": 4, "heads_q": 32, "heads_kv": 8, "seqlen_q": 1,
    "seqlen_kv": 8192, "head_dim": 128, "head_dim_v": 128, "causal": 0, "time_us": 50,
}  # fmt: skip


def write(path: Path, *rows: dict[str, Any], columns: Any = FILE) -> Path:
    def cell(value: Any) -> str:
        return f'"{value}"' if "," in str(value) else str(value)

    lines = [",".join(cell(row.get(column, "")) for column in columns) for row in rows]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")
    return path


@pytest.fixture
def score(tmp_path: Path) -> Any:
    def scored(*rows: dict[str, Any], arch: Any = ARCH, columns: Any = FILE) -> MeasurementReport:
        return score_measurements(write(tmp_path / "m.csv", *rows, columns=columns), arch)

    return scored


def predicted(report: MeasurementReport) -> float:
    assert not report.skipped, report.skipped
    (row,) = report.rows
    return row.prediction.latency_s


def kernel(cascade: str, schedule: str, **sizes: int) -> float:
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": cascade, "sizes": sizes, "dtype": "bf16", "schedule": schedule}
    return attnsim.run(workload, ARCH).results[0].latency_s


def test_products_norms_and_activations_are_their_cascades(score: Any) -> None:
    product = {"kernel": "matmul", "dtype": "bf16", "m": 64, "n": 4096, "k": 8192, "time_us": 30}
    assert predicted(score(product)) == kernel("linear", "matmul", P=64, N=4096, K=8192)
    grouped = product | {"kernel": "grouped_matmul", "experts": 8}
    assert predicted(score(grouped)) == kernel("grouped-linear", "grouped-matmul", X=8, P=64, N=4096, K=8192)
    norm = {"kernel": "row-norm", "operation": "add-rms-norm", "dtype": "bf16", "m": 512, "n": 4096, "time_us": 9}
    assert predicted(score(norm)) == kernel("add-rms-norm", "row-norm", P=512, D=4096)
    activation = norm | {"kernel": "elementwise", "operation": "silu-mul"}
    assert predicted(score(activation)) == kernel("silu-mul", "elementwise", P=512, D=4096)


def test_a_row_fills_the_columns_of_its_own_kind(score: Any) -> None:
    grouped = {"kernel": "grouped-matmul", "dtype": "bf16", "m": 64, "n": 4096, "k": 8192, "time_us": 30}
    norm = {"kernel": "row-norm", "operation": "rms-nrom", "dtype": "bf16", "m": 512, "n": 4096, "time_us": 9}
    narrow = ("kernel", "dtype", "m", "n", "k", "time_us")
    assert "experts is ''" in score(grouped).skipped[0].reason
    assert "operation: unknown cascade 'rms-nrom'; did you mean 'rms-norm'?" in score(norm).skipped[0].reason
    (skipped,) = score(grouped | {"kernel": "matmul"}, norm, columns=narrow).skipped
    assert skipped.reason == "kernel 'row-norm' needs the column operation, which the file lacks"


def test_collectives_run_over_the_links_of_the_machine(score: Any) -> None:
    def answer(name: str, algorithm: str, devices: int, size: int) -> Any:
        spec = CollectiveSpec(kind=name, algorithm=algorithm)  # type: ignore[arg-type]
        return run_collective(spec, load_machine(ARCH), {"bytes": size, "devices": devices})

    row = {"kernel": "all-reduce", "devices": 8, "bytes": 1 << 20, "time_us": 40}
    for algorithm in ("one-shot", "two-shot", ""):
        (scored,) = score(row | {"algorithm": algorithm}).rows
        wanted = answer("all-reduce", algorithm, 8, 1 << 20)
        assert (scored.prediction.latency_s, scored.prediction.lower_bound_s) == (wanted.time_s, wanted.lower_bound_s)
    assert predicted(score(row | {"algorithm": "nccl"})) == min(answer("all-reduce", name, 8, 1 << 20).time_s for name in ("ring", "tree"))
    assert predicted(score(row | {"kernel": "all_gather", "algorithm": "nccl"})) == answer("all-gather", "", 8, 1 << 20).time_s
    assert predicted(score(row | {"kernel": "send", "devices": 2})) > 0
    (skipped,) = score(row | {"algorithm": "three-shot"}).skipped
    assert "three-shot" in skipped.reason
    assert score(row, arch="rtx_4090").skipped


def test_whole_models_and_layers_of_them(score: Any) -> None:
    row = {"kernel": "model", "model": "llama3-8b", "phase": "decode", "dtype": "bf16", "batch": 8, "context": 2048, "devices": 1}
    row["time_us"] = 5000
    workload = {
        "attnsim": 1, "kind": "model", "name": "x", "model": "llama3-8b", "phase": "decode", "batch": 8, "context": 2048, "dtype": "bf16",
        "deployment": {"kind": "colocated", "tp": 1},
    }  # fmt: skip
    whole = attnsim.run(workload, ARCH).results[0]
    assert predicted(score(row)) == whole.latency_s
    layers = whole.latency_s - whole.parts["head"]["time_s"]
    for count in (4, 32):
        (scored,) = score(row | {"layers": count}).rows
        assert scored.prediction.latency_s == pytest.approx(layers * count / 32)
        assert 0 < scored.prediction.lower_bound_s < scored.prediction.latency_s
    assert score(row | {"layers": 33}).skipped[0].reason == "layers is 33; llama3-8b has 32"
    assert "phase is 'train'" in score(row | {"phase": "train"}).skipped[0].reason
    assert "llama3-9b" in score(row | {"model": "llama3-9b"}).skipped[0].reason


def test_layers_of_a_model_with_several_kinds_are_its_first(score: Any) -> None:
    row = {"kernel": "model", "model": "deepseek-v3", "phase": "decode", "dtype": "fp8", "batch": 8, "context": 2048, "devices": 8}
    three, four = (predicted(score(row | {"layers": n, "time_us": 900})) for n in (3, 4))
    assert 0 < three < four


def test_the_speed_of_the_machine_itself(score: Any) -> None:
    machine = load_machine(ARCH)
    launch, memory, l2 = machine.launch, machine.memory, machine.level("l2")
    assert predicted(score({"kernel": "copy", "bytes": 1 << 30, "time_us": 700})) == launch.graph_s + (1 << 30) / memory.sustained
    assert predicted(score({"kernel": "read", "bytes": 1 << 20, "time_us": 3})) == launch.graph_s + (1 << 20) / l2.sustained
    rotating = {"kernel": "read", "bytes": 1 << 20, "sets": 100, "time_us": 3}
    assert predicted(score(rotating)) == launch.graph_s + (1 << 20) / memory.sustained
    assert predicted(score({"kernel": "launch-stream", "bytes": 0, "time_us": 2})) == launch.stream_s
    assert "bytes is '0'" in score({"kernel": "copy", "bytes": 0, "time_us": 2}).skipped[0].reason


def test_copies_write_half_of_their_bytes_behind_a_ramp() -> None:
    machine = load_machine("h200")
    memory, size = machine.memory, 1 << 30
    read, copied = (micro(call(kernel, size), machine).latency_s for kernel in ("read", "copy"))
    assert read == pytest.approx(machine.launch.graph_s + memory.ramp_s + size / memory.sustained)
    assert copied - read == pytest.approx(size / 2 * (1 / memory.write - 1) / memory.sustained)


def call(kernel: str, size: int) -> Call:
    return Call(2, "micro", kernel, "", {"bytes": size, "sets": 2}, "", ("bytes",), 1.0)


def test_masks_on_one_line(score: Any) -> None:
    row = ATTENTION | {"kernel": "flex-attention", "batch": 1, "heads_kv": 32, "seqlen_q": 4096, "seqlen_kv": 4096}
    window = predicted(score(row | {"causal": 1, "window": 1023}))
    assert predicted(score(row | {"mask": "{kind: window, left: 1023}"})) == window
    assert "write the mask of a workload on one line" in score(row | {"mask": "window 7"}).skipped[0].reason
    assert "mask" in score(row | {"mask": "{kind: windwo}"}).skipped[0].reason


def test_ragged_caches_read_each_sequence_to_its_end(score: Any) -> None:
    even = score(ATTENTION).rows[0].prediction
    assert score(ATTENTION | {"lengths": "8192;8192;8192;8192"}).rows[0].prediction == even
    (ragged,) = score(ATTENTION | {"lengths": "8192;1024;100;2048"}).rows
    mean = score(ATTENTION | {"seqlen_kv": (8192 + 1024 + 100 + 2048) // 4}).rows[0].prediction
    assert ragged.prediction.lower_bound_s == pytest.approx(mean.lower_bound_s, rel=1e-6)
    assert ragged.prediction.latency_s == pytest.approx(mean.latency_s, rel=0.1)


def test_ragged_prefills_are_one_grid_of_packed_sequences(score: Any) -> None:
    row = ATTENTION | {"kernel": "fa2", "batch": 3, "seqlen_q": 4096, "seqlen_kv": 4096, "causal": 1, "time_us": 900}
    (ragged,) = score(row | {"lengths": "4096;1000;300"}).rows
    sizes = {"B": 1, "H": 32, "G": 8, "P": 5396, "M": 5396, "E": 128, "F": 128}
    mask = {"kind": "packed", "lengths": [4096, 1000, 300], "causal": True}
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": "attention-1pass", "sizes": sizes, "dtype": "bf16", "mask": mask}
    assert ragged.prediction.latency_s == attnsim.run(workload | {"schedule": "fa2"}, ARCH).results[0].latency_s
    assert "packed" in score(row | {"kernel": "fa3", "lengths": "4096;1000;300"}).skipped[0].reason


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"lengths": "8192;1;1;1", "seqlen_q": 2}, "ragged batches are not predicted"),
        ({"lengths": "8192;1;1;1", "window": 5}, "ragged batches are not predicted"),
        ({"lengths": "8192;1;1"}, "lengths has 3 sequences"),
        ({"lengths": "100;1;1;1"}, "the longest of 100 keys"),
        ({"lengths": "8192;1;x;1"}, "lengths is 'x'"),
    ],
)
def test_other_ragged_rows_are_skipped(score: Any, changed: dict[str, Any], reason: str) -> None:
    assert reason in score(ATTENTION | changed).skipped[0].reason


def test_latent_attention_takes_its_widths_apart(score: Any) -> None:
    row = ATTENTION | {"kernel": "flashinfer-mla", "heads_q": 128, "heads_kv": 1, "head_dim": 576, "head_dim_v": 512}
    sizes = {"B": 4, "H": 128, "P": 1, "M": 8192, "C": 512, "R": 64}
    workload = {"attnsim": 1, "kind": "kernel", "name": "x", "cascade": "mla-absorbed", "sizes": sizes, "dtype": "bf16"}
    assert predicted(score(row)) == attnsim.run(workload | {"schedule": "flashinfer-mla"}, ARCH).results[0].latency_s
    assert "heads_kv 1" in score(row | {"heads_kv": 2}).skipped[0].reason


def test_kernels_and_their_variants_are_scored_apart(score: Any) -> None:
    backward = ATTENTION | {"kernel": "fa3", "direction": "backward", "seqlen_q": 8192, "time_us": 9000}
    reduce = {"kernel": "all-reduce", "devices": 8, "bytes": 1 << 20, "time_us": 40}
    report = score(ATTENTION, backward, reduce, reduce | {"algorithm": "one-shot"}, {"kernel": "launch-graph", "bytes": 0, "time_us": 1.2})
    assert report.groups == (
        ("all-reduce", ""), ("all-reduce", "one-shot"), ("flash-attention-3", "backward"), ("flashinfer-decode", "forward"),
        ("launch-graph", ""),
    )  # fmt: skip
    assert set(report.to_dict()["by_kernel"]) == {"all-reduce", "flash-attention-3", "flashinfer-decode", "launch-graph"}


def test_the_columns_of_one_kind_are_enough_and_missing_ones_are_named(score: Any) -> None:
    with pytest.raises(SpecError, match="column 'window' is missing"):
        score(ATTENTION, columns=[c for c in ATTENTION])
    with pytest.raises(SpecError, match="column 'k' is missing"):
        score({"kernel": "matmul"}, columns=("kernel", "dtype", "m", "n", "time_us"))
    with pytest.raises(SpecError, match="'time_ms' is in another unit: convert to us and call the column 'time_us'"):
        score({"kernel": "matmul"}, columns=("kernel", "dtype", "m", "n", "k", "time_ms"))


def test_rows_are_fitted_by_their_column_or_by_the_calibration_record(tmp_path: Path) -> None:
    rows = [{"kernel": "launch-graph", "bytes": 0, "time_us": t, "fitted": f} for t, f in ((1.2, 1), (1.3, ""), (1.4, "no"), (1.5, 0))]
    path = write(tmp_path / "m.csv", *rows, columns=("kernel", "bytes", "time_us", "fitted"))
    report = score_measurements(path, ARCH)
    assert [row.fitted for row in report.rows] == [True, False, False] and report.skipped[0].line == 4
    assert report.to_dict()["fitted"]["n"] == 1 and report.to_dict()["held_out"]["n"] == 2
    from attnsim.validate.fitted import calibrated_lines

    record = {"file": "m.csv", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": {"launch.graph": [3], "matmul": [5]}}
    assert calibrated_lines({"extends": ARCH, "calibration": record}, path) == {3, 5}
    assert not calibrated_lines({"extends": ARCH, "calibration": record | {"sha256": "0"}}, path) and not calibrated_lines(ARCH, path)
