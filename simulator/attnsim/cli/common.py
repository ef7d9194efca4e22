"""What the commands share: the state of one call, the common options, and where the answer goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from attnsim.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("text", "json", "csv")
FIGURES = (".svg", ".pdf", ".png")


@dataclass
class State:
    """Switches of one call that the error handler in `main` reads too."""

    debug: bool = False
    quiet: bool = False


def _remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    state = ctx.find_root().obj
    if value and isinstance(state, State) and param.name is not None:
        setattr(state, param.name, True)


# Eager, so that they hold even when a later argument is wrong.
debug_option = click.option(
    "--debug", is_flag=True, is_eager=True, expose_value=False, callback=_remember, help="Show the traceback of an error."
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, is_eager=True, expose_value=False, callback=_remember, help="No narration on stderr."
)

set_option = click.option(
    "--set", "sets", multiple=True, metavar="FIELD=VALUE", callback=lambda _ctx, param, value: sets_read(_ctx, param, value),
    help="Change a field of the workload, as sizes.M=32768; may be given more than once.",
)  # fmt: skip
schedule_option = click.option(
    "--schedule", metavar="NAME", help="Schedule to use (a library name or a path) instead of the workload's own."
)
output_option = click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of stdout (- is stdout).")


def format_option(*formats: str) -> Callable[[F], F]:
    """`--format`; left out, the ending of the output file decides, else text."""
    return click.option(
        "--format", "format_", type=click.Choice(formats), help="Form of the answer.  [default: by the ending of FILE, else text]"
    )


def cli_command(name: str, *examples: str) -> Callable[[Callable[..., int | None]], click.Command]:
    """Make a click command whose help ends with runnable examples; its one-line summary is the table's in `main`."""
    epilog = "\b\n" + ("Example:" if len(examples) == 1 else "Examples:") + "".join(f"\n  {line}" for line in examples)
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}

    def wrap(function: Callable[..., int | None]) -> click.Command:
        made = click.command(name, epilog=epilog, context_settings=settings)(quiet_option(debug_option(function)))
        return made

    return wrap


def sets_read(_ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of `--set` and options like it. Raises click's error for one without an equals sign."""
    for value in values:
        field, equals, _ = value.partition("=")
        if not equals or not field.strip():
            raise click.BadParameter(f"cannot read {value!r}; write for example sizes.M=32768", param_hint=f"'{param.opts[0]}'")
    return values


def pick_format(format_: str | None, output: str | None, formats: tuple[str, ...] = FORMATS) -> str:
    """The format asked for, else the one the output file's ending names, else text."""
    ending = Path(output).suffix.removeprefix(".").lower() if output else ""
    return format_ or (ending if ending in formats else "text")


def narrate(text: str) -> None:
    """One line for the person at the terminal: stderr, unless --quiet."""
    context = click.get_current_context(silent=True)
    state = context.find_root().obj if context else None
    if not (isinstance(state, State) and state.quiet):
        click.echo(text, err=True)


def check_writable(output: str | None) -> None:
    """Refuse an output path that cannot work before the work is done.

    Raises: UsageError (exit 2) for a missing folder, a folder in place of a file, or a folder that may not be written.
    """
    if output is None or output == "-":
        return
    import os

    path = Path(output)
    folder = path.parent
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # a name too long, or with a NUL in it
        raise UsageError(f"cannot write {output!r}: {getattr(error, 'strerror', None) or error}") from None
    if not folder.exists():
        raise UsageError(f"cannot write {output!r}: there is no folder {str(folder)!r}; make it first")
    if not folder.is_dir():
        raise UsageError(f"cannot write {output!r}: {str(folder)!r} is not a folder")
    if path.is_dir():
        raise UsageError(f"cannot write {output!r}: it is a folder; name a file")
    place = path if path.exists() and not path.is_file() else folder  # a device or a pipe is written to where it is
    if not os.access(place, os.W_OK):
        raise UsageError(f"cannot write {output!r}: no permission to write in {str(place)!r}")


class Answer(Protocol):
    """What commands answer with: its repr is its text."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON of the answer."""
        ...


def written(answer: Answer, format_: str, rows: Callable[[], str] | None = None) -> str:
    """An answer as text, JSON or CSV. rows: the CSV, where it is not a row for each of the answer's results."""
    if format_ == "text":
        return f"{answer!r}\n"
    from attnsim.report.export import report_csv, to_json

    if format_ == "json":
        return to_json(answer.to_dict())
    return report_csv(answer.to_dict()) if rows is None else rows()


def deliver(text: str, output: str | None) -> None:
    """Send an answer to stdout, or whole to a file (narrating its name)."""
    if output is None or output == "-":
        click.echo(text, nl=not text.endswith("\n"))
        return
    from attnsim.report.export import write_text

    write_text(Path(output), text)
    narrate(f"wrote {output}")
