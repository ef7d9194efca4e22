"""Suite attention: what its rows say, and its CPU rows run; references see a wrong output."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from attnsim.cli.main import main
from attnsim.measure.attention import TOLERANCE, Call, bind_cpu, forward
from attnsim.measure.suites import attention
from attnsim.spec.measurement import ATTENTION, FILE, MEASURED


@pytest.mark.parametrize(("device", "least"), [("cuda", 250), ("cpu", 10)])
def test_counts_and_columns(device: str, least: int) -> None:
    rows = [case.values for case in attention.cases(device, False)]
    assert len(rows) >= least
    assert set(Counter(tuple(sorted((name, str(text)) for name, text in row.items())) for row in rows).values()) == {1}
    for row in rows:
        assert set(ATTENTION) - {"time_us"} <= set(row) <= set(FILE) - (set(MEASURED) - {"suite", "backend"})


def test_few_queries_over_many_keys_are_split() -> None:
    assert Call("torch-flash", 1, 32, 8, 1, 16384, 128, 128).flash_kernel(132) == "flash-decoding"
    assert Call("torch-flash", 256, 32, 32, 1, 16384, 128, 128).flash_kernel(132) == "flash-attention-2"
    assert Call("torch-flash", 256, 32, 8, 1, 16384, 128, 128).flash_kernel(132) == "flash-attention-2"  # its groups packed, not split
    assert Call("torch-flash", 1, 32, 8, 1, 16384, 128, 128, lengths=(16384,)).flash_kernel(132) == "flash-attention-2"


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_cpu_calls_are_right(causal: bool, dtype: str) -> None:
    pytest.importorskip("torch")
    prepared = forward(Call("torch-flash", 2, 4, 4, 96, 96, 32, 32, causal, dtype=dtype), "cpu", bind_cpu)
    assert len(prepared.calls) >= 2 and prepared.check() <= prepared.tolerance


def test_a_wrong_output_is_seen() -> None:
    pytest.importorskip("torch")

    def bind(call: Call, q: Any, k: Any, v: Any) -> Any:
        right = bind_cpu(call, q, k, v)
        return lambda: right() * 1.05

    assert forward(Call("torch-flash", 1, 2, 2, 64, 64, 32, 32, dtype="fp32"), "cpu", bind).check() > TOLERANCE["fp32"]


def test_a_small_run_writes_rows_that_validate_reads(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    target = tmp_path / "rows.csv"
    assert main(["measure", "--device", "cpu", "--suite", "attention", "--small", "--hold", "0.01", "-o", str(target)]) == 0
    lines = [line for line in target.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 1 + len(list(attention.cases("cpu", True)))


@pytest.mark.parametrize("name", ["decode", "sparse", "linear"])
def test_rows_are_listed_without_a_gpu(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    if name == "linear":
        pytest.importorskip("fla")
    assert main(["measure", "--device", "cuda", "--suite", name, "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 30
