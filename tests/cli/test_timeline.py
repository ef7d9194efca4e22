"""`attnsim timeline` and `attnsim run --trace`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import attnsim


def test_a_figure_and_its_data(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "w.svg"
    done = call("timeline", "llama3-8b-decode", "a100_sxm_80gb", "--set", "sizes.B=16", "-o", str(target))
    assert done.code == 0 and done.out == "" and done.err == f"wrote {target} and {tmp_path / 'w.csv'}\n"
    assert target.read_text().startswith("<?xml")
    assert (tmp_path / "w.csv").read_text().startswith("processor,slot,name,ctas,start_s,end_s,tiles,masked_tiles,cycles\n")


@pytest.mark.parametrize("target", ["w.gif", "w", "missing/w.svg"])
def test_a_figure_that_cannot_be_written_is_refused_before_the_work(
    target: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(attnsim), "run", lambda *_a, **_k: pytest.fail("the work was done first"))
    done = call("timeline", "llama3-8b-prefill", "h100_sxm", "-o", str(tmp_path / target))
    assert done.code == 2 and done.err.count("\n") == 1


def test_a_trace_beside_the_answer(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "t.json.gz"
    line = ("run", "llama3-8b-decode", "h100_sxm", "--set", "sizes.B=8")
    done = call(*line, "--format", "json", "--trace", str(target))
    assert done.code == 0 and done.out == call(*line, "--format", "json").out
    made = json.loads(gzip.decompress(target.read_bytes()))
    assert made["otherData"]["command"] == "attnsim run llama3-8b-decode h100_sxm --set sizes.B=8"
    assert made["otherData"]["latency_s"] == json.loads(done.out)["results"][0]["latency_s"]
    count = len(made["traceEvents"])
    assert done.err == f"wrote {target}: {count} events; open it in ui.perfetto.dev or chrome://tracing\n"


@pytest.mark.parametrize(
    ("target", "output", "says"),
    [
        ("t.txt", None, "cannot write a trace to"),
        ("missing/t.json", None, "there is no folder"),
        ("t.json", "t.json", "cannot be both the answer (-o) and the trace (--trace)"),
    ],
)
def test_a_trace_that_cannot_be_written_is_refused_before_the_work(
    target: str, output: str | None, says: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(attnsim), "run", lambda *_a, **_k: pytest.fail("the work was done first"))
    other = [] if output is None else ["-o", str(tmp_path / output)]
    done = call("run", "llama3-8b-prefill", "h100_sxm", "--trace", str(tmp_path / target), *other)
    assert done.code == 2 and says in done.err and done.err.count("\n") == 1
