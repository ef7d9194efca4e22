"""Extended Einsums as text: `SN[m,p] = exp(QK[m,p] - GM[p])`, parsed by precedence climbing into a small tree.

    equation   := tensor '=' expression ['::' reduction {',' reduction}]
    reduction  := ('sum' | 'max' | 'min' | 'prod') '(' variable {',' variable} ')'
    expression := unary {('+' | '-' | '*' | '/') unary}              usual precedence, left to right
    unary      := '-' unary | number | 'inf' | '(' expression ')' | function '(' expression {',' expression} ')' | tensor
    tensor     := name ['[' index {',' index} ']']
    index      := RANK | ['-'] affine {('+' | '-') affine};  affine := integer | [integer '*'] variable

A lower-case name in an index is a variable (m1 walks rank M1); an upper-case one is the final coordinate of an iterative rank
(`RD[M1,p]`). The notation is that of FuseMax, arXiv 2406.10491, section II-C. Nothing here knows which tensors or ranks exist.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from attnsim.cascade.functions import FUNCTIONS, INFIX, REDUCTIONS
from attnsim.errors import suggest

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<mark>::|[-+*/()\[\],=]))", re.ASCII
)
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}
_MAX_DEPTH = 40  # parentheses deeper than this are a mistake, and would end in Python's recursion limit
_MAX_TOKENS = 500  # so would a chain of this many operators, which is a tree as deep as it is long
_EXCERPT = 60  # characters of a long equation that an error shows on either side of its column


class ExpressionError(ValueError):
    """What is wrong with an expression; `column` counts characters of its text from 1."""

    def __init__(self, message: str, column: int) -> None:
        """Keep the column apart from the message."""
        super().__init__(message)
        self.column = column

    def within(self, text: str) -> str:
        """The message with its column and what stands there in `text`; a long text is cut around the column."""
        first, last = max(0, self.column - 1 - _EXCERPT), self.column - 1 + _EXCERPT
        shown = f"{'...' if first else ''}{text[first:last]}{'...' if last < len(text) else ''}"
        return f"{self} (column {self.column} of '{shown}')"


@dataclass(frozen=True, slots=True)
class Index:
    """An affine index `2*p + s + 1`: terms of (coefficient, variable) and an offset; or `final`, the name of an iterative rank."""

    terms: tuple[tuple[int, str], ...]
    offset: int
    column: int
    final: str = ""

    @property
    def variable(self) -> str:
        """The variable of a plain or shifted index (`m1`, `m1+1`); "" for the other forms."""
        return self.terms[0][1] if len(self.terms) == 1 and self.terms[0][0] == 1 else ""

    def __str__(self) -> str:
        if self.final:
            return self.final
        text = "+".join(variable if factor == 1 else f"{factor}*{variable}" for factor, variable in self.terms)
        if not text:
            return str(self.offset)
        return text + (f"{self.offset:+d}" if self.offset else "")


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, -inf and inf included."""

    value: int | float
    column: int


@dataclass(frozen=True, slots=True)
class Access:
    """A tensor at some indices; a scalar tensor has none."""

    name: str
    indices: tuple[Index, ...]
    column: int

    def __str__(self) -> str:
        return f"{self.name}[{','.join(map(str, self.indices))}]" if self.indices else self.name


@dataclass(frozen=True, slots=True)
class Call:
    """A function of FUNCTIONS applied to expressions; `infix` when it was written with an operator."""

    function: str
    arguments: tuple[Node, ...]
    column: int
    infix: bool = False


Node: TypeAlias = Constant | Access | Call


@dataclass(frozen=True, slots=True)
class Reduction:
    """An explicit reduction such as `:: max(m0)`."""

    operator: str
    variables: tuple[str, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Equation:
    """One parsed line."""

    text: str
    output: Access
    expression: Node
    reductions: tuple[Reduction, ...]


def parse_equation(text: str) -> Equation:
    """Parse one equation.

    Raises ExpressionError with the column of what is wrong.
    """
    parser = _Parser(text)
    output = parser.tensor()
    parser.expect("=")
    expression = parser.expression(0)
    reductions: list[Reduction] = []
    if parser.accept("::"):
        reductions.append(parser.reduction())
        while parser.accept(","):
            reductions.append(parser.reduction())
    parser.end()
    return Equation(" ".join(text.split()), output, expression, tuple(reductions))


def accesses(node: Node) -> list[Access]:
    """The tensors an expression reads, left to right, repetitions kept."""
    if isinstance(node, Access):
        return [node]
    return [access for argument in node.arguments for access in accesses(argument)] if isinstance(node, Call) else []


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, name, mark, end
    text: str
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text}'"


