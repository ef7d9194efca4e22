"""Chunks of a sweep on a dask cluster that is there already."""

from __future__ import annotations

import logging
import pickle
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from attnsim import __version__
from attnsim.errors import InfeasibleError, MissingDataError, UsageError
from attnsim.explore.execute.executors import Answer, Job
from attnsim.explore.output.dataset import Chunk

CONNECT_SECONDS: Final = 10.0
"""How long to wait for a scheduler to answer, and then for its first worker."""
WORKERLESS_SECONDS: Final = 60.0
"""How long a sweep may be without any worker: theirs may be on the way back."""
LOOK_SECONDS: Final = 5.0
"""Between looks at the workers while no answer comes."""
_LOGGERS: Final = ("distributed", "distributed.client")


def address_of(executor: str) -> str:
    """The scheduler's address as dask writes it: dask://node7:8786 is tcp://node7:8786.

    Raises: UsageError.
    """
    try:
        parts = urlsplit(executor)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or too large
        host = port = None
    if not host or not port or parts.netloc.count("@") or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"cannot read executor {executor!r}; write dask://HOST:PORT, the scheduler's own port is 8786 as a rule")
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


class Cluster:
    """A scheduler of dask.distributed and whatever workers it has.

    Raises: MissingDataError without dask.distributed; UsageError if no scheduler answers, it has no workers, or they run another attnsim.
    """

    def __init__(self, job: Job, executor: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise MissingDataError(f"{executor} needs dask.distributed; pip install 'attnsim[cluster]'") from None
        # Its own lines about connections that fail would stand beside ours, which say what it means.
        self._levels = {name: logging.getLogger(name).level for name in _LOGGERS}
        self._log(dict.fromkeys(_LOGGERS, logging.CRITICAL))
        self._address = address_of(executor)
        connected = _within(CONNECT_SECONDS, Client, self._address)
        if connected is None:
            self._log(self._levels)
            raise UsageError(
                f"no dask scheduler answers at {self._address} within {CONNECT_SECONDS:g} s; start one with `dask scheduler`, or correct "
                "HOST:PORT"
            )
        self._client = connected
        try:
            self._check_workers()
            self._run = uuid4().hex[:12]
            # A task whose value every chunk needs: the plan travels to the scheduler once and to each worker once. It is not scattered,
            # for scattered data is lost with the workers that hold it, while a task is done again.
            self._load, self._answer = _functions()
            self._job = self._client.submit(self._load, pickle.dumps(job), key=f"attnsim-plan-{self._run}", pure=False)
            self._chunks: dict[Any, Chunk] = {}
            self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
            self._submitted = 0
        except BaseException:
            self.close()
            raise

    def _log(self, levels: dict[str, int]) -> None:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise UsageError(
                f"the dask scheduler at {self._address} has no workers; start some with `dask worker {self._address}`"
            ) from None
        for worker, version in sorted(self._client.run(_version_function(), on_error="ignore").items()):
            if version != __version__:
                runs = f"runs attnsim {version}" if version else "has no attnsim"
                raise UsageError(f"worker {worker} {runs}, this is {__version__}; install the same version on all")

    def room(self) -> int:
        """Two chunks a thread: one it computes, one that waits for it. Workers may come and go."""
        return max(1, 2 * self._threads() - len(self._chunks))

    def submit(self, chunk: Chunk) -> None:
        """To a worker of the scheduler's choice."""
        self._submitted += 1
        key = f"attnsim-chunk-{self._run}-{chunk.number}-{self._submitted}"
        # What a chunk raises it would raise again, so it is not retried. When a worker dies, the scheduler gives all its chunks to
        # others, up to the cluster's own `allowed-failures` (3) times; only then is it our turn (KilledWorker).
        place = chunk.number, chunk.start, chunk.stop
        future: Any = self._client.submit(self._answer, self._job, *place, key=key, pure=False, retries=0)
        self._chunks[future] = chunk
        future.add_done_callback(self._done.put)

    def completed(self) -> Iterable[Answer]:
        """As they are done. A chunk that was there whenever a worker died is lost, which may be chance."""
        from distributed import KilledWorker

        answers = []
        for future in self._next():
            chunk = self._chunks.pop(future)
            try:
                answers.append(Answer(chunk, future.result()))
            except KilledWorker:  # the scheduler's retries were the tries in company; what is left is the one alone
                answers.append(Answer(chunk, None, losses=2))
            except (CancelledError, OSError):
                if future.status == "error":  # the chunk's own exception, none of the connection
                    raise
                raise self._gone("dropped the work" if self._client.status == "running" else "went away") from None
        return answers

    def _next(self) -> list[Any]:
        """At least one future that is done."""
        without = 0.0
        while True:
            try:
                found = [self._done.get(timeout=LOOK_SECONDS)]
                break
            except queue.Empty:
                without = 0.0 if self._threads() else without + LOOK_SECONDS
                if without >= WORKERLESS_SECONDS:
                    raise self._gone(f"has had no workers for {without:g} s") from None
        while not self._done.empty():
            found.append(self._done.get())
        return found

    def _threads(self) -> int:
        try:
            return sum(self._client.nthreads().values())
        except OSError:
            raise self._gone("went away") from None

    def _gone(self, why: str) -> InfeasibleError:
        return InfeasibleError(f"the dask scheduler at {self._address} {why}; what is done is on the disk: start it again and add --resume")

    def close(self) -> None:
        """Chunks in flight are given up; the cluster stays."""
        self._client.close()
        self._log(self._levels)


def _within(seconds: float, client: Any, address: str) -> Any:
    """A client that is connected; None if that does not come about in time.

    A thread waits, for dask does so without end where something that is no scheduler takes the connection and says nothing.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def connect() -> None:
        try:
            answers.put(client(address, timeout=seconds, set_as_default=False, name="attnsim"))
        except (OSError, ValueError, TimeoutError, MemoryError):  # the last: words of another protocol, read as a length
            answers.put(None)

    threading.Thread(target=connect, daemon=True).start()
    try:
        return answers.get(timeout=seconds + 1)
    except queue.Empty:
        return None


def _functions() -> tuple[Callable[..., Any], Callable[..., bytes]]:
    # Functions made inside another travel whole, not by name, and the job as bytes: the scheduler reads all that passes through it, and
    # need not have attnsim. (Workers do; they are asked before.)
    def attnsim_plan(job: bytes) -> Any:
        import pickle

        return pickle.loads(job)

    def attnsim_chunk(job: Any, number: int, start: int, stop: int) -> bytes:
        from attnsim.explore.output.dataset import Chunk

        content: bytes = job.answer(Chunk(number, start, stop))
        return content

    return attnsim_plan, attnsim_chunk


def _version_function() -> Callable[[], str]:
    # By the same means a worker without attnsim can run it, too.
    def version() -> str:
        try:
            from attnsim import __version__ as found
        except ImportError:
            return ""
        return found

    return version
