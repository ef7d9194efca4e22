"""Workloads of other projects as attnsim documents: TeAAL (MICRO 2023) and accelforge, as far as both sides can say the same."""
