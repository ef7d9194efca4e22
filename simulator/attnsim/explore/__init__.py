"""Many answers at once: sweeps over any field, schedule search, Pareto fronts, two answers side by side."""
