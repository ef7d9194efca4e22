"""From a question to what goes back to the browser: an answer to draw, a file to keep, or what is wrong with the question."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attnsim
from attnsim.errors import AttnsimError, Issue, SpecError, UsageError
from attnsim.evaluate.estimate import Asked
from attnsim.spec.closed import files_closed
from attnsim.web.limits import MOST_ISSUES, MOST_MESSAGE, check_document, check_workload
from attnsim.web.questions import Question, call_of, command, python

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report
    from attnsim.spec.yaml import Document

LOG: Final = logging.getLogger("attnsim.web")
Form = Literal["json", "csv", "text", "report", "roofline", "mask", "trace"]
FORMS: Final[tuple[str, ...]] = get_args(Form)
UNPROCESSABLE: Final = 422


@dataclass(frozen=True, slots=True)
class Reply:
    """A response: status, media type, content, and the name to keep it under where it is a file."""

    status: int
    media: str
    body: bytes
    file: str = ""


def perform(task: str, text: str) -> Reply:
    """The reply to a task about the question that `text` is as JSON. No file that the question names is opened.

    task: "answer", "curves" for an answer with curves, or the form of a file.
    """
    question = Question.model_validate_json(text)
    try:
        with files_closed():
            if task in ("answer", "curves"):
                return Reply(200, "application/json", _json(answer(question, curves=task == "curves")))
            return _FILES[task](question)
    except AttnsimError as error:
        return refused(error)
    except MemoryError:
        return refused(UsageError("needs more memory than an answer may take; ask for smaller sizes or larger tiles"))
    except ArithmeticError as error:
        LOG.warning("numbers out of range: %s in %s", error, text[:MOST_MESSAGE], exc_info=error)
        return refused(UsageError(f"its numbers are too large, too small or too far apart to compute with ({error})"))
    except RecursionError:
        return refused(UsageError("is nested too deeply to be answered"))


def refused(error: AttnsimError) -> Reply:
    """The reply to a question without an answer."""
    issues = [_problem(issue) for issue in error.issues[:MOST_ISSUES]]
    if (more := len(error.issues) - MOST_ISSUES) > 0:
        issues.append({"message": f"and {more} more", "file": "", "line": None, "column": None, "path": ""})
    return Reply(UNPROCESSABLE, "application/json", _json({"issues": issues}))


def _problem(issue: Issue) -> dict[str, Any]:
    """An issue without the folders of this machine."""
    message = issue.message if len(issue.message) <= MOST_MESSAGE else issue.message[:MOST_MESSAGE] + "..."
    file = issue.file if issue.file.startswith("--set ") else PurePath(issue.file).name
    return {
        "message": message, "file": file[:MOST_MESSAGE], "line": issue.line, "column": issue.column, "path": issue.path[:MOST_MESSAGE],
    }  # fmt: skip


def answer(question: Question, curves: bool = False) -> dict[str, Any]:
    """The body of an answer. curves: with its cost against context and batch, which takes longer.

    Raises AttnsimError as `attnsim.run`, and SpecError for a question larger than is read here.
    """
    from attnsim.report.html.views import answer_view

    call, written, asked = _checked(question)
    view = answer_view(_run(call), curves=curves) | {"command": None, "python": None}  # the page shows those below
    return {
        "view": view, "command": command(question), "python": python(call), "written": dict(written.data), "asked": dict(asked.data),
    }  # fmt: skip


def _checked(question: Question) -> tuple[Asked, Document, Document]:
    """The arguments of `attnsim.run`, and the workload before and after the changes, all of them small enough."""
    from attnsim import api
    from attnsim.spec import library

    call = call_of(question)
    written = library.load("workload", call.workload)
    in_workload = any(text.strip().startswith("schedule.") for text in call.sets)
    asked = api.workload_document(call.workload, call.sets, schedule=call.schedule if in_workload else None)
    for document in (written, asked):
        check_document(document)
    check_workload(asked)
    return call, written, asked


def _run(call: Asked) -> Report:
    return _finite(attnsim.run(call.workload, call.arch, call.schedule, sets=call.sets))


def _finite(report: Report) -> Report:
    """The report. Raises OverflowError where a number of it is infinite or none, as machines with absurd constants bring about."""
    from attnsim.report.export import to_json

    try:
        to_json(report.to_dict())
    except ValueError as error:
        raise OverflowError(str(error)) from None
    return report


def _report(question: Question) -> Report:
    return _run(_checked(question)[0])


def _json(data: Any) -> bytes:
    return json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain).encode("utf-8")


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


# --- files ----------------------------------------------------------------------------


def _as_json(question: Question) -> Reply:
    from attnsim.report.export import to_json

    report = _report(question)
    return _file(report, "application/json", to_json(report.to_dict()), "json")


def _as_csv(question: Question) -> Reply:
    from attnsim.report.export import report_csv

    report = _report(question)
    return _file(report, "text/csv", report_csv(report.to_dict()), "csv")


def _as_text(question: Question) -> Reply:
    from attnsim.report.text import report_text

    report = _report(question)
    return _file(report, "text/plain", report_text(report), "txt")


def _as_page(question: Question) -> Reply:
    from attnsim.report.html.page import report_page

    report = _report(question)
    return _file(report, "text/html", report_page(report), "html")


def _as_roofline(question: Question) -> Reply:
    from attnsim.report.roofline.charts import charts
    from attnsim.report.roofline.figure import render

    report = _report(question)
    return _file(report, "image/svg+xml", render(charts([report]), "svg", attnsim.__version__), "svg", "roofline")


def _as_mask(question: Question) -> Reply:
    from attnsim import api
    from attnsim.api.tiling import tiling
    from attnsim.machine.load import load_machine
    from attnsim.machine.spatial import SpatialMachine
    from attnsim.report.maskfigure import render
    from attnsim.report.maskmap import picture
    from attnsim.spec.workload import KernelWorkload

    call, _, asked = _checked(question)
    if asked.data.get("kind") == "model":
        raise SpecError(asked.issue(("kind",), "the kernels of a model have no mask to draw; ask for one kernel"))
    spec = api.workload_spec(asked)
    if not isinstance(spec, KernelWorkload):
        raise SpecError(asked.issue(("steps",), "a layer has several kernels; ask for one of them to draw its mask"))
    of_machine = [text.strip().removeprefix("arch.") for text in call.sets if text.strip().startswith("arch.")]
    machine = load_machine(call.arch, sets=of_machine)
    arrays = isinstance(machine, SpatialMachine)  # their schedules cut ranks, not the mask
    in_workload = any(text.strip().startswith("schedule.") for text in call.sets)
    cut = tiling(spec, asked, None if arrays else machine, None if arrays or in_workload else call.schedule)
    shown = picture(cut, spec.name, machine.name)
    return _file(_run(call), "image/svg+xml", render(shown, "svg", attnsim.__version__), "svg", "mask")


def _as_trace(question: Question) -> Reply:
    from attnsim.report.timeline.events import to_text
    from attnsim.report.timeline.trace import trace

    report = _report(question)
    return _file(report, "application/json", "".join(to_text(trace(report, command(question)))), "json", "trace")


def _file(report: Report, media: str, content: str | bytes, ending: str, what: str = "") -> Reply:
    """A file called after the workload and the machine, in letters that every disk and header takes."""
    words = " ".join([report.workload_name, report.arch_name, what])
    name = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._") else "-" for letter in words.strip())
    return Reply(200, media, content.encode("utf-8") if isinstance(content, str) else content, f"{name[:120].strip('.-')}.{ending}")


_FILES: Final[Mapping[str, Callable[[Question], Reply]]] = {
    "json": _as_json, "csv": _as_csv, "text": _as_text, "report": _as_page, "roofline": _as_roofline, "mask": _as_mask,
    "trace": _as_trace,
}  # fmt: skip
