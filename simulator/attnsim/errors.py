"""One error family: each class is an exit code, each issue one line that says where, what, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with what the user wrote.

    Lines and columns count from 1. `path` is the dotted place inside the file ("levels.1.bandwidth"). Parts that are not known stay empty
    and are left out of the text.
    """

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    path: str = ""

    def __str__(self) -> str:
        """`file:line:column: path: message`, on one line."""
        place = self.file
        if self.file and self.line is not None:
            place += f":{self.line}"
            if self.column is not None:
                place += f":{self.column}"
        parts = [part for part in (place, self.path, self.message) if part]
        return " ".join(": ".join(parts).splitlines())


class AttnsimError(Exception):
    """The base of every error attnsim raises on purpose; `exit_code` is what the command line returns for it."""

    exit_code: ClassVar[int] = 70

    def __init__(self, problem: str | Issue | Iterable[Issue]) -> None:
        """Take one message, one issue, or all the issues found in one run."""
        if isinstance(problem, str):
            self.issues: tuple[Issue, ...] = (Issue(problem),)
        elif isinstance(problem, Issue):
            self.issues = (problem,)
        else:
            self.issues = tuple(problem)
        super().__init__(problem if isinstance(problem, str) else self.issues)

    def __str__(self) -> str:
        """One line per issue."""
        return "\n".join(map(str, self.issues))

    def __reduce__(self) -> tuple[type[AttnsimError], tuple[tuple[Issue, ...]]]:
        """Survive the trip between the processes of a sweep."""
        return type(self), (self.issues,)


class UsageError(AttnsimError):
    """The command or call itself is wrong: an unknown option value, a malformed `--set`."""

    exit_code = 2


class SpecError(AttnsimError):
    """A file or dictionary the user wrote cannot be understood."""

    exit_code = 3


class ChecksError(SpecError):
    """A file of measurements in which no row can be checked, since columns are missing: the check failed."""

    exit_code = 1


class InfeasibleError(AttnsimError):
    """The question is well put, but the machine cannot do it: a tile that does not fit, a dtype it lacks."""

    exit_code = 4


class MissingDataError(AttnsimError):
    """Reference data or an optional package is not there."""

    exit_code = 5


def suggest(word: str, candidates: Iterable[str]) -> str:
    """The tail of a message about an unknown `word`: "; did you mean 'x'?", or "" when nothing is near.

    Upper and lower case, `-` and `_` count as the same letter, as they do in library names.
    """
    from difflib import get_close_matches  # only a failing run pays for it

    plain: dict[str, str] = {}
    for candidate in candidates:
        plain.setdefault(_fold(candidate), candidate)
    near = get_close_matches(_fold(word), plain, n=1, cutoff=0.6)
    if not near:  # "h100" is short beside "h100_sxm", yet clearly meant
        near = sorted((key for key in plain if len(word) >= 3 and key.startswith(_fold(word))), key=len)[:1]
    return f"; did you mean '{plain[near[0]]}'?" if near else ""


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")
