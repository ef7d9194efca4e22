"""The front is that of its definition, for any number of objectives, and the same however the points arrive."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.explore.pareto import dominance as pareto
from attnsim.explore.pareto.dominance import RunningFront, nondominated

# Few different values, so that ties in one objective and equal points are common.
NUMBER = st.one_of(st.integers(0, 4).map(float), st.sampled_from([inf, -inf, 0.5, -0.0]), st.floats(allow_nan=False))


@st.composite
def clouds(draw: st.DrawFn) -> np.ndarray:
    objectives = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(NUMBER, min_size=objectives, max_size=objectives), max_size=40))
    return np.array(rows, dtype=np.float64).reshape(-1, objectives)


def by_definition(points: np.ndarray) -> list[bool]:
    return [not any((other <= point).all() and (other < point).any() for other in points) for point in points]


@given(clouds())
def test_the_front_is_what_no_point_dominates(points: np.ndarray) -> None:
    assert nondominated(points).tolist() == by_definition(points)


@given(clouds(), st.integers(1, 7), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_points_in_batches_have_the_front_of_all_points(points: np.ndarray, batch: int, buffer: int, guards: int, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "BUFFER", buffer)
        patch.setattr(pareto, "GUARDS", guards)
        patch.setattr(pareto, "BLOCK", block)
        patch.setattr(pareto, "CELLS", 3)
        front = RunningFront(points.shape[1])
        for start in range(0, len(points), batch):
            front.add(points[start : start + batch], np.arange(start, min(start + batch, len(points))))
        values, rows = front.result()
    wanted = np.flatnonzero(by_definition(points))
    assert rows.tolist() == wanted.tolist()
    assert np.array_equal(values, points[wanted])


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 6])
def test_equal_points_are_all_kept(objectives: int) -> None:
    best, worse = [1.0] * objectives, [1.0] * (objectives - 1) + [2.0]
    assert nondominated(np.array([worse, best, best, worse, best])).tolist() == [False, True, True, False, True]


@pytest.mark.parametrize("objectives", [2, 3, 4, 5])
def test_a_large_cloud_and_a_front_larger_than_the_buffer(objectives: int) -> None:
    source = np.random.default_rng(7)
    inside = source.random((20_000, objectives))
    shell = source.random((300, objectives))
    shell[:, -1] = -shell[:, :-1].sum(axis=1)  # on a plane of one sum none dominates another, and all lie below the rest
    points = np.concatenate([inside, shell - 1.0])
    front = RunningFront(objectives)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "BUFFER", 100)
        for part in np.array_split(np.arange(len(points)), 37):
            front.add(points[part], part)
        values, rows = front.result()
    assert rows.tolist() == np.flatnonzero(nondominated(points)).tolist() and set(range(20_000, 20_300)) <= set(rows.tolist())
    assert not any(((values <= point).all(axis=1) & (values < point).any(axis=1)).any() for point in values)


def test_no_points_have_no_front() -> None:
    assert nondominated(np.empty((0, 3))).tolist() == []
    values, rows = RunningFront(2).result()
    assert values.shape == (0, 2) and rows.tolist() == []
