"""Whole processes, as a person at a terminal waits for them: start of Python to the last byte printed."""

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROOT = Path(__file__).resolve().parents[1]

# The console script of the environment that runs the benchmark: what a user types, with its own import cost.
ATTNSIM = Path(sys.executable).with_name("attnsim")

COMMANDS = {
    "help": ("--help",),
    "run-prefill": ("run", "workloads/examples/llama3-8b-prefill.yaml", "h100_sxm"),
    "run-decode": ("run", "workloads/examples/llama3-8b-decode.yaml", "h100_sxm"),
    "run-json": ("run", "workloads/examples/llama3-8b-prefill.yaml", "h100_sxm", "--format", "json"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_process(benchmark: BenchmarkFixture, name: str) -> None:
    benchmark.group = "process"

    def call() -> str:
        return subprocess.run([ATTNSIM, *COMMANDS[name]], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    # Two warm-up rounds: the byte code and the files are then in the page cache, as for anyone's second call.
    printed = benchmark.pedantic(call, rounds=15, warmup_rounds=2)
    assert printed.strip()
