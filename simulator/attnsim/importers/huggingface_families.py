"""What the fields of a config.json mean in each family of models, as the configuration and modeling files of transformers define them.

Where a file leaves a field out, only those defaults are taken that say "nothing special" (no window, no shared experts, every layer alike);
a size that is left out is a mistake of the file, told as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from attnsim.importers.huggingface_fields import Fields

Layers = Callable[[Fields], list[str]]
_TYPES: Final = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """The kinds of attention or feed-forward part that a model has, and which one each layer has."""

    parts: Mapping[str, Mapping[str, Any]]
    layers: list[str]


@dataclass(frozen=True, slots=True)
class Family:
    """How to read the two parts of a layer; whether embedding and head are one matrix unless the file says otherwise."""

    attention: Callable[[Fields], Parts]
    ffn: Callable[[Fields], Parts]
    tied: bool = False


# --- which layers attend all keys


def _all_full(fields: Fields) -> list[str]:
    return fields.per_layer(lambda _: "full")


def _all_sliding(fields: Fields) -> list[str]:
    """A window for every layer, or for none."""
    window = fields.optional("sliding_window", least=1)
    return fields.per_layer(lambda _: "full" if window is None else "sliding")


def _mistral(fields: Fields) -> list[str]:
    """As `_all_sliding`, but a file that says nothing means a window in some versions of transformers: it must say."""
    fields.nullable("sliding_window", "no window")
    return _all_sliding(fields)


def _qwen(fields: Fields) -> list[str]:
    """Windows on the layers from `max_window_layers` on, where `use_sliding_window` is set."""
    if not fields.flag("use_sliding_window", False) or fields.optional("sliding_window") is None:
        return _all_full(fields)
    first = fields.size("max_window_layers", least=0)
    return fields.per_layer(lambda index: "sliding" if index >= first else "full")


def _every(default: int, local: str, *, interval: str | None = None) -> Layers:
    """Full attention on every n-th layer; n is the field `interval`, else what the configuration class of transformers takes."""

    def layers(fields: Fields) -> list[str]:
        step = (interval and fields.optional(interval, least=1)) or default
        return fields.per_layer(lambda index: local if (index + 1) % step else "full")

    return layers


def _llama4(fields: Fields) -> list[str]:
    """Layers with rotary positions attend within a chunk, those without attend all keys."""
    if fields.nullable("attention_chunk_size", "no chunks") is None:
        return _all_full(fields)
    rotary = fields.each_layer("no_rope_layers", {1: "chunked", 0: "full"})  # 1: has rotary positions, whatever the name says
    return rotary or _every(4, "chunked", interval="no_rope_layer_interval")(fields)


# --- attention


def _grouped(
    layers: Layers, *, own_head_dim: bool = False, all_kv_heads: bool = False, kv_heads: str = "num_key_value_heads"
) -> Callable[[Fields], Parts]:
    """Grouped-query attention. own_head_dim: it must be written; all_kv_heads: one a query head where left out."""

    def read(fields: Fields) -> Parts:
        kinds = fields.each_layer("layer_types", _TYPES) or layers(fields)
        return Parts(
            {kind: _softmax(fields, kind, own_head_dim, all_kv_heads, kv_heads) for kind in dict.fromkeys(kinds) if kind != "linear"}
            | ({"linear": _linear(fields)} if "linear" in kinds else {}),
            kinds,
        )

    return read


def _softmax(fields: Fields, kind: str, own_head_dim: bool, all_kv_heads: bool, kv_heads: str) -> dict[str, Any]:
    heads = fields.size("num_attention_heads")
    groups = (fields.optional(kv_heads, least=1) or heads) if all_kv_heads else fields.size(kv_heads)
    if heads % groups:
        fields.fail(kv_heads, f"must divide {heads}, the num_attention_heads, not {groups}")
    part = {"kind": "gqa", "heads": heads, "kv_heads": groups, "head_dim": _head_dim(fields, heads, own_head_dim)}
    if (rank := fields.optional("share_q_dim", least=1)) is not None:
        part["query_rank"] = rank
    if kind != "full":
        part["window"] = fields.size("sliding_window" if kind == "sliding" else "attention_chunk_size")
    return part


def _head_dim(fields: Fields, heads: int, own: bool) -> int:
    written = fields.optional("head_dim", least=1)
    if written is not None or own:
        return written or fields.size("head_dim")
    hidden = fields.size("hidden_size")
    if hidden % heads:
        fields.fail("head_dim", f"missing, and hidden_size {hidden} is no multiple of {heads}, the num_attention_heads")
    return max(hidden // heads, 1)


def _linear(fields: Fields) -> dict[str, Any]:
    """Lightning attention: queries, keys and values of all heads, a gate as wide before the output."""
    heads = fields.size("num_attention_heads")
    part: dict[str, Any] = {"kind": "linear", "heads": heads, "head_dim": _head_dim(fields, heads, False), "output_gate": True}
    if (block := fields.optional("block_size", least=1)) is not None:
        part["block"] = block
    return part


def _hybrid(fields: Fields) -> list[str]:
    """MiniMax: a list says which layers are linear."""
    kinds = fields.each_layer("attn_type_list", {0: "linear", 1: "full"})
    if kinds is None:
        fields.fail("attn_type_list", "missing; it must hold a 0 (linear) or 1 (softmax) for every layer, or layer_types must say so")
    return kinds or _all_full(fields)


def _latent(fields: Fields) -> Parts:
    """Multi-head latent attention."""
    part = {"kind": "mla", "heads": fields.size("num_attention_heads")}
    if (rank := fields.nullable("q_lora_rank", "one matrix")) is not None:
        part["query_rank"] = rank
    part |= {
        "kv_rank": fields.size("kv_lora_rank"),
        "rope_dim": fields.size("qk_rope_head_dim"),
        "nope_dim": fields.size("qk_nope_head_dim"),
        "value_dim": fields.size("v_head_dim"),
    }
    return Parts({"mla": part}, fields.per_layer(lambda _: "mla"))


# --- feed-forward parts


def _dense(fields: Fields) -> Parts:
    return _mixed(fields, {}, lambda _: False)


def _mixed(fields: Fields, moe: Mapping[str, Any], routed: Callable[[int], bool], dense: str = "intermediate_size") -> Parts:
    """Experts on the layers that `routed` names, one part of the width in the field `dense` on the others."""
    layers = fields.per_layer(lambda index: "moe" if routed(index) else "dense")
    parts: dict[str, Mapping[str, Any]] = {"dense": {"kind": "dense", "width": fields.size(dense)}} if "dense" in layers else {}
    return Parts(parts | ({"moe": moe} if "moe" in layers else {}), layers)


def _experts(fields: Fields, experts: str, top_k: tuple[str, ...], width: str) -> dict[str, Any]:
    count, chosen = fields.size(experts), fields.size(*top_k)
    if chosen > count:
        fields.fail(top_k[0], f"must be at most {count}, the {experts}, not {chosen}")
    return {"kind": "moe", "experts": count, "top_k": chosen, "width": fields.size(width)}


def _shared_width(fields: Fields, name: str) -> dict[str, Any]:
    """One shared expert with a width of its own; none where the width is 0 or left out."""
    width = fields.optional(name)
    return {"shared": 1, "shared_width": width} if width else {}


def _local_experts(fields: Fields) -> Parts:
    """Mixtral, gpt-oss, MiniMax: experts on every layer."""
    moe = _experts(fields, "num_local_experts", ("num_experts_per_tok", "experts_per_token"), "intermediate_size")
    return _mixed(fields, moe | _shared_width(fields, "shared_intermediate_size"), lambda _: True)


def _qwen_moe(fields: Fields) -> Parts:
    moe = _experts(fields, "num_experts", ("num_experts_per_tok",), "moe_intermediate_size")
    step = fields.optional("decoder_sparse_step", least=1) or 1
    plain = fields.indices("mlp_only_layers", fields.items("mlp_only_layers") or [])
    return _mixed(
        fields, moe | _shared_width(fields, "shared_expert_intermediate_size"), lambda index: index not in plain and (index + 1) % step == 0
    )


def _deepseek(fields: Fields) -> Parts:
    if not fields.optional("n_routed_experts"):
        return _dense(fields)
    moe = _experts(fields, "n_routed_experts", ("num_experts_per_tok",), "moe_intermediate_size")
    if shared := fields.optional("n_shared_experts"):
        moe["shared"] = shared
    first = fields.size("first_k_dense_replace", least=0)
    step = fields.optional("moe_layer_freq", least=1) or 1
    return _mixed(fields, moe, lambda index: index >= first and index % step == 0)


def _llama4_ffn(fields: Fields) -> Parts:
    moe = _experts(fields, "num_local_experts", ("num_experts_per_tok",), "intermediate_size") | {"shared": 1}
    named = fields.items("moe_layers")
    if named is not None:
        chosen = fields.indices("moe_layers", named)
        return _mixed(fields, moe, lambda index: index in chosen, "intermediate_size_mlp")
    step = fields.size("interleave_moe_layer_step")
    return _mixed(fields, moe, lambda index: (index + 1) % step == 0, "intermediate_size_mlp")


def _ernie_moe(fields: Fields) -> Parts:
    moe = _experts(fields, "moe_num_experts", ("moe_k",), "moe_intermediate_size")
    if shared := fields.optional("moe_num_shared_experts"):
        moe["shared"] = shared
    first, step = fields.optional("moe_layer_start_index") or 0, fields.optional("moe_layer_interval", least=1) or 1
    last = fields.optional("moe_layer_end_index", least=-1)  # -1: the last layer
    return _mixed(fields, moe, lambda index: index >= first and (last in (None, -1) or index <= last) and (index + 1) % step == 0)


def _step3_moe(fields: Fields) -> Parts:
    moe = _experts(fields, "moe_num_experts", ("moe_top_k",), "moe_intermediate_size") | _shared_width(fields, "share_expert_dim")
    _, written = fields.first("moe_layers_enum")
    if isinstance(written, str):  # "4,5,6"
        numbers: list[Any] = [int(word) if word.strip().isdecimal() else word for word in written.split(",")]
    else:
        numbers = fields.items("moe_layers_enum") or []
    if not numbers:
        fields.fail("moe_layers_enum", "missing; it must hold the numbers of the layers with experts")
    chosen = fields.indices("moe_layers_enum", numbers)
    return _mixed(fields, moe, lambda index: index in chosen)


# --- the families

_QWEN: Final = _grouped(_qwen)
_QWEN3: Final = _grouped(_qwen, own_head_dim=True)
_GEMMA3: Final = Family(_grouped(_every(6, "sliding", interval="sliding_window_pattern"), own_head_dim=True), _dense, tied=True)
_DEEPSEEK: Final = Family(_latent, _deepseek)
_LLAMA4: Final = Family(_grouped(_llama4, own_head_dim=True), _llama4_ffn)
_MINIMAX: Final = Family(_grouped(_hybrid), _local_experts)
_STEP3: Final = Family(_grouped(_all_full, own_head_dim=True, kv_heads="num_attention_groups"), _step3_moe)

FAMILIES: Final[Mapping[str, Family]] = {
    "llama": Family(_grouped(_all_full, all_kv_heads=True), _dense),
    "mistral": Family(_grouped(_mistral), _dense),
    "mixtral": Family(_grouped(_all_sliding), _local_experts),
    "qwen2": Family(_QWEN, _dense),
    "qwen2_moe": Family(_QWEN, _qwen_moe),
    "qwen3": Family(_QWEN3, _dense),
    "qwen3_moe": Family(_QWEN3, _qwen_moe),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "kimi_k2": _DEEPSEEK,
    "gpt_oss": Family(_grouped(_every(2, "sliding"), own_head_dim=True), _local_experts),
    "llama4": _LLAMA4,
    "llama4_text": _LLAMA4,
    "gemma2": Family(_grouped(_every(2, "sliding"), own_head_dim=True), _dense, tied=True),
    "gemma3": _GEMMA3,
    "gemma3_text": _GEMMA3,
    "step3": _STEP3,
    "step3_text": _STEP3,
    "minimax": _MINIMAX,
    "minimax_m1": _MINIMAX,
    "minimax_text_01": _MINIMAX,
    "ernie4_5": Family(_grouped(_all_full), _dense),
    "ernie4_5_moe": Family(_grouped(_all_full), _ernie_moe),
    "phi3": Family(_grouped(_all_sliding, all_kv_heads=True), _dense),
}
"""`model_type` -> how its fields read."""
