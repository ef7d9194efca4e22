"""The loop over rows: what a stopped run keeps, what is skipped, refused, wrong or failed. Over a made-up suite, without PyTorch."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from attnsim.errors import MissingDataError, UsageError
from attnsim.measure import run as loop
from attnsim.measure.run import Options, run
from attnsim.measure.suite import Case, Prepared, Suite, Unsupported
from attnsim.spec.measurement import FILE

SIZES = (1, 2, 3, 4)


def fine() -> Prepared:
    return Prepared([lambda: None, lambda: None], lambda: 0.0, 1e-3, graph=False, hold_s=1e-4)


def wrong() -> Prepared:
    return Prepared([stop, stop], lambda: 0.5, 1e-3, graph=False)


def not_a_number() -> Prepared:
    return Prepared([stop, stop], lambda: float("nan"), 1e-3, graph=False)


def refused() -> Prepared:
    raise Unsupported("no such kernel here")


def broken() -> Prepared:
    raise ValueError("bad\nshape")


def stop() -> None:
    raise KeyboardInterrupt


def stopped() -> Prepared:
    stop()
    raise AssertionError


def row(size: int, make: Callable[[], Prepared] = fine, needs: tuple[str, ...] = ()) -> Case:
    return Case({"kernel": "copy", "backend": "none", "bytes": size}, make, needs=needs)


def suite(*cases: Case, name: str = "micro", needs: tuple[str, ...] = (), devices: tuple[str, ...] = ("cpu",)) -> Suite:
    def every(device: str, small: bool) -> Iterator[Case]:
        yield from cases

    return Suite(name, frozenset(devices), needs, every)


class Bench:
    """Runs made-up suites into one file and keeps what is told."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path, self._patch, self.told = path, patch, list[str]()

    def run(self, *suites: Suite, shard: tuple[int, int] = (0, 1), limit_s: float | None = None) -> loop.Outcome:
        named = {each.name: each for each in suites}
        self._patch.setattr(loop, "load", named.__getitem__)
        self.told.clear()
        return run(Options("cpu", tuple(named), self.path, 1e-4, limit_s, shard), self.told.append)

    def rows(self) -> list[dict[str, str]]:
        lines = [line for line in self.path.read_text().splitlines() if not line.startswith("#")]
        return list(csv.DictReader(lines))

    def sizes(self) -> list[int]:
        return [int(each["bytes"]) for each in self.rows()]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "rows.csv", monkeypatch)


def test_a_row_has_its_columns_and_its_time(bench: Bench) -> None:
    outcome = bench.run(suite(row(1)))
    assert outcome.ok and outcome.counts["measured"] == 1
    (found,) = bench.rows()
    assert tuple(found) == FILE
    assert found["suite"] == "micro" and found["bytes"] == "1" and found["error"] == "0.00e+00" and float(found["time_us"]) > 0
    assert float(found["p20_us"]) <= float(found["time_us"]) <= float(found["p80_us"])
    assert bench.path.read_text().startswith("# device: ")


def test_a_run_goes_on_where_it_was(bench: Bench) -> None:
    bench.run(suite(*map(row, SIZES[:2])))
    before = bench.rows()
    outcome = bench.run(suite(*map(row, SIZES)))
    assert outcome.counts["already there"] == 2 and outcome.counts["measured"] == 2
    assert bench.sizes() == list(SIZES) and bench.rows()[:2] == before
    assert bench.run(suite(*map(row, SIZES))).counts["measured"] == 0


