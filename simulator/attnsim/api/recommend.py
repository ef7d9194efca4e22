"""`attnsim.recommend`: which window, stride, dilation and tile shape of a neighborhood mask are worth their time on a machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from attnsim.api.documents import Ref, placed, question, workload_spec
from attnsim.api.processors import beside_dense, dense_latency, resolve
from attnsim.errors import InfeasibleError, SpecError, UsageError
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.point import Point
from attnsim.evaluate.recommend.answer import Baseline, Recommendation, Recommendations
from attnsim.evaluate.recommend.render import by_axis
from attnsim.evaluate.recommend.search import Candidate, Found, box, masked_by, search, tile_rows, with_tile
from attnsim.evaluate.recommend.space import Setting, Shape, dilations_of, maximal, setting_of, windows_by_axis
from attnsim.machine.spatial import SpatialMachine
from attnsim.mask.neighborhood import Neighborhood
from attnsim.spec.mask import illegal_axis
from attnsim.spec.schedule import Tile
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import Document


def recommend(
    workload: Ref,
    arch: Ref,
    schedule: Ref | None = None,
    *,
    windows: Sequence[Sequence[int]] = (),
    min_sparsity: float | None = None,
    max_sparsity: float | None = None,
    max_stride: int | Sequence[int] | None = None,
    dilation: bool = False,
    top: int = 10,
    sets: Sequence[str] = (),
    **overrides: Any,
) -> Recommendations:
    """The fastest settings of a neighborhood mask, as the engine of `attnsim.run` times them.

    workload, arch, schedule, sets, overrides: as of `attnsim.run`. Searched are all strides up to max_stride (left out: up to the window),
    the tile shapes of the schedule (`tiles` and `tile_choices`), with `dilation` all dilations, and these windows: the given ones (-1: the
    whole axis); with a budget and none given, along every axis the multiples of the key tiles' sides (every so many of them on axes with
    hundreds), the whole axis and the workload's own window; else the workload's own.

    min_sparsity: at least this share of the pairs is skipped (a budget of time); alone, only windows that could not grow within it are
    searched. max_sparsity: at most this share is skipped (a budget of quality).

    A setting is dropped when another one of the same window and dilation has no larger stride along any axis and is not slower, so each
    stride comes in its best tile shape. Where the windows come from a budget, also when another one attends as many pairs or more and is
    not slower. Causality along the axes is the workload's.

    Returns:
        Recommendations: ``results`` the fastest first, at most `top`; ``repr`` is the table, ``to_dict()`` the JSON.

    Raises:
        SpecError: a mistake in a file, dict or override, or no neighborhood mask. InfeasibleError: no window within the budgets, or a
        machine or schedule that cannot run it. UsageError: an option that makes no sense.
    """
    document, machine, named = question(workload, arch, schedule, sets, overrides)
    spec = workload_spec(document)
    if not isinstance(spec, KernelWorkload) or spec.mask.kind != "neighborhood":
        place = ("mask", "kind") if isinstance(spec, KernelWorkload) else ("kind",)
        message = "recommend needs a kernel with a layout of tokens: mask: {kind: neighborhood, shape: [30, 48, 80], window: [18, 24, 24]}"
        raise SpecError(document.issue(place, message))
    if isinstance(machine, SpatialMachine):
        raise InfeasibleError(document.issue(("mask",), f"recommend is for processors; {machine.name} is a machine of PE arrays"))
    for name, share in (("min_sparsity", min_sparsity), ("max_sparsity", max_sparsity)):
        if share is not None and not 0 <= share <= 1:
            raise UsageError(f"{name} is a share of the pairs between 0 and 1, not {share}")
    if top < 1:
        raise UsageError(f"top must be at least 1, not {top}")
    point = resolve(spec, document, machine, named)
    try:
        _check(point)
        rows = tile_rows(point)
        settings = _settings(point, rows, document, windows, min_sparsity, max_sparsity, dilation)
        across = not windows and (min_sparsity is not None or max_sparsity is not None)
        found = search(point, rows, settings, _limits(point, max_stride), across, top, spec.name)
        dense_s = dense_latency(point)
        results = tuple(_recommendation(spec, point, candidate, estimate, dense_s) for candidate, estimate in found.results)
    except InfeasibleError as error:
        raise placed(error, document) from None
    mask, own = _layout(point), rows[0]
    return Recommendations(
        workload_name=spec.name,
        arch_name=machine.name,
        shape=tuple(axis.extent for axis in mask.axes),
        causal=tuple(axis.causal for axis in mask.axes),
        baseline=Baseline(schedule=point.schedule.name, q_tile=box(own, point.query), kv_tile=box(own, point.key), latency_s=dense_s),
        windows=len({setting.window for setting in settings}),
        tiles=len(rows),
        considered=found.considered,
        evaluated=found.evaluated,
        results=results,
        command=_command(workload, arch, schedule, sets, results[0]),
        notes=_notes(found, point, own),
        digests=lambda: (document.sha256, machine.sha256),
    )


def _layout(point: Point) -> Neighborhood:
    assert isinstance(point.mask, Neighborhood)
    return point.mask


def _check(point: Point) -> None:
    """The kernel must skip tiles by query tile, or there is nothing to choose."""
    spec = point.schedule.spec
    if spec.fusion != "all" or "neighborhood" not in spec.masks or point.schedule.sequential != (point.key,):
        message = f"schedule {spec.name} skips no tiles of a neighborhood mask, so strides and tiles change nothing; name one that does"
        raise InfeasibleError(f"{message}, such as natten-hopper")


def _settings(
    point: Point,
    rows: Sequence[Tile],
    document: Document,
    windows: Sequence[Sequence[int]],
    min_sparsity: float | None,
    max_sparsity: float | None,
    dilate: bool,
) -> list[Setting]:
    """Windows and dilations within the budgets. Raises InfeasibleError naming the nearest when there are none."""
    mask = _layout(point)
    p, m = point.sizes[point.query], point.sizes[point.key]
    own: Shape = tuple(axis.window for axis in mask.axes)
    dilation: Shape = tuple(axis.dilation for axis in mask.axes)
    choices: list[list[int]] = [[width] for width in own]
    if windows:
        asked: list[Shape] = [_window(mask, window, dilation) for window in windows]
    elif min_sparsity is None and max_sparsity is None:
        asked = [own]
    else:
        sides = list(zip(*(box(row, point.key) for row in rows), strict=True))
        choices = windows_by_axis(mask, sides)
        asked = list(product(*choices))
    every = [setting_of(mask, p, m, window, dilation) for window in dict.fromkeys(asked)]
    # Shares as the user wrote them, 0.91 and not the nearest float: 9 % attended is within a sparsity of 0.91.
    most = p * m if min_sparsity is None else (1 - Fraction(str(min_sparsity))) * p * m
    least = 0 if max_sparsity is None else (1 - Fraction(str(max_sparsity))) * p * m
    kept = [setting for setting in every if least <= setting.pairs <= most]
    if not kept:
        near = min(every, key=lambda setting: max(least - setting.pairs, setting.pairs - most))
        budget = " and ".join(
            f"{word} {share:g}" for word, share in (("at least", min_sparsity), ("at most", max_sparsity)) if share is not None
        )
        raise InfeasibleError(
            document.issue(
                ("mask", "window"),
                f"no window has a sparsity of {budget}; the nearest is {by_axis(near.window)} with {1 - near.pairs / (p * m):.4g}",
            )
        )
    if not windows and max_sparsity is None and min_sparsity is not None:
        kept = maximal(kept, choices)
    if dilate:
        kept = [setting_of(mask, p, m, setting.window, one) for setting in kept for one in dilations_of(mask, setting.window)]
    return kept


def _window(mask: Neighborhood, window: Sequence[int], dilation: Shape) -> Shape:
    """A window as the user gave it. Raises UsageError where the layout has none such."""
    if len(window) != len(mask.axes):
        raise UsageError(f"window {by_axis(window)} has {len(window)} axes, but the layout has {len(mask.axes)}")
    whole = tuple(axis.extent // d if w == -1 else w for axis, w, d in zip(mask.axes, window, dilation, strict=True))
    for number, (axis, width, step) in enumerate(zip(mask.axes, whole, dilation, strict=True)):
        fault = illegal_axis(axis.extent, width, 1, step)
        if fault is not None:
            raise UsageError(f"window {by_axis(window)}, axis {number}: {fault[1]}")
    return whole


def _limits(point: Point, most: int | Sequence[int] | None) -> Shape:
    """The largest stride by axis."""
    axes = _layout(point).axes
    if most is None:
        return tuple(axis.extent for axis in axes)
    limits = (most,) * len(axes) if isinstance(most, int) else tuple(most)
    if len(limits) != len(axes) or min(limits) < 1:
        raise UsageError(f"max_stride takes one number, or one for each of the {len(axes)} axes, of at least 1; not {by_axis(limits)}")
    return limits


def _recommendation(spec: KernelWorkload, point: Point, candidate: Candidate, estimate: Estimate, dense_s: float) -> Recommendation:
    asked = masked_by(with_tile(point, candidate.tile), candidate.setting, candidate.stride)
    mask, setting = estimate.mask, candidate.setting
    speedups = {} if spec.end_to_end is None else beside_dense(spec.end_to_end, asked, estimate, dense_s)
    by_test = point.schedule.spec.masking == "unless-block-sparse"
    return Recommendation(
        window=setting.window,
        stride=candidate.stride,
        dilation=setting.dilation,
        q_tile=box(candidate.tile, point.query),
        kv_tile=box(candidate.tile, point.key),
        sparsity=1.0 - mask["density"],
        density=mask["density"],
        flop_speedup=mask["flop_speedup"],
        block_sparse=mask["block_sparse"],
        block_sparse_natten=mask["block_sparse_natten"],
        masked=not mask["block_sparse_natten"] if by_test else mask["tile_pairs_partial"] > 0,
        latency_s=estimate.latency_s,
        lower_bound_s=estimate.lower_bound_s,
        op_speedup=speedups.get("op_speedup", dense_s / estimate.latency_s),
        end_to_end=speedups.get("speedup"),
        sets=_sets(point, candidate),
    )


def _sets(point: Point, candidate: Candidate) -> tuple[str, ...]:
    """`--set` texts for a candidate: its mask, and its tile as the only row of the schedule's table."""
    setting, row = candidate.setting, candidate.tile
    texts = [f"mask.window={_list(setting.window)}", f"mask.stride={_list(candidate.stride)}"]
    if any(axis.dilation > 1 for axis in _layout(point).axes) or any(step > 1 for step in setting.dilation):
        texts.append(f"mask.dilation={_list(setting.dilation)}")
    tile = {name: _list(side) if isinstance(side := row.shape(name), tuple) else str(side) for name in row.sizes()}
    tile |= {name: str(value) for name in ("warps", "ctas", "registers") if (value := getattr(row, name)) is not None}
    return (*texts, f"schedule.tiles=[{{{', '.join(f'{name}: {value}' for name, value in tile.items())}}}]")


