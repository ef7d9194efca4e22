"""A row of a measurement file, read and checked: what was timed, as a question to the engine, and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from attnsim.errors import SpecError, suggest
from attnsim.spec import dtype as dtypes
from attnsim.spec.library import find, load
from attnsim.spec.measurement import ATTENTION, COLUMNS_OF, Kind, kind_of
from attnsim.validate.point import NotPredictedError, RowError, Shape, direction_of, integer, positive, workload
from attnsim.validate.predict import cascade_for
from attnsim.validate.records import Record

GRAPH = {"launch": "graph"}
ATTENTION_OF = {"torch-flash": {"extends": "flash-decoding", "split": {"unsplit": "flash-attention-2"}}, "torch-cudnn": "cudnn"}
"""Backend that a model ran its attention with -> its schedule; PyTorch's FlashAttention-2 splits the keys of few queries."""
LATENT = "mla-absorbed"


@dataclass(frozen=True, slots=True)
class Call:
    """One timed call. `kernel`: the library's name of it; `columns`: what the file says of it, as numbers; `label`: the same in few words.

    variant: direction, operation, algorithm or phase, what else is scored apart; empty where there is but one. size: the columns that make
    it longer. workload: the engine's question; None: a collective or a machine's own speed, which `columns` describe. made_by: suite and
    backend, where the file names them.
    """

    line: int
    kind: Kind
    kernel: str
    variant: str
    columns: Mapping[str, Any]
    label: str
    size: tuple[str, ...]
    measured_s: float
    workload: Mapping[str, Any] | None = field(default=None, repr=False)
    made_by: str = ""

    @property
    def group(self) -> tuple[str, str]:
        """Kernel and variant: what is scored together."""
        return self.kernel, self.variant


def required(header: Sequence[str]) -> Sequence[str]:
    """The columns a file needs: those of a kind it has completely, else of the kind it comes nearest to, attention where it names heads."""
    nearest = max(COLUMNS_OF.values(), key=lambda columns: (set(columns) <= set(header), sum(c in header for c in columns) / len(columns)))
    if not set(nearest) <= set(header) and (not header or {"heads_q", "heads_kv", "seqlen_q", "seqlen_kv"} & set(header)):
        return ATTENTION
    return nearest


