"""Everything a page shows of one answer, as plain data: numbers in SI units, texts raw.

The JavaScript puts texts in as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attnsim import __version__
from attnsim.evaluate.estimate import Report
from attnsim.machine.spatial import SpatialMachine
from attnsim.report.html.accuracyview import accuracy_view
from attnsim.report.html.asked import changes, command, python_call
from attnsim.report.html.cascadeview import cascade_view
from attnsim.report.html.costview import cost_view
from attnsim.report.html.kernelview import kernel_view
from attnsim.report.html.maskview import mask_view
from attnsim.report.html.modelview import model_view
from attnsim.report.html.parts import Part
from attnsim.report.html.rooflineview import roofline_views
from attnsim.report.html.steps import Step, steps_of
from attnsim.serving.answer import ModelEstimate

SCHEMA = 1


def answer_view(
    report: Report,
    measured: Sequence[Any] = (),
    *,
    curves: bool = True,
    coarse: bool = False,
    accuracy: bool = True,
    pictures: bool = True,
    roofline: bool = True,
) -> Part:
    """One report as JSON-serialisable data.

    measured: measured points for the roofline. curves, accuracy, pictures, roofline: whether to work out cost against context and batch,
    validation errors, the pictures of cascade and mask, and the roofline; left out, they are None. coarse: curves of fewer points.
    """
    machine = report.machine
    steps = steps_of(report) if curves or pictures else []
    return {
        "schema": SCHEMA,
        "attnsim": __version__,
        "title": f"{report.workload_name} on {report.arch_name}",
        "workload": {"name": report.workload_name, "sha256": report.workload_sha256},
        "arch": {"name": report.arch_name, "title": machine.title, "sha256": report.arch_sha256, "processors": _processors(machine)},
        "schedule": report.results[0].schedule,
        "command": command(report.call) if report.call else None,
        "python": python_call(report.call) if report.call else None,
        "changes": changes(report.call) if report.call else "",
        "assumptions": list(dict.fromkeys([*report.assumptions, *(text for result in report.results for text in result.assumptions)])),
        "results": _results(report, steps if pictures else []),
        "roofline": _roofline(report, measured) if roofline else None,
        "cost": cost_view(report, steps, coarse) if curves else None,
        "accuracy": accuracy_view(report) if accuracy else None,
    }


def _results(report: Report, steps: Sequence[Step | None]) -> list[Part]:
    """The results, with the pictures of those that are one kernel."""
    views: list[Part] = []
    for number, result in enumerate(report.results):
        view = model_view(result) if isinstance(result, ModelEstimate) else kernel_view(report, result)
        step = steps[number] if steps else None
        if step is not None:
            view["graph"] = cascade_view(step)
            view["picture"] = mask_view(step, report.machine)
        views.append(view)
    return views


def _roofline(report: Report, measured: Sequence[Any]) -> Part:
    found, refused = roofline_views([report], measured)
    return {"charts": found, "refused": refused}


def _processors(machine: Any) -> str:
    if isinstance(machine, SpatialMachine):
        from attnsim.evaluate.spatial.render import machine_text

        return machine_text(machine)
    return f"{machine.processors} {machine.processor_name}s"
