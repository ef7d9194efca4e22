"""Where the chunks of a sweep are computed: in this process, in processes of this machine, or on a dask cluster.

`run_plan` keeps a bounded number of chunks in flight and writes each as it comes back. The writing is done here, by the one process that
holds the output: workers on other machines may not share its disk, and one writer needs no agreement about who writes what. Workers send
the finished Parquet file, a compressed fraction of the table, so that encoding is theirs.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from attnsim import __version__
from attnsim.errors import InfeasibleError, UsageError
from attnsim.explore.output.dataset import Chunk, Dataset, Header, concatenate, encode, open_dataset, remove, told_by, totals_of

if TYPE_CHECKING:
    import pyarrow

# Points of a chunk, if not given: enough chunks for many workers, but none so small that its file is mostly footer.
_LEAST, _MOST, _CHUNKS = 1_000, 50_000, 256

# A chunk whose worker was lost goes back among the others once; from the second loss on it runs alone, so that at the third it is known
# which chunk it is that kills workers.
_SHARED: Final = 2
_TRIES: Final = 3

_FORMS: Final = "local, processes, processes:N (N workers) or dask://HOST:PORT"


class PlanLike(Protocol):
    """What is asked of a plan here; it travels to workers by pickle."""

    @property
    def count(self) -> int:
        """Points before filters."""

    @property
    def digest(self) -> str:
        """Two plans with the same digest have the same answers."""


Evaluate = Callable[[Any, int, int], "pyarrow.Table"]
"""Answers points start to stop - 1 of a plan; a function of a module, since it travels to workers by name."""


def evaluate(plan: Any, start: int, stop: int) -> pyarrow.Table:
    """Points `start` to `stop` - 1 of a plan that pass its filters, one row each."""
    from attnsim.explore.answer.points import evaluate_settings

    return evaluate_settings(plan, plan.settings(start, stop))


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker holds once: the plan, and how its points are answered."""

    plan: PlanLike
    evaluate: Evaluate
    version: str = __version__

    def answer(self, chunk: Chunk) -> bytes:
        """The chunk's Parquet file.

        Raises: UsageError where this process runs another version of attnsim than the one that sent the job.
        """
        if self.version != __version__:
            raise UsageError(f"a worker runs attnsim {__version__}, this is {self.version}; install the same version on all")
        return encode(self.evaluate(self.plan, chunk.start, chunk.stop), chunk, self.plan.digest)


@dataclass(frozen=True, slots=True)
class Answer:
    """A chunk that came back: with its file, or, `content` None, lost together with its worker `losses` times."""

    chunk: Chunk
    content: bytes | None
    losses: int = 0


class Engine(Protocol):
    """The one interface of all executors."""

    def room(self) -> int:
        """How many more chunks to submit now: enough that no worker waits, few enough that memory stays bounded."""

    def submit(self, chunk: Chunk) -> None:
        """Have a chunk computed; returns at once."""

    def completed(self) -> Iterable[Answer]:
        """Wait for at least one of the chunks submitted, in whatever order they are done."""

    def close(self) -> None:
        """Let go of the workers; what is still computed is given up."""


class Local:
    """This process, one chunk at a time."""

    def __init__(self, job: Job) -> None:
        self._job, self._chunks = job, deque[Chunk]()

    def room(self) -> int:
        """One chunk at a time."""
        return 1 - len(self._chunks)

    def submit(self, chunk: Chunk) -> None:
        """Kept until it is asked for."""
        self._chunks.append(chunk)

    def completed(self) -> Iterable[Answer]:
        """Compute it now."""
        chunk = self._chunks.popleft()
        return [Answer(chunk, self._job.answer(chunk))]

    def close(self) -> None:
        """Nothing to let go of."""


