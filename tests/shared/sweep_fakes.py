"""A plan that costs nothing, for tests of what carries sweeps: worker processes import it by name, so it is no test module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyarrow

from attnsim.errors import SpecError


@dataclass(frozen=True)
class FakePlan:
    """Points 0 to `count` - 1, of which those divisible by 7 are filtered out.

    Before each chunk: sleep `delay_s`, write the chunk's start as a file into `seen`, and, for chunks that hold a point of `deadly`, die;
    where `once` is set, only the first time.
    """

    count: int
    digest: str = "d1"
    delay_s: float = 0.0
    seen: Path | None = None
    deadly: tuple[int, ...] = ()
    once: bool = False
    wrong: int = -1

    def strike(self, start: int, stop: int) -> None:
        again = False
        if self.seen is not None:
            before = len(list(self.seen.glob(f"{start}.*")))
            (self.seen / f"{start}.{before}").touch()
            again = before > 0
        time.sleep(self.delay_s)
        if any(start <= point < stop for point in self.deadly) and not (self.once and again):
            os.kill(os.getpid(), signal.SIGKILL)
        if start <= self.wrong < stop:
            raise SpecError(f"point {self.wrong} is wrong")


def evaluate(plan: FakePlan, start: int, stop: int) -> pyarrow.Table:
    """`point`, a float and a text of it, and `error` for those divisible by 11."""
    plan.strike(start, stop)
    point = numpy.arange(start, stop, dtype=numpy.int64)
    point = point[point % 7 != 0]
    error = pyarrow.array([f"no {number}" if number % 11 == 0 else None for number in point.tolist()], pyarrow.string())
    return pyarrow.table(
        {"point": point, "latency_s": numpy.sqrt(point + 1.0), "arch": numpy.where(point % 2, "h100", "b200"), "error": error}
    )


def expected(plan: FakePlan) -> pyarrow.Table:
    """What a sweep of the plan has to hold."""
    return evaluate(FakePlan(plan.count), 0, plan.count)


def stamps(folder: Path) -> dict[str, int]:
    """When each part was written, in ns."""
    return {part.name: part.stat().st_mtime_ns for part in folder.glob("part-*.parquet")}


def killed_at_half(executor: str, folder: Path, plan: FakePlan, chunk: int) -> dict[str, int]:
    """Start a sweep in a process of its own and kill it with SIGKILL when half of its parts are there; the parts that then are."""
    client = Path(__file__).with_name("sweep_client.py")
    arguments = [executor, str(folder), str(plan.count), str(chunk), str(plan.delay_s)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), "SWEPT": str(folder)}
    process = subprocess.Popen([sys.executable, str(client), *arguments], env=environment, stderr=subprocess.PIPE)
    half = -(-plan.count // chunk) // 2
    while len(stamps(folder)) < half:
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    return stamps(folder)
