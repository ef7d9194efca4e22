"""A sweep on a dask cluster of 4 worker processes whose client is killed at the half and resumed, and another one that loses a worker.

    python benchmarks/cluster_sweep.py [--points 1000000] [--chunk 10000] [--folder FOLDER]

Both are `attnsim sweep ... --executor dask://...` as a user runs it. Each dataset is then compared with a local run of the same sweep,
point by point. Prints the figures; the exit code is 1 unless every point is there exactly once, no chunk that was on the disk was
computed again, and all is equal.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet

WORKERS = 4


@dataclass(frozen=True)
class Sweep:
    """`attnsim sweep` of sequence lengths by batches of a decode step."""

    lengths: int
    batches: int
    chunk: int

    @property
    def points(self) -> int:
        return self.lengths * self.batches

    @property
    def chunks(self) -> int:
        return -(-self.points // self.chunk)

    def start(self, output: Path, *options: str) -> subprocess.Popen[bytes]:
        axes = ("--vary", f"sizes.B=1..{self.batches}:+1", "--vary", f"sizes.M=64..{64 * self.lengths}:+64")
        command = (sys.executable, "-m", "attnsim", "sweep", "llama3-8b-decode", "h100_sxm", *axes, "-o", str(output), "-q", *options)
        return subprocess.Popen(command)

    def run(self, output: Path, *options: str) -> float:
        """Seconds that a whole sweep takes."""
        began = time.perf_counter()
        code = self.start(output, *options).wait()
        if code:
            sys.exit(f"attnsim sweep failed with exit code {code}")
        return time.perf_counter() - began


def stamps(folder: Path) -> dict[str, int]:
    """When each part was written, in ns."""
    return {part.name: part.stat().st_mtime_ns for part in folder.glob("part-*.parquet")}


def wait_for_parts(folder: Path, count: int, client: subprocess.Popen[bytes]) -> None:
    while sum(1 for _ in folder.glob("part-*.parquet")) < count:
        if client.poll() is not None:
            sys.exit(f"attnsim sweep ended before {count} parts were there, with exit code {client.returncode}: take more points")
        time.sleep(0.005)


def tell(what: str, **figures: float | int | str) -> None:
    words = [f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in figures.items()]
    print(f"{what:<38}{', '.join(words)}", flush=True)


def rate(sweep: Sweep, seconds: float) -> dict[str, float | int | str]:
    return {"points": sweep.points, "chunks": sweep.chunks, "seconds": f"{seconds:.1f}", "points/s": f"{sweep.points / seconds:,.0f}"}


def compared(folder: Path, local: Path, points: int) -> dict[str, float | int | str]:
    """Points that are there twice or not at all, columns that differ in type or text, and the largest relative difference of a number."""
    point = pyarrow.parquet.read_table(folder, columns=["point"])["point"].to_numpy()
    times = numpy.bincount(point, minlength=points)
    largest, unequal = 0.0, 0
    schema = pyarrow.parquet.read_schema(local)
    unequal += not schema.remove_metadata().equals(pyarrow.parquet.read_schema(next(folder.glob("part-*"))).remove_metadata())
    for name in schema.names:  # one at a time: all together would be gigabytes
        one, other = (pyarrow.parquet.read_table(path, columns=[name])[name].combine_chunks() for path in (folder, local))
        if one.equals(other):
            continue
        if pyarrow.types.is_floating(one.type) and len(one) == len(other) and one.is_null().equals(other.is_null()):
            ours, theirs = one.drop_null().to_numpy(), other.drop_null().to_numpy()
            largest = max(largest, float(numpy.max(numpy.abs(ours - theirs) / numpy.maximum(numpy.abs(theirs), 1e-300))))
        else:
            unequal += 1
    return {
        "duplicates": int(numpy.sum(times[times > 1] - 1)), "missing": int(numpy.sum(times == 0)), "columns": len(schema.names),
        "unequal columns": unequal, "largest difference": f"{largest:.3g}",
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to leave the outputs; a temporary one if not given")
    given = parser.parse_args()
    batches = max(1, round(given.points**0.5))
    sweep = Sweep(-(-given.points // batches), batches, given.chunk)
    if given.folder is not None:
        return check(sweep, given.folder)
    with tempfile.TemporaryDirectory() as folder:
        return check(sweep, Path(folder))


def check(sweep: Sweep, folder: Path) -> int:
    from distributed import Client, LocalCluster

    local = folder / "local.parquet"
    tell("local", **rate(sweep, sweep.run(local, "--executor", "local")))
    good = True
    options: dict[str, Any] = {"n_workers": WORKERS, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**options, silence_logs="CRITICAL") as cluster, Client(cluster) as client:
        flags = ("--executor", cluster.scheduler_address.replace("tcp://", "dask://"), "--chunk", str(sweep.chunk))

        resumed = folder / "resumed"
        began = time.perf_counter()
        killed = sweep.start(resumed, *flags)
        wait_for_parts(resumed, sweep.chunks // 2, killed)
        killed.kill()
        killed.wait()
        before = stamps(resumed)
        tell("client killed (SIGKILL)", chunks=sweep.chunks, chunks_on_disk=len(before), seconds=f"{time.perf_counter() - began:.1f}")
        seconds = sweep.run(resumed, *flags, "--resume")
        again = sum(stamps(resumed)[name] != stamp for name, stamp in before.items())
        computed = sweep.chunks - len(before)
        tell("  resumed", chunks_computed=computed, recomputed_chunks=again, seconds=f"{seconds:.1f}",
             **{"points/s": f"{computed * sweep.chunk / seconds:,.0f}"})  # fmt: skip
        found = compared(resumed, local, sweep.points)
        tell("  against the local run", **found)
        good &= not again and is_equal(found)

        hurt = folder / "hurt"
        began = time.perf_counter()
        running = sweep.start(hurt, *flags)
        wait_for_parts(hurt, sweep.chunks // 4, running)
        victim = min(client.run(os.getpid).values())
        os.kill(victim, signal.SIGKILL)
        tell("worker killed (SIGKILL)", chunks_on_disk=len(stamps(hurt)), seconds=f"{time.perf_counter() - began:.1f}")
        code = running.wait()
        tell("  went on", exit_code=code, **rate(sweep, time.perf_counter() - began))
        found = compared(hurt, local, sweep.points)
        tell("  against the local run", **found)
        good &= code == 0 and is_equal(found)
    print("all points exactly once and equal to the local run" if good else "NOT equal to the local run")
    return 0 if good else 1


def is_equal(found: dict[str, float | int | str]) -> bool:
    return (found["duplicates"], found["missing"], found["unequal columns"], found["largest difference"]) == (0, 0, 0, "0")


if __name__ == "__main__":
    sys.exit(main())
