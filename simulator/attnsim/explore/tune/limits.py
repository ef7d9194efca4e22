"""What a tile needs of a processor and what the processor has: registers, tensor memory, shared memory, threads, warps to hide latency.

Registers and tensor memory come from the cascade: a tile of a tensor is live from the Einsum that computes it to the last that reads it,
running results the whole time; of an elementwise Einsum the result takes the place of its operand, unless the schedule holds both.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, prod

from attnsim.cascade.einsum import Einsum
from attnsim.errors import InfeasibleError
from attnsim.evaluate.evaluate import main_einsums
from attnsim.evaluate.occupancy import REGISTER_GRANULE, occupancy
from attnsim.evaluate.point import Point
from attnsim.evaluate.work import accumulations, extents, parts_of
from attnsim.explore.tune.search import Refusal
from attnsim.explore.tune.space import Candidate
from attnsim.schedule.schedule import Schedule
from attnsim.spec.dtype import element_bytes
from attnsim.units import format_quantity

REGISTER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Held:
    """A tile of a tensor in registers or tensor memory: its bytes; `first` and `last`, the steps in which it is live."""

    tensor: str
    size: float
    first: int
    last: int


def held_tiles(point: Point, tile: Mapping[str, int], level: str) -> tuple[tuple[Held, ...], tuple[Einsum, ...]]:
    """The tiles of a CTA that `level` holds and the Einsums whose steps they are counted in.

    Those that `resident` puts there and, where the kernel accumulates there, the results of its matrix products.
    """
    einsums = main_einsums(point)
    spec, cascade = point.schedule.spec, point.cascade
    inside = extents(point, tile)
    walked = [parts_of(point, rank) for rank in point.schedule.sequential]
    accumulated = accumulations(point, einsums)
    into = {operand.name: einsum.label for einsum in einsums if einsum.label in accumulated for operand in einsum.operands}
    narrow = {o.name for e in einsums if e.is_matmul for o in e.operands} - {e.label for e in einsums if e.is_matmul}
    found = []
    for step, einsum in enumerate(einsums):
        place = spec.resident.get(einsum.label)
        if place is None and einsum.is_matmul and einsum.label not in into:
            place = "tmem" if "tmem" in spec.resident.values() else "register"
        if place != level:
            continue
        readers = [at for at, e in enumerate(einsums) if any(o.name == einsum.label for o in e.operands)]
        ranks = cascade.tensor_ranks(einsum.label)
        running = einsum.label in accumulated or (einsum.is_matmul and not any(set(ranks) & group for group in walked))
        element = point.element if einsum.label in narrow else element_bytes(spec.accumulator_dtype)
        size = element * prod(inside[rank] for rank in ranks)
        first, last = (0, len(einsums)) if running else (step, max(readers, default=step))
        found.append(Held(einsum.label, size, first, last))
    return tuple(found), einsums


def most_held(point: Point, tile: Mapping[str, int], level: str, together: Sequence[str] = ()) -> float:
    """Bytes of the tiles live at once in `level`, at most; `together`: tensors held beside what they are made from."""
    held, einsums = held_tiles(point, tile, level)
    by_name = {one.tensor: one for one in held}
    most = 0.0
    for step, einsum in enumerate(einsums):
        total = sum(one.size for one in held if one.first <= step <= one.last)
        made = by_name.get(einsum.label)
        if made is not None and not einsum.is_matmul and einsum.label not in together and made.first == step:
            ranks = set(point.cascade.tensor_ranks(einsum.label))
            for operand in einsum.operands:
                other = by_name.get(operand.name)
                if other is not None and other.last == step and set(point.cascade.tensor_ranks(operand.name)) == ranks:
                    total -= min(other.size, made.size)
                    break
        most = max(most, total)
    return most


@dataclass(frozen=True)
class Limits:
    """What candidates are held against.

    point: with the schedule as its file has it, but tensors `spilled` in shared memory, which the own tile hands over there since its
    registers do not hold them; beside: registers per thread beside the tiles; together: tensors held beside what they are made from;
    warps: fewest that a processor keeps, as under the schedule's own tile, for which its constants hold; declares: a tile row says its
    registers; shares_fill: the exposed share of filling and draining a CTA follows from the CTAs per processor.
    """

    point: Point
    beside: int
    together: tuple[str, ...]
    warps: int
    spilled: tuple[str, ...] = ()
    declares: bool = False
    shares_fill: bool = False
    _known: dict[Hashable, Refusal | None] = field(default_factory=dict, compare=False, repr=False)

    def fit(self, candidate: Candidate) -> Candidate | Refusal:
        """The candidate with the registers it needs and its share of exposed fills, or the first limit it exceeds; no engine is asked."""
        if self.point.machine.kind != "gpu":
            return candidate
        tile = (tuple(candidate.sizes.items()), candidate.warps, candidate.ctas)  # what these limits depend on, of all that is varied
        if tile not in self._known:
            self._known[tile] = self._tensor_memory(candidate) or self._registers(candidate)
        refusal = self._known[tile]
        if refusal is not None:
            return refusal
        if self.declares:
            needed = min(
                -(-self.registers(candidate) // REGISTER_GRANULE) * REGISTER_GRANULE, self.point.machine.limits.registers_per_thread
            )
            candidate = replace(candidate, row=candidate.row.model_copy(update={"registers": needed}))
        return self._resident(candidate)

    def registers(self, candidate: Candidate) -> int:
        """Registers per thread that a candidate needs."""
        threads = (candidate.warps or 1) * self.point.machine.limits.warp
        return ceil(most_held(self.point, candidate.sizes, "register", self.together) / (threads * REGISTER_BYTES)) + self.beside

    def granted(self, candidate: Candidate) -> int:
        """Registers per thread that a computing warp can have, beside other CTAs on its processor and the producers of its own."""
        limits, spec = self.point.machine.limits, self.point.schedule.spec.registers
        free = limits.registers // (candidate.ctas or 1)
        if spec is not None:
            free -= spec.producer_warps * limits.warp * spec.producer
        each = free // ((candidate.warps or 1) * limits.warp)
        # A thread that may have all the instruction set names gets them; less is granted in steps.
        return limits.registers_per_thread if each >= limits.registers_per_thread else max(0, each // REGISTER_GRANULE * REGISTER_GRANULE)

    def _registers(self, candidate: Candidate) -> Refusal | None:
        machine = self.point.machine
        if not candidate.warps or not machine.limits.registers:
            return None
        need, granted = self.registers(candidate), self.granted(candidate)
        if need <= granted:
            return None
        names = ", ".join(one.tensor for one in held_tiles(self.point, candidate.sizes, "register")[0]) or "no tile"
        ctas = f" of {candidate.ctas} CTAs" if (candidate.ctas or 1) > 1 else ""
        return Refusal(
            "registers",
            f"{candidate.shown} needs {need} registers per thread ({names}, {self.beside} beside); {machine.name} has {granted} for each "
            f"({machine.limits.registers} per {machine.processor_name}{ctas}, {machine.limits.registers_per_thread} per thread)",
        )

    def _tensor_memory(self, candidate: Candidate) -> Refusal | None:
        machine = self.point.machine
        if "tmem" not in self.point.schedule.spec.resident.values() or not machine.has_level("tmem"):
            return None
        need, ctas = most_held(self.point, candidate.sizes, "tmem", self.together), candidate.ctas or 1
        has = machine.level("tmem").capacity_bytes / ctas
        if need <= has:
            return None
        names = ", ".join(one.tensor for one in held_tiles(self.point, candidate.sizes, "tmem")[0])
        return Refusal(
            "tensor memory",
            f"{candidate.shown} needs {format_quantity(need, 'B')} of tensor memory per CTA ({names}); "
            f"{machine.name} has {format_quantity(has, 'B')} for each of {ctas}",
        )

    def _resident(self, candidate: Candidate) -> Candidate | Refusal:
        """Shared memory, threads and CTAs by the engine's own rules, then the warps that are left to hide latency."""
        row = candidate.row.model_copy(update={"ctas": None})
        asked = replace(candidate, row=row).on(self.point)
        machine = asked.machine
        local = "" if asked.local is None else machine.levels[asked.local].name
        try:
            held = occupancy(asked, row, candidate.sizes)
        except InfeasibleError as error:
            message = error.issues[0].message
            _, named, limiter = message.rpartition("limited by ")
            return Refusal(_limit(limiter, local) if named else "shared memory", message)
        if candidate.ctas is not None and held.ctas < candidate.ctas:
            limit = _limit(held.limiter, local)
            return Refusal(limit, f"{candidate.ctas} CTAs of {candidate.shown}: {limit} of a {machine.processor_name} hold {held.ctas}")
        ctas = candidate.ctas or held.ctas
        warps = ctas * (candidate.warps or 0)
        if warps < self.warps:
            return Refusal(
                "warps to hide latency",
                f"{candidate.shown} keeps {warps} warps on a {machine.processor_name}; the constants of {asked.schedule.name} are those of "
                f"{self.warps}, which its own tile keeps",
            )
        return replace(candidate, fill=1.0 / ctas) if self.shares_fill and ctas != self._own_ctas else candidate

    @cached_property
    def _own_ctas(self) -> int:
        return round(1.0 / self.point.schedule.exposed("fill", self.point.context))


