"""One sentence that says how two answers compare and what explains it."""

from __future__ import annotations

from attnsim.evaluate.render import digits3, percent
from attnsim.explore.compare.compare import Busy, Comparison, Pair
from attnsim.units import format_quantity

SAME = 5e-4
"""Relative difference up to which two times count as the same."""
TELLING = 0.05
"""Relative difference of a busy time from which it explains something."""


def summary(found: Comparison) -> str:
    """As "B is 1.86 x faster: bound moves from tensor to sfu; tensor time 2.4 x lower (same work, rate 2.4 x higher)"."""
    latency = found.figure("latency_s")
    assert latency is not None and latency.ratio is not None
    if found.kind == "model":
        head = _model(found, latency)
    elif abs(latency.ratio - 1) <= SAME:
        head = "B takes as long as A"
    else:
        head = f"B is {_times(latency.ratio, 'slower', 'faster')}"
    causes = [_bounds(found), _part(found)] if abs(latency.ratio - 1) > SAME or found.a.bound != found.b.bound else []
    told = "; ".join(text for text in causes if text)
    return f"{head}: {told}" if told else head


def _times(ratio: float, more: str, less: str) -> str:
    return f"{digits3(ratio)} x {more}" if ratio >= 1 else f"{digits3(1 / ratio)} x {less}"


def _model(found: Comparison, latency: Pair) -> str:
    told = []
    for name, verb, what, less in (
        ("cost.usd_per_mtok", "costs", "a token", "less"),
        ("tokens_per_s_per_gpu", "gives", "tokens/s a device", "fewer"),
    ):
        pair = found.figure(name)
        if pair is not None and pair.ratio is not None:
            much = "the same" if abs(pair.ratio - 1) <= SAME else _times(pair.ratio, "more", less)
            told.append(f"{verb} {much} {what}")
    assert latency.ratio is not None
    step = "a step takes as long" if abs(latency.ratio - 1) <= SAME else f"a step is {_times(latency.ratio, 'slower', 'faster')}"
    return f"B {' and '.join(told)}; {step}" if told else f"in B {step}"


def _bounds(found: Comparison) -> str:
    """Where the bound goes, what becomes of the time of what A is bound by, and what else explains it where that does not."""
    before, after = found.a.bound, found.b.bound
    told = [f"bound moves from {before} to {after}" if before != after else f"both are bound by {before}"]
    latency = found.figure("latency_s")
    assert latency is not None and latency.ratio is not None
    pair = {one.name: one for one in (*found.parts, *found.resources)}.get(before)
    if pair is not None and pair.ratio is not None:
        told.append(_time(pair))
        if abs(pair.ratio - 1) > TELLING and (pair.ratio > 1) == (latency.ratio > 1):
            return "; ".join(told)
    others = [one for one in found.resources if one.name != before and one.ratio is not None and (one.share or 0.0) > 0.0]
    largest = max(others, key=lambda one: one.share or 0.0, default=None)
    if largest is not None and largest.ratio is not None and abs(largest.ratio - 1) > SAME:
        told.append(_time(largest))
    return "; ".join(told)


def _time(pair: Pair) -> str:
    assert pair.ratio is not None
    same = abs(pair.ratio - 1) <= SAME
    return f"{pair.name} time {'the same' if same else _times(pair.ratio, 'higher', 'lower') + _why(pair)}"


def _why(pair: Pair) -> str:
    if not isinstance(pair, Busy) or pair.work is None or pair.rate is None:
        return ""
    work = "same work" if abs(pair.work - 1) <= SAME else f"work {_times(pair.work, 'more', 'less')}"
    rate = "same rate" if abs(pair.rate - 1) <= SAME else f"rate {_times(pair.rate, 'higher', 'lower')}"
    return f" ({work}, {rate})"


def _part(found: Comparison) -> str:
    """The part that makes most of the difference, and what the others do where it is more than all."""
    latency = found.figure("latency_s")
    largest = max(found.parts, key=lambda pair: pair.share or 0.0, default=None)
    if latency is None or largest is None or largest.share is None or largest.share <= 0:
        return ""
    if largest.share <= 1 + SAME:
        return f"{largest.name} makes {percent(largest.share)} of the difference"
    own = (largest.b or 0.0) - (largest.a or 0.0)
    rest = (latency.b or 0.0) - (latency.a or 0.0) - own
    verbs = ("adds", "the rest saves") if own > 0 else ("saves", "the rest adds")
    return f"{largest.name} {verbs[0]} {format_quantity(abs(own), 's')}, {verbs[1]} {format_quantity(abs(rest), 's')}"
