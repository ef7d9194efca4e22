"""A Hugging Face config.json as a model: its layers, sizes and formats in attnsim's words.

What a family of models (`model_type`) means by its fields is in `huggingface_families`; this module reads the file, finds the language
model in it and puts the document together. Read are configurations only, never weights, and nothing is fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from attnsim.errors import Issue, SpecError, suggest
from attnsim.importers.common import Source
from attnsim.importers.huggingface_families import FAMILIES, Parts
from attnsim.importers.huggingface_fields import Fields
from attnsim.spec.dtype import canonical
from attnsim.spec.model import TransformerSpec
from attnsim.spec.quantity import show
from attnsim.spec.scan import read_text, read_value
from attnsim.spec.yaml import Document, from_dict, validate

#: Keys at the top of files that other importers or attnsim itself read.
_OTHERS: Final = frozenset({"attnsim", "einsum", "workload", "rank_sizes", "einsums"})
_ACTIVATIONS: Final = ("bf16", "fp16", "fp32")
#: `quantization_config.quant_method` -> format of the weights, where the method leaves no choice.
_METHODS: Final[Mapping[str, str]] = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4"}
_WIDTHS: Final[Mapping[tuple[str, int], str]] = {("float", 8): "fp8", ("float", 4): "fp4", ("int", 8): "int8", ("int", 4): "int4"}
_ALGORITHMS: Final[Mapping[str, str]] = {"FP8": "fp8", "NVFP4": "fp4"}  # of modelopt


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """The document of a model, checked, and what the user should know about it."""

    document: dict[str, Any]
    notes: tuple[str, ...]
    file: str

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        """File name to document: NAME.yaml, as files of the library are called, unless another was asked for."""
        return {self.file: self.document}


def model_of_config(config: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The document (kind `transformer`) of a config.json, given as a path or as what it holds.

    Raises:
        SpecError: with file, line and column of everything that is wrong or missing, or for a `model_type` that is not known.
    """
    return read_model(config).document


def is_config(path: Path) -> bool:
    """Whether a file is to be read as a config.json: it is JSON, or is called so, and nothing that is known by other words.

    Raises: SpecError when it cannot be read at all.
    """
    try:
        data = json.loads(read_text(path, str(path)))
    except (ValueError, RecursionError):
        return path.suffix.lower() == ".json"
    return not (isinstance(data, dict) and _OTHERS & set(data))


def read_model(config: str | Path | Mapping[str, Any], file: str | None = None) -> ImportedModel:
    """As `model_of_config`, with the notes. file: where the document goes; the model is called after it, or else after its own folder."""
    if isinstance(config, Mapping):
        doc = from_dict(config, "config.json")
        name = str(config.get("_name_or_path") or config.get("model_type") or "").rstrip("/").rpartition("/")[2]
    else:
        path = Path(config)
        doc = _read(path)
        name = path.resolve().parent.name if path.stem == "config" else path.stem
    if file is not None:
        name = Path(file).stem
    name = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "imported"
    fields, family = _language_model(doc, name)
    document = _document(fields, family)
    return ImportedModel(document, tuple(fields.source.notes), file or f"{name}.yaml")


def _read(path: Path) -> Document:
    """A JSON file with the place of every field."""
    file = str(path)
    text = read_text(path, file)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        what = "is empty" if not text.strip() else f"not JSON: {error.msg}"
        raise SpecError(Issue(f"{what}; a config.json is a JSON mapping with a model_type", file, error.lineno, error.colno)) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested too deeply
        raise SpecError(Issue(f"not read: {error}", file)) from None
    if not isinstance(data, dict):
        raise SpecError(Issue(f"holds {show(data)}; a config.json is a JSON mapping with a model_type", file, 1, 1))
    return Document(data, file, read_value(text, file).positions)  # JSON is YAML, as far as places go; the values are those of JSON


def _language_model(doc: Document, name: str) -> tuple[Fields, str]:
    """Where the fields of the language model are, and its family."""
    source = Source(doc, name, "")
    loc = ("text_config",) if isinstance(doc.data.get("text_config"), dict) else ()
    inner = source.mapping(loc)
    kind = inner.get("model_type", doc.data.get("model_type"))
    place = (*loc, "model_type") if "model_type" in inner else ("model_type",)
    seen = f"the fields here are {', '.join(inner) or 'none'}"
    if kind is None:
        raise SpecError(doc.issue(place, f"missing, so this is no config.json of a Hugging Face model; {seen}"))
    if not isinstance(kind, str) or kind not in FAMILIES:
        known = f"known are {', '.join(FAMILIES)}"
        raise SpecError(doc.issue(place, f"{show(kind)} is not known{suggest(str(kind), FAMILIES)}; {known}; {seen}"))
    source.origin = f"imported from {Path(doc.file).name} (Hugging Face {kind})"
    if loc:
        source.note("only the language model (text_config) is read")
    return Fields(source, loc), kind


