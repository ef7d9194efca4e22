from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

import attnsim

ASKED = ("recommend", "hunyuanvideo-gna", "b200")


def test_text_is_the_repr_of_the_answer(call: Any) -> None:
    done = call(*ASKED, "--top", "3")
    assert done.code == 0 and done.err == ""
    assert done.out == repr(attnsim.recommend("hunyuanvideo-gna", "b200", top=3)) + "\n"
    rows = [line.split() for line in done.out.splitlines() if line.startswith("18x24x24")]
    assert len(rows) == 3 and rows[0][1:5] == ["16x8x8", "4x8x8", "/", "2x8x8"]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--schedule", "natten-blackwell", "--set", "schedule.buffers.K=1", "--set", "dtype=fp16"),
        ("--window", "30x40x40", "--max-stride", "8", "--set", "conditions.launch=stream"),
        ("--dilation", "--window", "-1x24x24", "--max-stride", "2x8x1"),
    ],
    ids=lambda options: " ".join(options) or "plain",
)
def test_the_command_it_ends_with_runs_the_first_row(options: tuple[str, ...], call: Any) -> None:
    shown = call(*ASKED, *options).out.splitlines()
    assert shown[-2] == "the first row:"
    data = json.loads(call(*ASKED, *options, "--format", "json").out)
    words = shlex.split(shown[-1])
    assert words[0] == "attnsim" and shlex.split(data["command"]) == words
    (ran,) = json.loads(call(*words[1:], "--format", "json").out)["results"]
    assert ran["latency_s"] == data["results"][0]["latency_s"]
    assert ran["mask"]["density"] == data["results"][0]["density"]


def test_json_is_the_dict_of_the_answer(call: Any) -> None:
    done = call(*ASKED, "--min-sparsity", "0.95", "--top", "2", "--format", "json")
    found = attnsim.recommend("hunyuanvideo-gna", "b200", min_sparsity=0.95, top=2)
    data = json.loads(done.out)
    assert data == json.loads(json.dumps(found.to_dict())) and list(data) == sorted(data)


def test_csv_is_one_row_a_setting(call: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    done = call(*ASKED, "--max-stride", "8", "-o", str(target))
    assert done.code == 0 and done.err == f"wrote {target}\n"
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    found = attnsim.recommend("hunyuanvideo-gna", "b200", max_stride=8).results
    assert [row["stride"] for row in rows] == [";".join(map(str, one.stride)) for one in found]
    assert [float(row["latency_s"]) for row in rows] == [one.latency_s for one in found]
    assert {row["arch"] for row in rows} == {"b200"}


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--window", "18xx24"), 2, "cannot read '18xx24'; write for example 18x24x24"),
        (("--window", "18x24"), 2, "window 18x24 has 2 axes, but the layout has 3"),
        (("--window", "18x24x2.5"), 2, "cannot read '18x24x2.5'"),
        (("--max-stride", "wide"), 2, "cannot read 'wide'; write for example 16x8x8"),
        (("--min-sparsity", "90"), 2, "90"),
        (("--top", "0"), 2, "0"),
        (("--min-sparsity", "0.99999"), 4, "hunyuanvideo-gna.yaml:10:49: mask.window: no window has a sparsity of at least 0.99999;"),
        (("--set", "mask={kind: causal}"), 3, "recommend needs a kernel with a layout of tokens"),
        (("--set", "mask.stride=[1,2]"), 3, "one entry for each of the 3 axes"),
        (("--schedule", "flash-attention-4"), 4, "flash-attention-4 skips no tiles of a neighborhood mask"),
        (("--schedule", "natten-hopper"), 4, "requires isa == sm_90"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(options: tuple[str, ...], code: int, says: str, call: Any) -> None:
    done = call(*ASKED, *options)
    assert done.code == code and done.out == "" and says in done.err
    assert len([line for line in done.err.splitlines() if line and not line.startswith(("Usage:", "Try "))]) == 1
