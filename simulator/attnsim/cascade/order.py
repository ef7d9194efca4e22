"""The order in which the Einsums of a cascade run, and the cycles that make it impossible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attnsim.cascade.einsum import Mode

Reads: TypeAlias = Mapping[str, Sequence[tuple[str, Mode]]]
"""Label of each Einsum to the (tensor, mode) pairs it reads."""


def run_order(reads: Reads) -> list[str]:
    """Labels so that producers come before consumers, otherwise as written.

    A read at the previous coordinate of an iterative tensor does not order anything inside an iteration. The reads must hold no cycle.
    """
    waiting = {label: {name for name, mode in operands if name in reads and mode != "previous"} for label, operands in reads.items()}
    order: list[str] = []
    while waiting:
        label = next(label for label, needs in waiting.items() if not needs & waiting.keys())
        del waiting[label]
        order.append(label)
    return order


def find_cycle(reads: Reads, ranks: Mapping[str, Sequence[str]], iterative: Mapping[str, str]) -> list[str]:
    """A chain of tensors that need one another, first and last the same, or [] when there is none.

    A cycle is sound only if it goes around an iteration: it holds a read at the previous coordinate, and all of it happens inside that
    iteration (every tensor walks the iterative rank, and none is read at its final coordinate). `ranks` and `iterative` give the ranks of
    every tensor and the one it is iterative over, "" for none.
    """
    for label in reads:
        if path := _path(label, label, reads, carried=False):
            return path
    for label, operands in reads.items():
        for name, mode in operands:
            if mode != "previous":
                continue
            loop = {member for member in reads if _reaches(name, member, reads) and _reaches(member, label, reads)}
            waits = any(other in loop and how == "final" for member in loop for other, how in reads[member])
            if waits or any(iterative[name] not in ranks[member] for member in loop):
                return [label, name] if name == label else [label, *_path(name, label, reads, carried=True)]
    return []


def _path(start: str, goal: str, reads: Reads, carried: bool) -> list[str]:
    """A chain of reads from `start` to `goal`, at least one step long; reads of a previous coordinate only if `carried`."""
    queue: list[list[str]] = [[start]]
    seen: set[str] = set()
    while queue:
        path = queue.pop(0)
        for name, mode in reads.get(path[-1], ()):
            if mode == "previous" and not carried:
                continue
            if name == goal:
                return [*path, goal]
            if name not in seen:
                seen.add(name)
                queue.append([*path, name])
    return []


def _reaches(start: str, goal: str, reads: Reads) -> bool:
    return start == goal or bool(_path(start, goal, reads, carried=True))
