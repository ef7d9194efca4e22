"""One question, resolved: cascade, sizes, mask, format, machine and schedule, with the few facts every stage asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

from attnsim.cascade.cascade import Cascade
from attnsim.cascade.einsum import Einsum
from attnsim.lanes import Number, many, minimum, one_value
from attnsim.machine.machine import Machine
from attnsim.mask.base import Mask
from attnsim.schedule.calibrated import calibrated
from attnsim.schedule.condition import Value
from attnsim.schedule.schedule import Schedule
from attnsim.spec.dtype import element_bytes, output_dtype
from attnsim.spec.workload import Conditions
from attnsim.tape import call

#: Where an operation runs unless the schedule binds it: the first of these units that runs it natively, else the vector unit
#: through an expansion.
PREFERENCE = ("vector", "sfu", "tensor")
MATRIX_PREFERENCE = ("tensor", "vector")
#: A division by a value that is constant over the rank walked (a softmax denominator) is one reciprocal per row and a
#: multiplication per element.
PRICED_AS: Mapping[str, str] = {"div": "mul"}


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """sizes: of the cascade's unpartitioned ranks, or Lanes of them: many points at once; loads: rows of each of the repeated matrix
    products of a kernel where they differ (tokens of experts), in place of their mean, which the sizes give; formats: (tensor, format) of
    inputs that memory holds in another format than `dtype` and that are converted on their way to the units, at no cost here. Constants of
    the schedule that the machine's file gives come before its own.
    """

    cascade: Cascade
    sizes: Mapping[str, Number]
    mask: Mask
    dtype: str
    machine: Machine
    schedule: Schedule
    conditions: Conditions
    direction: str
    loads: tuple[int, ...] = ()
    formats: tuple[tuple[str, str], ...] = ()
    context: Mapping[str, Value] = field(init=False)
    tensor_path: str | None = field(init=False)
    query: str = field(init=False)
    key: str = field(init=False)
    group: int = field(init=False)
    heads: Number = field(init=False)
    requests: Number = field(init=False)
    masks: tuple[tuple[int, Mask], ...] = field(init=False)
    local: int | None = field(init=False)
    shared: int | None = field(init=False)
    attended: dict[str, Number] = field(init=False, repr=False)
    _bytes: dict[str, Number] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        context = schedule_context(self.cascade, self.sizes, self.mask, self.dtype, self.machine, self.direction)
        object.__setattr__(self, "context", context)
        if self.machine.kernels and self.schedule.measured is None:
            object.__setattr__(self, "schedule", _on_machine(self.schedule, self.machine))
        cascade, sizes = self.cascade, self.sizes
        heads: Number = 1
        for rank in cascade.batch:
            heads = heads * sizes.get(rank, 1)
        of_one = query_heads(cascade, sizes)
        positions = cascade.positions or ("", "")
        local, shared = _near(self.machine)
        for name, value in (
            ("query", positions[0]), ("key", positions[1]), ("group", context["group"]), ("heads", heads), ("requests", heads // of_one),
            ("masks", self.mask.by_head(of_one)), ("local", local), ("shared", shared), ("_bytes", {}), ("attended", {}),
        ):  # fmt: skip
            object.__setattr__(self, name, value)
        object.__setattr__(self, "tensor_path", self.schedule.tensor_path(context) if "tensor" in self.machine.units else None)

    @property
    def many(self) -> bool:
        """Whether these are many points at once."""
        return many(*self.sizes.values())

    @property
    def positioned(self) -> bool:
        """Whether there are queries and keys: not in a cascade of plain matrix products."""
        return len(self.cascade.positions) == 2

    @property
    def element(self) -> float:
        """Bytes of an input element."""
        return element_bytes(self.dtype)

    def stored(self, tensor: str) -> float:
        """Bytes of a stored element of `tensor`: results of narrow formats are written wider."""
        for name, kept in self.formats:
            if name == tensor:
                return element_bytes(kept)
        return element_bytes(output_dtype(self.dtype)) if tensor in self.cascade.outputs else self.element

    def tensor_bytes(self, tensor: str) -> Number:
        """Bytes of a whole tensor; of one with a value for each chunk of a partitioned rank, in the chunks of the schedule's tiles."""
        found = self._bytes.get(tensor)
        if found is None:
            product: Number = 1
            for rank in self.cascade.tensor_ranks(tensor):
                product = product * (self.sizes[rank] if rank in self.sizes else self._chunked[rank])
            found = self._bytes[tensor] = product * self.stored(tensor)
        return found

    @property
    def _chunked(self) -> Mapping[str, Number]:
        """Sizes of the partition ranks too."""
        tile = self.schedule.tile(self.context).sizes() if self.schedule.spec.tiles else {}
        parts = {rank: minimum(tile[rank], self.sizes[rank]) for rank in self.cascade.partition if rank in tile}
        return self.cascade.resolve_sizes(self.sizes, parts)

    def unit(self, einsum: Einsum, kind: str) -> str:
        """The unit that runs operation `kind` of `einsum`."""
        # A dot product per row is no matrix product: the matrix unit cannot run it.
        return unit_of(self.schedule, self.machine, self.dtype, einsum.label, kind, kind == "mac" and einsum.is_matmul)


