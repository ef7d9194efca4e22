"""Kernels that keep nothing on chip between them: one matrix product, or a streaming pass over whole tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attnsim.cascade.einsum import Einsum
from attnsim.evaluate.kernel import Kernel
from attnsim.evaluate.point import Point
from attnsim.evaluate.product import product_kernels
from attnsim.evaluate.streaming import stream, streaming_kernel
from attnsim.evaluate.traffic import STATE_BYTES, Traffic, inputs_of, results_of
from attnsim.evaluate.work import Work
from attnsim.lanes import Number, minimum, real
from attnsim.spec.dtype import element_bytes
from attnsim.spec.schedule import HelperKernel


def unfused_kernels(point: Point, einsums: tuple[Einsum, ...], name: str) -> tuple[Kernel, ...]:
    """A group of Einsums as one kernel over whole tensors, a batched matrix product when it is one, else a streaming kernel; with a second
    kernel where the product's reduction is split.

    Every operand is read from memory and every result written to it; masks are applied by value, so all pairs are computed.
    """
    row = point.schedule.tile(point.context) if point.schedule.spec.tiles else None
    tile = {} if row is None else row.sizes()
    partition = {rank: tile.get(rank, size) for rank, size in point.sizes.items() if rank in point.cascade.partition}
    sizes = point.cascade.resolve_sizes(point.sizes, {rank: minimum(size, point.sizes[rank]) for rank, size in partition.items()})
    traffic = _whole_tensors(point, einsums, sizes)
    if len(einsums) == 1 and einsums[0].is_matmul:
        return product_kernels(point, einsums[0], sizes, traffic, name)
    schedule = point.schedule
    efficiency = schedule.constant(schedule.spec.constants.memory_efficiency, point.context, 1.0)
    return (streaming_kernel(point, _whole_work(point, einsums, sizes), traffic, name, efficiency),)


def helper_kernel(point: Point, helper: HelperKernel) -> Kernel:
    """A helper of the schedule: the Einsums it computes and the tensors it converts or clears, streamed once."""
    einsums = tuple(point.cascade.by_label[label] for label in helper.einsums)
    sizes = point.cascade.resolve_sizes(point.sizes)
    traffic = _whole_tensors(point, einsums, sizes)
    for direction, tensors in (("read", helper.reads), ("write", helper.writes)):
        for tensor, dtype in tensors.items():
            width = point.stored(tensor) if dtype == "io" else element_bytes(dtype)
            stream(point, traffic, tensor, direction, point.tensor_bytes(tensor) / point.stored(tensor) * width)
    kernel = streaming_kernel(point, _whole_work(point, einsums, sizes), traffic, helper.name)
    constants, context = point.schedule.spec.constants, point.context
    share = point.schedule.constant(constants.helper_efficiency, context, 1.0)
    times = {level: time / share for level, time in kernel.level_s.items()}
    return replace(kernel, fixed_s=point.schedule.constant(constants.helper_overhead, context, kernel.fixed_s), level_s=times)


def permute_kernel(point: Point, tensors: tuple[str, ...], name: str) -> Kernel:
    """Tensors copied into the token order of the kernel's boxes, or out of it (arXiv 2504.16922, appendix B.2)."""
    permute = point.schedule.spec.permute
    copy = helper_kernel(point, HelperKernel(name=name, reads=dict.fromkeys(tensors, "io"), writes=dict.fromkeys(tensors, "io")))
    share = point.schedule.constant(permute.memory_efficiency if permute is not None else (), point.context, 1.0)
    memory = point.machine.memory.name
    return replace(copy, level_s={level: time / share if level == memory else time for level, time in copy.level_s.items()})


def combine_kernel(point: Point, splits: Number, name: str) -> Kernel:
    """Merges the partial results of a split walk: reads every split's fp32 rows and their log-sum-exp, writes the result."""
    work, traffic = Work(), Traffic()
    for tensor in point.cascade.outputs:
        size = point.tensor_bytes(tensor)
        elements = size / point.stored(tensor)
        rows = elements / point.sizes[point.cascade.tensor_ranks(tensor)[-1]]
        stream(point, traffic, tensor, "read", splits * (elements + rows) * STATE_BYTES)
        stream(point, traffic, tensor, "write", size)
        work.add(point, "vector", "mac", splits * elements)
        exponentials = "sfu" if "sfu" in point.machine.units else "vector"
        work.add(point, exponentials, "exp", splits * rows)
    kernel, constants = streaming_kernel(point, work, traffic, name), point.schedule.spec.constants
    fixed = point.schedule.constant(constants.combine_overhead, point.context, kernel.fixed_s)
    chain = splits * point.schedule.constant(constants.merge, point.context, 0.0)
    return replace(kernel, fixed_s=fixed, compute_cycles=kernel.compute_cycles + chain)


def _whole_work(point: Point, einsums: tuple[Einsum, ...], sizes: Mapping[str, int]) -> Work:
    """Every operation of the Einsums, masked pairs included."""
    work = Work()
    for einsum in einsums:
        for term in einsum.terms:
            work.add(point, point.unit(einsum, term.kind), term.kind, real(term.count(sizes)))
    return work


def _whole_tensors(point: Point, einsums: tuple[Einsum, ...], sizes: Mapping[str, int]) -> Traffic:
    """Every operand read once, every result written once."""
    traffic = Traffic()
    for tensor in inputs_of(einsums):
        stream(point, traffic, tensor, "read", tensor_bytes(point, tensor, sizes))
    for tensor in results_of(point, einsums):
        stream(point, traffic, tensor, "write", tensor_bytes(point, tensor, sizes))
    return traffic


def tensor_bytes(point: Point, tensor: str, sizes: Mapping[str, int]) -> float:
    """Bytes of a whole tensor, partition chunks included (LM[m1,p] has one value per chunk)."""
    product = point.stored(tensor)
    for rank in point.cascade.tensor_ranks(tensor):
        product *= sizes[rank]
    return product
