"""`attnsim mask`: which tiles of a mask a kernel computes, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnsim.cli.common import (
    FIGURES,
    FORMATS,
    check_writable,
    cli_command,
    deliver,
    format_option,
    narrate,
    output_option,
    pick_format,
    schedule_option,
    set_option,
)
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from attnsim.api.tiling import Tiles
    from attnsim.mask.base import TileShape
    from attnsim.report.maskmap import Picture


@cli_command(
    "mask",
    "attnsim mask llama3-8b-prefill h100_sxm --set sizes.P=1024 --set sizes.M=1024",
    "attnsim mask llama3-8b-prefill --set sizes.P=512 --set sizes.M=512 --tile 64/64 -o mask.svg",
)
@click.argument("workload")
@click.argument("arch", required=False)
@click.option(
    "--tile", metavar="QUERY/KEY",
    help="Tiles instead of the schedule's: 128/64 tokens of the sequence (128x64 on one axis too), or boxes of tokens such as 4x8x8/2x8x8; "
    "one alone stands for both.",
)  # fmt: skip
@schedule_option
@set_option
@format_option(*FORMATS)
@output_option
def command(
    workload: str, arch: str | None, tile: str | None, schedule: str | None, sets: tuple[str, ...], format_: str | None, output: str | None
) -> None:
    """Draw a mask with its tiles: full, partial and skipped.

    FILE.svg, .pdf or .png is a picture, otherwise the answer is letters, JSON, or CSV with a row a tile pair; --format with a picture
    writes that beside it. With ARCH the tiles are those of the schedule there; without, --tile's, else 64 tokens (64, 8x8 or 4x4x4).
    For shapes of up to 4096 tokens an axis; `attnsim run` counts the tiles of any.
    """
    check_writable(output)
    drawn = output is not None and Path(output).suffix.lower() in FIGURES
    shown = _picture(workload, arch, tile, schedule, sets)
    if not drawn or output is None:
        deliver(_written(shown, pick_format(format_, output)), output)
        return
    import attnsim
    from attnsim.report.maskfigure import save

    beside = {Path(output).with_suffix(f".{'txt' if format_ == 'text' else format_}"): _written(shown, format_)} if format_ else {}
    save(shown, Path(output), attnsim.__version__, {path: text.encode("utf-8") for path, text in beside.items()})
    narrate(" and ".join(["wrote " + output, *map(str, beside)]))


def _written(shown: Picture, format_: str) -> str:
    from attnsim.report import export, maskmap

    if format_ == "json":
        return export.to_json(maskmap.record(shown))
    return export.to_csv(maskmap.rows(shown)) if format_ == "csv" else maskmap.text(shown) + "\n"


def _picture(workload: str, arch: str | None, tile: str | None, schedule: str | None, sets: tuple[str, ...]) -> Picture:
    from attnsim import api
    from attnsim.api.tiling import tiling
    from attnsim.machine.load import load_machine
    from attnsim.mask import from_spec
    from attnsim.report.maskmap import picture, shape_text
    from attnsim.spec.workload import LayerWorkload

    if arch is None and schedule is not None:
        raise UsageError("--schedule needs an ARCH to run on; without one, give --tile")
    named = schedule if any(text.strip().startswith("schedule.") for text in sets) else None
    document = api.workload_document(workload, sets, schedule=named)
    spec = api.workload_spec(document)
    if isinstance(spec, LayerWorkload):
        names = ", ".join(step.name for step in spec.steps)
        raise UsageError(f"{workload!r} is a layer of several kernels ({names}); mask takes one kernel")
    of_machine = [text.strip().removeprefix("arch.") for text in sets if text.strip().startswith("arch.")]
    machine = load_machine(arch, sets=of_machine) if arch else None
    tiles = None if tile is None else read_tiles(tile, from_spec(spec.mask).dimensions)
    cut = tiling(spec, document, machine, None if named else schedule, tiles)
    shown = picture(cut, spec.name, arch)
    if machine is None and tiles is None:
        narrate(f"no ARCH and no --tile: tiles of {shape_text(cut.q_tile)} tokens")
    return shown


def read_tiles(text: str, axes: int) -> Tiles:
    """`128/64`, `4x8x8/2x8x8`, or one tile for both; on one axis `128x64` is 128/64. Raises: UsageError."""
    first, slash, second = text.partition("/")
    if not slash and axes == 1 and first.count("x") == 1:
        first, second = first.split("x")
    query, key = _shape(first), _shape(second or first) if not slash else _shape(second)
    if query is None or key is None:
        raise UsageError(f"--tile takes QUERY/KEY, such as 128/64 or 4x8x8/2x8x8, not {text!r}")
    return query, key


def _shape(text: str) -> TileShape | None:
    sides = text.split("x")
    if not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        return None
    return int(text) if len(sides) == 1 else tuple(map(int, sides))
