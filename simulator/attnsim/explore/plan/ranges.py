"""The values one field takes in a sweep, as people write them: `1k..1M:log2`, `1..200:+1`, `bf16,fp8`, `2 TB/s,3 TB/s`.

Grammar::

    values := part ("," part)*                                   # commas inside [], {} and quotes belong to a value
    part   := number ".." number ":" step | value
    step   := "log2" | "log10" | "*" factor | "+" number
    number := digits ("." digits)? (("k" | "M") | " " unit)?     # k is 1024, M is 1024 k, as for `attnsim cost --context`

A value is read as `--set` reads it, except that 8k is 8192; quote it to keep text: "8k". Series include their start, and their end where a
step meets it. Each value counts once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from attnsim.errors import UsageError
from attnsim.spec.scan import read_value

if TYPE_CHECKING:
    import numpy as np

MOST_VALUES: Final = 1_000_000
"""Values of a field that are kept one by one; whole numbers at equal steps are not, and may be as many as they like."""

EXAMPLES: Final = "1k..1M:log2, 1..200:+1, or bf16,fp8"
_NUMBER: Final = re.compile(r"([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(.*)")
_SUFFIXES: Final = {"": 1, "k": 2**10, "K": 2**10, "M": 2**20}
_CLOSING: Final = {"[": "]", "{": "}", "(": ")"}


@dataclass(frozen=True, slots=True)
class Listed:
    """Values one by one: numbers, texts, flags, lists, mappings or null."""

    values: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers that an int64 holds."""
        return all(isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 for value in self.values)

    def value(self, position: int) -> Any:
        """The value at a position, as written."""
        return self.values[position]

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The values at positions: int64, float64 or bool where all are such, else their texts; null is NaN among numbers, else None."""
        import numpy as np

        plain = {type(value) for value in self.values}
        values: np.ndarray
        if self.whole:
            values = np.array(self.values, dtype=np.int64)
        elif plain == {bool}:
            values = np.array(self.values, dtype=bool)
        elif plain <= {int, float, type(None)} and plain != {type(None)}:
            values = np.array([np.nan if value is None else float(value) for value in self.values])
        else:
            values = np.empty(len(self.values), dtype=object)
            values[:] = [None if value is None else label(value) for value in self.values]
        found: np.ndarray = values[positions]
        return found


@dataclass(frozen=True, slots=True)
class Stepped:
    """The whole numbers `first`, `first` + `step`, ... `count` of them: never all in memory."""

    first: int
    step: int
    count: int

    whole = True

    def __len__(self) -> int:
        return self.count

    def value(self, position: int) -> int:
        """The value at a position."""
        return self.first + self.step * position

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The values at positions, int64."""
        import numpy as np

        values: np.ndarray = np.int64(self.first) + np.int64(self.step) * np.asarray(positions, dtype=np.int64)
        return values


Series = Listed | Stepped