def schedule_context(
    cascade: Cascade, sizes: Mapping[str, Number], mask: Mask, dtype: str, machine: Machine, direction: str
) -> dict[str, Value]:
    """What the conditions of schedule files may ask of a workload on a machine: its sizes by rank and `schedule.names.CONTEXT_NAMES`."""
    # Kernels drop a causal flag that hides nothing, as for one query token.
    positions = [sizes[rank] for rank in cascade.positions]
    hides = len(positions) == 2 and call(type(mask).pairs, mask, *positions) != prod(positions)
    return {
        **sizes,
        "kind": machine.kind,
        "isa": machine.isa,
        "vendor": machine.vendor,
        "dtype": dtype,
        "mask": mask.kind if hides else "dense",
        "axes": mask.dimensions,
        "direction": direction,
        "group": group_size(cascade, sizes),
        "processors": machine.processors,
        "scratch_kib": machine.limits.smem_per_cta_bytes / 1024 if _near(machine)[0] is not None else 0,
    }


def query_heads(cascade: Cascade, sizes: Mapping[str, Number]) -> Number:
    """Query heads of one batch element."""
    return sizes.get(cascade.head_rank, 1) if cascade.head_rank is not None else 1


def group_size(cascade: Cascade, sizes: Mapping[str, Number]) -> int:
    """Query heads that share one key/value head: all of them where keys have no head rank, as the latent rows of MLA.

    Parts lanes that differ.
    """
    if not cascade.groups and cascade.head_rank is not None and len(cascade.positions) == 2:
        keyed = [ranks for ranks in cascade.inputs.values() if cascade.positions[1] in ranks]
        if keyed and not any(cascade.head_rank in ranks for ranks in keyed):
            return int(one_value(sizes.get(cascade.head_rank, 1)))
    return int(one_value(next((sizes[full] // sizes[shared] for shared, full in cascade.groups.items() if shared in sizes), 1)))


@lru_cache(maxsize=1024)
def _on_machine(schedule: Schedule, machine: Machine) -> Schedule:
    measured = machine.kernels.get(schedule.name)
    return schedule if measured is None else calibrated(schedule, measured)


@lru_cache(maxsize=512)
def _near(machine: Machine) -> tuple[int | None, int | None]:
    """Indices of the first level of a processor, and of the first beyond memory that all processors share."""
    shared = [i for i, level in enumerate(machine.levels) if level.per == "device" and i > 0]
    return _local(machine), shared[0] if shared else None


def _local(machine: Machine) -> int | None:
    return next((i for i, level in enumerate(machine.levels) if level.per == "processor"), None)


@lru_cache(maxsize=8192)
def unit_of(schedule: Schedule, machine: Machine, dtype: str, label: str, kind: str, matrix: bool) -> str:
    """What the schedule binds (the Einsum's matrix product, the kind, the default), else the machine's own preference."""
    bindings = schedule.spec.bindings
    wanted = [bindings.get(label) if kind in ("mac", "add", "mul") else None, bindings.get(kind), bindings.get("default")]
    priced = PRICED_AS.get(kind, kind)
    for name in (*wanted, *(MATRIX_PREFERENCE if matrix else PREFERENCE)):
        unit = machine.units.get(name or "")
        if unit is None or (name == "tensor" and not matrix):
            continue
        # A kind may also be bound to a unit that only emulates it: exponentials as polynomials on the vector unit.
        if unit.rate(priced, dtype) is not None or (name == bindings.get(kind) and priced in machine.expand):
            return unit.name
    return "vector"
