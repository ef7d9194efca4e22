"""The loop over rows: skip those the file has, prepare, check against float64, time, write; a failure costs its row only."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnsim.errors import AttnsimError, MissingDataError
from attnsim.measure.progress import Progress
from attnsim.measure.provenance import provenance
from attnsim.measure.sensors import Sensors
from attnsim.measure.suite import Case, Suite, Unsupported, Value
from attnsim.measure.suites import SUITES, load
from attnsim.measure.timing import time_cpu, time_cuda
from attnsim.measure.warm import compile_all
from attnsim.measure.writer import Key, Writer, key_of

KEPT = 0.5
"""Share of the GPU's memory that may lie in the allocator's store before it is given back."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured: suites (none named: all of the device), shard (I, N): rows I modulo N; hold_s, limit_s: seconds."""

    device: str
    suites: tuple[str, ...] = ()
    output: Path | None = None
    hold_s: float = 0.1
    limit_s: float | None = None
    shard: tuple[int, int] = (0, 1)
    small: bool = False
    arguments: tuple[str, ...] = ()


@dataclass(slots=True)
class Outcome:
    """How many rows came out how: measured, already there, refused, wrong, failed; stopped: why the run ended before its last row."""

    counts: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    def text(self) -> str:
        """The closing line."""
        words = ("measured", "already there", "refused", "wrong", "failed")
        counted = ", ".join(f"{self.counts[word]} {word}" for word in words if self.counts[word] or word == "measured")
        return f"rows: {counted}" + (f"; stopped: {self.stopped}" if self.stopped else "")

    @property
    def ok(self) -> bool:
        """No output was wrong, and nothing but a time limit ended the run early."""
        return not self.counts["wrong"] and self.stopped in ("", "time limit")


def chosen(options: Options, told: Callable[[str], None]) -> list[Suite]:
    """Suites to run. One that lacks a package, or does not know the device, is told and left out.

    Raises: UsageError for an unknown suite; MissingDataError where PyTorch is not there for a GPU, or no suite is left.
    """
    if options.device == "cuda" and not has_package("torch"):
        raise MissingDataError("measuring on a GPU needs PyTorch, which is not installed (https://pytorch.org/get-started)")
    found = []
    for name in options.suites or SUITES:
        suite = load(name)
        if options.device not in suite.devices:
            if options.suites:
                told(f"skipped {name}: it runs on {' and '.join(sorted(suite.devices))} only")
            continue
        if missing := [package for package in suite.needs if not has_package(package)]:
            told(f"skipped {name}: not installed: {', '.join(missing)}")
            continue
        found.append(suite)
    if not found:
        raise MissingDataError("no suite is left to measure")
    return found


