"""Columns of a measurement file: one CSV for all kinds of kernels, a row a timed call; `measure` writes it, `validate` and others read it.

`kernel` says what a row is about, and with it which columns the row must fill; the others stay empty. Columns named nowhere here are
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Kind = Literal["attention", "product", "rowwise", "collective", "model", "micro"]

ATTENTION: Final = (
    "kernel", "direction", "dtype", "batch", "heads_q", "heads_kv", "seqlen_q", "seqlen_kv", "head_dim", "head_dim_v", "causal", "window",
    "time_us",
)  # fmt: skip
"""Attention: any schedule of the library. Window empty: none. `mask` (the `mask:` field of a workload as YAML on one line) replaces causal
and window where it is filled; `lengths` ("512;1024": keys of each sequence of a ragged batch) goes with seqlen_kv, the longest of them; a
ragged batch with seqlen_q = seqlen_kv has as many queries as keys in each sequence."""

PRODUCT: Final = ("kernel", "dtype", "m", "n", "k", "time_us")
"""Matrix products: kernel `matmul` (on CPUs OpenBLAS) or `mkl-matmul`; or `grouped-matmul` with `experts`, m the rows of each expert."""

ROWWISE: Final = ("kernel", "operation", "dtype", "m", "n", "time_us")
"""Norms and activations: kernel `row-norm` or `elementwise`; operation: the cascade (rms-norm, add-rms-norm, silu-mul, residual-add)."""

COLLECTIVE: Final = ("kernel", "devices", "bytes", "time_us")
"""Collectives: kernel all-reduce, all-gather, reduce-scatter, all-to-all, broadcast or send; bytes as `attnsim.evaluate.collectives` counts
them; `algorithm`: the one that was run where that is known."""

MODEL: Final = ("kernel", "model", "phase", "dtype", "batch", "context", "devices", "time_us")
"""One step of a whole model: kernel `model`; phase prefill or decode; devices: those a step is cut over (tensor parallel). `layers`: the
layers that were run where those are fewer than the model's."""

MICRO: Final = ("kernel", "bytes", "time_us")
"""What a machine's `measured` fields are found from: kernel copy, read, triad, l2-read, launch-stream, launch-graph, launch-floor ...
and bytes (0 for a launch)."""

COLUMNS_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    "attention": ATTENTION, "product": PRODUCT, "rowwise": ROWWISE, "collective": COLLECTIVE, "model": MODEL, "micro": MICRO,
}  # fmt: skip

KINDS: Final[Mapping[str, Kind]] = {
    "matmul": "product", "mkl-matmul": "product", "grouped-matmul": "product", "row-norm": "rowwise", "elementwise": "rowwise",
    "all-reduce": "collective", "all-gather": "collective", "reduce-scatter": "collective", "all-to-all": "collective",
    "broadcast": "collective", "send": "collective", "model": "model",
    "copy": "micro", "read": "micro", "triad": "micro", "l2-read": "micro",
    "launch-stream": "micro", "launch-graph": "micro", "launch-floor": "micro",
}  # fmt: skip
"""Kernel -> kind; every other kernel is attention."""

MEASURED: Final = (
    "suite", "backend", "p20_us", "p80_us", "calls", "sets", "error", "clock_mhz", "power_w", "temperature_c", "flags",
)  # fmt: skip
"""What else `measure` writes: the suite, whose kernel it was (torch-flash, flashinfer), the 20th and 80th percentile, calls a replay and
sets of inputs they rotate over, the relative error against float64, sensors while it ran, and flags (throttled, noisy), `;` between
them."""

FILE: Final = (
    "suite", "kernel", "backend", "direction", "dtype", "batch", "heads_q", "heads_kv", "seqlen_q", "seqlen_kv", "head_dim", "head_dim_v",
    "causal", "window", "mask", "lengths", "operation", "m", "n", "k", "experts", "devices", "bytes", "algorithm", "model", "phase",
    "context", "layers", "time_us", "p20_us", "p80_us", "calls", "sets", "error", "clock_mhz", "power_w", "temperature_c", "flags",
)  # fmt: skip
"""Every column, in the order `measure` writes them."""


def kind_of(kernel: str) -> Kind:
    """What a row with this `kernel` is about."""
    return KINDS.get(kernel.strip().lower().replace("_", "-"), "attention")
