"""Sweeps in processes: the same points as in one, whoever dies."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import FakePlan, evaluate, expected, killed_at_half, stamps

from attnsim.errors import InfeasibleError, SpecError, UsageError
from attnsim.explore.build import build_plan
from attnsim.explore.execute import executors
from attnsim.explore.execute.executors import Answer, Engine, Job, Outcome, check_executor, run_plan
from attnsim.explore.execute.local import run_local
from attnsim.explore.output.dataset import Chunk
from attnsim.explore.output.sinks import Frames
from attnsim.explore.plan.axes import vary


def sweep(output: Path, plan: FakePlan, executor: str = "processes:2", **options: Any) -> Outcome:
    return run_plan(plan, executor, output, evaluate=evaluate, **{"chunk": 100, **options})


def test_processes_answer_as_one_does(tmp_path: Path) -> None:
    plan = FakePlan(3030)
    told: list[tuple[int, int]] = []
    done = sweep(tmp_path / "out", plan, progress=lambda points, kept: told.append((points, kept)))
    assert (done.computed, done.kept) == (31, 0)
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(plan))
    assert len(told) == 32 and told == sorted(told) and told[-1] == (3030, 0)


def test_a_real_plan_travels(tmp_path: Path) -> None:
    axes = [vary("arch", "h100_sxm,h200"), vary("sizes.B", "1..5:+1"), vary("sizes.M", "1k..8k:log2")]
    plan = build_plan("llama3-8b-decode", None, axes, ["sizes.B != 3"])
    run_plan(plan, "processes:2", tmp_path / "out", chunk=7)
    one = Frames(plan.schema)
    run_local(plan, one)
    found = pyarrow.parquet.read_table(tmp_path / "out")
    assert found.num_rows == 32 and found.equals(one.table())
    assert json.loads((tmp_path / "out" / "_plan.json").read_text())["digest"] == plan.digest


def test_a_worker_that_is_killed_loses_no_point(tmp_path: Path) -> None:
    plan = FakePlan(3000, delay_s=0.01)
    killed: list[int] = []

    def kill(done: int, kept: int) -> None:
        if done >= 1000 and not killed:
            child = multiprocessing.active_children()[0]
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            killed.append(child.pid)

    done = sweep(tmp_path / "out", plan, progress=kill)
    assert killed and done.computed == 30
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(plan))


def test_a_chunk_that_kills_its_worker_once_is_tried_again(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    plan = FakePlan(1000, seen=seen, deadly=(450,), once=True)
    sweep(tmp_path / "out", plan)
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(plan))
    assert {path.name for path in seen.glob("400.*")} == {"400.0", "400.1"}


def test_a_chunk_that_always_kills_its_worker_is_named_and_no_other(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    with pytest.raises(InfeasibleError) as caught:
        sweep(tmp_path / "out", FakePlan(1000, seen=seen, deadly=(450,)))
    assert str(caught.value) == (
        "points 400 to 499 kill their worker whenever they are tried, most often for lack of memory; "
        "try a smaller --chunk, with another output"
    )
    assert {path.name for path in seen.glob("400.*")} == {"400.0", "400.1", "400.2"}
    before = stamps(tmp_path / "out")
    assert before
    done = sweep(tmp_path / "out", FakePlan(1000), "local", resume=True)
    assert done.kept == len(before) and before.items() <= stamps(tmp_path / "out").items()
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(FakePlan(1000)))


def test_a_client_that_is_killed_can_be_resumed_and_leaves_no_process(tmp_path: Path) -> None:
    plan = FakePlan(3000, delay_s=0.02)
    out = tmp_path / "out"
    before = killed_at_half("processes:2", out, plan, 100)
    assert 15 <= len(before) < 30
    deadline = time.monotonic() + 30
    while _processes_of(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _processes_of(out)
    done = sweep(out, plan, resume=True)
    assert (done.computed, done.kept) == (30 - len(before), len(before))
    assert before.items() <= stamps(out).items()
    assert pyarrow.parquet.read_table(out).equals(expected(plan))


def test_an_error_of_a_point_comes_back_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="^point 555 is wrong$"):
        sweep(tmp_path / "out", FakePlan(1000, wrong=555, delay_s=0.01))
    assert not multiprocessing.active_children()


def test_workers_that_do_not_start_are_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\nimport sweep_fakes\nfrom attnsim.explore.execute.executors import run_plan\n"
        "run_plan(sweep_fakes.FakePlan(10), 'processes:1', Path('out'), evaluate=sweep_fakes.evaluate)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "attnsim.errors.UsageError: the worker processes do not start (their own words are above); a script that sweeps with processes "
        'has to do so under `if __name__ == "__main__":`'
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("good", ["local", "processes", "processes:16", "dask://node7:8786", "dask://[::1]:8786", "dask://10.0.0.1:80/"])
def test_executors(good: str) -> None:
    check_executor(good)


@pytest.mark.parametrize("bad", ["", "Local", "threads", "processes:", "processes:0", "processes:-1", "processes:two", "ray://a:1"])
def test_what_is_no_executor(tmp_path: Path, bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        sweep(tmp_path / "out", FakePlan(10), bad)
    assert str(caught.value) == (f"cannot read executor {bad!r}; write local, processes, processes:N (N workers) or dask://HOST:PORT")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bad", ["dask://", "dask://node", "dask://node:x", "dask://node:99999", "dask://:8786", "dask://a@node:1/x"])
def test_what_is_no_address(bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_executor(bad)
    assert str(caught.value) == f"cannot read executor {bad!r}; write dask://HOST:PORT, the scheduler's own port is 8786 as a rule"


def test_a_worker_of_another_version_refuses() -> None:
    with pytest.raises(UsageError, match=r"^a worker runs attnsim \S+, this is 9\.9; install the same version on all$"):
        Job(FakePlan(10), evaluate, "9.9").answer(Chunk(0, 0, 10))


class Unlucky:
    """An engine that answers in an order of its own, answers some chunks twice over time, and loses workers as `draw` says."""

    def __init__(self, job: Job, draw: Any, deadly: set[int]) -> None:
        self.job, self.draw, self.deadly = job, draw, deadly
        self.flying: list[Chunk] = []
        self.most = 0

    def room(self) -> int:
        return 4 - len(self.flying)

    def submit(self, chunk: Chunk) -> None:
        self.flying.append(chunk)
        self.most = max(self.most, len(self.flying))

    def completed(self) -> Iterable[Answer]:
        if any(chunk.number in self.deadly for chunk in self.flying) or (len(self.flying) > 1 and self.draw(st.integers(0, 5)) == 0):
            lost, self.flying = self.flying, []
            return [Answer(chunk, None, losses=1) for chunk in lost]
        chunk = self.flying.pop(self.draw(st.integers(0, len(self.flying) - 1)))
        return [Answer(chunk, self.job.answer(chunk))]

    def close(self) -> None:
        self.flying.clear()


@settings(max_examples=30)  # each writes files
@given(data=st.data(), deadly=st.sets(st.integers(0, 11), max_size=2))
def test_only_a_chunk_that_kills_alone_is_blamed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, deadly: set[int]) -> None:
    folder = tmp_path_factory.mktemp("sweep") / "out"
    engines: list[Unlucky] = []

    def engine(executor: str, job: Job) -> Engine:
        engines.append(Unlucky(job, data.draw, deadly))
        return engines[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "_engine", engine)
        patch.setattr(os, "fsync", lambda handle: None)
        try:
            sweep(folder, FakePlan(120), chunk=10)
        except InfeasibleError as error:
            assert any(str(error).startswith(f"points {10 * number} to {10 * number + 9} kill") for number in deadly)
        else:
            assert not deadly
            assert pyarrow.parquet.read_table(folder).equals(expected(FakePlan(120)))
    assert engines[0].most <= 4


def test_an_interrupt_ends_the_workers_in_the_middle_of_a_chunk(tmp_path: Path) -> None:
    def interrupt(done: int, kept: int) -> None:
        if done:
            raise KeyboardInterrupt

    began = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "out", FakePlan(1000, delay_s=0.3), progress=interrupt)
    assert not multiprocessing.active_children()
    assert threading.active_count() <= began
    assert len(stamps(tmp_path / "out")) == 1


def _processes_of(folder: Path) -> list[str]:
    """Processes that were started with the mark of `killed_at_half`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SWEPT={folder}".encode() in entry.read_bytes().split(b"\0"):
                found.append(entry.parent.name)
        except OSError:
            continue
    return found
