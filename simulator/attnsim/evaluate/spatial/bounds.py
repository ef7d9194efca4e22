"""The certified lower bound on a spatial machine: no schedule of this cascade on this machine is faster.

Counted: compulsory bytes at the memory's bandwidth; and for multiply-adds and exponentials, the least PE-cycles of every operation on the
arrays that execute it, all PEs busy all the time. Left out, since schedules may chain or pack them: the other operations.
"""

from __future__ import annotations

from attnsim.cascade.cascade import totals
from attnsim.evaluate.spatial.point import SpatialPoint

COUNTED = ("mac", "exp")


def lower_bound(point: SpatialPoint) -> dict[str, float]:
    """Seconds each resource needs at least; the bound is their maximum. Raises InfeasibleError where no array executes an operation."""
    machine, cascade = point.machine, point.cascade
    pairs = rows = None
    if point.key:
        p, m = point.sizes[point.query], point.sizes[point.key]
        pairs, rows = int(point.mask.pairs(p, m)), int(point.mask.queries(p, m))
    # the key rank in one chunk: the fewest corrections of any tiling
    counts = totals(cascade.counts(cascade.resolve_sizes(point.sizes), pairs=pairs, row_blocks=rows))
    keys = 1.0
    if point.key:
        p, m = point.sizes[point.query], point.sizes[point.key]
        keys = min(int(point.mask.keys(p, m)) / m, int(point.mask.queries(p, m)) / p)
    words = sum(point.words(name) * point.copies(name) for name in cascade.inputs) * keys
    words += sum(point.words(name) * point.copies(name) for name in cascade.outputs)
    floors = {"dram": words * point.word / machine.dram.bandwidth}
    # One operation: the PEs that execute it. All together: every PE, each operation where it is cheapest.
    cheapest = 0.0
    for kind in COUNTED:
        count = counts.get(kind, 0)
        able = [array for array in machine.arrays.values() if kind in array.cycles]
        if not count or not able:
            continue
        rate = sum(array.pes / array.cycles[kind] for array in able)
        name = max(able, key=lambda array: array.pes / array.cycles[kind]).name
        floors[name] = max(floors.get(name, 0.0), count / rate / machine.clock_hz)
        cheapest += count * min(array.cycles[kind] for array in able)
    pes = sum(array.pes for array in machine.arrays.values())
    busiest = max((name for name in floors if name != "dram"), key=lambda name: floors[name], default="")
    if busiest:
        floors[busiest] = max(floors[busiest], cheapest / pes / machine.clock_hz)
    return floors
