"""Kernels asked about again with other sizes: the engine's arithmetic is played from what it did before (`attnsim.tape`).

What a question says beside its batch, heads and positions (cascade, mask, format, machine, schedule, head dimensions, conditions) decides
which operations the engine does; the few things it asks of those sizes themselves decide which way it goes. So the engine runs once for
each way, and then only its operations do. The first questions of a kind run the engine as always: to record a way takes as long as
several answers. Whatever cannot be recorded or was refused is left to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from attnsim.cascade.cascade import Cascade
from attnsim.errors import AttnsimError
from attnsim.evaluate.estimate import Estimate
from attnsim.evaluate.evaluate import evaluate
from attnsim.evaluate.point import Point
from attnsim.machine.machine import Machine
from attnsim.mask.base import Mask
from attnsim.mask.perhead import PerHead
from attnsim.schedule.schedule import Schedule, load_schedule
from attnsim.spec.workload import Conditions
from attnsim.tape import MISSING, Recorder, Tree, Untraceable

#: Questions of a kind that the engine answers before it is recorded.
BEFORE: Final = 3
_MOST_KINDS: Final = 256
_MOST_WAYS: Final = 64  # of one kind: some 50 KB each
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


class _Kind:
    """Questions that differ in free sizes alone."""

    __slots__ = ("failures", "seen", "tree")

    def __init__(self) -> None:
        self.seen, self.failures, self.tree = 0, 0, Tree()


_kinds: dict[Any, _Kind] = {}


def evaluated(question: Question, name: str) -> Estimate:
    """`evaluate` of the point asked about, of one point or of many. Raises as it does."""
    kind = _kind_of(question)
    if kind is None:
        return evaluate(question.point(), name)
    kind.seen += 1
    if kind.seen <= BEFORE:
        return evaluate(question.point(), name)
    free = _free(question.cascade)
    found = kind.tree.play([name, *[size for rank, size in question.sizes.items() if rank in free]])
    if found is not MISSING:
        return found  # type: ignore[no-any-return]
    answer = evaluate(question.point(), name)
    if kind.tree.runs < _MOST_WAYS and kind.failures < _MOST_FAILURES:
        _record(kind, question, name, answer)
    return answer


def _kind_of(question: Question) -> _Kind | None:
    """None for questions that are not recorded: many points at once, and kernels that read more files or have a mask for each head."""
    cascade, sizes, mask, dtype, machine, schedule, conditions, direction = question
    spec = schedule.spec
    if spec.fusion != "all" or spec.selection is not None or type(mask) is PerHead:
        return None
    free = _free(cascade)
    fixed = []
    for rank, size in sizes.items():
        if type(size) is not int:
            return None
        fixed.append(rank if rank in free else (rank, size))
    other = load_schedule(spec.split.unsplit) if spec.split is not None and spec.split.unsplit else None
    key = (cascade, mask, dtype, machine, schedule, other, conditions, direction, tuple(fixed))
    kind = _kinds.get(key)
    if kind is None:
        if len(_kinds) >= _MOST_KINDS:
            _kinds.clear()
        kind = _kinds[key] = _Kind()
    return kind


def _free(cascade: Cascade) -> frozenset[str]:
    """Ranks whose sizes no tile and no condition has to settle: of the batch, of heads and positions."""
    return frozenset((*cascade.batch, *cascade.groups, *cascade.positions))


def _record(kind: _Kind, question: Question, name: str, answer: Estimate) -> None:
    """Run the engine on recorded sizes; kept only if what is played from it is the answer, type for type."""
    free, recorder = _free(question.cascade), Recorder()
    asked = recorder.traced(name)
    sizes = {rank: recorder.traced(size) if rank in free else size for rank, size in question.sizes.items()}
    inputs = [asked, *(size for rank, size in sizes.items() if rank in free)]
    try:
        kind.tree.add(recorder, inputs, evaluate(question._replace(sizes=sizes).point(), asked))  # type: ignore[arg-type]
        played = kind.tree.play([one.value for one in inputs])
        if repr(played) != repr(answer):
            raise Untraceable
    except (Untraceable, AttnsimError, AttributeError, TypeError):
        kind.failures += 1
