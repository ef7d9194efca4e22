"""Answers as pages: views (plain data), the script and style that draw them, and the self-contained report."""
