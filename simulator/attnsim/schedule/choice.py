"""The first entry of a list that holds, found once for every combination of what the conditions of the list ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from attnsim.schedule.condition import Context, Predicate, compile_condition, condition_words, left_open

#: Combinations a list keeps. A sweep varies few of the names it asks for; the one that varies most is then left to each point.
_MOST_KEPT = 256


class Conditional(Protocol):
    """An entry that applies where its condition holds; None: always."""

    @property
    def when(self) -> str | None:
        """The condition."""
        ...


Entry = TypeVar("Entry", bound=Conditional)
_Left: TypeAlias = tuple[tuple[Predicate | None, Entry], ...]
"""Entries that may hold, each with what its condition leaves open."""


class Choice(Generic[Entry]):
    """A list of entries, asked for the first that holds.

    Most conditions ask for the machine, the format and the head size, which stay as they are from point to point: an answer is kept by the
    values of the names, and where one of them never repeats (a sequence length) what the others leave open is kept instead. Values that
    cannot be hashed (arrays) are answered without being kept.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Of entries with conditions that compile (ConditionError otherwise); the list must not change."""
        self.entries = entries
        self._names = tuple(dict.fromkeys(name for entry in entries if entry.when is not None for name in condition_words(entry.when)))
        self._asked = len(self._names)
        self._kept: dict[tuple[Any, ...], _Left[Entry]] = {}
        self._all = tuple((None if entry.when is None else compile_condition(entry.when), entry) for entry in entries)

    def first(self, context: Context) -> Entry | None:
        """The first entry whose condition holds."""
        names = self._names
        key = tuple(map(context.get, names, names))  # a name that the context lacks stands for itself
        try:
            left = self._kept.get(key)
        except TypeError:  # not hashable
            left = self._all
        if left is None:
            left = self._keep(names, key, context)
        for predicate, entry in left:
            if predicate is None or predicate(context):
                return entry
        return None

    def _keep(self, names: tuple[str, ...], key: tuple[Any, ...], context: Context) -> _Left[Entry]:
        if len(self._kept) >= _MOST_KEPT:
            varied = [len({kept[place] for kept in self._kept}) for place in range(len(names))]
            widest = varied.index(max(varied))
            self._names, self._kept = names[:widest] + names[widest + 1 :], {}
        if len(self._names) == self._asked:  # quicker than to compile what is left
            entry = next((entry for predicate, entry in self._all if predicate is None or predicate(context)), None)
            left: _Left[Entry] = () if entry is None else ((None, entry),)
        else:
            left = tuple(self._open(dict(zip(names, key, strict=True))))
        self._kept[key] = left
        return left

    def _open(self, known: Context) -> Iterator[tuple[Predicate | None, Entry]]:
        """The entries that may hold, up to the first that does."""
        for entry in self.entries:
            found = True if entry.when is None else left_open(entry.when, known)
            if found is True:
                yield None, entry
                return
            if not isinstance(found, bool):
                yield found, entry
