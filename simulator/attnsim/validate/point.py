"""The shape of one measured attention call: from a CSV row, to a workload the engine understands, and its published FLOP count."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnsim.spec.workload import Conditions
from attnsim.validate.records import parse_bool

DIRECTIONS = {"fwd": "forward", "decode": "forward", "bwd": "backward"}
"""Names that papers write -> the library's own. A decode step is a forward call with one query."""


class RowError(ValueError):
    """Why a row of a CSV file cannot be used; its text is the reason shown to the user."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one attention call: sequences, query heads, KV heads, tokens and head widths."""

    batch: int
    heads_q: int
    heads_kv: int
    seqlen_q: int
    seqlen_kv: int
    head_dim: int
    head_dim_v: int
    causal: bool

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> Shape:
        """Read the columns batch, heads_q, ..., causal. Raises RowError.

        Where there is no `head_dim_v`, `head_dim` may be "192/128" (query-key / value).
        """
        qk, _, v = values["head_dim"].partition("/")
        heads_q, heads_kv = _count(values, "heads_q"), _count(values, "heads_kv")
        if heads_q % heads_kv:
            raise RowError(f"heads_q {heads_q} is not a multiple of heads_kv {heads_kv}")
        causal = parse_bool(values["causal"])
        if causal is None:
            raise RowError(f"causal is {values['causal']!r}; write 1 or 0")
        head_dim = integer("head_dim", qk)
        head_dim_v = integer("head_dim_v", values.get("head_dim_v") or v or qk)
        tokens = _count(values, "seqlen_q"), _count(values, "seqlen_kv")
        return cls(_count(values, "batch"), heads_q, heads_kv, *tokens, head_dim, head_dim_v, causal)

    def sizes(self) -> dict[str, int]:
        """Sizes under the rank letters of the library's cascades."""
        return {
            "B": self.batch, "H": self.heads_q, "G": self.heads_kv, "P": self.seqlen_q, "M": self.seqlen_kv,
            "E": self.head_dim, "F": self.head_dim_v,
        }  # fmt: skip

    def published_flops(self, direction: str) -> float:
        """FLOPs as the FlashAttention papers count them when they turn a time into TFLOP/s.

        Forward 2 B H P M (E + F), which is their 4 B H S^2 d; causal exactly half of that, the diagonal not counted; backward 2.5 times
        forward (benchmarks/benchmark_flash_attention.py of Dao-AILab/flash-attention; arXiv 2307.08691, section 4.1).
        """
        forward = 2 * self.batch * self.heads_q * self.seqlen_q * self.seqlen_kv * (self.head_dim + self.head_dim_v)
        return forward * (0.5 if self.causal else 1.0) * (2.5 if direction == "backward" else 1.0)


def _count(values: Mapping[str, str], column: str) -> int:
    return integer(column, values[column])


def integer(column: str, text: str) -> int:
    """A whole number of at least 1. Raises RowError."""
    # int() would also take "1_000" and " 12 "; a measurement file holds plain digits.
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise RowError(f"{column} is {text!r}; a whole number of at least 1 is wanted")
    return int(text)


def positive(column: str, text: str) -> float:
    """A finite number above zero. Raises RowError."""
    try:
        value = float(text)
    except ValueError:
        raise RowError(f"{column} is {text!r}; a number is wanted") from None
    if not (math.isfinite(value) and value > 0):
        raise RowError(f"{column} is {text!r}; a finite number above 0 is wanted")
    return value


def direction_of(text: str) -> str:
    """`forward` or `backward`. Raises RowError."""
    direction = DIRECTIONS.get(text, text)
    if direction not in ("forward", "backward"):
        raise RowError(f"direction is {text!r}; forward or backward is wanted")
    return direction


def workload(
    shape: Shape,
    *,
    name: str,
    dtype: str,
    direction: str,
    cascade: str,
    mask: Mapping[str, Any] | None,
    schedule: str | None,
    conditions: Conditions | None,
) -> dict[str, Any]:
    """A kernel workload, as the YAML contract has it.

    `mask` None: causal or dense, as the shape says; `schedule` None: the best known one; `conditions` None: the engine's default.
    """
    made: dict[str, Any] = {
        "attnsim": 1, "kind": "kernel", "name": name, "cascade": cascade, "sizes": shape.sizes(), "dtype": dtype, "direction": direction,
        "mask": dict(mask) if mask else {"kind": "causal" if shape.causal else "dense"},
    }  # fmt: skip
    if schedule is not None:
        made["schedule"] = schedule
    if conditions is not None:
        clock = conditions.tensor_clock
        made["conditions"] = {
            "tensor_clock": None if clock is None else f"{clock} Hz", "power_limit": conditions.power_limit, "launch": conditions.launch,
        }  # fmt: skip
    return made


def put(workload: dict[str, Any], place: str, text: str) -> None:
    """Write a value of a table into a workload: 18x24x24 is a list, 0.607 a number, anything else a word."""
    *outer, last = place.split(".")
    here: Any = workload
    for step in outer:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    if re.fullmatch(r"\d+(x\d+)+", text):
        here[last] = [int(side) for side in text.split("x")]
    else:
        here[last] = int(text) if re.fullmatch(r"\d+", text) else float(text) if re.fullmatch(r"\d*\.\d+", text) else text
