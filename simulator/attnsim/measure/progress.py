"""How far a run is: a bar where stderr is a terminal, else a plain line every few rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

EVERY = 25


class Progress:
    """Of `total` rows of a suite; `told` writes a plain line."""

    def __init__(self, name: str, total: int, told: Callable[[str], None]) -> None:
        self._name, self._total, self._told, self._done = name, total, told, 0
        self._bar: Any = None
        self._start = time.monotonic()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and self._total:
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._name, total=self._total)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """One row further."""
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)
        elif self._done % EVERY == 0 or self._done == self._total:
            self._told(f"{self._name}: {self._done} of {self._total} rows, {time.monotonic() - self._start:.0f} s")

    def tell(self, text: str) -> None:
        """A line beside the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._told(text)
