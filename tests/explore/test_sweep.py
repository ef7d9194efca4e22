from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnsim
from attnsim.errors import InfeasibleError, SpecError, UsageError
from attnsim.evaluate.flat import flatten
from attnsim.explore.answer import points
from attnsim.explore.answer.columns import DETAILS
from attnsim.explore.answer.points import evaluate_settings
from attnsim.explore.answer.scalar import Group
from attnsim.explore.build import build_plan
from attnsim.explore.execute import local
from attnsim.explore.execute.local import run_local
from attnsim.explore.output.sinks import File, Frames
from attnsim.explore.plan.axes import vary
from attnsim.explore.plan.plan import Plan, Settings, SweepError

PREFILL, H100 = "llama3-8b-prefill", "h100_sxm"


def single(workload: str, arch: str, sets: tuple[str, ...], schedule: str | None = None) -> dict[str, Any]:
    """What `attnsim run` answers, without the details that a sweep leaves out."""
    row = flatten(attnsim.run(workload, arch, schedule, sets=sets).to_dict()["results"][0])
    return {name: value for name, value in row.items() if not any(name == word or name.startswith(f"{word}.") for word in DETAILS)}


def assert_same(row: dict[str, Any], expected: dict[str, Any], fields: list[str]) -> None:
    for name, value in expected.items():
        if value is not None and name not in fields:
            assert row[name] == value if isinstance(value, str) else math.isclose(row[name], value, rel_tol=1e-12), name
    extra = {name for name, value in row.items() if name not in expected and not pd.isna(value)}
    assert extra <= {"point", "arch", *fields}


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "prefill": (PREFILL, H100, {"sizes.P,sizes.M": "1k,3000", "dtype": "bf16,fp8", "conditions.launch": "graph,stream"}),
    "machines": (PREFILL, H100, {"arch": "h100_sxm,b200,epyc_7763", "sizes.M": "2k,8k"}),
    "machine field": (PREFILL, H100, {"arch.levels.hbm.bandwidth": "1 TB/s,2 TB/s", "sizes.B": "1,3"}),
    "schedules": (PREFILL, H100, {"schedule": "fa2,fa3", "sizes.E,sizes.F": "64,128"}),
    "masks": (PREFILL, H100, {"mask": ["{kind: dense}", {"kind": "window", "left": 511}], "sizes.P": [128, 4096]}),
    "decode": ("llama3-8b-decode", H100, {"sizes.B": "1,64", "sizes.M": "1k,32k"}),
    "arrays": ("fusemax-bert-attention", "fusemax_cloud", {"sizes.M,sizes.P": "1k,4k", "schedule": "fusemax,unfused"}),
    "layer": ("fusemax-bert-encoder", "fusemax_cloud", {"sizes.M,sizes.P": "1k,2k"}),
    "model": ("llama3-70b-serving", "h200", {"context": "1k,8k", "batch": [8, 16], "deployment.tp": [4, 8], "prices": "list-2026-09"}),
    "phases": ("deepseek-v3-ep128", "h800", {"batch": "1k,2k", "context": [4096]}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_row_is_what_run_answers(case: str) -> None:
    workload, arch, varied = CASES[case]
    frame = attnsim.sweep(workload, arch, varied)
    assert isinstance(frame, pd.DataFrame) and len(frame) and frame["error"].isna().all()
    assert frame["point"].tolist() == list(range(len(frame)))
    fields = [name for fields in varied for name in fields.split(",")]
    for row in frame.to_dict("records"):
        machine, schedule = row.get("arch"), row.get("schedule") if "schedule" in fields else None
        sets = [f"{name}={row[name]}" for name in fields if name not in ("arch", "schedule")]
        expected = single(workload, str(machine), tuple(sets), schedule)
        assert_same(row, expected, fields)


def test_details_are_there_when_asked_for() -> None:
    frame = attnsim.sweep(PREFILL, H100, {"sizes.M": "1k,2k"}, columns=["bytes_by_tensor.hbm", "assumptions", "flops", "attended_pairs"])
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "point", "sizes.M", "arch", "assumptions", "bytes_by_tensor.hbm.AV.write", "bytes_by_tensor.hbm.K.read",
        "bytes_by_tensor.hbm.Q.read", "bytes_by_tensor.hbm.V.read", "flops", "mask.attended_pairs", "error",
    ]  # fmt: skip
    assert frame["assumptions"].str.contains("launch: graph").all()


def test_only_the_lower_bound() -> None:
    frame = attnsim.sweep(PREFILL, H100, {"sizes.M": "1k,2k"}, only="lower-bound")
    assert isinstance(frame, pd.DataFrame) and "latency_s" not in frame and "bytes.hbm" not in frame
    assert frame["lower_bound_s"].tolist() == [single(PREFILL, H100, (f"sizes.M={m}",))["lower_bound_s"] for m in (1024, 2048)]


