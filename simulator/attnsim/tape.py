"""A program of the engine, written down as it runs and run again on other numbers without the program.

A `Recorder` gives out numbers that note what is done with them: the arithmetic, the calls noted as a whole (`call`), and the questions that
the program asks of them (``if x > 1``), with the answers it got. A `Tree` keeps several runs of one program, branching where the answers
differ. `Tree.play` then does the very operations that the program would do, on the very types, so that its answer is the program's to the
last bit; where the program would go a way that nobody recorded, it says so (`MISSING`).

A recorded number cannot be looked at: what would use one without noting it, as a text, an index or a key, raises `Untraceable`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from math import ceil, floor
from typing import Any, Final, TypeAlias, cast

Builder: TypeAlias = Callable[[Sequence[Any]], Any]
"""A value, or a structure of values, from the registers."""

MISSING: Final = object()
"""What `Tree.play` gives where no run was recorded that goes on as this one would."""


class Untraceable(Exception):  # noqa: N818 - control flow, and never seen by a user
    """A recorded number was used in a way that cannot be written down."""


class Traced:
    """A value of a program that is being recorded: what it is this time, and its number among the values of the run."""

    __slots__ = ("number", "recorder", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recorder, number: int, value: Any) -> None:
        self.recorder, self.number, self.value = recorder, number, value

    def _refuse(self, *_: object) -> Any:
        raise Untraceable

    __index__ = __int__ = __float__ = __str__ = __repr__ = __format__ = __setitem__ = __call__ = _refuse

    def __bool__(self) -> bool:
        return bool(self.recorder.ask(self if type(self.value) is bool else self.recorder.step(_truth, self, self)))

    def __contains__(self, item: object) -> bool:
        return bool(self.recorder.step(operator.contains, self, item))

    def __iter__(self) -> Iterator[Any]:
        return iter([self.recorder.step(operator.getitem, self, index) for index in range(len(self))])

    def __len__(self) -> int:
        return int(self.recorder.ask(self.recorder.step(_count, self, self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.recorder.step(getattr, self, name)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other


def _truth(value: Any, _: Any) -> bool:
    return bool(value)


def _count(value: Any, _: Any) -> int:
    return len(value)


def _noted(function: Callable[[Any, Any], Any], swapped: bool = False) -> Any:
    def method(self: Traced, other: Any) -> Any:
        return self.recorder.step(function, other, self) if swapped else self.recorder.step(function, self, other)

    return method


def _noted_of_one(function: Callable[[Any], Any]) -> Any:
    def step(value: Any, _: Any) -> Any:
        return function(value)

    return lambda self: self.recorder.step(step, self, self)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or"):
    _function = getattr(operator, f"{_name}_" if _name in ("and", "or") else _name)
    setattr(Traced, f"__{_name}__", _noted(_function))
    setattr(Traced, f"__r{_name}__", _noted(_function, swapped=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "getitem"):
    setattr(Traced, f"__{_name}__", _noted(getattr(operator, _name)))
for _name, _of_one in (("neg", operator.neg), ("abs", operator.abs), ("ceil", ceil), ("floor", floor), ("round", round)):
    setattr(Traced, f"__{_name}__", _noted_of_one(_of_one))


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function(*arguments)`; with a recorded number among them noted as one operation, whatever the function does inside.

    Arguments may be lists and dicts of numbers. The function must have no effect, answer the same arguments alike, and be one and the same
    object from run to run.
    """
    for argument in arguments:
        recorder = _recorder_of(argument)
        if recorder is not None:
            return recorder.call(function, arguments)
    return function(*arguments)


def noted(function: Callable[[Any, Any], Any], first: Any, second: Any) -> Any:
    """`function(first, second)` as one step, of numbers one of which is recorded."""
    return (first if type(first) is Traced else second).recorder.step(function, first, second)


def settled(value: Any) -> Any:
    """The value itself, on which what follows may depend: another value is another way through the program."""
    return value.recorder.ask(value) if type(value) is Traced else value


def _recorder_of(value: Any) -> Recorder | None:
    if type(value) is Traced:
        return value.recorder
    if type(value) in (list, dict):
        for item in value.values() if type(value) is dict else value:
            if (found := _recorder_of(item)) is not None:
                return found
    return None


