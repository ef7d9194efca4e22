"""Times matrix products, grouped matrix products and streaming kernels of LLM layers on one NVIDIA GPU, as PyTorch runs them.

    python tools/measure_gemm.py OUT.csv [--hold SECONDS] [--settled] [--seconds LIMIT]

Needs PyTorch with CUDA (and nvidia-ml-py for clocks and power). A row is one CUDA graph of many calls, replayed without rests for 0.2 s
(--hold) after a warm-up of half that, so a row that meets the power limit runs at a lowered clock; `rested_us` is the same with rests, of
rows long enough for the launch of a graph not to count. Clock and power are read in the middle of the replays; the power is an average of
about a second. Weights rotate among sets of 200 MB in all, so that they come from memory and not from the L2, as in a model; the
activations of a product are the same in every call. Streaming kernels rotate their inputs. Inputs are normal random numbers, which draw
more power than zeros. Every output is held against float64 on some rows and columns. `launched` names the GPU kernels of one call and their
grids. Products: cuBLAS through torch.nn.functional.linear (bf16) and torch._scaled_mm (fp8 e4m3, one scale a tensor, bf16 out); grouped:
torch._grouped_mm; streaming kernels are compiled with torch.compile for their own shape.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional

ROTATED_BYTES, MOST_SETS, REPLAY_S, MOST_CALLS = 200e6, 48, 2e-3, 400
RESTS, REST_S, RESTED_FROM_US = 7, 0.02, 1000.0
CHECKED, TOLERANCE = 64, {"bf16": 1e-2, "fp8": 2e-2}
BF16, FP8 = torch.bfloat16, torch.float8_e4m3fn
COLUMNS = (
    "kernel", "dtype", "rows", "cols", "depth", "experts", "spread", "time_us", "p20_us", "p80_us", "rested_us", "calls", "sets",
    "error", "sm_clock_mhz", "power_w", "launched",
)  # fmt: skip
MODELS = {
    "llama3-8b": ((4096, 4096), (6144, 4096), (28672, 4096), (4096, 14336)),
    "llama3-70b": ((8192, 8192), (10240, 8192), (57344, 8192), (8192, 28672)),
    "deepseek-v3, step-3": ((2048, 7168), (7168, 2048), (24576, 1536), (5120, 7168), (36864, 7168)),
    "vocabulary": ((128256, 4096),),
}  # (cols, depth): out and in features
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
FP8_SHAPES = ((4096, 4096), (28672, 4096), (8192, 8192), (8192, 28672), (7168, 2048), (24576, 1536))
EXPERTS = ((32, 4096, 7168), (32, 7168, 2048), (8, 28672, 4096), (8, 4096, 14336), (128, 1536, 2048), (128, 2048, 768))


@dataclass(frozen=True)
class Row:
    """rows: of all experts together; spread: how the rows lie over the experts."""

    kernel: str
    rows: int
    cols: int
    depth: int
    dtype: str = "bf16"
    experts: int = 1
    spread: str = ""


def rows() -> Iterator[Row]:
    """Everything that is measured."""
    for tokens in TOKENS:
        for shapes in MODELS.values():
            for cols, depth in shapes:
                yield Row("linear", tokens, cols, depth)
    for tokens in (1, 16, 64, 256, 1024, 4096, 16384):
        for cols, depth in FP8_SHAPES:
            yield Row("linear", tokens, cols, depth, "fp8")
    for experts, cols, depth in EXPERTS:
        for each in (1, 4, 16, 64, 128, 256, 1024):
            yield Row("grouped", experts * each, cols, depth, experts=experts, spread="even")
        for each in (16, 256):
            yield Row("grouped", experts * each, cols, depth, experts=experts, spread="ramp")
    for kernel in ("rms-norm", "silu-mul", "residual-add", "add-rms-norm"):
        for cols in (4096, 7168):
            for tokens in (1, 16, 128, 512, 2048, 8192, 16384):
                yield Row(kernel, tokens, cols, 1)


def settled() -> Iterator[Row]:
    """A ladder of tokens on four shapes, to be held for seconds."""
    for cols, depth in ((28672, 4096), (8192, 8192), (8192, 28672), (7168, 2048)):
        for tokens in (1, 64, 128, 256, 512, 1024, 2048, 8192):
            yield Row("linear", tokens, cols, depth)
    for tokens in (256, 1024, 16384):
        yield Row("linear", tokens, 8192, 8192, "fp8")
    for experts, cols, depth in EXPERTS[:1]:
        for each in (16, 128, 256, 1024):
            yield Row("grouped", experts * each, cols, depth, experts=experts, spread="even")


def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
    """Normal random bf16."""
    return torch.randn(*shape, device="cuda", dtype=BF16) * scale


def loads(row: Row) -> list[int]:
    """Rows of each expert: even, or a ramp from 0 to twice the mean."""
    each = row.rows // row.experts
    if row.spread != "ramp":
        return [each] * row.experts
    found = [round(2 * each * index / (row.experts - 1)) for index in range(row.experts)]
    found[-1] += row.rows - sum(found)
    return found


Call = Callable[..., torch.Tensor]


def off(got: torch.Tensor, expected: torch.Tensor) -> float:
    """|got - expected| / |expected| in float64."""
    return float((got.double() - expected).norm() / expected.norm())


def picks(size: int) -> torch.Tensor:
    """Some of `size` indices, at random."""
    return torch.randperm(size, device="cuda")[:CHECKED]


def linear(row: Row) -> tuple[Call, list[tuple[torch.Tensor, ...]], float]:
    """The call, its sets of weights, and the error of the first."""
    x, scale = normal(row.rows, row.depth), row.depth**-0.5
    width = 1 if row.dtype == "fp8" else 2
    count = min(MOST_SETS, max(2, ceil(ROTATED_BYTES / (row.cols * row.depth * width))))
    if row.dtype == "fp8":
        one = torch.ones((), device="cuda")
        narrow = x.to(FP8)
        sets = [(normal(row.cols, row.depth).to(FP8),) for _ in range(count)]

        def call(w: torch.Tensor) -> torch.Tensor:
            return torch._scaled_mm(narrow, w.t(), scale_a=one, scale_b=one, out_dtype=BF16, use_fast_accum=True)

        x = narrow
    else:
        sets = [(normal(row.cols, row.depth, scale=scale),) for _ in range(count)]

        def call(w: torch.Tensor) -> torch.Tensor:
            return functional.linear(x, w)

    r, c = picks(row.rows), picks(row.cols)
    w = sets[0][0]
    return call, list(sets), off(call(w)[r][:, c], x.to(torch.float32)[r].double() @ w.to(torch.float32)[c].double().T)


def grouped(row: Row) -> tuple[Call, list[tuple[torch.Tensor, ...]], float]:
    """One launch over all experts; weights (experts, depth, cols) are views of (experts, cols, depth)."""
    each = loads(row)
    x = normal(row.rows, row.depth)
    ends = torch.tensor(each, device="cuda").cumsum(0).to(torch.int32)
    count = max(2, ceil(ROTATED_BYTES / (row.experts * row.cols * row.depth * 2)))
    sets = [(normal(row.experts, row.cols, row.depth, scale=row.depth**-0.5),) for _ in range(count)]

    def call(w: torch.Tensor) -> torch.Tensor:
        return torch._grouped_mm(x, w.transpose(-2, -1), offs=ends)

    out, w = call(sets[0][0]), sets[0][0]
    expert = len(each) - 1
    first = sum(each[:expert])
    r, c = first + picks(each[expert]), picks(row.cols)
    return call, list(sets), off(out[r][:, c], x[r].double() @ w[expert][c].double().T)


def rms(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """Root mean square norm of every row, with a gain."""
    return functional.rms_norm(x, (x.shape[-1],), g, 1e-6)


def silu_mul(x: torch.Tensor) -> torch.Tensor:
    """SwiGLU: silu of the first half of every row times the second."""
    gate, up = x.chunk(2, -1)
    return functional.silu(gate) * up


def add_rms(x: torch.Tensor, r: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual sum and the norm of it."""
    total = x + r
    return rms(total, g), total


