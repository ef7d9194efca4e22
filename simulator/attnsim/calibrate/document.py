"""The new arch file: what was found, over the machine it extends, and the record of the rows it came from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from attnsim.calibrate.found import Field, KernelFit
from attnsim.calibrate.rows import MeasuredFile, Row
from attnsim.spec import library

HEAD = "# Written by `attnsim calibrate`; only what was measured stands here, the rest is that of the machine it extends.\n"


def base_name(arch: str, output: str | None) -> str:
    """What `extends:` says: a library name, or the way from the new file to the old one."""
    if not os.path.isfile(os.path.expanduser(arch)):
        return library.find("arch", arch).name
    if output in (None, "-"):
        return os.path.abspath(os.path.expanduser(arch))
    way = os.path.relpath(os.path.expanduser(arch), os.path.dirname(os.path.abspath(str(output))))
    return way if os.sep in way else f".{os.sep}{way}"


def document(
    extends: str, data: Mapping[str, Any], name: str, files: Sequence[MeasuredFile], fields: Sequence[Field], kernels: Sequence[KernelFit]
) -> dict[str, Any]:
    """The content of the new file; data: that of the machine it extends, resolved."""
    title = str(data.get("title") or data["name"])
    made: dict[str, Any] = {
        "attnsim": 1, "kind": data["kind"], "extends": extends, "name": name,
        "title": title if title.endswith(", calibrated") else f"{title}, calibrated", "aliases": [],
    }  # fmt: skip
    sources: dict[str, str] = {}
    for field in fields:
        used = sorted({row.file for row in field.rows})
        key = "-".join(source_id(files[number]) for number in used)
        sources[key] = "; ".join(_cited(files[number]) for number in used)
        _put(made, field.place, {"value": field.written(), "source": key, "note": field.note})
    for fit in kernels:
        for place, entries in fit.entries.items():
            _put(made, ("kernels", fit.schedule, *place), entries)
    if "units" in made and data.get("peak"):
        made["peak_note"] = dict.fromkeys(data["peak"], "of the whole machine; its rates here are those that products reach")
    made["calibration"] = [*_records(files, fields, kernels), *_kept(data, files)]
    if sources:
        made["sources"] = sources
    return made


def source_id(file: MeasuredFile) -> str:
    """How numbers cite a file."""
    return "measured-" + (re.sub(r"[^a-z0-9]+", "-", Path(file.name).stem.lower()).strip("-") or "file")


def _cited(file: MeasuredFile) -> str:
    parts = [file.name, file.device, f"driver {file.driver}" if file.driver else "", file.date]
    return ", ".join(part for part in parts if part)


def _put(made: dict[str, Any], place: Sequence[str], value: Any) -> None:
    for step in place[:-1]:
        made = made.setdefault(step, {})
    made[place[-1]] = value


def _records(files: Sequence[MeasuredFile], fields: Sequence[Field], kernels: Sequence[KernelFit]) -> list[dict[str, Any]]:
    found = []
    for number, file in enumerate(files):
        lines: dict[str, list[int]] = {}
        for name, rows in (*((field.name, field.rows) for field in fields), *((fit.schedule, fit.rows) for fit in kernels)):
            if here := _lines(rows, number):
                lines[name] = here
        told = {"file": file.name, "sha256": file.sha256, "device": file.device, "driver": file.driver, "date": file.date}
        if lines:
            found.append({**{key: text for key, text in told.items() if text}, "rows": lines})
    return found


def _lines(rows: Sequence[Row], file: int) -> list[int]:
    return sorted({row.call.line for row in rows if row.file == file})


def _kept(data: Mapping[str, Any], files: Sequence[MeasuredFile]) -> list[dict[str, Any]]:
    """Records of the machine that was extended: its constants stand where no new ones do."""
    old = data.get("calibration") or []
    hashes = {file.sha256 for file in files}
    return [dict(one) for one in (old if isinstance(old, list) else [old]) if one.get("sha256") not in hashes]


class _Dumper(yaml.SafeDumper):
    """Lists of numbers and of constants on one line each."""


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    plain = all(isinstance(item, int) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=plain or None)


def _map(dumper: yaml.SafeDumper, value: dict[str, Any]) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style="value" in value and "source" in value)


_Dumper.add_representer(list, _list)
_Dumper.add_representer(dict, _map)


def text_of(made: Mapping[str, Any]) -> str:
    """The file."""
    return HEAD + yaml.dump(dict(made), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140)
