"""The measured fields of a machine, from the rows of suite micro: bandwidths, launches, rates and energies of matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from attnsim.calibrate.found import Field, spread_of
from attnsim.calibrate.lines import best_of, fit_line
from attnsim.calibrate.rows import Row
from attnsim.machine.machine import ANY, Level, Machine
from attnsim.machine.power import GemmPoint, sustained_gemm

STREAMS = ("copy", "read", "triad")
LARGE = 4.0
"""Memory is measured on buffers of at least so many capacities of the cache before it."""

LIBRARY = 0.92
"""Share of its lanes' rate that a good product reaches on one core: what OpenBLAS gets of two 512-bit multiply-adds a cycle."""

THROTTLED = 0.9
"""A product that draws so much of the board's limit is held back by it, so that its rate tells the energy of an operation."""


def machine_fields(machine: Machine, data: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[Field]:
    """Fields in the order of an arch file; data: its content; rows: those of suite micro."""
    products = [row for row in rows if row.call.kernel == "matmul"]
    if machine.kind == "cpu":
        yield from _lanes(machine, data, products)
    else:
        yield from _clock(machine, rows)
    yield from _levels(machine, rows)
    yield from _launches(machine, rows)
    if machine.kind == "gpu":
        for dtype in sorted({row.call.columns["dtype"] for row in products}):
            yield from _energy(machine, dtype, [row for row in products if row.call.columns["dtype"] == dtype])


def _levels(machine: Machine, rows: Sequence[Row]) -> Iterator[Field]:
    streams = [row for row in rows if row.call.kernel in STREAMS and row.bytes]
    for index, level in enumerate(machine.levels):
        inner = machine.levels[index + 1] if index + 1 < len(machine.levels) else None
        if level.name == "register":
            continue
        if machine.kind == "cpu":
            found = _cpu_rows(machine, level, inner, streams)
        elif index == 0:
            cache = 0.0 if inner is None or inner.per != "device" else inner.capacity_bytes
            found = [row for row in streams if row.held_bytes >= LARGE * cache]
            found = [row for row in found if row.bytes / level.bandwidth > machine.launch.graph_s]  # of a shorter one most is the launch
        else:
            found = [row for row in rows if level.name == "l2" and row.call.kernel == "l2-read" and row.held_bytes <= level.capacity_bytes]
        if found:
            yield from _bandwidth(machine, level, found)


def _cpu_rows(machine: Machine, level: Level, inner: Level | None, streams: Sequence[Row]) -> list[Row]:
    """Streams whose buffers lie in a level and not in the one before it. One thread's share of caches of cores: NumPy's rows, or all."""
    if level.per == "processor":
        alone = [row for row in streams if row.backend == "numpy"] or list(streams)
        least = 0.0 if inner is None or inner.name == "register" else 1.5 * inner.capacity_bytes
        return [row for row in alone if least <= row.bytes <= level.capacity_bytes]
    before = 0.0 if inner is None else inner.capacity_bytes * (machine.processors if inner.per == "processor" else 1)
    if level is machine.memory:
        # the largest only: caches of other dies and large pages lend smaller buffers up to twice the rate, and not always
        return [row for row in streams if row.bytes >= max(LARGE * before, 0.75 * max(one.bytes for one in streams))]
    return [row for row in streams if 1.5 * before <= row.bytes <= level.capacity_bytes / 2]


def _bandwidth(machine: Machine, level: Level, rows: Sequence[Row]) -> Iterator[Field]:
    """The sustained share; where the machine is faster than the file says, the nominal figure, too."""
    threads = machine.processors if level.per == "processor" and rows[0].backend == "numpy" else 1
    best = best_of(rows)
    line = fit_line([(row.bytes, row.seconds) for row in best])
    rate = line.rate * threads
    note = f"{rate / 1e9:.5g} GB/s: {', '.join(sorted({row.call.kernel for row in best}))}, t = {line.alpha_s * 1e6:.3f} us + bytes / rate"
    if threads > 1:
        note += f", one thread's rate times {threads}"
    used = tuple(best)
    place = ("levels", level.name)
    nominal = level.bandwidth
    if rate > nominal:
        nominal = rate
        if level.bytes_per_cycle is not None:
            each = level.bytes_per_cycle * rate / level.bandwidth
            yield Field(
                (*place, "bytes_per_cycle"), level.bytes_per_cycle, each * 1.00001, "B/cycle", f"as measured, {note}", used, line.spread
            )
        else:
            yield Field((*place, "bandwidth"), level.bandwidth, rate * 1.00001, "B/s", f"as measured, {note}", used, line.spread)
    yield Field((*place, "sustained"), level.sustained / level.bandwidth, min(1.0, rate / nominal), "", note, used, line.spread)


def _launches(machine: Machine, rows: Sequence[Row]) -> Iterator[Field]:
    launch = machine.launch
    before = {"stream": launch.stream_s, "graph": launch.graph_s, "floor": launch.floor_s}
    notes = {
        "stream": "the smallest kernel, queued one after another by PyTorch; the host's own time where that is longer",
        "graph": "the smallest kernel, replayed from a graph",
        "floor": "the smallest kernel alone, launch included",
    }
    for name, was in before.items():
        kernel = f"launch-{name}"
        if machine.kind == "cpu":
            kernel, notes[name] = "launch-floor", "the smallest call of a library"
        found = [row for row in rows if row.call.kernel == kernel]
        if found:
            slowest = max(found, key=lambda row: row.seconds) if machine.kind == "cpu" else min(found, key=lambda row: row.seconds)
            yield Field(("launch", name), was, slowest.seconds, "s", f"{notes[name]} ({slowest.backend or 'measured'})", (slowest,), 0.0)


def _clock(machine: Machine, rows: Sequence[Row]) -> Iterator[Field]:
    """The highest clock seen, where the power limit did not lower it."""
    seen = [row for row in rows if row.clock_hz is not None]
    if not seen:
        return
    fastest = max(seen, key=lambda row: row.clock_hz or 0.0)
    for name, clock in machine.clocks.items():
        after = max(clock.nominal_hz, fastest.clock_hz or 0.0)
        if abs(after / clock.boost_hz - 1) > 0.005:
            yield Field(("clocks", name, "boost"), clock.boost_hz, after, "Hz", "the highest clock of any row", (fastest,), 0.0)


def _lanes(machine: Machine, data: Mapping[str, Any], products: Sequence[Row]) -> Iterator[Field]:
    """Rates of a CPU's unit, all scaled alike: how wide its lanes are, or whether two threads share them, is what products tell."""
    dtypes = {row.call.columns["dtype"] for row in products}
    dtype = "fp32" if "fp32" in dtypes else min(dtypes, default="")
    name = machine.matmul_unit(dtype) if dtype else None
    if name is None:
        return
    unit = machine.unit(name)
    chosen = [row for row in products if row.call.columns["dtype"] == dtype]
    best = max(chosen, key=_flops)
    reached = _flops(best) / machine.peak_flops(dtype)
    scale = reached / LIBRARY
    near = [row for row in chosen if _flops(row) > 0.8 * _flops(best)]
    note = f"products reach {_flops(best) / 1e9:.4g} GFLOP/s, {LIBRARY:.0%} of these lanes at the nominal clock; all rates scaled alike"
    spread = spread_of([_flops(row) / _flops(best) for row in near])
    written = data["units"][name]
    places = [("rates", op, kind) for op, by_dtype in written.get("rates", {}).items() for kind in by_dtype]
    uniform = [op for op in written.get("uniform", {}).get("ops", ()) if op not in written.get("rates", {})]
    rates: dict[tuple[str, ...], float] = {place: unit.rates[place[1]][place[2]] for place in places}
    if uniform:
        rates["uniform", "rate"] = unit.rates[uniform[0]][ANY]
    for place, rate in rates.items():
        yield Field(("units", name, *place), rate, rate * scale, "OP/cycle", note, (best,), spread)


def _flops(row: Row) -> float:
    columns = row.call.columns
    return 2.0 * int(columns["m"]) * int(columns["n"]) * int(columns["k"]) / row.seconds


def _energy(machine: Machine, dtype: str, products: Sequence[Row]) -> Iterator[Field]:
    """The rate of a product held at the power limit, and the energy of an operation that makes the limit give this rate."""
    held = [row for row in products if row.power_w is not None and row.power_w >= THROTTLED * machine.power.tdp_w]
    point, unit = machine.power.gemm.get(dtype), machine.matmul_unit(dtype)
    if not held or point is None or unit is None:
        return
    joule = machine.power.energy(unit, dtype)
    if joule is None:
        return
    rate = median(map(_flops, held))
    sizes = ", ".join(sorted({str(row.call.columns["m"]) for row in held}))
    watts = median(row.power_w or 0.0 for row in held)
    note = f"squares of {sizes} held at {watts:.4g} W"
    clocks = [row.clock_hz for row in held if row.clock_hz]
    note += f" and {median(clocks) / 1e6:.4g} MHz" if clocks else ""
    rows, spread = tuple(held), spread_of([_flops(row) / rate for row in held])
    yield Field(("power", "gemm", dtype, "rate"), point.rate, rate, "FLOP/s", note, rows, spread)
    after = _solve(lambda energy: _settled(machine, dtype, unit, energy, point) - rate, joule / 8, joule * 8)
    if after is not None:
        yield Field(("power", "joule_per_op", unit, dtype), joule, after, "J/OP", f"gives power.gemm.{dtype} at the limit", rows, spread)


def _settled(machine: Machine, dtype: str, unit: str, energy: float, point: GemmPoint) -> float:
    """FLOP/s at the limit where an operation costs `energy` joules."""
    by_unit = {**machine.power.joule_per_op, unit: {**machine.power.joule_per_op.get(unit, {}), dtype: energy}}
    power = replace(machine.power, joule_per_op=by_unit, gemm={**machine.power.gemm, dtype: point})
    settled = sustained_gemm(replace(machine, power=power), dtype)
    return 0.0 if settled is None else settled[0]


def _solve(falling: Callable[[float], float], low: float, high: float) -> float | None:
    """Where a falling function crosses zero; None where it does not between the ends."""
    if falling(low) < 0 or falling(high) > 0:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