def _tokens(text: str) -> list[_Token]:
    tokens, at, length = [], 0, len(text.rstrip())
    while at < length:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"unexpected character '{text[at]}'", at + 1)
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*tokens, _Token("end", "", length + 1)]


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def accept(self, mark: str) -> bool:
        if self._next.kind == "mark" and self._next.text == mark:
            self._at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise ExpressionError(f"expected '{mark}' but found {self._next}", self._next.column)

    def end(self) -> None:
        if self._at > _MAX_TOKENS:
            raise ExpressionError("the equation is too long; split it into several", self._tokens[_MAX_TOKENS].column)
        if self._next.kind != "end":
            raise ExpressionError(f"expected an operator, '::' or the end but found {self._next}", self._next.column)

    def expression(self, lowest: int) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpressionError("the expression is nested too deeply; split it into several equations", self._next.column)
        left = self._unary()
        while self._next.kind == "mark" and _PRECEDENCE.get(self._next.text, -1) > lowest:
            operator = self._take()
            right = self.expression(_PRECEDENCE[operator.text])
            left = Call(INFIX[operator.text], (left, right), operator.column, infix=True)
        self._depth -= 1
        return left

    def _unary(self) -> Node:
        sign = self._next.column
        negative = False
        while self.accept("-"):
            negative = not negative
        node = self._primary()
        if not negative:
            return node
        return Constant(-node.value, sign) if isinstance(node, Constant) else Call("neg", (node,), sign)

    def _primary(self) -> Node:
        token = self._next
        if token.kind == "number":
            self._take()
            return Constant(int(token.text) if token.text.isdigit() else float(token.text), token.column)
        if self.accept("("):
            node = self.expression(0)
            self.expect(")")
            return node
        if token.kind == "name" and token.text == "inf":
            self._take()
            return Constant(float("inf"), token.column)
        if token.kind == "name" and self._tokens[self._at + 1].text == "(":
            return self._call()
        if token.kind == "name":
            return self.tensor()
        raise ExpressionError(f"expected a tensor, a number or a function but found {token}", token.column)

    def _call(self) -> Call:
        name = self._take()
        function = FUNCTIONS.get(name.text)
        if function is None:
            hint = suggest(name.text, FUNCTIONS) or f"; known: {', '.join(sorted(FUNCTIONS))}"
            if name.text in REDUCTIONS:
                hint = f"; a reduction stands at the end of the line, as ':: {name.text}(m)'"
            raise ExpressionError(f"unknown function '{name.text}'{hint}", name.column)
        self.expect("(")
        arguments = [self.expression(0)]
        while self.accept(","):
            arguments.append(self.expression(0))
        self.expect(")")
        if not function.accepts(len(arguments)):
            raise ExpressionError(f"{name.text}() takes {function.wants()}, not {len(arguments)}", name.column)
        return Call(name.text, tuple(arguments), name.column)

    def tensor(self) -> Access:
        name = self._take()
        if name.kind != "name":
            raise ExpressionError(f"expected a tensor but found {name}", name.column)
        if not self.accept("["):
            return Access(name.text, (), name.column)
        indices = [self._index()]
        while self.accept(","):
            indices.append(self._index())
        self.expect("]")
        return Access(name.text, tuple(indices), name.column)

    def _index(self) -> Index:
        start = self._next
        if start.kind == "name" and start.text[0].isupper():
            return Index((), 0, start.column, final=self._take().text)
        factors: dict[str, int] = {}
        offset = 0
        sign = -1 if self.accept("-") else 1
        while True:
            factor, variable = self._affine_term()
            if variable:
                factors[variable] = factors.get(variable, 0) + sign * factor
            else:
                offset += sign * factor
            if not (self._next.kind == "mark" and self._next.text in "+-"):
                break
            sign = -1 if self._take().text == "-" else 1
        if any(factor < 1 for factor in factors.values()):
            raise ExpressionError("an index grows with its variables: write positive factors", start.column)
        return Index(tuple((factor, variable) for variable, factor in factors.items()), offset, start.column)

    def _affine_term(self) -> tuple[int, str]:
        token = self._take()
        factor = 1
        if token.kind == "number" and token.text.isdigit():
            factor = int(token.text)
            if not self.accept("*"):
                return factor, ""
            token = self._take()
        if token.kind != "name" or token.text[0].isupper():
            raise ExpressionError(f"expected an index such as m, m1+1 or 2*p+s but found {token}", token.column)
        return factor, token.text

    def reduction(self) -> Reduction:
        name = self._take()
        if name.kind != "name" or name.text not in REDUCTIONS:
            hint = suggest(name.text, REDUCTIONS) if name.kind == "name" else ""
            raise ExpressionError(
                f"expected a reduction such as max(m0) but found {name}{hint}; known: {', '.join(sorted(REDUCTIONS))}", name.column
            )
        self.expect("(")
        variables = [self._variable()]
        while self.accept(","):
            variables.append(self._variable())
        self.expect(")")
        return Reduction(name.text, tuple(variables), name.column)

    def _variable(self) -> str:
        token = self._take()
        if token.kind != "name" or token.text[0].isupper():
            raise ExpressionError(f"expected a variable such as m0 but found {token}", token.column)
        return token.text