def test_mask_window_is_the_keys_that_a_query_sees() -> None:
    windowed = {"extends": PREFILL, "mask": {"kind": "window", "left": 5, "right": 3}}
    frame = attnsim.sweep(windowed, H100, {"mask.window": "4,1k"}, columns=["latency_s", "attended_pairs"])  # type: ignore[arg-type]
    expected = [attnsim.run(windowed, H100, sets=[f"mask.left={left}"]).results[0] for left in (0, 1020)]
    assert isinstance(frame, pd.DataFrame)
    assert frame["mask.attended_pairs"].tolist() == [one.mask["attended_pairs"] for one in expected]
    assert frame["latency_s"].tolist() == [one.latency_s for one in expected]
    with pytest.raises(
        UsageError, match="mask.window must be a whole number of at least 4, the query's own key and those right of it, not 3"
    ):
        attnsim.sweep(windowed, H100, {"mask.window": [3]})
    # of a neighborhood it is the mask's own field
    frame = attnsim.sweep("hunyuanvideo-gna", "b200", {"mask.window": ["[18, 24, 24]", [30, 48, 80]]}, columns=["mask.density"])
    assert isinstance(frame, pd.DataFrame) and frame["mask.density"].iloc[1] == 1.0 and frame["mask.density"].iloc[0] < 0.2


def test_points_that_cannot_be_had_keep_their_row() -> None:
    frame = attnsim.sweep(PREFILL, H100, {"schedule": "fa3,flash-attention-4", "sizes.G": "8,3"}, columns=["latency_s"])
    assert isinstance(frame, pd.DataFrame)
    assert frame["latency_s"].notna().tolist() == [True, False, False, False]
    with pytest.raises(InfeasibleError) as error:
        attnsim.run(PREFILL, H100, "flash-attention-4")
    assert frame["error"].iloc[2] == error.value.issues[0].message
    assert frame["error"].iloc[1] == "sizes.G: G = 3 must divide H = 32: a group holds H/G heads"


def test_a_null_is_filled_with_what_was_chosen() -> None:
    frame = attnsim.sweep("llama3-70b-serving", H100, {"batch": [None, 8], "slo.tpot": "40 ms"}, columns=["tpot_s"])
    assert isinstance(frame, pd.DataFrame) and frame["batch"].tolist() == [54, 8]
    frame = attnsim.sweep(PREFILL, H100, {"schedule": "null,fa2"}, columns=["latency_s"])
    assert isinstance(frame, pd.DataFrame) and frame["schedule"].tolist() == ["flash-attention-3", "fa2"]


@settings(max_examples=15)
@given(st.integers(1, 7), st.sampled_from(["sizes.M >= sizes.P", "sizes.B % 2 == 0 or dtype == fp8", "not sizes.M > 3k"]))
def test_chunks_change_nothing(size: int, text: str) -> None:
    axes = [vary("sizes.M", "1k..4k:log2"), vary("dtype", "bf16,fp8"), vary("sizes.B", "1..3:+1")]
    plan = build_plan(PREFILL, H100, axes, [text], sets=["sizes.P=2048"], columns=["latency_s", "bound"])
    whole = evaluate_settings(plan, plan.settings(0, plan.count))
    parts = [evaluate_settings(plan, plan.settings(at * size, (at + 1) * size)) for at in range(plan.chunks(size))]
    assert pa.concat_tables(parts).equals(whole)
    assert all(part.schema.equals(plan.schema) for part in parts)


def test_a_column_that_nobody_foresaw_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = build_plan(PREFILL, H100, [vary("sizes.M", "1k,2k")])

    def surprising(group: Group) -> dict[str, Any]:
        return {"latency_s": [1.0] * group.count, "bytes.l9": [2.0] * group.count, "error": [None] * group.count}

    monkeypatch.setattr(points, "answer_group", surprising)
    with pytest.raises(RuntimeError, match=r"column bytes\.l9 of point 0 or one beside it was not foreseen"):
        evaluate_settings(plan, plan.settings(0, 2))


