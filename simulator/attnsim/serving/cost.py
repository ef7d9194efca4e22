"""What kernels take, each asked of the engine once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, update_wrapper
from typing import Any

from attnsim.lanes import Lanes, Number


@dataclass(frozen=True, slots=True)
class Cost:
    """What a kernel takes on its device, or several one after another."""

    seconds: Number = 0.0
    bound_s: Number = 0.0
    flops: Number = 0.0
    bytes: Number = 0.0
    energy_j: Number = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.bound_s + other.bound_s,
            self.flops + other.flops,
            self.bytes + other.bytes,
            self.energy_j + other.energy_j,
        )

    def times(self, count: float) -> Cost:
        """The same, `count` times."""
        return Cost(*(count * value for value in (self.seconds, self.bound_s, self.flops, self.bytes, self.energy_j)))


NOTHING = Cost()


class Remembered:
    """A function that keeps what it answered: of plain numbers, and of Lanes, of which it computes each distinct one once, all at once.

    Arguments that may be Lanes are given by position.
    """

    def __init__(self, cost: Callable[..., Cost]) -> None:
        update_wrapper(self, cost)
        self._cost = cost
        self._single = lru_cache(maxsize=65536)(cost)
        self._tables: dict[Any, Any] = {}

    def __call__(self, *arguments: Any, **named: Any) -> Cost:
        """What the function answers, kept or new."""
        if not any(type(argument) is Lanes for argument in arguments):
            return self._single(*arguments, **named)
        from attnsim.serving.costlanes import cost_of_lanes

        return cost_of_lanes(self._cost, self._single, self._tables, arguments, named)

    def cache_clear(self) -> None:
        """Forget every answer."""
        self._single.cache_clear()
        self._tables.clear()


remembered = Remembered
"""As a decorator."""
