"""The mathematics of an attention algorithm: Einsums, their DAG, passes, operation counts, live footprints. No hardware."""
