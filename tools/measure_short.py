"""Times small attention kernels on one NVIDIA GPU, replayed from CUDA graphs over rotating inputs.

    python tools/measure_short.py OUT.csv

Needs PyTorch with CUDA; FlashInfer is used where it imports. Every call of a graph has inputs of its own, 150 MB in all where 32 sets reach
that, so that they come from memory and not from the L2. The CSV is the measurement format of `attnsim validate --measurements`.
"""

from __future__ import annotations

import csv
import datetime
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

ROTATED_BYTES, MOST_SETS, REPLAYS = 150e6, 32, 15
BF16 = torch.bfloat16


def graph_time(make: Callable[[], Callable[[], Any]], sets: int) -> float:
    """Median microseconds a call, `sets` calls a graph, each with inputs of its own."""
    calls = [make() for _ in range(sets)]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for call in calls:
            call()
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    for _ in range(3):
        graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(REPLAYS):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        graph.replay()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) * 1e3 / sets)
    return sorted(times)[REPLAYS // 2]


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    """Random tensors of the given shapes on the GPU."""
    return [torch.randn(*shape, device="cuda", dtype=BF16) for shape in shapes]


def main(out: str) -> None:
    """Run every measurement and write the CSV."""
    rows: list[dict[str, Any]] = []

    def record(kernel: str, b: int, h: int, g: int, p: int, m: int, d: int, causal: bool, make: Callable[[], Callable[[], Any]]) -> None:
        sets = max(2, min(MOST_SETS, int(ROTATED_BYTES / (2 * b * (2 * h * p + 2 * g * m) * d)) + 1))
        try:
            microseconds = graph_time(make, sets)
        except RuntimeError as error:  # a backend that refuses a shape is no row
            print("failed", kernel, b, h, g, p, m, d, str(error)[:120], file=sys.stderr)
            return
        rows.append(
            dict(
                kernel=kernel, direction="forward", dtype="bf16", batch=b, heads_q=h, heads_kv=g, seqlen_q=p, seqlen_kv=m, head_dim=d,
                head_dim_v=d, causal=int(causal), window="", time_us=round(microseconds, 3),
            )
        )  # fmt: skip
        print(rows[-1], flush=True)

    shapes = [(1, 8, 128), (1, 32, 256), (1, 32, 512), (1, 32, 1024), (1, 8, 2048), (4, 16, 2048), (16, 16, 512), (8, 32, 1024)]
    for d in (64, 128):
        for b, h, s in shapes:
            for causal in (True, False):
                for name, backend in (("flash-attention-2", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)):

                    def make(
                        b: int = b, h: int = h, s: int = s, d: int = d, causal: bool = causal, backend: Any = backend
                    ) -> Callable[[], Any]:
                        q, k, v = tensors((b, h, s, d), (b, h, s, d), (b, h, s, d))

                        def call() -> Any:
                            with sdpa_kernel(backend):
                                return functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

                        return call

                    record(name, b, h, h, s, s, d, causal, make)
    try:
        flashinfer_rows(record)
    except ImportError as error:
        print("flashinfer:", str(error)[:500], file=sys.stderr)
    with open(out, "w", newline="") as file:
        name = torch.cuda.get_device_name(0)
        file.write(
            f"# device: {name}; torch {torch.__version__}; CUDA {torch.version.cuda}; cuDNN {torch.backends.cudnn.version()}; "
            f"date {datetime.date.today()}; command: python tools/measure_short.py\n"
        )
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def flashinfer_rows(record: Callable[..., None]) -> None:
    """FlashInfer's FlashAttention-3 prefill and its paged decode on tensor cores."""
    import flashinfer

    for d in (128, 64):
        for h, g, p, m in (
            (8, 8, 128, 128),
            (32, 32, 256, 256),
            (32, 8, 512, 512),
            (32, 8, 1024, 1024),
            (32, 8, 2048, 2048),
            (32, 8, 512, 4096),
        ):
            for causal in (True, False):

                def make(h: int = h, g: int = g, p: int = p, m: int = m, d: int = d, causal: bool = causal) -> Callable[[], Any]:
                    q, k, v = tensors((p, h, d), (m, g, d), (m, g, d))
                    return lambda: flashinfer.single_prefill_with_kv_cache(q, k, v, causal=causal, backend="fa3")

                record("flash-attention-3", 1, h, g, p, m, d, causal, make)
    decode = [
        (1, 32, 8, 512), (1, 32, 8, 2048), (1, 32, 8, 8192), (1, 32, 8, 65536), (4, 32, 8, 2048), (8, 32, 8, 2048), (8, 32, 8, 8192),
        (32, 32, 8, 512), (32, 32, 8, 4096), (64, 32, 8, 1024), (128, 32, 8, 256), (256, 32, 8, 1024), (16, 32, 32, 4096),
        (32, 64, 8, 8192), (128, 16, 1, 8192), (16, 8, 8, 1024),
    ]  # fmt: skip
    page, d = 16, 128
    for b, h, g, s in decode:

        def make(b: int = b, h: int = h, g: int = g, s: int = s) -> Callable[[], Any]:
            pages = s // page
            (cache, q) = tensors((b * pages, 2, page, g, d), (b, h, d))
            space = torch.empty(128 * 2**20, dtype=torch.uint8, device="cuda")
            wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(space, "NHD", use_tensor_cores=True)
            starts = torch.arange(0, b + 1, device="cuda", dtype=torch.int32) * pages
            last = torch.full((b,), page, device="cuda", dtype=torch.int32)
            indices = torch.arange(b * pages, device="cuda", dtype=torch.int32)
            wrapper.plan(starts, indices, last, h, g, d, page, q_data_type=BF16, kv_data_type=BF16)
            return lambda: wrapper.run(q, cache)

        record("flashinfer-decode", b, h, g, 1, s, d, False, make)


if __name__ == "__main__":
    main(sys.argv[1])
