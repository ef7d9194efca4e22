"""List scheduling of many grids at once gives the ticks that `makespan` gives for each: compiled, and without numba."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnsim.evaluate import lanespans
from attnsim.evaluate.makespan import makespan
from attnsim.evaluate.spans import grid_span
from attnsim.lanes import Lanes

runs = st.lists(
    st.tuples(st.sampled_from((0, 1, 1, 2, 9, 30, 400)), st.floats(0.0, 5e4) | st.sampled_from((100.0, 250.0))), min_size=1, max_size=30
)
ramp = st.builds(
    lambda tiles, first, each: [(1, first + each * (tile + 1)) for tile in range(tiles)],
    st.integers(2, 130), st.floats(0, 5000), st.floats(1, 2000),
)  # fmt: skip
windows = st.builds(lambda start, long: [*start, (long, start[-1][1])], ramp, st.integers(1, 300))
grids = st.lists(st.tuples(runs | ramp | windows, st.integers(1, 60)), min_size=1, max_size=4)
machines = st.tuples(st.sampled_from((1, 3, 16, 108, 132)), st.integers(1, 3), st.sampled_from((1.0, 0.89, 0.5)))


def together(grids: list[Any], slots: tuple[int, int, float], longest_first: bool = False, batch_first: bool = False) -> list[float]:
    offsets = np.cumsum([0, *(len(pattern) for pattern, _ in grids)])
    count, cost = (np.array([run[place] for pattern, _ in grids for run in pattern], dtype=np.float64) for place in (0, 1))
    costs = lanespans.LaneCosts(offsets, count, cost)
    repeat = Lanes(np.array([repeat for _, repeat in grids], dtype=np.float64))
    spans: list[float] = lanespans.lane_span(costs, repeat, longest_first, batch_first, slots).values.tolist()
    return spans


@pytest.fixture(params=["compiled", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        pytest.importorskip("numba")
        monkeypatch.setattr(lanespans, "WORTH_COMPILING", 0)
    else:
        monkeypatch.setattr(lanespans, "_compiled", lambda lanes: None)


@pytest.mark.parametrize("order", ["launch", "longest first", "batch first"])
@pytest.mark.usefixtures("way")
def test_ends_are_those_of_each_grid(order: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(grids, machines)
    def check(grids: list[Any], slots: tuple[int, int, float]) -> None:
        longest, batch = order == "longest first", order == "batch first"
        assert together(grids, slots, longest, batch) == [
            grid_span(list(pattern), repeat, longest, batch, slots, makespan) for pattern, repeat in grids
        ]

    check()


@pytest.mark.usefixtures("way")
def test_ctas_shorter_than_a_tick() -> None:
    pattern = [(1, 1.0), (1, 1.0), (9, 1.0), (9, 1.0), (400, 1e-9), (1, 1.0)]
    slots = (108, 3, 1.0)
    assert together([(pattern, 1), (pattern, 3)], slots) == [makespan(pattern, repeat, *slots) for repeat in (1, 3)]


@pytest.mark.usefixtures("way")
def test_long_grids_are_folded_alike() -> None:
    pattern = [(1, 1000.0 + 700 * tile) for tile in range(64)]
    grids = [(pattern, repeat) for repeat in (93, 94, 128, 500, 5000)]
    slots = (132, 2, 0.9)
    assert together(grids, slots) == [makespan(pattern, repeat, *slots) for pattern, repeat in grids]


def test_grids_of_equal_ctas_need_no_schedule() -> None:
    count, cost = Lanes(np.array([1.0, 132, 133, 1000, 40])), Lanes(np.array([5.0, 7, 9, 11, 0]))
    slots = (132, 2, 0.8)
    spans = grid_span([(count, cost)], 3, False, False, slots, makespan)
    assert spans.values.tolist() == [makespan([(int(n), c)], 3, *slots) for n, c in zip(count.values, cost.values, strict=True)]
