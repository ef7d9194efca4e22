"""The report: answers as one HTML file that holds everything it needs and asks nobody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from attnsim import __version__
from attnsim.errors import UsageError
from attnsim.evaluate.estimate import Report
from attnsim.report.html.assets import digest, script, style
from attnsim.report.html.parts import Part
from attnsim.report.html.rooflineview import roofline_views
from attnsim.report.html.views import answer_view

START = 'attnsim.renderReport(document.getElementById("report"), JSON.parse(document.getElementById("data").textContent));'
MANY = 10
"""Answers above which curves have fewer points, so that a long report is made in seconds too."""


def report_page(reports: Report | Sequence[Report], notes: Sequence[str] = ()) -> str:
    """Reports of `attnsim.run` as a self-contained HTML page; the same reports give the same text.

    notes: lines below the table of results, such as what could not be answered. Raises UsageError for no report.
    """
    several = [reports] if isinstance(reports, Report) else list(reports)
    if not several:
        raise UsageError("a report shows at least one answer of attnsim.run")
    coarse = len(several) > MANY
    answers = _told_apart([answer_view(report, roofline=False, coarse=coarse) for report in several])
    charts, refused = roofline_views(several)
    titles = list(dict.fromkeys(view["workload"]["name"] for view in answers))
    title = f"attnsim: {', '.join(titles[:3])}{' and more' if len(titles) > 3 else ''}"
    data = {"title": title, "attnsim": __version__, "answers": answers, "rooflines": charts, "refused": refused, "notes": list(notes)}
    code = f"{script()}\n{START}\n"
    policy = (
        f"default-src 'none'; script-src {digest(code)}; style-src {digest(style())}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    results = sum(len(view["results"]) for view in answers)
    machines = len({view["arch"]["name"] for view in answers})
    lead = (
        f"{_counted(results, 'result')} of {_counted(len(titles), 'workload')} on {_counted(machines, 'machine')}, predicted by attnsim "
        f"{__version__}. This file holds everything it shows; it opens without a network."
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{style()}</style>\n</head>\n<body>\n'
        '<a class="skip" href="#results">Skip to the results</a>\n'
        f'<header class="page-head"><h1>{escape(", ".join(titles[:3]))}{" and more" if len(titles) > 3 else ""}</h1>\n<p>{escape(lead)}</p>'
        '</header>\n<noscript><p class="page-head">The report is drawn by a script inside this file; please allow it.</p></noscript>\n'
        f'<main id="report" class="report"></main>\n<footer class="page-foot">attnsim {escape(__version__)}; digests are SHA-256 of the '
        "resolved files, first 12 digits. d3 (ISC licence, Mike Bostock) draws the charts.</footer>\n"
        f'<script type="application/json" id="data">{embedded(data)}</script>\n<script>{code}</script>\n</body>\n</html>\n'
    )


def _told_apart(answers: list[Part]) -> list[Part]:
    """Answers of one title get more of what they differ in: the schedule, what was changed, at last a number."""
    for more in ("schedule", "changes", "number"):
        alike: dict[str, list[Part]] = {}
        for view in answers:
            alike.setdefault(view["title"], []).append(view)
        for title, views in alike.items():
            extras = [str(number) if more == "number" else view[more] for number, view in enumerate(views, 1)]
            if len(set(extras)) > 1:
                for view, extra in zip(views, extras, strict=True):
                    view["title"] = f"{title}, {extra}" if extra else title
    return answers


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def embedded(data: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element or a line of JavaScript."""
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
