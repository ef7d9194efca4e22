"""Try the candidates of a space: all of those that fit where they are few, else those that Optuna asks for, from a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from attnsim.errors import AttnsimError, InfeasibleError, MissingDataError, SpecError

C = TypeVar("C", bound=Hashable)
Place = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A candidate that cannot be built: `limit` names what it exceeds, `message` gives both numbers."""

    limit: str
    message: str


@dataclass(frozen=True)
class Problem(Generic[C]):
    """What is searched.

    axes: how many choices each has, by name, the schedule's own first; fit: the candidate at a place, why there is none, or None where it
    is another one over again; seconds: what the engine says of it, or a limit that only its answer shows; changed: in how many things it
    differs from the schedule's own.
    """

    axes: Mapping[str, int]
    fit: Callable[[Place], C | Refusal | None]
    seconds: Callable[[C], float | Refusal]
    changed: Callable[[C], int]

    def places(self) -> Iterator[Place]:
        """Every place, the own one first, the last axis varying fastest."""
        from itertools import product

        yield from product(*(range(count) for count in self.axes.values()))


@dataclass
class Found(Generic[C]):
    """results: candidates with the engine's seconds, the fastest first, of equally fast ones the one that changes least; candidates: how
    many were looked at; refused: how many by which limit, with a message of each.
    """

    method: str
    results: list[tuple[C, float]] = field(default_factory=list)
    candidates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def refuse(self, refusal: Refusal) -> None:
        """Count a refusal."""
        self.refused[refusal.limit] += 1
        self.examples.setdefault(refusal.limit, refusal.message)


def search(problem: Problem[C], limit: int, trials: int, seed: int) -> Found[C]:
    """The candidates of a space, the fastest first.

    limit: most candidates that the engine is asked about one by one; when more fit, Optuna chooses `trials` of them, from `seed`.

    Raises:
        MissingDataError: more fit than `limit`, and Optuna is not installed.
    """
    found: Found[C] = Found("exhaustive")
    fitting: dict[C, None] = {}
    for place in problem.places():
        found.candidates += 1
        candidate = problem.fit(place)
        if isinstance(candidate, Refusal):
            found.refuse(candidate)
        elif candidate is not None:
            fitting.setdefault(candidate)
            if len(fitting) > limit:
                return _sampled(problem, limit, trials, seed)
    for candidate in fitting:
        _ask(problem, found, candidate)
    return _ranked(problem, found)


def _ask(problem: Problem[C], found: Found[C], candidate: C) -> float | None:
    try:
        seconds = problem.seconds(candidate)
    except (InfeasibleError, SpecError) as error:
        seconds = Refusal(*_named(error))
    if isinstance(seconds, Refusal):
        found.refuse(seconds)
        return None
    found.results.append((candidate, seconds))
    return seconds


def _named(error: AttnsimError) -> tuple[str, str]:
    message = error.issues[0].message
    return ("order of the stages" if "breaks a dependency" in message else "the engine"), message


def _ranked(problem: Problem[C], found: Found[C]) -> Found[C]:
    found.results.sort(key=lambda result: (result[1], problem.changed(result[0])))
    return found


def _sampled(problem: Problem[C], limit: int, trials: int, seed: int) -> Found[C]:
    """As many trials as asked for, by Optuna's TPE sampler; the schedule's own comes first."""
    try:
        import optuna
    except ImportError:
        raise MissingDataError(
            f"more than {limit} candidates fit; to search among them install optuna (pip install 'attnsim[search]'), "
            "or try fewer with --vary tiles, or all with a larger --limit"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=len(problem.axes) > 1))
    study.enqueue_trial(dict.fromkeys(problem.axes, 0))
    found: Found[C] = Found("optuna")
    known: dict[Place, float | None] = {}
    asked: set[Any] = set()
    for _ in range(trials):
        trial = study.ask()
        place = tuple(trial.suggest_int(name, 0, count - 1) for name, count in problem.axes.items())
        if place not in known:
            found.candidates += 1
            candidate = problem.fit(place)
            known[place] = None
            if isinstance(candidate, Refusal):
                found.refuse(candidate)
            elif candidate is not None and candidate not in asked:
                asked.add(candidate)
                known[place] = _ask(problem, found, candidate)
        seconds = known[place]
        if seconds is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, seconds)
    return _ranked(problem, found)


def distinct(results: Sequence[tuple[C, float]], same: Callable[[C], Hashable]) -> list[tuple[C, float]]:
    """Without those that are as fast as an earlier one alike in `same`: what they change besides changes nothing."""
    seen: set[Hashable] = set()
    kept = []
    for candidate, seconds in results:
        key = (same(candidate), seconds)
        if key not in seen:
            seen.add(key)
            kept.append((candidate, seconds))
    return kept
