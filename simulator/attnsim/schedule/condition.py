"""``when:`` conditions of schedule files: comparisons over sizes and names, parsed and never eval'ed.

Grammar::

    condition  := conjunction ("or" conjunction)*
    conjunction:= term ("and" term)*
    term       := "not" term | "(" condition ")" | comparison
    comparison := value (("==" | "!=" | "<=" | "<" | ">=" | ">") value | "in" "[" value ("," value)* "]")
    value      := number | NAME | NAME "*" NAME | NAME "/" NAME | NAME "%" NAME

A NAME that the context knows stands for its value; any other NAME stands for itself (``isa == sm_90``). A comparison over a rank that the
workload does not have is false.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

Value = int | float | str | bool | None | Any  # or Lanes of numbers
Context = Mapping[str, Value]
Predicate = Callable[[Context], bool]

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.-]*)|(?P<op>==|!=|<=|>=|<|>|\*|/|%|\(|\)|\[|\]|,))")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_WORDS = frozenset({"and", "or", "not", "in"})


class ConditionError(ValueError):
    """A condition that cannot be read; the message names the column."""


@dataclass(frozen=True, slots=True)
class _Atom:
    """A number, or a name: the context gives its value, or it stands for itself."""

    name: str
    number: int | float = 0

    def names(self) -> Iterator[str]:
        if self.name:
            yield self.name


@dataclass(frozen=True, slots=True)
class _Arithmetic:
    word: str
    left: _Atom
    right: _Atom

    def names(self) -> Iterator[str]:
        yield from self.left.names()
        yield from self.right.names()


_Operand: TypeAlias = _Atom | _Arithmetic


@dataclass(frozen=True, slots=True)
class _Comparison:
    """`left word right`; of the word `in`, `right` are the options."""

    word: str
    left: _Operand
    right: tuple[_Operand, ...]

    def names(self) -> Iterator[str]:
        for operand in (self.left, *self.right):
            yield from operand.names()


@dataclass(frozen=True, slots=True)
class _Group:
    """Terms that `and` or `or` joins; of the word `not`, one."""

    word: str
    terms: tuple[_Node, ...]

    def names(self) -> Iterator[str]:
        for term in self.terms:
            yield from term.names()


_Node: TypeAlias = _Group | _Comparison


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                column = len(stripped) - len(stripped[position:].lstrip()) + 1
                raise ConditionError(f"cannot read {text!r} at column {column}; write for example 'E <= 64 and isa == sm_90'")
            kind = str(match.lastgroup)
            self.tokens.append((kind, match.group(kind), match.start(kind) + 1))
            position = match.end()
        self.at = 0
        self.names: set[str] = set()

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> tuple[str, str, int]:
        if self.at >= len(self.tokens):
            raise ConditionError(f"{self.text!r} ends too early" + (f"; expected '{expected}'" if expected else ""))
        token = self.tokens[self.at]
        if expected and token[1] != expected:
            raise ConditionError(f"expected '{expected}' at column {token[2]} of {self.text!r}, found '{token[1]}'")
        self.at += 1
        return token

    def condition(self) -> _Node:
        terms = [self.conjunction()]
        while self.peek() == "or":
            self.take()
            terms.append(self.conjunction())
        return terms[0] if len(terms) == 1 else _Group("or", tuple(terms))

    def conjunction(self) -> _Node:
        terms = [self.term()]
        while self.peek() == "and":
            self.take()
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else _Group("and", tuple(terms))

    def term(self) -> _Node:
        if self.peek() == "not":
            self.take()
            return _Group("not", (self.term(),))
        if self.peek() == "(":
            self.take()
            inner = self.condition()
            self.take(")")
            return inner
        return self.comparison()

    def comparison(self) -> _Node:
        left = self.value()
        self.names.update(left.names())
        kind, word, column = self.take()
        if word == "in":
            self.take("[")
            options = [self.value()]
            while self.peek() == ",":
                self.take()
                options.append(self.value())
            self.take("]")
            return _Comparison(word, left, tuple(options))
        if kind != "op" or word not in _COMPARE:
            raise ConditionError(f"expected a comparison at column {column} of {self.text!r}, found '{word}'")
        return _Comparison(word, left, (self.value(),))

    def value(self) -> _Operand:
        first = self.atom()
        word = self.peek()
        if word not in ("*", "/", "%"):
            return first
        self.take()
        return _Arithmetic(word, first, self.atom())

    def atom(self) -> _Atom:
        kind, word, column = self.take()
        if kind == "number":
            return _Atom("", float(word) if "." in word else int(word))
        if kind == "name" and word not in _WORDS:
            return _Atom(word)
        raise ConditionError(f"expected a name or a number at column {column} of {self.text!r}, found '{word}'")


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[_Node, frozenset[str]]:
    """A condition, and the names on the left sides of its comparisons. Raises ConditionError."""
    parser = _Parser(text)
    if not parser.tokens:
        raise ConditionError("an empty condition; leave `when` out for 'always'")
    node = parser.condition()
    if parser.at != len(parser.tokens):
        token = parser.tokens[parser.at]
        raise ConditionError(f"unexpected '{token[1]}' at column {token[2]} of {text!r}")
    return node, frozenset(parser.names)


# --- compiled: every node one closure, what is known beforehand already decided ------------------


def _compiled(node: _Node, known: Context) -> bool | Predicate:
    if isinstance(node, _Comparison):
        return _comparison(node, known)
    terms = [_compiled(term, known) for term in node.terms]
    if node.word == "not":
        return _not(terms[0])
    decisive = node.word == "or"  # one true term decides an `or`, a false one an `and`
    if decisive in terms:
        return decisive
    return _joined([term for term in terms if not isinstance(term, bool)], decisive)


def _not(inner: bool | Predicate) -> bool | Predicate:
    return not inner if isinstance(inner, bool) else lambda c: not inner(c)


def _joined(terms: list[Predicate], decisive: bool) -> bool | Predicate:
    if not terms:
        return not decisive
    last = terms[-1]
    for term in reversed(terms[:-1]):
        last = _either(term, last) if decisive else _both(term, last)
    return last


def _either(first: Predicate, second: Predicate) -> Predicate:
    return lambda c: first(c) or second(c)


def _both(first: Predicate, second: Predicate) -> Predicate:
    return lambda c: first(c) and second(c)


def _comparison(node: _Comparison, known: Context) -> bool | Predicate:
    decided = all(isinstance(operand, _Atom) and not operand.name for operand in node.right) or all(
        name in known for operand in node.right for name in operand.names()
    )
    left, rights = _getter(node.left, known), [_getter(operand, known) for operand in node.right]
    options = [right(known) for right in rights] if decided else []
    compare = _compared(node.word)
    if decided and all(name in known for name in node.left.names()):
        return bool(compare(left(known), options if node.word == "in" else options[0]))
    if node.word == "in":
        return (lambda c: compare(left(c), options)) if decided else lambda c: compare(left(c), [right(c) for right in rights])
    right = rights[0]
    if not decided:
        return lambda c: compare(left(c), right(c))
    against = options[0]
    return lambda c: compare(left(c), against)


def _compared(word: str) -> Callable[[Any, Any], bool]:
    if word == "in":
        return lambda a, options: a is not None and a in options
    compare, equality = _COMPARE[word], word in ("==", "!=")

    def holds(a: Any, b: Any) -> bool:
        if isinstance(a, str) or isinstance(b, str):
            # a rank that this workload lacks reads as its own name: against a number nothing holds, and names have no order
            return equality and isinstance(a, str) and isinstance(b, str) and compare(a, b)
        return a is not None and b is not None and compare(a, b)

    return holds


def _getter(operand: _Operand, known: Context) -> Callable[[Context], Any]:
    if isinstance(operand, _Atom):
        name, value = operand.name, known.get(operand.name, operand.name) if operand.name else operand.number
        return (lambda c: c.get(name, name)) if name and name not in known else lambda _: value
    left, right, word = _getter(operand.left, known), _getter(operand.right, known), operand.word

    def arithmetic(context: Context) -> Any:
        a, b = left(context), right(context)
        if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
            return None
        if word == "*":
            return a * b
        if b == 0:
            return None
        return a / b if word == "/" else a % b

    return arithmetic


@lru_cache(maxsize=1024)
def compile_condition(text: str) -> Predicate:
    """Compile a ``when:`` text into a predicate over a context of sizes and names.

    Numbers of a context may be objects that compare as numbers do, such as arrays: what a comparison gives is then asked for its truth.

    Raises:
        ConditionError: the text does not follow the grammar; the message names the column.
    """
    found = _compiled(_parsed(text)[0], {})
    return (lambda _: found) if isinstance(found, bool) else found


def holds(when: str | None, context: Context) -> bool:
    """Whether an entry with this ``when:`` applies; an entry without one always does.

    Raises:
        ConditionError: as `compile_condition`.
    """
    return when is None or compile_condition(when)(context)


def left_open(when: str, known: Context) -> bool | Predicate:
    """What a condition says once the values of some of its names are known: true, false, or a predicate over the others.

    known: by name; a name that the context lacks is its own value.

    Raises:
        ConditionError: as `compile_condition`.
    """
    return _compiled(_parsed(when)[0], known)


def condition_names(text: str) -> frozenset[str]:
    """The names that the left sides of a condition ask for: {"E", "isa"} for ``E <= 64 and isa == sm_90``.

    Raises:
        ConditionError: as `compile_condition`.
    """
    return _parsed(text)[1]


def condition_words(text: str) -> tuple[str, ...]:
    """Every name of a condition, those that stand for themselves too, each once.

    Raises:
        ConditionError: as `compile_condition`.
    """
    return tuple(dict.fromkeys(_parsed(text)[0].names()))
