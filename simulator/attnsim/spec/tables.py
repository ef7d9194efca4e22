"""Measured tables of somebody else: what a reader needs to know of them, and which of them are scored, against which schedule.

A folder `validation/<name>/` with `measured.yaml` (`MeasuredSpec`) and `kernels.yaml` (`KernelMap`); the numbers are not shipped.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, Spec
from attnsim.spec.case import Target
from attnsim.spec.dtype import Dtype
from attnsim.spec.quantity import Size
from attnsim.spec.workload import Conditions

Op = Literal["context_attention", "generation_attention", "gemm", "moe"]
"""Operations whose tables can be read."""

Phase = Literal["prefill", "decode"]

OP_OF: dict[str, Op] = {"prefill": "context_attention", "decode": "generation_attention"}
"""Phase -> the operation that measures it."""


class KernelRule(Spec):
    """The schedule behind a `kernel_source` of a table, or why there is none. Empty lists: any."""

    ops: list[Op] = Field(min_length=1)
    sources: list[str] = Field(default=[], description="values of kernel_source")
    systems: list[str] = []
    frameworks: list[str] = []
    schedule: str = ""
    reason: str = Field(default="", description="in place of a schedule: why rows of this kernel are left out")

    @model_validator(mode="after")
    def _one_answer(self) -> KernelRule:
        if bool(self.schedule) == bool(self.reason):
            raise FieldError("name a `schedule`, or the `reason` there is none", "reason" if self.reason else "schedule")
        return self

    def holds(self, op: str, source: str, system: str, framework: str) -> bool:
        """Whether the rule is about a row."""
        pairs = ((self.ops, op), (self.sources, source), (self.systems, system), (self.frameworks, framework))
        return all(not allowed or value in allowed for allowed, value in pairs)


class ValueWidth(Spec):
    """Rows whose V is not as wide as their head_dim, which is what the tables have a column for."""

    framework: str
    head_dim: Size
    head_dim_v: Size
    source: str = Field(description="how that is known")


class FaultyTable(Spec):
    """A table known to be wrong, and how."""

    system: str
    op: Op
    framework: str
    versions: list[str] = Field(min_length=1)
    reason: str


class KernelMap(Spec):
    """How a reader turns the tables into measurements."""

    attnsim: Literal[1]
    kind: Literal["table-kernels"]
    source: str
    licence: str
    machines: dict[str, str] = Field(description="system of the tables -> arch of the library")
    dtypes: dict[str, Dtype] = Field(description="format of the tables -> format; rows in another are left out")
    kernels: list[KernelRule] = Field(description="the first rule that holds wins")
    widths: list[ValueWidth] = []
    faulty: list[FaultyTable] = []


class TableSpec(Spec):
    """One table, or the rows of it that one kernel ran, and the schedule scored against them."""

    name: str
    arch: str
    phase: Phase
    system: str
    framework: str
    version: str
    dtype: Dtype = "bf16"
    kernel_sources: list[str] = Field(default=[], description="left out: all that kernels.yaml gives a schedule for")
    windows: bool = Field(default=False, description="keep rows with a sliding window too")
    head_dims: list[Size] = Field(default=[], description="head dimensions the schedule has tiles for; left out: all")
    schedule: str | dict[str, Any] = Field(description="library name, or a schedule with fields changed")
    targets: Target | None = None


class TransferSpec(Spec):
    """A table scored once more, with a schedule whose constants know other machines only; every row is held out."""

    table: str = Field(description="name of a table")
    schedule: str | dict[str, Any]
    fitted_on: str = Field(description="where the schedule's constants are from, in words")
    baseline: str = Field(default="", description="table whose two-parameter fit is carried over beside it")
    targets: Target | None = None


class MeasuredSpec(Spec):
    """Tables that are fetched when they are scored."""

    attnsim: Literal[1]
    kind: Literal["measured-tables"]
    name: str
    title: str
    source: str
    licence: str
    fit_rows: Size = Field(description="of each table, the first so many rows in the order of the sample are what constants are fitted on")
    conditions: Conditions = Field(default_factory=Conditions)
    tables: list[TableSpec] = Field(min_length=1)
    transfers: list[TransferSpec] = []

    @model_validator(mode="after")
    def _names(self) -> MeasuredSpec:
        known = [table.name for table in self.tables]
        if len(set(known)) != len(known):
            raise FieldError("two tables have one name", "tables")
        for index, transfer in enumerate(self.transfers):
            for field, name in (("table", transfer.table), ("baseline", transfer.baseline)):
                if name and name not in known:
                    raise FieldError(f"no table is called {name!r}", "transfers", index, field)
        return self
