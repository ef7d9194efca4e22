"""Entry point of `attnsim`: a click group that imports a command only when it is called, and the exit codes.

Exit codes: 0 fine; 1 a check or a validation failed; 2 usage; 3 bad spec; 4 infeasible; 5 missing data; 70 a bug in attnsim.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from keyword import iskeyword

import click

from attnsim.cli.common import State, debug_option

EXIT_BUG = 70
EXIT_INTERRUPTED = 130

# name -> the line `attnsim --help` prints. Kept here so that the list of commands costs no import of the commands.
COMMANDS: dict[str, str] = {
    "run": "How fast is a workload on a machine, and what stops it?",
    "sweep": "Many points at once: any field over a range, to Parquet, CSV or JSON lines.",
    "explain": "Show the equations, passes, footprints and formulas of a workload.",
    "recommend": "Choose window, stride, dilation and tiles of a neighborhood mask.",
    "pareto": "Find the points of a sweep that no other point dominates: as good in everything, better in something.",
    "compare": "Set two answers side by side: what changed, and which resource explains it.",
    "tune": "Search tiles, CTAs, splits and order of a schedule, or a mapping on PE arrays.",
    "report": "Write the answers of workloads on machines as one interactive HTML page.",
    "roofline": "Draw workloads under the roofs of machines (SVG, PDF or PNG).",
    "timeline": "Draw what runs when: first and last wave of CTAs, an epoch of PE arrays, or the stages of a model.",
    "cost": "What a token of models costs, against context or size; as a figure, too.",
    "serve": "Explore answers in a browser: change a field, see what it changes.",
    "mask": "Draw a mask with its tiles: full, partial and skipped.",
    "list": "List machines, workloads, cascades, schedules, models, price profiles, sweeps.",
    "prices": "What a unit of price buys of each machine of a price profile.",
    "show": "Print a library entry or a file as attnsim resolves it.",
    "check": "Check spec files: every error of every file, with its place.",
    "schema": "Print the JSON Schema of a kind of spec, for editors.",
    "import": "Turn a TeAAL, accelforge, Hugging Face or AIConfigurator file into attnsim's own.",
    "taxonomy": "Count the passes of every attention cascade and list the algorithms.",
    "validate": "Compare predictions with published or measured times.",
    "lint-measurements": "Find measured times that cannot be: faster than physics, contradicting.",
    "measure": "Time kernels on this machine and write them as CSV.",
    "calibrate": "Fit a machine and its kernels to measured times; write a new arch file.",
}


class LazyGroup(click.Group):
    """A group whose commands live in `attnsim.cli.<name>` as an object `command`; `-` is `_` there, a Python keyword ends in `_`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"attnsim.cli.{cmd_name.replace('-', '_')}{'_' * iskeyword(cmd_name)}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is answered with the nearest known one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from attnsim.errors import suggest

            ctx.fail(f"no command {args[0]!r}{suggest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from attnsim import __version__

        click.echo(f"attnsim {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  attnsim run llama3-8b-prefill h100_sxm",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version and exit.")
@debug_option
def cli() -> None:
    """How fast can an attention kernel run on a machine, what stops it, and why?

    Commands that take a WORKLOAD and an ARCH accept a library name (`attnsim list arch`) or a path of a YAML file.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are printed on stderr, one line each."""
    from attnsim.errors import AttnsimError

    # attnsim uses no pydantic plugins; looking for them would read the metadata of every installed distribution (0.1 s of a 0.3 s run).
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    state, stdout = State(), sys.stdout
    try:
        result = cli.main(args=None if argv is None else list(argv), prog_name="attnsim", standalone_mode=False, obj=state)
        sys.stdout.flush()
        return int(result or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except AttnsimError as error:
        if state.debug:
            traceback.print_exc()
        for issue in error.issues:
            click.echo(str(issue) if issue.file else f"attnsim: {issue}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("attnsim: interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_closed_pipe()
        return 0
    except SystemExit as stop:
        # click leaves this way after a completion request, and when the reader of stdout left: then it has put a mute stream there.
        return 0 if sys.stdout is not stdout else int(stop.code or 0)
    except Exception as error:  # noqa: BLE001 - the one net: whatever else goes wrong is our bug, told in one line
        if state.debug:
            traceback.print_exc()
            return EXIT_BUG
        text = " ".join(str(error).split())
        click.echo(f"attnsim: internal error: {type(error).__name__}: {text} (run with --debug)", err=True)
        return EXIT_BUG


def _leave_closed_pipe() -> None:
    # The reader (`| head`) has what it wanted. Point stdout at nothing, or the flush at interpreter exit raises once more.
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # a captured or replaced stdout has no descriptor; then there is nothing to flush either
        return


if __name__ == "__main__":
    sys.exit(main())
