"""What README.md and the pages of docs/ tell a reader to type: shell lines, console sessions, Python blocks, files, calls in the text."""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from attnsim.cli.common import State
from attnsim.cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "docs")]  # scripts, which import one another by name
BLOCKS = import_module("blocks")
SHELL = ("sh", "bash")

#: Lines that no test runs as they stand -> why, and what runs them in small.
NOT_RUN: Mapping[str, tuple[str, str]] = MappingProxyType({
    "python3 -m venv .venv && .venv/bin/pip install -q -e . && .venv/bin/attnsim run workloads/examples/llama3-8b-prefill.yaml h100_sxm":
        ("makes the environment that tests run in", ".ci/run runs this very line"),
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python -m pytest -q -n 2":
        ("is the whole suite", ".ci/run runs this very line"),
    "python3 -m venv .venv && .venv/bin/pip install -q -e .":
        ("makes the environment that tests run in", ".ci/run runs it as the first part of README's line"),
    ".venv/bin/attnsim run workloads/examples/llama3-8b-prefill.yaml h100_sxm":
        ("stands for an environment of the reader's", ".ci/run runs it as the last part of README's line"),
    "attnsim measure --device cpu --suite micro -o m.csv && attnsim measure --device cpu --suite attention --suite gemm -o k.csv":
        ("needs PyTorch and ten minutes", ".ci/cpu-loop measures for two"),
    "attnsim calibrate m.csv --arch epyc_turin_2core -o mine.yaml":
        ("reads what was measured", ".ci/cpu-loop; docs/how-to/gpu.md calibrates a shipped file"),
    "attnsim validate --measurements k.csv --arch mine.yaml":
        ("reads what was measured", ".ci/cpu-loop; docs/how-to/gpu.md scores a shipped file"),
    "attnsim calibrate mine.csv --arch a100_sxm_80gb --kernel wide-keys -o my-a100.yaml":
        ("reads what a reader measured", "tests/calibrate fits kernels; docs/how-to/gpu.md calibrates a shipped file"),
    "attnsim measure --device cuda --suite micro -o my-micro.csv":
        ("needs a GPU", ".ci/cpu-loop measures on the CPU; validation/measured/h200 is what it gave on an H200"),
    "attnsim measure --device cuda --suite attention --suite gemm --suite decode -o my-kernels.csv":
        ("needs a GPU", ".ci/cpu-loop measures on the CPU; validation/measured/h200 is what it gave on an H200"),
    "attnsim measure --device cpu --list":
        ("needs PyTorch", "tests/measure lists rows of every suite"),
    "attnsim import config.json -o mine.yaml":
        ("writes over a file of the same page", "docs/how-to/model.md imports it under another name"),
    "attnsim validate aiconfigurator":
        ("reads tables that are not shipped", "tests/validate scores tables of its own"),
    "attnsim validate path/to/folder":
        ("names a folder of the reader's", "tests/validate scores folders of its own"),
})  # fmt: skip


def found(*languages: str) -> Iterator[tuple[Path, Any]]:
    """Blocks of these languages, page by page."""
    for page in PAGES:
        for block in BLOCKS.blocks(page.read_text(encoding="utf-8")):
            if block.language in languages:
                yield page, block


def shell_lines() -> list[str]:
    """Every line of every shell block, each once, in the order of the pages."""
    return list(dict.fromkeys(line for _, block in found(*SHELL) for line in block.body.splitlines() if line and not line.startswith("#")))


def text_lines() -> list[str]:
    """Commands that stand in blocks which are not executed."""
    starts = ("attnsim ", ".venv/bin/", "python3 ", "$ ")
    return list(dict.fromkeys(line for _, block in found("text", "") for line in block.body.splitlines() if line.startswith(starts)))


def sessions() -> list[tuple[str, str]]:
    """Commands of console blocks, and what they print there."""
    pairs = []
    for _, block in found("console"):
        for part in re.split(r"^\$ ", block.body, flags=re.M)[1:]:
            line, _, printed = part.partition("\n")
            pairs.append((line, printed.rstrip("\n")))
    return pairs


def python_blocks() -> list[tuple[str, str]]:
    """Python blocks, each once, with the page and line where it stands."""
    known: dict[str, str] = {}
    for page, block in found("python"):
        known.setdefault(block.body, f"{page.relative_to(ROOT)}:{block.line}")
    return [(place, code) for code, place in known.items()]


def files() -> dict[str, str]:
    """The files that the pages show."""
    return dict(BLOCKS.files(*PAGES))


def page_spans() -> list[str]:
    """Code in the text of the pages, outside blocks, that is a call of attnsim."""
    return _spans(re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S) for page in PAGES)


def help_spans() -> list[str]:
    """Calls of attnsim in every `--help`, its examples included; tests/cli runs those."""
    commands = [command for name in COMMANDS if (command := cli.get_command(click.Context(cli), name)) is not None]
    examples = (f"`{line.strip()}`" for command in commands for line in (command.epilog or "").splitlines() if "attnsim " in line)
    options = (param.help or "" for command in commands for param in command.params if isinstance(param, click.Option))
    return _spans([*(command.help or "" for command in commands), *examples, *options])


def _spans(texts: Iterable[str]) -> list[str]:
    code = (" ".join(span.split()) for text in texts for span in re.findall(r"`([^`]+)`", text))
    return list(dict.fromkeys(span for span in code if span.startswith("attnsim ")))


def whole(span: str) -> bool:
    """Whether code in the text is a call as it stands: nothing is missing, and nothing stands in for a value, as KIND or FILE.csv."""
    if re.search(r"…|\.\.\.(?!\d)|(?<![\w=.])[A-Z]{3,}(?![\w=])", span.replace("http", "")):
        return False
    try:
        for words in calls(span):
            parse(words)
    except click.UsageError:
        return False
    return True


def calls(line: str) -> list[list[str]]:
    """The calls of attnsim in a line, which may hold several parts: the words after the program."""
    parts = [shlex.split(part) for part in line.removeprefix("$ ").split(" && ")]
    return [words[1:] for words in parts if words and Path(words[0]).name == "attnsim"]


def parse(words: list[str], whole: bool = True) -> None:
    """Have click read a call without running it; raises click's error. Not whole: values may be missing, or stand-ins as KIND and FILE."""
    name, *rest = words
    command = cli.get_command(click.Context(cli), name) if not name.startswith("-") else cli
    if command is None:
        raise click.UsageError(f"no command {name!r}")
    if {"-h", "--help"} & {*words}:
        return
    try:
        command.make_context(name, list(rest if command is not cli else words), obj=State()).close()
    except click.MissingParameter:
        if whole:
            raise
    except click.BadParameter:
        if whole or not any(re.fullmatch("[A-Z]+", word) for word in rest):
            raise
    except click.BadOptionUsage as error:
        if whole or error.option_name != words[-1]:
            raise


def written(line: str) -> list[str]:
    """Files that a line writes, as its options name them."""
    words = shlex.split(line)
    return [
        after
        for word, after in zip(words, words[1:], strict=False)
        if word in ("-o", "--output", "--figure", "--report", "--epoch", "--trace")
    ]


def writers() -> dict[str, str]:
    """File -> the first line that writes it."""
    first: dict[str, str] = {}
    for line in shell_lines():
        for name in written(line):
            first.setdefault(name, line)
    return first


def needed(line: str) -> list[str]:
    """Lines to run before this one: those that write what it reads."""
    known, own = writers(), written(line)
    return [known[word] for word in shlex.split(line) if word in known and (word not in own or known[word] != line)]
