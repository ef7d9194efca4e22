"""Many questions in one file (``kind: sweep``): a workload, machines, and which fields vary over which values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, FormatVersion, Name, Source, Spec, Title

_VALUES = "as text (1k..1M:log2, 1..200:+1, 'bf16,fp8') or as a list; 'sizes.P,sizes.M' gives two fields the same value"


class SweepSpec(Spec):
    """Points of `grid`, `zip` and `list` combine: every point of one with every point of the others, as far as the filters let them."""

    attnsim: FormatVersion
    kind: Literal["sweep"]
    name: Name = Field(min_length=1)
    title: Title = ""
    source: Source = ""
    workload: str | dict[str, Any] = Field(description="library name, path, or an inline workload")
    arch: str | dict[str, Any] | None = Field(default=None, description="library name, path, or inline; left out where `arch` varies")
    schedule: str | dict[str, Any] | None = Field(default=None, description="schedule in place of the workload's own")
    sets: dict[str, Any] = Field(default={}, alias="set", description="fields to change at every point, as --set does: {sizes.B: 4}")
    grid: dict[str, Any] = Field(default={}, description=f"fields that vary on their own, each {_VALUES}")
    zipped: dict[str, Any] = Field(default={}, alias="zip", description="fields that vary together, each with as many values")
    points: list[dict[str, Any]] = Field(default=[], alias="list", description="points written out, each with a value for the same fields")
    filters: list[str] = Field(default=[], description="conditions that every point has to meet, for example 'sizes.M >= sizes.P'")
    only: Literal["all", "lower-bound"] = Field(default="all", description="lower-bound: nothing but what no kernel can beat, faster")
    columns: list[str] = Field(default=[], description="columns of the answers to keep: names, entries (bytes) or ends (usd_per_mtok)")

    @model_validator(mode="after")
    def _something_varies(self) -> SweepSpec:
        written = [*self.grid, *self.zipped, *(name for point in self.points[:1] for name in point)]
        varied = [name.strip() for fields in written for name in fields.split(",")]
        if not varied:
            raise FieldError("a sweep varies at least one field; write for example grid: {sizes.M: 1k..64k:log2}")
        if self.arch is None and "arch" not in varied:
            raise FieldError("missing; name a machine, or vary it: grid: {arch: [h100_sxm, b200]}", "arch")
        return self
