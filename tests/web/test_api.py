"""The API gives the numbers of `attnsim.run`, and commands and calls that give them once more."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

import attnsim
from attnsim.spec import library
from attnsim.web.answers import FORMS
from attnsim.web.app import create_app
from attnsim.web.limits import check_document

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., Any]

KERNEL = """attnsim: 1
kind: kernel
name: mine
cascade: attention-1pass
sizes: {B: 2, H: 8, G: 2, P: 1024, M: 2048, E: 64, F: 64}
dtype: bf16
mask: {kind: window, left: 255}
"""
SCHEDULE = "extends: flash-attention-2\nname: mine\nconstants: {tensor_efficiency: {value: 0.5, source: guessed}}\n"
QUESTIONS = [
    {"workload": "llama3-8b-prefill"},
    {
        "workload": "llama3-8b-prefill", "arch": "a100_sxm_80gb", "schedule": "fa2",
        "sets": ("sizes.M=4096", "sizes.P=4096", "arch.processors.count=66"),
    },
    {"workload": "llama3-8b-decode", "sets": ("mask={kind: window, left: 1023, right: 0}", "dtype=fp16")},
    {"workload": "llama3-70b-serving", "sets": ("context=4096", "deployment.tp=8", "prices=null")},
    {"workload": "wan2.1-1.3b"},
    {"workload": "fusemax-bert-encoder", "arch": "fusemax_cloud"},
    {"workload": KERNEL, "sets": ("sizes.B=4",)},
    {"workload": KERNEL, "schedule": SCHEDULE, "sets": ("schedule.constants.tensor_efficiency.value=0.6",)},
    {"workload": "llama3-8b-prefill", "arch": "extends: h100_sxm\nname: faster\nprocessors: {count: 264}\n"},
]  # fmt: skip


def numbers(report: dict[str, Any]) -> list[tuple[float, float]]:
    return [(result["latency_s"], result["lower_bound_s"]) for result in report["results"]]


def shell(command: str, folder: Path) -> dict[str, Any]:
    """What a command line of the page prints when it is typed into a shell, with --format json."""
    name = f"{sys.executable} -m attnsim run"
    typed = (
        command.replace("attnsim run", name, 1) if command.startswith("attnsim run") else command.replace("\nattnsim run", f"\n{name}", 1)
    )
    done = subprocess.run(
        ["bash", "-euc", f"{typed} --format json"], cwd=folder, env={"PYTHONPATH": str(ROOT / "simulator"), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["workload"].splitlines()[0])
def test_the_page_its_call_and_its_file_show_the_same_numbers(ask: Ask, question: dict[str, Any]) -> None:
    answer = ask(**question)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    of_view = [(result["latency_s"], result["lower_bound_s"]) for result in body["view"]["results"]]
    report = eval(body["python"], {"attnsim": attnsim})
    assert of_view == numbers(report.to_dict())
    assert numbers(ask(**question, form="json").json()) == of_view
    assert body["asked"] != body["written"] or not [
        text for text in question.get("sets", ()) if not text.startswith(("arch.", "schedule."))
    ]


@pytest.mark.parametrize("question", [QUESTIONS[1], QUESTIONS[7]], ids=["names", "written out"])
def test_the_command_line_typed_gives_the_same_numbers(ask: Ask, question: dict[str, Any], tmp_path: Path) -> None:
    body = ask(**question).json()
    assert numbers(shell(body["command"], tmp_path)) == numbers(body["view"])


def test_a_here_document_ends_with_a_word_that_is_no_line_of_the_text(ask: Ask, tmp_path: Path) -> None:
    command = ask(KERNEL + "title: |2\n  END\n\n# '$(true)' `true` \\\n").json()["command"]
    assert command.startswith("cat > workload.yaml <<'END'\n")
    flow = "{" + ", ".join(KERNEL.splitlines()) + ', title: "a\nEND\nb"}\n'
    command = ask(flow).json()["command"]
    assert command.startswith("cat > workload.yaml <<'END_'\n") and "\nEND\n" in command
    assert shell(command, tmp_path)["workload"]["name"] == "mine"


def test_every_file(ask: Ask) -> None:
    small = ("sizes.P=1024", "sizes.M=1024")
    found = {form: ask("llama3-8b-prefill", sets=small, form=form) for form in FORMS}
    assert {form: reply.status_code for form, reply in found.items()} == dict.fromkeys(found, 200)
    assert found["csv"].text.startswith("workload,arch,name,")
    assert found["text"].text == repr(attnsim.run("llama3-8b-prefill", "h100_sxm", sets=small)) + "\n"
    assert found["report"].text.startswith("<!DOCTYPE html>")
    assert found["trace"].json()["traceEvents"]
    for form in ("roofline", "mask"):
        assert ElementTree.fromstring(found[form].content).tag.endswith("svg")
        assert found[form].headers["content-disposition"] == f'attachment; filename="llama3-8b-prefill-h100_sxm-{form}.svg"'


def test_the_report_of_a_spec_written_out_repeats_it_as_a_dictionary(ask: Ask) -> None:
    page = ask(KERNEL, form="report").text
    assert "attnsim.run({'attnsim': 1, 'kind': 'kernel', 'name': 'mine'" in page and "Document(" not in page


def test_mistakes_come_with_their_place(ask: Ask) -> None:
    reply = ask(KERNEL.replace("dtype: bf16", "dtype: bf17").replace("left: 255", "left: x"))
    assert reply.status_code == 422
    assert [(issue["file"], issue["line"], issue["column"], issue["path"]) for issue in reply.json()["issues"]] == [
        ("workload.yaml", 6, 1, "dtype"), ("workload.yaml", 7, 22, "mask.left")
    ]  # fmt: skip
    issues = ask(KERNEL, "attnsim: 1\nkind: gpu\nname: x\nprocessors: {}\n").json()["issues"]
    assert {issue["file"] for issue in issues} == {"arch.yaml"} and any(issue["line"] == 4 for issue in issues)
    (issue,) = ask(KERNEL, schedule="extends: flash-attention-2\ntiles: 3\n").json()["issues"]
    assert (issue["file"], issue["line"], issue["path"]) == ("schedule.yaml", 2, "tiles")
    (issue,) = ask("llama3-8b-prefill", sets=("sizes.M=-3",)).json()["issues"]
    assert (issue["file"], issue["path"]) == ("--set sizes.M=-3", "sizes.M")
    (issue,) = ask("llama3-8b-prefil").json()["issues"]
    assert issue["message"] == "unknown workload 'llama3-8b-prefil'; did you mean 'llama3-8b-prefill'?"


def test_a_question_of_the_wrong_form_is_told_in_the_same_way_and_not_repeated(client: TestClient) -> None:
    reply = client.post("/api/answer", json={"workload": {"name": "x"}, "arch": {"yaml": 3}, "more": "<script>"})
    assert reply.status_code == 422
    assert [issue["path"] for issue in reply.json()["issues"]] == ["arch.Named.name", "arch.Named.yaml", "arch.Written.yaml", "more"]
    assert "<script>" not in reply.text
    assert client.post("/api/answer", content=b'{"workload": NaN', headers={"content-type": "application/json"}).status_code == 422


def test_the_catalogue_names_what_can_be_asked(client: TestClient, ask: Ask) -> None:
    found = client.get("/api/catalogue").json()
    assert {entry["name"] for entry in found["library"]["arch"]} == {entry.name for entry in library.entries("arch")}
    assert [entry["content"]["kind"] for entry in found["library"]["workload"] if entry["name"] == "step3-afd"] == ["model"]
    assert {"window", "neighborhood"} <= found["masks"].keys() and {"ideal", "afd"} <= found["deployments"].keys()
    assert {field["name"] for field in found["deployments"]["colocated"]} >= {"tp", "pp"}
    assert ask(**{part: name for part, name in found["first"].items()}).status_code == 200


def test_library_entries_as_they_are_written(client: TestClient) -> None:
    text = client.get("/api/library/schedule/fa2").json()["yaml"]
    assert text == (ROOT / "workloads/schedules/flash-attention-2.yaml").read_text(encoding="utf-8")
    assert client.get("/api/library/schedule/none").status_code == 422
    assert client.get("/api/library/prices/prices").status_code == 422


@pytest.mark.parametrize("kind", ["workload", "arch", "schedule", "cascade", "model"])
def test_the_limits_leave_room_for_the_library(kind: library.Kind) -> None:
    for entry in library.entries(kind):
        assert len(entry.path.read_text(encoding="utf-8")) < 32 * 1024
        check_document(library.load(kind, entry.name))


def test_nothing_about_the_application_is_loaded_from_elsewhere(client: TestClient) -> None:
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
    page = client.get("/").text
    assert "http://" not in page and "https://" not in page and "<style" not in page and "onclick" not in page
    for name in ("question.js", "form.js", "explorer.js", "explorer.css", "attnsim.js", "attnsim.css"):
        assert f"/assets/{name}" in page and client.get(f"/assets/{name}").status_code == 200
    assert create_app(workers=0).docs_url is None
