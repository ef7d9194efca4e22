"""Cascade x mask x schedule x machine -> Estimate: bounds, time, traffic, energy."""
