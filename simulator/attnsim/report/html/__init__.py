"""Answers as pages: views (plain data), the script and style that draw them, and the self-contained report."""

from attnsim.report.html.page import report_page

__all__ = ["report_page"]
