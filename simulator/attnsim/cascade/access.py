"""What the index list of a tensor means: which ranks it walks, and how an iterative tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attnsim.cascade.einsum import Mode
from attnsim.cascade.grammar import Access, ExpressionError, Index
from attnsim.errors import suggest


@dataclass(frozen=True, slots=True)
class Declared:
    """The ranks of a tensor in index order (batch ranks left out), and which of them is iterative."""

    ranks: tuple[str, ...]
    iterative: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """The ranks of a cascade, as the indices of its equations see them."""

    ranks: tuple[str, ...]  # that indices may walk, partitions included, in the order they are declared
    batch: frozenset[str]  # batch and group ranks, which indices leave out
    partition: Mapping[str, tuple[str, ...]]

    @property
    def rank_of(self) -> dict[str, str]:
        """Variable to rank: m1 -> M1."""
        return {rank.lower(): rank for rank in self.ranks}

    def rank(self, variable: str, column: int) -> str:
        """The rank a variable walks. Raises ExpressionError."""
        rank = self.rank_of.get(variable)
        if rank is None:
            if variable.upper() in {name.upper() for name in self.batch}:
                raise ExpressionError(f"'{variable}' walks a batch rank; batch ranks are left out of the equations", column)
            raise ExpressionError(f"index '{variable}' has no rank {variable.upper()}{suggest(variable, self.rank_of)}", column)
        return rank


def declare(access: Access, names: Names) -> Declared:
    """What the left side of an equation declares: plain variables, and at most one iterative index `m1+1`. Raises ExpressionError."""
    ranks: list[str] = []
    iterative = ""
    for index in access.indices:
        if not index.variable or index.offset not in (0, 1):
            raise ExpressionError(
                f"'{index}' cannot stand on the left side; write a variable such as m, or m+1 for an iterative rank", index.column
            )
        rank = names.rank(index.variable, index.column)
        if rank in ranks:
            raise ExpressionError(f"rank {rank} is twice on the left side", index.column)
        if index.offset:
            if iterative:
                raise ExpressionError(f"{access.name} is iterative over two ranks, {iterative} and {rank}", index.column)
            iterative = rank
        ranks.append(rank)
    return Declared(tuple(ranks), iterative)


def walked(access: Access, declared: Declared, names: Names) -> tuple[tuple[str, ...], Mode]:
    """The ranks that an access walks and how it reads an iterative tensor.

    A partitioned rank may be walked as itself or as its parts, side by side (`K[m,e]` or `K[m1,m0,e]`). Raises ExpressionError where an
    index does not fit the rank at its place.
    """
    indices = list(access.indices)
    expected = list(declared.ranks)
    walks: list[str] = []
    mode: Mode = "plain"
    while indices and expected:
        index, rank = indices.pop(0), expected.pop(0)
        if rank == declared.iterative:
            mode = _iteration(access, index, rank, names)
            if mode != "final":
                walks.append(rank)
            continue
        if index.final:
            raise ExpressionError(f"{access} reads a final coordinate, but {access.name} is not iterative over {index.final}", index.column)
        if not index.variable:  # an affine index such as 2*p+s walks other ranks than the one it addresses
            walks += [names.rank(variable, index.column) for _, variable in index.terms]
            continue
        seen = names.rank(index.variable, index.column)
        if seen == rank:
            walks.append(rank)
        elif _parts(indices, index, names.partition.get(rank, ()), names):
            parts = names.partition[rank]
            walks += parts
            del indices[: len(parts) - 1]
        elif tuple([rank, *expected][: len(names.partition.get(seen, ()))]) == names.partition.get(seen, ()) != ():
            walks.append(seen)
            del expected[: len(names.partition[seen]) - 1]
        else:
            raise ExpressionError(
                f"index '{index}' walks rank {seen}, but {access.name} has rank {rank} there: a rank used with two meanings", index.column
            )
    if indices or expected:
        shape = ",".join(rank.lower() for rank in declared.ranks)
        raise ExpressionError(f"{access} has {len(access.indices)} indices, but {access.name} is {access.name}[{shape}]", access.column)
    return tuple(dict.fromkeys(walks)), mode


def _iteration(access: Access, index: Index, rank: str, names: Names) -> Mode:
    variable = rank.lower()
    if index.final:
        if index.final != rank:
            raise ExpressionError(f"{access.name} is iterative over {rank}, not over {index.final}", index.column)
        return "final"
    if index.variable and names.rank(index.variable, index.column) == rank and index.offset in (0, 1):
        return "current" if index.offset else "previous"
    raise ExpressionError(
        f"{access.name} is iterative over {rank}: read it at {variable}, {variable}+1 or {rank}, not at '{index}'", index.column
    )


def _parts(following: list[Index], first: Index, parts: tuple[str, ...], names: Names) -> bool:
    """Whether the indices from `first` on are exactly the variables of these parts."""
    group = [first, *following[: len(parts) - 1]]
    return (
        bool(parts) and [index.variable for index in group] == [part.lower() for part in parts] and not any(index.offset for index in group)
    )
