"""Matrix products, grouped ones and the row-wise kernels of LLM layers, as PyTorch and NumPy run them.

On a GPU: cuBLAS through torch.nn.functional.linear (bf16) and torch._scaled_mm (fp8 e4m3, one scale a tensor, bf16 out), grouped products
through torch._grouped_mm (as many rows for each expert), norms and activations through torch.compile for their own shape. On a CPU: fp32
products through PyTorch and NumPy. Weights rotate; the activations of a product are the same in every call, as in a model. Row-wise kernels
rotate their inputs and write new outputs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from attnsim.measure.inputs import normal, sets
from attnsim.measure.reference import product_error, relative
from attnsim.measure.suite import Case, Prepared, Suite, Unsupported, Value

TOLERANCE = {"bf16": 1e-2, "fp8": 2e-2, "fp32": 1e-4}

LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
THIN = (1, 8, 16, 64, 128, 256, 1024, 8192)
LADDER_SHAPES = ((8192, 8192), (28672, 4096), (7168, 2048), (4096, 14336))
"""(n, k): out and in features. Those the constants of `matmul` are fitted on."""

THIN_SHAPES = (
    (4096, 4096), (6144, 4096),                                # llama3-8b
    (10240, 8192), (57344, 8192), (8192, 28672),               # llama3-70b
    (2048, 7168), (24576, 1536), (5120, 7168), (36864, 7168),  # deepseek-v3, step-3
    (128256, 4096),                                            # a vocabulary
)  # fmt: skip

FP8_SHAPES = [(4096, 4096), (28672, 4096), (8192, 8192), (8192, 28672), (7168, 2048), (24576, 1536)]
FP8_ROWS = [1, 16, 64, 256, 1024, 16384]
EXPERTS = [(32, 4096, 7168), (32, 7168, 2048), (8, 28672, 4096), (8, 4096, 14336), (128, 1536, 2048), (128, 2048, 768)]
"""(experts, n, k)."""

EACH = [1, 16, 64, 256, 1024]
"""Rows of an expert."""

ROWWISE = {"rms-norm": "row-norm", "add-rms-norm": "row-norm", "silu-mul": "elementwise", "residual-add": "elementwise"}
ROWS, WIDTHS = [1, 128, 2048, 16384], [4096, 7168]

CPU_SHAPES, CPU_ROWS = ((1024, 1024), (4096, 4096), (7168, 2048)), (1, 4, 16, 64, 256, 1024, 2048)


def cases(device: str, small: bool) -> Iterator[Case]:
    """All rows; small: a few of each kind."""
    return _cpu(small) if device == "cpu" else _cuda(small)


def _cuda(small: bool) -> Iterator[Case]:
    some = slice(0, 1) if small else slice(None)
    every = [*((shape, LADDER) for shape in LADDER_SHAPES), *((shape, THIN) for shape in THIN_SHAPES)]
    for (n, k), ladder in every[some]:
        for m in (1, 128, 4096) if small else ladder:
            yield _case("cublas", dict(kernel="matmul", dtype="bf16", m=m, n=n, k=k), partial(linear, m, n, k))
    for n, k in FP8_SHAPES[some]:
        for m in FP8_ROWS[some]:
            yield _case("cublas", dict(kernel="matmul", dtype="fp8", m=m, n=n, k=k), partial(scaled, m, n, k))
    for experts, n, k in EXPERTS[some]:
        for m in EACH[some]:
            values: dict[str, Value] = dict(kernel="grouped-matmul", dtype="bf16", m=m, n=n, k=k, experts=experts)
            yield _case("torch-grouped", values, partial(_grouped, experts, m, n, k))
    for operation, kernel in ROWWISE.items():
        for n in WIDTHS[some]:
            for m in ROWS[some]:
                yield _case(
                    "torch-compile", dict(kernel=kernel, operation=operation, dtype="bf16", m=m, n=n), partial(_rowwise, operation, m, n)
                )


def torchs_product() -> str:
    """The schedule of PyTorch's products on this CPU: by the library it was built with."""
    if importlib.util.find_spec("torch") is None:
        return "matmul"
    import torch

    return "mkl-matmul" if torch.backends.mkl.is_available() else "matmul"


def _cpu(small: bool) -> Iterator[Case]:
    for n, k in CPU_SHAPES[:1] if small else CPU_SHAPES:
        for m in CPU_ROWS[:2] if small else CPU_ROWS:
            values: dict[str, Value] = dict(kernel="matmul", dtype="fp32", m=m, n=n, k=k)
            yield _case("torch", {**values, "kernel": torchs_product()}, partial(linear, m, n, k, "cpu"))
            yield _case("numpy", values, partial(_numpy, m, n, k))


