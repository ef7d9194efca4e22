"""Decode, one query a request over its cache: FlashInfer over pages, its latent attention, and PyTorch's FlashAttention-2 with split keys.

FlashInfer plans before it is timed, as an engine does once a step; what a graph replays is `run`. The pages of a request lie anywhere.
Query groups of four heads or more go to its tensor-core kernel, smaller ones to its CUDA-core kernel (backend `flashinfer-cuda-core`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import accumulate, product
from math import ceil
from typing import Any

from attnsim.measure.attention import TOLERANCE, Call, bind_flash, forward
from attnsim.measure.inputs import LARGE, normal, set_count
from attnsim.measure.reference import forward_error
from attnsim.measure.suite import Case, Prepared, Suite
from attnsim.measure.suites.attention import FLASH, processors

PAGE, WORKSPACE = 16, 512 * 2**20
CACHE_BYTES = 20e9
"""Keys and values of one row, at most."""

TENSOR_GROUP = 4
"""Query heads of a group from which on FlashInfer is told to use tensor cores."""

LIBRARY = ("flashinfer",)
PAGED, CUDA_CORE = "flashinfer", "flashinfer-cuda-core"
LATENT, ROPE = 512, 64
LATENT_SCALE = 192**-0.5
"""DeepSeek's: of the heads before their keys are absorbed, 128 + 64."""

ALL = tuple(512 << power for power in range(9))
"""512 to 131072 cached tokens."""

Grid = tuple[tuple[int, int], int, Sequence[int], Sequence[int]]
"""(query heads, key heads), head dim, batches, contexts."""

PAGED_GRIDS: tuple[Grid, ...] = (
    ((32, 8), 128, (1, 8, 64), ALL),
    ((32, 8), 128, (2, 4, 16, 32, 128, 256), ALL[1::2]),
    ((64, 8), 128, (1, 8, 32, 128), ALL[1::2]),
    ((32, 1), 128, (1, 8, 64, 256), (1024, 8192, 65536)),
    ((32, 8), 64, (1, 8, 32, 128), ALL[1::2]),
    ((32, 8), 256, (1, 8, 64), (2048, 16384)),
    ((32, 32), 128, (1, 4, 16, 64), ALL[::2]),
    ((8, 8), 128, (1, 16, 64), (1024, 8192, 65536)),
    ((32, 32), 64, (1, 16), (2048, 16384)),
)

FLASH_GRIDS: tuple[Grid, ...] = (
    ((32, 8), 128, (1, 8, 64), ALL[::2]),
    ((32, 8), 128, (2, 4, 16, 32, 128, 256), (1024, 16384)),
    ((64, 8), 128, (1, 8, 64), (1024, 8192, 65536)),
    ((32, 1), 128, (1, 8, 64), (1024, 16384, 131072)),
    ((32, 32), 128, (1, 16, 64), (1024, 8192, 32768)),
    ((32, 8), 64, (1, 16, 128), (1024, 16384)),
    ((32, 8), 256, (1, 16), (2048, 16384)),
)

LATENT_GRIDS = ((128, (1, 8, 32, 128), ALL[1::2]), (64, (1, 16, 64), ALL[1::2]), (16, (1, 16, 64), ALL[1::2]))
"""Query heads, batches, contexts."""

