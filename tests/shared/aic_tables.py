"""A folder laid out as AIConfigurator's, with a few rows that are told by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONTEXT = {
    "kernel_source": "fa3", "batch_size": 1, "isl": 4096, "num_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "beam_width": 1,
    "attn_dtype": "bfloat16", "kv_cache_dtype": "bfloat16", "step": 0, "window_size": 0, "latency": 0.5,
}  # fmt: skip
GENERATION = {**CONTEXT, "isl": 1, "step": 8191, "batch_size": 16, "latency": 0.2}
GEMM = {"kernel_source": "torch", "gemm_dtype": "bfloat16", "m": 128, "n": 4096, "k": 1024, "latency": 0.02}
MOE = {
    "kernel_source": "triton", "moe_dtype": "bfloat16", "num_tokens": 64, "hidden_size": 4096, "inter_size": 1536, "topk": 8,
    "num_experts": 128, "moe_tp_size": 1, "moe_ep_size": 2, "distribution": "balanced", "latency": 0.3,
}  # fmt: skip


def write(
    data: Path, op: str, rows: list[dict[str, Any]], system: str = "h100_sxm", framework: str = "sglang", version: str = "0.5.14"
) -> Path:
    """Rows as `<system>/<folder>/<framework>/<version>/<op>_perf.parquet` under `data`."""
    import pyarrow
    from pyarrow.parquet import write_table

    path = data / system / op.rpartition("_")[2] / framework / version / f"{op}_perf.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pyarrow.Table.from_pylist(rows), path)
    return path
