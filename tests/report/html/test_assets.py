"""What the pages are made of: known versions of what was vendored, scripts that build no markup from text, one self-contained file."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import attnsim
from attnsim.cli.main import main
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


def test_every_script_is_joined_and_short() -> None:
    assert {path.name for path in OWN} == set(assets.SCRIPTS)
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


def test_the_policy_allows_this_script_and_this_style_alone(report_file: Path) -> None:
    text = report_file.read_text(encoding="utf-8")
    code, css = text[text.rindex("<script>") + 8 : text.rindex("</script>")], re.findall(r"<style>(.*?)</style>", text, re.S)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none';") and assets.digest(code) in policy and assets.digest(css[0]) in policy
    assert "unsafe" not in policy and "http" not in policy and len(css) == 1


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


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["llama3-8b-decode"], 2, "a machine is missing; write for example attnsim report"),
        (["llama3-8b-decode", "h100_sx"], 3, "'h100_sx' is neither a workload nor a machine of the library; did you mean 'h100_sxm'"),
        (["llama3-8b-decode", "h100_sxm", "-o", "missing/report.html"], 2, "there is no folder 'missing'"),
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
