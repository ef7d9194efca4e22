"""Rewrite validation/summary.json: how far predictions are off, by kernel schedule and machine, from all shipped cases.

python tools/accuracy_summary.py            # with the Python that has attnsim installed
"""

from pathlib import Path

from attnsim.validate import run_cases
from attnsim.validate.summary import accuracy_summary, summary_text

FILE = Path(__file__).resolve().parents[1] / "validation" / "summary.json"


def main() -> None:
    """Predict every row, write the file."""
    FILE.write_text(summary_text(accuracy_summary(run_cases())), encoding="utf-8")


if __name__ == "__main__":
    main()
