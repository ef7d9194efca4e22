"""What a folder of published tables says: which columns the engine must give back, how exactly, and which averages the paper prints.

A folder `validation/<name>/` with `table.yaml` (this model) and its CSV files. A case (`case.yaml`) scores measured kernels by their mean
error; a table holds a model of the paper to a tolerance, value by value.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, Spec
from attnsim.spec.case import RowFilter
from attnsim.spec.collective import CollectiveSpec
from attnsim.spec.dtype import Dtype
from attnsim.spec.quantity import Factor, Size
from attnsim.spec.workload import Conditions


class Configuration(Spec):
    """A cascade on a machine under a schedule, a workload of the library, or a collective over its links."""

    arch: str
    arch_overrides: dict[str, Any] = Field(default={}, description="dotted fields of the arch file changed for this table")
    schedule: str = Field(default="", description="with `cascade`: a kernel")
    cascade: str = ""
    base: str = Field(default="", description="library name of a workload, a layer for example, in their place")
    workload: dict[str, Any] = Field(default={}, description="further fields of the workload that all rows share, such as `mask`")
    collective: CollectiveSpec | None = Field(default=None, description="in their place; the sizes of a row are bytes, devices and so on")

    @model_validator(mode="after")
    def _kernel_or_base(self) -> Configuration:
        if self.collective is not None:
            if self.cascade or self.schedule or self.base or self.workload:
                raise FieldError("a collective is no kernel: leave cascade, schedule, base and workload out", "collective")
            return self
        if bool(self.base) == bool(self.cascade and self.schedule):
            raise FieldError("name a `cascade` and a `schedule`, or the `base` workload they belong to", "base" if self.base else "cascade")
        return self


class Check(Spec):
    """A column and the result that must equal it, number by number (`within`) or word by word (`words`)."""

    column: str
    result: str = Field(description="dotted place in the result, such as latency_s, bytes.dram or phases.0.choice.location.Q")
    over: str = Field(default="", description="a configuration whose result in the same row divides this one's: the column is a ratio")
    label: str = Field(default="", description="what the report calls it; left out: the column")
    factor: Factor = Field(default=1.0, description="the column in SI units: 1e-12 for pJ")
    within: float | None = Field(default=None, ge=0, description="largest relative difference of any row; left out: reported, not required")
    off: float | None = Field(default=None, ge=0, description="largest absolute difference of any row, where a table prints few digits")
    mean_within: float | None = Field(default=None, ge=0, description="largest mean of the relative differences of all rows")
    words: dict[str, list[str]] = Field(default_factory=dict, description="word of the column -> words of the result that mean the same")
    where: RowFilter = {}
    fitted: list[RowFilter] = Field(default=[], description="rows that constants were fitted on; all others are held out")
    note: str = ""

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        if self.words and (self.limits or self.factor != 1.0):
            raise FieldError("words are equal or not: leave `within`, `off`, `mean_within` and `factor` out", "words")
        if self.words and self.over:
            raise FieldError("words have no ratio", "over")
        if self.limits > 1:
            raise FieldError("choose one of `within`, `off` and `mean_within`", "off" if self.within is not None else "mean_within")
        return self

    @property
    def limits(self) -> int:
        """How many limits are given."""
        return sum(limit is not None for limit in (self.within, self.off, self.mean_within))


class PublishedTable(Spec):
    """One CSV file. `sizes`: rank -> column or number. `fields`: place in the workload -> column, 18x24x24 being a list.
    `configuration`: the column that names it, `configurations` what its words mean.
    """

    name: str
    file: str
    points: int = Field(ge=1, description="rows of the file, so that a truncated one is noticed")
    configuration: str
    configurations: dict[str, str] = Field(description="word of that column -> configuration")
    sizes: dict[str, str | Size] = {}
    fields: dict[str, str] = Field(default={}, description="dotted place in the workload, such as mask.window -> column")
    checks: list[Check] = Field(min_length=1)


class Grid(Spec):
    """The points averages run over: every row of a CSV file at every length."""

    file: str
    sizes: dict[str, str | Size]
    ranks: list[str] = Field(description="ranks that take the length")
    lengths: list[Size]


class PublishedMean(Spec):
    """An average of ratios between configurations; the results of several are added up first."""

    name: str
    result: str
    this: list[str]
    other: list[str]
    ratio: Literal["other/this", "this/other"]
    published: float
    printed: str = Field(default="", description="as the paper prints it")
    within: float = Field(gt=0)


class TablesSpec(Spec):
    """The file `table.yaml`."""

    attnsim: Literal[1]
    kind: Literal["published"]
    name: str
    title: str
    source: str
    licence: str = ""
    dtype: Dtype
    conditions: Conditions = Field(default_factory=Conditions)
    configurations: dict[str, Configuration]
    tables: list[PublishedTable] = Field(min_length=1)
    grid: Grid | None = None
    mean: Literal["arithmetic", "geometric"] = Field(default="arithmetic", description="the mean the paper uses")
    mean_note: str = ""
    means: list[PublishedMean] = []

    @model_validator(mode="after")
    def _means_need_points(self) -> TablesSpec:
        if self.means and self.grid is None:
            raise FieldError("averages need a `grid` of points", "means")
        return self
