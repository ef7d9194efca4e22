from __future__ import annotations

import pytest

from attnsim.machine.load import load_machine
from attnsim.machine.machine import Machine
from attnsim.spec.library import entries


@pytest.mark.parametrize("name", [entry.name for entry in entries("arch") if "spatial" not in entry.path.parts])
def test_reading_memory_at_its_sustained_rate_stays_within_the_board_limit(name: str) -> None:
    # Vendors publish bandwidths that their boards hold; a joule per byte that forbids it would slow every memory-bound kernel.
    machine = load_machine(name)
    assert isinstance(machine, Machine)
    copying = machine.power.idle_w + machine.memory.sustained * machine.memory.energy_j_per_byte
    assert machine.power.idle_w < copying < machine.power.tdp_w
