"""Filters of a sweep: which of its points to keep, as conditions over fields, parsed (never eval'ed) and answered for whole arrays.

Grammar, that of ``when:`` in schedule files with full arithmetic::

    condition  := conjunction ("or" conjunction)*
    conjunction:= term ("and" term)*
    term       := "not" term | comparison
    comparison := sum (("==" | "!=" | "<=" | "<" | ">=" | ">") sum)*  |  sum ["not"] "in" "[" sum ("," sum)* "]"
    sum        := product (("+" | "-") product)*
    product    := factor (("*" | "/" | "%") factor)*
    factor     := "-" factor | number | text | FIELD | "(" condition ")"

Numbers may end in k (1024) or M (1024 k). A name that is no field is text when it is compared with a field of text (``arch == h100_sxm``);
other text is quoted. Numbers are float64; a comparison with the quotient or rest of a division by zero, or with a field that is empty, is
false, and chains hold as in mathematics (``1k <= sizes.M < 8k``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from attnsim.errors import suggest

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["number", "text", "flag", "word"]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[kKM]?(?![\w.]))|(?P<name>[A-Za-z_][\w.-]*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<op>==|!=|<=|>=|<|>|\*|/|%|\+|-|\(|\)|\[|\]|,))"
)
_COMPARISONS: Final = ("==", "!=", "<=", "<", ">=", ">")
_WORDS: Final = frozenset({"and", "or", "not", "in"})
_FLAGS: Final = {"true": True, "false": False}
_SUFFIXES: Final = {"k": 2**10, "K": 2**10, "M": 2**20}
_DEPTH: Final = 50
_EXAMPLE: Final = "'sizes.M >= sizes.P and dtype == bf16'"


class FilterError(ValueError):
    """A filter that cannot be read or asks for what is not there; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        """Keep the message and the place in the filter."""
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class FilterField:
    """What a filter may know of a field: whether it is a number, text or a flag, and, if it varies, the texts it takes."""

    kind: Literal["number", "text", "flag"]
    texts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a parsed filter. `value`: of a constant, or the name of a field."""

    op: str
    kind: Kind
    column: int
    parts: tuple[Node, ...] = ()
    value: Any = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition over fields."""

    text: str
    root: Node
    fields: frozenset[str]

    def holds(self, columns: Mapping[str, Any], count: int) -> np.ndarray:
        """Which of `count` points pass; `columns` holds an array or one value for each field of the filter."""
        import numpy as np

        with np.errstate(all="ignore"):
            return np.broadcast_to(_evaluate(self.root, columns), (count,))


def parse_filter(text: str, fields: Mapping[str, FilterField]) -> Filter:
    """Read a filter over `fields`. Raises: FilterError, a line that says where and what would be right."""
    parser = _Parser(text, fields)
    if not parser.tokens:
        raise FilterError(f"is empty; write for example {_EXAMPLE}", 1)
    root = parser.condition()
    if parser.at < len(parser.tokens):
        _, word, column = parser.tokens[parser.at]
        raise FilterError(f"unexpected '{word}' at column {column} of {text!r}; write for example {_EXAMPLE}", column)
    root = parser.flag(root)
    if not parser.used:
        raise FilterError(f"{text!r} is no condition over fields: it names none; write for example {_EXAMPLE}", 1)
    return Filter(text, root, frozenset(parser.used))


