"""Points that no other point dominates; `front.pareto` is `attnsim.pareto`."""
