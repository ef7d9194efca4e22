"""Every figure of attnsim as something a notebook shows: `figures.roofline(attnsim.run(...))` on the last line of a cell is the picture.

Nothing here draws. Each function takes answers, hands them to the module that draws, and gives back a Shown, which is also saved:
`figures.roofline(report).save("roofline.svg")`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim import __version__
from attnsim.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from attnsim.api.documents import Ref
    from attnsim.api.tiling import Tiles
    from attnsim.evaluate.estimate import Report
    from attnsim.explore.pareto.front import Front
    from attnsim.report.bars import Bar
    from attnsim.report.cost import CostTable
    from attnsim.report.costfigure import Against
    from attnsim.report.lines import Line, Scale
    from attnsim.report.maskmap import Picture
    from attnsim.validate import MeasurementReport, ValidationReport


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure that notebooks show by themselves. make: draws it; dpi: pixels an inch of a PNG."""

    make: Callable[[], Figure] = field(repr=False)
    dpi: int = 150

    def render(self, format_: str) -> bytes:
        """The figure as bytes of an SVG, PDF or PNG file; the same inputs give the same bytes."""
        from attnsim.report.roofline.figure import figure_bytes

        return figure_bytes(self.make, format_, self.dpi)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure (SVG, PDF or PNG by the path's ending), whole or not at all. Raises: UsageError for another ending."""
        from attnsim.report.export import write_files
        from attnsim.report.roofline.figure import check_ending

        file = Path(path)
        check_ending(file)
        write_files({file: self.render(file.suffix.lower().removeprefix("."))})
        return file

    def _repr_svg_(self) -> str:
        text = self.render("svg").decode("utf-8")
        return text[text.index("<svg") :]


def show(figure: Figure | Callable[[], Figure]) -> Shown:
    """A matplotlib figure, or a function that makes one, as something a notebook shows. For figures of your own."""
    from matplotlib.figure import Figure

    if isinstance(figure, Figure):
        return Shown(lambda: figure)
    return Shown(figure)


def roofline(*reports: Report) -> Shown:
    """Kernels under the roofs of their machines, and the time of each resource. Raises: UsageError for what has no roofline."""
    from attnsim.report.roofline.charts import charts
    from attnsim.report.roofline.figure import draw

    found = charts(reports)
    return Shown(lambda: draw(found, __version__))


def mask_picture(
    workload: Ref,
    arch: Ref | None = None,
    schedule: Ref | None = None,
    *,
    tiles: Tiles | None = None,
    sets: Sequence[str] = (),
    **overrides: Any,
) -> Picture:
    """A mask in its tiles: `tiles` (query tile, key tile), else those of the schedule on the machine, else 64 tokens (64, 8x8 or 4x4x4).

    Raises: SpecError, InfeasibleError as `attnsim.run`; UsageError for a layer, or what cannot be drawn in these tiles.
    """
    from attnsim.api.documents import question, workload_document, workload_spec
    from attnsim.api.tiling import tiling
    from attnsim.report import maskmap
    from attnsim.spec.workload import LayerWorkload

    if arch is None:
        if schedule is not None:
            raise UsageError("a schedule needs a machine to run on; without one, give tiles")
        document, machine, named = workload_document(workload, sets, overrides), None, None
    else:
        document, machine, named = question(workload, arch, schedule, sets, overrides)
    spec = workload_spec(document)
    if isinstance(spec, LayerWorkload):
        names = ", ".join(step.name for step in spec.steps)
        raise UsageError(f"{spec.name!r} is a layer of several kernels ({names}); a mask is of one kernel")
    return maskmap.picture(tiling(spec, document, machine, named, tiles), spec.name, None if machine is None else machine.name)


def mask(
    workload: Ref,
    arch: Ref | None = None,
    schedule: Ref | None = None,
    *,
    tiles: Tiles | None = None,
    sets: Sequence[str] = (),
    **overrides: Any,
) -> Shown:
    """The picture of `mask_picture`."""
    return picture(mask_picture(workload, arch, schedule, tiles=tiles, sets=sets, **overrides))


def picture(found: Picture) -> Shown:
    """Masks in their tiles: a panel a mask, tiles coloured by what a kernel does with them."""
    from attnsim.report.maskfigure import DPI, draw

    return Shown(lambda: draw(found, __version__), DPI)


def epoch(report: Report) -> Shown:
    """Which PE array works on which Einsum when, in one steady-state epoch. Raises: UsageError for a machine of another kind."""
    from attnsim.evaluate.spatial.steady import epoch as steady
    from attnsim.report.timeline.epoch import draw

    if report.machine.kind != "spatial":
        raise UsageError(f"{report.arch_name} has no PE arrays; an epoch is drawn of machines such as fusemax_cloud")
    estimate = report.results[0]
    return Shown(lambda: draw(estimate, report.arch_name, [steady(estimate, phase) for phase in estimate.phases], __version__))


def cost(table: CostTable, against: Against = "context", kv: bool = False) -> Shown:
    """What tokens cost, against context (with the cache they read beside it) or against activated parameters."""
    from attnsim.report.costfigure import DPI, draw

    return Shown(lambda: draw(table, against, kv), DPI)


def scatter(report: MeasurementReport | ValidationReport) -> Shown:
    """Measured against predicted times of a measurement file, or of validation cases."""
    from attnsim.report.measured import case_dots, case_texts, dots_of, figure_texts
    from attnsim.report.scatter import draw
    from attnsim.validate import MeasurementReport

    if isinstance(report, MeasurementReport):
        return Shown(lambda: draw(dots_of(report), figure_texts(report, __version__)))
    return Shown(lambda: draw(case_dots(report), case_texts(report, __version__)))


def front(found: Front) -> Shown:
    """The front of a sweep among all its points."""
    from attnsim.report.paretofigure import DPI, draw

    return Shown(lambda: draw(found), DPI)


def lines(drawn: Sequence[Line], x: Scale, y: Scale, title: str, subtitle: str = "", measured: str = "published") -> Shown:
    """Lines over a shared axis; see `attnsim.report.lines`."""
    from attnsim.report.lines import draw

    return Shown(lambda: draw(drawn, x, y, title, subtitle, measured))


def bars(drawn: Sequence[Bar], label: str, unit: str, title: str, subtitle: str = "") -> Shown:
    """Bars, in pieces where they have several; see `attnsim.report.bars`."""
    from attnsim.report.bars import draw

    return Shown(lambda: draw(drawn, label, unit, title, subtitle))
