"""AIConfigurator's tables: found, picked, read as timed calls, and written as measurement files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from aic_tables import CONTEXT, GEMM, GENERATION, MOE, write

from attnsim.errors import MissingDataError, UsageError
from attnsim.importers import aiconfigurator as aic
from attnsim.importers.aiconfigurator_csv import measurements
from attnsim.machine import load_machine
from attnsim.spec.library import find

pytest.importorskip("pyarrow")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path, "context_attention", [CONTEXT, {**CONTEXT, "isl": 64}])
    write(tmp_path, "context_attention", [{**CONTEXT, "kernel_source": "vllm_flash_attn_fa3"}], framework="vllm", version="0.24.0")
    write(tmp_path, "generation_attention", [GENERATION])
    write(tmp_path, "gemm", [GEMM], version="0.5.6.post2")
    write(tmp_path, "gemm", [{**GEMM, "m": 256}], version="0.5.10")
    write(tmp_path, "moe", [MOE])
    return tmp_path


def read(data: Path, op: str, **more: Any) -> tuple[aic.Row, ...]:
    return aic.read(aic.pick(data, "h100_sxm", op, **more))


def test_prefill_has_as_many_queries_as_keys_and_decode_one_query_over_the_step_and_itself(data: Path) -> None:
    first = read(data, "context_attention")[0]
    assert first == aic.Call("fa3", 1, 32, 8, 4096, 4096, 128, 128, 0, "bf16", "bf16", pytest.approx(5e-4))
    (decode,) = read(data, "generation_attention")
    assert isinstance(decode, aic.Call) and (decode.queries, decode.keys, decode.batch) == (1, 8192, 16)


def test_products_and_expert_layers_are_read(data: Path) -> None:
    assert read(data, "gemm") == (aic.Product("torch", "bf16", 256, 4096, 1024, pytest.approx(2e-5)),)
    (layer,) = read(data, "moe")
    assert isinstance(layer, aic.ExpertLayer) and (layer.tokens, layer.experts, layer.top_k, layer.tp, layer.ep) == (64, 128, 8, 1, 2)


def test_rows_with_one_key_are_one_row_with_the_median_and_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "context_attention", [{**CONTEXT, "latency": ms} for ms in (1.0, 9.0, 2.0)] + [{**CONTEXT, "isl": 8}])
    rows = read(tmp_path, "context_attention")
    assert [(row.times, row.time_s) for row in rows] == [(3, pytest.approx(2e-3)), (1, pytest.approx(5e-4))]
    assert aic.repeated(rows) == 2


def test_windows_count_the_own_key_and_do_nothing_where_they_reach_all_keys(tmp_path: Path) -> None:
    old = {key: value for key, value in CONTEXT.items() if key != "window_size"}
    write(tmp_path, "context_attention", [{**CONTEXT, "window_size": w} for w in (128, 4096, 8192)])
    assert [row.left for row in read(tmp_path, "context_attention") if isinstance(row, aic.Call)] == [127, None, None]
    write(tmp_path, "context_attention", [old], version="0.5.15")
    assert [row.left for row in read(tmp_path, "context_attention") if isinstance(row, aic.Call)] == [None]


def test_sglang_times_heads_of_192_with_values_of_128(tmp_path: Path) -> None:
    for framework in ("sglang", "vllm"):
        write(tmp_path, "context_attention", [CONTEXT, {**CONTEXT, "head_dim": 192}], framework=framework)
    widths = {
        f: [r.head_dim_v for r in read(tmp_path, "context_attention", framework=f) if isinstance(r, aic.Call)] for f in ("sglang", "vllm")
    }
    assert widths == {"sglang": [128, 128], "vllm": [128, 192]}


def test_the_newest_version_of_the_first_framework_is_taken(data: Path) -> None:
    assert aic.pick(data, "h100_sxm", "gemm").version == "0.5.10"
    assert aic.pick(data, "h100_sxm", "context_attention").framework == "sglang"
    assert aic.pick(data, "h100_sxm", "context_attention", "vllm").version == "0.24.0"
    order = ["0.5.6", "0.5.6.post2", "0.5.10", "1.3.0rc9", "1.3.0rc20", "1.3.0"]
    assert sorted(reversed(order), key=aic.version_key) == order


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("h100", "gemm"), "no system 'h100'; did you mean 'h100_sxm'?"),
        (("h100_sxm", "context_atention"), "did you mean 'context_attention'?"),
        (("h100_sxm", "gemm", "vlm"), "no framework 'vlm'; there is sglang"),
        (("h100_sxm", "gemm", "sglang", "0.5.1"), "no version '0.5.1'; did you mean '0.5.10'?"),
    ],
)
def test_unknown_names_get_the_nearest_one(data: Path, asked: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError) as error:
        aic.pick(data, *asked)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_other_tables_are_refused_by_name(data: Path) -> None:
    write(data, "context_mla", [CONTEXT])
    with pytest.raises(UsageError, match="'context_mla' are not read.*those that are: context_attention"):
        read(data, "context_mla")


def test_a_folder_may_be_named_at_any_depth_or_in_the_environment(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert aic.find_data(data) == data
    deep = tmp_path / "package/aiconfigurator_core/systems/data"
    write(deep, "gemm", [GEMM])
    assert aic.find_data(tmp_path / "package") == deep
    monkeypatch.setenv(aic.VARIABLE, str(tmp_path / "package"))
    assert aic.find_data() == deep
    with pytest.raises(MissingDataError, match="no tables of AIConfigurator in"):
        aic.find_data(tmp_path / "nowhere")


def test_without_the_package_or_pyarrow_one_line_says_what_to_install(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(aic.VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDataError, match="pip install --no-deps aiconfigurator-core==0.12.0"):
        aic.find_data()
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDataError, match="pip install pyarrow"):
        read(data, "gemm")


def test_a_broken_file_and_a_missing_column_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "gemm", [{key: value for key, value in GEMM.items() if key != "k"}])
    with pytest.raises(MissingDataError, match="gemm_perf.parquet: has no column 'k'"):
        read(tmp_path, "gemm")
    path.write_bytes(b"no parquet")
    with pytest.raises(MissingDataError, match="is no readable Parquet file"):
        read(tmp_path, "gemm")


@pytest.mark.parametrize(
    ("system", "op", "framework", "source", "schedule"),
    [
        ("h100_sxm", "context_attention", "sglang", "fa3", "sglang-fa3-prefill"),
        ("h200_sxm", "generation_attention", "vllm", "vllm_flash_attn_fa3", "vllm-fa3-decode"),
        ("a100_sxm", "context_attention", "sglang", "flash_attention", "sglang-fa3-prefill-a100"),
        ("a100_sxm", "generation_attention", "vllm", "vllm_flash_attn", "vllm-fa2-decode"),
        ("h100_sxm", "context_attention", "sglang", "flash_attention", "flash-attention-3"),
        ("b200_sxm", "context_attention", "sglang", "trtllm_mha", "trtllm-gen-prefill"),
        ("b200_sxm", "generation_attention", "vllm", "vllm_flashinfer_trtllmdecode", "trtllm-gen-decode"),
        ("h100_sxm", "context_attention", "trtllm", "torch_flow", "cudnn"),
        ("h100_sxm", "gemm", "sglang", "anything", "matmul"),
        ("h100_sxm", "generation_attention", "vllm", "vllm_flash_attn_fa4", ""),
        ("b200_sxm", "context_attention", "sglang", "triton", ""),
        ("h100_sxm", "context_attention", "sglang", "unheard_of", ""),
        ("h100_sxm", "moe", "sglang", "anything", ""),
    ],
)
def test_each_kernel_has_a_schedule_or_a_reason(system: str, op: str, framework: str, source: str, schedule: str) -> None:
    rule = next(rule for rule in aic.kernel_map().kernels if rule.holds(op, source, system, framework))
    assert rule.schedule == schedule and bool(rule.reason) != bool(schedule)


def test_the_map_names_schedules_and_machines_of_the_library() -> None:
    shipped = aic.kernel_map()
    assert all(find("schedule", rule.schedule) for rule in shipped.kernels if rule.schedule)
    assert all(load_machine(arch) for arch in shipped.machines.values())


def test_a_measurement_file_says_where_it_is_from_and_what_it_leaves_out(tmp_path: Path) -> None:
    rows = [
        GENERATION, {**GENERATION, "latency": 0.4}, {**GENERATION, "kv_cache_dtype": "fp8"}, {**GENERATION, "kernel_source": "triton"},
        {**GENERATION, "window_size": 128},
    ]  # fmt: skip
    write(tmp_path, "generation_attention", rows)
    table = aic.pick(tmp_path, "h100_sxm", "generation_attention")
    made = measurements(table, aic.read(table))
    comments = [line for line in made.text.splitlines() if line.startswith("#")]
    assert any("Apache-2.0" in line for line in comments) and any("sglang 0.5.14" in line for line in comments)
    assert any("1 rows are left out: fp8 keys and values" in note for note in made.notes) and any("Triton" in note for note in made.notes)
    assert any("1 rows repeat" in note for note in made.notes) and made.rows == 2
    assert made.text.splitlines()[len(comments) :] == [
        "backend,kernel,direction,dtype,batch,heads_q,heads_kv,seqlen_q,seqlen_kv,head_dim,head_dim_v,causal,window,time_us",
        "sglang fa3,sglang-fa3-decode,forward,bf16,16,32,8,1,8192,128,128,0,,300",
        "sglang fa3,sglang-fa3-decode,forward,bf16,16,32,8,1,8192,128,128,1,127,200",
    ]


def test_block_scaled_products_are_left_out_and_expert_layers_come_with_columns_of_their_own(data: Path) -> None:
    write(data, "gemm", [GEMM, {**GEMM, "gemm_dtype": "fp8_block"}, {**GEMM, "gemm_dtype": "fp8"}], version="1.0")
    made = measurements(table := aic.pick(data, "h100_sxm", "gemm"), aic.read(table))
    assert made.rows == 2 and made.notes == ("1 rows are left out: fp8_block, a format with scales of its own",)
    made = measurements(table := aic.pick(data, "h100_sxm", "moe"), aic.read(table))
    assert made.rows == 1 and "not scored: a row is a whole fused expert layer" in made.text


def test_a_table_known_to_be_wrong_says_so(tmp_path: Path) -> None:
    write(tmp_path, "generation_attention", [{**GENERATION, "kernel_source": "torch_flow"}], "a100_sxm", "trtllm", "1.0.0")
    made = measurements(table := aic.pick(tmp_path, "a100_sxm", "generation_attention"), aic.read(table))
    assert any("known to be wrong: 38 % of it" in note for note in made.notes)
