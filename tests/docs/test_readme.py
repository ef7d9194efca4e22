"""The README does what it says: its quick start, its tables, its Python calls. tests/docs/test_commands.py runs its lines."""

from importlib import import_module
from typing import Any

import pytest
from doc_lines import BLOCKS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [block.body for block in BLOCKS.blocks(README) if block.language == language]


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_quick_start_is_two_commands_that_set_themselves_up() -> None:
    commands = [line for block in BLOCKS.blocks(section("Quick start")) for line in block.body.splitlines() if line]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/pip install ") for command in commands)
    assert "attnsim run workloads/examples/llama3-8b-prefill.yaml h100_sxm" in commands[0]
    assert "-m pytest" in commands[1]


@pytest.mark.parametrize(
    "name", ["answer", "archs", "arrays", "schedules", "accuracy", "measured", "published", "neighborhood", "communication"]
)
def test_generated_blocks_are_up_to_date(name: str) -> None:
    tables = import_module("readme_tables")
    assert tables.block(README, name) == tables.BLOCKS[name](), "run: python tools/readme_tables.py"


def test_python_call_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = (code for code in blocks("python") if "data = " in code)
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


def test_enough_lines_were_found() -> None:
    assert len([line for body in blocks("sh") for line in body.splitlines() if line.startswith("attnsim ")]) >= 10
    assert len(blocks("yaml")) == 4 and all(block.file for block in BLOCKS.blocks(README) if block.language == "yaml")