class _Parser:
    def __init__(self, text: str, fields: Mapping[str, FilterField]) -> None:
        self.text = text
        self.fields = fields
        self.tokens: list[tuple[str, str, int]] = []
        self.at = 0
        self.depth = 0
        self.used: set[str] = set()
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                column = len(text) - len(text[position:].lstrip()) + 1
                raise FilterError(f"cannot read {text!r} at column {column}; write for example {_EXAMPLE}", column)
            kind = str(match.lastgroup)
            word = match.group(kind)
            if kind == "name" and word not in fields and "-" in word:  # sizes.M-sizes.P subtracts, flash-attention-2 is a name
                shorter = [word[:cut] for cut in range(len(word)) if word[cut] == "-" and word[:cut] in fields]
                word = shorter[-1] if shorter else word
            self.tokens.append((kind, word, match.start(kind) + 1))
            position = match.start(kind) + len(word)

    def peek(self) -> str:
        kind, word, _ = self.tokens[self.at] if self.at < len(self.tokens) else ("", "", 0)
        return "" if kind == "text" else word

    def take(self, expected: str = "") -> tuple[str, str, int]:
        if self.at >= len(self.tokens):
            column = len(self.text.rstrip()) + 1
            raise FilterError(f"{self.text!r} ends too early" + (f"; expected '{expected}'" if expected else ""), column)
        token = self.tokens[self.at]
        if expected and token[1] != expected:
            raise FilterError(f"expected '{expected}' at column {token[2]} of {self.text!r}, found '{token[1]}'", token[2])
        self.at += 1
        return token

    def condition(self) -> Node:
        self.depth += 1
        if self.depth > _DEPTH:
            raise FilterError(f"is nested more than {_DEPTH} levels deep", self.take()[2])
        node = self.conjunction()
        while self.peek() == "or":
            _, _, column = self.take()
            node = Node("or", "flag", column, (self.flag(node), self.flag(self.conjunction())))
        self.depth -= 1
        return node

    def conjunction(self) -> Node:
        node = self.term()
        while self.peek() == "and":
            _, _, column = self.take()
            node = Node("and", "flag", column, (self.flag(node), self.flag(self.term())))
        return node

    def term(self) -> Node:
        negations: list[int] = []
        while self.peek() == "not":
            negations.append(self.take()[2])
        node = self.comparison()
        if negations:
            node = self.flag(node)
        return Node("not", "flag", negations[0], (node,)) if len(negations) % 2 else node

    def comparison(self) -> Node:
        left = self.sum()
        if self.peek() == "in" or (self.peek() == "not" and self.tokens[self.at + 1 : self.at + 2] and self.tokens[self.at + 1][1] == "in"):
            return self.membership(left)
        found: list[Node] = []
        while self.peek() in _COMPARISONS:
            _, word, column = self.take()
            right = self.sum()
            left, right = self.alike(left, right, word, column)
            found.append(Node(word, "flag", column, (left, right)))
            left = right
        if not found:
            return left
        node = found[0]
        for other in found[1:]:
            node = Node("and", "flag", other.column, (node, other))
        return node

    def membership(self, left: Node) -> Node:
        negated = self.peek() == "not"
        column = self.take()[2]
        if negated:
            self.take("in")
        self.take("[")
        options = [self.sum()]
        while self.peek() == ",":
            self.take()
            options.append(self.sum())
        self.take("]")
        pairs = [self.alike(left, option, "==", option.column) for option in options]
        node = Node("==", "flag", column, pairs[0])
        for pair in pairs[1:]:
            node = Node("or", "flag", column, (node, Node("==", "flag", column, pair)))
        return Node("not", "flag", column, (node,)) if negated else node

    def sum(self) -> Node:
        node = self.product()
        while self.peek() in ("+", "-"):
            _, word, column = self.take()
            node = Node(word, "number", column, (self.number(node, word), self.number(self.product(), word)))
        return node

    def product(self) -> Node:
        node = self.factor()
        while self.peek() in ("*", "/", "%"):
            _, word, column = self.take()
            node = Node(word, "number", column, (self.number(node, word), self.number(self.factor(), word)))
        return node

    def factor(self) -> Node:
        minuses: list[int] = []
        while self.peek() == "-":
            minuses.append(self.take()[2])
        node = self.atom()
        if minuses:
            node = self.number(node, "-")
        return Node("negative", "number", minuses[0], (node,)) if len(minuses) % 2 else node

    def atom(self) -> Node:
        kind, word, column = self.take()
        if kind == "number":
            number = float(word[:-1]) * _SUFFIXES[word[-1]] if word[-1] in _SUFFIXES else float(word)
            return Node("constant", "number", column, value=number)
        if kind == "text":
            return Node("constant", "text", column, value=word[1:-1])
        if word == "(":
            inner = self.condition()
            self.take(")")
            return inner
        if kind == "name" and word not in _WORDS:
            if word in self.fields:
                self.used.add(word)
                return Node("field", self.fields[word].kind, column, value=word)
            if word in _FLAGS:
                return Node("constant", "flag", column, value=_FLAGS[word])
            return Node("constant", "word", column, value=word)
        raise FilterError(f"expected a field or a number at column {column} of {self.text!r}, found '{word}'", column)

    def alike(self, left: Node, right: Node, word: str, column: int) -> tuple[Node, Node]:
        """Both sides of a comparison, a plain word taken as text where the other side is text."""
        if left.kind == "word" and right.kind == "text":
            left = self.as_text(left, right)
        elif right.kind == "word" and left.kind == "text":
            right = self.as_text(right, left)
        for side in (left, right):
            if side.kind == "word":
                raise self.unknown(side)
        if left.kind != right.kind:
            raise FilterError(f"{self.text!r} compares a {left.kind} with a {right.kind} at column {column}", column)
        if left.kind != "number" and word not in ("==", "!="):
            raise FilterError(f"{self.text!r} asks for the order of {left.kind}s at column {column}; use == or !=", column)
        return left, right

    def as_text(self, word: Node, other: Node) -> Node:
        texts = self.fields[other.value].texts if other.op == "field" else None
        if texts is not None and word.value not in texts:
            near = suggest(word.value, texts) or f"; it is {', '.join(sorted(texts)[:8])}"
            raise FilterError(f"{other.value} is never '{word.value}' (column {word.column} of {self.text!r}){near}", word.column)
        return replace(word, kind="text")

    def number(self, node: Node, word: str) -> Node:
        if node.kind == "word":
            raise self.unknown(node)
        if node.kind != "number":
            raise FilterError(f"'{word}' takes numbers, not a {node.kind}, at column {node.column} of {self.text!r}", node.column)
        return node

    def flag(self, node: Node) -> Node:
        if node.kind == "word":
            raise self.unknown(node)
        if node.kind != "flag":
            message = f"{self.text!r} has a {node.kind} at column {node.column} where a condition is needed; compare it, as in {_EXAMPLE}"
            raise FilterError(message, node.column)
        return node

    def unknown(self, node: Node) -> FilterError:
        hint = suggest(node.value, self.fields) or f"; the fields are {', '.join(list(self.fields)[:12])}"
        return FilterError(f"unknown field '{node.value}' at column {node.column} of {self.text!r}{hint}", node.column)


def _evaluate(node: Node, columns: Mapping[str, Any]) -> Any:
    import numpy as np

    if node.op == "constant":
        return node.value
    if node.op == "field":
        value = columns[node.value]
        return np.asarray(np.nan if value is None else value, dtype=np.float64) if node.kind == "number" else value
    parts = [_evaluate(part, columns) for part in node.parts]
    if node.op == "not":
        return np.logical_not(parts[0])
    if node.op == "negative":
        return np.negative(parts[0])
    left, right = parts
    if node.op == "and":
        return np.logical_and(left, right)
    if node.op == "or":
        return np.logical_or(left, right)
    if node.op in ("/", "%"):
        return np.where(right == 0, np.nan, np.divide(left, right) if node.op == "/" else np.mod(left, right))
    if node.op in ("+", "-", "*"):
        return {"+": np.add, "-": np.subtract, "*": np.multiply}[node.op](left, right)
    if node.parts[0].kind != "number":
        return np.equal(left, right) if node.op == "==" else np.not_equal(left, right)
    compare = {"==": np.equal, "!=": np.not_equal, "<=": np.less_equal, "<": np.less, ">=": np.greater_equal, ">": np.greater}[node.op]
    return compare(left, right) & ~np.isnan(left) & ~np.isnan(right)
