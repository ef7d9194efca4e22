"""Times long and short runs of matrix products and attention on one NVIDIA GPU, with the clock and power they settle at.

    python tools/measure_sustained.py OUT.csv

Needs PyTorch with CUDA and nvidia-ml-py; FlashInfer is used where it imports. Each row: kernel, shape, how long it ran, median time,
FLOP/s, SM clock and board power averaged over the second half of the run. The GPU's own settings are left alone.
"""

from __future__ import annotations

import csv
import datetime
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pynvml
import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

SUSTAINED_S, SHORT_GRAPHS, GROUP = 2.5, 10, 4


class Sampler(threading.Thread):
    """SM clock (MHz) and board power (W), about a hundred times a second."""

    def __init__(self, handle: Any) -> None:
        super().__init__(daemon=True)
        self.handle, self.stopped, self.rows = handle, threading.Event(), []

    def run(self) -> None:
        """Sample until stopped."""
        while not self.stopped.is_set():
            clock = pynvml.nvmlDeviceGetClockInfo(self.handle, pynvml.NVML_CLOCK_SM)
            self.rows.append((time.perf_counter(), clock, pynvml.nvmlDeviceGetPowerUsage(self.handle) / 1000))
            time.sleep(0.01)


def captured(call: Callable[[], Any], calls: int) -> Callable[[], Any]:
    """`calls` calls as one CUDA graph, so that no host time falls between the kernels."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    return graph.replay


def timed(call: Callable[[], Any], handle: Any, seconds: float) -> tuple[float, float, float, int]:
    """(median s a call, clock MHz, power W, calls): one graph of a few calls after a pause, or graphs that fill `seconds`."""
    group = GROUP
    replay = captured(call, group)
    replay()
    torch.cuda.synchronize()
    time.sleep(1.0 if seconds == 0 else 0.2)
    sampler = Sampler(handle)
    sampler.start()
    start, times = time.perf_counter(), []
    while len(times) < SHORT_GRAPHS or time.perf_counter() - start < seconds:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        replay()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / 1000 / group)
        if seconds == 0:
            time.sleep(0.05)  # let the board cool down: a short run stays at the boost clock
    end = time.perf_counter()
    sampler.stopped.set()
    sampler.join()
    half = [row for row in sampler.rows if row[0] > (start + end) / 2] or sampler.rows
    late = sorted(times[len(times) // 2 :]) if seconds else sorted(times)
    return late[len(late) // 2], sum(r[1] for r in half) / len(half), sum(r[2] for r in half) / len(half), len(times) * group


def attention(b: int, h: int, g: int, p: int, m: int, d: int, causal: bool, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Random queries, keys and values on the GPU: (B, H, P, D) and twice (B, G, M, D)."""
    q = torch.randn(b, h, p, d, device="cuda", dtype=dtype)
    k, v = (torch.randn(b, g, m, d, device="cuda", dtype=dtype) for _ in range(2))
    return q, k, v


