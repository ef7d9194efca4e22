from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.errors import UsageError
from attnsim.explore.build import build_plan
from attnsim.explore.plan.axes import Axis, listed, vary, zipped
from attnsim.explore.plan.plan import Plan, SweepError
from attnsim.spec.yaml import from_dict

NOTHING = from_dict({})


def bare(*axes: Axis) -> Plan:
    return Plan(NOTHING, {}, "", axes=axes)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 20))
def test_every_point_once_and_the_last_axis_fastest(lengths: list[int], size: int) -> None:
    axes = [vary(f"f{at}", range(length)) for at, length in enumerate(lengths)]
    plan = bare(*axes)
    parts = [plan.settings(chunk * size, (chunk + 1) * size) for chunk in range(plan.chunks(size))]
    assert np.concatenate([part.index for part in parts]).tolist() == list(range(plan.count))
    rows = [row for part in parts for row in zip(*(part.columns[name].tolist() for name in plan.fields), strict=True)]
    assert rows == list(itertools.product(*map(range, lengths)))


def test_ten_to_the_twelve_points_cost_nothing() -> None:
    plan = bare(vary("sizes.M", "1..1000000:+1"), vary("sizes.B", "1..1000000:+1"))
    assert plan.count == 10**12 and plan.chunks(10**6) == 10**6
    last = plan.settings(10**12 - 2, 10**12)
    assert last.index.tolist() == [10**12 - 2, 10**12 - 1]
    assert last.columns["sizes.M"].tolist() == [10**6, 10**6] and last.columns["sizes.B"].tolist() == [10**6 - 1, 10**6]


def test_fields_that_share_a_value_vary_together_and_lists_are_points() -> None:
    plan = bare(vary("a,b", "1,2"), zipped({"c": "x,y", "d": [5, 6]}), listed([{"e": 1, "f": "8k"}, {"e": 2, "f": 3}]))
    assert plan.count == 8 and plan.fields == ("a", "b", "c", "d", "e", "f")
    columns = plan.settings(0, 8).columns
    assert columns["a"].tolist() == columns["b"].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]
    assert list(zip(columns["c"], columns["d"], columns["e"], columns["f"], strict=True))[:4] == [
        ("x", 5, 1, 8192), ("x", 5, 2, 3), ("y", 6, 1, 8192), ("y", 6, 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: vary("sizes.P,", "1"),
            "cannot read 'sizes.P,'; write a field such as sizes.M, or several that take the same value: sizes.P,sizes.M",
        ),
        (lambda: vary("sizes.P", "8..1:+1"), "sizes.P: '8..1:+1' ends before it starts; write 1..8:+1"),
        (lambda: zipped({"a": "1,2", "b": "1,2,3"}), "fields that vary together need as many values each: a has 2, b has 3"),
        (lambda: listed([{"a": 1}, {"b": 1}]), "point 1 lacks a, adds b; every point of a list gives the same fields"),
        (lambda: listed([{"a": 1}, {"a": 1, "b": 1}]), "point 1 adds b; every point of a list gives the same fields"),
        (lambda: listed([{"a": "1..3:+1"}]), "a: '1..3:+1' is 3 values; a point of a list has one"),
    ],
)  # fmt: skip
def test_axes_that_are_none(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        make()
    assert str(error.value) == message


def test_groups_are_all_that_varies_but_counts() -> None:
    axes = [
        Axis(("sizes.M",), vary("sizes.M", "1..3:+1").series, frozenset({"sizes.M"})),
        vary("dtype", "bf16,fp8"),
        Axis(
            ("arch", "sizes.B"),
            listed([{"arch": a, "sizes.B": b} for a, b in (("x", 1), ("y", 1), ("x", 2))]).series,
            frozenset({"sizes.B"}),
        ),
    ]
    plan = bare(*axes)
    settings = plan.settings(0, plan.count)
    groups = plan.groups(settings.index)
    for number in np.unique(groups):
        rows = np.flatnonzero(groups == number)
        assert {(settings.columns["dtype"][row], settings.columns["arch"][row]) for row in rows} == {
            (plan.values(int(number))["dtype"], plan.values(int(number))["arch"])
        }
    assert len(np.unique(groups)) == 4


def built(*axes: Axis, filters: tuple[str, ...] = (), **more: Any) -> Plan:
    return build_plan("llama3-8b-prefill", "h100_sxm", axes, filters, **more)


def test_a_plan_travels_and_keeps_its_digest() -> None:
    plan = built(vary("sizes.M", "1k,2k"), filters=("sizes.M >= sizes.P / 8",))
    again = pickle.loads(pickle.dumps(plan))
    assert again.digest == plan.digest and again.schema.equals(plan.schema)
    assert again.settings(0, 2).columns["sizes.M"].tolist() == [1024, 2048]


def test_the_digest_tells_all_that_changes_answers(tmp_path: Path) -> None:
    own = tmp_path / "fa2.yaml"
    own.write_text("extends: flash-attention-2\nname: mine\n")
    axis = vary("sizes.M", "1k,2k")
    digests = [
        built(axis).digest,
        built(vary("sizes.M", "2k,1k")).digest,
        built(axis, filters=("sizes.M > 1",)).digest,
        built(axis, sets=("sizes.B=2",)).digest,
        built(axis, columns=("latency_s",)).digest,
        built(axis, only="lower_bound").digest,
        built(axis, schedule=str(own)).digest,
        build_plan("llama3-8b-prefill", "h200", [axis]).digest,
        build_plan("llama3-8b-decode", "h100_sxm", [axis]).digest,
    ]
    own.write_text("extends: flash-attention-2\nname: mine\ntitle: changed\n")
    digests.append(built(axis, schedule=str(own)).digest)
    assert len(set(digests)) == len(digests)
    assert built(axis).digest == digests[0]


def test_a_bad_value_is_found_before_anything_runs() -> None:
    with pytest.raises(SweepError) as error:
        built(vary("dtype", "bf16,fp8,fp9"), vary("sizes.M", "1k..8k:log2"))
    assert str(error.value).startswith("dtype: must be one of ") and "not 'fp9'; did you mean 'fp" in str(error.value)


def test_values_that_filters_leave_out_are_not_tried() -> None:
    plan = built(vary("sizes.G", "3,8"), vary("dtype", "bf16,fp8"), filters=("sizes.H % sizes.G == 0",))
    assert plan.settings(0, 4).columns["sizes.G"].tolist() == [8, 8]
