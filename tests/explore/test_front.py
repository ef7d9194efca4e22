"""Fronts of sweep files: the same from every kind of file, in batches, with filters and groups; mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attnsim
from attnsim.errors import InfeasibleError, UsageError
from attnsim.explore.output import sample, table
from attnsim.explore.pareto.front import Front, pareto


def sweep(count: int = 400, seed: int = 3) -> pa.Table:
    """As `attnsim sweep` writes it: the point, varied fields, answers, error."""
    source = np.random.default_rng(seed)
    error = np.where(source.random(count) < 0.1, "does not fit, at all", None)
    latency = source.integers(1, 40, count) * 1e-5
    latency[source.random(count) < 0.05] = np.nan
    return pa.table(
        {
            "point": np.arange(count),
            "sizes.B": 2 ** source.integers(0, 6, count),
            "arch": source.choice(["h100_sxm", "b200"], count),
            "sizes.M": np.full(count, 8192),
            "bound": source.choice(["hbm", "tensor"], count),
            "bytes.hbm": source.integers(1, 30, count) * 1e9,
            "cost.usd_per_mtok": source.integers(1, 40, count) / 8,
            "latency_s": latency,
            "time_by_resource_s.hbm": latency / 2,
            "error": pa.array(error, pa.string()),
        }
    ).set_column(7, "latency_s", pa.array(latency, from_pandas=True))


def by_definition(rows: pd.DataFrame, objectives: dict[str, int]) -> list[int]:
    values = np.stack([sign * rows[name].to_numpy() for name, sign in objectives.items()], axis=1)
    kept = [not any((other <= one).all() and (other < one).any() for other in values) for one in values]
    return sorted(rows["point"][kept].tolist())


def points(front: Front) -> list[int]:
    return sorted(front.table["point"].to_pylist())


def fine(rows: pa.Table) -> pd.DataFrame:
    frame = rows.to_pandas()
    return frame[frame["error"].isna() & frame["latency_s"].notna()].reset_index(drop=True)


def written(rows: pa.Table, kind: str, folder: Path) -> Path:
    path = folder / f"sweep.{kind}"
    if kind == "parquet":
        pq.write_table(rows, path, row_group_size=37)
    elif kind == "folder":
        path.mkdir()
        for number, start in enumerate(range(0, rows.num_rows, 90)):
            pq.write_table(rows.slice(start, 90), path / f"part-{number:06d}.parquet")
        (path / "_plan.json").write_text("{}")
        (path / ".part-000009.parquet.tmp").write_text("half")
    elif kind == "csv":
        pa.csv.write_csv(rows, path)
    else:
        lines = [{name: value for name, value in row.items() if value is not None} for row in rows.to_pylist()]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("kind", ["parquet", "folder", "csv", "jsonl"])
def test_every_kind_of_file_has_the_front_of_its_definition(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BATCH", 53)
    monkeypatch.setattr(table, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(table, "LOOKED_AT", 20)
    rows = sweep()
    front = pareto(written(rows, kind, tmp_path), ["latency_s", "usd_per_mtok"], "sizes.B")
    assert points(front) == by_definition(fine(rows), {"latency_s": 1, "cost.usd_per_mtok": 1, "sizes.B": -1})
    assert front.table.equals(pareto(rows, "latency_s,usd_per_mtok", maximize=["sizes.B"]).table.cast(front.table.schema))
    assert (front.counts.failed, front.counts.unvalued) == (
        rows.num_rows - rows["error"].null_count,
        400 - len(fine(rows)) - front.counts.failed,
    )
    assert front.same == {"sizes.M": 8192} and front.fields == ("arch",)


@given(st.integers(0, 60), st.integers(0, 10_000), st.integers(1, 17))
def test_batches_do_not_matter(count: int, seed: int, batch: int) -> None:
    rows = sweep(count, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "BATCH", batch)
        patch.setattr(sample, "SAMPLE", 7)
        if not len(fine(rows)):
            with pytest.raises(InfeasibleError, match="no point of the table is left"):
                pareto(rows, ["latency_s", "bytes.hbm"])
            return
        parts = pareto(rows, ["latency_s", "bytes.hbm"], by="arch")
        patch.setattr(table, "BATCH", 1000)
        whole = pareto(rows, ["latency_s", "bytes.hbm"], by="arch")
    assert parts.table.equals(whole.table) and parts.groups == whole.groups and parts.counts == whole.counts
    assert sorted(map(tuple, parts.cloud)) == sorted(map(tuple, whole.cloud)) and len(parts.cloud) == min(7, len(fine(rows)))


def test_a_group_has_its_own_front_and_the_front_of_all_is_marked() -> None:
    rows = sweep()
    front = pareto(rows, "latency_s,usd_per_mtok", by="arch")
    frame, objectives = fine(rows), {"latency_s": 1, "cost.usd_per_mtok": 1}
    assert front.groups == tuple(dict.fromkeys(frame["arch"]))
    expected = [point for arch in front.groups for point in by_definition(frame[frame["arch"] == arch], objectives)]
    assert points(front) == sorted(expected)
    overall = front.to_dataframe()
    assert sorted(overall["point"][overall["on_overall_front"]]) == by_definition(frame, objectives)
    assert front.top(1).table.num_rows == 2 and front.top(1).counts == front.counts


def test_groups_of_numbers_are_in_their_order() -> None:
    assert pareto(sweep(), "latency_s", by="sizes.B").groups == ("B 1", "B 2", "B 4", "B 8", "B 16", "B 32")


def test_conditions_choose_rows_by_whole_and_short_names() -> None:
    rows = sweep()
    front = pareto(rows, "latency_s,bytes.hbm", where=["sizes.B >= 8 and arch == b200", "usd_per_mtok < 4"])
    frame = fine(rows)
    frame = frame[(frame["sizes.B"] >= 8) & (frame["arch"] == "b200") & (frame["cost.usd_per_mtok"] < 4)]
    assert points(front) == by_definition(frame.reset_index(drop=True), {"latency_s": 1, "bytes.hbm": 1})
    assert front.same["arch"] == "b200"


def test_the_best_comes_first_and_equal_points_are_all_there() -> None:
    rows = pa.table({"point": [0, 1, 2, 3], "sizes.B": [1, 2, 4, 8], "latency_s": [2.0, 1.0, 1.0, 1.0], "energy_j": [1.0, 3.0, 3.0, 4.0]})
    front = attnsim.pareto(rows, minimize=["latency_s", "energy_j"])
    assert front.table.column_names == ["point", "latency_s", "energy_j", "sizes.B"]
    assert front.table["point"].to_pylist() == [1, 2, 0]
    assert [row.split() for row in repr(front).splitlines()] == [
        ["front:", "3", "of", "4", "points;", "lowest", "latency,", "lowest", "energy"],
        [],
        ["latency", "energy", "sizes.B"],
        ["1.00", "s", "3.00", "J", "2"],
        ["1.00", "s", "3.00", "J", "4"],
        ["2.00", "s", "1.00", "J", "1"],
    ]


def test_a_column_that_only_some_files_have_is_empty_in_the_others(tmp_path: Path) -> None:
    pq.write_table(pa.table({"point": [0, 1], "latency_s": [1.0, 2.0], "error": pa.nulls(2)}), tmp_path / "part-000000.parquet")
    other = {"point": [2, 3], "latency_s": [3.0, 4.0], "bytes.l2": [5.0, None], "error": pa.array([None, "no"], pa.string())}
    pq.write_table(pa.table(other), tmp_path / "part-000001.parquet")
    front = pareto(tmp_path, ["latency_s", "bytes.l2"])
    assert points(front) == [2] and (front.counts.failed, front.counts.unvalued) == (1, 2)


def test_a_name_of_late_json_lines_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LOOKED_AT", 2)
    lines: list[dict[str, Any]] = [{"point": n, "error": "does not fit"} for n in range(5)] + [{"point": 5, "latency_s": 1e-3}]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert points(pareto(tmp_path / "s.jsonl", "latency_s")) == [5]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "nothing to minimize or maximize; name columns"),
        ({"minimize": "latencys"}, "has no column 'latencys'; did you mean 'latency_s'?"),
        ({"minimize": "usd_per_mtoken"}, "did you mean 'usd_per_mtok'?"),
        ({"minimize": "hbm"}, "'hbm' may be bytes.hbm or time_by_resource_s.hbm; write one of them"),
        ({"minimize": "latency_s", "maximize": "latency_s"}, "latency_s is named twice"),
        ({"minimize": "bound"}, "column 'bound' holds text; objectives are numbers, such as latency_s"),
        ({"minimize": "latency_s", "by": "archs"}, "did you mean 'arch'?"),
        ({"minimize": "latency_s", "where": "sizes.Q > 1"}, "--where: unknown field 'sizes.Q'"),
        ({"minimize": "latency_s", "where": "__import__('os')"}, "--where: "),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(asked: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        pareto(sweep(), **asked)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_too_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"point": np.arange(2000), "latency_s": np.arange(2000.0)})
    with pytest.raises(UsageError, match="--by point makes more than 1000 groups"):
        pareto(rows, "latency_s", by="point")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("s.parquet", b"PAR1 no", "cannot read"),
        ("s.csv", b"", "is empty"),
        ("s.csv", b"point,latency_s\n0,1.0\n1,2.0\n2,fast\n", "holds text"),
        ("s.jsonl", b'{"latency_s": 1}\n[2]\n', "s.jsonl:2: not a JSON object"),
        ("s.jsonl", b'{"latency_s": 1}\n{"latency_s": "x"}\n', "holds text"),
        ("s.txt", b"x", "end the name in .parquet, .pq, .csv"),
    ],
)
def test_a_file_that_is_none(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        pareto(tmp_path / name, "latency_s")
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_text_far_down_a_csv_is_told(tmp_path: Path) -> None:
    lines = ["latency_s", *("1.5" for _ in range(600_000)), "fast"]
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(UsageError, match="cannot read .*s.csv.*fast"):
        pareto(tmp_path / "s.csv", "latency_s")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        pareto(tmp_path / "s.parquet", "latency_s")
    with pytest.raises(UsageError, match="holds no Parquet files"):
        pareto(tmp_path, "latency_s")


def test_a_frame_of_pandas_is_a_sweep() -> None:
    rows = sweep()
    assert points(pareto(rows.to_pandas(), "latency_s,bytes.hbm")) == points(pareto(rows, "latency_s,bytes.hbm"))


def test_infinite_values_are_worst_and_not_left_out() -> None:
    rows = pa.table({"point": [0, 1, 2], "latency_s": [float("inf"), 1.0, 1.0], "energy_j": [1.0, 2.0, float("inf")]})
    assert points(pareto(rows, "latency_s,energy_j")) == [0, 1]
