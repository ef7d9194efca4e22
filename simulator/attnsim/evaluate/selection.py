"""Choosing the blocks of keys that are attended: scoring, sorting the scores, gathering what chose the same block, merging the results.

The scoring is a cascade under a schedule like any other; the rest moves bytes (arXiv 2502.13189, Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from attnsim.cascade.cascade import load_cascade
from attnsim.errors import InfeasibleError
from attnsim.evaluate.kernel import Kernel
from attnsim.evaluate.point import Point
from attnsim.evaluate.streaming import streaming_kernel
from attnsim.evaluate.traffic import STATE_BYTES, Traffic
from attnsim.evaluate.work import Work
from attnsim.mask.arith import ceil_div
from attnsim.mask.banded import DENSE
from attnsim.mask.topk import Topk
from attnsim.schedule.schedule import load_schedule
from attnsim.spec.schedule import Selection

INDEX_BYTES = 4


def scoring(point: Point) -> tuple[Point, ...]:
    """The scoring of every mask of the heads that chooses its blocks: one point each, for as many heads as have it.

    Raises:
        InfeasibleError: the machine cannot score in that format, or a rank of the cascade has no size.
    """
    selection = point.schedule.spec.selection
    if selection is None:
        return ()
    chosen: dict[Topk, int] = {}
    for heads, mask in point.masks:
        if isinstance(mask, Topk):
            chosen[mask] = chosen.get(mask, 0) + heads
    return tuple(_scoring(point, selection, mask, heads) for mask, heads in chosen.items())


def _scoring(point: Point, selection: Selection, mask: Topk, heads: int) -> Point:
    dtype = selection.dtype or point.dtype
    if not point.machine.supports(dtype):
        raise InfeasibleError(f"schedule {point.schedule.name} scores blocks in {dtype}, in which {point.machine.name} cannot compute")
    cascade = load_cascade(selection.cascade)
    share = point.cascade.head_rank
    own = {"C": ceil_div(point.sizes[point.key], mask.block), "N": mask.block}
    every = {**point.sizes, **{rank: size for rank, size in own.items() if rank not in point.cascade.ranks}}
    if share is not None and heads != every[share]:
        whole = every[share]
        every = {
            rank: max(1, size * heads // whole) if rank == share or rank in point.cascade.groups else size for rank, size in every.items()
        }
    missing = [
        rank for rank in cascade.ranks if rank not in every and rank not in {part for parts in cascade.partition.values() for part in parts}
    ]
    if missing:
        raise InfeasibleError(
            f"schedule {point.schedule.name} scores blocks with cascade {cascade.name}, which has no size of {', '.join(missing)}"
        )
    sizes = {rank: size for rank, size in every.items() if rank in cascade.ranks or rank in cascade.groups}
    same = [sizes[rank] for rank in cascade.positions] == [point.sizes[point.query], point.sizes[point.key]]
    return replace(
        point,
        cascade=cascade,
        sizes=sizes,
        mask=mask.every if same else DENSE,
        dtype=dtype,
        schedule=load_schedule(selection.schedule),
    )


def selection_kernels(point: Point, kernels_of: Callable[[Point], tuple[Kernel, ...]]) -> tuple[list[Kernel], list[Kernel]]:
    """Kernels before and after the one that attends. kernels_of: those of a point.

    Raises:
        InfeasibleError: queries choose alone, and the kernel does not gather them.
    """
    selection = point.schedule.spec.selection
    before: list[Kernel] = []
    after: list[Kernel] = []
    if selection is None:
        return before, after
    for asked in scoring(point):
        before += [replace(kernel, name=f"score {kernel.name}", dtype=asked.dtype) for kernel in kernels_of(asked)]
        passes = point.schedule.constant(selection.sort_passes, point.context, 0.0)
        if passes:
            before.append(_sort(point, asked, passes))
    incidences = _gathered(point, selection)
    if incidences:
        share = point.schedule.constant(selection.gather_efficiency, point.context, 1.0)
        e, f = (point.sizes[point.cascade.tensor_ranks(name)[-1]] for name in (next(iter(point.cascade.inputs)), point.cascade.outputs[0]))
        before.append(_copies(point, "gather", share, {"Q gathered": ("read", "write")}, incidences * e * point.element))
        rows = incidences * (f * point.element + STATE_BYTES)
        merge = _copies(point, "merge", share, {"AV partial": ("write", "read")}, rows)
        after.append(merge)
    return before, after


def _gathered(point: Point, selection: Selection) -> float:
    """(query, chosen block) pairs whose rows are copied; 0 where queries that choose together fill tiles of their own."""
    total = 0.0
    rows = point.schedule.tile(point.context).sizes().get(point.query, 1)
    p, m = point.sizes[point.query], point.sizes[point.key]
    each = point.heads / sum(heads for heads, _ in point.masks)
    for heads, mask in point.masks:
        if not isinstance(mask, Topk) or rows <= mask.together * max(1, point.group):
            continue
        if not selection.gather_efficiency:
            raise InfeasibleError(
                f"schedule {point.schedule.name} attends {rows} queries at a time, which have to choose together: "
                f"set mask.queries to a multiple of {rows}"
            )
        total += mask.pairs(p, m) / min(mask.block, m) * heads * each
    return total


def _sort(point: Point, asked: Point, passes: float) -> Kernel:
    scores = asked.cascade.outputs[-1]
    count = asked.tensor_bytes(scores) / asked.stored(scores)
    moved = passes * count * (STATE_BYTES + INDEX_BYTES)
    return _copies(point, "sort", 1.0, {"scores": ("read", "write")}, moved)


def _copies(point: Point, name: str, efficiency: float, tensors: dict[str, tuple[str, ...]], count: float) -> Kernel:
    """A kernel that reads or writes `count` bytes for each direction of a tensor."""
    traffic = Traffic()
    levels = [point.machine.memory.name, *([] if point.shared is None else [point.machine.levels[point.shared].name])]
    for tensor, directions in tensors.items():
        for direction in directions:
            for level in levels:
                traffic.add(level, tensor, direction, count)
    kernel = streaming_kernel(point, Work(), traffic, name)
    memory = point.machine.memory.name
    return replace(kernel, level_s={level: time / efficiency if level == memory else time for level, time in kernel.level_s.items()})