def has_package(name: str) -> bool:
    """Whether a package imports, as far as that is known without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def taken(suite: Suite, options: Options) -> Iterator[tuple[int, Case]]:
    """Rows of this shard with their numbers, `suite` filled in."""
    part, parts = options.shard
    for index, case in enumerate(suite.cases(options.device, options.small)):
        if index % parts == part:
            yield index, Case({"suite": suite.name, **case.values}, case.make, case.build, case.needs)


def describe(values: Mapping[str, Value]) -> str:
    """A row in a few words, for messages."""
    left_out = ("suite", "kernel", "backend")
    head = " ".join(str(values.get(name, "")) for name in ("suite", "kernel", "backend")).strip()
    return head + " " + " ".join(f"{name}={text}" for name, text in values.items() if name not in left_out and text != "")


def run(options: Options, told: Callable[[str], None]) -> Outcome:
    """Measure. `told` takes messages for the person at the terminal.

    Raises: what `chosen` and `Writer` raise; MissingDataError where PyTorch sees no GPU.
    """
    suites = chosen(options, told)
    torch: Any = importlib.import_module("torch") if has_package("torch") else None
    uuid = None
    if options.device == "cuda":
        if not torch.cuda.is_available():
            raise MissingDataError("PyTorch sees no CUDA device")
        uuid = str(getattr(torch.cuda.get_device_properties(0), "uuid", "")) or None
    sensors = Sensors(uuid)
    with Writer(options.output, provenance(options.device, torch, sensors, options.arguments)) as writer:
        loop = Loop(options, writer, sensors, torch, told)
        for suite in suites:
            loop.suite(suite)
            if loop.outcome.stopped:
                break
        return loop.outcome


class Loop:
    """Rows of one suite after another into one file."""

    def __init__(self, options: Options, writer: Writer, sensors: Sensors, torch: Any, told: Callable[[str], None]) -> None:
        self.options, self.writer, self.sensors, self.torch = options, writer, sensors, torch
        self.told, self.outcome, self.start = told, Outcome(), time.monotonic()

    def suite(self, suite: Suite) -> None:
        """All rows of a suite, or those of its own loop."""
        if suite.run is not None:
            self._own(suite)
            return
        rows = self._possible(suite, list(taken(suite, self.options)))
        left = [(index, case) for index, case in rows if key_of(case.values) not in self.writer.done]
        self.outcome.counts["already there"] += len(rows) - len(left)
        self._compile(suite, left)
        written: set[Key] = set()
        with Progress(suite.name, len(left), self.told) as progress:
            for _, case in left:
                key = key_of(case.values)
                if key in written:
                    raise AssertionError(f"two rows of one kind: {describe(case.values)}")
                written.add(key)
                if self._late() or self.outcome.stopped:
                    return
                result, message = self._row(case)
                self.outcome.counts[result] += 1
                if message:
                    progress.tell(f"{result}: {describe(case.values)}: {message}")
                progress.advance()

    def _possible(self, suite: Suite, rows: Sequence[tuple[int, Case]]) -> list[tuple[int, Case]]:
        """Rows whose packages are there; of the others a line for each package, not one for each row."""
        lacking = {package for _, case in rows for package in case.needs if not has_package(package)}
        for package in sorted(lacking):
            self.told(f"{suite.name}: {sum(package in case.needs for _, case in rows)} rows left out: not installed: {package}")
        return [(index, case) for index, case in rows if lacking.isdisjoint(case.needs)]

    def _own(self, suite: Suite) -> None:
        assert suite.run is not None
        for row in suite.run(self.options.device, self.options.small):
            values = {"suite": suite.name, **row}
            if key_of(values) in self.writer.done:
                self.outcome.counts["already there"] += 1
            else:
                self.writer.write(values)
                self.outcome.counts["measured"] += 1
            if self._late():
                return

    def _late(self) -> bool:
        limit = self.options.limit_s
        if limit is not None and time.monotonic() - self.start > limit:
            self.outcome.stopped = "time limit"
        return bool(self.outcome.stopped)

    def _compile(self, suite: Suite, rows: Sequence[tuple[int, Case]]) -> None:
        first: dict[str, int] = {}
        for index, case in rows:
            if case.build:
                first.setdefault(case.build, index)
        if first and self.options.device == "cuda":
            compile_all(suite.name, self.options.device, self.options.small, list(first.values()), self.told)

    def _row(self, case: Case) -> tuple[str, str]:
        """How the row came out, and what to say about it."""
        try:
            return self._measured(case)
        except Unsupported as reason:
            return "refused", _line(reason)
        except AttnsimError:
            raise
        except Exception as error:  # noqa: BLE001 - what a foreign library raises, out of memory too, costs its row only
            result = "failed", f"{type(error).__name__}: {_line(error)}"
        self._recover()
        return result

    def _measured(self, case: Case) -> tuple[str, str]:
        prepared = case.make()
        error = prepared.check()
        if not error <= prepared.tolerance:  # a NaN is wrong, too
            return "wrong", f"{error:.2g} off float64, {prepared.tolerance:.2g} allowed; not timed"
        if self.options.device == "cuda":
            timing = time_cuda(prepared, self.options.hold_s, self.sensors)
        else:
            timing = time_cpu(prepared, self.options.hold_s)
        self.writer.write({**case.values, "error": f"{error:.2e}", **timing.columns()})
        self._give_back()
        return "measured", ""

    def _give_back(self) -> None:
        if self.options.device == "cuda":
            total = self.torch.cuda.get_device_properties(0).total_memory
            if self.torch.cuda.memory_reserved() > KEPT * total:
                self.torch.cuda.empty_cache()

    def _recover(self) -> None:
        if self.options.device != "cuda":
            return
        try:
            self.torch.cuda.synchronize()
            self.torch.cuda.empty_cache()
        except RuntimeError as error:  # the context is gone: every further row would fail
            self.outcome.stopped = f"the GPU's context is lost ({_line(error)}); run the same command again to go on"


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
