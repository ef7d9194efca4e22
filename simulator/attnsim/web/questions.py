"""What a browser may ask: a workload on a machine, each by its name in the library or written out as YAML, and fields to change.

The same question as a command line and as a Python call: `command` and `python` give the numbers the page shows.
"""

from __future__ import annotations

import pprint
import shlex
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from attnsim.evaluate.estimate import Asked
from attnsim.report.html.asked import arguments
from attnsim.spec.library import Ref
from attnsim.spec.yaml import Document
from attnsim.web.limits import MOST_NAME, MOST_SET, MOST_SETS, MOST_TEXT, document_of

Setting = Annotated[str, StringConstraints(min_length=3, max_length=MOST_SET, pattern=r"^[^=]*[^=\s][^=]*=")]


class Part(BaseModel):
    """A part of a question: nothing but the fields of the class, strings and not what could become one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Named(Part):
    """An entry of the library."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=MOST_NAME)] = Field(examples=["llama3-8b-prefill"])


class Written(Part):
    """A spec written out, as it would stand in a file."""

    yaml: Annotated[str, StringConstraints(min_length=1, max_length=MOST_TEXT)]


class Question(Part):
    """A workload on a machine. schedule: in place of the workload's own; sets: FIELD=VALUE texts as `attnsim run --set` takes them."""

    workload: Named | Written
    arch: Named | Written
    schedule: Named | Written | None = None
    sets: list[Setting] = Field(default=[], max_length=MOST_SETS, examples=[["sizes.M=4096"]])


class Problem(BaseModel):
    """One thing wrong with a question; line and column count from 1 in what was written out, path is the dotted field."""

    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None
    path: str = ""


class Problems(BaseModel):
    """Why there is no answer."""

    issues: list[Problem]


class Answered(BaseModel):
    """An answer: what the page draws, how to get it elsewhere, and the workload before (`written`) and after (`asked`) the changes."""

    view: dict[str, Any]
    command: str
    python: str
    written: dict[str, Any]
    asked: dict[str, Any]


def call_of(question: Question) -> Asked:
    """The arguments of `attnsim.run`: the question with its texts read. Raises SpecError for every mistake in them."""
    return Asked(
        _ref("workload", question.workload),
        _ref("arch", question.arch),
        None if question.schedule is None else _ref("schedule", question.schedule),
        tuple(question.sets),
    )


def _ref(part: str, source: Named | Written) -> Ref:
    return source.name if isinstance(source, Named) else document_of(source.yaml, f"{part}.yaml")


def command(question: Question) -> str:
    """Lines for a shell that print the answer; what was written out goes into files first."""
    lines: list[str] = []
    words = ["attnsim", "run"]
    for part, source in (("workload", question.workload), ("arch", question.arch), ("schedule", question.schedule)):
        if source is None:
            continue
        if part == "schedule":
            words.append("--schedule")
        if isinstance(source, Named):
            words.append(source.name)
        else:
            words.append(f"{part}.yaml")
            lines.append(_here(f"{part}.yaml", source.yaml))
    for text in question.sets:
        words += ["--set", text]
    return "\n".join([*lines, shlex.join(words)])


def _here(file: str, text: str) -> str:
    """A here-document that ends with a word which is no line of the text."""
    end = "END"
    while end in text.splitlines():
        end += "_"
    return f"cat > {file} <<'{end}'\n{text if text.endswith(chr(10)) else text + chr(10)}{end}"


def python(call: Asked) -> str:
    """The Python call; what was written out stands there as a dictionary."""
    parts = arguments(call, _literal)
    line = f"attnsim.run({', '.join(parts)})"
    return line if len(line) <= 100 and "\n" not in line else "attnsim.run(\n    " + ",\n    ".join(parts) + ",\n)"


def _literal(ref: Ref) -> str:
    if isinstance(ref, Document):
        return pprint.pformat(ref.data, width=100, sort_dicts=False).replace("\n", "\n    ")
    return repr(ref)
