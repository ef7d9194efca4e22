"""Names in a schedule file: ranks, tensors, Einsums and condition variables must exist in the cascade it is used with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from attnsim.cascade.cascade import Cascade, load_cascade
from attnsim.cascade.functions import OPERATIONS
from attnsim.errors import Issue, SpecError, suggest
from attnsim.schedule.condition import condition_names
from attnsim.schedule.schedule import Schedule, conditions_of
from attnsim.spec import library

Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]

#: What a condition may ask beside the ranks of the cascade; `Point.context` provides exactly these.
CONTEXT_NAMES = ("kind", "isa", "vendor", "dtype", "mask", "axes", "direction", "group", "processors", "scratch_kib")
#: And of a matrix product in a kernel of its own: sides of its output, what it reduces over, how many products one kernel computes.
PRODUCT_NAMES = ("rows", "cols", "depth", "products")


def check_names(schedule: Schedule, cascade: Cascade | None = None) -> None:
    """Refuse names that neither the schedule's own cascade nor `cascade`, the one it is to run, knows.

    Raises:
        SpecError: every unknown name at its place in the schedule's file.
    """
    issues = _issues(schedule, cascade)
    if issues:
        raise SpecError(list(issues))


@lru_cache(maxsize=1024)
def _issues(schedule: Schedule, cascade: Cascade | None) -> tuple[Issue, ...]:
    spec = schedule.spec
    own = load_cascade(spec.cascade, schedule.doc, ("cascade",))
    cascades = (own,) if cascade is None else (own, cascade)
    return tuple(schedule.issue(loc, text) for loc, text in (*_loop_faults(schedule, own), *_name_faults(schedule, cascades)))


def _loop_faults(schedule: Schedule, own: Cascade) -> Iterator[Fault]:
    spec = schedule.spec
    grids = [index for index, loop in enumerate(spec.loops) if loop.parallel]
    for index in grids[1:]:
        yield ("loops", index), "a second parallel loop; one grid of CTAs holds all parallel ranks"
    if spec.fusion == "all" and grids:
        spread = spec.loops[grids[0]].ranks
        missing = [rank for rank in own.batch if rank not in spread]
        if missing and all(rank in own.ranks for rank in spread):
            yield ("loops", grids[0], "ranks"), f"the grid leaves out {', '.join(missing)}; every batch rank is spread over CTAs"
    if spec.split is not None and spec.fusion == "all" and spec.split.rank not in schedule.sequential:
        yield ("split", "rank"), f"{spec.split.rank} is not walked by a sequential loop, so its walk cannot be split"
    if spec.split is not None and spec.fusion != "all" and spec.split.rank != "depth":
        yield ("split", "rank"), f"matrix products in kernels of their own split their reduction: write depth, not {spec.split.rank}"
    if spec.backward is not None:
        try:
            library.find("schedule", spec.backward)
        except SpecError as error:
            yield ("backward",), error.issues[0].message


def _name_faults(schedule: Schedule, cascades: tuple[Cascade, ...]) -> Iterator[Fault]:
    spec = schedule.spec
    ranks = {rank for one in cascades for rank in (*one.ranks, *one.groups)}
    positions = {rank for one in cascades for rank in one.positions}
    labels = {label for one in cascades for label in one.by_label}
    tensors = labels | {name for one in cascades for name in one.inputs}

    def known(loc: Loc, names: Iterable[tuple[str | int, str]], allowed: set[str], what: str) -> Iterator[Fault]:
        for place, name in names:
            if name not in allowed:
                which = " and ".join(dict.fromkeys(one.name for one in cascades))
                yield (*loc, place), f"no {what} '{name}' in cascade {which}{suggest(name, allowed)}"

    for index, loop in enumerate(spec.loops):
        yield from known(("loops", index, "ranks"), enumerate(loop.ranks), ranks, "rank")
        yield from known(("loops", index), [("rank", loop.rank)] if loop.rank else [], ranks, "rank")
    if spec.fusion == "all":  # an unfused schedule runs any cascade, so its tile table may name ranks that only some have
        for table in ("tiles", "tile_choices"):
            for index, row in enumerate(getattr(spec, table)):
                yield from known((table, index), ((name, name) for name in row.sizes()), ranks, "rank")
    yield from known(("block_mask",), ((name, name) for name in spec.block_mask or ()), positions, "rank of positions")
    yield from known(("resident",), ((name, name) for name in spec.resident), tensors, "tensor")
    yield from known(("buffers",), ((name, name) for name in spec.buffers), tensors, "tensor")
    if spec.registers is not None:
        yield from known(("registers", "together"), enumerate(spec.registers.together), tensors, "tensor")
    yield from known(("bindings",), ((name, name) for name in spec.bindings), labels | OPERATIONS | {"default"}, "operation or Einsum")
    yield from known(("constants", "executed"), ((name, name) for name in spec.constants.executed), labels, "Einsum")
    if isinstance(spec.fusion, list):
        for index, group in enumerate(spec.fusion):
            yield from known(("fusion", index), enumerate(group), labels, "Einsum")
    for field in ("before", "after"):
        for index, helper in enumerate(getattr(spec, field)):
            yield from known((field, index, "einsums"), enumerate(helper.einsums), labels, "Einsum")
            yield from known((field, index, "reads"), ((name, name) for name in helper.reads), tensors, "tensor")
            yield from known((field, index, "writes"), ((name, name) for name in helper.writes), tensors, "tensor")
    asked = (*CONTEXT_NAMES, *(PRODUCT_NAMES if spec.fusion == "none" else ()))
    variables = ranks | set(asked)
    for loc, text in conditions_of(spec):
        for name in sorted(condition_names(text) - variables):
            yield loc, f"condition {text!r} asks for '{name}', which is no rank and none of {', '.join(asked)}{suggest(name, variables)}"
