"""The time of one matrix product or streaming kernel by its sizes, for callers that ask for thousands: a layer, a serving model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

from attnsim.cascade.cascade import load_cascade
from attnsim.evaluate.evaluate import kernels_of, latency_of
from attnsim.evaluate.point import Point
from attnsim.machine.machine import Machine
from attnsim.mask.banded import DENSE
from attnsim.schedule.schedule import load_schedule
from attnsim.spec.workload import Conditions

_DEFAULT = Conditions()
_MOST_KNOWN = 65536  # entries of a few hundred bytes


@lru_cache(maxsize=_MOST_KNOWN)
def kernel_latency(
    machine: Machine,
    cascade: str,
    schedule: str,
    sizes: tuple[tuple[str, int], ...],
    dtype: str,
    conditions: Conditions = _DEFAULT,
    loads: tuple[int, ...] = (),
) -> float:
    """Seconds of a library cascade under a library schedule, launches included; answers are kept.

    sizes: (rank, size) of every rank, in one order for the answer to be found again; loads: as of a `Point`.

    Raises:
        InfeasibleError: the machine, format or sizes do not suit the schedule, or do not fit into memory.
        SpecError: no such cascade, schedule or rank.
    """
    algorithm = load_cascade(cascade)
    given = dict(sizes)
    algorithm.resolve_sizes(given)
    point = Point(algorithm, given, DENSE, dtype, machine, load_schedule(schedule), conditions, "forward", loads)
    return float(latency_of(point, kernels_of(point)))


def grouped_latency(
    machine: Machine,
    loads: Sequence[int],
    cols: int,
    depth: int,
    dtype: str = "bf16",
    schedule: str = "grouped-matmul",
    conditions: Conditions = _DEFAULT,
) -> float:
    """Seconds of products of experts in one launch, each with its own number of rows; weights of an expert without rows are not read.

    Raises:
        InfeasibleError: as `kernel_latency`.
        SpecError: no expert has rows.
    """
    busy = tuple(sorted(load for load in loads if load > 0))  # their order changes nothing: answers are found again
    mean = ceil(sum(busy) / max(1, len(busy)))
    sizes = (("X", len(busy)), ("P", mean), ("N", cols), ("K", depth))
    return kernel_latency(machine, "grouped-linear", schedule, sizes, dtype, conditions, busy if len(set(busy)) > 1 else ())


def product_latency(
    machine: Machine,
    rows: int,
    cols: int,
    depth: int,
    dtype: str = "bf16",
    experts: int = 1,
    schedule: str = "",
    conditions: Conditions = _DEFAULT,
) -> float:
    """Seconds of Y[rows, cols] = X[rows, depth] x W[depth, cols], launch included; weights and activations come from memory.

    experts: products of that size in one launch, rows being those of one expert; `grouped_latency` where they differ.
    schedule: left out, matmul for one product and grouped-matmul for several. Error on an H100: validation/gemm-h100.

    Raises:
        InfeasibleError: as `kernel_latency`.
    """
    own = (("P", rows), ("N", cols), ("K", depth))
    if experts == 1:
        return kernel_latency(machine, "linear", schedule or "matmul", own, dtype, conditions)
    return kernel_latency(machine, "grouped-linear", schedule or "grouped-matmul", (("X", experts), *own), dtype, conditions)
