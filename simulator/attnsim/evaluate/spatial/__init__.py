"""Spatial accelerators: a cascade on PE arrays behind one global buffer. Cycles, traffic and energy follow from counts and the mapping."""
