"""Everything a page shows of one answer, as plain data: numbers in SI units, texts raw. The JavaScript puts texts in as text, never as markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnsim import __version__
from attnsim.evaluate.estimate import Report
from attnsim.machine.spatial import SpatialMachine
from attnsim.report.html.asked import command, python_call
from attnsim.report.html.kernelview import kernel_view
from attnsim.report.html.modelview import model_view
from attnsim.report.html.parts import Part
from attnsim.serving.answer import ModelEstimate

SCHEMA = 1


def answer_view(report: Report, measured: Sequence[Any] = (), *, curves: bool = True, accuracy: bool = True, pictures: bool = True) -> Part:
    """One report as JSON-serialisable data.

    measured: measured points for the roofline. curves, accuracy, pictures: whether to compute cost versus context and batch, validation
    errors, and the cascade and mask pictures.
    """
    machine = report.machine
    return {
        "schema": SCHEMA,
        "attnsim": __version__,
        "title": f"{report.workload_name} on {report.arch_name}",
        "workload": {"name": report.workload_name, "sha256": report.workload_sha256},
        "arch": {"name": report.arch_name, "title": machine.title, "sha256": report.arch_sha256, "processors": _processors(machine)},
        "schedule": report.results[0].schedule,
        "command": command(report.asked) if report.asked else None,
        "python": python_call(report.asked) if report.asked else None,
        "assumptions": list(dict.fromkeys([*report.assumptions, *(text for result in report.results for text in result.assumptions)])),
        "results": [model_view(result) if isinstance(result, ModelEstimate) else kernel_view(report, result) for result in report.results],
        "roofline": None,
        "cascade": None,
        "mask": None,
        "cost": None,
        "accuracy": [],
    }


def _processors(machine: Any) -> str:
    if isinstance(machine, SpatialMachine):
        from attnsim.evaluate.spatial.render import machine_text

        return machine_text(machine)
    return f"{machine.processors} {machine.processor_name}s"
