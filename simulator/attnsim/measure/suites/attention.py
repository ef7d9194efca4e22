"""Prefill and training: FlashAttention-2 and cuDNN as PyTorch ships them, eager attention, and PyTorch's own kernel on CPUs.

FlashAttention-2 splits the keys of a small grid over CTAs, with tiles of other sizes: such a row has `flash-decoding` as its kernel.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

from attnsim.measure.attention import Call, backward, bind_cpu, bind_cudnn, bind_eager, bind_flash, forward, ragged
from attnsim.measure.suite import Case, Prepared, Suite

FLASH, CUDNN = "torch-flash", "torch-cudnn"
TOKENS, SMS_UNKNOWN = 16384, 132
BOTH = (False, True)


def square(b: int, h: int, g: int, s: int, d: int, causal: bool, dv: int = 0) -> Call:
    """As many queries as keys; the backend is filled in later."""
    return Call("", b, h, g, s, s, d, dv or d, causal)


def _shared() -> Iterator[Call]:
    """Rows of both backends."""
    for d, s, causal in product((64, 128), (512, 1024, 2048, 4096, 8192, 16384, 32768), BOTH):
        yield square(max(1, TOKENS // s), 2048 // d, 2048 // d, s, d, causal)
    for d, s, (b, h), causal in product((64, 128), (128, 256, 512), ((1, 8), (1, 32), (16, 16), (64, 16)), BOTH):
        if not causal or (b, h) in ((1, 32), (16, 16)):
            yield square(b, h, h, s, d, causal)
    for (h, g), s in product(((32, 8), (64, 8), (32, 1)), (1024, 4096, 16384)):
        yield square(max(1, 4096 // s), h, g, s, 128, True)
        if h == 32 and g == 8:
            yield square(max(1, 4096 // s), h, g, s, 128, False)
            yield square(max(1, 4096 // s), h, g, s, 64, True)
    for d, s, causal in product((32, 96, 192, 256), (1024, 4096, 8192), BOTH):
        h = max(8, 2048 // d // 8 * 8)
        yield square(max(1, 8192 // s), h, h, s, d, causal)
    for s, causal in product((200, 1000, 3000, 5000), BOTH):
        yield square(2, 16, 16, s, 128, causal)
    for p, m in product((512, 2048), (8192, 32768)):
        yield Call("", 1, 32, 8, p, m, 128, 128)
    for p, m in product((4, 16, 64, 128, 200), (4096, 16384)):
        yield Call("", 4, 32, 8, p, m, 128, 128)
    for (b, s), d in product(((8, 1024), (2, 8192)), (64, 128)):
        yield replace(square(b, 2048 // d, 2048 // d, s, d, True), dtype="fp16")


def _flash() -> Iterator[Call]:
    """What cuDNN has not, as PyTorch calls it: masks aligned at the bottom right, windows, ragged batches."""
    for p, m in product((512, 2048), (8192, 32768)):
        yield Call("", 1, 32, 8, p, m, 128, 128, True)
    for p, m in product((16, 64), (4096, 16384)):
        yield Call("", 4, 32, 8, p, m, 128, 128, True)
    for d, s, window in product((64, 128), (4096, 16384, 32768), (127, 1023, 4095)):
        if window + 1 < s:
            yield replace(square(max(1, 8192 // s), 2048 // d, 2048 // d, s, d, True), window=window)
    for window in (64, 512, 2048):
        yield replace(square(1, 16, 16, 16384, 128, False), window=window)
    yield replace(square(1, 32, 8, 16384, 128, True), window=4095)
    ramp = tuple(512 * i for i in range(1, 9))
    uneven = (8192, *(256,) * 16)
    short = tuple(64 + 48 * (i % 16) for i in range(64))
    for lengths, (h, g, d), causal in product((ramp, uneven, short), ((16, 16, 128), (32, 8, 64)), BOTH):
        if causal or g == h:
            longest = max(lengths)
            yield Call("", len(lengths), h, g, longest, longest, d, d, causal, lengths=lengths)


def _backward() -> Iterator[Call]:
    for d, s, causal in product((64, 128), (512, 1024, 2048, 4096, 8192, 16384), BOTH):
        yield square(max(1, TOKENS // s), 2048 // d, 2048 // d, s, d, causal)
    for (h, g), s in product(((32, 8), (32, 1)), (1024, 4096, 8192)):
        yield square(max(1, 4096 // s), h, g, s, 128, True)
    for d, s, causal in product((32, 96, 256), (1024, 4096), BOTH):
        h = max(8, 2048 // d // 8 * 8)
        yield square(max(1, 8192 // s), h, h, s, d, causal)
    for s in (128, 256):
        yield square(16, 16, 16, s, 128, False)


def rows(small: bool) -> Iterator[Call]:
    """Everything that is measured on a GPU; neighbours share the state of the allocator, so like sizes follow one another."""
    if small:
        for backend in (FLASH, CUDNN):
            yield replace(square(1, 8, 8, 1024, 128, True), backend=backend)
            yield replace(square(1, 32, 8, 512, 64, False), backend=backend)
            yield replace(square(1, 8, 8, 1024, 128, True), backend=backend, backward=True)
        return
    for call in _shared():
        yield replace(call, backend=FLASH)
        yield replace(call, backend=CUDNN)
    for h, s, causal in product((16, 128), (1024, 4096, 8192), BOTH):
        if h == 16 or causal:
            yield Call(CUDNN, 1, h, h, s, s, 192, 128, causal)
    for call in _flash():
        yield replace(call, backend=FLASH)
    for b, h, s, d in ((1, 16, 1024, 128), (4, 16, 1024, 128), (1, 16, 4096, 128), (4, 16, 2048, 64), (1, 32, 4096, 64), (1, 8, 8192, 128)):
        yield replace(square(b, h, h, s, d, False), backend="torch-math")
    for call in _backward():
        yield replace(call, backend=FLASH, backward=True)
        yield replace(call, backend=CUDNN, backward=True)


def cpu_rows(small: bool) -> Iterator[Call]:
    """A minute of two cores at most."""
    lengths = (128, 512) if small else (128, 256, 512, 1024, 2048)
    for d, s, causal in product((64,) if small else (64, 128), lengths, BOTH):
        yield replace(square(1, 8 if s < 2048 else 4, 8 if s < 2048 else 4, s, d, causal), backend=FLASH, dtype="fp32")
    for s in () if small else (512, 1024):
        yield replace(square(1, 4, 4, s, 64, False), backend=FLASH, dtype="bf16")


def kernel_of(call: Call, processors: int) -> str:
    """The schedule of the library that describes the row's kernel."""
    if call.backend == "torch-math":
        return "pytorch-eager"
    return "cudnn" if call.backend == CUDNN else call.flash_kernel(processors)


def prepare(call: Call) -> Prepared:
    """A row ready to be timed on a GPU."""
    if call.backward:
        return backward(call, "cuda")
    if call.lengths:
        return ragged(call, "cuda")
    return forward(call, "cuda", {FLASH: bind_flash, CUDNN: bind_cudnn, "torch-math": bind_eager}[call.backend])


def processors() -> int:
    """SMs of the GPU at hand; an H100's where there is none and rows are only listed."""
    if importlib.util.find_spec("torch") is None:
        return SMS_UNKNOWN
    import torch

    return torch.cuda.get_device_properties(0).multi_processor_count if torch.cuda.is_available() else SMS_UNKNOWN


def cases(device: str, small: bool) -> Iterator[Case]:
    """Every row once."""
    if device == "cpu":
        for call in dict.fromkeys(cpu_rows(small)):
            yield Case(call.values("cpu-flash"), partial(forward, call, "cpu", bind_cpu))
        return
    count = processors()
    for call in dict.fromkeys(rows(small)):
        make: Callable[[], Prepared] = partial(prepare, call)
        yield Case(call.values(kernel_of(call, count)), make)


SUITE = Suite("attention", frozenset(("cuda", "cpu")), ("torch",), cases)
