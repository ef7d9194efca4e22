"""Errors: one line per issue, an exit code per class, and suggestions."""

import pickle

import pytest

from attnsim.errors import AttnsimError, InfeasibleError, Issue, MissingDataError, SpecError, UsageError, suggest


@pytest.mark.parametrize(
    ("issue", "text"),
    [
        (Issue("unknown field", "w.yaml", 14, 7, "levels.1.bandwith"), "w.yaml:14:7: levels.1.bandwith: unknown field"),
        (Issue("unknown field", "w.yaml", 14, None, "levels"), "w.yaml:14: levels: unknown field"),
        (Issue("is empty", "w.yaml"), "w.yaml: is empty"),
        (Issue("must be text", "<dict>", path="name"), "<dict>: name: must be text"),
        (Issue("must be text", path="name"), "name: must be text"),
        (Issue("no place known"), "no place known"),
        (Issue("a column alone says nothing", "w.yaml", None, 3), "w.yaml: a column alone says nothing"),
        (Issue("two\n  lines", "w.yaml"), "w.yaml: two   lines"),
    ],
)
def test_an_issue_is_one_line(issue: Issue, text: str) -> None:
    assert str(issue) == text


def test_an_error_is_one_line_per_issue() -> None:
    error = SpecError([Issue("first", "a.yaml", 1, 1), Issue("second", "a.yaml", 2, 1)])
    assert str(error) == "a.yaml:1:1: first\na.yaml:2:1: second"
    assert SpecError("only").issues == (Issue("only"),)
    assert SpecError(Issue("only", "f")).issues == (Issue("only", "f"),)


def test_issues_may_come_from_a_generator_once() -> None:
    assert len(SpecError(Issue(str(n)) for n in range(3)).issues) == 3


@pytest.mark.parametrize(
    ("kind", "code"), [(AttnsimError, 70), (UsageError, 2), (SpecError, 3), (InfeasibleError, 4), (MissingDataError, 5)]
)
def test_each_class_has_its_exit_code_and_survives_a_process_border(kind: type[AttnsimError], code: int) -> None:
    error = kind([Issue("what", "f", 1, 2, "a.b"), Issue("more")])
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.exit_code, copy.issues) == (kind, code, error.issues)
    assert isinstance(error, AttnsimError)


@pytest.mark.parametrize(
    ("word", "candidates", "hint"),
    [
        ("bandwith", ["bandwidth", "capacity"], "; did you mean 'bandwidth'?"),
        ("Flash_Attention_2", ["flash-attention-2", "flash-attention-3"], "; did you mean 'flash-attention-2'?"),
        ("rtx", ["rtx_4090", "b200"], "; did you mean 'rtx_4090'?"),
        ("zzz", ["bandwidth", "capacity"], ""),
        ("x", [], ""),
        ("", ["bandwidth"], ""),
    ],
)
def test_suggest(word: str, candidates: list[str], hint: str) -> None:
    assert suggest(word, candidates) == hint
