"""Where answers are computed: processes of their own, so that one that takes too long can be ended, and few at a time."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

from attnsim.errors import UsageError
from attnsim.web.answers import Reply, perform, refused

SECONDS: Final = 5.0  #: that an answer may take; the library's own take milliseconds
MEMORY: Final = 4 * 2**30  #: bytes of a process, where the system can hold it to that
START: Final = 60.0  #: that a process may take until it is there
WAITING: Final = 16  #: questions that may wait for a process
WARM: Final = '{"workload": {"name": "llama3-8b-prefill"}, "arch": {"name": "h100_sxm"}}'


class BusyError(Exception):
    """More questions at once than are answered: ask again in a moment."""


class Worker:
    """One process that answers one question after another. Started when it is first asked."""

    def __init__(self, job: Callable[[str, str], Reply] = perform) -> None:
        self.job = job
        self.process: multiprocessing.process.BaseProcess | None = None
        self.line: Connection | None = None

    def start(self) -> Connection:
        """The line to the process, which is started where none runs."""
        if self.line is None or self.process is None or not self.process.is_alive():
            self.stop()
            context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
            self.line, other = context.Pipe()
            self.process = context.Process(target=_serve, args=(other, self.job), daemon=True)
            self.process.start()
            other.close()
            if self.line.poll(START):
                self.line.recv()  # it says that it is there; an answer's time counts from then on
        return self.line

    def ask(self, task: str, text: str, seconds: float) -> Reply:
        """The reply; a refusal where the process takes longer, or ends for want of memory. Blocks."""
        line = self.start()
        try:
            line.send((task, text))
            if line.poll(seconds):
                reply: Reply | Exception = line.recv()
                if isinstance(reply, Exception):
                    raise reply
                return reply
        except (EOFError, ConnectionError):
            self.stop()
            return refused(UsageError("ended for want of memory; ask for smaller sizes or larger tiles"))
        self.stop()
        return refused(UsageError(f"takes more than {seconds:g} s to answer; ask for smaller sizes or larger tiles"))

    def stop(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.join(1)
        if self.line is not None:
            self.line.close()
        self.process = self.line = None


def _serve(line: Connection, job: Callable[[str, str], Reply]) -> None:
    """The life of a process: until the other side of the line is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to every process of a terminal; this one ends with its parent
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nothing here is worth threads, and each takes memory
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with contextlib.suppress(ImportError, OSError, ValueError):  # not every system has such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with contextlib.suppress(EOFError, OSError):
        line.send("ready")
        while True:
            task, text = line.recv()
            try:
                reply: Reply | Exception = job(task, text)
            except Exception as error:  # noqa: BLE001 - a bug of ours goes to the parent, which logs it
                import traceback

                reply = RuntimeError("".join(traceback.format_exception(error)))
            line.send(reply)


class Workers:
    """A few processes and the questions that wait for one. count 0: answers are computed here, in threads, and cannot be ended."""

    def __init__(self, count: int = 2, seconds: float = SECONDS, waiting: int = WAITING) -> None:
        self.seconds = seconds
        self.waiting = waiting
        self.asked = 0
        self.count = count
        self.idle = [Worker() for _ in range(count)]
        self.all = tuple(self.idle)
        self.free = asyncio.Semaphore(max(1, count))

    async def do(self, task: str, text: str) -> Reply:
        """The reply to a question. Raises BusyError when too many wait already, RuntimeError for a bug in an answer."""
        if self.asked >= self.waiting + max(1, self.count):
            raise BusyError
        self.asked += 1
        try:
            async with self.free:
                if not self.count:
                    return await asyncio.to_thread(perform, task, text)
                worker = self.idle.pop()
                try:
                    return await asyncio.to_thread(worker.ask, task, text, self.seconds)
                finally:
                    self.idle.append(worker)
        finally:
            self.asked -= 1

    async def warm(self) -> None:
        """Start every process and let it answer once, so that the first question of a person is as quick as the next."""
        await asyncio.gather(*(asyncio.to_thread(worker.ask, "answer", WARM, START) for worker in self.all))

    def close(self) -> None:
        """End the processes."""
        for worker in self.all:
            worker.stop()
