"""Kernels as measured on the machine of an arch file: constants that come before those of schedules, and the rows they are from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from attnsim.spec.base import Spec
from attnsim.spec.constants import Constants, Overlap
from attnsim.spec.quantity import Size


class KernelConstants(Spec):
    """Constants of one schedule on one machine. Their entries stand before the schedule's own, so that the first that holds wins."""

    constants: Constants = Field(default_factory=Constants, description="as in a schedule file; only those that were measured")
    overlap: Overlap = Field(default_factory=Overlap, description="as in a schedule file; only the resources that were measured")


class CalibrationSpec(Spec):
    """The measurement file that the numbers of an arch file were fitted to."""

    file: str = Field(min_length=1, description="name of the measurement file")
    sha256: str = Field(default="", description="hash of its content")
    device: str = Field(default="", description="as the file names it")
    driver: str = Field(default="", description="as the file names it")
    date: str = Field(default="", description="day of the measurement")
    rows: dict[str, list[Size]] = Field(default_factory=dict, description="lines of the file, by schedule or by field of the machine")


def _listed(value: Any) -> Any:
    """One record may be written without the list around it."""
    return [value] if isinstance(value, dict) else value


Calibrations = Annotated[list[CalibrationSpec], BeforeValidator(_listed)]
"""A record for each file."""