class Reader:
    """Reads rows; names that were looked up once are kept."""

    def __init__(self) -> None:
        self._kernels: dict[str, str] = {}
        self._models: dict[str, Mapping[str, Any]] = {}
        self._masks: dict[str, Mapping[str, Any]] = {}

    def read(self, record: Record) -> Call:
        """The call of a row. Raises RowError or SpecError for a row that cannot be used."""
        if record.fault:
            raise RowError(record.fault)
        name = record.values.get("kernel", "")
        kind = kind_of(name)
        missing = [column for column in COLUMNS_OF[kind] if column not in record.values]
        if missing:
            raise RowError(f"kernel {name!r} needs the column{'s' * (len(missing) > 1)} {', '.join(missing)}, which the file lacks")
        readers: Mapping[Kind, Callable[[Record], Call]] = {
            "attention": self._attention, "product": _product, "rowwise": _rowwise, "collective": _collective, "model": self._model,
            "micro": _micro,
        }  # fmt: skip
        made_by = " ".join(text for text in (record.values.get("suite"), record.values.get("backend")) if text)
        return replace(readers[kind](record), made_by=made_by)

    def _attention(self, record: Record) -> Call:
        values = record.values
        kernel = self._kernel(values["kernel"])
        direction = direction_of(values["direction"])
        dtype = _dtype(values)
        shape = Shape.from_values(values)
        window = _window(values["window"])
        measured = _time(values)
        cascade = cascade_for(kernel, direction)
        mask = self._mask(values.get("mask", "")) or _window_mask(shape, window)
        made = workload(
            shape, name=f"line {record.line}", dtype=dtype, direction=direction, cascade=cascade, mask=mask, schedule=kernel,
            conditions=None,
        )  # fmt: skip
        if cascade == LATENT:
            made["sizes"] = _latent(shape)
        lengths = _lengths(values.get("lengths", ""), shape)
        if lengths and set(lengths) != {shape.seqlen_kv}:
            made |= _ragged(shape, lengths, kernel, plain=mask is None and cascade != LATENT)
        columns = {
            "direction": direction, "dtype": dtype,
            "batch": shape.batch, "heads_q": shape.heads_q, "heads_kv": shape.heads_kv, "seqlen_q": shape.seqlen_q,
            "seqlen_kv": shape.seqlen_kv, "head_dim": shape.head_dim, "head_dim_v": shape.head_dim_v, "causal": shape.causal,
            "window": window,
        }  # fmt: skip
        columns |= {name: values[name] for name in ("mask", "lengths") if values.get(name)}
        label = f"{direction} {dtype} {_sizes(shape)} {_mask_text(shape, window, values.get('mask', ''))}{' ragged' * bool(lengths)}"
        return Call(
            record.line, "attention", kernel, direction, columns, label, ("batch", "seqlen_q", "seqlen_kv"), measured, made
        )  # fmt: skip

    def _kernel(self, name: str) -> str:
        if name not in self._kernels:
            if not name:
                raise RowError("kernel is empty")
            try:
                self._kernels[name] = find("schedule", name).name
            except SpecError as e:
                raise RowError(f"kernel: {e.issues[0].message}") from None
        return self._kernels[name]

    def _mask(self, text: str) -> Mapping[str, Any] | None:
        if not text:
            return None
        if text not in self._masks:
            try:
                read = yaml.safe_load(text)
            except yaml.YAMLError:
                read = None
            if not isinstance(read, dict):
                raise RowError(f"mask is {text!r}; write the mask of a workload on one line, such as {{kind: window, left: 1023}}")
            self._masks[text] = read
        return self._masks[text]

    def _model(self, record: Record) -> Call:
        values = record.values
        phase = values["phase"]
        if phase not in ("prefill", "decode"):
            raise RowError(f"phase is {phase!r}; prefill or decode is wanted")
        model, dtype = values["model"], _dtype(values)
        sizes = {name: integer(name, values[name]) for name in ("batch", "context", "devices")}
        layers = integer("layers", values["layers"]) if values.get("layers") else None
        made = {
            "attnsim": 1, "kind": "model", "name": f"line {record.line}", "model": model if layers is None else self._stack(model, layers),
            "phase": phase, "dtype": dtype, "batch": sizes["batch"], "context": sizes["context"],
            "deployment": {"kind": "colocated", "tp": sizes["devices"]}, "conditions": GRAPH,
        }  # fmt: skip
        if values.get("backend") in ATTENTION_OF:
            made["attention_schedule"] = ATTENTION_OF[values["backend"]]
        columns = {"model": model, "phase": phase, "dtype": dtype, **sizes, **({"layers": layers} if layers else {})}
        label = (
            f"{model} {phase} {dtype} B{sizes['batch']} M{sizes['context']} on {sizes['devices']}{f', {layers} layers' if layers else ''}"
        )
        return Call(record.line, "model", "model", phase, columns, label, ("batch", "context"), _time(values), made)

    def _stack(self, model: str, layers: int) -> dict[str, Any]:
        """The first layers of a model, with a vocabulary of one word: `predict.engine` takes such a head off again."""
        if model not in self._models:
            self._models[model] = load("model", model).data
        left, groups = layers, []
        for group in self._models[model]["layers"]:
            groups.append({**group, "count": min(left, group["count"])})
            left -= groups[-1]["count"]
        if left:
            raise RowError(f"layers is {layers}; {model} has {layers - left}")
        return {"extends": model, "vocabulary": 1, "layers": [group for group in groups if group["count"]]}


def _product(record: Record) -> Call:
    values, kernel = record.values, _plain(record.values["kernel"])
    sizes = {name: integer(name, values[name]) for name in ("m", "n", "k")}
    ranks = {"P": sizes["m"], "N": sizes["n"], "K": sizes["k"]}
    if kernel == "grouped-matmul":
        sizes = {"experts": integer("experts", values.get("experts", "")), **sizes}
        ranks = {"X": sizes["experts"], **ranks}
    return _kernel_call(record, "product", kernel, load("schedule", kernel).data["cascade"], sizes, ranks, {})


def _rowwise(record: Record) -> Call:
    values = record.values
    try:
        operation = find("cascade", values["operation"]).name
    except SpecError as e:
        raise RowError(f"operation: {e.issues[0].message}") from None
    sizes = {name: integer(name, values[name]) for name in ("m", "n")}
    ranks = {"P": sizes["m"], "D": sizes["n"]}
    return _kernel_call(record, "rowwise", _plain(values["kernel"]), operation, sizes, ranks, {"operation": operation})


def _kernel_call(
    record: Record, kind: Kind, kernel: str, cascade: str, sizes: Mapping[str, int], ranks: Mapping[str, int], named: Mapping[str, str]
) -> Call:
    dtype = _dtype(record.values)
    made = {
        "attnsim": 1, "kind": "kernel", "name": f"line {record.line}", "cascade": cascade, "sizes": dict(ranks), "dtype": dtype,
        "schedule": kernel, "conditions": GRAPH,
    }  # fmt: skip
    label = " ".join((*named.values(), dtype, *(f"{name}{size}" for name, size in sizes.items())))
    columns = {**named, "dtype": dtype, **sizes}
    return Call(record.line, kind, kernel, "".join(named.values()), columns, label, tuple(sizes), _time(record.values), made)


