from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

GEMM = """\
einsum:
  declaration: {A: [K, M], B: [K, N], Z: [M, N]}
  expressions: ["Z[m, n] = A[k, m] * B[k, n]"]
mapping:
  rank-order: {A: [M, K]}
  spacetime: {Z: {space: [M, N], time: [K]}}
rank-sizes: {M: 1000, N: 600, K: 300}
"""
NAMES = ["gemm.cascade.yaml", "gemm.schedule.yaml", "gemm.workload.yaml"]


@pytest.fixture
def gemm(tmp_path: Path) -> Path:
    path = tmp_path / "gemm.yaml"
    path.write_text(GEMM)
    return path


def test_the_documents_go_to_stdout_and_the_notes_to_stderr(call: Any, gemm: Path) -> None:
    done = call("import", str(gemm))
    parts = done.out.split("---\n")
    assert done.code == 0 and [part.splitlines()[0] for part in parts] == [f"# {name}" for name in NAMES]
    assert [document["kind"] for document in yaml.safe_load_all(done.out)] == ["cascade", "schedule", "kernel"]
    assert done.err.startswith("note: rank-order is left out") and len(done.err.splitlines()) == 1
    assert call("import", "-q", str(gemm)).err == ""


def test_a_folder_gets_files_that_check_and_run(call: Any, gemm: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    done = call("import", str(gemm), "--from", "teaal", "-o", str(folder))
    assert done.code == 0 and done.out == ""
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert [line for line in done.err.splitlines() if line.startswith("wrote ")] == [f"wrote {folder / name}" for name in NAMES]
    assert call("check", *(str(folder / name) for name in NAMES)).code == 0
    shown = call("run", str(folder / "gemm.workload.yaml"), "fusemax_cloud")
    assert shown.code == 0 and "schedule   gemm" in shown.out


def test_the_examples_of_the_help_run(call: Any, gemm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [line.split() for line in call("import", "--help").out.splitlines() if line.strip().startswith("attnsim import")]
    assert len(examples) == 2
    for example in examples:
        assert call(*example[1:]).code == 0


def test_a_file_with_mistakes_writes_nothing_and_shows_them_all(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(GEMM.replace("* B[k, n]", "* C[k, n]") + "format: {}\n")
    done = call("import", str(path), "-o", str(tmp_path))
    assert done.code == 3 and done.out == "" and [entry.name for entry in tmp_path.iterdir()] == ["bad.yaml"]
    assert [line.split(" ")[0] for line in done.err.splitlines()] == [f"{path}:3:17:", f"{path}:8:1:"]


def test_the_wrong_format_is_refused_at_its_place(call: Any, gemm: Path) -> None:
    done = call("import", str(gemm), "--from", "accelforge")
    assert done.code == 3 and "einsums: missing" in done.err


@pytest.mark.parametrize("args", [("none.yaml",), (".",)])
def test_a_file_that_cannot_be_read_exits_3(args: tuple[str, ...], call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("import", *args)
    assert done.code == 3 and len(done.err.splitlines()) == 1 and args[0] in done.err


def test_a_missing_folder_is_a_usage_error(call: Any, gemm: Path, tmp_path: Path) -> None:
    done = call("import", str(gemm), "-o", str(tmp_path / "none"))
    assert done.code == 2 and "make it first" in done.err and not (tmp_path / "none").exists()


def test_the_file_itself_is_never_written_over(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "gemm.workload.yaml"
    path.write_text(GEMM)
    done = call("import", str(path), "-o", str(tmp_path))
    assert done.code == 2 and "written over" in done.err
    assert path.read_text() == GEMM and [entry.name for entry in tmp_path.iterdir()] == ["gemm.workload.yaml"]
