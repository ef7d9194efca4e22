"""What a user asks: an attention kernel, its sizes, mask and number format."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from attnsim.spec.base import Spec
from attnsim.spec.dtype import Dtype
from attnsim.spec.mask import DenseMask, MaskSpec
from attnsim.spec.quantity import Hertz, Size


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
    count_register_files: bool = Field(
        default=True,
        description="PE arrays: count the energy of the PEs' registers; false as arXiv 2406.10491, whose artifact leaves it out",
    )


class KernelWorkload(Spec):
    """One attention kernel: cascade x sizes x mask."""

    attnsim: Literal[1]
    kind: Literal["kernel"]
    name: str = Field(min_length=1)
    title: str = ""
    cascade: str | dict[str, Any] = Field(description="library name, path, or an inline cascade")
    sizes: dict[str, Size] = Field(
        description="size of every rank of the cascade, for example {B: 1, H: 32, G: 8, P: 8192, M: 8192, E: 128, F: 128}", min_length=1
    )
    dtype: Dtype
    direction: Literal["forward", "backward"] = "forward"
    mask: MaskSpec = Field(default_factory=lambda: DenseMask(kind="dense"))
    schedule: str | dict[str, Any] | None = Field(
        default=None, description="library name, path, or inline; left out: the best known one for the machine"
    )
    baseline: str | dict[str, Any] | None = Field(
        default=None, description="schedule whose latency the speedup upper bound refers to; left out: the schedule itself"
    )
    conditions: Conditions = Field(default_factory=Conditions)


class LayerStep(Spec):
    """One kernel of a layer; what is left out is the layer's own."""

    name: str = Field(min_length=1)
    cascade: str | dict[str, Any]
    sizes: dict[str, Size] = Field(default_factory=dict, description="sizes that differ from the layer's")
    mask: MaskSpec | None = None
    schedule: str | dict[str, Any] | None = None


class LayerWorkload(Spec):
    """Kernels that run one after another, tensors between them through memory: a whole layer, end to end."""

    attnsim: Literal[1]
    kind: Literal["layer"]
    name: str = Field(min_length=1)
    title: str = ""
    dtype: Dtype
    sizes: dict[str, Size] = Field(description="sizes by rank; every step takes those of its cascade", min_length=1)
    mask: MaskSpec = Field(default_factory=lambda: DenseMask(kind="dense"))
    conditions: Conditions = Field(default_factory=Conditions)
    steps: list[LayerStep] = Field(min_length=1)


WorkloadSpec = Annotated[KernelWorkload | LayerWorkload, Field(discriminator="kind")]
"""Any workload file."""
