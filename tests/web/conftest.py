"""One application for all tests of the explorer: answers are computed in its own threads, so that what they open can be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from attnsim.web.app import create_app

ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture(scope="session")
def app() -> FastAPI:
    return create_app(workers=0)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    yield TestClient(app, base_url=ADDRESS)


@pytest.fixture
def ask(client: TestClient) -> Callable[..., Any]:
    """Ask for an answer, or with `form` for a file."""

    def asked(workload: Any, arch: Any = "h100_sxm", schedule: Any = None, sets: tuple[str, ...] = (), form: str | None = None) -> Any:
        body = {
            "workload": source(workload), "arch": source(arch), "schedule": None if schedule is None else source(schedule),
            "sets": list(sets),
        }  # fmt: skip
        return client.post("/api/answer" if form is None else f"/api/file/{form}", json=body)

    return asked


def source(text: str) -> dict[str, str]:
    return {"yaml": text} if "\n" in text else {"name": text}