def label(value: Any) -> str:
    """How a value that is no number stands in a table: text as it is, a mapping by its `name` if it has one, else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return str(value["name"])
    import json

    return json.dumps(value, sort_keys=True)


def read_series(text: str) -> Series:
    """The values of a text. Raises: UsageError with one line, for a text outside the grammar or a series without end."""
    parts = split_commas(text)
    if len(parts) == 1:
        return _part(parts[0])
    return _joined(_part(part) for part in parts)


def series_of(values: Any) -> Series:
    """Values from Python or YAML: a text as on the command line, a `range`, or a list whose texts may be series too. Raises: UsageError."""
    if isinstance(values, str):
        return read_series(values)
    if isinstance(values, range):
        if not values or values.step < 0:
            raise UsageError(f"{values!r} {'runs backwards' if values else 'is empty'}")
        return Stepped(values.start, values.step, len(values))
    if hasattr(values, "tolist"):  # a numpy array or number
        values = values.tolist()
    if isinstance(values, Sequence):
        if not values:
            raise UsageError("has no values; list at least one")
        return _joined(_part(value) if isinstance(value, str) else Listed((_plain(value),)) for value in values)
    return Listed((_plain(values),))


def split_commas(text: str) -> list[str]:
    """The parts of a text between its outermost commas. Raises: UsageError for an empty part."""
    parts, start, waiting = [], 0, ""
    for at, character in enumerate(text):
        if waiting[-1:] in ("'", '"'):
            waiting = waiting[:-1] if character == waiting[-1] else waiting
        elif character in "'\"":
            waiting += character
        elif character in _CLOSING:
            waiting += _CLOSING[character]
        elif waiting and character == waiting[-1]:
            waiting = waiting[:-1]
        elif character == "," and not waiting:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    if not all(parts):
        raise UsageError(
            f"{text!r} has an empty value; write for example {EXAMPLES}" if text.strip() else f"has no values; write for example {EXAMPLES}"
        )
    return parts


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple) else value


def _joined(parts: Iterable[Series]) -> Series:
    """All values in order, each once."""
    values: dict[str, Any] = {}
    for part in parts:
        if len(part) + len(values) > MOST_VALUES:
            raise UsageError(f"more than {MOST_VALUES:,} values one by one; a single series such as 1..{MOST_VALUES * 2}:+1 may be longer")
        for position in range(len(part)):
            value = part.value(position)
            values.setdefault(f"{type(value).__name__} {value!r}", value)
    return Listed(tuple(values.values()))


def _part(text: str) -> Series:
    ends, colon, step = text.partition(":")
    first, dots, last = ends.partition("..")
    path = "/" in text and _NUMBER.fullmatch(first.strip()) is None  # which may hold two dots too
    if not dots or path or text[0] in "'\"[{":
        return Listed((_value(text),))
    if not colon:
        raise UsageError(f"{text!r} has no step; write {text}:log2 to double, or {text}:+1 to count")
    (low, unit), (high, other) = _number(first, text), _number(last, text)
    if unit != other:
        raise UsageError(f"{text!r} starts in {unit or 'plain numbers'} and ends in {other or 'plain numbers'}; use one unit")
    if high < low:
        raise UsageError(f"{text!r} ends before it starts; write {last.strip()}..{first.strip()}:{step}")
    if step.startswith("+"):
        return _counted(low, high, _number(step[1:], text), unit, text)
    if step in ("log2", "log10") or step.startswith("*"):
        return _multiplied(low, high, {"log2": Decimal(2), "log10": Decimal(10)}.get(step) or _number(step[1:], text)[0], unit, text)
    raise UsageError(f"{text!r} has a step {step!r} that is none; write log2, log10, *4 or +512")


def _counted(low: Decimal, high: Decimal, each: tuple[Decimal, str], unit: str, text: str) -> Series:
    step, of = each
    if of not in ("", unit):
        raise UsageError(f"{text!r} steps by {of}, but runs in {unit or 'plain numbers'}; use one unit")
    if step <= 0:
        raise UsageError(f"{text!r} never ends: the step must be more than 0")
    count = int((high - low) / step) + 1
    if not unit and all(number == int(number) for number in (low, step)):
        return Stepped(int(low), int(step), count)
    _check_count(count, text)
    return Listed(tuple(_written(low + step * position, unit) for position in range(count)))


def _multiplied(low: Decimal, high: Decimal, factor: Decimal, unit: str, text: str) -> Series:
    if low <= 0:
        raise UsageError(f"{text!r} multiplies, so it must start above 0")
    if factor <= 1:
        raise UsageError(f"{text!r} never ends: the factor must be more than 1")
    _check_count(int((high / low).ln() / factor.ln()) + 1, text)
    values = []
    while low <= high:
        values.append(_written(low, unit))
        low *= factor
    return Listed(tuple(values))


def _check_count(count: int, text: str) -> None:
    if count > MOST_VALUES:
        raise UsageError(f"{text!r} is {count:,} values; at most {MOST_VALUES:,}, unless they are whole numbers at equal steps")


def _number(text: str, whole: str) -> tuple[Decimal, str]:
    """A number and its unit."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text.strip()!r} in {whole!r} is not a number; write for example {EXAMPLES}")
    number, rest = Decimal(match[1]), match[2].strip()
    if abs(number) >= Decimal(10) ** 18:
        raise UsageError(f"{text.strip()!r} in {whole!r} is too large")
    return (number * _SUFFIXES[rest], "") if rest in _SUFFIXES else (number, rest)


def _written(number: Decimal, unit: str) -> Any:
    if unit:
        return f"{number.normalize():f} {unit}"
    return int(number) if number == int(number) else float(number)


def _value(text: str) -> Any:
    match = _NUMBER.fullmatch(text)
    if match is not None and match[2] in ("k", "K", "M"):
        number = Decimal(match[1]) * _SUFFIXES[match[2]]
        return int(number) if number == int(number) else float(number)
    reading = read_value(text, "")
    if reading.issues:
        raise UsageError(f"{text!r} cannot be read: {reading.issues[0].message}")
    return reading.value
