"""A question about communication: which collective, and over which links of a machine. Its numbers (bytes, devices) come as sizes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, Spec
from attnsim.spec.quantity import Size

CollectiveKind = Literal[
    "send", "many-to-many", "all-gather", "reduce-scatter", "all-reduce", "broadcast", "all-to-all", "moe-dispatch", "moe-combine"
]


class CollectiveSpec(Spec):
    """A collective and its links: `link` alone, or `inner` within a node and `outer` between nodes, both left out by their scope."""

    kind: CollectiveKind
    link: str = Field(default="", description="everything over this one link")
    inner: str = ""
    outer: str = ""
    node: Size | None = Field(default=None, description="devices of one node; left out: as many as the inner link joins")
    transport: str = Field(default="", description="library that drives the link (or the outer one), as the arch file names it")
    algorithm: str = Field(default="", description="left out: the fastest")

    @model_validator(mode="after")
    def _one_link_or_two(self) -> CollectiveSpec:
        if self.link and (self.inner or self.outer or self.node):
            raise FieldError("everything goes over this one link: leave inner, outer and node out", "link")
        if not self.link and self.kind in ("send", "many-to-many"):
            raise FieldError(f"{self.kind} goes over one link: name it", "link")
        if self.algorithm and self.kind not in ("all-gather", "reduce-scatter", "all-reduce", "broadcast"):
            raise FieldError(f"{self.kind} has one algorithm only", "algorithm")
        return self
