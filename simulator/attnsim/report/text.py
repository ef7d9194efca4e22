"""Plain text for people: the result table and aligned tables. Three significant digits, no colour, safe on a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnsim.evaluate.render import digits3, percent, render_report, table

if TYPE_CHECKING:
    from attnsim.evaluate.estimate import Report

__all__ = ["digits3", "percent", "report_text", "table"]


def report_text(report: Report) -> str:
    """The result table of `attnsim run`, ending in a newline; the same text as `repr(report)`."""
    return render_report(report) + "\n"
