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
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from attnsim.lanes import Lanes

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

    def condition(self) -> Predicate:
        terms = [self.conjunction()]
        while self.peek() == "or":
            self.take()
            terms.append(self.conjunction())
        return terms[0] if len(terms) == 1 else lambda c: any(t(c) for t in terms)

    def conjunction(self) -> Predicate:
        terms = [self.term()]
        while self.peek() == "and":
            self.take()
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else lambda c: all(t(c) for t in terms)

    def term(self) -> Predicate:
        if self.peek() == "not":
            self.take()
            inner = self.term()
            return lambda c: not inner(c)
        if self.peek() == "(":
            self.take()
            inner = self.condition()
            self.take(")")
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        start = self.at
        left = self.value()
        self.names |= {word for kind, word, _ in self.tokens[start : self.at] if kind == "name"}
        kind, word, column = self.take()
        if word == "in":
            self.take("[")
            options = [self.value()]
            while self.peek() == ",":
                self.take()
                options.append(self.value())
            self.take("]")
            return lambda c: (value := left(c)) is not None and value in [o(c) for o in options]
        if kind != "op" or word not in _COMPARE:
            raise ConditionError(f"expected a comparison at column {column} of {self.text!r}, found '{word}'")
        right, compare = self.value(), _COMPARE[word]

        def holds(context: Context) -> bool:
            a, b = left(context), right(context)
            if isinstance(a, int | float | Lanes) and isinstance(b, int | float | Lanes):
                return compare(a, b)
            # a rank that this workload lacks reads as its own name: against a number nothing holds, and names have no order
            return isinstance(a, str) and isinstance(b, str) and word in ("==", "!=") and compare(a, b)

        return holds

    def value(self) -> Callable[[Context], Value]:
        first = self.atom()
        word = self.peek()
        if word not in ("*", "/", "%"):
            return first
        self.take()
        second = self.atom()

        def arithmetic(context: Context) -> Value:
            a, b = first(context), second(context)
            if not isinstance(a, int | float | Lanes) or not isinstance(b, int | float | Lanes) or (b == 0 and word != "*"):
                return None
            return a * b if word == "*" else a / b if word == "/" else a % b

        return arithmetic

    def atom(self) -> Callable[[Context], Value]:
        kind, word, column = self.take()
        if kind == "number":
            number: Value = float(word) if "." in word else int(word)
            return lambda _: number
        if kind == "name" and word not in _WORDS:
            return lambda c: c.get(word, word)
        raise ConditionError(f"expected a name or a number at column {column} of {self.text!r}, found '{word}'")


@lru_cache(maxsize=1024)
def compile_condition(text: str) -> Predicate:
    """Compile a ``when:`` text into a predicate over a context of sizes and names.

    Raises:
        ConditionError: the text does not follow the grammar; the message names the column.
    """
    parser = _Parser(text)
    if not parser.tokens:
        raise ConditionError("an empty condition; leave `when` out for 'always'")
    predicate = parser.condition()
    if parser.at != len(parser.tokens):
        token = parser.tokens[parser.at]
        raise ConditionError(f"unexpected '{token[1]}' at column {token[2]} of {text!r}")
    return predicate


def holds(when: str | None, context: Context) -> bool:
    """Whether an entry with this ``when:`` applies; an entry without one always does.

    Raises:
        ConditionError: as `compile_condition`.
    """
    return when is None or compile_condition(when)(context)


@lru_cache(maxsize=1024)
def condition_names(text: str) -> frozenset[str]:
    """The names that the left sides of a condition ask for: {"E", "isa"} for ``E <= 64 and isa == sm_90``.

    Raises:
        ConditionError: as `compile_condition`.
    """
    compile_condition(text)
    parser = _Parser(text)
    parser.condition()
    return frozenset(parser.names)
