"""Predictions beside what was measured: published tables (`validation/`) and a user's own CSV.

An error is predicted time / measured time - 1, as a fraction. Rows the constants were fitted on are scored apart from the held-out ones.
"""

from attnsim.validate.measurements import MeasurementReport, score_measurements
from attnsim.validate.scoring import ValidationReport, run_cases

__all__ = ["MeasurementReport", "ValidationReport", "run_cases", "score_measurements"]
