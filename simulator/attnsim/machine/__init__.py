"""The machine: levels, compute units, clocks, power and links, resolved to SI numbers."""

from __future__ import annotations

from attnsim.machine.fabric import Fabric, fabric_of
from attnsim.machine.link import Link, Transport
from attnsim.machine.load import load_machine
from attnsim.machine.machine import Clock, Launch, Level, Limits, Machine, Path, Unit
from attnsim.machine.power import GemmPoint, Power, clock_scale, sustained_gemm

__all__ = [
    "Clock",
    "Fabric",
    "GemmPoint",
    "Launch",
    "Level",
    "Limits",
    "Link",
    "Machine",
    "Path",
    "Power",
    "Transport",
    "Unit",
    "clock_scale",
    "fabric_of",
    "load_machine",
    "sustained_gemm",
]
