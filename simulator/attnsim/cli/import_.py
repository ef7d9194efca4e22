"""`attnsim import`: a TeAAL, accelforge or Hugging Face file as attnsim documents, or a measured table as a measurement file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from attnsim.cli.common import check_writable, cli_command, deliver, narrate
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from attnsim.importers.common import Form, Imported
    from attnsim.importers.huggingface import ImportedModel

FORMS = ("teaal", "accelforge", "huggingface")
TABLES = "aiconfigurator"


@cli_command(
    "import",
    "attnsim import gemm.yaml",
    "attnsim import gemm.yaml --from teaal -o .",
    "attnsim import config.json -o mine.yaml",
    "attnsim import aiconfigurator h100_sxm generation_attention --framework vllm -o decode.csv",
)
@click.argument("file", metavar="FILE")
@click.argument("table", nargs=-1, metavar="[SYSTEM OP]")
@click.option("--from", "form", type=click.Choice(FORMS), help="Format of FILE.  [default: told from its content]")
@click.option(
    "-o", "--output", metavar="PATH", help="Write the documents into this folder, or a model to this .yaml file, instead of to stdout."
)
@click.option("--framework", metavar="NAME", help="aiconfigurator: whose timings: sglang, vllm, trtllm.  [default: the first there is]")
@click.option("--version", metavar="VERSION", help="aiconfigurator: version of the framework.  [default: the newest]")
@click.option("--data", metavar="DIR", help="aiconfigurator: folder of the tables.  [default: $ATTNSIM_AICONFIGURATOR, else the package]")
def command(
    file: str,
    table: tuple[str, ...],
    form: str | None,
    output: str | None,
    framework: str | None,
    version: str | None,
    data: str | None,
) -> None:
    """Turn a TeAAL, accelforge, Hugging Face or AIConfigurator file into attnsim's own.

    TeAAL's `einsum:` and `mapping:`, and accelforge's `rank_sizes` and `einsums`, as far as attnsim can say the same: what it cannot is
    refused with its place (exit 3), what it reads otherwise than written is told on stderr. The documents are called NAME.cascade.yaml,
    NAME.schedule.yaml (where FILE has a mapping) and NAME.workload.yaml (where it has sizes: TeAAL files may give them as `rank-sizes:`),
    NAME being that of FILE. Written into a folder they run as `attnsim run FOLDER/NAME.workload.yaml fusemax_cloud`.

    The config.json of a Hugging Face model becomes a model (kind `transformer`) called NAME.yaml, NAME being that of its folder, or as PATH
    says. Nothing is fetched.

    With the word aiconfigurator in place of FILE: a measured table of NVIDIA's AIConfigurator as a CSV for `attnsim validate
    --measurements`; without OP, what there is. The tables come with the package aiconfigurator-core, of which nothing is run.
    """
    if file == TABLES and form is None:
        _measured(table, framework, version, data, output)
        return
    if table or framework or version or data:
        raise UsageError(f"SYSTEM, OP, --framework, --version and --data go with `attnsim import {TABLES}`")
    from attnsim.importers.common import import_file
    from attnsim.importers.huggingface import is_config, read_model

    folder = None if output is None else Path(output)
    found: Imported | ImportedModel
    if form == "huggingface" or (form is None and is_config(Path(file))):
        own = folder if folder is not None and folder.suffix in (".yaml", ".yml") and not folder.is_dir() else None
        found = read_model(Path(file), None if own is None else own.name)
        folder = folder if own is None else own.parent
    else:
        found = import_file(Path(file), cast("Form | None", form))
    texts = {name: yaml_text(data) for name, data in found.documents.items()}
    if folder is None:
        deliver("---\n".join(f"# {name}\n{text}" for name, text in texts.items()), None)
    else:
        _write(texts, folder, Path(file))
    for note in found.notes:
        narrate(f"note: {note}")


def _measured(table: tuple[str, ...], framework: str | None, version: str | None, data: str | None, output: str | None) -> None:
    """A measured table as CSV; without an op, the list of tables."""
    from attnsim.importers.aiconfigurator import find_data, pick, read
    from attnsim.importers.aiconfigurator_csv import measurements

    if len(table) > 2:
        raise UsageError(f"one SYSTEM and one OP, not {' '.join(table)}")
    check_writable(output)
    folder = find_data(data)
    if len(table) < 2:
        deliver(_listing(folder, *table), output)
        return
    chosen = pick(folder, table[0], table[1], framework, version)
    made = measurements(chosen, read(chosen))
    deliver(made.text, output)
    narrate(f"{chosen.title}: {made.rows} rows")
    for note in made.notes:
        narrate(f"note: {note}")


def _listing(folder: Path, system: str | None = None) -> str:
    """Systems with the number of their tables, or the tables of one system."""
    from attnsim.evaluate.render import table
    from attnsim.importers.aiconfigurator import check_system, tables

    if system is None:
        every = tables(folder)
        names = dict.fromkeys(found.system for found in every)
        return table(("system", "tables"), [[name, str(sum(t.system == name for t in every))] for name in names], right=(1,))
    check_system(folder, system)
    versions: dict[tuple[str, str], list[str]] = {}
    for found in tables(folder, system):
        versions.setdefault((found.op, found.framework), []).append(found.version)
    return table(("op", "framework", "versions"), [[op, name, " ".join(found)] for (op, name), found in versions.items()])


def _write(texts: dict[str, str], folder: Path, file: Path) -> None:
    """Write all documents or none, never over the file they came from."""
    from attnsim.report.export import write_files

    for name in texts:
        check_writable(str(folder / name))
        if (folder / name).resolve() == file.resolve():
            raise UsageError(f"{str(folder / name)!r} is the file to import, and would be written over; name another folder")
    write_files({folder / name: text.encode("utf-8") for name, text in texts.items()})
    for name in texts:
        narrate(f"wrote {folder / name}")


def yaml_text(data: dict[str, Any]) -> str:
    """A document as YAML: an equation a line, lists and small mappings within theirs."""
    import yaml

    def text(key: str, value: Any) -> str:
        flow = None if isinstance(value, list | dict) and key != "body" else False
        return str(yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=120, default_flow_style=flow))

    return "".join(text(key, value) for key, value in data.items())
