"""The page of the command line, made from the commands themselves."""

from __future__ import annotations

import re

import click

from attnsim import errors
from attnsim.cli.main import COMMANDS, EXIT_BUG, EXIT_INTERRUPTED, cli

#: A part of a help text that click prints as it stands.
VERBATIM = "\b"


def _escaped(text: str) -> str:
    """Text of a help as Markdown: words between angle brackets and stars are no markup."""
    return re.sub(r"(?<!`)([<*])(?!`)", r"\\\1", text).replace("|", "\\|")


def _type(param: click.Parameter) -> str:
    if isinstance(param, click.Option) and param.is_flag:
        return "switch"
    if isinstance(param.type, click.Choice):
        return "one of " + ", ".join(f"`{choice}`" for choice in param.type.choices)
    limits = param.type._describe_range() if isinstance(param.type, click.IntRange | click.FloatRange) else ""
    return f"`{param.make_metavar(click.Context(cli))}`" + (f", {limits}" if limits else "")


def _default(param: click.Parameter) -> str:
    if param.required:
        return "required"
    default = param.get_default(click.Context(cli))
    unset = default is None or default == () or (isinstance(param, click.Option) and param.is_flag) or type(default).__name__ == "Sentinel"
    return "-" if unset else f"`{default}`"


def _options(command: click.Command) -> str:
    lines = ["| Option | Value | Default | Meaning |", "|---|---|---|---|"]
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
            more = (
                " Repeatable."
                if param.multiple and "epeat" not in (param.help or "") and "more than once" not in (param.help or "")
                else ""
            )
            text = re.sub(r"\s+\[default: (.*?)\]", r" Default: \1.", param.help or "")
            lines.append(f"| {names} | {_type(param)} | {_default(param)} | {_escaped(text)}{more} |")
    return "\n".join(lines)


def _help(command: click.Command) -> str:
    paragraphs = (command.help or "").split("\n\n")
    return "\n\n".join(_escaped(" ".join(paragraph.replace(VERBATIM, "").split())) for paragraph in paragraphs)


def examples(command: click.Command) -> list[str]:
    """The command lines that the help of a command ends with."""
    return [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("attnsim ")]


def _command(name: str) -> str:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = click.Context(command, info_name=f"attnsim {name}")
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    shown = "\n".join(examples(command))
    return f"## attnsim {name}\n\n{_help(command)}\n\n```text\n{usage}\n```\n\n{_options(command)}\n\n```sh\n{shown}\n```\n"


def exit_codes() -> str:
    """Exit code -> when, from the errors themselves."""
    found = {
        0: "fine",
        1: "a check or a validation failed",
        EXIT_BUG: "a bug in attnsim; `--debug` shows where",
        EXIT_INTERRUPTED: "interrupted",
    }
    for error in (errors.UsageError, errors.SpecError, errors.InfeasibleError, errors.MissingDataError):
        found[error.exit_code] = (error.__doc__ or "").rstrip(".")
    return "\n".join(["| Code | Meaning |", "|---|---|", *(f"| {code} | {_escaped(found[code])} |" for code in sorted(found))])


def page() -> str:
    """The whole page."""
    table = "\n".join(
        ["| Command | What it does |", "|---|---|", *(f"| [`{name}`](#attnsim-{name}) | {text} |" for name, text in COMMANDS.items())]
    )
    return f"""# Command line

Data goes to stdout, narration and progress to stderr, so that every answer can be piped. `-h` of every command prints what stands here.
A workload, a machine or a schedule is a library name (`attnsim list arch`) or the path of a file.

{table}

## Exit codes

{exit_codes()}

A mistake in a file is one line, `file:line:column: field: what is wrong and what would be right`; all mistakes of a file are told at once.

{"".join(_command(name) + chr(10) for name in COMMANDS)}"""
