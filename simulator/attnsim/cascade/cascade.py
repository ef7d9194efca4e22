"""A cascade: Einsums that feed one another, with the sizes, counts and analyses that follow from the equations alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from attnsim.cascade.build import Built, build
from attnsim.cascade.einsum import Einsum
from attnsim.cascade.numbers import Number, ceil_div, divides, is_symbolic, plain, positive, product
from attnsim.errors import Issue, SpecError, suggest
from attnsim.spec.cascade import CascadeSpec

if TYPE_CHECKING:
    import networkx as nx

    from attnsim.cascade.passes import PassPlan
    from attnsim.spec.yaml import Document

Counts: TypeAlias = dict[str, dict[str, Number]]
"""Einsum label to operation kind to number of operations."""

Place: TypeAlias = tuple[str | int, ...]

_BUILT: dict[str, Cascade] = {}
_LOADED: dict[str, Cascade] = {}
_MOST_KEPT = 512  # cascades a process keeps; a sweep touches a handful


@dataclass(frozen=True, slots=True)
class _Count:
    """An OpTerm with partitions merged back: per_element x sizes[scale] x (query, key) points."""

    kind: str
    per_element: int
    scale: tuple[str, ...]
    points: str  # "pairs": (query, key) points; "row_blocks": (query, key block) points; "": neither
    point_ranks: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """An algorithm as a DAG of Einsums; number-agnostic and free of hardware.

    `einsums` are in the order they run, `inputs` give the full ranks of every input as declared (batch and group ranks included, partitions
    whole), `positions` are the query and key rank a mask applies to (empty where none does).
    """

    spec: CascadeSpec
    name: str
    source: str
    ranks: Mapping[str, str]
    batch: tuple[str, ...]
    groups: Mapping[str, str]
    positions: tuple[str, ...]
    partition: Mapping[str, tuple[str, ...]]
    inputs: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]
    einsums: tuple[Einsum, ...]
    content_key: str
    _built: Built = field(repr=False)

    @classmethod
    def from_spec(cls, spec: CascadeSpec, doc: Document | None = None, loc: Place = ()) -> Cascade:
        """Build and check a cascade; cached by content.

        `doc` and `loc` (where in the document the cascade stands) give errors their line. Raises SpecError with every issue found.
        """
        key = hashlib.sha256(spec.model_dump_json(by_alias=True).encode()).hexdigest()
        if key not in _BUILT:

            def issue(place: Place, message: str) -> Issue:
                return doc.issue((*loc, *place), message) if doc is not None else Issue(message, path=".".join(map(str, place)))

            built = build(spec, issue)
            cascade = cls(
                spec=spec,
                name=spec.name,
                source=spec.source,
                ranks=MappingProxyType(dict(spec.ranks)),
                batch=built.batch,
                groups=MappingProxyType(built.groups),
                positions=tuple(spec.positions),
                partition=MappingProxyType({rank: tuple(parts) for rank, parts in spec.partition.items()}),
                inputs=MappingProxyType(built.inputs),
                outputs=built.outputs,
                einsums=built.einsums,
                content_key=key,
                _built=built,
            )
            _keep(_BUILT, key, cascade)
        return _BUILT[key]

    def __reduce__(self) -> tuple[Callable[[CascadeSpec], Cascade], tuple[CascadeSpec]]:
        return Cascade.from_spec, (self.spec,)

    def __hash__(self) -> int:
        return hash(self.content_key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cascade) and self.content_key == other.content_key

    def __repr__(self) -> str:
        passes = ", ".join(f"{count} over {rank}" for rank, count in self.pass_counts().items())
        return "\n".join([f"{self.name}: passes {passes or 'none'}", *(f"  {einsum.text}" for einsum in self.einsums)])

    @cached_property
    def by_label(self) -> Mapping[str, Einsum]:
        """Label (name of the output tensor) to Einsum."""
        return MappingProxyType({einsum.label: einsum for einsum in self.einsums})

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the intermediate tensors: computed, and no output."""
        return tuple(einsum.label for einsum in self.einsums if einsum.label not in self.outputs)

    @cached_property
    def matmuls(self) -> tuple[str, ...]:
        """Labels of the Einsums that a matrix unit can run."""
        return tuple(einsum.label for einsum in self.einsums if einsum.is_matmul)

    @cached_property
    def head_rank(self) -> str | None:
        """The batch rank of query heads: the one that groups share keys in, else `H`; None where there is none."""
        return next(iter(self.groups.values()), "H" if "H" in self.batch else None)

    def tensor_ranks(self, name: str) -> tuple[str, ...]:
        """Full ranks of a tensor, batch first: partitions merged back (M1, M0 -> M), the iterative rank dropped. Raises KeyError."""
        return self._built.tensor_ranks[name] if name not in self.inputs else self.inputs[name]

    def producer(self, name: str) -> Einsum | None:
        """The Einsum that computes a tensor; None for an input."""
        return self.by_label.get(name)

    def consumers(self, name: str) -> tuple[Einsum, ...]:
        """The Einsums that read a tensor, in the order they run."""
        return tuple(einsum for einsum in self.einsums if any(operand.name == name for operand in einsum.operands))

    def whole(self, rank: str) -> str:
        """The rank that a part belongs to: M for M0; the rank itself where it is not a part."""
        return next((whole for whole, parts in self.partition.items() if rank in parts), rank)

    @cached_property
    def _sized(self) -> tuple[tuple[str, ...], frozenset[str]]:
        """Ranks that are given a size, and the parts of those that are partitioned."""
        parts = frozenset(part for split in self.partition.values() for part in split)
        return tuple(rank for rank in dict.fromkeys([*self.ranks, *self.groups]) if rank not in parts), parts

    def resolve_sizes(
        self,
        sizes: Mapping[str, Number],
        tiles: Mapping[str, Number] = MappingProxyType({}),
        *,
        doc: Document | None = None,
        loc: Place = ("sizes",),
    ) -> dict[str, Number]:
        """Sizes of every rank, parts included: M1 = ceil(M / M0).

        `tiles` holds the sizes of inner parts, as {"M0": 128} or {"M": 128}; tiles of ranks that the cascade does not split are left to the
        schedule. A part without a tile is the whole rank. A group rank that is left out has one head a group (G = H). Numbers may be ints,
        numpy arrays or sympy symbols.

        Raises SpecError for a size that is missing, unknown or not a positive integer, for groups that do not divide, and for an affine
        index that reaches outside its rank.
        """
        found: list[Issue] = []

        def wrong(rank: str, message: str) -> None:
            found.append(doc.issue((*loc, rank), message) if doc is not None else Issue(message, path=".".join(map(str, (*loc, rank)))))

        wanted, parts = self._sized
        resolved: dict[str, Number] = {}
        for rank, given in {**sizes, **{rank: tile for rank, tile in tiles.items() if rank in parts}}.items():
            if type(given) is int and given > 0 and (rank in wanted or rank in parts):
                resolved[rank] = given
            elif rank not in wanted and rank not in parts:
                wrong(rank, f"cascade {self.name} has no rank '{rank}'{suggest(rank, wanted)}; its ranks are {', '.join(wanted)}")
            elif not positive(value := plain(given)):
                wrong(rank, f"the size of rank {rank} must be a whole number of at least 1, not {given!r}")
            else:
                resolved[rank] = value
        for group, heads in self.groups.items():
            if group not in sizes and heads in resolved:
                resolved[group] = resolved[heads]
        for rank in wanted:
            if rank not in sizes and rank not in self.groups:
                wrong(rank, f"the size of rank {rank} ({self.ranks[rank]}) is missing")
        if found:
            raise SpecError(found)
        for group, heads in self.groups.items():
            if not divides(resolved[group], resolved[heads]):
                wrong(group, f"{group} = {resolved[group]} must divide {heads} = {resolved[heads]}: a group holds {heads}/{group} heads")
        for rank, (outer, *inner) in self.partition.items():
            tile = tiles.get(rank)
            if tile is not None and not positive(tile):
                wrong(rank, f"the tile of rank {rank} must be a whole number of at least 1, not {tile!r}")
                continue
            resolved.setdefault(inner[-1], resolved[rank] if tile is None else plain(tile))
            for part in inner[:-1]:
                resolved.setdefault(part, 1)
            resolved[outer] = ceil_div(resolved[rank], product(resolved[part] for part in inner))
        for rank, terms, offset in self._built.affine:
            reach = sum(factor * (resolved[walked] - 1) for factor, walked in terms) + offset + 1
            if not is_symbolic(reach) and not is_symbolic(resolved[rank]) and not positive(resolved[rank] - reach + 1):
                wrong(rank, f"an index reaches coordinate {reach - 1} of rank {rank}, whose size is {resolved[rank]}")
        if found:
            raise SpecError(found)
        return resolved

    @cached_property
    def _counts(self) -> tuple[tuple[str, tuple[_Count, ...]], ...]:
        return tuple(
            (einsum.label, tuple(self._compiled(term.kind, term.per_element, term.ranks) for term in einsum.terms))
            for einsum in self.einsums
        )

    def _compiled(self, kind: str, per_element: int, ranks: Sequence[str]) -> _Count:
        merged = self.merged(ranks)
        if len(self.positions) == 2:
            query, key = self.positions
            blocks = self.partition.get(key, ())[:-1]
            for points, held in (("pairs", (query, key)), ("row_blocks", (query, *blocks))):
                if set(held) <= set(merged) and len(held) > 1:
                    return _Count(kind, per_element, tuple(rank for rank in merged if rank not in held), points, held)
        return _Count(kind, per_element, merged, "", ())

    def merged(self, ranks: Sequence[str]) -> tuple[str, ...]:
        """The ranks with complete partitions put together: (P, M1, M0, E) -> (P, M, E)."""
        kept = list(ranks)
        for whole, parts in self.partition.items():
            if set(parts) <= set(kept):
                kept[kept.index(parts[0])] = whole
                kept = [rank for rank in kept if rank not in parts]
        return tuple(kept)

    def counts(self, sizes: Mapping[str, Number], pairs: Number | None = None, row_blocks: Number | None = None) -> Counts:
        """Operations of every Einsum by kind; a mac is one operation.

        `sizes` come from resolve_sizes. A partitioned rank counts its true size, so a ragged last chunk is not padded. `pairs` replaces
        P*M, and `row_blocks` P*M1, each per batch element and head: the points that a mask leaves. Ints are exact, arrays float64.
        The accounting is that of arXiv 2406.10491 and its artifact, tables of computed actions.
        """
        given = {
            "pairs": None if pairs is None else plain(pairs),
            "row_blocks": None if row_blocks is None else plain(row_blocks),
            "": None,
        }
        result: Counts = {}
        for label, terms in self._counts:
            kinds: dict[str, Number] = {}
            for term in terms:
                number: Number = term.per_element
                for rank in term.scale:
                    number = number * sizes[rank]
                points = given[term.points]
                if points is not None:
                    number = number * points
                else:
                    for rank in term.point_ranks:
                        number = number * sizes[rank]
                kinds[term.kind] = kinds[term.kind] + number if term.kind in kinds else number
            result[label] = kinds
        return result

    def elements(self, name: str, sizes: Mapping[str, Number]) -> Number:
        """Number of elements of a tensor: B*G*M*E for a K that the heads of a group share."""
        return product(sizes[rank] for rank in self.tensor_ranks(name))

    def compulsory(self, sizes: Mapping[str, Number]) -> dict[str, dict[str, Number]]:
        """{"read": {input: elements}, "write": {output: elements}}: every input once and every output once, which no schedule avoids."""
        return {
            "read": {name: self.elements(name, sizes) for name in self.inputs},
            "write": {name: self.elements(name, sizes) for name in self.outputs},
        }

    def compulsory_bytes(self, sizes: Mapping[str, Number], element_bytes: Number | Mapping[str, Number]) -> dict[str, Number]:
        """Bytes of every input read once and every output written once, by tensor; the width is one for all or one for each tensor."""
        widths = element_bytes if isinstance(element_bytes, Mapping) else dict.fromkeys((*self.inputs, *self.outputs), element_bytes)
        return {name: number * widths[name] for part in self.compulsory(sizes).values() for name, number in part.items()}

    def matmul_flops(self, counts: Mapping[str, Mapping[str, Number]]) -> Number:
        """FLOPs as papers count them: two for every multiply-accumulate of the matmuls, nothing for the softmax."""
        return sum(2 * counts[label]["mac"] for label in self.matmuls)

    def graph(self) -> nx.DiGraph[str]:
        """The DAG of tensors: an edge from operand to result, labelled with the Einsum.

        Reads of a previous iteration (RM[m1] by RM[m1+1]) are not edges of a DAG; graph.graph["carried"] lists them as (operand, result).
        """
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        for name in self.inputs:
            graph.add_node(name, kind="input", ranks=self.tensor_ranks(name))
        carried = []
        for einsum in self.einsums:
            graph.add_node(
                einsum.label,
                kind="output" if einsum.label in self.outputs else "intermediate",
                ranks=self.tensor_ranks(einsum.label),
                text=einsum.text,
            )
        for einsum in self.einsums:
            for operand in einsum.operands:
                if operand.mode == "previous":
                    carried.append((operand.name, einsum.label))
                else:
                    graph.add_edge(operand.name, einsum.label, access=operand.text)
        graph.graph["carried"] = tuple(carried)
        return graph

    def passes(self, rank: str) -> PassPlan:
        """How often the fibers of a rank must be traversed, computed from the equations. Raises SpecError for an unknown rank."""
        from attnsim.cascade.passes import pass_plan

        return pass_plan(self, rank)

    def pass_counts(self) -> dict[str, int]:
        """Passes over every rank that is reduced or iterated."""
        reduced = {self.whole(rank) for einsum in self.einsums for rank, _ in einsum.reductions} - set(self.batch)
        reduced |= {self.whole(einsum.output.iterative) for einsum in self.einsums if einsum.output.iterative}
        return {rank: self.passes(rank).count for rank in self.ranks if rank in reduced}


def totals(counts: Mapping[str, Mapping[str, Number]]) -> dict[str, Number]:
    """Operations by kind, over all Einsums."""
    result: dict[str, Number] = {}
    for kinds in counts.values():
        for kind, number in kinds.items():
            result[kind] = result[kind] + number if kind in result else number
    return result


def load_cascade(ref: str | Path | Mapping[str, Any], doc: Document | None = None, loc: Place = ()) -> Cascade:
    """The cascade of a library name, a path or an inline mapping; cached by content.

    `doc` and `loc` say where a user's file names it, for errors to point there. Raises SpecError.
    """
    from attnsim.spec.library import load
    from attnsim.spec.yaml import validate

    document = load("cascade", ref, doc=doc, loc=loc)
    if document.sha256 not in _LOADED:
        _keep(_LOADED, document.sha256, Cascade.from_spec(validate(CascadeSpec, document), document))
    return _LOADED[document.sha256]


def _keep(store: dict[str, Cascade], key: str, cascade: Cascade) -> None:
    if len(store) >= _MOST_KEPT:
        store.clear()
    store[key] = cascade
