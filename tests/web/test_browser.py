"""The explorer in real headless Chromium: nothing goes wrong on the page, nothing leaves the machine, answers follow what is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import pytest
from browser import NARROW, WIDE, is_local, layout_faults

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = (
    "attnsim: 1\nkind: kernel\nname: {name}\ncascade: attention-1pass\nsizes: {{B: 1, H: 8, P: 1024, M: 1024, E: 64, F: 64}}\ndtype: bf16\n"
)
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;"
# Types a value as a person does, and waits until the page shows the answer: milliseconds from the event to the next frame after the redraw.
CHANGE = """([path, value]) => new Promise((done) => {
  const input = document.querySelector(`[data-path="${path}"]`);
  document.addEventListener("attnsim:answered", () => requestAnimationFrame(() => done(performance.now() - start)), { once: true });
  const start = performance.now();
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
})"""


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A running `attnsim serve`."""
    command = [sys.executable, "-m", "attnsim", "serve", "--port", "0"]
    served = subprocess.Popen(command, env={"PYTHONPATH": str(ROOT / "simulator"), "PATH": ""}, stderr=subprocess.PIPE, text=True)
    assert served.stderr is not None
    line = served.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found is not None, line + served.stderr.read()
    yield found[0]
    served.terminate()
    served.wait(10)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that minds what goes wrong on it; that a question was refused, which the browser writes to the console, is as it should be."""
    context = browser.new_context(viewport=WIDE)
    fresh = context.new_page()
    fresh.set_default_timeout(10_000)
    wrong: list[str] = []
    fresh.on("console", lambda message: wrong.append(message.text) if "status of 422" not in message.text else None)
    fresh.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    fresh.on("request", lambda request: None if is_local(request.url) else wrong.append(f"asked for {request.url[:200]}"))
    fresh.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    yield fresh
    context.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def explore(page: Any, address: str) -> Callable[..., Any]:
    """Open the explorer with a question in its address, and wait for the answer."""

    def opened(question: str = "", state: str = "answered") -> Any:
        page.goto("about:blank")
        page.goto(f"{address}#{question}" if question else address)
        page.wait_for_selector(f'body[data-state="{state}"]', timeout=30_000)
        return page

    return opened


def latency(page: Any) -> str:
    text: str = page.locator(".facts b").first.inner_text()
    return text


def change(page: Any, path: str, value: str) -> float:
    milliseconds: float = page.evaluate(CHANGE, [path, value])
    return milliseconds


@pytest.mark.parametrize(
    "question", ["", "w=llama3-70b-serving&a=h200", "w=fusemax-bert-encoder&a=fusemax_cloud", "w=hunyuanvideo-gna&a=b200"]
)
def test_it_opens_tidily_at_both_widths(explore: Callable[..., Any], question: str) -> None:
    page = explore(question)
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        page.wait_for_timeout(150)
        assert layout_faults(page) == []
    unlabelled = (
        "() => [...document.querySelectorAll('input, select, textarea')].filter((one) => !one.labels.length).map((one) => one.outerHTML)"
    )
    assert page.evaluate(unlabelled) == []


def test_a_changed_field_changes_the_answer_within_300_ms(explore: Callable[..., Any]) -> None:
    """Warm, from the input event to the frame that shows the answer; the median of several, since the machine does other things too."""
    page = explore()
    shown = []
    best = float("inf")
    for _ in range(3):  # a busy machine gets another try
        times = []
        for size in ("4096", "2048", "1024", "16384", "8192"):
            times.append(change(page, "sizes.M", size))
            shown.append(latency(page))
        best = min(best, median(times))
        if best < 300:
            break
    assert len(set(shown)) == 5
    assert best < 300, f"{best:.0f} ms"


def test_the_link_reproduces_the_answer(explore: Callable[..., Any]) -> None:
    page = explore()
    before = latency(page)
    change(page, "sizes.P", "4096")
    change(page, "mask", "window")
    change(page, "mask.left", "511")
    change(page, "dtype", "fp16")
    shown, link = latency(page), page.url
    assert shown != before
    command = page.locator("#bar code").inner_text()
    asked = ["sizes.P=4096", "'mask={kind: window, left: 1023, right: 0}'", "mask.left=511", "dtype=fp16"]
    assert command == " --set ".join(["attnsim run llama3-8b-prefill h100_sxm", *asked])
    again = explore(link.partition("#")[2])
    assert latency(again) == shown and again.locator("#bar code").inner_text() == command
    assert (
        again.locator('[data-path="sizes.P"]').input_value() == "4096" and again.locator('[data-path="mask.left"]').input_value() == "511"
    )


def test_what_is_copied_repeats_the_answer(explore: Callable[..., Any]) -> None:
    page = explore("w=llama3-8b-decode&set=sizes.B%3D8")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copied = []
    for label in ("copy command", "copy Python", "copy link"):
        page.get_by_role("button", name=label).click()
        page.get_by_role("button", name="copied").wait_for()
        copied.append(page.evaluate("() => navigator.clipboard.readText()"))
        page.get_by_role("button", name=label).wait_for()
    assert copied[0] == "attnsim run llama3-8b-decode h100_sxm --set sizes.B=8"
    assert copied[1] == "import attnsim\n\nreport = attnsim.run('llama3-8b-decode', 'h100_sxm', sets=['sizes.B=8'])"
    assert copied[2] == page.url


def test_mistakes_stand_at_their_field_and_the_last_answer_stays(explore: Callable[..., Any]) -> None:
    page = explore()
    shown = latency(page)
    change(page, "sizes.M", "many")
    assert page.locator("#error-sizes-M").inner_text() == "must be a whole number of at least 1, not 'many'"
    assert page.locator('[data-path="sizes.M"]').get_attribute("aria-invalid") == "true"
    assert latency(page) == shown and page.locator("#answer.stale").count() == 1
    change(page, "sizes.M", "8192")
    assert page.locator(".error").count() == 0 and page.locator("#answer.stale").count() == 0


def test_a_spec_written_out_is_read_with_line_and_column(explore: Callable[..., Any]) -> None:
    page = explore()
    page.locator("#source-workload").locator("..").get_by_role("button", name="edit as YAML").click()
    editor = page.locator("#yaml-workload")
    editor.wait_for()
    assert "name: llama3-8b-prefill" in editor.input_value()
    editor.fill(editor.input_value().replace("dtype: bf16", "dtype: bf17"))
    page.wait_for_selector("#error-yaml-workload")
    assert page.locator("#error-yaml-workload").inner_text().startswith("line 8, column 1: dtype: must be one of")
    editor.fill(editor.input_value().replace("dtype: bf17", "dtype: fp16"))
    page.wait_for_selector('body[data-state="answered"]')
    assert page.locator("#bar code").inner_text() == "attnsim run workload.yaml h100_sxm"


def test_whatever_is_typed_is_text(explore: Callable[..., Any], tmp_path: Path) -> None:
    """Names and values with markup in them make no element, run nothing, and stand on the page as they are; in its files too."""
    quoted = "'" + HOSTILE.replace("'", "''") + "'"
    page = explore(f"wyaml={quote(WORKLOAD.format(name=quoted))}")
    assert HOSTILE in page.locator("#answer").inner_text() and page.title() == f"{HOSTILE} on h100_sxm · attnsim"
    assert page.locator("img").count() == 0 and page.locator("script").count() == 4
    for form in ("report", "roofline", "mask"):
        with page.expect_download() as download:
            page.locator(f'[data-file="{form}"]').click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        page.goto(path.as_uri())
        assert page.locator("img").count() == 0, form
        assert page.title().startswith("attnsim: " + HOSTILE) or form != "report"
        page = explore(f"wyaml={quote(WORKLOAD.format(name=quoted))}")
    explore(f"w={quote(HOSTILE)}&a={quote(HOSTILE)}&set={quote('sizes.M=' + HOSTILE)}&set={quote(HOSTILE + '=1')}", state="refused")
    assert page.locator("img").count() == 0 and "<img src=x onerror=alert(1)>" in page.locator("#problems").inner_text()


def test_two_answers_side_by_side(explore: Callable[..., Any]) -> None:
    page = explore()
    page.get_by_role("button", name="pin to compare").click()
    change(page, "sizes.B", "2")
    row = page.locator("#pinned tbody tr").first.inner_text().split("\t")
    assert row[0] == "latency" and row[1] != row[2] and 1.9 < float(row[3].partition(" ")[0]) < 2.1
    assert layout_faults(page) == []


def test_the_keyboard_reaches_everything(explore: Callable[..., Any]) -> None:
    page = explore()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer" and "#" in page.url
    page.locator('[data-path="sizes.M"]').focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("2048")
    page.wait_for_function("() => location.hash.includes('sizes.M%3D2048') && document.body.dataset.state === 'answered'")
