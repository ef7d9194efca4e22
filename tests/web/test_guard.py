"""Requests from elsewhere, large ones and many at once are refused; every response says what a page may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from attnsim.web.answers import Reply
from attnsim.web.guard import HEADERS, Guard
from attnsim.web.limits import MOST_BODY
from attnsim.web.workers import BusyError, Worker, Workers

Ask = Callable[..., Any]
WORKLOAD = "attnsim: 1\nkind: kernel\nname: x\ncascade: attention-1pass\nsizes: {B: 1, H: 4, P: 64, M: 64, E: 64, F: 64}\ndtype: bf16\n"


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8765", None, 200),
        ("localhost:1", "http://localhost:1", 200),
        ("[::1]:9", None, 200),
        ("127.0.0.1:8765", "http://127.0.0.1:8766", 403),
        ("127.0.0.1:8765", "https://127.0.0.1:8765", 403),
        ("127.0.0.1:8765", "null", 403),
        ("127.0.0.1:8765", "http://evil.example", 403),
        ("evil.example", None, 403),
        ("127.0.0.1.evil.example:8765", None, 403),
        ("evil.example:8765", "http://evil.example:8765", 403),
        ("", None, 403),
    ],
)
def test_only_this_machine_is_answered(client: TestClient, host: str, origin: str | None, status: int) -> None:
    reply = client.get("/api/catalogue", headers={"host": host} | ({"origin": origin} if origin else {}))
    assert reply.status_code == status
    assert {name: reply.headers[name] for name in HEADERS} == HEADERS
    if status == 403:
        assert len(reply.json()["issues"]) == 1


def test_what_a_page_may_do(client: TestClient) -> None:
    for address in (
        "/",
        "/assets/explorer.js",
        "/assets/none",
        "/api/answer",
        "/openapi.json",
        "/../../etc/passwd",
        "/assets/..%2f..%2fapp.py",
    ):
        reply = client.get(address)
        assert reply.headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: 'self'"
        )
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in reply.headers
    assert client.options("/api/answer", headers={"origin": "http://evil.example"}).status_code == 403


def run(coroutine: Any) -> Any:
    """In a thread of its own: playwright, where other tests started it, keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def body(size: int) -> bytes:
    head, tail = b'{"workload": {"name": "llama3-8b-prefill"}, "arch": {"name": "h100_sxm"}, "sets": []', b"}"
    return head + b" " * (size - len(head) - len(tail)) + tail


