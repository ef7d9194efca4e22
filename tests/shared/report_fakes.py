"""A small made-up machine and results in the shape of the real ones, with round numbers that a test can check by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class Machine:
    """100 processors at 1 GHz: 1 PFLOP/s on the tensor unit, 50 TFLOP/s on the vector unit, 2 TB/s memory, 5 TB/s L2, 30 TB/s SMEM."""

    name = "toy"
    title = "Toy GPU"
    processors = 100
    processor_name = "SM"
    units = {"tensor": None, "vector": None, "sfu": None}
    levels = (
        SimpleNamespace(name="hbm", bandwidth=2e12),
        SimpleNamespace(name="l2", bandwidth=5e12),
        SimpleNamespace(name="smem", bandwidth=30e12),
        SimpleNamespace(name="register", bandwidth=None),
    )

    def peak_flops(self, dtype: str) -> float:
        return {"bf16": 1e15, "fp16": 1e15, "fp8": 2e15}[dtype]

    def matmul_unit(self, dtype: str) -> str | None:
        return "tensor"

    def op_rate(self, unit: str, op: str, dtype: str) -> float | None:
        return {("vector", "mac", "fp32"): 250.0 * 1e9 * self.processors}.get((unit, op, dtype))

    def clock(self, unit: str, which: str = "nominal") -> float:
        return 1e9 if which == "nominal" else 1.2e9


def kernel(**changes: Any) -> Any:
    fields: dict[str, Any] = {
        "name": "attention",
        "latency_s": 1e-3,
        "bound": "tensor",
        "tile": {"P": 128, "M": 176},
        "ctas": 2048,
        "ctas_per_processor": 1,
        "waves": 20.48,
        "slots": 100,
        "splits": 1,
        "limiter": "smem",
        "dtype": "bf16",
    }
    return SimpleNamespace(**(fields | changes))


def result(name: str = "prefill", **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "name": name,
        "kind": "kernel",
        "schedule": "flash-attention-3",
        "dtype": "bf16",
        "direction": "forward",
        "cascade": "attention-1pass",
        "sizes": {"B": 1, "H": 32, "G": 8, "P": 8192, "M": 8192, "E": 128, "F": 128},
        "flops": 500_000_000_000,
        "latency_s": 1e-3,
        "lower_bound_s": 5e-4,
        "lower_bound_by_resource_s": {"tensor": 5e-4, "sfu": 3e-4, "hbm": 1e-4},
        "bound": "tensor",
        "flops_by_unit": {"tensor": 500_000_000_000, "vector": 20_000_000_000, "sfu": 1_000_000_000},
        "ops_by_kind": {"mac": 250_000_000_000, "exp": 1_000_000_000, "max": 1_000_000_000},
        "bytes": {"hbm": 200_000_000, "l2": 2_000_000_000, "smem": 10_000_000_000},
        "bytes_by_tensor": {"hbm": {"Q": {"read": 67_000_000, "write": 0}, "AV": {"read": 0, "write": 67_000_000}}, "l2": {}, "smem": {}},
        "passes": {"M": 1},
        "footprint_bytes": 200_000_000,
        "utilization": {"tensor": 0.8, "sfu": 0.3, "hbm": 0.1},
        "energy_j": 0.6,
        "speedup_upper_bound": 2.0,
        "time_by_resource_s": {"tensor": 9e-4, "sfu": 3e-4, "hbm": 1e-4, "l2": 4e-4},
        "mask": {
            "kind": "causal",
            "description": "causal (bottom-right aligned)",
            "attended_pairs": 33_558_528,
            "density": 0.5,
            "tile_pairs_kernel": 2080,
            "tile_pairs_partial": 64,
            "tile_pairs_all": 4096,
            "block_sparse": False,
        },
        "kernels": (kernel(),),
        "clock_hz": 1.0e9,
        "assumptions": ("power limit 700 W lowers the clock",),
        "end_to_end": {},
    }
    return SimpleNamespace(**(fields | changes))


def report(*results: Any, name: str = "prefill", arch: str = "toy") -> Any:
    made = results or (result(name),)
    return SimpleNamespace(
        workload_name=name,
        workload_sha256="a" * 64,
        arch_name=arch,
        arch_sha256="b" * 64,
        machine=Machine(),
        results=tuple(made),
        assumptions=("dense peak",),
    )
