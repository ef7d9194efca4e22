"""One kernel on whatever machine it is asked about."""

from __future__ import annotations

from attnsim.api.documents import Ref
from attnsim.api.processors import run_on_processors
from attnsim.evaluate.estimate import Report
from attnsim.machine.machine import Machine
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec.workload import KernelWorkload
from attnsim.spec.yaml import Document


def run_kernel(spec: KernelWorkload, document: Document, machine: Machine | SpatialMachine, schedule: Ref | None = None) -> Report:
    """Evaluate one kernel of a document on a resolved machine. Raises as `attnsim.run`."""
    if isinstance(machine, SpatialMachine):
        from attnsim.api.spatial import run_on_arrays

        return run_on_arrays(spec, document, machine, schedule)
    return run_on_processors(spec, document, machine, schedule)