class Processes:
    """A pool of processes of this machine; made anew when one of them dies."""

    def __init__(self, job: Job, workers: int) -> None:
        import multiprocessing
        from concurrent.futures import Future

        self._job, self._workers = job, workers
        # Spawned, not forked: the threads of numpy, pyarrow and numba do not survive a fork.
        self._context = multiprocessing.get_context("spawn")
        self._futures: dict[Future[bytes], Chunk] = {}
        self._start()

    def _start(self) -> None:
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool

        # Nothing is ever sent: workers see its end when this process closes it, or dies by any means, and leave.
        self._watched, self._alive = self._context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(self._workers, self._context, _enter_worker, (self._job, self._watched))
        try:
            self._pool.submit(os.getpid).result()
        except BrokenProcessPool:
            self.close()
            raise UsageError(
                "the worker processes do not start (their own words are above); a script that sweeps with processes has to do so "
                'under `if __name__ == "__main__":`'
            ) from None

    def room(self) -> int:
        """Two chunks a worker: one it computes, one that waits for it."""
        return 2 * self._workers - len(self._futures)

    def submit(self, chunk: Chunk) -> None:
        """To the next worker that is free."""
        from concurrent.futures import Future
        from concurrent.futures.process import BrokenProcessPool

        try:
            future = self._pool.submit(_work, chunk)
        except BrokenProcessPool as error:  # a worker died since; `completed` sees to it
            future = Future()
            future.set_exception(error)
        self._futures[future] = chunk

    def completed(self) -> Iterable[Answer]:
        """As they are done; after the death of a worker all that were in flight are back, most of them lost."""
        from concurrent.futures import FIRST_COMPLETED, wait
        from concurrent.futures.process import BrokenProcessPool

        done = wait(self._futures, return_when=FIRST_COMPLETED).done
        broken = any(isinstance(future.exception(), BrokenProcessPool) for future in done)
        if broken:
            done = wait(self._futures).done  # the pool ends all of them
        answers = []
        for future in done:
            chunk = self._futures.pop(future)
            lost = isinstance(future.exception(), BrokenProcessPool)
            answers.append(Answer(chunk, None, losses=1) if lost else Answer(chunk, future.result()))
        if broken:
            self.close()
            self._start()
        return answers

    def close(self) -> None:
        """Workers leave at once, in the middle of a chunk if need be."""
        self._alive.close()
        self._pool.shutdown(cancel_futures=True)
        self._watched.close()
        self._futures.clear()


_job: Job | None = None  # of a worker process


def _enter_worker(job: Job, watched: Connection) -> None:
    import signal
    import threading

    global _job
    _job = job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is answered by the process that the person started
    threading.Thread(target=_leave_with, args=(watched,), daemon=True).start()


def _leave_with(watched: Connection) -> None:
    watched.poll(None)
    os._exit(1)


def _work(chunk: Chunk) -> bytes:
    assert _job is not None
    return _job.answer(chunk)


def check_executor(executor: str) -> None:
    """Refuse what is no executor, before any work is done.

    Raises: UsageError.
    """
    if executor in ("local", "processes") or re.fullmatch(r"processes:[1-9]\d{0,3}", executor):
        return
    if executor.startswith("dask://"):
        from attnsim.explore.execute.cluster import address_of

        address_of(executor)
        return
    raise UsageError(f"cannot read executor {executor!r}; write {_FORMS}")


def _engine(executor: str, job: Job) -> Engine:
    if executor == "local":
        return Local(job)
    if executor.startswith("processes"):
        return Processes(job, int(executor.partition(":")[2] or _processors()))
    from attnsim.explore.execute.cluster import Cluster

    return Cluster(job, executor)


def _processors() -> int:
    # Those this process may use, which on a shared machine or in a container are not all.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `run_plan` did: rows in the output, those without an answer and why the first has none; chunks computed and found done."""

    path: Path
    rows: int
    refused: int
    why: str
    computed: int
    kept: int


Progress = Callable[[int, int], None]
"""Told after each chunk: points done, and those of them found done at the start."""


