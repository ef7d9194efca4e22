"""What a measurement file says above its rows: the device, the driver, versions of libraries, the date and the command."""

from __future__ import annotations

import datetime
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from attnsim.measure.sensors import Sensors

PACKAGES = ("numpy", "triton", "flashinfer-python", "flash-linear-attention")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where rows come from. Rows of two provenances never share a file, whatever their dates and commands."""

    device: str
    driver: str
    versions: str
    date: str
    command: str

    @property
    def same(self) -> dict[str, str]:
        """What has to agree before rows may be added to a file."""
        return {"device": self.device, "driver": self.driver, "versions": self.versions}

    def lines(self) -> list[str]:
        """Comment lines, without line ends."""
        told = {**self.same, "date": self.date, "command": self.command}
        return [f"# {name}: {text}" for name, text in told.items()]


def read_header(lines: Sequence[str]) -> Mapping[str, str]:
    """`name: text` of the comment lines; of a name that stands twice, the first."""
    found: dict[str, str] = {}
    for line in lines:
        name, colon, text = line.removeprefix("#").strip().partition(": ")
        if line.startswith("#") and colon:
            found.setdefault(name, text.strip())
    return found


def provenance(device: str, torch: Any, sensors: Sensors, arguments: Sequence[str]) -> Provenance:
    """Of this machine, now. `torch` None: without it. `arguments`: of the command line, the program's name left out."""
    from attnsim import __version__

    versions = [f"attnsim {__version__}", f"Python {platform.python_version()}"]
    if torch is not None:
        versions.append(f"torch {torch.__version__}")
    if device == "cuda":
        name = torch.cuda.get_device_name(0)
        versions.append(f"CUDA {torch.version.cuda}")
        if torch.backends.cudnn.is_available():
            versions.append(f"cuDNN {torch.backends.cudnn.version()}")
        versions.append(f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}")
    else:
        name = f"{processor_name()}, {torch.get_num_threads() if torch is not None else 1} threads"
    versions += [f"{package} {found}" for package in PACKAGES if (found := _version(package))]
    date = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    command = shlex.join(["attnsim", "measure", *arguments]) if arguments else shlex.join(["attnsim", *sys.argv[1:]])
    return Provenance(name, sensors.driver() or "none", "; ".join(versions), date, command)


def processor_name() -> str:
    """The CPU's model name, as its operating system has it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
