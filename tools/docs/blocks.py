"""Fenced blocks of Markdown: what language, which file they are, where they stand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.M | re.S)
_TITLE = re.compile(r'title="([^"]+)"')
_FILE = re.compile(r"# (\S+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block. file: the name it goes by, from its title or a comment in its first line; line: where its body starts."""

    language: str
    body: str
    file: str
    line: int


def blocks(markdown: str) -> Iterator[Block]:
    """Every fenced block, also within tabs, its indentation taken off."""
    for found in _FENCE.finditer(markdown):
        body = textwrap.dedent(found["body"])
        named = _TITLE.search(found["info"]) or (_FILE.match(body) if found["language"] == "yaml" else None)
        yield Block(found["language"], body, named[1] if named else "", markdown.count("\n", 0, found.start()) + 2)


def files(*pages: Path) -> dict[str, str]:
    """The files that pages show: name -> content. Raises ValueError where two contents have one name."""
    known: dict[str, str] = {}
    for page in pages:
        for block in blocks(page.read_text(encoding="utf-8")):
            if block.file and known.setdefault(block.file, block.body) != block.body:
                raise ValueError(f"{page.name}: another {block.file} stands on another page")
    return known