def test_large_bodies_are_refused_before_they_are_read(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    assert client.post("/api/answer", content=body(MOST_BODY), headers=headers).status_code == 200
    for size in (MOST_BODY + 1, 10_000_000):
        reply = client.post("/api/answer", content=body(size), headers=headers)
        assert reply.status_code == 413 and "at most 262144 bytes" in reply.text


def test_a_body_without_a_length_is_counted_while_it_comes() -> None:
    """No more than one part beyond the limit is taken from the line."""
    taken = 0
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError

    scope = {"type": "http", "headers": [(b"host", b"localhost")]}
    run(Guard(never, most=10_000)(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413 and taken == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x]\nb: &b [*a, *a, *a]\n", "anchor '&a' is not supported; write values out, or use 'extends:'"),
        ("a: " + "[" * 3000 + "\n", "nested more than 64 levels deep"),
        ("a: [" + "1, " * 5000 + "]\n", "holds more than 4000 keys and items, the most that are read here"),
        (WORKLOAD + "title: " + "x" * 3000 + "\n", "is a text of 3000 characters; at most 2000 are read here"),
        (WORKLOAD.replace("64", "10000000000000"), "must be at most 1000000000000 here, not 10000000000000"),
        (WORKLOAD.replace("64", "1e300"), "is larger than 1e+15, the largest number that is read here"),
        (WORKLOAD + "mask: {kind: strided, block: 64, local: 1, stride: 100000, offset: per_head}\n",
         "differs from head to head 100000 times; at most 4096 here"),
        ("!!python/object/apply:os.system ['true']\n", "tag 'tag:yaml.org,2002:python/object/apply:os.system' is not supported; remove it"),
        (WORKLOAD + "schedule: {extends: fa2, tiles: [{when: '" + "(" * 900 + "E <= 64" + ")" * 900 + "', P: 64, M: 64}]}\n", None),
    ],
)  # fmt: skip
def test_texts_that_would_take_long_are_refused_at_once(ask: Ask, text: str, message: str | None) -> None:
    reply = ask(text)
    assert reply.status_code == 422
    assert len(reply.json()["issues"]) <= 26 and len(reply.content) < 40_000
    if message is not None:
        assert reply.json()["issues"][0]["message"] == message


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "/etc/passwd", "..\\x.yaml", "h100_sxm.yaml", "arch_specs/gpu/h100_sxm.yaml", "~/x", "%2e%2e%2f"]
)
@pytest.mark.parametrize(
    "part", ["workload", "arch", "schedule", "cascade", "extends", "baseline", "model", "machine", "prices", "set", "library"]
)
def test_no_name_leads_to_a_file(ask: Ask, client: TestClient, name: str, part: str) -> None:
    model = "attnsim: 1\nkind: model\nname: x\nmodel: llama3-8b\ncontext: 1024\nbatch: 1\n"
    quoted = f"'{name}'"
    reply = {
        "workload": lambda: ask(name),
        "arch": lambda: ask(WORKLOAD, name),
        "schedule": lambda: ask(WORKLOAD, schedule=name),
        "cascade": lambda: ask(WORKLOAD.replace("attention-1pass", quoted)),
        "extends": lambda: ask(WORKLOAD + f"extends: {quoted}\n"),
        "baseline": lambda: ask(WORKLOAD + f"baseline: {quoted}\n"),
        "model": lambda: ask(model.replace("llama3-8b", quoted)),
        "machine": lambda: ask(model + "deployment: {kind: afd, attention: 1, ffn: 1, ffn_machine: " + quoted + "}\n"),
        "prices": lambda: ask(model + f"prices: {quoted}\n"),
        "set": lambda: ask("llama3-8b-prefill", sets=(f"schedule={quoted}",)),
        "library": lambda: client.get(f"/api/library/arch/{name}"),
    }[part]()
    assert reply.status_code in (404, 422)
    assert "root:" not in reply.text


def test_files_of_masks_and_models_are_not_read(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (reply,) = ask(WORKLOAD + "mask: {kind: blocks, file: '/etc/hostname', block: 64}\n").json()["issues"]
    assert reply["message"] == "files are not read here; list the `blocks` themselves" and reply["path"] == "mask.file"
    model = f"attnsim: 1\nkind: model\nname: x\nmodel: {tmp_path}/config.json\ncontext: 1024\nbatch: 1\n"
    (reply,) = ask(model).json()["issues"]
    assert "must be the name of a library entry, or be written out in its place" in reply["message"]


# --- processes --------------------------------------------------------------------------------------------------------


def slow(task: str, text: str) -> Reply:
    if task == "sleep":
        time.sleep(60)
    if task == "end":
        raise SystemExit(1)
    if task == "bug":
        raise KeyError(text)
    return Reply(200, "text/plain", text.encode())


def test_an_answer_that_takes_too_long_ends_and_the_next_one_comes() -> None:
    worker = Worker(slow)
    try:
        assert worker.ask("echo", "a", 60).body == b"a"
        first = worker.process
        late = worker.ask("sleep", "", 0.05)
        assert late.status == 422 and b"takes more than 0.05 s to answer" in late.body
        assert first is not None and not first.is_alive()
        assert worker.ask("echo", "b", 60).body == b"b"
        with pytest.raises(RuntimeError, match="KeyError: 'c'"):
            worker.ask("bug", "c", 60)
        assert worker.ask("end", "", 60).status == 422
    finally:
        worker.stop()


def test_more_questions_than_can_wait_are_told_to_come_back() -> None:
    async def many() -> list[Any]:
        pool = Workers(0, waiting=1)
        question = '{"workload": {"name": "llama3-8b-prefill"}, "arch": {"name": "h100_sxm"}}'
        return await asyncio.gather(*(pool.do("json", question) for _ in range(4)), return_exceptions=True)

    found = run(many())
    assert [getattr(one, "status", type(one)) for one in found] == [200, 200, BusyError, BusyError]
