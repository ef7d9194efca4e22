"""The answer to a question about a whole model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from attnsim.evaluate.estimate import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEstimate:
    """A model in one phase on one deployment. What does not apply is None, and left out of the JSON.

    flops, bytes: of one step (a token of every request, or a prompt of each). latency_s: of a step; lower_bound_s: at peak rates and
    compulsory traffic, perfectly overlapped. parts: by part of the model or by kind of operator. conditions: what the deployment asks for.
    tokens_per_s: of all devices; usd_per_mtok: for a million of these tokens, under the named price profile.
    """

    name: str
    kind: str = "model"
    model: str
    phase: str
    context: int
    batch: int
    schedule: str
    dtype: str
    gpus: int
    flops: float
    bytes: Mapping[str, float]
    latency_s: float
    lower_bound_s: float
    bound: str
    time_by_resource_s: Mapping[str, float]
    parts: Mapping[str, Mapping[str, Any]]
    tokens_per_s: float
    tokens_per_s_per_gpu: float
    ttft_s: float | None = None
    tpot_s: float | None = None
    energy_j: float | None = None
    energy_j_per_token: float | None = None
    cost: Mapping[str, Any] | None = None
    memory_bytes: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, float] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What the terminal shows."""
        from attnsim.serving.render import model_lines

        return model_lines(self)

    def to_dict(self) -> dict[str, Any]:
        """The entry of ``results`` in the JSON of ``attnsim run``."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: plain(value) for name, value in values.items() if value is not None}
