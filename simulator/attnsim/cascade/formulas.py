"""The counts of a cascade as formulas: the functions that count with ints, given sympy symbols instead.

Needs sympy, so nothing on the path of a run imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sympy import Integer, Symbol, ceiling, factor, sstr, sympify

from attnsim.cascade.cascade import Cascade, Counts, totals
from attnsim.cascade.footprint import footprint_words, live_footprints

PAIRS = "pairs"
ROW_BLOCKS = "row_blocks"


@dataclass(frozen=True, slots=True)
class Formulas:
    """Closed forms of a cascade; every value is a sympy expression over `symbols`, one positive integer symbol a rank.

    `operations` and `totals` count operations by kind, `flops` is twice the macs of the matmuls, `reads` and `writes` are the compulsory
    traffic in elements, `footprint` the live words of each tensor for one query row, `footprint_total` those of all fibers and state.
    With a mask, the symbols `pairs` and `row_blocks` stand for the (query, key) points and (query, key block) points of one head.
    """

    cascade: Cascade
    masked: bool
    symbols: Mapping[str, Any]
    sizes: Mapping[str, Any]
    operations: Counts
    totals: Mapping[str, Any]
    flops: Any
    reads: Mapping[str, Any]
    writes: Mapping[str, Any]
    footprint: Mapping[str, Any]
    footprint_total: Any

    def bytes(self, element_bytes: int | Mapping[str, int]) -> Any:
        """Compulsory bytes, for one width of all elements or one for each tensor."""
        return sum(self.cascade.compulsory_bytes(self.sizes, element_bytes).values(), Integer(0))

    def value(self, expression: Any, sizes: Mapping[str, int]) -> int:
        """An expression with sizes put in for its symbols (names as in `symbols`); exact."""
        return int(expression.subs({self.symbols[name]: Integer(size) for name, size in sizes.items() if name in self.symbols}))

    def lines(self) -> list[str]:
        """The formulas as plain text, one a line, for `attnsim explain`."""
        rows = [("matmul FLOPs", self.flops)]
        rows += [(f"{kind} operations", expression) for kind, expression in self.totals.items()]
        rows += [(f"read {name}, elements", expression) for name, expression in self.reads.items()]
        rows += [(f"write {name}, elements", expression) for name, expression in self.writes.items()]
        rows += [("live words a row", self.footprint_total)]
        width = max(len(name) for name, _ in rows)
        return [f"{name:{width}}  {text(expression)}" for name, expression in rows]


@lru_cache(maxsize=256)
def formulas(cascade: Cascade, masked: bool = False) -> Formulas:
    """The closed forms of a cascade, partitions with their inner parts as symbols and the outer one as ceiling(M/M0)."""
    inner = [part for parts in cascade.partition.values() for part in parts[1:]]
    names = list(dict.fromkeys([*cascade.batch, *cascade.groups, *cascade.ranks, *inner]))
    outer = {parts[0] for parts in cascade.partition.values()}
    symbols = {name: Symbol(name, positive=True, integer=True) for name in names if name not in outer}
    sizes = cascade.resolve_sizes(
        {name: symbol for name, symbol in symbols.items() if name not in inner}, {name: symbols[name] for name in inner}
    )
    if masked:
        symbols |= {name: Symbol(name, nonnegative=True, integer=True) for name in (PAIRS, ROW_BLOCKS)}
    operations = {label: _exact(kinds) for label, kinds in cascade.counts(sizes, symbols.get(PAIRS), symbols.get(ROW_BLOCKS)).items()}
    traffic = cascade.compulsory(sizes)
    return Formulas(
        cascade=cascade,
        masked=masked,
        symbols=MappingProxyType(symbols),
        sizes=MappingProxyType(sizes),
        operations=operations,
        totals=MappingProxyType(totals(operations)),
        flops=sympify(cascade.matmul_flops(operations)),
        reads=MappingProxyType(_exact(traffic["read"])),
        writes=MappingProxyType(_exact(traffic["write"])),
        footprint=MappingProxyType(_exact({name: live.words(sizes) for name, live in live_footprints(cascade).items()})),
        footprint_total=sympify(footprint_words(cascade, sizes)),
    )


def text(expression: Any) -> str:
    """One expression as text, common factors taken out: 2*B*H*M*P*(E + F)."""
    exact = sympify(expression)
    return str(sstr(exact if exact.has(ceiling) else factor(exact)))


def _exact(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain ints (a count of 1) made sympy integers, so that every value has the same methods."""
    return {name: sympify(value) for name, value in values.items()}
