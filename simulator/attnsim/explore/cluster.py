"""Chunks of a sweep on a dask cluster that is there already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from attnsim import __version__
from attnsim.errors import InfeasibleError, MissingDataError, UsageError
from attnsim.explore.dataset import Chunk
from attnsim.explore.executors import Answer, Job

CONNECT_SECONDS: Final = 10.0
"""How long to wait for a scheduler to answer, and then for its first worker."""


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
            from distributed import Client, as_completed
        except ImportError:
            raise MissingDataError(f"{executor} needs dask.distributed; pip install 'attnsim[cluster]'") from None
        # Its own lines about a connection that fails would stand beside ours, which say what it means.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self._address = address_of(executor)
        try:
            self._client = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False, name="attnsim")
        except (OSError, ValueError, TimeoutError):
            raise UsageError(
                f"no dask scheduler answers at {self._address} within {CONNECT_SECONDS:g} s; start one with `dask scheduler`, or correct "
                "HOST:PORT"
            ) from None
        try:
            self._check_workers()
            self._run = uuid4().hex[:12]
            # A task whose value every chunk needs: the plan travels to the scheduler once and to each worker once. It is not scattered,
            # for scattered data is lost with the workers that hold it, while a task is done again.
            self._job = self._client.submit(_same, job, key=f"attnsim-plan-{self._run}", pure=False)
            self._chunks: dict[Any, Chunk] = {}
            self._completed = as_completed([], loop=self._client.loop, raise_errors=False)
            self._submitted = 0
        except BaseException:
            self._client.close()
            raise

    def _check_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise UsageError(
                f"the dask scheduler at {self._address} has no workers; start some with `dask worker {self._address}`"
            ) from None
        for worker, version in sorted(self._client.run(_version_function()).items()):
            if version != __version__:
                runs = f"runs attnsim {version}" if version else "has no attnsim"
                raise UsageError(f"worker {worker} {runs}, this is {__version__}; install the same version on all")

    def room(self) -> int:
        """Two chunks a thread: one it computes, one that waits for it. Workers may come and go."""
        return max(1, 2 * sum(self._client.nthreads().values()) - len(self._chunks))

    def submit(self, chunk: Chunk) -> None:
        """To a worker of the scheduler's choice."""
        self._submitted += 1
        key = f"attnsim-chunk-{self._run}-{chunk.number}-{self._submitted}"
        # What a chunk raises it would raise again, so it is not retried. When a worker dies, the scheduler gives all its chunks to
        # others, up to the cluster's own `allowed-failures` (3) times; only then is it our turn (KilledWorker).
        future = self._client.submit(_answer, self._job, chunk, key=key, pure=False, retries=0)
        self._chunks[future] = chunk
        self._completed.add(future)

    def completed(self) -> Iterable[Answer]:
        """As they are done. A chunk that was there whenever a worker died is lost, which may be chance."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        answers = []
        for future in self._completed.next_batch():
            chunk = self._chunks.pop(future)
            try:
                answers.append(Answer(chunk, future.result()))
            except KilledWorker:  # the scheduler's retries were the tries in company; what is left is the one alone
                answers.append(Answer(chunk, None, losses=2))
            except (FutureCancelledError, OSError):
                if self._client.status != "running":
                    raise InfeasibleError(
                        f"the dask scheduler at {self._address} went away; what is done is on the disk: start it and add --resume"
                    ) from None
                answers.append(Answer(chunk, None, losses=1))
        return answers

    def close(self) -> None:
        """Chunks in flight are given up; the cluster stays."""
        self._client.close()


def _same(job: Job) -> Job:
    return job


def _answer(job: Job, chunk: Chunk) -> bytes:
    return job.answer(chunk)


def _version_function() -> Callable[[], str]:
    # Made inside another function, it travels whole, not by name: so that a worker without attnsim can run it, too.
    def version() -> str:
        try:
            from attnsim import __version__ as found
        except ImportError:
            return ""
        return found

    return version
