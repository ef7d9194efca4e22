"""The NumPy rows of suites micro and gemm as a measurement file on stdout, for machines without PyTorch.

python tools/measure_numpy.py micro|gemm
"""

from __future__ import annotations

import csv
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "simulator"))

from attnsim.spec.measurement import FILE

HOLD_S = 0.1
PRODUCTS = [(m, n, k) for n, k in ((1024, 1024), (4096, 1024)) for m in (1, 16, 256, 1024)]
WEIGHTS_BYTES = 200e6
"""Weights take turns, so that they come from memory."""


def median_s(calls: list[Callable[[], Any]]) -> float:
    """Seconds of a call, of three or more over HOLD_S."""
    samples: list[float] = []
    start, index = time.perf_counter(), 0
    while len(samples) < 3 or time.perf_counter() - start < HOLD_S:
        group = 1 if not samples or samples[-1] > 1e-4 else 20
        first = time.perf_counter()
        for _ in range(group):
            calls[index % len(calls)]()
            index += 1
        samples.append((time.perf_counter() - first) / group)
    return float(np.median(samples[1:]))


def uniform(*shape: int) -> Any:
    """fp32 between 0 and 1."""
    return np.random.default_rng(1).random(shape, np.float32)


def product(m: int, n: int, k: int, sets: int) -> float:
    """Seconds of x (m, k) times the transpose of weights (n, k)."""
    x, out = uniform(m, k), np.empty((m, n), np.float32)
    weights = [uniform(n, k) for _ in range(sets)]
    return median_s([lambda w=w: np.matmul(x, w.T, out=out) for w in weights])  # type: ignore[misc]


def micro() -> Iterator[dict[str, Any]]:
    """Copies and reads from 16 KiB to 512 MiB, the smallest call, square products."""
    for size in (2**power for power in range(14, 30)):
        a, b = uniform(size // 8), uniform(size // 8)
        yield {"kernel": "copy", "bytes": size, "time_us": median_s([lambda a=a, b=b: np.copyto(b, a)]) * 1e6}  # type: ignore[misc]
        yield {"kernel": "read", "bytes": size, "time_us": median_s([lambda a=a, b=b: np.dot(a, b)]) * 1e6}  # type: ignore[misc]
    one = np.ones(1, np.float32)
    yield {"kernel": "launch-floor", "bytes": 0, "time_us": median_s([lambda: np.multiply(one, 1.0, out=one)]) * 1e6}
    for size in (512, 1024, 2048):
        yield {"kernel": "matmul", "dtype": "fp32", "m": size, "n": size, "k": size, "time_us": product(size, size, size, 1) * 1e6}


def gemm() -> Iterator[dict[str, Any]]:
    """Linear layers."""
    for m, n, k in PRODUCTS:
        seconds = product(m, n, k, max(2, round(WEIGHTS_BYTES / (4 * n * k))))
        yield {"kernel": "matmul", "dtype": "fp32", "m": m, "n": n, "k": k, "time_us": seconds * 1e6}


def main() -> int:
    """Write the rows of the suite named on the command line."""
    suites = {"micro": micro, "gemm": gemm}
    if len(sys.argv) != 2 or sys.argv[1] not in suites:
        print(__doc__, file=sys.stderr)
        return 2
    print(
        f"# device: {platform.processor() or platform.machine()}\n# versions: numpy {np.__version__}\n# date: {time.strftime('%Y-%m-%d')}"
    )
    writer = csv.DictWriter(sys.stdout, FILE, restval="", lineterminator="\n")
    writer.writeheader()
    for row in suites[sys.argv[1]]():
        writer.writerow({"suite": sys.argv[1], "backend": "numpy", **row})
    return 0


if __name__ == "__main__":
    sys.exit(main())
