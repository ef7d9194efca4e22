"""What a user asks: an attention kernel, its sizes, mask and number format."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, FormatVersion, Name, Spec, Title
from attnsim.spec.dtype import Dtype
from attnsim.spec.mask import DenseMask, MaskSpec
from attnsim.spec.quantity import Hertz, Share, Size, Whole


class Conditions(Spec):
    """Under which the kernel runs; the defaults are those of a long-running production job."""

    tensor_clock: Hertz | None = Field(
        default=None, description="lock the clock, for example '1830 MHz'; left out: boost, lowered by the power limit"
    )
    power_limit: bool = Field(
        default=True, description="lower the clock when the board's TDP would be exceeded; false: short or locked-clock runs"
    )
    launch: Literal["stream", "graph", "none"] = Field(
        default="graph",
        description="how the kernel is started: stream launch, CUDA graph node, or none (launches hidden behind a queue of work)",
    )
    cache: Literal["cold", "warm"] = Field(
        default="cold",
        description="cold: inputs are in memory when the kernel starts; warm: what a run before left in the shared cache is still there, "
        "as in a benchmark that repeats one call on the same tensors",
    )
    permute: Literal["per_op", "per_model", "none"] = Field(
        default="per_op",
        description="who lays tokens out in the boxes of a neighborhood kernel: each operation, the model once, or nobody",
    )
    count_register_files: bool = Field(
        default=True,
        description="PE arrays: count the energy of the PEs' registers; false as arXiv 2406.10491, whose artifact leaves it out",
    )


class EndToEnd(Spec):
    """The model around the kernel: how much of its time attention takes, and in how many of its steps the mask is used."""

    share: Share = Field(description="attention's share of the time end to end when all steps are dense")
    steps: Size = Field(default=1, description="steps of the model, such as denoising steps")
    dense_steps: Annotated[int, Whole(0)] = Field(default=0, description="of these, steps that stay dense")
    layers: Size | None = Field(default=None, description="attention layers a step, over which one permutation of the tokens is spread")

    @model_validator(mode="after")
    def _some_steps_are_sparse(self) -> EndToEnd:
        if self.dense_steps > self.steps:
            raise FieldError(f"must be at most {self.steps}, the steps, not {self.dense_steps}", "dense_steps")
        return self


class KernelWorkload(Spec):
    """One attention kernel: cascade x sizes x mask."""

    attnsim: FormatVersion
    kind: Literal["kernel"]
    name: Name = Field(min_length=1)
    title: Title = ""
    cascade: str | dict[str, Any] = Field(description="library name, path, or an inline cascade")
    sizes: dict[str, Size] = Field(
        description="size of every rank of the cascade, for example {B: 1, H: 32, G: 8, P: 8192, M: 8192, E: 128, F: 128}", min_length=1
    )
    dtype: Dtype = Field(description="number format of the inputs")
    direction: Literal["forward", "backward"] = Field(default="forward", description="backward: the gradients of a training step")
    mask: MaskSpec = Field(default_factory=lambda: DenseMask(kind="dense"), description="which (query, key) pairs attend")
    schedule: str | dict[str, Any] | None = Field(
        default=None, description="library name, path, or inline; left out: the best known one for the machine"
    )
    baseline: str | dict[str, Any] | None = Field(
        default=None, description="schedule whose latency the speedup upper bound refers to; left out: the schedule itself"
    )
    end_to_end: EndToEnd | None = Field(default=None, description="report the speedup of a whole model over its dense self")
    conditions: Conditions = Field(default_factory=Conditions, description="under which the kernel runs")


class LayerStep(Spec):
    """One kernel of a layer; what is left out is the layer's own."""

    name: str = Field(min_length=1, description="what the step is called in the answer")
    cascade: str | dict[str, Any] = Field(description="library name, path, or an inline cascade")
    sizes: dict[str, Size] = Field(default_factory=dict, description="sizes that differ from the layer's")
    mask: MaskSpec | None = Field(default=None, description="left out: the layer's")
    schedule: str | dict[str, Any] | None = Field(default=None, description="left out: the best known one for the machine")


class LayerWorkload(Spec):
    """Kernels that run one after another, tensors between them through memory: a whole layer, or several that are alike, end to end."""

    attnsim: FormatVersion
    kind: Literal["layer"]
    name: Name = Field(min_length=1)
    title: Title = ""
    dtype: Dtype = Field(description="number format of the inputs")
    sizes: dict[str, Size] = Field(description="sizes by rank; every step takes those of its cascade", min_length=1)
    mask: MaskSpec = Field(default_factory=lambda: DenseMask(kind="dense"), description="of the steps whose cascade has queries and keys")
    conditions: Conditions = Field(default_factory=Conditions, description="under which the kernels run")
    layers: Size = Field(default=1, description="how many such layers follow one another")
    steps: list[LayerStep] = Field(min_length=1, description="the kernels, in order")


WorkloadSpec = Annotated[KernelWorkload | LayerWorkload, Field(discriminator="kind")]
"""Any workload file."""
