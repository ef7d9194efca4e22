"""One extended Einsum with its ranks resolved, and the operations it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from attnsim.cascade.functions import FUNCTIONS, REDUCTIONS
from attnsim.cascade.grammar import Access, Call, Constant, Equation, ExpressionError, Node, Reduction
from attnsim.cascade.numbers import Number, product

Space: TypeAlias = frozenset[str]
Mode: TypeAlias = Literal["plain", "previous", "current", "final"]


@dataclass(frozen=True, slots=True)
class OpTerm:
    """`per_element` operations of one kind at every point of an iteration space.

    `ranks` are all the ranks of that space, batch ranks first. A mac is one multiply and one add.
    """

    kind: str
    ranks: tuple[str, ...]
    per_element: int = 1

    def count(self, sizes: Mapping[str, Number]) -> Number:
        """per_element times the size of every rank.

        Where a rank is partitioned this is the padded count; Cascade.counts knows the partition and returns the exact one.
        """
        return self.per_element * product(sizes[rank] for rank in self.ranks)


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor as an equation writes it.

    `ranks` are the iteration ranks that its indices walk, batch ranks first. An iterative tensor (`iterative` names its rank) is written at
    the current coordinate (`RM[m1+1]`) and read at the previous (`RM[m1]`), the current or the final one (`RM[M1]`).
    """

    name: str
    ranks: tuple[str, ...]
    text: str
    mode: Mode = "plain"
    iterative: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Einsum:
    """One equation of a cascade; equal to itself alone, since cascades of the same content are one object.

    `ranks` is the iteration space, batch ranks first; `reductions` are (rank, operator) in the order they are applied. `is_matmul` says
    whether it is a contraction that a matrix unit runs.
    """

    label: str
    text: str
    output: TensorRef
    operands: tuple[TensorRef, ...]
    reductions: tuple[tuple[str, str], ...]
    ranks: tuple[str, ...]
    terms: tuple[OpTerm, ...]
    is_matmul: bool = field(init=False)

    def __post_init__(self) -> None:
        """Operands of a matrix product each have a rank of the output that the other lacks: Q[p,e] * K[m,e], not dO[p,f] * O[p,f]."""
        kept = set(self.output.ranks)
        own = [kept & set(operand.ranks) for operand in self.operands]
        product = any(term.kind == "mac" for term in self.terms) and any(a - b and b - a for i, a in enumerate(own) for b in own[i + 1 :])
        object.__setattr__(self, "is_matmul", bool(product))

    def __str__(self) -> str:
        return self.text


def operations(
    equation: Equation,
    output: Space,
    space_of: Callable[[Access], Space],
    rank_of: Mapping[str, str],
    ordered: Callable[[Space], tuple[str, ...]],
) -> tuple[tuple[OpTerm, ...], tuple[tuple[str, str], ...]]:
    """The operations of an equation and its reductions (rank, operator).

    `output` and `space_of` give the ranks of the left side and of each operand, `rank_of` the rank of a variable, `ordered` the order in
    which ranks are listed. Raises ExpressionError for a reduction that makes no sense.
    """
    counter = _Counter(space_of)
    whole = counter.space(equation.expression)
    if extra := output - whole:
        raise ExpressionError(f"rank {_names(extra)} is on the left side but on no operand", equation.output.column)
    explicit = [(reduction, _reduced(reduction, whole, output, rank_of)) for reduction in equation.reductions]
    later: Space = frozenset().union(*(ranks for _, ranks in explicit))
    if sum(len(ranks) for _, ranks in explicit) != len(later):
        raise ExpressionError("a rank is reduced twice", equation.reductions[0].column)
    reductions = [(rank, "sum") for rank in ordered(whole - output - later)]
    if explicit and explicit[0][0].operator == "sum" and counter.is_linear(equation.expression, explicit[0][1]):
        reductions += [(rank, "sum") for rank in ordered(explicit[0][1])]
        later -= explicit.pop(0)[1]
    remaining = output | later
    counter.contract(equation.expression, remaining)
    for reduction, ranks in explicit:
        counter.charge(REDUCTIONS[reduction.operator], remaining)
        remaining -= ranks
        reductions += [(rank, reduction.operator) for rank in ordered(ranks)]
    return counter.terms(ordered), tuple(reductions)


