"""Draws when the CTAs of a kernel run: the first and the last wave slot by slot, and how long each resource is busy beside them.

`save(attnsim.run(...), path)` is `attnsim timeline`. On PE arrays it draws an epoch (`epoch.py`), of a model its stages
(`stages.py`). The CTAs stand where the list schedule of the engine puts them (`attnsim.evaluate.placement`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnsim.evaluate.estimate import Estimate, KernelEstimate, Report
from attnsim.evaluate.launch import Kind, Launch, launches
from attnsim.evaluate.layer import LayerEstimate
from attnsim.evaluate.placement import Piece
from attnsim.evaluate.render import digits3, percent, whole
from attnsim.evaluate.spatial.estimate import SpatialEstimate
from attnsim.machine.machine import Machine
from attnsim.report.drawing.page import text_width
from attnsim.report.export import to_csv, write_files
from attnsim.report.roofline.figure import COLORS, FAINT, INK, check_ending, figure_bytes
from attnsim.report.timeline import epoch, stages
from attnsim.report.timeline.strip import PITCH, Bar, draw_strip, time_unit
from attnsim.serving.answer import ModelEstimate
from attnsim.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
WIDTH, GAP, TITLE, HEADING, AXIS, LEGEND, FOOTER = 11.0, 0.3, 0.62, 0.24, 0.5, 0.3, 0.24
LEAST_HEIGHT, MOST_HEIGHT, ROW = 1.0, 4.6, 0.18
WAVE = 1.08
"""A panel of a wave is this many times as long as the longest CTA."""
KINDS = 5
"""Colours of CTAs; more kinds share one by how many tiles they walk."""
HATCHES = ("", "////", "", "....", "")
TALL = 0.06
"""Inches of a slot's row from which rows are kept apart and kinds are hatched; thinner ones would be nothing but lines."""
LABEL, SMALL = 8.0, 6.5  # points
Box = tuple[float, float, float, float]
"""Left, top, right and bottom of what is drawn of a piece."""


@dataclass(frozen=True, slots=True)
class Waves:
    """What is drawn of a kernel: the answer it belongs to, when it starts, and its CTAs. offset: seconds before its first CTA."""

    answer: Estimate
    kernel: KernelEstimate
    launch: Launch
    offset: float

    @property
    def span_s(self) -> float:
        """Seconds from the first CTA's start to the last one's end."""
        return self.launch.placement.span / self.answer.clock_hz

    @property
    def work_s(self) -> float:
        """The same if all processors were busy all the time."""
        placement = self.launch.placement
        cycles = sum(self.launch.total(piece).cycles for pieces in placement.slots for piece in pieces)
        return cycles / placement.processors / self.answer.clock_hz

    @property
    def idle(self) -> float:
        """Share of the processors' time in which they have no CTA, or a CTA alone that cannot use all of them."""
        return max(0.0, 1.0 - self.work_s / self.span_s) if self.span_s else 0.0

    @property
    def windows(self) -> tuple[tuple[float, float], ...]:
        """(start, end) in cycles of the panels: the first and the last wave, or all of it where it is no longer."""
        span = self.launch.placement.span
        single = (piece.end - piece.start for pieces in self.launch.placement.slots for piece in pieces if piece.count == 1)
        wave = WAVE * max(single, default=span)
        return ((0.0, span),) if span <= 2.2 * wave else ((0.0, wave), (span - wave, span))


def waves_of(report: Report) -> Waves:
    """The kernel of a report that takes longest, of its longest step."""
    numbered = [(index, one) for index, one in enumerate(report.results) if isinstance(one, Estimate)]
    index, answer = max(numbered, key=lambda pair: pair[1].latency_s)
    found = launches(report.resolved()[index])
    longest = max(range(len(found)), key=lambda number: answer.kernels[number].latency_s)
    before = sum(kernel.latency_s for kernel in answer.kernels[:longest])
    kernel = answer.kernels[longest]
    begun = before + kernel.time_by_resource_s.get("launch", 0.0) + found[longest].kernel.fixed_s
    return Waves(answer, kernel, found[longest], begun)


def save(report: Report, path: Path, version: str) -> Path:
    """Write the picture (SVG, PDF or PNG by the path's ending) and what it shows as CSV; return the CSV's path. Raises: UsageError."""
    check_ending(path)
    longest = max((one for one in report.results if not isinstance(one, LayerEstimate)), key=lambda one: float(one.latency_s))
    if isinstance(longest, SpatialEstimate):
        return epoch.save(longest, report.arch_name, path, version)
    if isinstance(longest, ModelEstimate):
        return stages.save(longest, report, path, version)
    shown, data = waves_of(report), path.with_suffix(".csv")
    picture = render(shown, report, path.suffix.lower().removeprefix("."), version)
    write_files({path: picture, data: to_csv(rows(shown)).encode("utf-8")})
    return data


