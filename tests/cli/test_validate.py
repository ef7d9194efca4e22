from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import attnsim.validate as scores

HEAD = "kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,head_dim_v,causal,window,time_us\n"
GOOD = "flash-attention-3,forward,bf16,1,32,32,8192,8192,128,128,1,,1025\n"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A validation whose verdict the test chooses."""
    seen = SimpleNamespace(names=None, ok=True)

    def run_cases(names: Any, **options: Any) -> Any:
        seen.names = tuple(names)
        return SimpleNamespace(ok=seen.ok, text=lambda: "the table", to_dict=lambda: {"summary": {}})

    monkeypatch.setattr(scores, "run_cases", run_cases)
    return seen


def test_the_cases_named_are_run_and_a_failure_exits_1(call: Any, fake: SimpleNamespace) -> None:
    done = call("validate", "one", "two")
    assert (done.code, done.out, done.err) == (0, "the table\n", "") and fake.names == ("one", "two")
    fake.ok = False
    done = call("validate", "--format", "json")
    assert done.code == 1 and json.loads(done.out) == {"summary": {}} and fake.names == ()


def test_a_shipped_case_runs(call: Any) -> None:
    data = json.loads(call("validate", "fa2-a100-forward", "--format", "json").out)
    assert "fa2-a100-forward" in json.dumps(data)
    assert "fa2-a100-forward" in call("validate", "fa2-a100-forward").out


def test_an_unknown_case_is_named(call: Any) -> None:
    done = call("validate", "fa2-a100-forwrad")
    assert done.code in (2, 3) and done.out == "" and "fa2-a100-forward" in done.err


def test_measurements_are_scored(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(HEAD + GOOD)
    done = call("validate", "--measurements", str(path), "--arch", "h100_sxm", "--format", "json")
    data = json.loads(done.out)
    assert done.code == 0 and data["summary"]["n"] == 1 and data["skipped"] == []


def test_a_skipped_row_exits_1_and_the_answer_is_still_printed(call: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(HEAD + GOOD + GOOD.replace("flash-attention-3", "no-such-kernel"))
    done = call("validate", "--measurements", str(path), "--arch", "h100_sxm", "--format", "json")
    data = json.loads(done.out)
    assert done.code == 1 and data["summary"]["n"] == 1 and len(data["skipped"]) == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--measurements", "m.csv"), "--arch is missing"),
        (("--arch", "h100_sxm"), "--measurements is missing"),
        (("case", "--measurements", "m.csv", "--arch", "h100_sxm"), "leave the case names out"),
    ],
)
def test_options_that_do_not_fit_are_usage_errors(args: tuple[str, ...], says: str, call: Any) -> None:
    done = call("validate", *args)
    assert done.code == 2 and says in done.err


def test_a_missing_measurement_file_is_one_line(call: Any, tmp_path: Path) -> None:
    done = call("validate", "--measurements", str(tmp_path / "none.csv"), "--arch", "h100_sxm")
    assert done.code in (2, 3, 5) and len(done.err.splitlines()) == 1 and "none.csv" in done.err


def test_tables_that_are_not_here_exit_5_with_one_line(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNSIM_AICONFIGURATOR", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = call("validate", "aiconfigurator")
    assert (done.code, done.out) == (5, "") and done.err.count("\n") == 1
    assert "pip install --no-deps aiconfigurator-core==0.12.0" in done.err


def test_measured_tables_are_scored_from_a_folder(call: Any, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from aic_tables import CONTEXT, write

    write(tmp_path, "context_attention", [{**CONTEXT, "isl": n} for n in (1024, 2048, 4096)])
    case = tmp_path / "mine"
    case.mkdir()
    (case / "measured.yaml").write_text(
        "attnsim: 1\nkind: measured-tables\nname: mine\ntitle: Mine\nsource: me\nlicence: none\nfit_rows: 1\ntables:\n"
        "  - {name: t, arch: h100_sxm, phase: prefill, system: h100_sxm, framework: sglang, version: 0.5.14, schedule: flash-attention-3}\n"
    )
    done = call("validate", str(case), "--data", str(tmp_path), "--sample", "1", "--format", "json")
    (made,) = json.loads(done.out)["measured"]
    assert made["tables"][0]["held_out"]["n"] == 1 and made["tables"][0]["held_out_rows"] == 2 and "t: 2 of 2 rows" in done.err
    assert call("validate", str(case), "--data", str(tmp_path), "--sample", "0").code == 2
