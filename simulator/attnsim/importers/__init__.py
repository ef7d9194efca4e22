"""Workloads and models of other projects as attnsim documents, as far as both sides can say the same.

TeAAL (MICRO 2023) and accelforge specs, and the config.json of Hugging Face models.
"""
