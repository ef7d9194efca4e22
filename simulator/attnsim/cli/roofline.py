"""`attnsim roofline`: workloads under the roofs of machines, as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import check_writable, cli_command, narrate, schedule_option, set_option
from attnsim.cli.kinds import is_path, kind_of_file, known_names, named
from attnsim.errors import SpecError, UsageError, suggest

if TYPE_CHECKING:
    from attnsim.spec.library import Kind

ROLES: tuple[Kind, ...] = ("arch", "workload")
ENDINGS = (".svg", ".pdf", ".png")


@cli_command("roofline", "attnsim roofline llama3-8b-prefill llama3-8b-decode h100_sxm -o roofline.svg")
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD... ARCH...")
@schedule_option
@set_option
@click.option("-o", "--output", metavar="FILE", default="roofline.svg", help="Figure to write; .svg, .pdf or .png.")
def command(names: tuple[str, ...], schedule: str | None, sets: tuple[str, ...], output: str) -> None:
    """Draw workloads under the roofs of machines (SVG, PDF or PNG).

    Left: log-log, one diagonal per memory level, one flat roof per unit and precision, each kernel once per level. Right: the time each
    resource is busy, the bound named. The data goes into a CSV beside the figure.
    """
    if Path(output).suffix.lower() not in ENDINGS:
        raise UsageError(f"cannot draw {output!r}: end the name in {', '.join(ENDINGS)}")
    check_writable(output)
    workloads, archs = split(names)
    import attnsim
    from attnsim.report.figure import save
    from attnsim.report.roofline import charts

    reports = [attnsim.run(workload, arch, schedule=schedule, sets=sets) for arch in archs for workload in workloads]
    data = save(charts(reports), Path(output), attnsim.__version__)
    narrate(f"wrote {output} and {data}")


def split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the command line as workloads and machines, each in the order given.

    Raises: SpecError for a name that is neither, UsageError when one of the two is missing.
    """
    workloads: list[str] = []
    archs: list[str] = []
    for name in names:
        kinds = {kind_of_file(Path(name))} if is_path(name) else {kind for wanted in ROLES for kind, _ in named(name, wanted)}
        if not kinds:
            raise SpecError(f"{name!r} is neither a workload nor a machine of the library{suggest(name, known_names(*ROLES))}")
        if not kinds & set(ROLES):
            raise UsageError(f"{name!r} is a {min(kinds)}; roofline takes workloads and machines")
        (archs if "arch" in kinds else workloads).append(name)
    if not workloads or not archs:
        raise UsageError(
            f"{'a machine' if workloads else 'a workload'} is missing; write for example attnsim roofline llama3-8b-prefill h100_sxm"
        )
    return workloads, archs
