"""`attnsim serve`: loopback only, one clear line where it cannot start, and a clean end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnsim.cli.main import main
from attnsim.cli.serve import listen
from attnsim.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "attnsim", "serve", "--port", "0"]
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "simulator"), "PATH": ""}


@pytest.fixture
def served() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(COMMAND, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def test_it_answers_at_the_address_it_prints_and_ends_cleanly(served: subprocess.Popen[str]) -> None:
    assert served.stderr is not None
    line = served.stderr.readline()
    assert line.startswith("attnsim explorer at http://127.0.0.1:") and line.endswith("/ (Ctrl-C ends it)\n")
    address = line.split()[3]
    question = json.dumps({"workload": {"name": "llama3-8b-prefill"}, "arch": {"name": "h100_sxm"}}).encode()
    request = urllib.request.Request(f"{address}api/answer", question, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.status == 200 and json.load(reply)["command"] == "attnsim run llama3-8b-prefill h100_sxm"
    served.send_signal(signal.SIGINT)
    out, err = served.communicate(timeout=30)
    assert (served.returncode, out, err) == (0, "", "ended\n")


def test_it_listens_on_the_loopback_address_alone() -> None:
    listening = listen(0)
    try:
        assert listening.getsockname()[0] == "127.0.0.1"
        with pytest.raises(
            UsageError, match=r"cannot listen on port \d+ of 127.0.0.1: Address already in use; choose another --port, or 0"
        ):
            listen(listening.getsockname()[1])
    finally:
        listening.close()


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["serve", "--host", "0.0.0.0"]) == 2


@pytest.mark.parametrize("package", ["uvicorn", "fastapi"])
def test_without_its_packages_it_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "attnsim.web.app", raising=False)
    assert main(["serve", "--port", "0"]) == 5
    assert capsys.readouterr().err == "attnsim: the explorer needs FastAPI and uvicorn: pip install 'attnsim[web]'\n"
