"""The time of one matrix product or streaming kernel by its sizes, for callers that ask for thousands: a layer, a serving model."""

from __future__ import annotations

from functools import lru_cache

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
    machine: Machine, cascade: str, schedule: str, sizes: tuple[tuple[str, int], ...], dtype: str, conditions: Conditions = _DEFAULT
) -> float:
    """Seconds of a library cascade under a library schedule, launches included; answers are kept.

    sizes: (rank, size) of every rank, in one order for the answer to be found again.

    Raises:
        InfeasibleError: the machine, format or sizes do not suit the schedule, or do not fit into memory.
        SpecError: no such cascade, schedule or rank.
    """
    algorithm = load_cascade(cascade)
    given = dict(sizes)
    algorithm.resolve_sizes(given)
    point = Point(algorithm, given, DENSE, dtype, machine, load_schedule(schedule), conditions, "forward")
    return latency_of(point, kernels_of(point))


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

    experts: products of that size in one launch (grouped); rows are those of one expert, and experts without rows are not counted.
    schedule: left out, matmul for one product and grouped-matmul for several. Error on an H100: validation/gemm-h100.

    Raises:
        InfeasibleError: as `kernel_latency`.
    """
    own = (("P", rows), ("N", cols), ("K", depth))
    if experts == 1:
        return kernel_latency(machine, "linear", schedule or "matmul", own, dtype, conditions)
    return kernel_latency(machine, "grouped-linear", schedule or "grouped-matmul", (("X", experts), *own), dtype, conditions)
