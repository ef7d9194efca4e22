"""What one process of `collective` does on its GPU; imported by that process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from attnsim.measure.timing import percentile

CALLS, REPLAYS, FIRST, LONG_CALLS = 20, 15, 3, 4
LONG, SYMMETRIC_MOST = 2**24, 2**24
"""Bytes from which a graph holds fewer calls, and up to which the all-reduces of serving engines are used."""

PERIOD = 13
"""Elements hold (index + rank) % 13: sums over up to 16 GPUs are exact in bf16."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A collective over its buffers. fill: puts the pattern in; wrong: elements that are not what they should be; clear: all zeros."""

    kernel: str
    algorithm: str
    call: Callable[[], object]
    fill: Callable[[], object]
    wrong: Callable[[], int]
    clear: Callable[[], object]


def work(rank: int, world: int, port: int, sizes: Sequence[int], target: str) -> None:
    """Measure every collective and write rows as JSON lines (the first GPU)."""
    torch.cuda.set_device(rank)
    dist.init_process_group(
        "nccl", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world, device_id=torch.device("cuda", rank),
        timeout=timedelta(seconds=120),
    )  # fmt: skip
    with open(target, "a") as file:
        for size in sizes:
            for operation in operations(size, rank, world, "cuda"):
                row = _row(operation, size, world)
                if rank == 0 and row is not None:
                    file.write(json.dumps(row) + "\n")
                    file.flush()
            torch.cuda.empty_cache()
    dist.barrier()
    dist.destroy_process_group()


def _row(operation: Operation, size: int, world: int) -> dict[str, str | int | float] | None:
    """Checked and timed; None where a GPU refuses it or has a wrong result."""
    try:
        error = checked(operation)
        if error:
            raise RuntimeError(f"{error} elements are wrong")
        times, calls = _timed(operation.call, CALLS if size <= LONG else LONG_CALLS)
    except RuntimeError as problem:
        print("left out:", operation.kernel, operation.algorithm, size, str(problem)[:200], file=sys.stderr, flush=True)
        return None
    return {
        "suite": "collective", "backend": "nccl" if operation.algorithm == "nccl" else "torch-symmetric", "kernel": operation.kernel,
        "dtype": "bf16", "devices": world, "bytes": size, "algorithm": operation.algorithm, "time_us": round(percentile(times, 0.5), 3),
        "p20_us": round(percentile(times, 0.2), 3), "p80_us": round(percentile(times, 0.8), 3), "calls": calls, "sets": 1, "error": 0.0,
    }  # fmt: skip


def checked(operation: Operation) -> int:
    """Wrong elements of all GPUs together after one call; buffers are zeros afterwards."""
    operation.fill()
    operation.call()
    wrong = torch.tensor(float(operation.wrong()), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(wrong)
    operation.clear()
    return int(wrong)


def _timed(call: Callable[[], object], calls: int) -> tuple[list[float], int]:
    """Microseconds of one call in each replay, sorted, of the slowest GPU; and calls of a graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    dist.barrier()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(calls):
            call()
    times = []
    for _ in range(FIRST + REPLAYS):
        dist.barrier()
        torch.cuda.synchronize()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / calls)
    seen = torch.tensor(times, device="cuda")
    dist.all_reduce(seen, op=dist.ReduceOp.MAX)
    return sorted(seen.tolist()[FIRST:]), calls


def operations(size: int, rank: int, world: int, device: str) -> Iterator[Operation]:
    """All over `size` bytes of bf16 on each GPU, less what does not divide by them."""
    count = size // 2 // world * world
    each = count // world
    whole, other = (torch.zeros(count, dtype=torch.bfloat16, device=device) for _ in range(2))
    part = torch.zeros(each, dtype=torch.bfloat16, device=device)
    mine, total = _pattern(count, rank, device), _total(count, world, device)
    own = slice(rank * each, (rank + 1) * each)

    def made(kernel: str, call: Callable[[], object], source: Any, result: Any, held: Any, expected: Any) -> Operation:
        """`held` is put in `source`; `result` should become `expected`."""
        return Operation(
            kernel, "nccl", call, lambda: source.copy_(held), lambda: int((result != expected).sum()),
            lambda: (source.zero_(), result.zero_()),
        )  # fmt: skip

    gathered = torch.cat([_pattern(count, peer, device)[peer * each : (peer + 1) * each] for peer in range(world)])
    exchanged = torch.cat([_pattern(count, peer, device)[own] for peer in range(world)])
    yield made("all-reduce", lambda: dist.all_reduce(whole), whole, whole, mine, total)
    yield made("all-gather", lambda: dist.all_gather_into_tensor(whole, part), part, whole, mine[own], gathered)
    yield made("reduce-scatter", lambda: dist.reduce_scatter_tensor(part, whole), whole, part, mine, total[own])
    yield made("all-to-all", lambda: dist.all_to_all_single(other, whole), whole, other, mine, exchanged)
    yield made("broadcast", lambda: dist.broadcast(whole, 0), whole, whole, mine, _pattern(count, 0, device))
    if world == 2:
        send = (lambda: dist.send(whole, 1)) if rank == 0 else (lambda: dist.recv(whole, 0))
        yield made("send", send, whole, whole, mine, _pattern(count, 0, device))
    if device == "cuda" and size <= SYMMETRIC_MOST:
        yield from _symmetric(count, mine, total)


def _symmetric(count: int, mine: Any, total: Any) -> Iterator[Operation]:
    """The all-reduces of serving engines; none where this PyTorch has none."""
    try:
        import torch.distributed._symmetric_memory as symmetric

        held = symmetric.empty(count, dtype=torch.bfloat16, device="cuda")
        symmetric.rendezvous(held, dist.group.WORLD)
    except (ImportError, RuntimeError) as problem:
        print("no symmetric memory:", str(problem)[:200], file=sys.stderr, flush=True)
        return
    group, library = dist.group.WORLD.group_name, torch.ops.symm_mem
    summed = [held]

    def one_shot() -> None:  # its result is a new tensor
        summed[0] = library.one_shot_all_reduce(held, "sum", group)

    def two_shot() -> None:
        summed[0] = library.two_shot_all_reduce_(held, "sum", group)

    for algorithm, call in (("one-shot", one_shot), ("two-shot", two_shot)):
        yield Operation(
            "all-reduce", algorithm, call, lambda: (held.copy_(mine), torch.cuda.synchronize(), dist.barrier()),
            lambda: int((summed[0] != total).sum()), held.zero_,
        )  # fmt: skip


def _pattern(count: int, rank: int, device: str) -> Any:
    """What a GPU brings."""
    return ((torch.arange(count, device=device) + rank) % PERIOD).to(torch.bfloat16)


def _total(count: int, world: int, device: str) -> Any:
    """The sum of what all bring."""
    at = torch.arange(count, device=device)
    return sum((at + rank) % PERIOD for rank in range(world)).to(torch.bfloat16)
