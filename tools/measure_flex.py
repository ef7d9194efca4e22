"""Times PyTorch's FlexAttention under block masks of 128 x 128 and 64 x 64 on one NVIDIA GPU, with SDPA's own kernels beside it.

    python tools/measure_flex.py OUT.csv [--warm PROCESSES] [--from ROW]

Needs PyTorch with CUDA (and nvidia-ml-py for clocks and power). Block masks are made before anything is timed. Every call of a CUDA graph
has inputs of its own, 150 MB in all where 32 sets reach that, so that they come from memory and not from the L2; between replays the GPU
rests, so the clock stays at its boost. Every row is compiled for its own shape with torch.compile, and its output is held against a float64
reference on some queries before it is timed. The columns up to `time_us` are the measurement format of `attnsim validate --measurements`; a
mask that format cannot say has its name in `kernel`. --warm fills the compiler's cache from several processes first.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil, prod
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch._inductor.codecache import PyCodeCache
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

ROTATED_BYTES, FEWEST_SETS, MOST_SETS, REPLAYS, REST_S = 150e6, 4, 32, 25, 0.02
CHECKED_QUERIES, CHUNK, TOLERANCE = 64, 2048, 2e-2
BF16 = torch.bfloat16
SMALL = {"BLOCK_M": 64, "BLOCK_N": 64, "num_warps": 4, "num_stages": 3}  # a 64 x 64 mask needs tiles that divide its blocks
COLUMNS = (
    "kernel", "direction", "dtype", "batch", "heads_q", "heads_kv", "seqlen_q", "seqlen_kv", "head_dim", "head_dim_v", "causal", "window",
    "time_us", "p20_us", "p80_us", "calls", "mask", "layout", "shape", "reach", "stride", "block", "options", "block_m", "block_n", "warps",
    "stages", "registers", "spills", "shared_bytes", "blocks", "partial_blocks", "error", "compile_s", "sm_clock_mhz", "power_w",
)  # fmt: skip

SHOWN = ("kernel", "batch", "heads_q", "seqlen_q", "head_dim", "mask", "shape", "reach", "stride", "time_us", "error", "sm_clock_mhz")

Mod = Callable[[Any, Any, Any, Any], Any]


@dataclass(frozen=True)
class Mask:
    """`mod` None: no mask. shape, reach (window) and stride are for the table; layout: how the tokens lie in the sequence."""

    name: str
    mod: Mod | None = None
    shape: str = ""
    reach: str = ""
    stride: str = ""
    layout: str = ""
    per_head: bool = False


def causal() -> Mask:
    """Keys up to the query."""
    return Mask("causal", lambda b, h, q, k: q >= k)


def window(size: int) -> Mask:
    """The last `size` keys up to the query."""
    return Mask("window", lambda b, h, q, k: (q >= k) & (q - k < size), reach=str(size))


def sinks(size: int, first: int) -> Mask:
    """The same, and the first keys of the sequence."""
    return Mask("sinks", lambda b, h, q, k: (q >= k) & ((q - k < size) | (k < first)), reach=f"{size}", shape=f"{first} sinks")


def documents(tokens: int, lengths: list[int]) -> Mask:
    """Keys of the query's own document, up to the query; lengths repeat until the sequence is full."""
    marks, index = [], 0
    while len(marks) < tokens:
        marks += [index] * lengths[index % len(lengths)]
        index += 1
    of = torch.tensor(marks[:tokens], dtype=torch.int32, device=device())
    return Mask("documents", lambda b, h, q, k: (of[q] == of[k]) & (q >= k), reach="+".join(map(str, lengths)))


