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


MIXED = """kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,head_dim_v,causal,window,m,n,k,time_us
flash-attention-3,forward,bf16,4,16,16,4096,4096,128,128,0,,,,,900
flash-attention-3,forward,bf16,4,16,16,4096,4096,128,128,1,,,,,5
matmul,,bf16,,,,,,,,,,4096,4096,4096,230
no<such>kernel,forward,bf16,4,16,16,4096,4096,128,128,0,,,,,900
"""


def test_one_page_and_one_figure_are_written_beside_the_answer(call: Any, tmp_path: Path) -> None:
    file, page, figure = (tmp_path / name for name in ("m.csv", "m.html", "m.svg"))
    file.write_text(MIXED)
    done = call("validate", "--measurements", str(file), "--arch", "h100_sxm", "--report", str(page), "--figure", str(figure))
    assert done.code == 1 and "3 rows scored, 1 skipped" in done.out and "below floor" in done.out
    assert f"wrote {page}" in done.err and f"wrote {figure}" in done.err
    html = page.read_text()
    for words in (
        "By kernel",
        "Simpler models on the same rows",
        "Worst rows",
        "Faster than possible",
        "Skipped",
        "no&lt;such&gt;kernel",
        "<svg",
    ):
        assert words in html, words
    assert "<such>" not in html and all(mark not in html for mark in ('src="http', "<script", "<link"))  # it stands alone
    assert figure.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(("option", "name"), [("--report", "missing/m.html"), ("--figure", "missing/m.svg"), ("--figure", "m.doc")])
def test_a_page_that_cannot_be_written_is_told_before_the_work(call: Any, tmp_path: Path, option: str, name: str) -> None:
    file = tmp_path / "m.csv"
    file.write_text(MIXED)
    done = call("validate", "--measurements", str(file), "--arch", "h100_sxm", option, str(tmp_path / name))
    assert done.code == 2 and not done.out and len(done.err.strip().split("\n")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.csv"]


def test_lint_names_what_cannot_be(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text(MIXED)
    done = call("lint-measurements", str(file), "--arch", "h100_sxm")
    assert done.code == 1
    assert f"{file}:3: " in done.out and "faster" in done.out and f"{file}:5: bad row" in done.out
    file.write_text("".join(MIXED.splitlines(True)[:2]))
    assert call("lint-measurements", str(file), "--arch", "h100_sxm").code == 0
