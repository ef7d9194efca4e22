"""Numbers of many points at once: the engine's own functions, run on arrays.

`Lanes` hold one number a point and take part in arithmetic lane by lane. Where the program asks a question of them (``if x > 1``), all
lanes have to agree. Where they do not, `Diverged` says which lanes said yes, and `apart` runs the two parts one after the other, as a GPU
does with threads of a warp that part ways. So control flow stays what it is, and every path through it runs once for all points that take
it.

`maximum`, `minimum`, `where` and `ceil` choose lane by lane without parting; of plain numbers they are the builtins. numpy is imported by
whoever makes the first `Lanes`, never by a single answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from attnsim.tape import Traced, call, noted, settled

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

Number: TypeAlias = Any
"""A Python number, or Lanes of them."""


class Diverged(Exception):  # noqa: N818 - control flow, and never seen by a user
    """Lanes gave different answers to a question of the program; taken: those that said yes."""

    def __init__(self, taken: Array) -> None:
        super().__init__("lanes diverged")
        self.taken = taken


class OneByOne(Exception):  # noqa: N818 - control flow
    """What is computed here is computed for one point at a time only."""


class Refused(Exception):  # noqa: N818 - control flow
    """Every one of the lanes is refused, each with an error of its own."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__("every lane is refused")
        self.errors = errors


