"""Renderers of results: plain text, JSON, CSV and the roofline figure. Nothing here computes a new number about a kernel."""