def run_plan(
    plan: PlanLike,
    executor: str,
    output: Path,
    *,
    chunk: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    about: Mapping[str, Any] | None = None,
    evaluate: Evaluate = evaluate,
) -> Outcome:
    """Compute all points of a plan into Parquet: the folder `output` with a file a chunk, or one file if the name has an ending.

    `executor` is local, processes, processes:N or dask://HOST:PORT. `chunk` is the number of points computed and written together; if
    not given, that of the sweep that is resumed, else 1 000 to 50 000 by their number. With `resume` the chunks on the disk are kept.
    `about` tells in plain JSON what is swept; it is written beside the points, and says what differs when a resumed sweep is another.

    Raises: UsageError for an executor, an output or a cluster that cannot be used; MissingDataError without dask; InfeasibleError for a
    chunk that kills its workers or a cluster that goes away; and what the evaluation of a point raises.
    """
    check_executor(executor)
    if chunk is not None and chunk < 1:
        raise UsageError(f"a chunk has 1 point or more, not {chunk}")
    size = chunk or max(_LEAST, min(_MOST, -(-plan.count // _CHUNKS)))
    header = Header(plan.digest, __version__, plan.count, size, about or {})
    output = output.resolve() if output.is_symlink() else output
    single = bool(output.suffix) and not output.is_dir()
    folder = output.with_name(f".{output.name}.parts") if single else output
    if single and resume and output.exists():
        done = (told_by(output) or {}).get("digest") == header.digest
        if done:  # maybe all but the last step, taking the folder away
            remove(folder)
            totals = totals_of([output])
            return Outcome(output, totals.rows, totals.refused, totals.why, 0, header.chunks)
        if not folder.exists():
            raise UsageError(f"cannot resume {str(output)!r}: it holds something else; leave --resume out to replace it")
    with open_dataset(folder, header, resume=resume, chunk_given=chunk is not None) as dataset:
        if dataset.missing:
            with closing(_engine(executor, Job(plan, evaluate))) as engine:
                _drive(engine, dataset, progress or (lambda done, kept: None))
        dataset.finish()
        totals = dataset.totals()
        if single:
            concatenate(dataset, output)
            remove(folder)
    computed = len(dataset.missing)
    return Outcome(output, totals.rows, totals.refused, totals.why, computed, dataset.header.chunks - computed)


def _drive(engine: Engine, dataset: Dataset, progress: Progress) -> None:
    waiting, lost, flying = deque(dataset.missing), deque[Chunk](), set[Chunk]()
    losses: Counter[Chunk] = Counter()
    done = kept = dataset.header.count - sum(chunk.stop - chunk.start for chunk in dataset.missing)
    progress(done, kept)

    def take() -> Chunk | None:
        """The next chunk that may join those in flight."""
        if losses and any(losses[chunk] >= _SHARED for chunk in flying):
            return None  # one that is to run alone
        if lost and losses[lost[0]] >= _SHARED and flying:
            return None
        return lost.popleft() if lost else waiting.popleft() if waiting else None

    while waiting or lost or flying:
        for _ in range(engine.room()):
            if (chunk := take()) is None:
                break
            engine.submit(chunk)
            flying.add(chunk)
        for answer in engine.completed():
            flying.discard(answer.chunk)
            if answer.content is None:
                losses[answer.chunk] += answer.losses
                _check_losses(answer.chunk, losses[answer.chunk])
                lost.append(answer.chunk)
                continue
            dataset.write(answer.chunk, answer.content)
            done += answer.chunk.stop - answer.chunk.start
            progress(done, kept)


def _check_losses(chunk: Chunk, losses: int) -> None:
    if losses >= _TRIES:
        raise InfeasibleError(
            f"points {chunk.start} to {chunk.stop - 1} kill their worker whenever they are tried, most often for lack of memory; "
            "try a smaller --chunk, with another output"
        )