class Recorder:
    """One run of a program, written down."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        self.stretches = [_Written()]
        self._values: list[Traced] = []
        self._known: dict[Any, Traced] = {}  # computed before: by function and operands
        self._asked: set[int] = set()
        self._alive: list[Any] = []  # what is known by its identity

    def traced(self, value: Any) -> Traced:
        """A new value of the run."""
        self._values.append(Traced(self, len(self._values), value))
        return self._values[-1]

    def constant(self, value: Any) -> Traced:
        """A value that is the same on every run that comes this way."""
        if type(value) is Traced:
            return value
        exact = type(value) in (int, str, bool)
        key = (type(value), value) if exact else ("constant", id(value))
        found = self._known.get(key)
        if found is None:
            self._alive.append(value)
            found = self._known[key] = self.traced(value)
            self.stretches[-1].constants.append(found)
        return found

    def step(self, function: Callable[[Any, Any], Any], first: Any, second: Any) -> Traced:
        """`function(first, second)`, noted."""
        one, other = self.constant(first), self.constant(second)
        key = (function, one.number, other.number)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.traced(function(one.value, other.value))
            self.stretches[-1].steps.append((function, one.number, other.number, found.number))
        return found

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Traced:
        """`function(*arguments)`, noted as a whole."""
        shape = self.shape(arguments)
        key = (function, str(shape))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.traced(function(*_plain(arguments)))
            written = self.stretches[-1]
            written.called, written.shape, written.end = function, shape, found.number
            self.stretches.append(_Written())
        return found

    def ask(self, value: Traced) -> Any:
        """What a value is this time: from here on this is a run where it is so."""
        if value.number not in self._asked:
            self._asked.add(value.number)
            written = self.stretches[-1]
            written.end, written.answer = value.number, value.value
            self.stretches.append(_Written())
        return value.value

    def shape(self, value: Any) -> Any:
        """A structure with the numbers of its values in their places: an int, or (type, keys, shapes)."""
        if type(value) is dict:
            return dict, tuple(value), [self.shape(item) for item in value.values()]
        if type(value) in (tuple, list):
            return type(value), (), [self.shape(item) for item in value]
        if is_dataclass(value) and not isinstance(value, type):
            entries = {entry.name: getattr(value, entry.name) for entry in fields(value) if entry.init}
            if any(_recorder_of([*item] if type(item) is tuple else item) is not None for item in entries.values()):
                return type(value), tuple(entries), [self.shape(item) for item in entries.values()]
        return self.constant(value).number


@dataclass(slots=True)
class _Written:
    """What ran up to a question, a call or the end; values by their number in the run."""

    constants: list[Traced] = field(default_factory=list)
    steps: list[tuple[Callable[[Any, Any], Any], int, int, int]] = field(default_factory=list)
    called: Callable[..., Any] | None = None
    shape: Any = None
    end: int = -1
    answer: Any = None


def _plain(value: Any) -> Any:
    if type(value) is Traced:
        return value.value
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    return type(value)(map(_plain, value)) if type(value) in (tuple, list) else value


class Stretch:
    """A part of a tree without a question: constants and the values of steps fill the next registers, then something is called or asked."""

    __slots__ = ("asked", "build", "called", "constants", "follows", "marks", "steps")

    def __init__(self, written: _Written, place: dict[int, int], traced_end: bool) -> None:
        """place: the register of every value by its number in the run; those of this stretch are added."""
        for value in written.constants:
            place[value.number] = len(place)
        self.constants = [value.value for value in written.constants]
        self.steps: list[tuple[Callable[[Any, Any], Any], int, int]] = []
        for function, first, second, number in written.steps:
            self.steps.append((function, place[first], place[second]))
            place[number] = len(place)
        self.called = written.called
        self.build: Builder = _nothing if written.shape is None else _builder(written.shape, place)
        self.asked = -1
        self.follows: dict[Any, Stretch] = {}
        self.marks = (written.called, _renumbered(written.shape, place))
        if written.called is not None:
            place[written.end] = len(place)
        elif traced_end:
            self.asked = place[written.end]

    def same(self, other: Stretch) -> bool:
        """Whether the program does the same up to here."""
        alike = (self.steps, self.asked, self.marks) == (other.steps, other.asked, other.marks)
        return alike and len(self.constants) == len(other.constants) and all(map(_alike, self.constants, other.constants))


def _nothing(_: Sequence[Any]) -> Any:
    """What a stretch builds that ends with a question."""


def _alike(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other))


def _renumbered(shape: Any, place: Mapping[int, int]) -> Any:
    if isinstance(shape, int):
        return place[shape]
    return None if shape is None else (shape[0], shape[1], [_renumbered(item, place) for item in shape[2]])


def _builder(shape: Any, place: Mapping[int, int]) -> Builder:
    if isinstance(shape, int):
        return operator.itemgetter(place[shape])
    kind, keys, items = shape
    if kind is dict:
        return _mapping_builder(keys, items, place)
    if kind in (tuple, list):
        values = _values_builder(items, place)
        return lambda registers: kind(values(registers))
    return _record_builder(kind, keys, items, place)


def _values_builder(items: Sequence[Any], place: Mapping[int, int]) -> Builder:
    """Several values in order."""
    if len(items) > 1 and all(isinstance(item, int) for item in items):
        return operator.itemgetter(*(place[item] for item in items))
    builders = [_builder(item, place) for item in items]
    return lambda registers: [build(registers) for build in builders]


def _mapping_builder(keys: Sequence[Any], items: Sequence[Any], place: Mapping[int, int]) -> Builder:
    if len(items) == 1:
        key, build = keys[0], _builder(items[0], place)
        return lambda registers: {key: build(registers)}
    values = _values_builder(items, place)
    return lambda registers: dict(zip(keys, values(registers)))  # noqa: B905 - as many by construction, and asking takes as long again


def _record_builder(kind: Any, names: Sequence[str], items: Sequence[Any], place: Mapping[int, int]) -> Builder:
    """An instance of a dataclass with slots, filled directly: the `__init__` of a frozen one takes three times as long."""
    slots = {name: getattr(kind, name).__set__ for name in names}
    plain = [name for name, item in zip(names, items, strict=True) if isinstance(item, int)]
    values = _values_builder([item for item in items if isinstance(item, int)], place)
    puts = [slots[name] for name in plain]
    nested = [(slots[name], _builder(item, place)) for name, item in zip(names, items, strict=True) if not isinstance(item, int)]

    def build(registers: Sequence[Any]) -> Any:
        made = object.__new__(kind)
        for put, value in zip(puts, values(registers)):  # noqa: B905 - as above
            put(made, value)
        for put, part in nested:
            put(made, part(registers))
        return made

    return build


class Tree:
    """Runs of one program on as many inputs."""

    def __init__(self) -> None:
        """No run is known yet."""
        self.root: Stretch | None = None
        self.runs = 0

    def add(self, recorder: Recorder, inputs: Sequence[Traced], answer: Any, check: Callable[[Any], bool]) -> None:
        """Keep one more run: of a program that took `inputs`, the first values of the recorder, to `answer`.

        Raises Untraceable, and keeps nothing, where playing it gives what `check` refuses, or where the program did not do the same as
        before although it got the same answers.
        """
        last = recorder.stretches[-1]
        last.shape = recorder.shape(answer)
        place = {value.number: index for index, value in enumerate(inputs)}
        written = [(Stretch(one, place, one is not last), one.answer) for one in recorder.stretches]
        for (stretch, outcome), (following, _) in pairwise(written):
            stretch.follows[outcome] = following
        if not check(_played(written[0][0], [value.value for value in inputs])):
            raise Untraceable
        if self.root is None:
            self.root = written[0][0]
        else:
            _graft(self.root, written)
        self.runs += 1

    def play(self, inputs: Sequence[Any]) -> Any:
        """The program's answer to other inputs, or MISSING. Raises what a function that is called raises."""
        return MISSING if self.root is None else _played(self.root, inputs)


def _graft(known: Stretch, run: Sequence[tuple[Stretch, Any]]) -> None:
    """Let a run (stretches, each with the answer to its question) follow what is known of it."""
    for (stretch, outcome), (following, _) in pairwise(run):
        if not known.same(stretch):
            raise Untraceable
        if outcome not in known.follows:
            known.follows[outcome] = following
            return
        known = known.follows[outcome]


def _played(root: Stretch, inputs: Sequence[Any]) -> Any:
    registers, stretch = [*inputs], cast("Stretch | None", root)
    append = registers.append
    while stretch is not None:
        registers += stretch.constants
        for function, first, second in stretch.steps:
            append(function(registers[first], registers[second]))
        if stretch.called is not None:
            append(stretch.called(*stretch.build(registers)))
            stretch = stretch.follows.get(None)
        elif stretch.asked >= 0:
            stretch = stretch.follows.get(registers[stretch.asked])
        else:
            return stretch.build(registers)
    return MISSING
