"""2,000 requests made up from the API's own description, spiced with library names and hostile texts: 2xx or 4xx, no file outside the
library is opened, and every string is text in what comes back.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import hypothesis.strategies as st
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings

from attnsim.web.answers import FORMS

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = {"Host": "127.0.0.1:8765"}
SCRIPT = "<script>alert(1)</script>"
CHECKS = [schemathesis.checks.not_a_server_error]
NAMES = (
    SCRIPT,
    "\"'><img src=x onerror=alert(1)>",
    "</script><script>alert(1)//",
    "$\\frac{1}{",
    "${{<%[%'\"}}%\\.",
    "a\\u2028b",
    "&lt;b&gt;",
    "%s%n{0}",
)
PATHS = (
    "/etc/passwd",
    "../../../../etc/passwd",
    "file:///etc/passwd",
    "/proc/self/environ",
    "..\\..\\x.yaml",
    "workloads/examples/llama3-8b-decode.yaml",
    "~/.bashrc",
    "h100_sxm.yaml",
)

# Where the library, the package, Python and what is installed lie, and what drawing may look at: nothing else may be opened.
FOLDERS = tuple(
    str(Path(folder).resolve())
    for folder in {
        ROOT / "arch_specs",
        ROOT / "workloads",
        ROOT / "validation",
        ROOT / "simulator",
        *sysconfig.get_paths().values(),
        sys.base_prefix + "/lib",
    }
)
WATCHED = ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "subprocess.Popen", "socket.connect")
opened: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in WATCHED:
        opened.append(f"{event} {arguments[0]}" if event != "open" or not isinstance(arguments[0], int) else "open descriptor")


sys.addaudithook(_watch)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """What is opened within the block must lie in FOLDERS."""
    global _watching
    opened.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    for line in opened:
        event, _, name = line.partition(" ")
        assert event in ("open", "os.listdir", "os.scandir"), line
        path = os.path.realpath(name)
        assert name == "descriptor" or path.startswith(FOLDERS) or path == os.devnull, line


# --- what is asked ----------------------------------------------------------------------------------------------------

GOOD = st.sampled_from(["1", "2", "8", "32", "64", "128", "1024", "4096"])
SIZES = GOOD | st.sampled_from(["3", "131072", "1" + "0" * 12, "9" * 18, "-1", "0", "1.5", "1e400", "true", "x", "[]", "0x10", ""])
TEXTS = st.sampled_from([*NAMES, *PATHS]) | st.text(max_size=20)
MASKS = st.sampled_from([
    "{kind: causal}", "{kind: window, left: 1023}", "{kind: window, left: -1}", "{kind: neighborhood, shape: [64, 128], window: [8, 9]}",
    "{kind: strided, block: 64, local: 1, stride: 1000000000, offset: per_head}", "{kind: topk, block: 64, density: 0.1}", "dense",
    "{kind: per_head, masks: [{heads: 3, mask: {kind: causal}}]}", "{kind: blocks, file: /etc/passwd, block: 64}", "{kind: <b>}",
    "{kind: blocks, blocks: [[0, 1], [1, 0]], block: 4096}", "{kind: packed, lengths: [4096, 4096]}",
    "{kind: grid, shape: [64, 128], grid: [2, 2]}",
])  # fmt: skip
SIZED = ["sizes.B", "sizes.H", "sizes.G", "sizes.P", "sizes.M", "sizes.E", "sizes.Z", "context", "batch", "deployment.tp"]
NAMING = ["schedule", "cascade", "baseline", "model", "prices", "extends", "schedule.extends", "arch.name", "arch.levels.0"]


@st.composite
def sets(draw: st.DrawFn) -> list[str]:
    """Fields to change, some of them well."""
    one = st.one_of(
        st.tuples(st.sampled_from(SIZED), SIZES),
        st.tuples(st.just("mask"), MASKS),
        st.tuples(st.just("dtype"), st.sampled_from(["bf16", "fp8", "fp4", "fp17"])),
        st.tuples(st.sampled_from(NAMING), TEXTS),
        st.tuples(st.text(max_size=10), st.text(max_size=20)),
    )
    return [f"{path}={value}" for path, value in draw(st.lists(one, max_size=4))]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A workload written out, with something odd in it most of the time."""
    name, cascade, size = draw(st.sampled_from(["mine", *NAMES])), "attention-1pass", draw(GOOD)
    odd = draw(st.sampled_from([False, False, True]))
    if odd:
        cascade, size = draw(st.just(cascade) | TEXTS), draw(SIZES)
    lines = [
        "attnsim: 1", "kind: kernel", f"name: {quoted(name)}", f"cascade: {quoted(cascade)}", "dtype: bf16",
        f"sizes: {{B: 1, H: 8, P: {size}, M: 4096, E: 64, F: 64}}",
    ]  # fmt: skip
    more = [
        f"title: {quoted(SCRIPT)}", f"mask: {draw(MASKS)}", f"{quoted(SCRIPT)}: 1", "a: &a [*a, *a]", "b: !!python/object:os.system x",
        "\t", "%YAML 1.1", "---", "<<: {a: 1}", "extends: /etc/passwd",
    ]  # fmt: skip
    lines += draw(st.lists(st.sampled_from(more), max_size=2, unique=True)) if odd else [f"title: {quoted(draw(TEXTS))}"]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


