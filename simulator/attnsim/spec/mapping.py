"""How a cascade is laid on PE arrays (`kind: schedule`, `target: spatial`): partitioning, loop order, spacetime, stage plan, search.

The words of the `mapping` section are TeAAL's (MICRO 2023): a rank partitioned n times becomes Rn ... R0, outermost first; `space` names
the ranks unrolled over the rows and columns of an array, every other rank is walked in time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from attnsim.spec.base import Aliases, FieldError, FormatVersion, Name, Source, Spec, Title
from attnsim.spec.constants import CyclesConstant
from attnsim.spec.quantity import Bytes, Size

Stationary = Literal["output", "weight", "input"]
"""Which tensor of a matrix product stays in the PEs: the result, the second operand, the first."""

Location = Literal["buffer", "tile", "stream"]
"""Where a tensor of a searched phase lives: whole (its row block) in the buffer; tile by tile through the buffer; past the buffer."""

_DIMENSION = re.compile(r"([A-Za-z_]\w*)\.(\w+)")
DIMENSIONS = {"rows": 0, "columns": 1, "length": 0}
"""What the dimensions of an array are called in a partition."""


@dataclass(frozen=True, slots=True)
class PartSize:
    """The size of one part: a number, the length of an array's dimension, or the most tiles that the buffer holds."""

    size: int | None = None
    array: str = ""
    dimension: int = 0

    @property
    def fits(self) -> bool:
        """Whether the buffer decides."""
        return self.size is None and not self.array


def part_size(text: str) -> PartSize:
    """Read `uniform_shape(256)`, `uniform_shape(pe2d.rows)` or `capacity(buffer)`; raises ValueError with what would be right."""
    call = re.fullmatch(r"\s*(\w+)\(\s*(.*?)\s*\)\s*", text)
    if call and call[1] == "capacity" and call[2] == "buffer":
        return PartSize()
    if call and call[1] == "uniform_shape":
        if call[2].isdigit() and int(call[2]) > 0:
            return PartSize(size=int(call[2]))
        dimension = _DIMENSION.fullmatch(call[2])
        if dimension and dimension[2] in DIMENSIONS:
            return PartSize(array=dimension[1], dimension=DIMENSIONS[dimension[2]])
    raise ValueError(
        f"cannot read {text!r} as a partition; write uniform_shape(256), uniform_shape(pe2d.rows) (or .columns, .length) for the "
        "extent of an array, or capacity(buffer) for as many tiles as the buffer holds"
    )


def _checked(text: str) -> str:
    part_size(text)
    return text


PartText = Annotated[str, AfterValidator(_checked), Field(examples=["uniform_shape(256)", "uniform_shape(pe2d.rows)", "capacity(buffer)"])]


class Spacetime(Spec):
    """What is unrolled in space: ranks over the dimensions of the array in order, or the tensor of a matrix product that stays put."""

    space: list[str] = Field(default_factory=list, max_length=2, description="ranks over the dimensions of the array, in order")
    time: list[str] = Field(default_factory=list, description="ranks walked in time; they follow from the rest and may be left out")
    stationary: Stationary | None = Field(default=None, description="of matrix products; output: both ranks of the result in space")

    @model_validator(mode="after")
    def _one_way(self) -> Spacetime:
        if bool(self.space) == (self.stationary is not None):
            raise FieldError("give either the ranks in `space` or what is `stationary`")
        if both := [rank for rank in self.time if rank in self.space]:
            raise FieldError(f"{', '.join(both)} cannot be in space and in time", "time")
        return self


class MappingSpec(Spec):
    """Partitioning of the ranks, order of the loops over tiles, and what is in space; by array, or by Einsum where one differs."""

    partitioning: dict[str, list[PartText]] = Field(
        default_factory=dict, description="outermost first; {P: [capacity(buffer), uniform_shape(pe2d.columns)]} makes P2, P1, P0"
    )
    loop_order: list[str] = Field(
        default_factory=list,
        alias="loop-order",
        description="loops over tiles, outermost first, batch ranks left out; such as [P2, M1, P1]",
    )
    spacetime: dict[str, Spacetime] = Field(default_factory=dict, description="array or Einsum -> what it unrolls")


Stage = dict[str, list[str]]
"""Array -> the Einsums it runs in this stage, in order; the arrays of a stage work side by side."""


