"""Programs written down as they run: played on other numbers they give what the program gives, type for type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnsim.lanes import added, largest, maximum, minimum, one_value, quotient, real, where, whole
from attnsim.tape import MISSING, Recorder, Tree, Untraceable, call, settled


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the engine gives them."""

    name: str
    numbers: dict[str, Any]
    rest: tuple[Any, ...]


def record(tree: Tree, program: Callable[..., Any], *inputs: Any) -> Any:
    """Keep a run of a program; its answer."""
    recorder = Recorder()
    traced = [recorder.traced(value) for value in inputs]
    answer = program(*inputs)
    tree.add(recorder, traced, program(*traced), lambda played: repr(played) == repr(answer))
    return answer


def divisors(number: int, runs: int) -> list[tuple[int, int]]:
    """A function that is noted as a whole."""
    return [(count, number % count) for count in range(1, runs + 1)]


def arithmetic(a: int, b: int, c: float) -> Answer:
    """Every operation that numbers of the engine take part in."""
    more = {"sum": a + b * 2 - 1, "quotient": a / b, "floor": a // b, "rest": 7 % b, "power": 2.0 ** (a % 5), "from": 10 - a}
    more |= {
        "ceil": ceil(a / b),
        "down": floor(c),
        "round": round(c),
        "negative": -a,
        "size": abs(b - a),
        "reverse": 100 // b,
        "half": 1 / b,
    }
    more |= {"most": maximum(a, b), "least": minimum(c, 3), "largest": largest([a, 5, c]), "real": real(a), "whole": whole(c)}
    more |= {"choice": where(a > b, a, c), "exactly": quotient(a, 3), "added": added([a, c, 0.5, b]), "both": divmod(a, b)}
    if a > b:
        more["one"] = one_value(a % 3)
    pairs = call(divisors, a, 3)
    (_, first), *_ = pairs
    return Answer("plain", more, (first, len(pairs), (1, 2) in pairs, pairs[2][1], {"nested": {"c": c}}, "text", None))


whole_numbers = st.integers(1, 10**12)


@given(st.lists(st.tuples(whole_numbers, whole_numbers, st.floats(0.25, 1e12)), min_size=1, max_size=12))
def test_what_is_played_is_what_the_program_gives(inputs: list[tuple[int, int, float]]) -> None:
    tree = Tree()
    for one in inputs:
        played = tree.play(one)
        assert repr(record(tree, arithmetic, *one) if played is MISSING else played) == repr(arithmetic(*one))
    assert tree.runs < 9  # one for each way: a > b or not, its rest by 3, the pair (1, 2) never


def collatz(number: int) -> list[int]:
    """As many ways as there are lengths."""
    steps = [number]
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps.append(number)
    return steps


def test_ways_that_nobody_recorded_are_missing() -> None:
    tree = Tree()
    assert tree.play([6]) is MISSING
    record(tree, collatz, 6)
    assert tree.play([6]) == collatz(6)
    assert tree.play([7]) is MISSING
    record(tree, collatz, 7)
    assert [tree.play([number]) for number in (6, 7)] == [collatz(6), collatz(7)]
    assert tree.runs == 2


def test_a_text_an_index_or_a_key_cannot_be_written_down() -> None:
    for program in (
        lambda a: f"{a}",
        lambda a: [1, 2, 3][a],
        int,
        lambda a: list(range(a)),
    ):
        with pytest.raises(Untraceable):
            record(Tree(), program, 2)
    with pytest.raises(TypeError, match="unhashable"):
        record(Tree(), lambda a: {a: 1}, 2)


def test_a_number_that_is_settled_may_be_looked_at() -> None:
    tree = Tree()

    def program(a: int) -> tuple[str, int]:
        return f"{settled(a)}", a + 1

    record(tree, program, 2)
    assert tree.play([2]) == ("2", 3)
    assert tree.play([3]) is MISSING


def test_a_function_noted_as_a_whole_is_called_again_and_may_refuse() -> None:
    tree, calls = Tree(), []

    def root(number: int, parts: list[Any]) -> float:
        calls.append(parts)
        if number < 0:
            raise ValueError("negative")
        return float(number**0.5)

    record(tree, lambda a, b: call(root, a, [b, {"twice": b + b}]) + call(root, a, [b, {"twice": b + b}]), 4, 1)
    calls.clear()
    assert tree.play([9, 2]) == 6
    assert calls == [[2, {"twice": 4}]]  # the same of the same is computed once
    with pytest.raises(ValueError, match="negative"):
        tree.play([-1, 2])


def test_a_program_that_does_something_else_the_second_time_is_not_kept() -> None:
    tree, factors = Tree(), iter([2, 2, 3, 3])

    def program(a: int) -> int:
        twice = a * next(factors)
        return twice if a > 5 else -twice

    record(tree, program, 6)
    with pytest.raises(Untraceable):
        record(tree, program, 4)
    assert (tree.runs, tree.play([7]), tree.play([4])) == (1, 14, MISSING)


def test_a_run_whose_answer_is_another_is_not_kept() -> None:
    tree, answers = Tree(), iter([1, 2])
    with pytest.raises(Untraceable):
        record(tree, lambda a: a * next(answers), 6)
    assert (tree.runs, tree.play([6])) == (0, MISSING)
