"""Search the schedule of a workload on a machine under what the machine can hold; `tune` is `attnsim.tune`."""

from __future__ import annotations

from attnsim.explore.tune.tune import tune

__all__ = ["tune"]
