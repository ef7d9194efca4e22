"""What a user asks: an attention kernel, its sizes, mask and number format."""

from __future__ import annotations

from typing import Any, Literal

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


WorkloadSpec = KernelWorkload