def main(out: str) -> None:
    """Run every measurement and write the CSV."""
    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    rows: list[dict[str, Any]] = []

    def record(kernel: str, shape: str, flops: float, moved: float, call: Callable[[], Any]) -> None:
        for mode, seconds in (("short", 0.0), ("sustained", SUSTAINED_S)):
            try:
                median, clock, power, n = timed(call, handle, seconds)
            except RuntimeError as error:  # a backend that refuses a shape is a row without a time
                print("failed", kernel, shape, str(error)[:200], file=sys.stderr)
                torch.cuda.synchronize()
                return
            rows.append(
                dict(
                    kernel=kernel,
                    shape=shape,
                    mode=mode,
                    calls=n,
                    time_us=round(median * 1e6, 3),
                    tflops=round(flops / median / 1e12, 2),
                    gbytes_per_s=round(moved / median / 1e9, 1),
                    sm_clock_mhz=round(clock, 1),
                    power_w=round(power, 1),
                )
            )
            print(rows[-1], flush=True)

    time.sleep(1)
    idle = [pynvml.nvmlDeviceGetPowerUsage(handle) / 1000 for _ in range(20)]
    rows.append(
        dict(
            kernel="idle",
            shape="",
            mode="short",
            calls=0,
            time_us=0,
            tflops=0,
            gbytes_per_s=0,
            sm_clock_mhz=pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            power_w=round(sum(idle) / 20, 1),
        )
    )
    for n in (4096, 8192, 16384):
        a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        record("gemm", f"{n}x{n}x{n} bf16", 2 * n**3, 6 * n * n, lambda a=a, b=b: a @ b)
    big = torch.randn(2**30 // 2, device="cuda", dtype=torch.bfloat16)
    other = torch.empty_like(big)
    record("copy", "1 GiB", 0, 2 * 2**30, lambda a=other, b=big: a.copy_(b))
    record("read", "1 GiB sum", 0, 2**30, lambda a=big: torch.sum(a, dtype=torch.float32))
    del big, other
    shapes = [
        (1, 32, 32, 8192, 8192, 128, True),
        (1, 32, 8, 8192, 8192, 128, True),
        (2, 16, 16, 8192, 8192, 128, False),
        (2, 32, 32, 8192, 8192, 64, False),
        (2, 32, 32, 8192, 8192, 64, True),
        (4, 16, 16, 4096, 4096, 128, True),
        (16, 16, 16, 1024, 1024, 128, False),
        (16, 16, 16, 1024, 1024, 128, True),
        (8, 16, 16, 2048, 2048, 128, False),
        (8, 32, 32, 2048, 2048, 64, False),
    ]
    for b, h, g, p, m, d, causal in shapes:
        q, k, v = attention(b, h, g, p, m, d, causal, torch.bfloat16)
        flops = 4 * b * h * p * m * d / (2 if causal else 1)
        shape = f"B{b} H{h} G{g} P{p} M{m} D{d} {'causal' if causal else 'dense'} bf16"
        for name, backend in (("cudnn", SDPBackend.CUDNN_ATTENTION), ("flash-attention-2", SDPBackend.FLASH_ATTENTION)):

            def call(
                q: torch.Tensor = q,
                k: torch.Tensor = k,
                v: torch.Tensor = v,
                causal: bool = causal,
                gqa: bool = g != h,
                backend: Any = backend,
            ) -> Any:
                with sdpa_kernel(backend):
                    return functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=gqa)

            record(name, shape, flops, 0, call)
    try:
        flashinfer_rows(record)
    except (ImportError, RuntimeError) as error:
        print("flashinfer:", str(error)[:500], file=sys.stderr)
    name = pynvml.nvmlDeviceGetName(handle)
    with open(out, "w", newline="") as file:
        file.write(
            f"# device: {name}; driver {pynvml.nvmlSystemGetDriverVersion()}; torch {torch.__version__}; CUDA {torch.version.cuda}; "
            f"cuDNN {torch.backends.cudnn.version()}; date {datetime.date.today()}; command: python tools/measure_sustained.py\n"
        )
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def flashinfer_rows(record: Callable[..., None]) -> None:
    """FlashInfer's FlashAttention-3 prefill and its paged decode."""
    import flashinfer

    for b, h, g, s, d, causal in ((1, 32, 32, 8192, 128, True), (1, 32, 8, 8192, 128, True), (1, 32, 32, 8192, 128, False)):
        q = torch.randn(s, h, d, device="cuda", dtype=torch.bfloat16)
        k, v = (torch.randn(s, g, d, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        flops = 4 * b * h * s * s * d / (2 if causal else 1)
        record(
            "flashinfer-fa3",
            f"B{b} H{h} G{g} P{s} M{s} D{d} {'causal' if causal else 'dense'} bf16",
            flops,
            0,
            lambda q=q, k=k, v=v, causal=causal: flashinfer.single_prefill_with_kv_cache(q, k, v, causal=causal, backend="fa3"),
        )
    for b, h, g, s, d in ((64, 32, 8, 8192, 128), (8, 32, 8, 8192, 128), (1, 32, 8, 32768, 128)):
        page = 16
        pages = s // page
        cache = torch.randn(b * pages, 2, page, g, d, device="cuda", dtype=torch.bfloat16)
        wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(
            torch.empty(256 * 2**20, dtype=torch.uint8, device="cuda"), "NHD", use_tensor_cores=True
        )
        wrapper.plan(
            torch.arange(0, b + 1, device="cuda", dtype=torch.int32) * pages,
            torch.arange(b * pages, device="cuda", dtype=torch.int32),
            torch.full((b,), page, device="cuda", dtype=torch.int32),
            h,
            g,
            d,
            page,
            q_data_type=torch.bfloat16,
            kv_data_type=torch.bfloat16,
        )
        q = torch.randn(b, h, d, device="cuda", dtype=torch.bfloat16)
        record(
            "flashinfer-decode",
            f"B{b} H{h} G{g} P1 M{s} D{d} dense bf16",
            4 * b * h * s * d,
            4 * b * g * s * d,
            lambda w=wrapper, q=q, c=cache: w.run(q, c),
        )


if __name__ == "__main__":
    main(sys.argv[1])