class Phase(Spec):
    """A group of Einsums fused with one another; tensors between phases go through memory."""

    name: str = Field(default="", description="what the phase is called in answers")
    stages: list[Stage] = Field(min_length=1, description="its stage plan: for each stage, array -> the Einsums it runs")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class LocationChoice(Spec):
    """Tensors that share one location, and the locations tried for them; the first of equally good ones is kept."""

    tensors: Annotated[list[str], BeforeValidator(_listed)] = Field(min_length=1, description="tensors, or one")
    choices: list[Location] = Field(
        min_length=1, description="buffer: whole, for a row block; tile: tile by tile through the buffer; stream: past the buffer"
    )


class SearchSpec(Spec):
    """A search over row block, stationarity and tensor locations under the size of the buffer; exhaustive."""

    row_block: list[Size | Literal["head"]] = Field(
        min_length=1, description="rows computed before the next ones: a whole head, or so many row tiles of the array"
    )
    stationary: list[Stationary] = Field(min_length=1, description="of the matrix products, alike for all")
    location: list[LocationChoice] = Field(default_factory=list, description="where tensors may live")
    weigh: list[str] = Field(default_factory=list, description="Einsums whose latency decides; left out: all of the phase")
    spill: Literal["bypass", "reload"] = Field(
        default="bypass",
        description="what a search believes of what does not fit: bypass, it is not loaded in vain; reload, it is loaded and lost",
    )
    ramp: dict[Stationary, CyclesConstant] = Field(
        default_factory=dict,
        description="cycles a matrix product takes to start and stop once every row block, in the search's own latency",
    )
    source: str = Field(default="", description="where the space of the search is from")


class SpatialScheduleSpec(Spec):
    """A schedule for PE arrays."""

    attnsim: FormatVersion
    kind: Literal["schedule"]
    target: Literal["spatial"] = Field(description="an array schedule")
    name: Name = Field(min_length=1)
    title: Title = ""
    aliases: Aliases = Field(default_factory=list)
    source: Source = ""
    cascade: str = Field(description="the cascade it was written for")
    fusion: Literal["stages", "none"] = Field(
        default="stages",
        description="stages: as `stages` or `phases` say; none: every matrix product alone, the Einsums between two of them together, each "
        "on the array that takes the fewest cycles",
    )
    mapping: MappingSpec = Field(default_factory=MappingSpec, description="partitioning, loop order and what is in space, in TeAAL's words")
    stages: list[Stage] = Field(default_factory=list, description="the stage plan of one fused phase")
    phases: list[Phase] = Field(default_factory=list, description="several phases one after another, in place of `stages`")
    pipelined: bool = Field(
        default=True,
        description="stages of neighbouring tiles overlap; false: every tile pays the fill and drain of the arrays it returns to",
    )
    interleave: list[list[str]] = Field(
        default_factory=list, description="Einsums that alternate cycle by cycle on one array, such as [QK, SLNV]; needs `pipelined`"
    )
    staged: list[str] = Field(
        default_factory=list, description="intermediates handed from one Einsum to the next through the buffer, a whole row block at a time"
    )
    chained: list[list[str]] = Field(
        default_factory=list,
        description="operations of one Einsum that form one pipelined operation of the PE, such as [sub, exp]: they cost the longest, "
        "not their sum",
    )
    double_buffered: bool = Field(default=False, description="tiles and row blocks of inputs and outputs are held twice")
    budget: Bytes | None = Field(default=None, description="bytes of the buffer that tiles may take, where the schedule uses less than all")
    budget_note: str = Field(default="", description="why the schedule uses less than the whole buffer")
    search: SearchSpec | None = Field(default=None, description="what is tried, where the schedule leaves choices open")

    @model_validator(mode="after")
    def _one_plan(self) -> SpatialScheduleSpec:
        if self.fusion == "none" and (self.stages or self.phases):
            raise FieldError("`fusion: none` makes its own phases; leave `stages` and `phases` out", "fusion")
        if self.fusion == "stages" and bool(self.stages) == bool(self.phases):
            raise FieldError("give the stage plan as `stages`, or several as `phases`", "stages")
        if self.interleave and not self.pipelined:
            raise FieldError("Einsums of one tile can only alternate with those of another: set `pipelined: true`", "interleave")
        if self.budget is not None and not self.budget_note:
            raise FieldError("say in `budget_note` why the schedule uses less than the whole buffer", "budget")
        return self

    @property
    def plan(self) -> tuple[Phase, ...]:
        """The phases; empty for `fusion: none`, which depends on cascade and machine."""
        return (Phase(stages=self.stages),) if self.stages else tuple(self.phases)
