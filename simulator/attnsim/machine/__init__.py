"""The machine: levels, compute units, clocks, power and links, resolved to SI numbers."""

from __future__ import annotations

from attnsim.machine.load import load_machine
from attnsim.machine.machine import Clock, Launch, Level, Limits, Link, Machine, Path, Unit
from attnsim.machine.power import GemmPoint, Power, clock_scale, sustained_gemm

__all__ = [
    "Clock",
    "GemmPoint",
    "Launch",
    "Level",
    "Limits",
    "Link",
    "Machine",
    "Path",
    "Power",
    "Unit",
    "clock_scale",
    "load_machine",
    "sustained_gemm",
]
