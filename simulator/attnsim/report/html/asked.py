"""The question behind a report as words to repeat it: a command line and a Python call."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attnsim.evaluate.estimate import Asked


def command(asked: Asked, verb: str = "run") -> str | None:
    """The command line that asks the same; None where something was given as a dict, which no command line holds."""
    refs = (asked.workload, asked.arch, *([asked.schedule] if asked.schedule is not None else []))
    if not all(isinstance(ref, str | Path) for ref in refs):
        return None
    words = ["attnsim", verb, str(asked.workload), str(asked.arch)]
    if asked.schedule is not None:
        words += ["--schedule", str(asked.schedule)]
    for text in (*asked.sets, *_sets(asked.overrides)):
        words += ["--set", text]
    return shlex.join(words)


def changes(asked: Asked) -> str:
    """What was asked otherwise than the files say, as `sizes.B=16, dtype=fp8`; empty where nothing was."""
    return ", ".join((*asked.sets, *_sets(asked.overrides)))


def python_call(asked: Asked) -> str:
    """The Python expression that asks the same."""
    return f"attnsim.run({', '.join(arguments(asked, _literal))})"


def arguments(asked: Asked, literal: Callable[[Any], str]) -> list[str]:
    """The arguments of `attnsim.run` that ask the same. literal: a value as Python writes it."""
    words = [literal(asked.workload), literal(asked.arch)]
    if asked.schedule is not None:
        words.append(f"schedule={literal(asked.schedule)}")
    if asked.sets:
        words.append(f"sets={list(asked.sets)!r}")
    plain = {name: value for name, value in asked.overrides.items() if name.isidentifier()}
    words += [f"{name}={literal(value)}" for name, value in plain.items()]
    others = {name: value for name, value in asked.overrides.items() if name not in plain}
    if others:
        words.append(f"**{others!r}")
    return words


def _literal(value: Any) -> str:
    if isinstance(value, Path):
        return repr(str(value))
    return repr(dict(value) if isinstance(value, Mapping) else value)


def _sets(overrides: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Overrides as `--set` texts. Mappings merge, so their entries are set one by one; JSON is YAML."""
    for name, value in overrides.items():
        if isinstance(value, Mapping) and "kind" not in value:
            yield from _sets(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={value if isinstance(value, str) else json.dumps(value, default=str)}"
