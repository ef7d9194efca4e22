"""A whole model with sparse attention beside its dense self (arXiv 2504.16922, section 4.3 and appendix B.1)."""

from __future__ import annotations

from math import floor

from attnsim.spec.workload import EndToEnd


def model_speedup(asked: EndToEnd, op_speedup: float) -> float:
    """1 / (1 - p + p / S): p is attention's share of the time, in as many of the steps as use the mask; S the operation's speedup."""
    sparse = asked.share * (asked.steps - asked.dense_steps) / asked.steps
    return 1.0 / (1.0 - sparse + sparse / op_speedup)


def end_to_end(asked: EndToEnd, dense_s: float, sparse_s: float, permute_s: float, flop: float, worst: float | None) -> dict[str, float]:
    """The entry `end_to_end` of the JSON.

    dense_s, sparse_s: latency of the operation; permute_s: of one permutation there and back that all layers of a step share; flop:
    speedup by attended pairs; worst: by the query tile with most key tiles. `natten_sim`: as NATTENSim prints it, with the speedup of the
    operation rounded to two decimals, then to one.
    """
    spread = permute_s / asked.layers if asked.layers else 0.0
    speedup = dense_s / (sparse_s + spread)
    out = {
        "share": asked.share,
        "dense_latency_s": dense_s,
        "op_speedup": speedup,
        "speedup": model_speedup(asked, speedup),
        "speedup_flop": model_speedup(asked, flop),
    }
    if worst is not None:
        out["natten_sim"] = model_speedup(asked, floor(round(worst, 2) * 10 + 0.5) / 10)
    return out