def _list(entries: Sequence[int]) -> str:
    return f"[{','.join(map(str, entries))}]"


def _command(workload: Ref, arch: Ref, schedule: Ref | None, sets: Sequence[str], best: Recommendation) -> str:
    """The command line that runs the best result; a dict stands there by its name."""
    words = ["attnsim", "run", *(_named(ref) for ref in (workload, arch))]
    if schedule is not None:
        words += ["--schedule", _named(schedule)]
    for text in (*sets, *best.sets):
        words += ["--set", text]
    return shlex.join(words)


def _named(ref: Ref) -> str:
    if isinstance(ref, str | Path):
        return str(ref)
    content = ref.data if isinstance(ref, Document) else ref
    return str(content.get("name", content.get("extends", "")))


def _notes(found: Found, point: Point, own: Tile) -> tuple[str, ...]:
    notes = []
    sides = zip(_layout(point).axes, box(own, point.query), box(own, point.key), strict=True)
    if any(axis.extent % q or axis.extent % k for axis, q, k in sides):
        notes.append("the tiles of the baseline do not divide the layout: dense attention computes padding, and speedups gain from it")
    if found.aligned:
        notes.append("along very long axes only strides that divide a query tile's side or are multiples of it are tried")
    if point.conditions.permute == "per_op" and point.mask.permuted:
        notes.append("latencies include the copies that permute tokens (conditions.permute: per_op); per_model or none leaves them out")
    return tuple(notes)
