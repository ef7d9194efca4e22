"""Every command that README.md and docs/ show runs, or is listed with what runs it in small; every call in their text can be read."""

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest
from doc_lines import (
    NOT_RUN,
    PAGES,
    ROOT,
    calls,
    files,
    help_spans,
    needed,
    page_spans,
    parse,
    python_blocks,
    sessions,
    shell_lines,
    text_lines,
    whole,
    written,
)

from attnsim.cli.main import main

#: Lines that end only when they are told to.
SERVERS = [line for line in shell_lines() if line.split()[:2] == ["attnsim", "serve"]]
#: Calls that stand in the text as a whole.
TOLD = [span for span in page_spans() if span not in NOT_RUN and span not in SERVERS and whole(span)]
LINES = list(dict.fromkeys([*(line for line in shell_lines() if line.startswith("attnsim ") and line not in SERVERS), *TOLD]))
FIGURES = {".svg", ".pdf", ".png", ".html"}
PATIENCE = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages show, and the validation cases of the checkout."""
    made = tmp_path_factory.mktemp("docs")
    for name, text in files().items():
        (made / name).write_text(text, encoding="utf-8")
    (made / "validation").symlink_to(ROOT / "validation")
    return made


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    """Run a line in the folder, with no other program in reach: exit code, stdout and stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("ATTNSIM_PATH", raising=False)

    def run(line: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(shlex.split(line)[1:])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("line", LINES)
def test_a_line_runs(line: str, call: Callable[[str], tuple[int, str, str]]) -> None:
    for before in needed(line):  # lines may run in another order, or in other processes
        if not all(Path(name).exists() for name in written(before)):
            code, _, err = call(before)
            assert code == 0, err
    code, out, err = call(line)
    assert code == 0, err
    assert out.strip() or written(line)
    for name in written(line):
        made = Path(name)
        assert made.is_dir() or made.stat().st_size > (1000 if made.suffix in FIGURES else 0)


@pytest.mark.parametrize(("line", "printed"), sessions())
def test_a_session_prints_what_the_page_shows(line: str, printed: str, call: Callable[[str], tuple[int, str, str]]) -> None:
    _, out, err = call(line)
    assert (out + err).rstrip("\n") == printed


@pytest.mark.parametrize(("place", "code"), python_blocks(), ids=[place for place, _ in python_blocks()])
def test_a_python_block_runs(
    place: str, code: str, call: Callable[[str], tuple[int, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(code, place, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip() or "print(" not in code


@pytest.mark.parametrize("line", SERVERS)
def test_a_server_starts_and_ends_when_it_is_interrupted(line: str, tmp_path: Path) -> None:
    words = [*shlex.split(line)[1:], *([] if "--port" in line else ["--port", "0"])]
    environment = {"PYTHONPATH": str(ROOT / "simulator"), "PATH": "", "HOME": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "attnsim", *words], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watchdog = Timer(PATIENCE, server.kill)  # one that says nothing is not waited for
    watchdog.start()
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        address = re.search(r"http://(127\.0\.0\.1|localhost):(\d+)/", said)
        assert address is not None, said + server.stderr.read()
    finally:
        server.send_signal(signal.SIGINT)
        _, rest = server.communicate(timeout=PATIENCE)
        watchdog.cancel()
    assert server.returncode in (0, 130), rest
    assert "Traceback" not in rest


def test_every_shell_line_is_run_or_listed() -> None:
    others = [line for line in shell_lines() if line not in LINES and line not in SERVERS]
    assert [line for line in [*others, *text_lines()] if line not in NOT_RUN] == []


def test_the_list_of_lines_not_run_is_short_and_in_use() -> None:
    shown = {*shell_lines(), *text_lines(), *page_spans()}
    assert [line for line in NOT_RUN if line not in shown] == []
    for _, instead in NOT_RUN.values():
        names = re.findall(r"(?:\.ci|tests|docs|validation)/[\w./-]+", instead)
        assert names and all((ROOT / name).exists() for name in names), instead


@pytest.mark.parametrize("line", [line for line in [*NOT_RUN, *SERVERS] if calls(line)])
def test_a_line_that_is_not_run_can_be_read(line: str) -> None:
    for words in calls(line):
        parse(words)


@pytest.mark.parametrize("span", dict.fromkeys([*page_spans(), *help_spans()]))
def test_a_call_in_the_text_can_be_read(span: str) -> None:
    for words in calls(span):
        parse(words, whole=False)


def test_a_call_that_cannot_be_read_is_noticed() -> None:
    import click

    for words in (
        ["run", "a", "b", "--no-such"],
        ["no-such"],
        ["run", "a", "b", "--format", "xml"],
        ["run", "a", "b", "c"],
        ["list", "nothing"],
    ):
        with pytest.raises(click.UsageError):
            parse(words, whole=False)
    with pytest.raises(click.MissingParameter):
        parse(["run", "a"])


def test_enough_was_found() -> None:
    assert len(PAGES) > 30 and len(LINES) > 100 and len(TOLD) > 20 and len(page_spans()) > 30 and len(help_spans()) > 30
    assert len(python_blocks()) > 30 and sessions() and SERVERS
    assert {"sigmoid.yaml", "mine.yaml", "fast-h100.yaml", "small-tiles.yaml", "config.json"} <= files().keys()
