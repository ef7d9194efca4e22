"""What a validation case says: which published rows, on which machine, with which schedule, and how close is close enough.

A case is a folder `validation/<name>/` with `case.yaml` (this model), `reference.csv` (one measured point a row) and a README.md.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import Spec
from attnsim.spec.dtype import Dtype
from attnsim.spec.workload import Conditions

Scalar = str | int | float | bool
RowFilter = dict[str, Scalar | list[Scalar]]
"""Column -> the value, or the list of values, a row must hold there; every column named must agree."""


class Target(Spec):
    """How close the predictions must come; the case fails otherwise. Errors are fractions of the measured time."""

    mape: float | None = Field(default=None, gt=0, le=1, description="largest mean |error|")
    worst: float | None = Field(default=None, gt=0, le=1, description="largest |error| of any one row")
    rows: Literal["all", "held_out"] = Field(default="all", description="the rows the target is about")

    @model_validator(mode="after")
    def _says_something(self) -> Target:
        if self.mape is None and self.worst is None:
            raise ValueError("a target needs mape or worst, such as {mape: 0.05}")
        return self


class NamedRows(Spec):
    """Rows with something to say about them: left out of the score, or known to lie below the floor."""

    where: RowFilter = Field(min_length=1)
    reason: str = Field(min_length=1)


class GroupSpec(Spec):
    """Rows of a case that share a machine and a schedule; what is left out is the case's own."""

    name: str
    where: RowFilter = {}
    arch: str = ""
    arch_overrides: dict[str, Any] = {}
    conditions: Conditions = Field(default_factory=Conditions)
    schedule: str | dict[str, Any] | None = None
    cascade: str | None = None
    mask: dict[str, Any] | None = None
    fields: dict[str, str] = {}
    targets: Target | None = Field(default=None, description="null: scored, but without a target")


class CaseSpec(Spec):
    """One published figure or table. `kind: case` scores a schedule, `kind: ceiling` the machine's sustained matrix rate."""

    attnsim: Literal[1]
    kind: Literal["case", "ceiling"]
    name: str
    title: str
    source: str = Field(description="citation: paper, figure or table")
    licence: str = Field(default="", description="licence and attribution of the copied numbers, where they have one")
    arch: str | None = None
    arch_overrides: dict[str, Any] = Field(default={}, description="dotted fields of the arch file changed for this case")
    conditions: Conditions = Field(default_factory=Conditions, description="how the machine was run while the numbers were taken")
    schedule: str | dict[str, Any] | None = Field(
        default=None, description="library name, or a schedule with fields changed; left out: the best known one for the machine"
    )
    cascade: str | None = Field(default=None, description="left out: the one the schedule is written for")
    dtype: Dtype | None = Field(default=None, description="left out: each row's own; given: every row must agree")
    direction: Literal["forward", "backward"] = "forward"
    mask: dict[str, Any] | None = Field(default=None, description="left out: causal or dense, as the row says")
    fields: dict[str, str] = Field(
        default={},
        description="dotted place in the workload, such as mask.window -> column, 18x24x24 being a list; nothing where it is empty",
    )
    metric: Literal["throughput", "latency"]
    points: int = Field(ge=1, description="rows of reference.csv, so that a truncated file is noticed")
    targets: Target | None = None
    fitted: list[RowFilter] = Field(default=[], description="rows the schedule's constants were fitted on; all others are held out")
    below_floor: list[NamedRows] = Field(default=[], description="rows faster than the certified lower bound, with the suspected reason")
    excluded: list[NamedRows] = Field(default=[], description="rows listed but not scored")
    groups: list[GroupSpec] = Field(default=[], description="first match wins; left out: one group of all rows")

    @model_validator(mode="after")
    def _every_row_has_a_machine(self) -> CaseSpec:
        if self.arch is None and (not self.groups or not all(g.arch for g in self.groups)):
            raise ValueError("needs `arch`, or groups that each name their arch")
        if len({g.name for g in self.groups}) != len(self.groups):
            raise ValueError("two groups have the same name")
        return self