class Lanes:
    """One number (float64, or a truth value) a point. Whole numbers are exact below 2**53."""

    __slots__ = ("values",)
    __array_ufunc__ = None  # numpy's own numbers leave the arithmetic to the methods here
    values: Array

    def __init__(self, values: Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Lanes({self.values})"

    def __format__(self, spec: str) -> str:
        return format(self.values[0].item(), spec)  # texts are about one point: the first

    def __bool__(self) -> bool:
        truth = self.values if self.values.dtype == bool else self.values != 0
        if truth.all():
            return True
        if not truth.any():
            return False
        raise Diverged(truth)

    def all(self) -> bool:
        """Whether the lanes hold everywhere; parts where they differ."""
        return bool(self)

    def __add__(self, other: Number) -> Lanes:
        return Lanes(self.values + (other.values if type(other) is Lanes else other))

    __radd__ = __add__

    def __mul__(self, other: Number) -> Lanes:
        return Lanes(self.values * (other.values if type(other) is Lanes else other))

    __rmul__ = __mul__

    def __sub__(self, other: Number) -> Lanes:
        return Lanes(self.values - (other.values if type(other) is Lanes else other))

    def __rsub__(self, other: Number) -> Lanes:
        return Lanes(other - self.values)

    def __truediv__(self, other: Number) -> Lanes:
        return Lanes(self.values / (other.values if type(other) is Lanes else other))

    def __rtruediv__(self, other: Number) -> Lanes:
        return Lanes(other / self.values)

    def __floordiv__(self, other: Number) -> Lanes:
        return Lanes(_floor(self.values / (other.values if type(other) is Lanes else other)))

    def __rfloordiv__(self, other: Number) -> Lanes:
        return Lanes(_floor(other / self.values))

    def __mod__(self, other: Number) -> Lanes:
        return Lanes((self - self // other * other).values)

    def __rmod__(self, other: Number) -> Lanes:
        return Lanes((other - other // self * self).values)

    def __divmod__(self, other: Number) -> tuple[Lanes, Lanes]:
        whole = self // other
        return whole, self - whole * other

    def __pow__(self, other: Number) -> Lanes:
        return Lanes(self.values ** (other.values if type(other) is Lanes else other))

    def __rpow__(self, other: Number) -> Lanes:
        import numpy as np

        # Python's own power of every distinct exponent: numpy's may differ from it in the last bit, which is enough to round another way.
        exponents, at = np.unique(self.values, return_inverse=True)
        return Lanes(np.array([other ** (int(one) if one % 1 == 0 else float(one)) for one in exponents], dtype=np.float64)[at])

    def __round__(self) -> Lanes:
        import numpy as np

        return Lanes(np.rint(self.values))  # halves to even, as Python rounds

    def __neg__(self) -> Lanes:
        return Lanes(-self.values)

    def __abs__(self) -> Lanes:
        return Lanes(abs(self.values))

    def __ceil__(self) -> Lanes:
        return Lanes(-_floor(-self.values))

    def __floor__(self) -> Lanes:
        return Lanes(_floor(self.values))

    def __eq__(self, other: object) -> Lanes:  # type: ignore[override]
        return Lanes(self.values == (other.values if isinstance(other, Lanes) else other))

    def __ne__(self, other: object) -> Lanes:  # type: ignore[override]
        return Lanes(self.values != (other.values if isinstance(other, Lanes) else other))

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Number) -> Lanes:
        return Lanes(self.values < (other.values if type(other) is Lanes else other))

    def __le__(self, other: Number) -> Lanes:
        return Lanes(self.values <= (other.values if type(other) is Lanes else other))

    def __gt__(self, other: Number) -> Lanes:
        return Lanes(self.values > (other.values if type(other) is Lanes else other))

    def __ge__(self, other: Number) -> Lanes:
        return Lanes(self.values >= (other.values if type(other) is Lanes else other))

    def __and__(self, other: Number) -> Lanes:
        return Lanes(self.values & (other.values if type(other) is Lanes else other))

    __rand__ = __and__

    def __or__(self, other: Number) -> Lanes:
        return Lanes(self.values | (other.values if type(other) is Lanes else other))

    __ror__ = __or__

    def __invert__(self) -> Lanes:
        return Lanes(~self.values)


def _floor(values: Array) -> Array:
    # Of a quotient of whole numbers this is exact as long as the dividend is below 2**53; numpy's own floor_divide takes ten times as long.
    import numpy as np

    floor: Array = np.floor(values)
    return floor


def many(*numbers: Number) -> bool:
    """Whether one of them is Lanes."""
    for number in numbers:  # noqa: SIM110 - asked at every step; a generator takes three times as long
        if type(number) is Lanes:
            return True
    return False


def values_of(number: Number, lanes: int) -> Array:
    """One value a lane."""
    import numpy as np

    return number.values if type(number) is Lanes else np.full(lanes, number, dtype=np.float64)


def count_of(*numbers: Number) -> int:
    """How many lanes there are; 0 of plain numbers."""
    return next((len(number) for number in numbers if type(number) is Lanes), 0)


def maximum(first: Number, second: Number) -> Number:
    """The larger of two."""
    if type(first) is Lanes or type(second) is Lanes:
        import numpy as np

        return Lanes(np.maximum(_raw(first), _raw(second)))
    if type(first) is Traced or type(second) is Traced:
        return noted(_larger, first, second)
    return first if first >= second else second


def minimum(first: Number, second: Number) -> Number:
    """The smaller of two."""
    if type(first) is Lanes or type(second) is Lanes:
        import numpy as np

        return Lanes(np.minimum(_raw(first), _raw(second)))
    if type(first) is Traced or type(second) is Traced:
        return noted(_smaller, first, second)
    return first if first <= second else second


def _larger(first: Number, second: Number) -> Number:
    return first if first >= second else second


def _smaller(first: Number, second: Number) -> Number:
    return first if first <= second else second


def added(numbers: Iterable[Number]) -> Number:
    """Their sum, one after another: the builtin corrects the rounding of floats since Python 3.12, which no other program here does."""
    found: Number = 0
    for number in numbers:
        found = found + number
    return found


def largest(numbers: Iterable[Number], default: Number = 0.0) -> Number:
    """The largest of any number of them."""
    found = default
    for index, number in enumerate(numbers):
        found = number if index == 0 else maximum(found, number)
    return found


def where(condition: Number, then: Number, otherwise: Number) -> Number:
    """`then` where the condition holds; both are computed."""
    if type(condition) is not Lanes:
        return call(where, condition, then, otherwise) if type(condition) is Traced else then if condition else otherwise
    import numpy as np

    return Lanes(np.where(condition.values, _raw(then), _raw(otherwise)))


def real(number: Number) -> Number:
    """As a float."""
    if type(number) is Traced:
        return noted(_float, number, number)
    return number if type(number) is Lanes else float(number)


def _float(number: float, _: float) -> float:
    return float(number)


def whole(number: Number) -> Number:
    """As an int; Lanes hold whole numbers as floats."""
    return number if type(number) is Lanes else call(int, number)


def nonzero(number: Number) -> bool:
    """Whether it is other than zero, in some lane."""
    return bool(number.values.any()) if type(number) is Lanes else bool(number)


def quotient(first: Number, second: Number) -> Number:
    """first // second as an int, exactly for floats too, where dividing first may round up to a whole number."""
    if type(first) is Lanes or type(second) is Lanes:
        import numpy as np

        return Lanes(np.floor_divide(_raw(first), _raw(second)))
    return call(int, first // second)


def refusal(error: Callable[..., Exception], *numbers: Number) -> Exception:
    """The error to raise of numbers that make a question unanswerable: `error(*numbers)`; of Lanes one each, all `Refused`."""
    lanes = count_of(*numbers)
    if not lanes:
        return error(*numbers)
    columns = [number.values.tolist() if type(number) is Lanes else [number] * lanes for number in numbers]
    return Refused([error(*one) for one in zip(*columns, strict=True)])


def one_value(number: Number) -> Number:
    """The value on which all lanes agree, as a plain number; parts those that differ from the first."""
    if type(number) is not Lanes:
        return settled(number)
    first = number.values[0]
    same = number.values == first
    if not same.all():
        raise Diverged(same)
    return int(first) if first % 1 == 0 else float(first)


def _raw(number: Number) -> Any:
    return number.values if type(number) is Lanes else number


def apart(lanes: Array, run: Callable[[Array], None], refuse: Callable[[Array, Exception], None], errors: type[Exception]) -> None:
    """Run a program for lanes (numbers of points), for those that part ways one after the other.

    run: computes and keeps the answers of some lanes; refuse: is told of lanes whose program ended with one of `errors`, or that are to
    be computed one by one (`OneByOne`), or that are `Refused` each.
    """
    waiting = [lanes]
    while waiting:
        some = waiting.pop()
        try:
            run(some)
        except Diverged as parted:
            waiting += [some[~parted.taken], some[parted.taken]]
        except (errors, OneByOne, Refused) as error:
            refuse(some, error)


def halves(lanes: int) -> Array:
    """The first half of some lanes: to part them where they need too much memory together."""
    import numpy as np

    return np.arange(lanes) < lanes // 2