def _document(fields: Fields, kind: str) -> dict[str, Any]:
    """The document, from the parts that the family says the layers have."""
    source, family = fields.source, FAMILIES[kind]
    attention, ffn = family.attention(fields), family.ffn(fields)
    activations, weights, cache = _formats(fields)
    experts_alone = weights == "mxfp4" and any(part["kind"] == "moe" for part in ffn.parts.values())  # the method quantizes nothing else
    if weights not in (None, activations) and not experts_alone:
        source.note(f"all weights count as {weights}: scales, and parts kept in {activations}, are not counted apart")
    document = {
        "attnsim": 1,
        "kind": "transformer",
        "name": source.name,
        "source": source.origin,
        "hidden": fields.size("hidden_size"),
        "vocabulary": fields.size("vocab_size"),
        "tied_embeddings": fields.flag("tie_word_embeddings", family.tied),
        "weights": activations if experts_alone else weights or activations,
        **({"expert_weights": weights} if experts_alone else {}),
        "kv": cache or activations,
        "attention": dict(attention.parts),
        "ffn": dict(ffn.parts),
        "layers": _layers(attention, ffn),
    }
    if extra := fields.optional("num_nextn_predict_layers"):
        source.note(f"multi-token prediction ({extra} more {'layer' if extra == 1 else 'layers'}) is left out")
    if source.issues:
        raise SpecError(sorted(dict.fromkeys(source.issues), key=lambda issue: (issue.line or 0, issue.column or 0)))
    validate(TransformerSpec, from_dict(document, source.doc.file))
    return document


def _layers(attention: Parts, ffn: Parts) -> list[dict[str, Any]]:
    """Alike layers together, in the order in which they first come."""
    pairs = list(zip(attention.layers, ffn.layers, strict=False))  # of one length, unless a mistake was told
    first = {pair: index for index, pair in reversed(list(enumerate(pairs)))}
    ordered = sorted(pairs, key=lambda pair: first[pair])
    return [{"count": len(list(group)), "attention": pair[0], "ffn": pair[1]} for pair, group in groupby(ordered)]


# --- formats


def _formats(fields: Fields) -> tuple[str, str | None, str | None]:
    """Formats of activations, and of weights and cached keys where the file says that they are quantized."""
    name, written = fields.first("torch_dtype", "dtype")
    activations = canonical(written) if isinstance(written, str) else None
    if written is None:
        fields.source.note("no torch_dtype: bf16 taken")
        activations = "bf16"
    if activations not in _ACTIVATIONS:
        fields.fail(name, f"must be bfloat16, float16 or float32, not {show(written)}")
    name, quantization = fields.first("quantization_config", "compression_config")
    if quantization is None:
        return activations or "bf16", None, None
    if not isinstance(quantization, dict):
        fields.fail(name, f"must be a mapping, not {show(quantization)}")
        return activations or "bf16", None, None
    weights = _quantized(quantization)
    if weights is None:
        told = {key: value for key, value in quantization.items() if isinstance(value, str | int) and "bit" in key or key == "quant_algo"}
        method = show(quantization.get("quant_method"))
        known = "fp8, fbgemm_fp8, mxfp4, and compressed-tensors, gptq, awq, bitsandbytes and modelopt of 4 or 8 bits"
        fields.fail(name, f"quant_method {method}{f' with {told}' if told else ''} is not known; known are {known}")
    return activations or "bf16", weights, _scheme(quantization.get("kv_cache_scheme"))


def _quantized(quantization: Mapping[str, Any]) -> str | None:
    """Format of the weights; None where the words are not known."""
    method = quantization.get("quant_method")
    match method:
        case "compressed-tensors" | "compressed_tensors":
            groups = quantization.get("config_groups")
            members = groups.values() if isinstance(groups, dict) else ()
            found = {_scheme(group.get("weights")) for group in members if isinstance(group, dict)}
            return found.pop() if len(found) == 1 else None
        case "gptq" | "awq":
            return _scheme({"type": "int", "num_bits": quantization.get("bits")})
        case "bitsandbytes":
            if quantization.get("load_in_4bit", quantization.get("_load_in_4bit")):
                return "fp4"  # or NF4, as wide
            return "int8" if quantization.get("load_in_8bit", quantization.get("_load_in_8bit")) else None
        case "modelopt":
            return _ALGORITHMS.get(str(quantization.get("quant_algo")))
        case _:
            return _METHODS.get(str(method))


def _scheme(scheme: Any) -> str | None:
    """The format of a `{type: float, num_bits: 8}`."""
    if not isinstance(scheme, dict):
        return None
    bits = scheme.get("num_bits")
    return _WIDTHS.get((str(scheme.get("type", "int")), bits)) if isinstance(bits, int) else None
