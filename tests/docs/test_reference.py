"""The reference pages hold all that they are made from: every field, every command and option, every public name."""

from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from doc_lines import ROOT

import attnsim
from attnsim.cli.main import COMMANDS, cli
from attnsim.spec.schema import MODELS, json_schema

cli_reference, formulas, python_reference, yaml_reference = map(
    import_module, ("cli_reference", "formulas", "python_reference", "yaml_reference")
)


def test_every_kind_of_file_has_a_page() -> None:
    assert {name for names in MODELS.values() for name in names} <= {page.model for page in yaml_reference.PAGES}


def properties(node: object) -> Iterator[tuple[str, str]]:
    """(field, description) of all models of a JSON schema."""
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            if isinstance(field, dict):
                yield name, str(field.get("description", ""))
        for value in node.values():
            yield from properties(value)
    elif isinstance(node, list):
        for value in node:
            yield from properties(value)


@pytest.mark.parametrize("kind", MODELS)
def test_every_field_of_a_schema_stands_on_a_page_and_says_what_it_is(kind: str) -> None:
    pages = "".join(str(text) for text in yaml_reference.pages().values())
    found = [(name, text) for name, text in properties(json_schema(kind)) if name not in ("extends", "value", "source", "note")]
    assert len(found) > 5
    for name, text in found:
        assert f"| `{name}` |" in pages
        assert text or name == "kind", name


def test_a_field_shows_its_type_unit_and_default() -> None:
    page = str(yaml_reference.pages()["reference/yaml/kernel.md"])
    assert "| `tensor_clock` | [quantity](index.md#quantities) | Hz | - |" in page
    assert "| `launch` | `stream` or `graph` or `none` | - | `graph` |" in page
    assert "[`window`](mask.md#windowmask)" in page and "for example `{B: 1, H: 32, G: 8, P: 8192" in page


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_stands_on_its_page(name: str) -> None:
    page = cli_reference.page().split(f"\n## attnsim {name}\n")[1].split("\n## ")[0]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for param in command.params:
        if isinstance(param, click.Option):
            assert f"`{param.opts[0]}`" in page
        else:
            assert str(param.make_metavar(click.Context(command))) in page
    assert cli_reference.examples(command) and all(line in page for line in cli_reference.examples(command))


def test_the_exit_codes_are_those_of_the_errors() -> None:
    rows = cli_reference.exit_codes()
    assert [int(row.split("|")[1]) for row in rows.splitlines()[2:]] == [0, 1, 2, 3, 4, 5, 70, 130]


def test_every_public_name_is_described() -> None:
    page = python_reference.page()
    for name in attnsim.__all__:
        assert name == "__version__" or f"### attnsim.{name} " in page
    assert 'only: str = "all"' in page.replace("'", '"')


def test_a_formula_is_the_same_each_time_and_can_be_heard() -> None:
    made = formulas.block("t = \\dfrac{a}{b}\n")
    formulas.svg.cache_clear()
    assert made == formulas.block("t = \\dfrac{a}{b}\n") and 'aria-label="t = \\dfrac{a}{b}"' in made and "\n" not in made


def test_the_page_of_notebooks_names_those_there_are() -> None:
    text = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    there = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert there and [word for word in text.split("`") if word.endswith(".ipynb")] == there
