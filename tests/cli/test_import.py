from __future__ import annotations

import json
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
LLAMA = """\
{
  "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
  "num_attention_heads": 32, "vocab_size": 32000, "torch_dtype": "float16"
}
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
    pytest.importorskip("pyarrow")
    from aic_tables import GENERATION, write

    write(tmp_path / "tables", "generation_attention", [GENERATION], framework="vllm")
    monkeypatch.setenv("ATTNSIM_AICONFIGURATOR", str(tmp_path / "tables"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(LLAMA)
    examples = [line.split() for line in call("import", "--help").out.splitlines() if line.strip().startswith("attnsim import")]
    assert len(examples) == 4
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


# --- Hugging Face


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    folder = tmp_path / "Llama 2"
    folder.mkdir()
    (folder / "config.json").write_text(LLAMA)
    return folder / "config.json"


def test_a_config_becomes_a_model_called_after_its_folder(call: Any, llama: Path, tmp_path: Path) -> None:
    done = call("import", str(llama))
    assert done.code == 0 and done.out.startswith("# Llama-2.yaml\nattnsim: 1\nkind: transformer\nname: Llama-2\n") and done.err == ""
    assert call("import", str(llama), "-o", str(tmp_path)).code == 0
    assert (tmp_path / "Llama-2.yaml").read_text() == done.out.partition("\n")[2]


def test_a_model_goes_to_a_file_and_is_called_after_it(call: Any, llama: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    done = call("import", str(llama), "--from", "huggingface", "-o", str(target))
    assert done.code == 0 and done.out == "" and done.err == f"wrote {target}\n"
    checked = call("check", str(target))
    assert checked.code == 0 and "model mine: 6.7 B parameters" in checked.out
    assert str(tmp_path) not in target.read_text()


def test_notes_on_a_model_go_to_stderr(call: Any, llama: Path) -> None:
    llama.write_text(LLAMA.replace(', "torch_dtype": "float16"', ""))
    done = call("import", str(llama))
    assert done.code == 0 and done.err == "note: no torch_dtype: bf16 taken\n" and "weights: bf16" in done.out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1:1: is empty; a config.json is a JSON mapping"),
        ("[1]", "1:1: holds a list; a config.json is a JSON mapping"),
        ('{"model_type": "llama",}', "1:24: not JSON: "),
        (
            '{"hidden_size": 8}',
            "1:1: model_type: missing, so this is no config.json of a Hugging Face model; the fields here are hidden_size",
        ),
        ('{\n "model_type": "mamba"}', "2:2: model_type: 'mamba' is not known"),
        (LLAMA.replace('"vocab_size": 32000, ', ""), "1:1: vocab_size: missing; it must be a whole number"),
        (LLAMA.replace("32000", '"32000"'), "3:30: vocab_size: must be a whole number of at least 1, not '32000'"),
    ],
)
def test_a_bad_config_is_one_line_and_writes_nothing(text: str, told: str, call: Any, llama: Path, tmp_path: Path) -> None:
    llama.write_text(text)
    done = call("import", str(llama), "-o", str(tmp_path / "mine.yaml"))
    assert done.code == 3 and done.out == "" and len(done.err.splitlines()) == 1
    assert done.err.startswith(f"{llama}:{told}") and not (tmp_path / "mine.yaml").exists()


def test_json_in_the_words_of_another_format_is_read_as_such(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "gemm.json"
    path.write_text(json.dumps(yaml.safe_load(GEMM)))
    assert "# gemm.cascade.yaml" in call("import", str(path)).out
    path.write_text('{"attnsim": 1, "kind": "kernel"}')
    assert "attnsim's own files need no import" in call("import", str(path)).err


def test_a_config_of_another_name_is_told_by_its_content(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "llama"
    path.write_text(LLAMA)
    assert call("import", str(path)).out.startswith("# llama.yaml\n")


def test_a_config_is_never_written_over(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(LLAMA)
    done = call("import", str(path), "-o", str(path))
    assert done.code == 2 and "would be written over" in done.err and path.read_text() == LLAMA


def test_a_measured_table_becomes_a_file_that_validate_scores(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    from aic_tables import CONTEXT, GENERATION, write

    write(tmp_path, "context_attention", [CONTEXT, {**CONTEXT, "isl": 2048, "latency": 0.2}, {**CONTEXT, "kernel_source": "triton"}])
    write(tmp_path, "generation_attention", [GENERATION])
    where = ("--data", str(tmp_path))
    assert call("import", "aiconfigurator", *where).out.splitlines()[1].split() == ["h100_sxm", "2"]
    assert "context_attention" in call("import", "aiconfigurator", "h100_sxm", *where).out
    file = str(tmp_path / "prefill.csv")
    done = call("import", "aiconfigurator", "h100_sxm", "context_attention", *where, "-o", file)
    assert (done.code, done.out) == (0, "") and "sglang 0.5.14: 2 rows" in done.err and "Triton" in done.err
    scored = json.loads(call("validate", "--measurements", file, "--arch", "h100_sxm", "--format", "json").out)
    assert scored["summary"]["n"] == 2 and scored["skipped"] == []

    done = call("import", "aiconfigurator", "h100", "gemm", *where)
    assert (done.code, done.out) == (2, "") and "did you mean 'h100_sxm'?" in done.err and done.err.count("\n") == 1
    assert call("import", "aiconfigurator", "h100_sxm", "gemm", "again", *where).code == 2
    assert call("import", "config.json", "--data", str(tmp_path)).code == 2
    done = call("import", "aiconfigurator", "h100_sxm", "gemm", "--data", str(tmp_path / "none"))
    assert done.code == 5 and done.err.count("\n") == 1
    monkeypatch.setenv("ATTNSIM_AICONFIGURATOR", str(tmp_path))
    assert call("import", "aiconfigurator").code == 0
