"""Whole models: what a token costs, in prefill and decode, on the deployments that people run."""