def _collective(record: Record) -> Call:
    values, kernel = record.values, _plain(record.values["kernel"])
    sizes = {name: integer(name, values[name]) for name in ("devices", "bytes")}
    algorithm = _plain(values.get("algorithm", ""))
    columns = {**sizes, **({"algorithm": algorithm} if algorithm else {})}
    label = " ".join((*([algorithm] if algorithm else []), f"{sizes['bytes']} B on {sizes['devices']}"))
    return Call(record.line, "collective", kernel, algorithm, columns, label, ("bytes",), _time(values))


def _micro(record: Record) -> Call:
    values, kernel = record.values, _plain(record.values["kernel"])
    amount = 0 if values["bytes"] in ("", "0") else integer("bytes", values["bytes"])
    if not amount and not kernel.startswith("launch-"):
        raise RowError(f"bytes is {values['bytes']!r}; a whole number of at least 1 is wanted")
    sets = integer("sets", values["sets"]) if values.get("sets") else 1
    return Call(
        record.line, "micro", kernel, "", {"bytes": amount, "sets": sets}, f"{amount} B" if amount else "", ("bytes",), _time(values)
    )  # fmt: skip


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-")


def _time(values: Mapping[str, str]) -> float:
    return positive("time_us", values["time_us"]) * 1e-6


def _dtype(values: Mapping[str, str]) -> str:
    dtype = dtypes.canonical(values["dtype"])
    if dtype not in dtypes.BITS:
        raise RowError(f"dtype is {values['dtype']!r}; one of {', '.join(dtypes.BITS)} is wanted{suggest(dtype, dtypes.BITS)}")
    return dtype


def _window(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise RowError(f"window is {text!r}; write the number of keys seen to the left, or nothing for no window")
    return int(text)


def _window_mask(shape: Shape, window: int | None) -> Mapping[str, Any] | None:
    # FlashAttention's convention: causal looks back `window` keys; without causal the window reaches equally far to both sides.
    return None if window is None else {"kind": "window", "left": window, "right": 0 if shape.causal else window}


def _latent(shape: Shape) -> dict[str, int]:
    """Sizes of absorbed MLA: a key is a latent, which is the value too, and a rotary part."""
    if shape.heads_kv != 1 or shape.head_dim <= shape.head_dim_v:
        raise RowError(f"a latent row has heads_kv 1 and head_dim above head_dim_v (576 and 512), not {shape.heads_kv}, {shape.head_dim}")
    rope = shape.head_dim - shape.head_dim_v
    return {"B": shape.batch, "H": shape.heads_q, "P": shape.seqlen_q, "M": shape.seqlen_kv, "C": shape.head_dim_v, "R": rope}


def _lengths(text: str, shape: Shape) -> tuple[int, ...]:
    lengths = tuple(integer("lengths", part.strip()) for part in text.split(";")) if text else ()
    if lengths and (len(lengths) != shape.batch or max(lengths) != shape.seqlen_kv):
        raise RowError(f"lengths has {len(lengths)} sequences, the longest of {max(lengths)} keys; batch and seqlen_kv say otherwise")
    return lengths


def _ragged(shape: Shape, lengths: Sequence[int], kernel: str, *, plain: bool) -> dict[str, Any]:
    """Sequences of their own lengths.

    One query each: a sequence as heads whose mask ends at its length, which reads the same bytes in the same tiles. As many queries as
    keys: all of them end to end.
    """
    if not plain or shape.seqlen_q not in (1, shape.seqlen_kv):
        raise NotPredictedError("ragged batches are not predicted but for one query a sequence or as many as keys, without a mask")
    if shape.seqlen_q > 1:
        total = sum(lengths)
        packed = {"kind": "packed", "lengths": list(lengths), "causal": shape.causal}
        return {"sizes": {**shape.sizes(), "B": 1, "P": total, "M": total}, "mask": packed}
    heads, groups = shape.batch * shape.heads_q, shape.batch * shape.heads_kv
    each = [{"heads": shape.heads_q, "mask": {"kind": "window", "left": length - 1, "right": 0}} for length in lengths]
    return {
        "sizes": {**shape.sizes(), "B": 1, "H": heads, "G": groups}, "mask": {"kind": "per_head", "masks": each},
        "schedule": {"extends": kernel, "masks": ["any"]},
    }  # fmt: skip


def _sizes(s: Shape) -> str:
    return f"B{s.batch} H{s.heads_q}/{s.heads_kv} P{s.seqlen_q} M{s.seqlen_kv} d{s.head_dim}/{s.head_dim_v}"


def _mask_text(shape: Shape, window: int | None, mask: str) -> str:
    if mask:
        return mask
    return ("causal" if shape.causal else "dense") + (f" window {window}" if window is not None else "")
