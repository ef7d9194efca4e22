"""The README does what it says: its commands run, its tables are those of the library, its files are accepted."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(README) if found == language]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def readme_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "tools" / "readme_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quick_start_is_two_commands_that_set_themselves_up() -> None:
    commands = [line for _, body in BLOCK.findall(section("Quick start")) for line in body.splitlines() if line]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install ") for command in commands)
    assert "attnsim run workloads/examples/llama3-8b-prefill.yaml h100_sxm" in commands[0]
    assert "-m pytest" in commands[1]


@pytest.mark.parametrize(
    "name", ["answer", "archs", "arrays", "schedules", "accuracy", "measured", "published", "neighborhood", "communication"]
)
def test_generated_blocks_are_up_to_date(name: str) -> None:
    tables = readme_tables()
    assert tables.block(README, name) == tables.BLOCKS[name](), "run: python tools/readme_tables.py"


def test_python_call_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (code for code in blocks("python") if "attnsim.run(" in code)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "h100_sxm" in capsys.readouterr().out
    assert isinstance(names["data"], dict) and names["data"]["schema"] == 1


def test_python_call_of_collectives_runs() -> None:
    (code,) = (code for code in blocks("python") if "fabric_of(" in code)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["sums"].algorithm == "two-shot" and names["tokens"].sent.keys() == {"nvlink", "nic"}


def test_python_call_of_costs_runs() -> None:
    (code,) = (code for code in blocks("python") if "cost_table(" in code)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["rows"]) == 14 and names["rows"][0]["usd_per_mtok"] > 0
    assert len(names["figure"].axes) == 1


LINES = [line for body in blocks("sh") for line in body.splitlines() if line.startswith("attnsim ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the README, each named by its first line."""
    made = tmp_path_factory.mktemp("readme")
    for body in blocks("yaml"):
        (made / body.splitlines()[0].removeprefix("# ")).write_text(body, encoding="utf-8")
    return made


#: File that a line writes -> the line.
WRITERS = {words[-1]: line for line in LINES if (words := shlex.split(line))[-2:-1] == ["-o"]}


def call(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from attnsim.cli.main import main; sys.exit(main())"
    environment = {"PYTHONPATH": str(ROOT / "simulator"), "PATH": "", "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code, *shlex.split(line)[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("line", LINES)
def test_command_runs(folder: Path, line: str) -> None:
    for word in shlex.split(line):  # lines may run in another order, or in other processes
        if WRITERS.get(word, line) != line and not (folder / word).exists():
            assert call(folder, WRITERS[word]).returncode == 0
    done = call(folder, line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() or (folder / line.split()[-1]).stat().st_size > 1000


def test_enough_lines_were_found() -> None:
    assert len(LINES) >= 10
    assert len(blocks("yaml")) == 4
