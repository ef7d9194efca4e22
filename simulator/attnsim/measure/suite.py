"""What a suite of measurements is: cheap descriptions of rows, each of which can prepare the call that is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | int | float


class Unsupported(Exception):  # noqa: N818 - no error: this library has no such kernel
    """A library refuses this row; the message says why."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One row ready to be timed.

    calls: the same kernel on several sets of inputs (two or more), called round robin so that inputs come from memory and not from the L2.
    check: relative error |out - ref| / |ref| against float64; runs before the timing. graph: may be captured in a CUDA graph.
    hold_s: seconds that it is timed for, None: those of the run. times: seconds of each call, for a row that times itself.
    """

    calls: Sequence[Callable[[], Any]]
    check: Callable[[], float]
    tolerance: float
    graph: bool = True
    hold_s: float | None = None
    times: Callable[[], Sequence[float]] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One row: `values` are the columns of `FILE` that say what it is (with `suite` and `backend`); `make` allocates.

    `make` raises Unsupported where the library refuses the row. build: what has to be compiled for it (rows with the same text share it;
    "": nothing); all that a run needs is compiled side by side, in processes of their own, before anything is timed. needs: packages beside
    those of its suite.
    """

    values: Mapping[str, Value]
    make: Callable[[], Prepared]
    build: str = ""
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """Rows of one kind. devices: "cuda", "cpu"; needs: packages that must import; cases(device, small): its rows, nothing allocated.

    run(device, small): for suites that time themselves (collectives over several processes), yields finished rows in place of `cases`.
    """

    name: str
    devices: frozenset[str]
    needs: tuple[str, ...]
    cases: Callable[[str, bool], Iterator[Case]]
    run: Callable[[str, bool], Iterable[Mapping[str, Value]]] | None = None
