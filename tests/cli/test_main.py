from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import attnsim
from attnsim.cli.main import COMMANDS, cli, main
from attnsim.errors import AttnsimError, InfeasibleError, Issue, MissingDataError, SpecError, UsageError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "sympy", "networkx", "pandas", "matplotlib", "rich", "pydantic", "yaml")


def python(code: str, *args: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "simulator")}
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120, env=environment, check=False, **kwargs
    )


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setitem(vars(attnsim), "run", fail)


def get(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def test_help_lists_every_command_and_loads_no_library(call: Any) -> None:
    shown = call("--help")
    assert shown.code == 0 and shown.err == ""
    assert all(f"  {name} " in shown.out for name in COMMANDS)
    code = f"import sys; from attnsim.cli.main import main; main(['--help']); print(sorted(set({HEAVY}) & set(sys.modules)))"
    assert python(code).stdout.splitlines()[-1] == "[]"


def test_a_run_loads_no_heavy_library() -> None:
    code = "import sys; from attnsim.cli.main import main; main(['run', 'llama3-8b-prefill', 'h100_sxm']);"
    code += f" print(sorted(set({HEAVY[:6]}) & set(sys.modules)))"
    done = python(code, cwd="/")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_each_help_says(name: str) -> None:
    command = get(name)
    assert command.help is not None and command.help.splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_an_example_of_that_command(name: str, call: Any) -> None:
    shown = call(name, "--help")
    assert shown.code == 0
    lines = shown.out.rstrip().split("\n")
    start = max(index for index, line in enumerate(lines) if line.strip() in ("Example:", "Examples:"))
    assert lines[start + 1 :] and all(line.strip().startswith(f"attnsim {name}") for line in lines[start + 1 :])


#: Commands that make the files which examples read.
NEEDED = {
    "pareto": (
        "sweep llama3-8b-decode h100_sxm --vary sizes.B=1,8,64 -o sweep.parquet",
        "sweep llama3-70b-serving h200 --vary batch=8,16,32 -o sweep.csv",
        "sweep llama3-70b-serving h200 --vary arch=h200,b200 --vary batch=8,32 --chunk 2 -o sweep/",
    ),
    "compare": ("run llama3-8b-prefill h100_sxm -o before.json", "run llama3-8b-prefill h200 -o after.json"),
}


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in ("import", "validate", "lint-measurements", "measure", "calibrate", "serve")]
)
def test_the_examples_run(name: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [shlex.split(line) for line in str(get(name).epilog).split("\n") if line.startswith("  attnsim")]
    if name == "check":  # its example names files of a checkout
        monkeypatch.chdir(ROOT)
    else:
        monkeypatch.chdir(tmp_path)
    if name == "roofline":  # its example draws measured rows
        shutil.copy(ROOT / "validation" / "measured" / "h200" / "attention.csv", "measured.csv")
    for words in NEEDED.get(name, ()):
        assert call(*words.split()).code == 0
    for example in examples:
        done = call(*example[1:])
        assert done.code == 0, done.err


def test_version(call: Any) -> None:
    assert call("--version").out == f"attnsim {attnsim.__version__}\n"


@pytest.mark.parametrize(
    "args", [(), ("nonsense",), ("run",), ("run", "a", "b", "--format", "xml"), ("run", "a", "b", "--set", "nothing"), ("--no-such",)]
)
def test_wrong_usage_exits_2_with_the_reason_on_stderr(args: tuple[str, ...], call: Any) -> None:
    done = call(*args)
    assert done.code == 2 and done.out == "" and done.err


def test_a_mistyped_command_is_answered_with_the_nearest(call: Any) -> None:
    assert "no command 'roofine'; did you mean 'roofline'?" in call("roofine").err


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("x"), 2), (SpecError("x"), 3), (InfeasibleError("x"), 4), (MissingDataError("x"), 5), (AttnsimError("x"), 70)],
)
def test_each_expected_error_has_its_exit_code_and_one_line(
    error: AttnsimError, code: int, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, error)
    done = call("run", "w", "a")
    assert (done.code, done.out, done.err) == (code, "", "attnsim: x\n")


def test_all_issues_of_an_error_are_printed_one_a_line_with_their_place(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, SpecError([Issue("is wrong", "w.yaml", 3, 5, "sizes.M"), Issue("is\nlong", "w.yaml")]))
    assert call("run", "w", "a").err == "w.yaml:3:5: sizes.M: is wrong\nw.yaml: is long\n"


def test_debug_shows_the_traceback_and_keeps_the_exit_code(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, SpecError("x"))
    for args in (("--debug", "run", "w", "a"), ("run", "w", "a", "--debug")):
        done = call(*args)
        assert done.code == 3 and "Traceback" in done.err and done.err.endswith("attnsim: x\n")


def test_a_bug_is_one_line_and_exit_70(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ZeroDivisionError("division\nby zero"))
    done = call("run", "w", "a")
    assert done.code == 70 and done.err == "attnsim: internal error: ZeroDivisionError: division by zero (run with --debug)\n"
    done = call("run", "w", "a", "--debug")
    assert done.code == 70 and "Traceback" in done.err


def test_an_interrupt_is_no_bug(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    done = call("run", "w", "a")
    assert done.code == 130 and done.err.strip() == "attnsim: interrupted"


def test_a_reader_that_closes_the_pipe_ends_the_run_quietly() -> None:
    code = "import sys; from attnsim.cli.main import main; sys.exit(main(['schema', 'workload']))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "simulator")}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_main_returns_the_code_for_the_console_script() -> None:
    check: Callable[..., int] = main
    assert check(["schema", "workload"]) == 0