RAGGED = (
    tuple(1024 * i for i in range(1, 17)),
    (65536, *(512,) * 31),
    tuple(200 + 977 * (i * 37 % 64) // 8 for i in range(64)),
)
"""Cached tokens of every request: a ramp, one long among short ones, and no two alike."""


def cache_bytes(call: Call) -> int:
    """Of one set: keys and values in bf16, a latent and its rotary part once."""
    tokens = sum(call.lengths) or call.b * call.m
    return 2 * tokens * call.g * (call.d if call.d != call.dv else call.d + call.dv)


def _grid(grids: Sequence[Grid]) -> Iterator[Call]:
    for (h, g), d, batches, contexts in grids:
        for m, b in product(contexts, batches):  # the shortest first: a row that is compiled for others is a small one
            yield Call("", b, h, g, 1, m, d, d)


def rows(small: bool) -> Iterator[Call]:
    """Everything that is measured, d and dv apart for latent attention; the backend says which library."""
    if small:
        yield Call(PAGED, 8, 32, 8, 1, 1024, 128, 128)
        yield Call(CUDA_CORE, 4, 32, 32, 1, 512, 128, 128)
        yield Call(PAGED, 8, 128, 1, 1, 1024, LATENT + ROPE, LATENT)
        yield Call(FLASH, 8, 32, 8, 1, 512, 128, 128)
        return
    for call in _grid(FLASH_GRIDS):
        yield replace(call, backend=FLASH)
    for call in _grid(PAGED_GRIDS):
        yield replace(call, backend=PAGED if call.h // call.g >= TENSOR_GROUP else CUDA_CORE)
    for lengths, (h, g) in product(RAGGED, ((32, 8), (64, 8), (32, 32))):
        if h != 64 or lengths is RAGGED[-1]:
            call = Call("", len(lengths), h, g, 1, max(lengths), 128, 128, lengths=lengths)
            yield replace(call, backend=PAGED if h // g >= TENSOR_GROUP else CUDA_CORE)
    for h, batches, contexts in LATENT_GRIDS:
        for m, b in product(contexts, batches):
            yield Call(PAGED, b, h, 1, 1, m, LATENT + ROPE, LATENT)


@lru_cache(maxsize=1)
def workspace(device: str) -> Any:
    """Room for partial results, shared by all rows; FlashInfer wants it zero at first."""
    import torch

    return torch.zeros(WORKSPACE, dtype=torch.uint8, device=device)


class Pages:
    """Where the tokens of each request lie: its pages are `indices[starts[i] : starts[i + 1]]`, anywhere among all."""

    def __init__(self, lengths: Sequence[int], device: str) -> None:
        import torch

        self.lengths = lengths
        counts = [ceil(length / PAGE) for length in lengths]
        self.starts = [0, *accumulate(counts)]
        self.count = self.starts[-1]
        self.indices = torch.randperm(self.count, device=device).to(torch.int32)

    def tokens(self, request: int, cache: Any) -> Any:
        """What a cache of (pages, PAGE, ...) holds of a request, (tokens, ...)."""
        own = self.indices[self.starts[request] : self.starts[request + 1]].long()
        return cache[own].flatten(0, 1)[: self.lengths[request]]


def _host(values: Sequence[int]) -> Any:
    """int32 on the CPU, where plans are made."""
    import torch

    return torch.tensor(list(values), dtype=torch.int32)


def _stores(call: Call, pages: Pages, device: str) -> tuple[int, list[tuple[Any, ...]]]:
    """Calls of a replay, and the sets they take in turn: queries (requests, heads, dim) and two caches of (pages, PAGE, ...)."""
    size = cache_bytes(call)
    count = set_count(device, size)
    distinct = 1 if size > LARGE else count
    latent = call.d != call.dv
    shapes = ((LATENT,), (ROPE,)) if latent else ((call.g, call.d), (call.g, call.dv))
    widths = (LATENT, ROPE) if latent else (call.d,)
    sets: list[tuple[Any, ...]] = []
    for _ in range(distinct):
        queries = [normal(device, call.dtype, call.b, call.h, width) for width in widths]
        sets.append((*queries, *(normal(device, call.dtype, pages.count, PAGE, *shape) for shape in shapes)))
    return count, sets


def paged(call: Call, tensor_cores: bool, device: str = "cuda") -> Prepared:
    """FlashInfer's BatchDecodeWithPagedKVCacheWrapper."""
    import flashinfer
    import torch

    pages = Pages(call.lengths or (call.m,) * call.b, device)
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace(device), "NHD", use_tensor_cores=tensor_cores)
    last = [(length - 1) % PAGE + 1 for length in pages.lengths]
    wrapper.plan(
        _host(pages.starts), pages.indices, _host(last), call.h, call.g, call.d, PAGE, pos_encoding_mode="NONE",
        q_data_type=torch.bfloat16, kv_data_type=torch.bfloat16, sm_scale=call.scale,
    )  # fmt: skip
    count, sets = _stores(call, pages, device)
    calls = [partial(wrapper.run, q, (k, v)) for q, k, v in sets]

    def check() -> float:
        (q, k, v), out = sets[-1], calls[-1]()
        return max(
            forward_error(q[i][None, None], pages.tokens(i, k)[None], pages.tokens(i, v)[None], out[i][None, None], None, call.scale)
            for i in {0, call.b // 2, call.b - 1}
        )

    return Prepared(_turns(calls, count), check, TOLERANCE[call.dtype])


def latent(call: Call, device: str = "cuda") -> Prepared:
    """FlashInfer's BatchMLAPagedAttentionWrapper: heads share latents of 512 and rotary keys of 64."""
    import flashinfer
    import torch

    pages = Pages((call.m,) * call.b, device)
    wrapper = flashinfer.mla.BatchMLAPagedAttentionWrapper(workspace(device), backend="auto")
    wrapper.plan(
        _host(range(call.b + 1)), _host(pages.starts), pages.indices, _host(pages.lengths), call.h, LATENT, ROPE, PAGE,
        False, LATENT_SCALE, torch.bfloat16, torch.bfloat16,
    )  # fmt: skip
    count, sets = _stores(call, pages, device)
    calls = [partial(wrapper.run, *each) for each in sets]

    def check() -> float:
        (queries, rotary, latents, keys), out = sets[-1], calls[-1]()
        worst = 0.0
        for i in {0, call.b - 1}:
            q = torch.cat((queries[i], rotary[i]), -1)[None, None]
            values = pages.tokens(i, latents)[None, :, None]
            whole = torch.cat((values, pages.tokens(i, keys)[None, :, None]), -1)
            worst = max(worst, forward_error(q, whole, values, out[i][None, None], None, LATENT_SCALE))
        return worst

    return Prepared(_turns(calls, count), check, TOLERANCE[call.dtype])


def _turns(calls: Sequence[Callable[[], Any]], count: int) -> list[Callable[[], Any]]:
    return [calls[i % len(calls)] for i in range(count)]


def _case(call: Call, count: int) -> Case:
    if call.backend == FLASH:
        return Case(call.values(call.flash_kernel(count)), partial(forward, call, "cuda", bind_flash))
    if call.d != call.dv:
        return Case(call.values("flashinfer-mla"), partial(latent, call), "latent", LIBRARY)
    kernel = "flashinfer-decode" if call.backend == PAGED else "flashinfer-decode-cuda"
    build = f"{call.backend} {call.d}"  # FlashInfer compiles a kernel for a head dimension
    return Case(call.values(kernel), partial(paged, call, call.backend == PAGED), build, LIBRARY)


def cases(device: str, small: bool) -> Iterator[Case]:
    """Every row once."""
    count = processors()
    for call in dict.fromkeys(rows(small)):
        if cache_bytes(call) <= CACHE_BYTES:
            yield _case(call, count)


SUITE = Suite("decode", frozenset({"cuda"}), ("torch",), cases)