WORKLOADS = [
    ("llama3-8b-prefill", "h100_sxm"), ("llama3-8b-decode", "b200"), ("llama3-70b-serving", "h200"), ("wan2.1-1.3b", "a100_sxm_80gb"),
    ("fusemax-bert-attention", "fusemax_cloud"), ("step3-decode-ideal", "h800"), ("hunyuanvideo-gna", "b200"),
]  # fmt: skip
ARCHS = st.sampled_from(["h100_sxm", "a100_sxm_80gb", "b200", "epyc_7763", "eyeriss"])
WRITTEN = texts().map(lambda text: {"yaml": text})
NAMED = TEXTS.map(lambda text: {"name": text})


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """A question that has an answer, or one that is wrong somewhere, or everywhere."""
    kind = draw(st.integers(0, 3))
    name, arch = draw(st.sampled_from(WORKLOADS))
    asked: dict[str, Any] = {"workload": {"name": name}, "arch": {"name": arch}, "schedule": None, "sets": []}
    if kind == 0:  # of the library; any title goes
        asked["sets"] = [
            f"{path}={text!r}" for path, text in draw(st.lists(st.tuples(st.sampled_from(["name", "title"]), TEXTS), max_size=2))
        ]
    elif kind == 1:  # written out
        asked["workload"], asked["arch"]["name"] = draw(WRITTEN), draw(ARCHS)
    elif kind == 2:
        asked["sets"] = draw(sets())
    else:
        asked = {
            "workload": draw(WRITTEN | NAMED), "arch": draw(ARCHS.map(lambda arch: {"name": arch}) | WRITTEN | NAMED),
            "schedule": draw(st.none() | NAMED | WRITTEN), "sets": draw(sets()),
        }  # fmt: skip
    return asked


# --- what comes back --------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements and event handlers of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]


def check_text(response: Any) -> None:
    """Whatever was asked stands in the response as text: no element, no handler, no header of its own."""
    kind = response.headers.get("content-type", [""])[0].partition(";")[0]
    if kind == "text/html":
        page = Elements()
        page.feed(response.content.decode())
        assert page.found.count("script") == 2 and not {"img", "b"} & set(page.found), page.found
    elif kind == "image/svg+xml":
        for element in ElementTree.fromstring(response.content).iter():
            assert element.tag.rpartition("}")[2] not in ("script", "img", "foreignObject", "a")
            assert not [name for name in element.attrib if name.startswith("on") or element.attrib[name].startswith("javascript")]
    else:
        assert kind in ("application/json", "text/csv", "text/plain")
    assert response.headers["x-content-type-options"] == ["nosniff"]


def fuzz(app: FastAPI, label: tuple[str, str], count: int) -> dict[int, int]:
    """`count` requests or more to one operation; how often each status came back."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=LOOPBACK)
    operation = schema[label[0]][label[1]]
    modes = [
        operation.as_strategy(generation_mode=mode) for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    ]
    seen: dict[int, int] = {}

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=st.one_of(modes), spice=st.none() | questions(), name=st.none() | TEXTS | ARCHS, form=st.sampled_from(FORMS))
    def one(case: Any, spice: dict[str, Any] | None, name: str | None, form: str) -> None:
        if spice is not None and label[1] == "POST":
            case.body = spice
            if "form" in (case.path_parameters or {}):
                case.path_parameters["form"] = form
        if name is not None and "name" in (case.path_parameters or {}) and name.strip("./"):
            case.path_parameters["name"] = name
        with watched():
            response = case.call(headers=LOOPBACK)
        case.validate_response(response, checks=CHECKS)
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        assert 200 <= response.status_code < 300 or 400 <= response.status_code < 500
        check_text(response)

    one()
    assert sum(seen.values()) >= count
    return seen


@pytest.fixture(scope="module")
def warm(app: FastAPI) -> FastAPI:
    """Everything imported and every font found before anybody looks what is opened."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=LOOPBACK)
    for form in ("roofline", "mask", "report", "csv"):
        body = {"workload": {"name": "llama3-8b-prefill"}, "arch": {"name": "h100_sxm"}, "sets": ["sizes.P=512", "sizes.M=512"]}
        schema["/api/file/{form}"]["POST"].Case(path_parameters={"form": form}, body=body, media_type="application/json").call(
            headers=LOOPBACK
        )
    return app


@pytest.mark.parametrize(
    ("path", "method", "count", "expected"),
    [
        ("/api/answer", "POST", 1000, {200, 422}),
        ("/api/file/{form}", "POST", 600, {200, 422}),
        ("/api/library/{kind}/{name}", "GET", 380, {200, 404, 422}),
        ("/api/catalogue", "GET", 20, {200}),
    ],
)
def test_nothing_that_is_asked_breaks_anything(warm: FastAPI, path: str, method: str, count: int, expected: set[int]) -> None:
    seen = fuzz(warm, (path, method), count)
    print(path, seen)
    assert expected & seen.keys() and seen.keys() <= {*expected, 400, 404, 405, 406, 413, 415}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES[:4])
def test_odd_names_are_text_in_every_file(warm: FastAPI, form: str, name: str) -> None:
    sizes = "sizes: {B: 1, H: 8, P: 512, M: 512, E: 64, F: 64}"
    asked = f"attnsim: 1\nkind: kernel\nname: {quoted(name)}\ncascade: attention-1pass\ndtype: bf16\n{sizes}\n"
    body = {"workload": {"yaml": asked}, "arch": {"yaml": f"extends: h100_sxm\nname: {quoted(name)}\ntitle: {quoted(name)}\n"}}
    schema = schemathesis.openapi.from_asgi("/openapi.json", warm, headers=LOOPBACK)
    operation = schema["/api/file/{form}"]["POST"]
    reply = operation.Case(path_parameters={"form": form}, body=body, media_type="application/json").call(headers=LOOPBACK)
    assert reply.status_code == 200, reply.text
    check_text(reply)
    if form == "json":
        assert reply.json()["workload"]["name"] == name


def test_the_watch_sees_what_is_opened(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="open .*secret"), watched(), open(tmp_path / "secret", "w"):
        pass