def _limit(limiter: str, local: str) -> str:
    return "shared memory" if limiter == local else limiter


def limits_of(point: Point, own: Candidate) -> Limits:
    """The limits of a schedule at a point: what its library runs can be built, and its constants hold for it.

    Raises:
        InfeasibleError: the schedule's own tile does not fit.
    """
    spec = point.schedule.spec
    held = occupancy(point, own.row, own.sizes)
    warps = held.ctas * (own.warps or 0)
    shares_fill = abs(point.schedule.exposed("fill", point.context) * held.ctas - 1.0) < 1e-9
    declares = own.row.registers is not None
    known = spec.registers
    together = () if known is None else tuple(known.together)
    bare = Limits(point, 0, together, warps, (), declares, shares_fill)
    if point.machine.kind != "gpu" or not own.warps:
        return bare
    granted = int(own.row.registers or bare.granted(own))
    if together and known is not None and bare.registers(own) + known.beside > granted:
        moved = spec.model_copy(update={"resident": {**spec.resident, **dict.fromkeys(together, _near(point))}})
        elsewhere = replace(point, schedule=Schedule(moved, point.schedule.doc))
        bare = replace(bare, point=elsewhere, spilled=together, together=(), _known={})
    left = max(0, granted - bare.registers(own))
    return replace(bare, beside=left if known is None else min(left, int(known.beside)), _known={})


def _near(point: Point) -> str:
    return point.machine.levels[point.local or 0].name
