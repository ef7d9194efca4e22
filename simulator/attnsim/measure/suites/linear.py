"""Linear attention as flash-linear-attention computes it: chunks of tokens for prompts, one step of the recurrence for decode.

The library has no schedule for these: a row's kernel is the name of the operator, and `attnsim validate` tells it as one that it does not
know. decode: seqlen_q and seqlen_kv are 1, the state (batch, heads, head_dim, head_dim_v) is fp32, read and written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from attnsim.measure.inputs import LARGE, normal, set_count
from attnsim.measure.reference import relative
from attnsim.measure.suite import Case, Prepared, Suite, Value

TOLERANCE = 2e-2
GATE_NORMALIZER = 16
"""Of logarithms of gates (arXiv 2312.06635), so that a state remembers more than a few tokens."""

RULES: Final[Mapping[str, tuple[str, str]]] = {
    "linear-attn": ("linear_attn", ""), "retention": ("retention", "fixed"), "simple-gla": ("simple_gla", "head"),
    "gla": ("gla", "key"), "delta-rule": ("delta_rule", "beta"),
}  # fmt: skip
"""Operator -> (module of fla.ops, what it has beside queries, keys and values: a decay for each head, known or given, one for each key
dimension, or the strength of a write)."""

PROMPTS = ((4, 2048, 16, 128), (1, 16384, 16, 128), (4, 4096, 32, 64))
"""Batch, tokens, heads, head dim."""

BATCHES = (1, 32, 256)


@dataclass(frozen=True, slots=True)
class Linear:
    """One row. k, v: head dims of keys and of values; s: tokens, 1 for decode."""

    rule: str
    b: int
    h: int
    s: int
    k: int
    v: int

    @property
    def kernel(self) -> str:
        """The operator."""
        return ("fused-recurrent-" if self.s == 1 else "chunk-") + self.rule

    def values(self) -> dict[str, Value]:
        """The columns that say what the row is."""
        return {
            "kernel": self.kernel, "backend": "fla", "direction": "forward", "dtype": "bf16", "batch": self.b, "heads_q": self.h,
            "heads_kv": self.h, "seqlen_q": self.s, "seqlen_kv": self.s, "head_dim": self.k, "head_dim_v": self.v, "causal": 1,
            "window": "", "lengths": "",
        }  # fmt: skip

    @property
    def bytes(self) -> int:
        """Of queries, keys, values and output, and of the state before and after."""
        state = 2 * 4 * self.b * self.h * self.k * self.v if self.s == 1 else 0
        return 2 * self.b * self.s * self.h * 2 * (self.k + self.v) + state


def rows(small: bool) -> Iterator[Linear]:
    """Everything that is measured."""
    for rule in ("simple-gla", "delta-rule") if small else RULES:
        for b, s, h, d in PROMPTS[:1] if small else PROMPTS:
            yield Linear(rule, b, h, s, d, d)
        for b in BATCHES[1:2] if small else BATCHES:
            yield Linear(rule, b, 16, 1, 128, 128)
    if not small:
        for b, s in ((4, 2048), (1, 16384), (32, 1)):  # Mamba-2: a state of 128 for each of 64 value dimensions
            yield Linear("simple-gla", b, 32, s, 128, 64)


def inputs(row: Linear, device: str) -> dict[str, Any]:
    """Queries and keys (batch, tokens, heads, k), values, gates as logarithms, and the state of a decode step."""
    from torch.nn import functional

    def tokens(*width: int) -> Any:
        return normal(device, "bf16", row.b, row.s, row.h, *width)

    made = {"q": tokens(row.k), "k": tokens(row.k), "v": tokens(row.v)}
    kind = RULES[row.rule][1]
    if kind == "beta":  # keys of length 1, else the state diverges
        made |= {"k": functional.normalize(made["k"].float(), dim=-1).to(made["k"].dtype), "beta": tokens().sigmoid()}
    elif kind == "key":
        made["gk" if row.s == 1 else "g"] = functional.logsigmoid(tokens(row.k)) / GATE_NORMALIZER
    elif kind == "head":
        made["g"] = functional.logsigmoid(tokens().float()) / GATE_NORMALIZER
    if row.s == 1:
        made["initial_state"] = normal(device, "fp32", row.b, row.h, row.k, row.v)
    return made


def expected(row: Linear, given: Mapping[str, Any], places: Any) -> Any:
    """The recurrence in float64 for some (batch, head): their outputs, (places, tokens, v)."""
    import torch

    batches, heads = places.T

    def part(name: str) -> Any:
        return given[name][batches, :, heads].double() if name in given else None

    q, k, v, beta = part("q") * row.k**-0.5, part("k"), part("v"), part("beta")
    gate = part("gk") if "gk" in given else part("g")
    decay = None if gate is None else gate.exp() if gate.dim() == 3 else gate.exp()[..., None]
    if RULES[row.rule][1] == "fixed":
        decay = (1 - 2.0 ** (-5.0 - heads.double()))[:, None, None].expand(-1, row.s, 1)
    state = given["initial_state"][batches, heads].double() if "initial_state" in given else q.new_zeros(len(places), row.k, row.v)
    outputs = []
    for t in range(row.s):
        if decay is not None:
            state = state * decay[:, t, :, None]
        value = v[:, t] if beta is None else (v[:, t] - torch.einsum("nk,nkv->nv", k[:, t], state)) * beta[:, t, None]
        state = torch.baddbmm(state, k[:, t, :, None], value[:, None])
        outputs.append(torch.bmm(q[:, t, None], state)[:, 0])
    return torch.stack(outputs, 1)


def prepare(row: Linear, device: str = "cuda") -> Prepared:
    """A row ready to be timed."""
    import importlib

    import torch

    module = importlib.import_module(f"fla.ops.{RULES[row.rule][0]}")
    operator: Callable[..., Any] = getattr(module, row.kernel.replace("-", "_"))
    named: dict[str, Any] = {"normalize": False} if row.rule == "linear-attn" else {}
    if row.s == 1:
        named["output_final_state"] = True
    count = set_count(device, row.bytes)
    sets = [inputs(row, device) for _ in range(1 if row.bytes > LARGE else count)]
    calls = [partial(operator, **each, **named) for each in sets]

    def check() -> float:
        places = torch.tensor([(0, 0), (row.b - 1, row.h - 1)], device=device)
        out = calls[-1]()[0][places[:, 0], :, places[:, 1]]
        truth = expected(row, sets[-1], places)
        return max(relative(out[i], truth[i]) for i in range(len(places)))

    return Prepared([calls[i % len(calls)] for i in range(count)], check, TOLERANCE)


def cases(device: str, small: bool) -> Iterator[Case]:
    """Every row once."""
    for row in rows(small):
        yield Case(row.values(), partial(prepare, row), f"{row.kernel} {row.k} {row.v}")


SUITE = Suite("linear", frozenset({"cuda"}), ("torch", "fla"), cases)
