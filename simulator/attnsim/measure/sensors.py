"""Clock, power, temperature and throttling of one NVIDIA GPU, through nvidia-ml-py where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

_POWER_INSTANT = 186  # NVML_FI_DEV_POWER_INSTANT: the plain reading is an average of about a second
_POWER_CAP, _THROTTLED = 0x4, 0x8 | 0x20 | 0x40 | 0x80
CLOCK_MOVED = 0.02


@dataclass(frozen=True, slots=True)
class Reading:
    """SM clock (MHz), board power (W), temperature (degrees C) and NVML's bits of reasons for a lowered clock."""

    clock_mhz: float
    power_w: float
    temperature_c: float
    reasons: int = 0


class Sensors:
    """Readings of the device that PyTorch calls number 0; none where the driver or nvidia-ml-py is missing."""

    def __init__(self, uuid: str | None) -> None:
        self._nvml: Any = None
        if uuid is None:
            return
        try:
            import pynvml

            pynvml.nvmlInit()
            name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(name)
        except (ImportError, OSError):
            return
        except pynvml.NVMLError:
            return
        self._nvml = pynvml

    def read(self) -> Reading | None:
        """What the board says now."""
        if self._nvml is None:
            return None
        n = self._nvml
        try:
            return Reading(
                n.nvmlDeviceGetClockInfo(self._handle, n.NVML_CLOCK_SM),
                self._power(),
                n.nvmlDeviceGetTemperature(self._handle, n.NVML_TEMPERATURE_GPU),
                n.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle),
            )
        except n.NVMLError:
            return None

    def driver(self) -> str:
        """The driver's version, "" where nobody says."""
        return str(self._nvml.nvmlSystemGetDriverVersion()) if self._nvml is not None else ""

    def _power(self) -> float:
        n = self._nvml
        try:
            value = n.nvmlDeviceGetFieldValues(self._handle, [_POWER_INSTANT])[0]
            if value.nvmlReturn == 0 and value.value.uiVal:
                return float(value.value.uiVal) / 1000
        except (n.NVMLError, AttributeError, TypeError):
            pass
        return float(n.nvmlDeviceGetPowerUsage(self._handle)) / 1000


def summary(readings: Sequence[Reading]) -> dict[str, float]:
    """Columns of the readings taken while a row ran: their means."""
    if not readings:
        return {}
    return {
        "clock_mhz": round(mean(r.clock_mhz for r in readings)),
        "power_w": round(mean(r.power_w for r in readings), 1),
        "temperature_c": round(mean(r.temperature_c for r in readings)),
    }


def flags(readings: Sequence[Reading]) -> list[str]:
    """`throttled` by heat or hardware, `power-cap` for a clock lowered to stay below it, `clock-moved` while the row ran."""
    if not readings:
        return []
    reasons = 0
    for reading in readings:
        reasons |= reading.reasons
    clocks = [reading.clock_mhz for reading in readings]
    found = ["throttled"] if reasons & _THROTTLED else []
    found += ["power-cap"] if reasons & _POWER_CAP else []
    return found + (["clock-moved"] if max(clocks) > (1 + CLOCK_MOVED) * min(clocks) else [])
