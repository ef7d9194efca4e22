"""From an arch file (or name, or dict) to a Machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from attnsim.errors import Issue, SpecError
from attnsim.machine.link import Link, Protocol, Transport
from attnsim.machine.machine import ANY, Clock, Launch, Level, Limits, Machine, Path, Unit
from attnsim.machine.power import GemmPoint, Power
from attnsim.machine.spatial import SpatialMachine
from attnsim.spec import library
from attnsim.spec.arch import ArchSpec, LevelSpec, PowerSpec, UnitSpec, check
from attnsim.spec.calibration import KernelConstants
from attnsim.spec.link import LinkSpec
from attnsim.spec.sourced import Sourced
from attnsim.spec.yaml import Document, validate

V = TypeVar("V")

_CACHED = 256  # machines kept by content: a sweep over arch overrides stays bounded
_machines: dict[str, Machine | SpatialMachine] = {}


def load_machine(
    ref: library.Ref,
    doc: Document | None = None,
    loc: Sequence[str | int] = (),
    sets: Sequence[str] = (),
) -> Machine | SpatialMachine:
    """The machine that `ref` names: a library name, a path or the content itself, with `sets` such as ``levels.hbm.bandwidth=4 TB/s``.

    `doc` and `loc` say where `ref` was written, so that an unknown name is reported there. Raises SpecError with every issue found.
    """
    document = library.load("arch", ref, doc=doc, loc=tuple(loc))
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"cannot read {text!r}: write KEY=VALUE, for example 'processors.count=66'")
        document = document.with_set(key.strip(), value.strip())
    key = document.sha256
    machine = _machines.get(key)
    if machine is None:
        machine = build_any(document, peaks=not sets)
        while len(_machines) >= _CACHED:
            _machines.pop(next(iter(_machines)))
        _machines[key] = machine
    return machine


def build_any(document: Document, peaks: bool = True) -> Machine | SpatialMachine:
    """The machine of a document of either kind. Raises SpecError with every issue found."""
    if document.data.get("kind") == "spatial":
        from attnsim.machine.load_spatial import build_spatial

        return build_spatial(document)
    return build(document, peaks)


def build(document: Document, peaks: bool = True) -> Machine:
    """The machine of one resolved arch document; raises SpecError with every issue found. `peaks`: hold it against its published peaks."""
    spec = validate(ArchSpec, document)
    issues = check(spec, document, peaks)
    if issues:
        raise SpecError(issues)
    kernels = _kernels(spec, document)
    clocks = {name: Clock(clock.nominal.value, clock.boost.value) for name, clock in spec.clocks.items()}
    units = {name: _unit(name, unit) for name, unit in spec.units.items()}
    levels = tuple(_level(name, level, spec, clocks) for name, level in spec.levels.items())
    limits, launch = spec.limits, spec.launch
    return Machine(
        name=spec.name,
        title=spec.title or spec.name,
        kind=spec.kind,
        isa=spec.isa,
        vendor=spec.vendor,
        processors=spec.processors.count,
        processor_name=spec.processors.name,
        clocks=_copy(clocks),
        units=_copy(units),
        levels=levels,
        expand=_copy({op: _copy(entry.ops) for op, entry in spec.expand.items()}),
        limits=Limits(
            limits.threads,
            limits.ctas,
            limits.registers,
            limits.registers_per_thread,
            limits.smem_per_cta.value,
            limits.smem_reserved_per_cta.value,
            limits.warp,
        ),
        launch=Launch(launch.stream.value, launch.graph.value, launch.floor.value),
        power=_power(spec.power),
        links=_copy({name: _link(name, link, levels[0].sustained) for name, link in spec.links.items() if link is not None}),
        dtypes=frozenset(dtype for unit in units.values() for dtype in unit.rates.get("mac", {}) if dtype != ANY),
        published_peak=_copy({dtype: peak.value for dtype, peak in spec.peak.items()}),
        sources=_copy(spec.sources),
        assumptions=tuple(spec.assumptions),
        content_key=document.sha256,
        kernels=kernels,
    )


def _kernels(spec: ArchSpec, document: Document) -> dict[str, KernelConstants]:
    """Constants of kernels by the schedule's own name; raises SpecError for conditions nobody can answer."""
    if not spec.kernels:
        return {}
    from attnsim.schedule.calibrated import measured_faults  # few machines have any
    from attnsim.schedule.schedule import load_schedule

    found: dict[str, KernelConstants] = {}
    issues: list[Issue] = []
    for name, measured in spec.kernels.items():
        try:
            schedule = load_schedule(name)
        except SpecError as error:  # one for PE arrays
            raise SpecError(document.issue(("kernels", name), error.issues[0].message)) from None
        issues += [document.issue(("kernels", name, *loc), text) for loc, text in measured_faults(schedule, measured)]
        found[schedule.name] = measured
    if issues:
        raise SpecError(issues)
    return found