def test_an_interrupted_run_keeps_its_rows(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.run(suite(row(1), row(2), row(3, stopped), row(4)))
    assert bench.sizes() == [1, 2]
    assert bench.run(suite(*map(row, SIZES))).counts["measured"] == 2
    assert bench.sizes() == list(SIZES)


def test_a_killed_run_keeps_its_rows_and_loses_half_a_line(bench: Bench) -> None:
    bench.run(suite(row(1), row(2)))
    with bench.path.open("a") as file:
        file.write("micro,copy,no")
    bench.run(suite(*map(row, SIZES)))
    assert bench.sizes() == list(SIZES)


KILLED = """
import os, sys
from pathlib import Path
from attnsim.measure import run as loop
from attnsim.measure.suite import Case, Prepared, Suite

def make(size):
    if size == 3:
        os._exit(9)
    return Prepared([int, int], lambda: 0.0, 1.0, graph=False, hold_s=1e-4)

def cases(device, small):
    for size in (1, 2, 3, 4):
        yield Case({"kernel": "copy", "backend": "none", "bytes": size}, lambda size=size: make(size))

loop.load = {"micro": Suite("micro", frozenset({"cpu"}), (), cases)}.__getitem__
loop.run(loop.Options("cpu", ("micro",), Path(sys.argv[1])), print)
"""


def test_a_process_that_dies_keeps_its_rows(bench: Bench) -> None:
    here = {"PYTHONPATH": str(Path(loop.__file__).parents[2])}
    died = subprocess.run([sys.executable, "-c", KILLED, str(bench.path)], env=here, check=False)
    assert died.returncode == 9
    assert bench.sizes() == [1, 2]
    assert bench.run(suite(*map(row, SIZES))).counts["already there"] == 2


@pytest.mark.parametrize("make", [wrong, not_a_number])
def test_a_wrong_kernel_is_told_and_not_timed(bench: Bench, make: Callable[[], Prepared]) -> None:
    outcome = bench.run(suite(row(1), row(2, make), row(3)))
    assert outcome.counts["wrong"] == 1 and not outcome.ok
    assert bench.sizes() == [1, 3]
    (line,) = [line for line in bench.told if line.startswith("wrong")]
    assert "bytes=2" in line and "not timed" in line


def test_a_refused_or_broken_row_costs_only_itself(bench: Bench) -> None:
    outcome = bench.run(suite(row(1, refused), row(2, broken), row(3)))
    assert outcome.ok and bench.sizes() == [3]
    assert outcome.text() == "rows: 1 measured, 1 refused, 1 failed"
    assert any(line.startswith("refused: micro copy none bytes=1: no such kernel") for line in bench.told)
    assert any("ValueError: bad shape" in line for line in bench.told)


def test_a_suite_that_lacks_a_package_is_one_line(bench: Bench) -> None:
    bench.run(suite(*map(row, SIZES), name="gemm", needs=("attnsim_no_such_package",)), suite(row(1)))
    assert [line for line in bench.told if "no_such" in line] == ["skipped gemm: not installed: attnsim_no_such_package"]
    assert bench.sizes() == [1]


def test_rows_that_lack_a_package_are_one_line(bench: Bench) -> None:
    lacking = partial(row, needs=("attnsim_no_such_package",))
    outcome = bench.run(suite(*map(lacking, SIZES), row(5)))
    told = [line for line in bench.told if "no_such" in line]
    assert told == ["micro: 4 rows left out: not installed: attnsim_no_such_package"]
    assert outcome.ok and bench.sizes() == [5]


def test_nothing_left_to_measure_is_an_error(bench: Bench) -> None:
    with pytest.raises(MissingDataError, match="no suite"):
        bench.run(suite(row(1), needs=("attnsim_no_such_package",)))
    with pytest.raises(MissingDataError, match="no suite"):
        bench.run(suite(row(1), devices=("cuda",)))
    assert not bench.path.exists()


def test_shards_share_the_rows(bench: Bench) -> None:
    bench.run(suite(*map(row, SIZES)), shard=(1, 2))
    assert bench.sizes() == [2, 4]
    bench.run(suite(*map(row, SIZES)), shard=(0, 2))
    assert sorted(bench.sizes()) == list(SIZES)


def test_a_time_limit_stops_between_rows(bench: Bench) -> None:
    outcome = bench.run(suite(*map(row, SIZES)), limit_s=0)
    assert outcome.stopped == "time limit" and outcome.ok
    assert len(bench.sizes()) < len(SIZES)


def test_rows_of_another_machine_are_not_added_to(bench: Bench) -> None:
    bench.run(suite(row(1)))
    text = bench.path.read_text()
    first, *rest = text.splitlines(keepends=True)
    bench.path.write_text("".join(["# device: another\n", *rest]))
    with pytest.raises(UsageError, match="name another file"):
        bench.run(suite(row(2)))


def test_two_rows_of_one_kind_are_a_mistake_of_the_suite(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="two rows"):
        bench.run(suite(row(1), row(1)))


@pytest.mark.parametrize("names", [["decode", "sparse", "linear", "attention"]])
def test_suites_can_be_listed_by_name(names: Sequence[str]) -> None:
    from attnsim.measure.suites import load

    for name in names:
        assert load(name).name == name