def test_answers_may_be_arrays_lists_or_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = build_plan(
        PREFILL, H100, [vary("sizes.M", "1k..4k:log2"), vary("dtype", "bf16,fp8")], columns=["latency_s", "bound", "passes", "schedule"]
    )

    def answers(group: Group) -> dict[str, Any]:
        assert group.sizes["M"].tolist() == [1024, 2048, 4096]
        return {
            "latency_s": np.array([1.0, np.nan, 3.0]), "bound": ["hbm", None, "tensor"], "passes.M": 1,
            "schedule": group.document.data["dtype"],
            "error": [None, "no", None], "kind": "never asked for",
        }  # fmt: skip

    monkeypatch.setattr(points, "answer_group", answers)
    rows = evaluate_settings(plan, plan.settings(0, 6)).to_pylist()
    assert [row["latency_s"] for row in rows] == [1.0, 1.0, None, None, 3.0, 3.0]
    assert [row["bound"] for row in rows] == ["hbm", "hbm", None, None, "tensor", "tensor"]
    assert [row["schedule"] for row in rows] == ["bf16", "fp8"] * 3
    assert [row["passes.M"] for row in rows] == [1] * 6 and [row["error"] for row in rows] == [None, None, "no", "no", None, None]


# --- files ------------------------------------------------------------------------------


def test_parquet_says_where_its_points_come_from(tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    done = attnsim.sweep(PREFILL, H100, {"sizes.M": "1k..1M:log2", "arch": "h100_sxm,h200"}, filters=["sizes.M <= 4k"], output=out)
    assert done == out and sorted(path.name for path in tmp_path.iterdir()) == ["s.parquet"]
    table = pq.read_table(out)
    assert table.num_rows == 6 and table["point"].to_pylist() == [0, 1, 2, 3, 4, 5]
    about = json.loads(table.schema.metadata[b"attnsim"])
    report = attnsim.run(PREFILL, "h200").to_dict()
    assert about["archs"]["h200"] == report["arch"]["sha256"] and about["workload"] == report["workload"]
    assert about["schema"] == 1 and about["attnsim"] == attnsim.__version__ and about["filters"] == ["sizes.M <= 4k"]
    assert about["axes"][0] == {"fields": ["sizes.M"], "count": 11, "values": [[2**power for power in range(10, 21)]]}


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_all_forms_hold_the_same(tmp_path: Path, ending: str) -> None:
    varied = {"sizes.M": "1k..4k:log2", "schedule": "fa2,flash-attention-4"}
    expected = attnsim.sweep(PREFILL, H100, varied)
    assert isinstance(expected, pd.DataFrame)
    out = tmp_path / f"s.{ending}"
    attnsim.sweep(PREFILL, H100, varied, output=out, chunk=2)
    if ending == "parquet":
        found = pq.read_table(out).to_pandas()
    elif ending == "csv":
        found = pd.read_csv(out)
    else:
        found = pd.read_json(out, lines=True, precise_float=True).reindex(columns=expected.columns)
    assert list(found.columns) == list(expected.columns)
    for name in expected.columns:
        same = found[name].isna() & expected[name].isna() | (found[name] == expected[name])
        if pd.api.types.is_float_dtype(expected[name]):
            same |= pd.Series(np.isclose(found[name].astype(float), expected[name], rtol=1e-14, atol=0))
        assert same.all(), name
    if ending != "parquet":
        assert json.loads((tmp_path / f"s.{ending}.meta.json").read_text())["count"] == 6


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SpecError("wrong")])
def test_what_goes_wrong_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, error: Any) -> None:
    out = tmp_path / f"s.{ending}"
    out.write_text("old")
    calls = []

    def breaking(plan: Plan, asked: Settings) -> pa.Table:
        calls.append(len(asked))
        if len(calls) == 2:
            raise error
        return evaluate_settings(plan, asked)

    monkeypatch.setattr(local, "evaluate_settings", breaking)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else SpecError):
        attnsim.sweep(PREFILL, H100, {"sizes.M": "1k..8k:log2"}, output=out, chunk=2)
    assert calls == [2, 2] and out.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == [out.name]


def test_many_small_tables_make_few_row_groups(tmp_path: Path) -> None:
    out = tmp_path / "s.parquet"
    schema = pa.schema([pa.field("point", pa.int64())])
    sink = File(out, "parquet", schema, {})
    for start in range(0, 150_000, 1000):
        sink.write(pa.table({"point": np.arange(start, start + 1000)}, schema=schema))
    sink.close()
    file = pq.ParquetFile(out)
    assert file.metadata.num_rows == 150_000 and file.metadata.num_row_groups == 3
    assert file.read()["point"].to_numpy().tolist() == list(range(150_000))


