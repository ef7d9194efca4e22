"""`attnsim calibrate`: a machine file from the times that `attnsim measure` wrote."""

from __future__ import annotations

import click

from attnsim.cli.common import check_writable, cli_command, deliver, narrate


@cli_command(
    "calibrate",
    "attnsim calibrate micro.csv --arch epyc_turin_2core -o mine.yaml",
    "attnsim calibrate micro.csv attention.csv gemm.csv --arch h100_sxm --kernel flash-attention-2 --rows 0 -o mine.yaml",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE.csv...")
@click.option("--arch", required=True, metavar="ARCH", help="The machine as far as it is known, which the new file extends.")
@click.option("-o", "--output", required=True, metavar="NEW.yaml", help="The new machine file (- is stdout).")
@click.option("--kernel", "kernels", multiple=True, metavar="NAME", help="Fit only this kernel; may be given more than once.")
@click.option(
    "--rows", type=click.IntRange(min=0), default=24, metavar="N",
    help="Fit each kernel on about N rows, every k-th in sorted order, and keep the others to judge it by; 0: on all.",
)  # fmt: skip
def command(files: tuple[str, ...], arch: str, output: str, kernels: tuple[str, ...], rows: int) -> int:
    """Fit a machine and its kernels to measured times; write a new arch file.

    Copies, launches and products of suite micro give the machine its bandwidths, launch times, rates and energy; collectives its link.
    Rows of kernels give at most eight constants of each schedule. The new file names the rows it was fitted on, so that `attnsim validate
    --measurements` keeps them apart. Exit 1 when a row could not be used; the others are.
    """
    check_writable(output)
    from attnsim.calibrate import calibrate

    found = calibrate(files, arch, output=output, kernels=kernels, rows=rows, told=narrate)
    click.echo(found.text(), err=output == "-")
    deliver(found.yaml(), output)
    return 0 if found.ok else 1
