"""Times of collectives between the GPUs of one host, through NCCL and through symmetric memory, each replayed from a CUDA graph.

    python tools/measure_collectives.py OUT.csv

Needs PyTorch with NCCL and two GPUs or more. One process a GPU. A graph holds COUNT calls one after another, as a step of a model does, so
that launches from the host do not count; a replay starts after a barrier, and the slowest GPU's time is taken. Bytes are those of the whole
buffer of one GPU (all-reduce: N in and out; reduce-scatter: N in; all-gather: N out; all-to-all: N in and out). No NVLink
multicast.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

COUNT, REPLAYS = 20, 15
SIZES = [2**power for power in range(12, 29)] + [3 * 2**power for power in (12, 15, 18, 21)]


def graphed(call: Callable[[], object]) -> Callable[[], None]:
    """The call COUNT times, captured; run once or twice before, as NCCL sets itself up."""
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
        for _ in range(COUNT):
            call()
    return graph.replay


def timed(call: Callable[[], object]) -> list[float]:
    """Microseconds of one call in each replay, of the slowest GPU."""
    replay = graphed(call)
    times = []
    for _ in range(REPLAYS):
        dist.barrier()
        torch.cuda.synchronize()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / COUNT)
    seen = torch.tensor(times, device="cuda")
    dist.all_reduce(seen, op=dist.ReduceOp.MAX)
    return sorted(seen.tolist()[3:])


def extent(size: int) -> str:
    """A word for the size, to choose rows by."""
    return "small" if size <= 2**16 else "middle" if size <= 2**20 else "large"


def calls(size: int, rank: int, world: int) -> dict[tuple[str, str], Callable[[], object]]:
    """(operation, implementation) -> a call over `size` bytes of bf16."""
    whole = torch.ones(size // 2, dtype=torch.bfloat16, device="cuda")
    part = torch.ones(size // 2 // world, dtype=torch.bfloat16, device="cuda")
    other = torch.empty_like(whole)
    found: dict[tuple[str, str], Callable[[], object]] = {
        ("all-reduce", "nccl"): lambda: dist.all_reduce(whole),
        ("all-gather", "nccl"): lambda: dist.all_gather_into_tensor(whole, part),
        ("reduce-scatter", "nccl"): lambda: dist.reduce_scatter_tensor(part, whole),
        ("all-to-all", "nccl"): lambda: dist.all_to_all_single(other, whole),
    }
    if size <= 2**24:
        import torch.distributed._symmetric_memory as symm

        held = symm.empty(size // 2, dtype=torch.bfloat16, device="cuda")
        symm.rendezvous(held, dist.group.WORLD)
        held.fill_(1)
        group = dist.group.WORLD.group_name
        found["all-reduce", "one-shot"] = lambda: torch.ops.symm_mem.one_shot_all_reduce(held, "sum", group)
        found["all-reduce", "two-shot"] = lambda: torch.ops.symm_mem.two_shot_all_reduce_(held, "sum", group)
    return found


def work(rank: int, world: int, target: str) -> None:
    """One GPU."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29511")
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", rank=rank, world_size=world, device_id=torch.device("cuda", rank))
    rows = []
    for size in sorted(SIZES):
        for (operation, implementation), call in calls(size, rank, world).items():
            try:
                times = timed(call)
            except RuntimeError as error:
                if rank == 0:
                    print("left out:", operation, implementation, size, str(error)[:200], flush=True)
                continue
            middle, least, most = (round(value, 3) for value in (times[len(times) // 2], times[0], times[-1]))
            rows.append([f"{operation} {implementation}", world, size, extent(size), middle, least, most])
    if rank == 0:
        with open(target, "w", newline="") as file:
            version = ".".join(map(str, torch.cuda.nccl.version()))
            device = f"{world} x {torch.cuda.get_device_name()}"
            file.write(f"# {device}; torch {torch.__version__}, NCCL {version}, multicast off; {time.strftime('%Y-%m-%d')}\n")
            file.write("# python tools/measure_collectives.py OUT.csv\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["kernel", "gpus", "bytes", "extent", "median_us", "least_us", "most_us"])
            writer.writerows(rows)
        print(len(rows), "rows", flush=True)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    gpus = torch.cuda.device_count()
    mp.spawn(work, args=(gpus, sys.argv[1]), nprocs=gpus)