class _Counter:
    """Walks an expression and notes (kind, iteration space) for every operation."""

    def __init__(self, space_of: Callable[[Access], Space]) -> None:
        self._space_of = space_of
        self._charges: dict[tuple[str, Space], int] = {}

    def charge(self, kind: str, space: Space) -> None:
        self._charges[kind, space] = self._charges.get((kind, space), 0) + 1

    def terms(self, ordered: Callable[[Space], tuple[str, ...]]) -> tuple[OpTerm, ...]:
        return tuple(OpTerm(kind, ordered(space), times) for (kind, space), times in self._charges.items())

    def space(self, node: Node) -> Space:
        if isinstance(node, Constant):
            return frozenset()
        if isinstance(node, Access):
            return self._space_of(node)
        return frozenset().union(*map(self.space, node.arguments))

    def is_linear(self, node: Node, ranks: Space) -> bool:
        """Whether a sum over `ranks` can accumulate term by term: every addend is a product or a tensor that walks them all."""
        return all(ranks <= self.space(addend) and _is_product(addend) for _, addend in _addends(node))

    def elementwise(self, node: Node) -> Space:
        """Charge a map expression; each operation runs over the ranks of what it combines. Returns the space of the result."""
        if not isinstance(node, Call) or _is_constant(node):
            return self.space(node)
        function = FUNCTIONS[node.function]
        spaces = [self.elementwise(argument) for argument in node.arguments]
        reach = spaces[0]
        if function.folds:
            for space in spaces[1:]:
                reach |= space
                for kind in function.operations:
                    self.charge(kind, reach)
            return reach
        reach = frozenset().union(*spaces)
        for kind in function.operations:
            self.charge(kind, reach)
        return reach

    def contract(self, node: Node, kept: Space) -> None:
        """Charge an expression whose ranks outside `kept` are summed, addend by addend as in Einstein's convention.

        A product accumulates by macs, a plain tensor by adds; the first element of a sum counts too. An addend without a summed rank joins
        the others by one add.
        """
        if self.space(node) <= kept:
            self.elementwise(node)
            return
        for operation, addend in _addends(node):
            if self.space(addend) <= kept:
                self.elementwise(addend)
                self.charge(operation, kept)
            else:
                self._accumulate(addend, self.space(addend) - kept)

    def _accumulate(self, addend: Node, summed: Space) -> None:
        if not _is_product(addend):
            rank = _names(summed)
            raise ExpressionError(
                f"rank {rank} is missing on the left; only products and plain tensors are summed unasked: write ':: sum({rank.lower()})'",
                addend.column,
            )
        first, *others = _factors(addend)
        reach = self.elementwise(first)
        for position, factor in enumerate(others, start=1):
            reach |= self.elementwise(factor)
            self.charge("mac" if position == len(others) else "mul", reach)
        if not others:
            self.charge("add", reach)


def _reduced(reduction: Reduction, whole: Space, output: Space, rank_of: Mapping[str, str]) -> Space:
    ranks: set[str] = set()
    for variable in reduction.variables:
        rank = rank_of.get(variable, "")
        if rank not in whole:
            raise ExpressionError(f"{reduction.operator}({variable}) reduces over a rank that is not on the right side", reduction.column)
        if rank in output:
            raise ExpressionError(
                f"{reduction.operator}({variable}) reduces over rank {rank}, which is kept on the left side", reduction.column
            )
        ranks.add(rank)
    return frozenset(ranks)


def _addends(node: Node, operation: str = "add") -> list[tuple[str, Node]]:
    """Top-level addends with the operation that joins each: a + b - c -> (add, a), (add, b), (sub, c)."""
    if isinstance(node, Call) and node.function == "add":
        return [pair for argument in node.arguments for pair in _addends(argument, operation)]
    if isinstance(node, Call) and node.function == "sub":
        left, right = node.arguments
        return _addends(left, operation) + _addends(right, "sub" if operation == "add" else "add")
    return [(operation, node)]


def _factors(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.function == "mul":
        return [factor for argument in node.arguments for factor in _factors(argument)]
    return [node]


def _is_product(node: Node) -> bool:
    return isinstance(node, Access) or (isinstance(node, Call) and node.function == "mul")


def _is_constant(node: Node) -> bool:
    return isinstance(node, Constant) or (isinstance(node, Call) and all(map(_is_constant, node.arguments)))


def _names(ranks: Iterable[str]) -> str:
    return ",".join(sorted(ranks))