def render(shown: Waves, report: Report, format_: str, version: str) -> bytes:
    """The figure as bytes of an SVG, PDF or PNG file; the same report gives the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"hatch.linewidth": 0.6}):
        return figure_bytes(lambda: draw(shown, report, version), format_)


def rows(shown: Waves) -> list[dict[str, Any]]:
    """One row for each piece drawn: processor, slot, which CTAs, seconds from the first CTA's start, tiles and cycles."""
    placement, clock = shown.launch.placement, shown.answer.clock_hz
    found = []
    for slot, piece in _drawn(shown):
        total = shown.launch.total(piece)
        found.append(
            {
                "processor": slot % placement.processors,
                "slot": slot // placement.processors,
                "name": shown.launch.name(piece),
                "ctas": piece.count,
                "start_s": piece.start / clock,
                "end_s": piece.end / clock,
                "tiles": total.tiles,
                "masked_tiles": total.masked,
                "cycles": total.cycles,
            }
        )
    return found


def _drawn(shown: Waves) -> Iterator[tuple[int, Piece]]:
    """(slot, piece) of all that lies in a window, processor by processor."""
    placement, windows = shown.launch.placement, shown.windows
    for place in range(len(placement.slots)):
        slot = place % placement.resident * placement.processors + place // placement.resident
        for piece in placement.slots[slot]:
            if any(piece.end > start and piece.start < end for start, end in windows):
                yield slot, piece


