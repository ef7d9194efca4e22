"""What one CTA does per tile and once: operations by unit, their cycles, shared-memory traffic of the matrix instructions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError, MissingDataError
from attnsim.evaluate.point import PRICED_AS, Point
from attnsim.lanes import Number, maximum, real
from attnsim.machine.machine import Path

Ops = dict[str, dict[str, float]]
_UNNAMED = Path("", fraction=1.0, rows=None)  # a schedule that names no instruction path: every warp issues its own


@dataclass(slots=True)
class Work:
    """Operations by unit and kind, and the cycles of one processor that each resource is busy with them."""

    ops: Ops = field(default_factory=dict)
    cycles: dict[str, float] = field(default_factory=dict)
    smem_bytes: float = 0.0

    def add(self, point: Point, unit: str, kind: str, count: float) -> None:
        """Charge `count` operations to `unit`.

        Raises:
            InfeasibleError: the machine can run the operation neither natively nor as an expansion.
        """
        if count <= 0:
            return
        kind = PRICED_AS.get(kind, kind)
        path = point.tensor_path if unit == "tensor" and kind == "mac" else None
        machine = point.machine
        if machine.rate(unit, kind, point.dtype, path) is None:
            try:
                expansion = machine.expansion(kind, unit, point.dtype)
            except MissingDataError as error:
                raise InfeasibleError(f"{machine.name} has no unit that runs {kind} in {point.dtype}: {error}") from None
        else:
            expansion = {kind: 1.0}
        for op, each in expansion.items():
            rate = machine.rate(unit, op, point.dtype, path)
            if rate is None:
                raise InfeasibleError(f"{unit} of {machine.name} does not run {op} in {point.dtype}")
            self._charge(unit, op, count * each, rate)

    def emulate(self, point: Point, unit: str, kind: str, count: float) -> None:
        """Charge `count` operations of `kind` to `unit` as the polynomial the machine file gives, although another unit runs them
        natively.
        """
        if count <= 0:
            return
        for op, each in point.machine.emulation(kind, unit, point.dtype).items():
            rate = point.machine.rate(unit, op, point.dtype)
            if rate is None:
                raise InfeasibleError(f"{unit} of {point.machine.name} does not run {op} in {point.dtype}")
            self._charge(unit, op, count * each, rate)

    def _charge(self, unit: str, op: str, count: float, rate: float) -> None:
        by_kind = self.ops.setdefault(unit, {})
        by_kind[op] = by_kind.get(op, 0.0) + count
        self.cycles[unit] = self.cycles.get(unit, 0.0) + count / rate


@dataclass(frozen=True, slots=True)
class CtaWork:
    """per_tile: each step of the walk; once: prologue and epilogue of a CTA; masked_cycles: extra cycles of a tile that needs the mask."""

    per_tile: Work
    once: Work
    masked_cycles: float
    masked_ops: float


def extents(point: Point, tile: Mapping[str, Number]) -> dict[str, Number]:
    """Size of every rank inside one tile: tiled ranks their tile, partition chunks one, batch ranks one, all others whole."""
    sizes: dict[str, Number] = dict(point.sizes)
    for rank in (*point.cascade.batch, *point.cascade.groups):
        sizes[rank] = 1
    sizes.update(tile)
    for rank, parts in point.cascade.partition.items():
        inner = sizes.get(rank, point.sizes[rank])
        for part in parts:
            sizes[part] = 1
        sizes[parts[-1]] = inner
    return sizes


def parts_of(point: Point, rank: str) -> frozenset[str]:
    """The rank and its partition ranks."""
    return frozenset((rank, *point.cascade.partition.get(rank, ())))


_KNOWN: dict[tuple[object, ...], CtaWork] = {}
_MOST_KNOWN = 4096  # a sweep over sequence lengths shares one entry; bounds the memory of a sweep over tiles


def cta_work(point: Point, einsums: tuple[Einsum, ...], tile: Mapping[str, int], walked: tuple[str, ...], warps: int) -> CtaWork:
    """Work of one CTA of a fused kernel; kept for the next point with the same tile and inner sizes.

    tile: tile size of every tiled rank; walked: ranks of the sequential loops. An operation whose iteration space holds all of them runs
    per tile, any other once per CTA. Padding is included: the kernel computes whole tiles.
    """
    constants, settle = point.schedule.spec.constants, point.schedule.constant
    polynomial = settle(constants.exp_on_vector, point.context, 0.0)
    masked = settle(constants.masked_ops, point.context, 0.0)
    executed = {label: settle(entries, point.context, 1.0) for label, entries in constants.executed.items()}
    cascade = point.cascade
    outside = {*cascade.batch, *cascade.groups, *(rank for rank in tile if rank not in walked or len(walked) == 1)}
    key = (
        cascade.content_key, tuple(einsum.label for einsum in einsums), point.machine.content_key, point.schedule, point.dtype,
        point.tensor_path, tuple(tile.items()), walked, warps, polynomial, masked, tuple(executed.items()),
        tuple((rank, size) for rank, size in point.sizes.items() if rank not in outside),
    )  # fmt: skip
    try:
        found = _KNOWN.get(key)
    except TypeError:  # sizes that differ from lane to lane
        return _cta_work(point, einsums, tile, walked, warps, polynomial, masked, executed)
    if found is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        found = _KNOWN[key] = _cta_work(point, einsums, tile, walked, warps, polynomial, masked, executed)
    return found


def _cta_work(
    point: Point,
    einsums: tuple[Einsum, ...],
    tile: Mapping[str, int],
    walked: tuple[str, ...],
    warps: int,
    polynomial: float,
    masked_ops: float,
    executed: Mapping[str, float],
) -> CtaWork:
    inside = extents(point, tile)
    whole = extents(point, {rank: size for rank, size in tile.items() if rank not in walked})
    groups = [parts_of(point, rank) for rank in walked]
    per_tile, once = Work(), Work()
    free = accumulations(point, einsums)
    for einsum in einsums:
        share = executed.get(einsum.label, 1.0)
        for term in einsum.terms:
            if einsum.label in free and term.kind == "add":
                continue
            ranks = set(term.ranks)
            inner = bool(groups) and all(ranks & group for group in groups)
            sizes, work = (inside, per_tile) if inner else (whole, once)
            count = real(term.count(sizes)) * share
            unit = point.unit(einsum, term.kind)
            if term.kind == "exp" and unit == "sfu" and polynomial > 0:
                work.emulate(point, "vector", "exp", count * polynomial)
                count *= 1 - polynomial
            work.add(point, unit, term.kind, count)
    _conversions(point, einsums, inside, per_tile)
    _matrix_reads(point, einsums, inside, tile, warps, per_tile)
    elements = inside[point.query] * inside[point.key]
    masked = masked_ops * elements
    rate = point.machine.rate("vector", "add", point.dtype) or point.machine.rate("vector", "mac", point.dtype) or 1.0
    return CtaWork(per_tile, once, masked / rate, masked)


def accumulations(point: Point, einsums: Iterable[Einsum]) -> frozenset[str]:
    """Einsums that only add a matrix product to a running value: the matrix unit accumulates in place, D = A x B + C."""
    products = {einsum.label for einsum in einsums if einsum.is_matmul}
    found = set()
    for einsum in einsums:
        kinds = [term.kind for term in einsum.terms]
        if kinds == ["add"] and any(operand.name in products for operand in einsum.operands):
            found.add(einsum.label)
    return frozenset(found)


def _conversions(point: Point, einsums: tuple[Einsum, ...], sizes: Mapping[str, int], work: Work) -> None:
    """Results of the vector unit that enter a matrix product are narrowed first, one conversion an element."""
    made = {einsum.label: einsum for einsum in einsums if not einsum.is_matmul}
    narrowed = {operand.name for einsum in einsums if einsum.is_matmul for operand in einsum.operands if operand.name in made}
    for label in sorted(narrowed):
        count = 1.0
        for rank in made[label].output.ranks:
            count *= sizes[rank]
        work.add(point, "vector", "add", count)


def _matrix_reads(
    point: Point, einsums: tuple[Einsum, ...], sizes: Mapping[str, int], tile: Mapping[str, int], warps: int, work: Work
) -> None:
    """Bytes that matrix instructions read from the processor's own memory, per tile.

    An instruction covers `rows` rows of the output: the operand that carries the rows is read once, the other once per `rows` rows
    (FlashAttention-4, arXiv 2603.05451, section 3.1: 3MNd bytes-equivalents per tile with rows = 128).
    """
    local = point.local
    spec = point.schedule.spec
    if local is None:
        return
    level = point.machine.levels[local]
    path = point.machine.path("tensor", point.tensor_path) if point.tensor_path else _UNNAMED
    for einsum in einsums:
        if not einsum.is_matmul:
            continue
        row = point.query if point.query in einsum.output.ranks else point.key
        rows_ranks = parts_of(point, row)
        rows = 1.0
        for rank in einsum.output.ranks:
            if rank in rows_ranks:
                rows *= sizes[rank]
        span = path.covered(tile.get(row, int(rows)), warps)
        for operand in einsum.operands:
            if spec.resident.get(operand.name) != level.name:
                continue
            count = point.element
            for rank in operand.ranks:
                count *= sizes[rank]
            carries = any(rank in rows_ranks for rank in operand.ranks)
            work.smem_bytes += count if carries else count * maximum(1.0, rows / span)
    if work.smem_bytes and level.bytes_per_cycle:
        work.cycles[level.name] = work.smem_bytes / level.bytes_per_cycle
