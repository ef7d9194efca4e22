"""Search the schedule of a workload on a machine: `tune` is `attnsim.tune`."""
