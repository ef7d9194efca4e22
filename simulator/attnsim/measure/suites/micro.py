"""What a machine's `measured` fields are found from: bandwidth against size, launches, and matrix products held until the clock settles.

`bytes` of a row are those that one call moves: copy: read and written, half each; read and l2-read: the buffer, once; triad: two buffers
read and one written. Lines that a CPU reads because it writes them are not counted. On a GPU the buffers of copy and read rotate, so that
they come from memory; those of l2-read do not, and fit the L2. On a CPU no buffer rotates: small ones stay in a cache, large ones do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from attnsim.measure.inputs import sets
from attnsim.measure.suite import Case, Prepared, Suite, Unsupported, Value
from attnsim.measure.suites import micro_cpu

KIB, MIB = 2**10, 2**20
SIZES = [64 * KIB << power for power in range(18)]
"""64 KiB to 8 GiB."""

L2_SIZES = [size * MIB for size in (1, 2, 4, 8, 16, 24, 32, 40)]
HELD = ((8192, "bf16"), (16384, "bf16"), (8192, "fp8"), (16384, "fp8"))
HELD_S = 2.0
"""Seconds after which clock and power no longer move."""

MOST_SETS = 512
"""With so many, buffers below 256 KiB come from the L2 in part; what they take is the launch."""

REPEATS = 50


def cases(device: str, small: bool) -> Iterator[Case]:
    """All rows; small: a few of each kind."""
    if device == "cpu":
        yield from micro_cpu.cases(small)
        return
    for size in SIZES[::9] if small else SIZES:
        for backend in ("torch", "triton"):
            yield _case("copy", backend, size, partial(_copy, size, backend))
            yield _case("read", backend, size, partial(_read, size, backend, sets(size, MOST_SETS)))
    for size in L2_SIZES[::4] if small else L2_SIZES:
        for backend in ("torch", "triton"):
            yield _case("l2-read", backend, size, partial(_read, size, backend, 1))
    for kernel, make in (("launch-stream", _stream), ("launch-graph", _graph), ("launch-floor", _floor)):
        yield _case(kernel, "torch", 0, make)
    for size, dtype in HELD[:1] if small else HELD:
        values: dict[str, Value] = dict(suite="micro", backend="cublas", kernel="matmul", dtype=dtype, m=size, n=size, k=size)
        yield Case(values, partial(_held, size, dtype))


def _case(kernel: str, backend: str, size: int, make: Callable[[], Prepared]) -> Case:
    return Case({"suite": "micro", "backend": backend, "kernel": kernel, "bytes": size}, make)


def _streams() -> Any:
    try:
        from attnsim.measure.suites import streams
    except ImportError as error:
        raise Unsupported(f"needs triton: {error}") from None
    return streams


def _buffers(size: int, count: int) -> list[Any]:
    """`count` fp32 buffers of `size` bytes side by side, uniform random."""
    import torch

    whole = torch.empty(count * size // 4, device="cuda", dtype=torch.float32).uniform_()
    return list(whole.view(count, -1))


def _copy(size: int, backend: str) -> Prepared:
    """torch: Tensor.copy_, which is cudaMemcpyAsync; triton: a kernel that loads and stores."""
    import torch

    count = sets(size, MOST_SETS)
    pairs = list(zip(_buffers(size // 2, count), _buffers(size // 2, count), strict=True))
    if backend == "triton":
        calls = [partial(_streams().copy, source, target) for source, target in pairs]
    else:
        calls = [partial(target.copy_, source) for source, target in pairs]

    def check() -> float:
        calls[0]()
        return 0.0 if torch.equal(*pairs[0]) else 1.0

    return Prepared(calls, check, 0.5)


def _read(size: int, backend: str, count: int) -> Prepared:
    """A sum: of all by torch.sum, or of every 32 KiB in a kernel. One buffer is read again and again where `count` is 1."""
    import torch

    buffers = _buffers(size, count)
    out = torch.empty((), device="cuda", dtype=torch.float32)
    if backend == "triton":
        streams = _streams()
        out = streams.partial_sums(buffers[0])
        calls = [partial(streams.read, buffer, out) for buffer in buffers]
    else:
        calls = [partial(torch.sum, buffer, dim=0, out=out) for buffer in buffers]

    def check() -> float:
        calls[0]()
        expected = float(buffers[0].sum(dtype=torch.float64))
        return abs(float(out.sum(dtype=torch.float64)) - expected) / expected

    return Prepared(calls * (2 if count == 1 else 1), check, 1e-4)


def _tiny() -> tuple[Callable[[], Any], Callable[[], float]]:
    """The smallest kernel there is, one float multiplied by one; and its check."""
    import torch

    one = torch.ones(1, device="cuda")
    return partial(one.mul_, 1.0), lambda: abs(float(one) - 1.0)


def _graph() -> Prepared:
    call, check = _tiny()
    return Prepared([call, call], check, 0.5)


def _stream() -> Prepared:
    """Kernels queued one after another, as PyTorch queues them; the host's own time where that is longer."""
    return replace(_graph(), graph=False)


def _floor() -> Prepared:
    """One kernel between two events on an idle GPU."""
    call, check = _tiny()
    return Prepared([call, call], check, 0.5, graph=False, times=partial(_alone, call))


def _alone(call: Callable[[], Any]) -> Sequence[float]:
    """Seconds of a call from event to event, time after time."""
    import torch

    found = []
    for _ in range(REPEATS + 5):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        first.record()
        call()
        last.record()
        last.synchronize()
        found.append(first.elapsed_time(last) / 1e3)
    return found[5:]


def _held(size: int, dtype: str) -> Prepared:
    """A square product, for long enough that the clock settles at the power limit."""
    from attnsim.measure.suites.gemm import linear, scaled

    return replace((scaled if dtype == "fp8" else linear)(size, size, size), hold_s=HELD_S)


SUITE = Suite("micro", frozenset({"cuda", "cpu"}), ("torch",), cases)
