"""The few numbers of a kernel that its code does not show, each with its source: lists of entries, of which the first that holds wins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from attnsim.spec.base import FieldError, Spec
from attnsim.spec.quantity import Cycles, Factor, PositiveShare, Seconds, Share, Whole

ResourceName = Literal["tensor", "vector", "sfu", "smem", "l2", "reduce", "fill", "drain", "memory"]


def listed(value: Any) -> Any:
    """One entry may be written without the list around it."""
    return [value] if isinstance(value, dict) else value


class _Sourced(Spec):
    """A constant has a source; a fitted one says on which rows."""

    when: str | None = Field(default=None, description="condition over sizes, isa, dtype, mask ...; the first entry that holds is used")
    source: str = Field(
        min_length=1, description="where the value comes from: paper and section, source file, 'derived: ...', 'fitted', or 'estimate: ...'"
    )
    rows: str = Field(default="", description="for a fitted value: the rows it was fitted on")

    @model_validator(mode="after")
    def _fitted_names_rows(self) -> _Sourced:
        if self.source.startswith("fitted") and not self.rows:
            raise FieldError("a fitted constant names the rows it was fitted on: add `rows: ...`", "source")
        return self


class ShareConstant(_Sourced):
    """A share between 0 and 1."""

    value: Share = Field(description="the number")


class EfficiencyConstant(_Sourced):
    """A share of a rate that is reached: above 0, at most 1."""

    value: PositiveShare = Field(description="the number")


class FactorConstant(_Sourced):
    """A positive factor."""

    value: Factor = Field(description="the number")


class CyclesConstant(_Sourced):
    """Clock cycles of one processor."""

    value: Cycles = Field(description="the number")


class SecondsConstant(_Sourced):
    """A time."""

    value: Seconds = Field(description="the number")


class OpsConstant(_Sourced):
    """Operations per element."""

    value: Annotated[int, Whole(0)] = Field(description="the number")


Shares = Annotated[list[ShareConstant], BeforeValidator(listed)]
Efficiencies = Annotated[list[EfficiencyConstant], BeforeValidator(listed)]
Factors = Annotated[list[FactorConstant], BeforeValidator(listed)]
CyclesList = Annotated[list[CyclesConstant], BeforeValidator(listed)]
SecondsList = Annotated[list[SecondsConstant], BeforeValidator(listed)]
OpsList = Annotated[list[OpsConstant], BeforeValidator(listed)]


class Overlap(Spec):
    """What of a resource's time nothing else hides: tile time = sum(exposed x time) + the longest hidden rest."""

    exposed: dict[ResourceName, Shares] = Field(
        default_factory=dict,
        description="by resource: tensor, sfu, vector, smem, l2, reduce (within a tile); fill (first loads and last stores of a CTA); "
        "drain (a CTA's work on its last tile, after the last byte has come from memory, and what the longest slot works beyond the "
        "average, while the others ask memory for nothing); memory (HBM and L2 beside the compute of the whole kernel)",
    )


class Constants(Spec):
    """The few numbers of a kernel that its code does not show."""

    tensor_efficiency: Efficiencies = Field(
        default_factory=list, description="share of the tensor path's rate that back-to-back matrix instructions reach"
    )
    cta_overhead: CyclesList = Field(
        default_factory=list, description="cycles per CTA (or per tile fetched by a persistent CTA) in which nothing else runs"
    )
    tile_overhead: CyclesList = Field(
        default_factory=list,
        description="cycles per tile of a walk in which nothing else of its CTA runs: barriers, addresses of its pages",
    )
    request_scan: CyclesList = Field(
        default_factory=list,
        description="cycles per CTA for each batch element that its scheduler passes to find the next one, where lengths are known on "
        "the device only",
    )
    reduce_efficiency: Efficiencies = Field(
        default_factory=list,
        description="share of a processor's part of the shared cache's bandwidth that its reductions into a result of the whole grid reach "
        "(fp32 atomics); left out: they limit the whole machine only, not one processor",
    )
    alone: Efficiencies = Field(
        default_factory=list,
        description="share of a processor's rate that one CTA alone reaches where several fit: nothing else hides its waits",
    )
    masked_ops: OpsList = Field(
        default_factory=list, description="vector operations per element of a tile that needs the mask: index, compare, select"
    )
    masked_tile_cost: Factors = Field(
        default_factory=list, description="time of a tile whose mask is computed, relative to one without; beside masked_ops"
    )
    exp_on_vector: Shares = Field(default_factory=list, description="share of the exponentials computed as polynomials on the vector unit")
    executed: dict[str, Shares] = Field(
        default_factory=dict, description="share of the tiles in which an Einsum really runs (conditional rescaling)"
    )
    activity: Factors = Field(
        default_factory=list,
        description="energy of a tensor operation relative to one on the inputs that the machine's energies were fitted to: weights of a "
        "softmax are positive and most of them small, so that fewer bits toggle",
    )
    memory_efficiency: Efficiencies = Field(
        default_factory=list, description="share of the machine's sustained memory bandwidth this kernel reaches"
    )
    kernel_overhead: SecondsList = Field(
        default_factory=list, description="fixed time of one kernel beside launch: ramp-up, tail, host-side checks"
    )
    helper_overhead: SecondsList = Field(
        default_factory=list, description="fixed time of a helper kernel beside launch; default: kernel_overhead"
    )
    helper_efficiency: Efficiencies = Field(
        default_factory=list,
        description="share of the sustained bandwidths, of memory and shared cache, that a helper kernel reaches; default: 1",
    )
    merge: CyclesList = Field(
        default_factory=list,
        description="cycles in which a CTA that merges a split walk, in the kernel or after it, takes in a partial result: chained loads",
    )
    combine_overhead: SecondsList = Field(
        default_factory=list, description="fixed time of the kernel that merges split walks, beside launch; default: kernel_overhead"
    )
