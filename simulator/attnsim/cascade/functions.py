"""What an expression may call, which operations one evaluation costs, and the operators a reduction may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Function:
    """A map function.

    `operations` are the kinds charged for one element; `folds` says that n arguments cost n - 1 times that (max, add) instead of once.
    """

    operations: tuple[str, ...]
    arguments: int = 1
    folds: bool = False

    def accepts(self, count: int) -> bool:
        """Whether it may be called with this many arguments."""
        return count >= 2 if self.folds else count == self.arguments

    def wants(self) -> str:
        """The number of arguments in words."""
        return "two or more arguments" if self.folds else f"{self.arguments} argument{'s' if self.arguments > 1 else ''}"


# A function that a machine would run as another operation is charged as that one: relu is a max with 0, a square is a multiply,
# silu(x) = x * sigmoid(x). What one exp or sigmoid costs on a unit is the machine's business (`expand` of an arch file).
FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "exp": Function(("exp",)),
        "log": Function(("log",)),
        "sigmoid": Function(("sigmoid",)),
        "tanh": Function(("tanh",)),
        "sqrt": Function(("sqrt",)),
        "rsqrt": Function(("rsqrt",)),
        "square": Function(("mul",)),
        "neg": Function(("sub",)),
        "abs": Function(("max",)),
        "relu": Function(("max",)),
        "silu": Function(("sigmoid", "mul")),
        "max": Function(("max",), folds=True),
        "min": Function(("min",), folds=True),
        "add": Function(("add",), folds=True),
        "mul": Function(("mul",), folds=True),
        "sub": Function(("sub",), arguments=2),
        "div": Function(("div",), arguments=2),
    }
)

INFIX: Mapping[str, str] = MappingProxyType({"+": "add", "-": "sub", "*": "mul", "/": "div"})
"""Operator to the function it stands for."""

REDUCTIONS: Mapping[str, str] = MappingProxyType({"sum": "add", "max": "max", "min": "min", "prod": "mul"})
"""Operator of a reduction to the operation each reduced element costs."""

OPERATIONS: frozenset[str] = frozenset(
    {"mac", *(kind for function in FUNCTIONS.values() for kind in function.operations), *REDUCTIONS.values()}
)
"""Every kind of operation an Einsum can be charged for."""