def _copy(mapping: Mapping[str, V]) -> Mapping[str, V]:
    return dict(mapping)  # a copy nobody else holds; a read-only proxy could not travel between the processes of a sweep


def _values(mapping: Mapping[str, Sourced]) -> Mapping[str, float]:
    return {key: sourced.value for key, sourced in mapping.items()}


def _unit(name: str, unit: UnitSpec) -> Unit:
    rates = {}
    if unit.uniform is not None:
        rates = {op: _copy({ANY: unit.uniform.rate.value}) for op in unit.uniform.ops}
    rates |= {op: _values(by_dtype) for op, by_dtype in unit.rates.items()}
    paths = {key: Path(key, path.fraction.value, path.rows, path.warp_rows, path.depth) for key, path in unit.paths.items()}
    return Unit(name, unit.clock, _copy(rates), _copy(paths))


def _level(name: str, level: LevelSpec, spec: ArchSpec, clocks: Mapping[str, Clock]) -> Level:
    """Bandwidth of a per-processor level is B/cycle x nominal clock x processors."""
    per_cycle = None if level.bytes_per_cycle is None else level.bytes_per_cycle.value
    if level.bandwidth is not None:
        bandwidth = level.bandwidth.value
    else:
        bandwidth = (per_cycle or 0.0) * clocks[level.clock or ""].nominal_hz * spec.processors.count
    latency = 0.0 if level.latency is None else level.latency.value
    return Level(
        name=name,
        per=level.per,
        capacity_bytes=level.capacity.value,
        bandwidth=bandwidth,
        sustained=bandwidth * (1.0 if level.sustained is None else level.sustained.value),
        latency_s=latency,
        latency_far_s=latency if level.far_latency is None else level.far_latency.value,
        energy_j_per_byte=level.energy.value,
        bytes_per_cycle=per_cycle,
        clock=level.clock,
        retains=None if level.retains is None else level.retains.value,
        forgets=None if level.forgets is None else level.forgets.value,
        write=1.0 if level.write is None else level.write.value,
        ramp_s=0.0 if level.ramp is None else level.ramp.value,
    )


def _power(power: PowerSpec) -> Power:
    points = (power.gemm or {}).items()
    gemm = {dtype: GemmPoint(point.rate.value, point.efficiency.value, _copy(point.bytes_per_flop)) for dtype, point in points}
    return Power(
        tdp_w=power.tdp.value,
        idle_w=power.idle.value,
        clock_exponent=power.clock_exponent.value,
        shared=0.0 if power.shared is None else power.shared.value,
        joule_per_op=_copy({unit: _values(by_dtype) for unit, by_dtype in power.joule_per_op.items()}),
        gemm=gemm,
    )


def _link(name: str, link: LinkSpec, memory: float) -> Link:
    share = 1.0 if link.sustained is None else link.sustained.value
    return Link(
        name=name,
        bandwidth=link.bandwidth.value,
        sustained=link.bandwidth.value * share,
        latency_s=0.0 if link.latency is None else link.latency.value,
        call_s=0.0 if link.call is None else link.call.value,
        protocols=tuple(
            Protocol(key, each.latency.value, each.sustained.value, each.copies.value) for key, each in link.protocols.items() if each
        ),
        messages_s=0.0 if link.messages is None else link.messages.value,
        loads=0.0 if link.loads is None else link.loads.value,
        memory=memory,
        scope=link.scope,
        peers=link.peers,
        shared_by=link.shared_by,
        per_peer=None if link.per_peer is None else link.per_peer.value,
        transports={key: Transport(key, each.latency.value, each.sustained.value) for key, each in link.transports.items()},
    )
