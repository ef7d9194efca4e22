"""Sweeps on a dask cluster of separate processes, of which some are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from sweep_fakes import FakePlan, evaluate, expected, killed_at_half, stamps

from attnsim import __version__
from attnsim.errors import InfeasibleError, MissingDataError, SpecError, UsageError
from attnsim.explore.execute import cluster
from attnsim.explore.execute.executors import Outcome, run_plan

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    # Nannies start a worker anew that dies, as those of a real cluster do.
    options = {"n_workers": 4, "threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0", "silence_logs": "CRITICAL"}
    with distributed.LocalCluster(**options) as made:
        yield made


def sweep(output: Path, plan: FakePlan, workers: Any, **options: Any) -> Outcome:
    return run_plan(plan, f"dask://{address(workers)}", output, evaluate=evaluate, **{"chunk": 100, **options})


def address(workers: Any) -> str:
    return str(workers.scheduler_address).removeprefix("tcp://")


def pids(workers: Any) -> dict[str, int]:
    with distributed.Client(workers.scheduler_address, set_as_default=False) as client:
        found: dict[str, int] = client.run(os.getpid)
    return found


def test_a_cluster_answers_as_one_process_does(tmp_path: Path, workers: Any) -> None:
    plan = FakePlan(4030)
    told: list[tuple[int, int]] = []
    done = sweep(tmp_path / "out", plan, workers, progress=lambda points, kept: told.append((points, kept)))
    assert (done.rows, done.computed, done.kept) == (expected(plan).num_rows, 41, 0)
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(plan))
    assert json.loads((tmp_path / "out" / "_plan.json").read_text())["complete"] is True
    assert told == sorted(told) and told[-1] == (4030, 0)
    sweep(tmp_path / "out.parquet", plan, workers)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").equals(expected(plan))


def test_a_worker_that_is_killed_loses_no_point(tmp_path: Path, workers: Any) -> None:
    plan = FakePlan(4000, delay_s=0.02)
    victims = pids(workers)
    killed: list[int] = []

    def kill(done: int, kept: int) -> None:
        if done >= 1000 and not killed:
            killed.append(min(victims.values()))
            os.kill(killed[0], signal.SIGKILL)

    done = sweep(tmp_path / "out", plan, workers, progress=kill)
    assert killed and done.computed == 40
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(plan))
    assert len(list((tmp_path / "out").glob("part-*"))) == 40


def test_all_workers_that_are_killed_lose_no_point(tmp_path: Path, workers: Any) -> None:
    plan = FakePlan(4000, delay_s=0.02)
    victims = pids(workers)
    killed: list[int] = []

    def kill(done: int, kept: int) -> None:
        if done >= 1000 and not killed:
            for pid in victims.values():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    sweep(tmp_path / "out", plan, workers, progress=kill)
    assert len(killed) >= 3  # a worker may just have been on its way back
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(plan))


def test_a_client_that_is_killed_can_be_resumed(tmp_path: Path, workers: Any) -> None:
    plan = FakePlan(4000, delay_s=0.03)
    out = tmp_path / "out"
    before = killed_at_half(f"dask://{address(workers)}", out, plan, 100)
    assert 20 <= len(before) < 40
    done = sweep(out, plan, workers, resume=True)
    assert (done.computed, done.kept) == (40 - len(before), len(before))
    assert before.items() <= stamps(out).items()
    table = pyarrow.parquet.read_table(out)
    assert table.equals(expected(plan))
    assert len(set(table["point"].to_pylist())) == table.num_rows


def test_a_chunk_that_kills_its_workers_is_named_and_the_rest_can_be_had(
    tmp_path: Path, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.scheduler, "allowed_failures", 0)  # innocent chunks beside it are lost, too; fewer workers have to die
    with pytest.raises(InfeasibleError, match="^points 400 to 499 kill their worker whenever they are tried"):
        sweep(tmp_path / "out", FakePlan(1000, deadly=(450,)), workers)
    sweep(tmp_path / "out", FakePlan(1000), workers, resume=True)
    assert pyarrow.parquet.read_table(tmp_path / "out").equals(expected(FakePlan(1000)))


def test_an_error_of_a_point_comes_back_as_it_was(tmp_path: Path, workers: Any) -> None:
    with pytest.raises(SpecError, match="^point 55 is wrong$"):
        sweep(tmp_path / "out", FakePlan(100, wrong=55), workers)
    assert not (tmp_path / "out").exists()


def test_workers_of_another_version_are_refused(tmp_path: Path, workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "__version__", "9.9")
    with pytest.raises(UsageError, match=rf"^worker \S+ runs attnsim {__version__}, this is 9\.9; install the same version on all$"):
        sweep(tmp_path / "out", FakePlan(100), workers)


def test_workers_without_attnsim_are_refused(tmp_path: Path, workers: Any) -> None:
    def hide() -> None:
        sys.modules["hidden"] = sys.modules.pop("attnsim", None)  # type: ignore[assignment]
        sys.modules["attnsim"] = None  # type: ignore[assignment]

    def show() -> None:
        del sys.modules["attnsim"]
        if (hidden := sys.modules.pop("hidden")) is not None:
            sys.modules["attnsim"] = hidden

    with distributed.Client(workers.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(4, timeout=60)  # those killed before are back
        client.run(hide)
        try:
            with pytest.raises(UsageError, match=rf"^worker \S+ has no attnsim, this is {__version__}; install the same version on all$"):
                sweep(tmp_path / "out", FakePlan(100), workers)
        finally:
            client.run(show)
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_workers_or_that_goes_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(cluster, "WORKERLESS_SECONDS", 0.6)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.3)
    with scheduler(tmp_path) as (process, port):
        place = f"tcp://127.0.0.1:{port}"
        with pytest.raises(UsageError) as caught:
            run_plan(FakePlan(100), f"dask://127.0.0.1:{port}", tmp_path / "out", evaluate=evaluate)
        assert str(caught.value) == f"the dask scheduler at {place} has no workers; start some with `dask worker {place}`"
        monkeypatch.setattr(cluster.Cluster, "_check_workers", lambda self: None)
        with pytest.raises(InfeasibleError) as lost:
            run_plan(FakePlan(100), f"dask://127.0.0.1:{port}", tmp_path / "out", evaluate=evaluate)
        gone = "; what is done is on the disk: start it again and add --resume"
        assert str(lost.value) == f"the dask scheduler at {place} has had no workers for 0.6 s{gone}"
        monkeypatch.setattr(cluster, "WORKERLESS_SECONDS", 60.0)
        threading.Timer(1.0, process.kill).start()
        with pytest.raises(InfeasibleError) as left:
            run_plan(FakePlan(100), f"dask://127.0.0.1:{port}", tmp_path / "out", evaluate=evaluate)
        assert str(left.value) == f"the dask scheduler at {place} went away{gone}"


def test_an_address_where_no_scheduler_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        for listens in ("nobody", "somebody who says nothing", "a web server"):
            if listens != "nobody":
                other.listen()
            if listens == "a web server":
                threading.Thread(target=serve, args=(other,), daemon=True).start()
            with pytest.raises(UsageError) as caught:
                run_plan(FakePlan(100), f"dask://127.0.0.1:{port}", tmp_path / "out", evaluate=evaluate)
            assert str(caught.value) == (
                f"no dask scheduler answers at tcp://127.0.0.1:{port} within 0.5 s; start one with `dask scheduler`, or correct HOST:PORT"
            )
    assert not list(tmp_path.iterdir())


def serve(listening: socket.socket) -> None:
    while True:
        try:
            taken, _ = listening.accept()
        except OSError:
            return
        with taken:
            taken.recv(10)
            taken.sendall(b"HTTP/1.0 400 Bad request\r\nContent-Type: text/html\r\n\r\n<html></html>\r\n")


def test_without_dask_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDataError) as caught:
        run_plan(FakePlan(100), "dask://node7:8786", tmp_path / "out", evaluate=evaluate)
    assert str(caught.value) == "dask://node7:8786 needs dask.distributed; pip install 'attnsim[cluster]'"


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A scheduler of its own process, without workers."""
    told = folder / "scheduler.json"
    options = ["--port", "0", "--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", str(told)]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (told.exists() and told.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process, int(json.loads(told.read_text())["address"].rpartition(":")[2])
    finally:
        process.kill()
        process.wait()
