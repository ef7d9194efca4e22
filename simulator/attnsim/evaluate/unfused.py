"""Kernels that keep nothing on chip between them: one matrix product, or a streaming pass over whole tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, prod

from attnsim.cascade.einsum import Einsum
from attnsim.evaluate.kernel import Kernel, stretched_cycles
from attnsim.evaluate.makespan import makespan
from attnsim.evaluate.occupancy import Occupancy
from attnsim.evaluate.point import Point
from attnsim.evaluate.traffic import STATE_BYTES, Traffic, inputs_of, results_of
from attnsim.evaluate.work import Work
from attnsim.spec.dtype import element_bytes
from attnsim.spec.schedule import HelperKernel, Tile


def unfused_kernel(point: Point, einsums: tuple[Einsum, ...], name: str) -> Kernel:
    """A group of Einsums as one kernel over whole tensors: a batched matrix product when it is one, else a streaming kernel.

    Every operand is read from memory and every result written to it; masks are applied by value, so all pairs are computed.
    """
    row = point.schedule.tile(point.context) if point.schedule.spec.tiles else None
    tile = {} if row is None else row.sizes()
    partition = {rank: tile.get(rank, size) for rank, size in point.sizes.items() if rank in point.cascade.partition}
    sizes = point.cascade.resolve_sizes(point.sizes, {rank: min(size, point.sizes[rank]) for rank, size in partition.items()})
    traffic = _whole_tensors(point, einsums, sizes)
    if len(einsums) == 1 and einsums[0].is_matmul:
        return _product(point, einsums[0], row, sizes, traffic, name)
    return streaming_kernel(point, _whole_work(point, einsums, sizes), traffic, name)


def helper_kernel(point: Point, helper: HelperKernel) -> Kernel:
    """A helper of the schedule: the Einsums it computes and the tensors it converts or clears, streamed once."""
    einsums = tuple(point.cascade.by_label[label] for label in helper.einsums)
    sizes = point.cascade.resolve_sizes(point.sizes)
    traffic = _whole_tensors(point, einsums, sizes)
    for direction, tensors in (("read", helper.reads), ("write", helper.writes)):
        for tensor, dtype in tensors.items():
            width = point.stored(tensor) if dtype == "io" else element_bytes(dtype)
            _stream(point, traffic, tensor, direction, point.tensor_bytes(tensor) / point.stored(tensor) * width)
    return streaming_kernel(point, _whole_work(point, einsums, sizes), traffic, helper.name)


def permute_kernel(point: Point, tensors: tuple[str, ...], name: str) -> Kernel:
    """Tensors copied into the token order of the kernel's boxes, or out of it (arXiv 2504.16922, appendix B.2)."""
    permute = point.schedule.spec.permute
    copy = helper_kernel(point, HelperKernel(name=name, reads=dict.fromkeys(tensors, "io"), writes=dict.fromkeys(tensors, "io")))
    share = point.schedule.constant(permute.memory_efficiency if permute is not None else (), point.context, 1.0)
    memory = point.machine.memory.name
    return replace(copy, level_s={level: time / share if level == memory else time for level, time in copy.level_s.items()})


def combine_kernel(point: Point, splits: int, name: str) -> Kernel:
    """Merges the partial results of a split walk: reads every split's fp32 rows and their log-sum-exp, writes the result."""
    work, traffic = Work(), Traffic()
    for tensor in point.cascade.outputs:
        size = point.tensor_bytes(tensor)
        elements = size / point.stored(tensor)
        rows = elements / point.sizes[point.cascade.tensor_ranks(tensor)[-1]]
        _stream(point, traffic, tensor, "read", splits * (elements + rows) * STATE_BYTES)
        _stream(point, traffic, tensor, "write", size)
        work.add(point, "vector", "mac", splits * elements)
        exponentials = "sfu" if "sfu" in point.machine.units else "vector"
        work.add(point, exponentials, "exp", splits * rows)
    return streaming_kernel(point, work, traffic, name)


def _whole_work(point: Point, einsums: tuple[Einsum, ...], sizes: Mapping[str, int]) -> Work:
    """Every operation of the Einsums, masked pairs included."""
    work = Work()
    for einsum in einsums:
        for term in einsum.terms:
            work.add(point, point.unit(einsum, term.kind), term.kind, float(term.count(sizes)))
    return work


def _whole_tensors(point: Point, einsums: tuple[Einsum, ...], sizes: Mapping[str, int]) -> Traffic:
    """Every operand read once, every result written once."""
    traffic = Traffic()
    for tensor in inputs_of(einsums):
        _stream(point, traffic, tensor, "read", tensor_bytes(point, tensor, sizes))
    for tensor in results_of(point, einsums):
        _stream(point, traffic, tensor, "write", tensor_bytes(point, tensor, sizes))
    return traffic


