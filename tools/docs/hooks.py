"""What mkdocs calls while it builds the site (`hooks:` in mkdocs.yml): generated pages, pictures, and what pages take from elsewhere.

A page takes text from elsewhere by a comment on a line of its own:

    <!-- output: attnsim taxonomy -->          what the command prints
    <!-- output 1-12: attnsim taxonomy -->     lines 1 to 12 of it
    <!-- readme: accuracy -->                  a generated block of README.md
    <!-- section: Honest limits -->            a section of README.md
    <!-- excerpt: THIS -> THAT -->             paragraphs of README.md, from that which starts with THIS up to THAT
    <!-- library: cascades -->                 a table of the library
    <!-- file: CHANGELOG.md -->                a file of the repository, without its title

and formulas by a block of kind `math`, which becomes a picture. Nothing is fetched: everything comes from this checkout.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "simulator"), str(ROOT / "tools"), str(ROOT / "tools" / "docs")]

import cli_reference  # noqa: E402
import formulas  # noqa: E402
import library_tables  # noqa: E402
import pictures  # noqa: E402
import python_reference  # noqa: E402
import readme_tables  # noqa: E402
import yaml_reference  # noqa: E402
from command_line import CommandFailedError, output  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

DIRECTIVE = re.compile(r"^(?P<indent> *)<!-- (?P<name>[a-z]+)(?: (?P<first>\d+)-(?P<last>\d+))?: (?P<what>.+?) -->$", re.M)
FORMULA = re.compile(r"^(?P<indent> *)```math\n(?P<body>.*?)^ *```$", re.M | re.S)
RULE = re.compile(r"^## ", re.M)


def readme() -> str:
    """README.md as it stands."""
    return (ROOT / "README.md").read_text(encoding="utf-8")


def _output(what: str, first: int, last: int | None) -> str:
    lines = output(what).splitlines()
    return "```text\n" + "\n".join(lines[first - 1 : last]) + "\n```"


def _section(what: str) -> str:
    for part in RULE.split(readme())[1:]:
        title, _, body = part.partition("\n")
        if title == what:
            return re.sub(r"<!-- \w+:(begin|end) -->\n*", "", body).strip("\n")
    raise PluginError(f"README.md has no section {what!r}")


def _excerpt(what: str) -> str:
    first, _, last = what.partition(" -> ")
    text = readme()
    start, end = text.find(f"\n\n{first}"), text.find(f"\n\n{last}")
    if not 0 <= start < end:
        raise PluginError(f"README.md has no paragraph that starts with {first!r}, or none after it with {last!r}")
    return text[start:end].strip("\n")


def _file(what: str) -> str:
    """The file from its second heading on: the page has a title of its own."""
    return (ROOT / what).read_text(encoding="utf-8").partition("\n## ")[2].join(("## ", ""))


_UNIT = re.compile(r"(?<=\d) (%|[kMGTP]?(?:B|FLOP)(?:/s)?)(?= \||,)")


def _joined(text: str) -> str:
    """Tables whose numbers keep their unit on the same line."""
    return "\n".join(_UNIT.sub(r"&nbsp;\1", line) if line.startswith("|") else line for line in text.splitlines())


#: Directive -> the text it stands for.
SOURCES: Mapping[str, Callable[[str], str]] = {
    "readme": lambda name: _joined(readme_tables.block(readme(), name)),
    "section": _section,
    "excerpt": lambda what: _joined(_excerpt(what)),
    "library": lambda name: _joined(library_tables.TABLES[name]()),
    "file": _file,
}


def filled(markdown: str) -> str:
    """A page with its directives and formulas replaced."""

    def text(found: re.Match[str]) -> str:
        name = found["name"]
        if name == "output":
            made = _output(found["what"], int(found["first"] or 1), int(found["last"]) if found["last"] else None)
        elif name in SOURCES:
            made = SOURCES[name](found["what"])
        else:
            raise PluginError(f"no directive {name!r}; there are output, {', '.join(SOURCES)}")
        return "\n".join(found["indent"] + line if line else "" for line in made.splitlines())

    try:
        markdown = DIRECTIVE.sub(text, markdown)
    except CommandFailedError as error:
        raise PluginError(str(error)) from None
    return FORMULA.sub(lambda found: formulas.block(found["body"], found["indent"]), markdown)


def generated() -> dict[str, str | bytes]:
    """Page or file of the site -> its content, for all that is made from the code."""
    return {
        **yaml_reference.pages(),
        "reference/cli.md": cli_reference.page(),
        "reference/python.md": python_reference.page(),
        **{f"pictures/{name}": content for name, content in pictures.drawn().items()},
    }


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the generated pages and pictures."""
    try:
        made = generated()
    except CommandFailedError as error:
        raise PluginError(str(error)) from None
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in what the page takes from elsewhere."""
    return markdown if page.file.generated_by else filled(markdown)
