"""The explorer: an answer of its API, and a changed field in Chromium, from the input event to the frame that shows the answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from browser import browser

from attnsim.web.answers import perform

__all__ = ["browser"]

ROOT = Path(__file__).resolve().parents[1]
CHANGE = """([path, value]) => new Promise((done) => {
  const input = document.querySelector(`[data-path="${path}"]`);
  document.addEventListener("attnsim:answered", () => requestAnimationFrame(() => done(performance.now() - start)), { once: true });
  const start = performance.now();
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
})"""
QUESTIONS = {
    "prefill": ("w=llama3-8b-prefill", "sizes.M", (4096, 2048, 1024, 16384, 8192)),
    "model": ("w=llama3-70b-serving&a=h200", "context", (4096, 2048, 1024, 16384, 8192)),
    "neighborhood": ("w=hunyuanvideo-gna&a=b200", "sizes.H", (12, 6, 3, 48, 24)),
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    served = subprocess.Popen(
        [sys.executable, "-m", "attnsim", "serve", "--port", "0"], env={"PYTHONPATH": str(ROOT / "simulator"), "PATH": ""},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert served.stderr is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/", served.stderr.readline())
    assert found is not None
    yield found[0]
    served.terminate()
    served.wait(10)


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_of_the_api(benchmark: Any, name: str) -> None:
    """Everything a page draws, as JSON, computed in this process."""
    words = dict(word.split("=") for word in QUESTIONS[name][0].split("&"))
    question = json.dumps({"workload": {"name": words["w"]}, "arch": {"name": words.get("a", "h100_sxm")}})
    reply = benchmark(perform, "answer", question)
    benchmark.extra_info["bytes"] = len(reply.body)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_changed_field_in_the_browser(benchmark: Any, browser: Any, address: str, name: str) -> None:
    """Warm: 30 ms of them are the pause that tells the end of typing."""
    question, path, values = QUESTIONS[name]
    page = browser.new_page()
    page.goto(f"{address}#{question}")
    page.wait_for_selector('body[data-state="answered"]')
    times: list[float] = []

    def change() -> None:
        times.extend(page.evaluate(CHANGE, [path, str(value)]) for value in values)

    benchmark.pedantic(change, rounds=5, warmup_rounds=1)
    page.close()
    benchmark.extra_info |= {"median ms": round(median(times)), "longest ms": round(max(times)), "changes": len(times)}