def streaming(row: Row) -> tuple[Call, list[tuple[torch.Tensor, ...]], float]:
    """A norm, an activation or a residual sum, compiled for its shape."""
    m, n = row.rows, row.cols
    gain = normal(n)
    function, make = {
        "rms-norm": (rms, lambda: (normal(m, n), gain)),
        "silu-mul": (silu_mul, lambda: (normal(m, 2 * n),)),
        "residual-add": (torch.add, lambda: (normal(m, n), normal(m, n))),
        "add-rms-norm": (add_rms, lambda: (normal(m, n), normal(m, n), gain)),
    }[row.kernel]
    each = 2 * m * n * (1 if row.kernel == "rms-norm" else 2)
    sets = [make() for _ in range(min(MOST_SETS, max(2, ceil(ROTATED_BYTES / each))))]
    torch._dynamo.reset()
    call = torch.compile(function, dynamic=False)
    got, expected = call(*sets[0]), function(*(x.double() for x in sets[0]))
    if isinstance(got, tuple):
        got, expected = got[0], expected[0]
    return call, list(sets), off(got, expected)


def launched(call: Call, inputs: tuple[torch.Tensor, ...]) -> str:
    """The GPU kernels of one call with their grids and threads a block."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call(*inputs)
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    found = []
    for event in sorted((e for e in events if e.get("cat") == "kernel"), key=lambda e: e["ts"]):
        facts = event["args"]
        grid = "x".join(map(str, facts["grid"]))
        found.append(f"{event['name'][:160]} [{grid}; {facts['block'][0]}; {facts.get('shared memory', '')}]")
    return " + ".join(found)


def captured(call: Call, sets: list[tuple[torch.Tensor, ...]], calls: int) -> torch.cuda.CUDAGraph:
    """A graph of `calls` calls that goes round the sets of inputs."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for index in range(calls):
            call(*sets[index % len(sets)])
    return graph