def draw(shown: Waves, report: Report, version: str) -> Figure:
    """The figure: the waves above, below the whole run resource by resource (of a layer: step by step)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert isinstance(report.machine, Machine)
    slots, windows = len(shown.launch.placement.slots), shown.windows
    panel = min(MOST_HEIGHT, max(LEAST_HEIGHT, ROW * slots))
    bars, length = _bars(shown, report)
    left = text_width([bar.label for bar in bars], LABEL) + 0.22
    right = text_width([bar.told(length) for bar in bars], LABEL) + 0.2
    strip = PITCH * (len(bars) + 0.4)
    groups = _grouped(shown.launch.kinds)
    height = TITLE + HEADING + panel + AXIS + LEGEND + HEADING + strip + AXIS + FOOTER
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    _texts(figure, shown, report, version, left, height)
    top = height - TITLE - HEADING
    wide = (WIDTH - left - right - GAP * (len(windows) - 1)) / len(windows)
    drawn: set[int] = set()
    for number, window in enumerate(windows):
        place = ((left + number * (wide + GAP)) / WIDTH, (top - panel) / height, wide / WIDTH, panel / height)
        drawn |= _panel(figure.add_axes(place), shown, report.machine, window, groups, panel / slots)
    _legend(figure, groups, drawn, panel / slots >= TALL, (left / WIDTH, (top - panel - AXIS) / height))
    bottom = FOOTER + AXIS
    place = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, strip / height)
    clock = shown.answer.clock_hz
    lit = [(shown.offset + start / clock, (end - start) / clock) for start, end in windows]
    draw_strip(figure.add_axes(place), bars, length, lit if len(lit) > 1 and bars[0].name == "CTAs" else (), COLORS[0])
    what = "all steps of a layer" if isinstance(report.results[0], LayerEstimate) else "the whole run, launch included"
    figure.text(left / WIDTH, (bottom + strip + 0.07) / height, what, fontsize=LABEL, fontweight="bold", color=INK)
    return figure


def _texts(figure: Figure, shown: Waves, report: Report, version: str, left: float, height: float) -> None:
    assert isinstance(report.machine, Machine)
    kernel, placement, noun = shown.kernel, shown.launch.placement, report.machine.processor_name
    title = f"{kernel.name} of {shown.answer.name} on {report.arch_name}"
    figure.text(left / WIDTH, 1 - 0.3 / height, title, fontsize=11, fontweight="bold", color=INK)
    tile = " ".join(f"{rank}={size}" for rank, size in kernel.tile.items())
    parts = [
        f"{whole(kernel.ctas)} CTAs{f' of {tile}' if tile else ''}",
        f"{placement.resident if placement.resident > 1 else 'one'} on each of {placement.processors} {noun}s",
        f"{digits3(kernel.waves)} waves",
        f"{percent(shown.idle)} of the {noun}s' time idle",
        f"bound by {kernel.bound}",
    ]
    levels = shown.launch.kernel.level_s
    slowest = max(levels, key=lambda level: levels[level], default="")
    if slowest and levels[slowest] > shown.span_s:
        parts.append(f"{slowest} takes {format_quantity(levels[slowest], 's')} beside what the CTAs compute")
    figure.text(left / WIDTH, 1 - 0.51 / height, ", ".join(parts), fontsize=LABEL, color=INK)
    figure.text(left / WIDTH, 0.1 / height, f"attnsim {version}; what is drawn as CSV beside this file", fontsize=SMALL, color=FAINT)


# --- CTAs --------------------------------------------------------------------------------------------------------------------------


def _grouped(kinds: Sequence[Kind]) -> list[tuple[str, set[int]]]:
    """(name, kinds of it) for each colour: kinds by tiles walked, or ranges of that where there are many."""
    tiles = sorted({kind.tiles for kind in kinds})
    if not any(tiles):
        return [("CTA", set(range(len(kinds))))]
    if len(tiles) <= KINDS:
        cuts = [(count, count) for count in tiles]
    else:
        low, high = tiles[0], tiles[-1] + 1
        edges = [low + (high - low) * part // KINDS for part in range(KINDS + 1)]
        cuts = [(first, after - 1) for first, after in zip(edges, edges[1:], strict=False)]
    found = []
    for first, last in cuts:
        name = f"{whole(first)} tile{'s' if first != 1 else ''}" if first == last else f"{whole(first)} to {whole(last)} tiles"
        members = {index for index, kind in enumerate(kinds) if first <= kind.tiles <= last}
        if members:
            found.append((name, members))
    return found


def _style(index: int, kinds: int, tall: bool) -> dict[str, Any]:
    """One colour, the darker the longer the walk: told apart in print and by any eye."""
    share = 0.7 if kinds == 1 else 0.22 + 0.78 * index / (kinds - 1)
    tint = "".join(f"{round(255 - share * (255 - int(COLORS[0][at : at + 2], 16))):02X}" for at in (1, 3, 5))
    return {"facecolor": f"#{tint}", "hatch": HATCHES[index % KINDS] if tall else "", "edgecolor": "white"}


MIXED: dict[str, Any] = {"facecolor": "#D8D8D8", "edgecolor": "white"}
IDLE: dict[str, Any] = {"facecolor": "white", "hatch": "\\\\\\\\", "edgecolor": "#C4C4C4"}


def _panel(
    axes: Axes, shown: Waves, machine: Machine, window: tuple[float, float], groups: Sequence[tuple[str, set[int]]], row_height: float
) -> set[int]:
    """One wave: a row a slot, processor 0 on top; which groups are in it (-1: several CTAs, -2: idle)."""
    placement, clock = shown.launch.placement, shown.answer.clock_hz
    unit, scale = time_unit(shown.span_s)
    count, resident = len(placement.slots), placement.resident
    tall, last_one = row_height >= TALL, window == shown.windows[-1]
    low, high = (moment / clock * scale for moment in window)
    boxes: dict[int, list[Box]] = {}
    ends = [0.0] * count
    labels = []
    for slot, piece in _drawn(shown):
        row = slot % placement.processors * resident + slot // placement.processors
        ends[row] = max(ends[row], piece.end / clock * scale)
        place = (max(low, piece.start / clock * scale), row, min(high, piece.end / clock * scale), row + 1)
        if place[0] >= place[2]:
            continue
        held = {run for run, _ in piece.held}
        group = next((index for index, (_, members) in enumerate(groups) if held <= members), -1) if piece.count == 1 else -1
        boxes.setdefault(group, []).append(place)
        labels.append((place, shown.launch.name(piece)))
    for group in sorted(boxes):
        _add_boxes(axes, boxes[group], MIXED if group < 0 else _style(group, len(groups), tall), tall)
    # Where a CTA follows another, a line; none between slots that are too thin for it.
    axes.vlines(
        [x0 for (x0, _, _, _), _ in labels],
        [y0 for (_, y0, _, _), _ in labels],
        [y1 for (_, _, _, y1), _ in labels],
        "white",
        linewidth=0.6,
    )
    drawn = set(boxes)
    idle = [(max(end, low), row, high, row + 1) for row, end in enumerate(ends) if end < high * (1 - 1e-9)] if last_one else []
    if idle:
        _add_boxes(axes, idle, IDLE, tall)
        drawn.add(-2)
    heading = "first wave"
    if last_one:
        even = shown.work_s * scale
        heading = f"{'last wave' if len(shown.windows) > 1 else 'all waves'} to {format_quantity(shown.span_s, 's')}"
        if low < even < high * (1 - 1e-6):
            axes.axvline(even, color=INK, linewidth=1.0, linestyle="--")
            heading += f"; dashed: evenly spread, {format_quantity(shown.span_s - shown.work_s, 's')} less"
    axes.set_xlim(low, high)
    axes.set_ylim(count, 0)
    _label_boxes(axes, labels, row_height)
    _slot_ticks(axes, machine, placement.processors, resident, window == shown.windows[0])
    axes.set_xlabel(f"{unit} from the start of the first CTA", fontsize=LABEL)
    axes.tick_params(labelsize=LABEL - 0.5, length=2.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.text(
        0, 1 + 0.04 / (row_height * count), heading, transform=axes.transAxes, fontsize=LABEL, fontweight="bold", color=INK, va="bottom"
    )
    return drawn


def _add_boxes(axes: Axes, boxes: Sequence[Box], style: dict[str, Any], tall: bool) -> None:
    """Rectangles of one look as a single shape: a file of many CTAs stays small."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    corners = [(x, y) for x0, y0, x1, y1 in boxes for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))]
    codes = [Outline.MOVETO, Outline.LINETO, Outline.LINETO, Outline.LINETO, Outline.CLOSEPOLY] * len(boxes)
    axes.add_patch(PathPatch(Outline(corners, codes), linewidth=0.8 if tall else 0.0, **style))


