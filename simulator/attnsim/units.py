"""Quantities as people write them ("3.35 TB/s", "400 Gb/s", "7 pJ/bit") to and from SI floats. The only place that knows prefixes.

A quantity is a number and a unit; a unit is `prefix atom` or `prefix atom / prefix atom`. `B` is a byte and `b` (or `bit`) a bit; `GB` is
10**9 bytes and `GiB` 2**30. FLOP and OP are different units on purpose: a flop must not be added to an operation of another size unnoticed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from attnsim.lanes import Lanes, Number

_DECIMAL: Final = {"k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12, "f": -15}
_BINARY: Final = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_LARGE: Final = "kMGTPE"
_SMALL: Final = "muµμnpf"


@dataclass(frozen=True, slots=True)
class _Atom:
    """One unit name: the base it counts in, how many of that base it is, and the prefixes that make sense before it."""

    base: str
    factor: float = 1.0
    prefixes: str = ""
    binary: bool = False
    power: int = 1


# A prefix is accepted only where somebody would mean it: `mB` (a thousandth of a byte) and `Ms` (a million seconds) are slips of the
# Shift key.
_ATOMS: Final = {
    "B": _Atom("B", prefixes=_LARGE, binary=True),
    "b": _Atom("B", 1 / 8, prefixes=_LARGE, binary=True),
    "bit": _Atom("B", 1 / 8, prefixes=_LARGE, binary=True),
    "FLOP": _Atom("FLOP", prefixes=_LARGE),
    "OP": _Atom("OP", prefixes=_LARGE),
    "Hz": _Atom("Hz", prefixes=_LARGE),
    "s": _Atom("s", prefixes=_SMALL),
    "min": _Atom("s", 60.0),
    "h": _Atom("s", 3600.0),
    "J": _Atom("J", prefixes=_SMALL + _LARGE),
    "W": _Atom("W", prefixes=_SMALL + _LARGE),
    "USD": _Atom("USD"),
    "cycle": _Atom("cycle", prefixes=_LARGE),
    "cycles": _Atom("cycle"),
    "m^2": _Atom("m^2", prefixes=_SMALL, power=2),
}

# canonical unit -> the spelling an error message shows; these are the units `parse_quantity` and `format_quantity` know
_EXAMPLES: Final = {
    "B": "GB",
    "B/s": "TB/s",
    "FLOP": "GFLOP",
    "FLOP/s": "TFLOP/s",
    "OP": "GOP",
    "OP/s": "TOP/s",
    "OP/cycle": "OP/cycle",
    "FLOP/cycle": "FLOP/cycle",
    "B/cycle": "B/cycle",
    "Hz": "GHz",
    "s": "us",
    "J": "pJ",
    "J/B": "pJ/B",
    "J/OP": "pJ/OP",
    "J/FLOP": "pJ/FLOP",
    "W": "W",
    "USD/h": "USD/h",
    "USD": "USD",
    "cycle": "cycle",
    "m^2": "mm^2",
}
UNITS: Final = tuple(_EXAMPLES)

_QUANTITY: Final = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+))(?:[eE]([-+]?\d{1,4}))?\s*(.*?)\s*", re.DOTALL)


class UnitError(ValueError):
    """The text is not a quantity of the wanted unit; the message says what would be."""


def parse_quantity(text: str, unit: str) -> float:
    """Read `text` as a number of `unit`: parse_quantity("400 Gb/s", "B/s") is 5e10.

    `unit` is one of `UNITS`. Bits become bytes, prefixes become powers, hours become the unit asked for. With a decimal prefix the result
    is the float nearest to the decimal number written. Raises UnitError for a missing or wrong unit, and for numbers outside the range of a
    float.
    """
    wanted = _canonical(unit)
    match = _QUANTITY.fullmatch(text)
    found = _read_unit(match[3]) if match else None
    if match is None or found is None or found.bases != wanted.bases:
        raise UnitError(_complaint(text, unit))
    # the decimal prefix goes into the exponent before rounding, so that "3.35 TB/s" is exactly the float 3.35e12
    exponent = int(match[2] or 0) + found.exponent
    value = float(f"{match[1]}e{exponent}") * (found.factor / wanted.factor)
    if not math.isfinite(value):
        raise UnitError(f"'{_shorten(text)}' is too large for a number")
    return value


def format_quantity(value: Number, unit: str, digits: int = 3) -> str:
    """Write `value` of `unit` with `digits` significant digits and the prefix that fits: "1.02 ms", "3.35 TB/s", "550 GFLOP".

    Raises UnitError for a unit that is not in `UNITS`.
    """
    _canonical(unit)
    if type(value) is Lanes:  # texts are about one point
        value = float(value.values[0])
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f} {unit}"
    atom = _ATOMS[unit.partition("/")[0]]
    mantissa, prefix = value, ""
    for candidate, exponent in _steps(atom):
        # one division or multiplication by an exact power of ten keeps the digits that `digits` may ask for
        power = exponent * atom.power
        mantissa, prefix = (value / 10.0**power if power >= 0 else value * 10.0**-power), candidate
        if abs(_rounded(mantissa, digits)) < 1000**atom.power:
            break
    number = _rounded(mantissa, digits)
    if not 10.0**-digits <= abs(number) < 1e15:
        return f"{mantissa:.{digits - 1}e} {prefix}{unit}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number if abs(number) < 10**digits else mantissa:.{decimals}f} {prefix}{unit}"


def example_quantity(unit: str) -> str:
    """A well-formed quantity of `unit`, for messages and schemas: "1.5 TB/s"."""
    _canonical(unit)
    return f"1.5 {_EXAMPLES[unit]}"


@lru_cache(maxsize=64)
def _steps(atom: _Atom) -> tuple[tuple[str, int], ...]:
    steps = [(prefix, _DECIMAL[prefix]) for prefix in atom.prefixes if prefix not in "µμ"] + [("", 0)]
    return tuple(sorted(steps, key=lambda step: step[1]))


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


@dataclass(frozen=True, slots=True)
class _Unit:
    bases: tuple[str, str]  # numerator and denominator; "" for none
    exponent: int  # power of ten
    factor: float  # what is no power of ten: bits, binary prefixes, hours


@lru_cache(maxsize=256)
def _read_unit(text: str) -> _Unit | None:
    over, slash, under = text.partition("/")
    top = _read_side(over.strip())
    bottom = _read_side(under.strip()) if slash else ("", 0, 1.0)
    if top is None or bottom is None:
        return None
    return _Unit((top[0], bottom[0]), top[1] - bottom[1], top[2] / bottom[2])


def _read_side(text: str) -> tuple[str, int, float] | None:
    """Base, power of ten and other factor of "GiB", "pJ", "cycle"; None when it is no unit."""
    if (atom := _ATOMS.get(text)) is not None:
        return atom.base, 0, atom.factor
    for length in (2, 1):
        prefix, name = text[:length], text[length:]
        atom = _ATOMS.get(name)
        if atom is None:
            continue
        if atom.binary and prefix in _BINARY:
            return atom.base, 0, atom.factor * _BINARY[prefix]
        if length == 1 and prefix in atom.prefixes:
            return atom.base, _DECIMAL[prefix] * atom.power, atom.factor
    return None


def _canonical(unit: str) -> _Unit:
    found = _read_unit(unit) if unit in _EXAMPLES else None
    if found is None:
        raise UnitError(f"unknown unit '{unit}'; the units are {', '.join(UNITS)}")
    return found


def _complaint(text: str, unit: str) -> str:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return f"cannot read '{_shorten(text)}' as {unit}; write for example '{example_quantity(unit)}'"
    number = match[1] + (f"e{match[2]}" if match[2] else "")
    written = match[3]
    if not written:
        # a number this large is already in the base unit; a small one was thought of in the usual one
        meant = _exactly(float(number), unit) if 1e5 <= abs(float(number)) < math.inf else f"{number} {_EXAMPLES[unit]}"
        return f"'{_shorten(text)}' has no unit; write for example '{meant}'"
    hint = ""
    if written.startswith("K") and not written.startswith("Ki"):
        rest = written[1:]
        hint = f" ('{written}' could be 'k{rest}', 1000, or 'Ki{rest}', 1024)"
        spelling = f"k{rest}" if _fits(f"k{rest}", unit) else f"k{unit}"
    else:
        spelling = written[0] + unit
    if not _fits(spelling, unit):
        spelling = _EXAMPLES[unit]
    return f"cannot read '{_shorten(text)}' as {unit}{hint}; write for example '{number} {spelling}'"


def _exactly(value: float, unit: str) -> str:
    texts = (format_quantity(value, unit, digits) for digits in range(1, 18))
    return next((text for text in texts if parse_quantity(text, unit) == value), f"{value!r} {unit}")


def _fits(spelling: str, unit: str) -> bool:
    found = _read_unit(spelling)
    return found is not None and found.bases == _canonical(unit).bases


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:57] + "..."
