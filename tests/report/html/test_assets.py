"""What the pages are made of: known versions of what was vendored, scripts that build no markup from text, one self-contained file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import attnsim
from attnsim.cli.main import main
from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Report
from attnsim.report.html import assets
from attnsim.report.html.page import embedded, report_page
from attnsim.validate import run_cases
from attnsim.validate.summary import FILE, accuracy_summary, shipped_summary, summary_text

VENDOR = assets.FOLDER / "vendor"
OWN = sorted(assets.FOLDER.glob("*.js"))


def test_vendored_scripts_are_what_they_are_said_to_be() -> None:
    listed = json.loads((VENDOR / "vendor.json").read_text())
    assert {entry["file"] for entry in listed} == {path.name for path in VENDOR.glob("*.js")}
    assert {f"vendor/{entry['file']}" for entry in listed} == set(assets.VENDORED)
    for entry in listed:
        content = (VENDOR / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"] and entry["version"] in content[:200].decode()
        assert entry["licence"] == "ISC" and "Permission to use, copy, modify" in (VENDOR / entry["licence_file"]).read_text()


def test_every_script_and_style_is_joined_and_short() -> None:
    assert {path.name for path in OWN} == set(assets.SCRIPTS) and {path.name for path in assets.FOLDER.glob("*.css")} == set(assets.STYLES)
    assert all(len((assets.FOLDER / name).read_text().splitlines()) < 400 for name in assets.STYLES)
    for path in OWN:
        text = path.read_text()
        assert text.startswith('"use strict";\n') and len(text.splitlines()) < 400 and "/**" in text, path.name


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_scripts_make_no_markup_from_text_and_load_nothing(path: Path) -> None:
    text = path.read_text()
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\bfetch\b|XMLHttpRequest|\bimport\b|\.src\b"
    assert not re.findall(forbidden, text)
    assert set(re.findall(r"https?://[^\"']+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml"}


def test_the_style_loads_nothing() -> None:
    assert not re.findall(r"url\(|@import|https?:", assets.style())


def test_data_cannot_end_its_element() -> None:
    text = embedded({"name": "</script><!-- & \u2028\u2029"})
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == {"name": "</script><!-- & \u2028\u2029"}


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_any_data_survives_and_stays_inside(data: Any) -> None:
    text = embedded(data)
    assert not set("<>&\u2028\u2029") & set(text) and json.loads(text) == data


def test_the_policy_allows_this_script_and_this_style_alone(report_file: Path) -> None:
    text = report_file.read_text(encoding="utf-8")
    code, css = text[text.rindex("<script>") + 8 : text.rindex("</script>")], re.findall(r"<style>(.*?)</style>", text, re.S)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none';") and assets.digest(code) in policy and assets.digest(css[0]) in policy
    assert "unsafe" not in policy and "http" not in policy and len(css) == 1


def test_answers_of_one_title_are_told_apart() -> None:
    asked = [{}, {"schedule": "flash-attention-2"}, {"sizes": {"B": 2}}, {"sizes": {"B": 2}}]
    text = report_page([attnsim.run("llama3-8b-prefill", "h100_sxm", **options) for options in asked])
    titles = re.findall(r'"title":"(llama3-8b-prefill on [^"]*)"', text)
    name = "llama3-8b-prefill on h100_sxm, flash-attention"
    assert titles == [f"{name}-3", f"{name}-2", f"{name}-3, sizes.B=2, 1", f"{name}-3, sizes.B=2, 2"]


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one answer"):
        report_page([])


def test_the_same_reports_give_the_same_page(reports: list[Report], report_file: Path) -> None:
    assert report_page(reports) == report_file.read_text(encoding="utf-8")


def test_a_report_of_twenty_results_is_small(reports: list[Report]) -> None:
    kernels = [
        attnsim.run(workload, machine, sizes={"B": batch})
        for batch in (1, 2)
        for workload in ("llama3-8b-prefill", "llama3-8b-decode")
        for machine in ("h100_sxm", "a100_sxm_80gb")
    ]
    several = [*reports, *kernels]
    results = sum(len(report.results) for report in several)
    assert results >= 19 and len(report_page(several).encode()) < 3_000_000 * results / 20


def test_the_command_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.html"
    assert main(["report", "llama3-8b-decode", "h100_sxm", "a100_sxm_80gb", "--set", "sizes.B=4", "-o", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.count('"title":"llama3-8b-decode on ') == 2 and "--set sizes.B=4" in text
    assert capsys.readouterr() == ("", f"wrote {path}\n")


def test_what_cannot_run_together_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.html"
    assert main(["report", "llama3-70b-serving", "llama3-8b-decode", "h100_sxm", "--set", "batch=4000", "-o", str(path)]) == 3, (
        "an unknown field"
    )
    capsys.readouterr()
    assert main(["report", "llama3-70b-serving", "h100_sxm", "l20", "--set", "context=8000", "--set", "prices=null", "-o", str(path)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("left out: llama3-70b-serving on l20: ") and told[-1] == f"wrote {path}"
    assert told[0].split(": ", 2)[2][:40] in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["llama3-8b-decode"], 2, "a machine is missing; write for example attnsim report"),
        (["llama3-8b-decode", "h100_sx"], 3, "'h100_sx' is neither a workload nor a machine of the library; did you mean 'h100_sxm'"),
        (["llama3-8b-decode", "h100_sxm", "-o", "missing/report.html"], 2, "there is no folder 'missing'"),
        (["llama3-8b-decode", "h100_sxm", "-o", "report.pdf"], 2, "cannot write a page to 'report.pdf': end the name in .html"),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *words]) == code
    assert told in capsys.readouterr().err


def test_the_shipped_summary_is_what_validate_finds() -> None:
    """Else: python tools/accuracy_summary.py."""
    found: dict[str, Any] = accuracy_summary(run_cases())
    shipped = shipped_summary()
    assert (Path(__file__).parents[3] / "validation" / FILE).read_text(encoding="utf-8") == summary_text(shipped)
    assert found == shipped
