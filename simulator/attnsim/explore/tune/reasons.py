"""Why one schedule is faster than another, in words, from the numbers of their two estimates."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attnsim.explore.tune.answer import Tried
from attnsim.units import format_quantity

#: Differences below this share of the slower one's latency are not told.
WORTH_TELLING = 0.002


def told(tried: Tried, common: Collection[str] = ()) -> str:
    """What a schedule chooses, in a few words; `common`: choices that need not be told."""
    parts = []
    for name, value in tried.choice.items():
        if name in common:
            continue
        if name == "tile" and isinstance(value, dict):
            parts.append(" x ".join(f"{rank} {_side(side)}" for rank, side in value.items()))
        elif isinstance(value, dict):
            parts.append(f"{name} {', '.join(f'{key} {item}' for key, item in value.items())}")
        else:
            parts.append(f"{name} {_listed(value)}")
    return ", ".join(parts) or "as its file has it"


def common_choices(tried: Sequence[Tried]) -> list[str]:
    """What all of them choose alike, tiles aside; nothing where there is only one."""
    first = tried[0].choice if len(tried) > 1 else {}
    return [name for name, value in first.items() if name != "tile" and all(one.choice.get(name) == value for one in tried)]


def _side(side: object) -> str:
    return "x".join(map(str, side)) if isinstance(side, list | tuple) else str(side)


def _listed(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def comparison(best: Tried, other: Tried, name: str, common: Collection[str] = ()) -> list[str]:
    """Lines: how much faster `best` is than `other`, and which numbers differ, the largest first."""
    if other.latency_s == best.latency_s:
        return [f"as fast as {name} ({told(other, common)})"]
    faster = 100 * (other.latency_s / best.latency_s - 1)
    head = f"{faster:.2f} % faster than {name} ({told(other, common)}), {format_quantity(other.latency_s, 's')}:"
    return [head, *(f"  {line}" for line in _why(best, other))]


def _why(best: Tried, other: Tried) -> Sequence[str]:
    gains: list[tuple[float, str]] = []
    losses: list[tuple[float, str]] = []
    for name in sorted({*best.time_by_resource_s, *other.time_by_resource_s}):
        mine, theirs = best.time_by_resource_s.get(name, 0.0), other.time_by_resource_s.get(name, 0.0)
        share = (theirs - mine) / other.latency_s
        if abs(share) >= WORTH_TELLING:
            text = f"{name} busy for {format_quantity(mine, 's')} against {format_quantity(theirs, 's')}"
            (gains if share > 0 else losses).append((abs(share), text))
    lines = [text for _, text in sorted(gains, reverse=True)]
    lines += _grid(best, other)
    busiest = max(best.time_by_resource_s.values(), default=0.0), max(other.time_by_resource_s.values(), default=0.0)
    idle = best.latency_s - busiest[0], other.latency_s - busiest[1]
    if (idle[1] - idle[0]) / other.latency_s >= WORTH_TELLING:
        shown = " against ".join(format_quantity(value, "s") for value in idle)
        lines.append(f"{shown} beside the busiest unit (exposed softmax, fills, waves)")
    if losses:
        lines.append("in spite of " + ", ".join(text for _, text in sorted(losses, reverse=True)))
    return lines or ["by rounding of waves and tiles alone"]


def _grid(best: Tried, other: Tried) -> list[str]:
    """Occupancy, waves, splits and padding, where they differ."""
    lines = []
    one, two = best.facts, other.facts
    if one.get("padding") is not None and abs(one["padding"] - two["padding"]) >= WORTH_TELLING:
        lines.append(f"computes {100 * one['padding']:.1f} % beyond the attended pairs against {100 * two['padding']:.1f} %")
    if one.get("ctas_per_processor") != two.get("ctas_per_processor"):
        lines.append(
            f"{one['ctas_per_processor']} CTAs per processor (limited by {one['limiter']}) against "
            f"{two['ctas_per_processor']} ({two['limiter']})"
        )
    if one.get("splits") != two.get("splits"):
        lines.append(f"{one['splits']} pieces a walk against {two['splits']}")
    if one.get("waves") is not None and abs(one["waves"] - two["waves"]) > 1e-9:
        lines.append(f"{one['waves']:.2f} waves of CTAs against {two['waves']:.2f}")
    return lines