def blocked(size: int) -> Mask:
    """Keys of the query's own block of `size` tokens."""
    return Mask("blocked", lambda b, h, q, k: q // size == k // size, reach=str(size))


def strided(side: int, local: int, stride: int) -> Mask:
    """`local` blocks of `side` tokens up to the query's own, and every `stride`-th one, shifted from head to head (S2-Attention)."""
    return Mask(
        "strided",
        lambda b, h, q, k: (q >= k) & ((q // side - k // side < local) | ((k // side + h) % stride == 0)),
        shape=f"{side}", reach=str(local), stride=str(stride), per_head=True,
    )  # fmt: skip


def neighborhood(shape: tuple[int, ...], reach: tuple[int, ...], stride: int | tuple[int, ...] = 1, box: tuple[int, ...] = ()) -> Mask:
    """Generalized neighborhood attention (arXiv 2504.16922) of tokens in row-major order, or permuted into boxes."""
    strides = (stride,) * len(shape) if isinstance(stride, int) else stride
    grid = tuple(extent // side for extent, side in zip(shape, box, strict=True)) if box else ()

    def coordinates(token: Any, extents: tuple[int, ...]) -> list[Any]:
        found = []
        for axis in range(len(extents)):
            inner = prod(extents[axis + 1 :])
            found.append(token // inner % extents[axis] if axis else token // inner)
        return found

    def located(token: Any) -> list[Any]:
        if not box:
            return coordinates(token, shape)
        outer, inner = coordinates(token // prod(box), grid), coordinates(token % prod(box), box)
        return [o * side + i for o, side, i in zip(outer, box, inner, strict=True)]

    def mod(b: Any, h: Any, q: Any, k: Any) -> Any:
        seen = None
        for here, there, extent, width, group in zip(located(q), located(k), shape, reach, strides, strict=True):
            leader = here if group == 1 else (here // group * group + group // 2).clamp(max=extent - 1)
            start = (leader - width // 2).clamp(0, extent - width)
            inside = (there >= start) & (there < start + width)
            seen = inside if seen is None else seen & inside
        return seen

    def text(sides: tuple[int, ...]) -> str:
        return "x".join(map(str, sides))

    return Mask("neighborhood", mod, text(shape), text(reach), text(strides), f"boxes {text(box)}" if box else "row-major")


@dataclass(frozen=True)
class Row:
    """One measurement. block: side of the mask's blocks; options: of the Triton kernel."""

    kernel: str
    b: int
    h: int
    g: int
    s: int
    d: int
    mask: Mask = Mask("dense")
    block: int = 128
    options: dict[str, int] = field(default_factory=dict)


def flex(b: int, h: int, s: int, d: int, mask: Mask | None = None, block: int = 128, g: int = 0, **options: int) -> Row:
    """A row of FlexAttention; with blocks of 64, in tiles of 64 x 64."""
    return Row("flex", b, h, g or h, s, d, mask or Mask("dense"), block, {**(SMALL if block == 64 else {}), **options})


def rows() -> Iterator[Row]:
    """Everything that is measured."""
    lengths = ((16, 16, 1024), (8, 16, 2048), (4, 16, 4096), (1, 16, 8192), (1, 8, 16384), (1, 2, 32768))
    for d in (64, 128):
        for b, h, s in lengths:
            yield flex(b, h, s, d)
            yield flex(b, h, s, d, causal())
        for b, h, s in (lengths[1], lengths[3]):
            for kernel in ("sdpa-flash", "cudnn"):
                yield Row(kernel, b, h, h, s, d)
                yield Row(kernel, b, h, h, s, d, causal())
            yield flex(b, h, s, d, None, 64)
            yield flex(b, h, s, d, causal(), 64)
        yield flex(1, 8, 16384, d, causal(), 64)
        for h, s in ((16, 8192), (4, 32768)):
            for size in (256, 1024, 4096):
                yield flex(1, h, s, d, window(size))
            yield flex(1, h, s, d, window(1024), 64)
            yield flex(1, h, s, d, sinks(1024, 4))
        yield flex(1, 16, 8192, d, window(256), 64)
        yield flex(1, 16, 8192, d, neighborhood((8192,), (1024,)))
        yield flex(1, 8, 32768, d, neighborhood((32768,), (2048,)))
        yield flex(1, 8, 32768, d, neighborhood((32768,), (256,)))
        yield flex(1, 16, 8192, d, neighborhood((8192,), (1024,)), 64)
        for shape, reach, stride, h in (((64, 64), (20, 20), 1, 24), ((128, 128), (20, 20), 1, 12), ((128, 128), (48, 48), 1, 12)):
            yield flex(1, h, prod(shape), d, neighborhood(shape, reach, stride))
            yield flex(1, h, prod(shape), d, neighborhood(shape, reach, stride, (8, 8)), 64)
        yield flex(1, 12, 16384, d, neighborhood((128, 128), (48, 48), 16))
        yield flex(1, 12, 16384, d, neighborhood((128, 128), (48, 48), 16, (8, 8)), 64)
        yield flex(1, 12, 16384, d, neighborhood((16, 32, 32), (8, 12, 12), 1, (4, 4, 4)), 64)
        yield flex(1, 12, 16384, d, neighborhood((16, 32, 32), (8, 16, 16), 1, (4, 4, 4)), 64)
        yield flex(1, 12, 16384, d, neighborhood((16, 32, 32), (8, 16, 16), (4, 8, 8), (4, 4, 4)), 64)
        for h in (1, 8):
            for s in (256, 512, 1024):
                yield flex(1, h, s, d)
        yield flex(1, 1, 16384, d)
        yield flex(1, 1, 16384, d, causal())
        yield flex(1, 8, 1024, d, causal())
        yield flex(1, 8, 1024, d, None, 64)
        yield flex(4, 32, 4096, d, causal(), g=8)
        yield flex(1, 16, 8192, d, strided(64, 16, 16), 64)
    yield flex(4, 32, 4096, 128, g=8)
    yield flex(1, 32, 8192, 128, window(1024), g=8)
    yield flex(1, 16, 8192, 128, None, 64, num_warps=8)
    yield flex(1, 16, 8192, 128, causal(), 64, num_warps=8)
    yield flex(1, 12, 16384, 128, neighborhood((16, 32, 32), (8, 12, 12)))
    yield flex(1, 16, 16384, 128, strided(64, 16, 16), 64)
    yield flex(1, 16, 8192, 128, strided(64, 16, 16))
    yield flex(1, 16, 16384, 128, blocked(1024))
    yield flex(1, 16, 16384, 128, documents(16384, [1024, 2048, 512, 512]))
    yield flex(1, 16, 16384, 128, documents(16384, [700, 2300, 1500, 333]))


def device() -> str:
    """The GPU, or the CPU where the script is only tried."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def block_mask(mask: Mask, heads: int, tokens: int, block: int) -> tuple[BlockMask, int, int]:
    """The block mask as create_block_mask makes it, a few rows at a time (its own would hold tokens x tokens integers), with the blocks
    that are visited and those of them that are partial, summed over the heads of a batch.
    """
    assert mask.mod is not None
    partial, full = [], []
    keys = torch.arange(tokens, device=device(), dtype=torch.int32)
    for head in range(heads if mask.per_head else 1):
        for first in range(0, tokens, CHUNK):
            queries = keys[first : first + CHUNK]
            seen = mask.mod(0, head, queries[:, None], keys[None, :])
            counts = seen.view(len(queries) // block, block, tokens // block, block).sum((1, 3), dtype=torch.int32)
            partial.append((counts > 0) & (counts < block * block))
            full.append(counts == block * block)
    shape = (1, heads if mask.per_head else 1, tokens // block, tokens // block)
    parts = [torch.cat(pieces).view(shape) for pieces in (partial, full)]
    args = []
    for part in parts:
        args += [part.sum(-1, dtype=torch.int32), part.to(torch.int32).argsort(dim=-1, descending=True, stable=True).to(torch.int32)]
    made = BlockMask.from_kv_blocks(*args, BLOCK_SIZE=block, mask_mod=mask.mod, seq_lengths=(tokens, tokens), compute_q_blocks=False)
    once, all_full = (int(part.sum()) * (1 if mask.per_head else heads) for part in parts)
    return made, once + all_full, once


def attention(row: Row) -> tuple[Callable[..., Any], int, int]:
    """The call, and the blocks of one batch entry: visited and partial."""
    if row.kernel != "flex":
        backend = SDPBackend.CUDNN_ATTENTION if row.kernel == "cudnn" else SDPBackend.FLASH_ATTENTION

        def call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
            with sdpa_kernel(backend):
                return functional.scaled_dot_product_attention(q, k, v, is_causal=row.mask.name == "causal", enable_gqa=row.g != row.h)

        return call, 0, 0
    blocks, visited, partial = None, row.h * ceil(row.s / row.block) ** 2, 0
    if row.mask.mod is not None:
        blocks, visited, partial = block_mask(row.mask, row.h, row.s, row.block)
    torch._dynamo.reset()
    compiled = torch.compile(flex_attention, dynamic=False)
    options: Any = dict(row.options)

    def call_flex(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Any:
        return compiled(q, k, v, block_mask=blocks, enable_gqa=row.g != row.h, kernel_options=options)

    return call_flex, visited, partial


def inputs(row: Row) -> list[torch.Tensor]:
    """Random queries, keys and values, (B, H, S, D)."""
    return [torch.randn(row.b, heads, row.s, row.d, device=device(), dtype=BF16) for heads in (row.h, row.g, row.g)]


def off(row: Row, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, out: torch.Tensor) -> float:
    """|output - reference| / |reference| in float64, of some queries of two heads."""
    picked = torch.randperm(row.s, device=q.device)[:CHECKED_QUERIES]
    keys = torch.arange(row.s, device=q.device)
    worst = 0.0
    mod = (lambda b, h, q, k: q >= k) if row.kernel != "flex" and row.mask.name == "causal" else row.mask.mod
    for batch, head in {(0, 0), (row.b - 1, row.h - 1)}:
        key, value = (x[batch, head * row.g // row.h].double() for x in (k, v))
        scores = q[batch, head, picked].double() @ key.T / row.d**0.5
        if mod is not None:
            scores = scores.masked_fill(~mod(batch, head, picked[:, None], keys[None, :]), float("-inf"))
        expected = scores.softmax(-1) @ value
        worst = max(worst, float((out[batch, head, picked].double() - expected).norm() / expected.norm()))
    return worst


def kernel_facts() -> dict[str, Any]:
    """Tile, warps, stages, registers and shared memory of the attention kernel that was compiled last, from its source and its binary."""
    for module in reversed(PyCodeCache.modules):
        source = Path(str(module.__file__)).read_text() if getattr(module, "__file__", None) else ""
        tile = {name: re.search(rf"{name}\s*:\s*tl\.constexpr\s*=\s*(\d+)", source) for name in ("BLOCK_M", "BLOCK_N")}
        if not all(tile.values()):
            continue
        facts: dict[str, Any] = {name.lower(): found.group(1) for name, found in tile.items() if found}
        for name, pattern in (("warps", r"num_warps=(\d+)"), ("stages", r"num_stages=(\d+)")):
            found = re.search(pattern, source)
            facts[name] = found.group(1) if found else ""
        for kernel in vars(module).values():
            for launcher in getattr(kernel, "launchers", None) or ():
                facts["registers"], facts["spills"] = getattr(launcher, "n_regs", ""), getattr(launcher, "n_spills", "")
                facts["shared_bytes"] = getattr(launcher, "shared", "")
        return facts
    return {}


def timed(call: Callable[..., Any], sets: list[list[torch.Tensor]]) -> list[float]:
    """Microseconds a call, sorted: replays of a CUDA graph of one call for each set of inputs, with rests between them."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for each in sets:
            call(*each)
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for each in sets:
            call(*each)
    for _ in range(3):
        graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(REPLAYS):
        time.sleep(REST_S)
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        graph.replay()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) * 1e3 / len(sets))
    graph.replay()
    return sorted(times)


def sensors() -> tuple[Any, Any]:
    """SM clock in MHz and board power in W; empty without nvidia-ml-py."""
    try:
        return torch.cuda.clock_rate(), round(torch.cuda.power_draw() / 1000, 1)
    except ModuleNotFoundError:
        return "", ""


def named(row: Row) -> str:
    """The schedule's name, with the mask's where the measurement format has no column for it, and with options beside the usual ones."""
    name = row.kernel if row.kernel != "flex" else "flex-attention" if row.block == 128 else "flex-attention-64"
    usual = SMALL if row.block == 64 else {}
    unusual = [f"{option}={value}" for option, value in row.options.items() if usual.get(option) != value]
    return " ".join((name, *([] if row.mask.name in ("dense", "causal", "window") else [row.mask.name]), *unusual))


def measure(row: Row) -> dict[str, Any]:
    """Compile, check and time one row."""
    torch.manual_seed(row.s + row.d)
    call, visited, partial = attention(row)
    first = inputs(row)
    start = time.perf_counter()
    error = off(row, *first, call(*first))
    compiled = time.perf_counter() - start
    if not error < TOLERANCE:
        raise RuntimeError(f"output is off by {error}")
    moved = sum(x.nbytes for x in first) + first[0].nbytes
    count = min(MOST_SETS, max(FEWEST_SETS, ceil(ROTATED_BYTES / moved)))
    times = timed(call, [first, *(inputs(row) for _ in range(count - 1))])
    clock, power = sensors()
    torch.cuda.synchronize()
    facts = kernel_facts() if row.kernel == "flex" else {}
    found = dict(
        kernel=named(row), direction="forward", dtype="bf16", batch=row.b, heads_q=row.h, heads_kv=row.g, seqlen_q=row.s, seqlen_kv=row.s,
        head_dim=row.d, head_dim_v=row.d, causal=row.mask.name in ("causal", "window", "sinks", "documents", "strided"),
        window=row.mask.reach if row.mask.name == "window" else "", time_us=round(times[len(times) // 2], 3),
        p20_us=round(times[len(times) // 5], 3), p80_us=round(times[-1 - len(times) // 5], 3), calls=count, mask=row.mask.name,
        layout=row.mask.layout, shape=row.mask.shape, reach=row.mask.reach, stride=row.mask.stride,
        block=row.block if row.kernel == "flex" else "", options=" ".join(f"{k}={v}" for k, v in row.options.items()),
        blocks=visited or "", partial_blocks=partial if visited else "", error=f"{error:.1e}", compile_s=round(compiled, 1),
        sm_clock_mhz=clock, power_w=power, **facts,
    )  # fmt: skip
    return {name: found.get(name, "") for name in COLUMNS}


def warm(processes: int) -> None:
    """Let that many copies of this script compile a share of the rows each."""
    command = [sys.executable, __file__, os.devnull, "--share"]
    running = [
        subprocess.Popen([*command, f"{i}/{processes}"], env={**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"}) for i in range(processes)
    ]
    for each in running:
        each.wait()


def about(driver: str) -> str:
    """The first line of the file: what was measured, where and how."""
    return (
        f"# device: {torch.cuda.get_device_name()}; driver {driver}; torch {torch.__version__}; CUDA {torch.version.cuda}; "
        f"cuDNN {torch.backends.cudnn.version()}; date {datetime.date.today()}; command: python tools/measure_flex.py\n"
    )


def smi(query: str) -> str:
    """What nvidia-smi says."""
    return subprocess.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Run every measurement and write the CSV as they come."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--warm", type=int, default=0)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--share", default="")
    args = parser.parse_args()
    torch._dynamo.config.recompile_limit = 10_000
    every = list(rows())
    state = "clocks.sm,clocks.max.sm,power.draw,power.limit,temperature.gpu"
    if args.share:
        own, of = map(int, args.share.split("/"))
        with torch.no_grad():
            for row in every[own::of]:
                try:
                    attention(row)[0](*inputs(row))
                except Exception as error:  # noqa: BLE001 - whatever a compiler raises; the main process reports it
                    print("warm", row, str(error)[:200], file=sys.stderr)
        return
    print(len(every), "rows; before:", smi(state), flush=True)
    start = time.perf_counter()
    if args.warm:
        warm(args.warm)
        print(f"compiled in {time.perf_counter() - start:.0f} s", flush=True)
    with open(args.out, "w", newline="") as file, torch.no_grad():
        file.write(about(smi("driver_version")))
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, row in enumerate(every[args.first :], args.first):
            try:
                found = measure(row)
            except Exception as error:  # noqa: BLE001 - a shape that is refused, for whatever reason, is a row without a time
                print("failed", number, row, str(error)[:500], file=sys.stderr, flush=True)
                torch.cuda.synchronize()
                continue
            writer.writerow(found)
            file.flush()
            shown = " ".join(str(found[name]) for name in SHOWN if found[name] != "")
            print(f"{number} {time.perf_counter() - start:.0f} s {shown}", flush=True)
    print("after:", smi(state))


if __name__ == "__main__":
    main()