def _case(backend: str, values: dict[str, Value], make: Callable[[], Prepared]) -> Case:
    build = "{operation} {m}x{n}".format(**values) if "operation" in values else ""
    return Case({"suite": "gemm", "backend": backend, **values}, make, build)


def linear(m: int, n: int, k: int, device: str = "cuda") -> Prepared:
    """x (m, k) times the transpose of weights (n, k): bf16 on a GPU, fp32 on a CPU."""
    from torch.nn import functional

    dtype, width = ("fp32", 4) if device == "cpu" else ("bf16", 2)
    x = normal(device, dtype, m, k)
    weights = [normal(device, dtype, n, k, scale=k**-0.5) for _ in range(sets(n * k * width))]
    return Prepared(
        [partial(functional.linear, x, w) for w in weights],
        lambda: product_error(functional.linear(x, weights[0]), x, weights[0]),
        TOLERANCE[dtype],
    )


def _numpy(m: int, n: int, k: int) -> Prepared:
    import numpy as np

    from attnsim.measure.suites.micro_cpu import uniform

    x = uniform(m, k)
    weights = [uniform(n, k) for _ in range(sets(n * k * 4))]
    out = np.empty((m, n), np.float32)

    def check() -> float:
        got, expected = np.matmul(x, weights[0].T), x[:64].astype(np.float64) @ weights[0].astype(np.float64).T
        return float(np.linalg.norm(got[:64] - expected) / np.linalg.norm(expected))

    return Prepared([partial(np.matmul, x, w.T, out=out) for w in weights], check, TOLERANCE["fp32"])


def scaled(m: int, n: int, k: int) -> Prepared:
    """The same in fp8, with bf16 output."""
    import torch

    if torch.cuda.get_device_capability() < (8, 9):
        raise Unsupported("fp8 products need compute capability 8.9")
    one = torch.ones((), device="cuda")
    x = normal("cuda", "bf16", m, k).to(torch.float8_e4m3fn)
    weights = [normal("cuda", "bf16", n, k).to(torch.float8_e4m3fn) for _ in range(sets(n * k))]

    def call(w: Any) -> Any:
        return torch._scaled_mm(x, w.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=True)

    return Prepared([partial(call, w) for w in weights], lambda: product_error(call(weights[0]), x, weights[0]), TOLERANCE["fp8"])


def _grouped(experts: int, m: int, n: int, k: int) -> Prepared:
    """One launch over all experts; weights (experts, k, n) are views of (experts, n, k)."""
    import torch

    if not hasattr(torch, "_grouped_mm"):
        raise Unsupported("this PyTorch has no torch._grouped_mm")
    x = normal("cuda", "bf16", experts * m, k)
    ends = (torch.arange(1, experts + 1, device="cuda") * m).to(torch.int32)
    weights = [normal("cuda", "bf16", experts, n, k, scale=k**-0.5) for _ in range(sets(experts * n * k * 2))]

    def call(w: Any) -> Any:
        return torch._grouped_mm(x, w.transpose(-2, -1), offs=ends)

    return Prepared(
        [partial(call, w) for w in weights],
        lambda: product_error(call(weights[0])[-m:], x[-m:], weights[0][-1]),
        TOLERANCE["bf16"],
    )


def _rowwise(operation: str, m: int, n: int) -> Prepared:
    """n: of a row of the output; silu-mul reads twice that."""
    import torch

    from attnsim.measure.suites import rowwise

    gain = normal("cuda", "bf16", n)
    function: Callable[..., Any] = rowwise.OPERATIONS[operation]
    widths = {"rms-norm": (n,), "silu-mul": (2 * n,)}.get(operation, (n, n))
    tail = (gain,) if "norm" in operation else ()
    inputs = [(*(normal("cuda", "bf16", m, width) for width in widths), *tail) for _ in range(sets(2 * m * sum(widths)))]
    torch._dynamo.reset()
    call = torch.compile(function, dynamic=False)

    def check() -> float:
        got, expected = call(*inputs[0]), function(*(x.double() for x in inputs[0]))
        return relative(got[0], expected[0]) if isinstance(got, tuple) else relative(got, expected)

    return Prepared([partial(call, *each) for each in inputs], check, TOLERANCE["bf16"])


SUITE = Suite("gemm", frozenset({"cuda", "cpu"}), ("torch",), cases)
