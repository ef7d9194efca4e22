"""How colours look to readers with a colour vision deficiency, and how far apart two of them are."""

from __future__ import annotations

import math

# G. Machado, M. Oliveira, L. Fernandes, "A physiologically-based model for simulation of color vision deficiency", IEEE TVCG 15(6), 2009;
# matrices of severity 1.0, on linear RGB.
VISION = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(color: str) -> tuple[float, ...]:
    """#RRGGBB as linear RGB, 0 to 1 (IEC 61966-2-1)."""
    values = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return tuple(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values)


def lab(color: str, vision: str) -> tuple[float, float, float]:
    """CIELAB under D65 of a colour as seen with one kind of vision."""
    rgb = linear(color)
    seen = [min(1.0, max(0.0, sum(weight * value for weight, value in zip(row, rgb, strict=True)))) for row in VISION[vision]]
    xyz = [
        sum(weight * value for weight, value in zip(row, seen, strict=True)) / white
        for row, white in (
            ((0.4124564, 0.3575761, 0.1804375), 0.95047),
            ((0.2126729, 0.7151522, 0.0721750), 1.0),
            ((0.0193339, 0.1191920, 0.9503041), 1.08883),
        )
    ]
    x, y, z = (value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116 for value in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: str, other: str, vision: str) -> float:
    """CIE76 difference of two colours as seen with one kind of vision; 2.3 is just noticeable, 100 is black on white."""
    return math.dist(lab(one, vision), lab(other, vision))
