"""Rooflines: what they show as data, and the figure."""
