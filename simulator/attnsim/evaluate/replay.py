"""Kernels asked about again with other sizes: the engine's arithmetic is played from what it did before (`attnsim.tape`).

What a question says beside its batch, heads and positions (cascade, mask, format, machine, schedule, head dimensions, conditions) decides
which operations the engine does; the few things it asks of those sizes themselves decide which way it goes. So the engine runs once for
each way, and then only its operations do. The first questions of a kind run the engine as always: to record a way takes as long as
some five answers. Whatever cannot be recorded or is refused is left to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from attnsim.cascade.cascade import Cascade
from attnsim.errors import AttnsimError, SpecError
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.machine.machine import Machine
from attnsim.mask.base import Mask
from attnsim.mask.perhead import PerHead
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec.workload import Conditions
from attnsim.tape import MISSING, Recorder, Tree, Untraceable

#: Questions of a kind that the engine answers before a way is recorded: a single run never is.
BEFORE: Final = 3
_MOST_KINDS: Final = 256
_MOST_WAYS: Final = 64  # of one kind
_MOST_WAYS_OF_ALL: Final = 512  # some 80 KB each
_MOST_FAILURES: Final = 8  # to record, after which a kind is left to the engine


class Question(NamedTuple):
    """What a `Point` is made of."""

    cascade: Cascade
    sizes: Mapping[str, Any]
    mask: Mask
    dtype: str
    machine: Machine
    schedule: Schedule
    conditions: Conditions
    direction: str

    def point(self) -> Point:
        """The point asked about."""
        return Point(*self)

    @property
    def free(self) -> frozenset[str]:
        """Ranks whose sizes need not be settled for the engine to know what it computes: of the batch, of heads and of positions."""
        return _free(self.cascade)


@lru_cache(maxsize=512)
def _free(cascade: Cascade) -> frozenset[str]:
    return frozenset((*cascade.batch, *cascade.groups, *cascade.positions))


@dataclass(slots=True)
class _Kind:
    """Questions that differ in free sizes alone: how many there were, how often recording failed, and what was recorded."""

    seen: int = 0
    failures: int = 0
    tree: Tree = field(default_factory=Tree)


_kinds: dict[Any, _Kind] = {}


def evaluated(question: Question, name: str) -> Estimate:
    """`evaluate` of the point, or of the many points, asked about. Raises as it does."""
    kind = _kind_of(question)
    if kind is None:
        return evaluate(question.point(), name)
    kind.seen += 1
    if kind.seen <= BEFORE:
        return evaluate(question.point(), name)
    free = question.free
    try:
        played = kind.tree.play([name, *[size for rank, size in question.sizes.items() if rank in free]])
    except (AttnsimError, ValueError, ArithmeticError):  # refused: the engine says why
        played = MISSING
    if played is not MISSING:
        return cast("Estimate", played)
    answer = evaluate(question.point(), name)
    if kind.tree.runs < _MOST_WAYS and kind.failures < _MOST_FAILURES:
        _record(kind, question, name, answer)
    return answer


def _kind_of(question: Question) -> _Kind | None:
    """None for what is not recorded: many points at once, other masks in other heads, and kernels that ask for files as they go."""
    cascade, sizes, mask, dtype, machine, schedule, conditions, direction = question
    spec, free = schedule.spec, question.free
    if spec.fusion != "all" or spec.selection is not None or type(mask) is PerHead:
        return None
    settled: list[Any] = []
    for rank, size in sizes.items():
        if type(size) is not int:
            return None
        settled.append(rank if rank in free else (rank, size))
    try:
        unsplit = load_schedule(spec.split.unsplit) if spec.split is not None and spec.split.unsplit else None
    except SpecError:  # only asked for where nothing is split
        return None
    key = (cascade, mask, dtype, machine, schedule, unsplit, conditions, direction, tuple(settled))
    kind = _kinds.get(key)
    if kind is None:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        kind = _kinds[key] = _Kind()
    return kind


def _record(kind: _Kind, question: Question, name: str, answer: Estimate) -> None:
    """Run the engine on recorded sizes. The way counts only if playing it gives `answer`, type for type."""
    if sum(known.tree.runs for known in list(_kinds.values())) >= _MOST_WAYS_OF_ALL:
        _kinds.clear()
    free, recorder = question.free, Recorder()
    asked = recorder.traced(name)
    sizes = {rank: recorder.traced(size) if rank in free else size for rank, size in question.sizes.items()}
    inputs = [asked, *(size for rank, size in sizes.items() if rank in free)]
    try:
        found = evaluate(question._replace(sizes=sizes).point(), cast("str", asked))
        kind.tree.add(recorder, inputs, found, lambda played: repr(played) == repr(answer))
    except (Untraceable, AttributeError, TypeError):  # what cannot take a recorded number
        kind.failures += 1
