"""What a case of a measured machine says: files of `attnsim measure`, which rows constants were fitted on, how close is close enough.

A case is a folder `validation/measured/<machine>/` with `case.yaml` (this model), the CSV files it names (columns of
`attnsim.spec.measurement`) and a README.md. Rows are filtered by their columns; `file` names the one they stand in, without its ending.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, Spec
from attnsim.spec.case import NamedRows, RowFilter
from attnsim.spec.quantity import Size


class MachineTarget(Spec):
    """How close the predictions of held-out rows must come. Errors are fractions of the measured time."""

    mape: float | None = Field(default=None, gt=0, le=1, description="largest mean |error|")
    p90: float | None = Field(default=None, gt=0, le=1, description="largest 90th percentile of |error|")
    worst: float | None = Field(default=None, gt=0, description="largest |error| of any one row")

    @model_validator(mode="after")
    def _says_something(self) -> MachineTarget:
        if self.mape is None and self.p90 is None and self.worst is None:
            raise ValueError("a target needs mape, p90 or worst, such as {mape: 0.1}")
        return self


class MachineGroup(Spec):
    """Rows reported together; the first group that a row passes takes it."""

    name: str = Field(min_length=1)
    where: RowFilter = Field(default={}, description="left out: every row that no group before took")
    targets: MachineTarget | None = Field(default=None, description="left out: scored, but without a target")
    note: str = ""


class MachineCaseSpec(Spec):
    """Kernels of all kinds timed on one machine with `attnsim measure`."""

    attnsim: Literal[1]
    kind: Literal["measured"]
    name: str = Field(min_length=1)
    title: str
    source: str = Field(min_length=1, description="who measured it, on what device, with which driver and libraries, when")
    arch: str = Field(min_length=1, description="library name of the machine, or a YAML file of this folder")
    files: dict[str, Size] = Field(min_length=1, description="CSV file in this folder -> its rows, so that a truncated one is noticed")
    fitted: list[RowFilter] = Field(
        default=[], description="rows that constants were fitted on, beside those the machine's calibration record names"
    )
    groups: list[MachineGroup] = Field(default=[], description="left out: one group of all rows")
    below_floor: list[NamedRows] = Field(default=[], description="rows faster than the certified lower bound, with the suspected reason")
    excluded: list[NamedRows] = Field(default=[], description="rows listed but not scored")
    explained: list[NamedRows] = Field(default=[], description="held-out rows predicted more than a quarter off, and why")

    @model_validator(mode="after")
    def _groups_have_names_of_their_own(self) -> MachineCaseSpec:
        names = [group.name for group in self.groups]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise FieldError(f"two groups are called {name!r}", "groups", index, "name")
        for file in self.files:
            if "/" in file or not file.endswith(".csv"):
                raise FieldError("names a CSV file of this folder, such as attention.csv", "files", file)
        return self
