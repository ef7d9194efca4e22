"""The rows of `micro` on a CPU: STREAM's copy, read and triad from the first cache to memory, the smallest call, and fp32 products.

NumPy copies with one thread; PyTorch copies, and both multiply and read (a dot product), with all threads they are given. Nothing rotates:
the size says which level a buffer stays in. A call costs about a microsecond before its first byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from attnsim.measure.suite import Case, Prepared, Value

SIZES = [2**power for power in range(14, 31)]
"""16 KiB to 1 GiB."""

SQUARES = (256, 512, 1024, 2048)
SCALE = 3.0
SUMMED = 1e-2
"""Tolerance of a sum of up to 2^27 positive fp32 products, which drifts."""


def cases(small: bool) -> Iterator[Case]:
    """All rows; small: a few of each kind. What a run with a limit should not lack comes first."""
    for backend in ("numpy", "torch"):
        yield _case("launch-floor", backend, dict(bytes=0), partial(_smallest, backend))
    for size in SQUARES[:1] if small else SQUARES:
        for backend in ("numpy", "torch"):
            yield _case("matmul", backend, dict(dtype="fp32", m=size, n=size, k=size), partial(_product, size, backend))
    for size in SIZES[:2] if small else SIZES:
        for kernel in ("copy", "read"):
            for backend in ("numpy", "torch"):
                yield _case(kernel, backend, dict(bytes=size), partial(_STREAMS[kernel, backend], size))
        yield _case("triad", "torch", dict(bytes=size // 3 // 64 * 64 * 3), partial(_triad, size // 3 // 64 * 16))


def _case(kernel: str, backend: str, values: dict[str, Value], make: Callable[[], Prepared]) -> Case:
    return Case({"suite": "micro", "backend": backend, "kernel": kernel, **values}, make)


def uniform(*shape: int) -> Any:
    """fp32 between 0 and 1."""
    return np.random.default_rng(1).random(shape, np.float32)


def _pair(size: int, torch_too: bool) -> tuple[Any, Any]:
    a, b = uniform(size // 8), uniform(size // 8)
    if not torch_too:
        return a, b
    import torch

    return torch.from_numpy(a), torch.from_numpy(b)


def _relative(got: float, expected: float) -> float:
    return abs(got - expected) / abs(expected)


def _numpy_copy(size: int) -> Prepared:
    source, target = _pair(size, False)
    call = partial(np.copyto, target, source)

    def check() -> float:
        target.fill(0)
        call()
        return 0.0 if np.array_equal(source, target) else 1.0

    return Prepared([call, call], check, 0.5, graph=False)


def _torch_copy(size: int) -> Prepared:
    source, target = _pair(size, True)
    call = partial(target.copy_, source)

    def check() -> float:
        target.zero_()
        call()
        return 0.0 if source.equal(target) else 1.0

    return Prepared([call, call], check, 0.5, graph=False)


def _numpy_read(size: int) -> Prepared:
    a, b = _pair(size, False)
    call = partial(np.dot, a, b)
    return Prepared([call, call], lambda: _relative(float(call()), float(_dot(a, b))), SUMMED, graph=False)


def _torch_read(size: int) -> Prepared:
    import torch

    a, b = _pair(size, True)
    call = partial(torch.dot, a, b)
    return Prepared([call, call], lambda: _relative(float(call()), float(_dot(a.numpy(), b.numpy()))), SUMMED, graph=False)


def _dot(a: Any, b: Any) -> Any:
    """In float64, a piece at a time."""
    return sum(float(x.astype(np.float64) @ y) for x, y in ((a[i : i + 2**20], b[i : i + 2**20]) for i in range(0, a.size, 2**20)))


_STREAMS: dict[tuple[str, str], Callable[[int], Prepared]] = {
    ("copy", "numpy"): _numpy_copy, ("copy", "torch"): _torch_copy, ("read", "numpy"): _numpy_read, ("read", "torch"): _torch_read,
}  # fmt: skip


def _triad(length: int) -> Prepared:
    """out = a + 3 b over `length` elements."""
    import torch

    a, b, out = (torch.from_numpy(uniform(length)) for _ in range(3))
    call = partial(torch.add, a, b, alpha=SCALE, out=out)

    def check() -> float:
        call()
        return float((out[:4096].double() - (a[:4096].double() + SCALE * b[:4096].double())).norm() / out[:4096].double().norm())

    return Prepared([call, call], check, 1e-5, graph=False)


def _smallest(backend: str) -> Prepared:
    """One float multiplied by one."""
    import torch

    one: Any = np.ones(1, np.float32) if backend == "numpy" else torch.ones(1)
    call = partial(np.multiply, one, 1.0, out=one) if backend == "numpy" else partial(one.mul_, 1.0)
    return Prepared([call, call], lambda: abs(float(one[0]) - 1.0), 0.5, graph=False)


def _product(size: int, backend: str) -> Prepared:
    """A square fp32 product; operands stay where they fit."""
    import torch

    a, b, out = uniform(size, size), uniform(size, size), np.empty((size, size), np.float32)
    expected = a.astype(np.float64)[:64] @ b
    call = (
        partial(np.matmul, a, b, out=out)
        if backend == "numpy"
        else partial(torch.matmul, torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(out))
    )

    def check() -> float:
        call()
        return float(np.linalg.norm(out[:64] - expected) / np.linalg.norm(expected))

    return Prepared([call, call], check, 1e-4, graph=False)
