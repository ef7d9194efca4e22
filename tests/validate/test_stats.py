"""Error statistics against numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.validate.stats import ErrorStats, quantile

ERRORS = st.lists(st.floats(-0.99, 10, allow_nan=False), min_size=1, max_size=40)


@given(ERRORS)
def test_statistics_are_those_of_numpy(errors: list[float]) -> None:
    stats = ErrorStats.of(errors)
    sizes = np.abs(errors)
    assert stats.n == len(errors)
    assert stats.mape == pytest.approx(np.mean(sizes))
    assert stats.median == pytest.approx(np.median(sizes))
    assert stats.p90 == pytest.approx(np.percentile(sizes, 90))
    assert stats.max == np.max(sizes)
    assert stats.bias == pytest.approx(np.mean(errors), abs=1e-12)


def test_signs_cancel_in_the_bias_only() -> None:
    stats = ErrorStats.of([0.1, -0.1], below_floor=1)
    assert stats.mape == pytest.approx(0.1) and stats.bias == pytest.approx(0.0) and stats.below_floor == 1


def test_no_points_have_a_count_and_no_statistics() -> None:
    assert ErrorStats.of([]).to_dict() == {"n": 0, "mape": None, "median": None, "p90": None, "max": None, "bias": None, "below_floor": 0}


def test_quantile_interpolates() -> None:
    assert quantile([1.0, 3.0], 0.5) == 2.0 and quantile([7.0], 0.9) == 7.0 and quantile([1.0, 2.0, 3.0], 1.0) == 3.0
