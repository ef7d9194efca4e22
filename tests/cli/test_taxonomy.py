"""`attnsim taxonomy`: the passes of published algorithms, computed from the equations."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

# arXiv 2406.10491, Table I; Flowformer's three passes over the keys (sum, competition, product with the values) by hand
WANTED = {
    "PyTorch": 3, "TensorFlow": 3, "FLAT": 3, "E.T.": 3, "TileFlow": 2, "Choi et al.": 2,
    "FlashAttention": 1, "FlashAttention-2": 1, "Rabe & Staats": 1, "Flowformer": 3,
}  # fmt: skip


def test_published_algorithms_have_the_passes_of_the_taxonomy(call: Any) -> None:
    done = call("taxonomy", "--format", "json")
    assert done.code == 0
    rows = json.loads(done.out)["cascades"]
    assert {name: row["passes"] for row in rows for name in row["algorithms"]} == WANTED
    assert [row["passes"] for row in rows] == sorted((row["passes"] for row in rows), reverse=True)


def test_live_words_grow_with_the_keys_only_for_several_passes(call: Any) -> None:
    for row in json.loads(call("taxonomy", "--format", "json").out)["cascades"]:
        assert ("M" in row["live_words"]) == (row["passes"] > 1), row


def test_text_and_csv(call: Any, tmp_path: Path) -> None:
    text = call("taxonomy").out
    assert text.splitlines()[0].split()[:3] == ["passes", "cascade", "algorithms"]
    assert any(line.split()[:2] == ["3", "flowformer"] and "Flowformer" in line for line in text.splitlines())
    path = tmp_path / "t.csv"
    assert call("taxonomy", "-o", str(path)).code == 0
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {row["cascade"] for row in rows} >= {"attention-1pass", "attention-2pass", "attention-3pass", "flowformer"}


def test_an_edited_cascade_changes_its_row(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "workloads" / "cascades"
    folder.mkdir(parents=True)
    source = Path(__file__).parents[2] / "workloads" / "cascades" / "flowformer.yaml"
    lines = [line for line in source.read_text().splitlines() if "COMP[m]  =" not in line]
    text = "\n".join(lines).replace("name: flowformer", "name: no-competition").replace("* COMP[m]", "* CE[m]") + "\n"
    (folder / "no-competition.yaml").write_text(text)
    monkeypatch.setenv("ATTNSIM_PATH", str(tmp_path))
    rows = {row["cascade"]: row for row in json.loads(call("taxonomy", "--format", "json").out)["cascades"]}
    assert rows["flowformer"]["passes"] == 3 and rows["no-competition"]["passes"] == 2