def replayed(graph: torch.cuda.CUDAGraph, times: int, rest: float = 0.0, look: Callable[[], None] = lambda: None) -> list[float]:
    """Microseconds of each replay; `look` is called while they run."""
    marks = []
    for _ in range(times):
        if rest:
            torch.cuda.synchronize()
            time.sleep(rest)
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        graph.replay()
        last.record()
        marks.append((first, last))
    look()
    torch.cuda.synchronize()
    return [first.elapsed_time(last) * 1e3 for first, last in marks]


def sensors() -> tuple[Any, Any]:
    """SM clock in MHz and board power in W; empty without nvidia-ml-py."""
    try:
        return torch.cuda.clock_rate(), round(torch.cuda.power_draw() / 1000, 1)
    except ModuleNotFoundError:
        return "", ""


def measure(row: Row, hold: float) -> dict[str, Any]:
    """Check and time one row for `hold` seconds."""
    torch.manual_seed(row.rows + row.cols)
    call, sets, error = {"linear": linear, "grouped": grouped}.get(row.kernel, streaming)(row)
    if not error < TOLERANCE[row.dtype]:
        raise RuntimeError(f"output is off by {error}")
    try:
        names = launched(call, sets[0])
    except Exception as problem:  # noqa: BLE001 - a profiler that does not run costs the names only
        names = f"no profile: {str(problem)[:60]}"
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for each in sets[:2]:
            call(*each)
    torch.cuda.current_stream().wait_stream(side)
    trial = captured(call, sets, len(sets))
    replayed(trial, 2)
    first = min(replayed(trial, 3)) * 1e-6 / len(sets)
    calls = len(sets) * max(1, min(MOST_CALLS // len(sets), ceil(REPLAY_S / first / len(sets))))
    graph = trial if calls == len(sets) else captured(call, sets, calls)
    each_s = first * calls
    replayed(graph, max(2, ceil(hold / 2 / each_s)))
    count = max(7, ceil(hold / each_s))
    seen: list[Any] = []

    def look() -> None:
        time.sleep(hold / 2)
        seen.extend(sensors())

    times = sorted(time / calls for time in replayed(graph, count, look=look))
    rested = sorted(time / len(sets) for time in replayed(trial, RESTS, REST_S)) if times[0] >= RESTED_FROM_US else []
    found = dict(
        kernel=row.kernel, dtype=row.dtype, rows=row.rows, cols=row.cols, depth=row.depth, experts=row.experts, spread=row.spread,
        time_us=round(times[count // 2], 3), p20_us=round(times[count // 5], 3), p80_us=round(times[-1 - count // 5], 3),
        rested_us=round(rested[RESTS // 2], 3) if rested else "", calls=calls, sets=len(sets), error=f"{error:.1e}",
        sm_clock_mhz=seen[0], power_w=seen[1], launched=names,
    )  # fmt: skip
    return {name: found.get(name, "") for name in COLUMNS}


def smi(query: str) -> str:
    """What nvidia-smi says."""
    return subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()


def about() -> str:
    """The first line of the file: what was measured, where and how."""
    return (
        f"# device: {torch.cuda.get_device_name()}; driver {smi('driver_version')}; torch {torch.__version__}; CUDA {torch.version.cuda}; "
        f"cuBLAS {version('nvidia-cublas')}; date {datetime.date.today()}; command: python tools/measure_gemm.py\n"
    )


def main() -> None:
    """Measure every row and write the CSV as they come."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this long")
    parser.add_argument("--hold", type=float, default=0.2, help="seconds that a row is timed")
    parser.add_argument("--settled", action="store_true", help="only the rows that show where the power limit sets in")
    args = parser.parse_args()
    torch._dynamo.config.recompile_limit = 10_000
    every = list(settled() if args.settled else rows())
    state = "clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu"
    print(len(every), "rows; before:", smi(state), flush=True)
    start, done = time.perf_counter(), 0
    with open(args.out, "w", newline="") as file, torch.no_grad():
        file.write(about())
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in every:
            if time.perf_counter() - start > args.seconds:
                break
            try:
                found = measure(row, args.hold)
            except Exception as error:  # noqa: BLE001 - one row that fails costs no other
                print("failed:", row, str(error).splitlines()[0][:200], flush=True)
                continue
            finally:
                torch.cuda.empty_cache()
            writer.writerow(found)
            file.flush()
            done += 1
            shown = ("kernel", "dtype", "rows", "cols", "depth", "time_us", "sm_clock_mhz")
            print(*(found[name] for name in shown), found["launched"][:60], flush=True)
    print(f"{done} of {len(every)} rows in {time.perf_counter() - start:.0f} s; after:", smi(state))


if __name__ == "__main__":
    main()