def tensor_bytes(point: Point, tensor: str, sizes: Mapping[str, int]) -> float:
    """Bytes of a whole tensor, partition chunks included (LM[m1,p] has one value per chunk)."""
    product = point.stored(tensor)
    for rank in point.cascade.tensor_ranks(tensor):
        product *= sizes[rank]
    return product


def _stream(point: Point, traffic: Traffic, tensor: str, direction: str, count: float) -> None:
    traffic.add(point.machine.memory.name, tensor, direction, count)
    if point.shared is not None:
        traffic.add(point.machine.levels[point.shared].name, tensor, direction, count)


def _level_times(point: Point, traffic: Traffic) -> dict[str, float]:
    return {
        level.name: traffic.total(level.name) / level.sustained
        for level in point.machine.levels
        if level.per == "device" and traffic.total(level.name)
    }


def _fixed(point: Point) -> float:
    return point.schedule.constant(point.schedule.spec.constants.kernel_overhead, point.context, 0.0)


def streaming_kernel(point: Point, work: Work, traffic: Traffic, name: str) -> Kernel:
    """All processors stream their share; no tile structure."""
    share = {unit: cycles / point.machine.processors for unit, cycles in work.cycles.items()}
    return Kernel(
        name=name,
        compute_cycles=max(share.values(), default=0.0),
        busy_cycles=share,
        ops=work.ops,
        smem_bytes=0.0,
        traffic=traffic,
        level_s=_level_times(point, traffic),
        exposed_memory=0.0,
        fixed_s=_fixed(point),
        ctas=point.machine.processors,
        tile={},
        splits=1,
        occupancy=Occupancy(1, "streaming", 0.0),
        slots=point.machine.processors,
    )


Sides = Mapping[str, tuple[int, int]]
"""Of the output of a matrix product: (size, tile) by rank, or of its rows and columns."""


def _sides(point: Point, einsum: Einsum, row: Tile | None, sizes: Mapping[str, int]) -> tuple[Sides, tuple[str, ...]]:
    """What a CTA computes of the output, and the ranks over which the product is repeated.

    With `rows` and `cols` in the tile row: ranks of the first operand alone are rows, of the second alone columns, of both repeated.
    """
    apart = {*point.cascade.batch, *point.cascade.groups}
    repeated = [rank for rank in einsum.ranks if rank in apart]
    kept = [rank for rank in einsum.output.ranks if rank not in apart]
    if row is None or row.rows is None or row.cols is None:
        tile = {} if row is None else row.sizes()
        return {rank: (sizes[rank], tile.get(rank, sizes[rank])) for rank in kept}, tuple(repeated)
    first, second = (set(operand.ranks) for operand in einsum.operands)
    repeated += [rank for rank in kept if rank in first and rank in second]
    rows, cols = ([rank for rank in kept if rank in side and rank not in other] for side, other in ((first, second), (second, first)))
    found = {"rows": (prod(sizes[rank] for rank in rows), int(row.rows)), "cols": (prod(sizes[rank] for rank in cols), int(row.cols))}
    return found, tuple(repeated)


def _product(point: Point, einsum: Einsum, row: Tile | None, sizes: Mapping[str, int], traffic: Traffic, name: str) -> Kernel:
    """A batched matrix product: output tiles spread over CTAs, padded to whole tiles; the reduced ranks are walked whole."""
    sides, repeated = _sides(point, einsum, row, sizes)
    resident = 1 if row is None else row.ctas or 1
    reduced = prod(sizes[rank] for rank in einsum.ranks if rank not in einsum.output.ranks and rank not in repeated)
    padded = float(reduced * prod(side for _, side in sides.values()))
    ctas = prod(sizes[rank] for rank in repeated) * prod(ceil(size / side) for size, side in sides.values())
    each = Work()
    for term in einsum.terms:
        each.add(point, point.unit(einsum, term.kind), term.kind, padded * term.per_element)
    schedule = point.schedule
    cost = max(stretched_cycles(point, each.cycles).values()) + schedule.constant(schedule.spec.constants.cta_overhead, point.context, 0.0)
    processors = point.machine.processors
    return Kernel(
        name=name,
        compute_cycles=makespan([(ctas, cost)], 1, processors, resident),
        busy_cycles={unit: ctas * cycles / processors for unit, cycles in each.cycles.items()},
        ops={unit: {kind: ctas * count for kind, count in kinds.items()} for unit, kinds in each.ops.items()},
        smem_bytes=0.0,
        traffic=traffic,
        level_s=_level_times(point, traffic),
        exposed_memory=schedule.exposed("memory", point.context),
        fixed_s=_fixed(point),
        ctas=ctas,
        tile={name: side for name, (_, side) in sides.items()},
        splits=1,
        occupancy=Occupancy(resident, "schedule", 0.0),
        slots=resident * processors,
    )
