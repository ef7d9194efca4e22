"""Search the schedule of a workload on a machine under what the machine can hold; `tuning.tune` is `attnsim.tune`."""