def test_chunks_grow_and_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = build_plan(PREFILL, H100, [vary("sizes.M", "1..300000:+1"), vary("sizes.B", "1,2")], columns=["latency_s"])
    sizes: list[int] = []

    def quick(plan: Plan, asked: Settings) -> pa.Table:
        sizes.append(len(asked))
        return pa.table({"point": asked.index, "error": pa.nulls(len(asked), pa.string())})

    monkeypatch.setattr(local, "evaluate_settings", quick)
    told: list[int] = []
    sink = Frames(pa.schema([]))
    done = run_local(plan, sink, lambda count, _: told.append(count))
    assert done.rows == 600_000 == sum(sizes) and told[-1] == 600_000 and told == sorted(told)
    assert sizes[0] == local.FIRST_CHUNK and max(sizes) <= local.MOST_IN_CHUNK
    assert sink.table()["point"].to_numpy().tolist() == list(range(600_000))


# --- mistakes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("varied", "more", "message"),
    [
        ({"sizes.Q": [1]}, {}, "unknown field 'sizes.Q'; the ranks are B, H, P, M, E, F, G"),
        ({"size.M": [1]}, {}, "unknown field 'size.M'; did you mean 'sizes.M'?"),
        ({"mask.knd": ["causal"]}, {}, "unknown field 'mask.knd'; did you mean 'mask.kind'?"),
        ({"conditions.lunch": ["graph"]}, {}, "unknown field 'conditions.lunch'; did you mean 'conditions.launch'?"),
        ({"batch": [1]}, {}, "unknown field 'batch'"),
        ({"arch.levls.l2.latency": ["1 us"]}, {}, "unknown field 'arch.levls.l2.latency'; did you mean 'arch.levels.l2.latency'?"),
        ({"arch.levels.hbm.bandwidth": ["1 W"]}, {}, "arch.levels.hbm.bandwidth: cannot read '1 W' as B/s; write for example '1 TB/s'"),
        ({"arch": ["h101_sxm"]}, {}, "arch: unknown arch 'h101_sxm'; did you mean 'h100_sxm'?"),
        ({"sizes.M": "1k,x"}, {}, "sizes.M must be whole numbers of at least 1, not 'x'"),
        ({"sizes.M": "0..4:+1"}, {}, "sizes.M must be whole numbers of at least 1, not 0"),
        ({"sizes.M": "1k", "sizes.P,sizes.M": "2k"}, {}, "sizes.M varies more than once; give all its values in one place"),
        ({"direction": "forward,sideways"}, {}, "direction: must be one of forward, backward, not 'sideways'"),
        ({"schedule.loops.0.rank": ["P"]}, {}, "the workload names no schedule to change; add --schedule NAME"),
        ({"sizes.M": "1k"}, {"filters": ["sizs.M > 1"]}, "filter: unknown field 'sizs.M' at column 1 of 'sizs.M > 1'; did you mean 'size"),
        ({"sizes.M": "1k"}, {"filters": ["sizes.M"]}, "filter: 'sizes.M' has a number at column 1 where a condition is needed"),
        ({"sizes.M": "1k"}, {"columns": ["latency"]}, "there is no column 'latency'; did you mean 'latency_s'?"),
        ({"sizes.M": "1k"}, {"only": "upper"}, "only 'upper' is none of all, lower-bound"),
        ({"sizes.M": "1k"}, {"output": "x.txt"}, "cannot tell the form of 'x.txt' by its ending; end it in .parquet, .csv or .jsonl"),
        (
            {"sizes.M": range(1, 10**6 + 1), "sizes.B": range(1, 10**6 + 1)},
            {},
            "1,000,000,000,000 points (sizes.M 1,000,000 x sizes.B 1,000,000) are more than 100,000,000; narrow an axis, or add --yes",
        ),
        ({"sizes.M": "1..1e12:+1", "sizes.B": "1..1e12:+1"}, {"most": None}, "are more than 9,223,372,036,854,775,807; narrow an axis"),
    ],
)  # fmt: skip
def test_a_sweep_that_cannot_be_is_one_line(varied: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        attnsim.sweep(PREFILL, H100, varied, **more)
    assert len(str(error.value).splitlines()) == 1 and message in str(error.value)


def test_mistakes_of_models() -> None:
    for varied, message in (
        ({"deployment.tpp": [2]}, "unknown field 'deployment.tpp'; did you mean 'deployment.tp'?"),
        ({"model": "llama3-8b,step4"}, "model: unknown model 'step4'; did you mean 'step3'?"),
        ({"prices": "list-2026-09,x", "batch": "1,2"}, "prices: unknown price profile 'x'"),
        ({"context": [1.5]}, "context must be whole numbers of at least 1, not 1.5"),
    ):
        with pytest.raises(SweepError, match=message):
            attnsim.sweep("llama3-70b-serving", H100, varied)
    with pytest.raises(SpecError, match=r"leave --schedule out \(with schedule=fa2\)"):
        attnsim.sweep("llama3-70b-serving", H100, {"schedule": "fa2"})