def _label_boxes(axes: Axes, labels: Sequence[tuple[Box, str]], row: float) -> None:
    """Names inside the boxes that have room for them."""
    if row < 0.135:
        return
    low, high = axes.get_xlim()
    inches = axes.get_position().width * WIDTH / (high - low)
    for (x0, y0, x1, y1), text in labels:
        if text_width([text], SMALL) + 0.06 < (x1 - x0) * inches:
            background = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
            axes.text((x0 + x1) / 2, (y0 + y1) / 2, text, fontsize=SMALL, color=INK, ha="center", va="center_baseline", bbox=background)


def _slot_ticks(axes: Axes, machine: Machine, processors: int, resident: int, first: bool) -> None:
    if not first:
        axes.set_yticks([])
        return
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if processors / step <= 9)
    places = list(range(0, processors, step))
    axes.set_yticks([(place + 0.5) * resident for place in places], [str(place) for place in places])
    axes.set_ylabel(f"{machine.processor_name}{f', {resident} slots each' if resident > 1 else ''}", fontsize=LABEL)


def _legend(figure: Figure, groups: Sequence[tuple[str, set[int]]], drawn: set[int], tall: bool, place: tuple[float, float]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(**_style(index, len(groups), tall), label=name) for index, (name, _) in enumerate(groups)]
    handles += [Patch(**MIXED, label="several CTAs")] if -1 in drawn else []
    handles += [Patch(**IDLE, label="idle")] if -2 in drawn else []
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=place, ncols=len(handles), frameon=False, fontsize=LABEL - 0.5,
        borderpad=0, borderaxespad=0, columnspacing=1.4, handlelength=2.2, handleheight=1.1,
    )  # fmt: skip


# --- the whole run -----------------------------------------------------------------------------------------------------------------


def _bars(shown: Waves, report: Report) -> tuple[list[Bar], float]:
    """The rows below, and how long they are in all: resources of the kernels one after another, or the steps of a layer."""
    now = 0.0
    if isinstance(report.results[0], LayerEstimate):
        bars = []
        for step in report.results[1:]:
            name = step.name.removeprefix(f"{report.workload_name}: ")
            bars.append(Bar(name, ((now, step.latency_s),), "above" if step is shown.answer else ""))
            now += step.latency_s
        return bars, now
    pieces: dict[str, list[tuple[float, float]]] = {}
    for kernel in shown.answer.kernels:
        own = shown.offset if kernel is shown.kernel else now + kernel.time_by_resource_s.get("launch", 0.0)
        if kernel is shown.kernel:
            pieces.setdefault("CTAs", []).append((own, shown.span_s))
        for resource, seconds in kernel.time_by_resource_s.items():
            pieces.setdefault(resource, []).append((now if resource == "launch" else own, seconds))
        now += kernel.latency_s
    bars = [Bar(name, tuple(parts), "bound" if name == shown.answer.bound else "") for name, parts in pieces.items()]
    return sorted(bars, key=lambda bar: (bar.name != "CTAs", -bar.seconds)), now
