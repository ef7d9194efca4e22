"""config.json of Hugging Face models: every family against the library or a count by hand, formats, and mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from attnsim.errors import SpecError
from attnsim.importers.huggingface import model_of_config, read_model
from attnsim.importers.huggingface_families import FAMILIES
from attnsim.serving.model import Conventions, Model
from attnsim.spec.library import load
from attnsim.spec.model import TransformerSpec
from attnsim.spec.yaml import from_dict, validate

Config = dict[str, Any]


def config(kind: str, hidden: int, layers: int, heads: int, kv_heads: int | None, vocabulary: int, **fields: Any) -> Config:
    """What every config.json says, and more."""
    said = {"model_type": kind, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": vocabulary}
    groups = {} if kv_heads is None else {"num_key_value_heads": kv_heads}
    return {**said, **groups, "tie_word_embeddings": False, "torch_dtype": "bfloat16", **fields}


LATENT = {"q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
BLOCK_FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}
QWEN3_MOE = {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 1536, "intermediate_size": 12288}
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
GPT_OSS = config(
    "gpt_oss", 2880, 24, 64, 8, 201088, head_dim=64, num_local_experts=32, experts_per_token=4, intermediate_size=2880, sliding_window=128,
    layer_types=["sliding_attention", "full_attention"] * 12, quantization_config=MXFP4,
)  # fmt: skip
MAVERICK = {
    "model_type": "llama4",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vision_config": {"hidden_size": 1408},
    "text_config": {
        "model_type": "llama4_text", "hidden_size": 5120, "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8,
        "head_dim": 128, "vocab_size": 202048, "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_local_experts": 128,
        "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "attention_chunk_size": 8192, "no_rope_layers": [],
    },
}  # fmt: skip
STEP3 = {
    "model_type": "step3_vl",
    "quantization_config": BLOCK_FP8,
    "torch_dtype": "bfloat16",
    "text_config": {
        "model_type": "step3_text", "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 64, "num_attention_groups": 1,
        "head_dim": 256, "share_q_dim": 2048, "vocab_size": 128815, "intermediate_size": 18432, "moe_intermediate_size": 5120,
        "moe_num_experts": 48, "moe_top_k": 3, "share_expert_dim": 5120, "moe_layers_enum": ",".join(map(str, range(4, 60))),
    },
}  # fmt: skip

SHIPPED: dict[str, Config] = {
    "llama2-7b": config("llama", 4096, 32, 32, None, 32000, intermediate_size=11008, torch_dtype="float16"),
    "llama2-13b": config("llama", 5120, 40, 40, 40, 32000, intermediate_size=13824, torch_dtype="float16"),
    "llama3-8b": config("llama", 4096, 32, 32, 8, 128256, intermediate_size=14336),
    "llama3-70b": config("llama", 8192, 80, 64, 8, 128256, intermediate_size=28672),
    "llama-65b": config("llama", 8192, 80, 64, None, 32000, intermediate_size=22016, torch_dtype="float16"),
    "mistral-7b": config("mistral", 4096, 32, 32, 8, 32000, intermediate_size=14336, sliding_window=4096),
    "mixtral-8x7b": config(
        "mixtral", 4096, 32, 32, 8, 32000, intermediate_size=14336, num_local_experts=8, num_experts_per_tok=2, sliding_window=None
    ),
    "qwen2-7b": config(
        "qwen2", 3584, 28, 28, 4, 152064, intermediate_size=18944, sliding_window=131072, use_sliding_window=False, max_window_layers=28
    ),
    "qwen3-32b": config("qwen3", 5120, 64, 64, 8, 151936, intermediate_size=25600, head_dim=128, sliding_window=None),
    "qwen3-235b": config(
        "qwen3_moe", 4096, 94, 64, 4, 151936, head_dim=128, decoder_sparse_step=1, mlp_only_layers=[], **QWEN3_MOE, use_sliding_window=False
    ),
    "deepseek-v3": config(
        "deepseek_v3", 7168, 61, 128, 128, 129280, **LATENT, intermediate_size=18432, moe_intermediate_size=2048, n_routed_experts=256,
        num_experts_per_tok=8, n_shared_experts=1, first_k_dense_replace=3, moe_layer_freq=1, num_nextn_predict_layers=1,
        quantization_config=BLOCK_FP8,
    ),
    "kimi-k2": config(
        "kimi_k2", 7168, 61, 64, 64, 163840, **LATENT, intermediate_size=18432, moe_intermediate_size=2048, n_routed_experts=384,
        num_experts_per_tok=8, n_shared_experts=1, first_k_dense_replace=1, moe_layer_freq=1, quantization_config=BLOCK_FP8,
    ),
    "gpt-oss-20b": GPT_OSS,
    "llama4-maverick": MAVERICK,
    "step3": STEP3,
    "minimax-m1": config(
        "minimax_m1", 6144, 80, 64, 8, 200064, head_dim=128, intermediate_size=9216, num_local_experts=32, num_experts_per_tok=2,
        attn_type_list=[0, 0, 0, 0, 0, 0, 0, 1] * 10, shared_intermediate_size=0, sliding_window=None,
    ),
    "ernie-4.5-300b": config(
        "ernie4_5_moe", 8192, 54, 64, 8, 103424, intermediate_size=28672, moe_intermediate_size=3584, moe_num_experts=64, moe_k=8,
        moe_layer_start_index=3, moe_layer_end_index=53, moe_layer_interval=1, moe_num_shared_experts=0,
    ),
}  # fmt: skip


def shipped(name: str) -> Model:
    return Model(validate(TransformerSpec, load("model", name)))


def imported(data: Config) -> Model:
    return Model(validate(TransformerSpec, from_dict(model_of_config(data))))


def test_every_shipped_family_is_known() -> None:
    kinds = {data.get("text_config", data)["model_type"] for data in SHIPPED.values()}
    assert kinds <= set(FAMILIES) and len(kinds) == 13


@pytest.mark.parametrize("name", SHIPPED)
def test_a_config_counts_as_the_library_does(name: str) -> None:
    """Parameters, FLOPs and cached values; formats of the cache are the library's choice for some models, so values are compared."""
    ours, theirs = shipped(name), imported(SHIPPED[name])
    assert theirs.parameters == ours.parameters and theirs.activated == ours.activated and theirs.depth == ours.depth
    assert theirs.spec.tied_embeddings == ours.spec.tied_embeddings and theirs.spec.weights == ours.spec.weights
    for part in ("attention", "ffn", "router"):
        assert theirs.flops(part) == ours.flops(part)
    for context in (100, 5_000, 40_000):
        assert theirs.core_flops(context) == ours.core_flops(context)
        keys = [sum(layer.count * layer.core.keys(context) for layer in model.layers) for model in (ours, theirs)]
        assert keys[0] == keys[1]
    assert theirs.core_flops(1, Conventions(linear_core="block")) == ours.core_flops(1, Conventions(linear_core="block"))


@pytest.mark.parametrize("name", ["llama2-7b", "llama3-8b", "mistral-7b", "mixtral-8x7b", "gpt-oss-20b", "minimax-m1", "qwen2-7b"])
def test_the_cache_is_in_the_format_of_the_activations(name: str) -> None:
    assert imported(SHIPPED[name]).kv_stored(20_000) == shipped(name).kv_stored(20_000)


# --- families that the library has no model of


def test_deepseek_v2_lite_has_one_query_matrix() -> None:
    """deepseek-ai/DeepSeek-V2-Lite: 15.7 B parameters, 2.4 B activated (arXiv 2405.04434, appendix B)."""
    found = imported(
        config(
            "deepseek_v2", 2048, 27, 16, 16, 102400, **{**LATENT, "q_lora_rank": None}, intermediate_size=10944, moe_intermediate_size=1408,
            n_routed_experts=64, num_experts_per_tok=6, n_shared_experts=2, first_k_dense_replace=1, moe_layer_freq=1,
        )
    )  # fmt: skip
    assert found.parameters / 1e9 == pytest.approx(15.7, abs=0.05)
    assert (found.activated - found.embedding_weights) / 1e9 == pytest.approx(2.4, abs=0.2)
    assert [layer.count for layer in found.layers] == [1, 26]


def test_qwen2_moe_has_a_wide_shared_expert() -> None:
    """Qwen/Qwen2-57B-A14B: 57.4 B parameters, 14.2 B activated."""
    found = imported(
        config(
            "qwen2_moe", 3584, 28, 28, 4, 151936, num_experts=64, num_experts_per_tok=8, moe_intermediate_size=2560,
            intermediate_size=18944, decoder_sparse_step=1, shared_expert_intermediate_size=20480,
        )
    )  # fmt: skip
    assert found.parameters / 1e9 == pytest.approx(57.4, abs=0.1)
    assert found.activated / 1e9 == pytest.approx(14.2, abs=0.1)


def test_gemma_2_alternates_and_ties() -> None:
    """google/gemma-2-9b: 9.24 B parameters."""
    data = config("gemma2", 3584, 42, 16, 8, 256000, head_dim=256, intermediate_size=14336, sliding_window=4096)
    del data["tie_word_embeddings"]
    found = imported(data)
    assert found.spec.tied_embeddings and found.parameters / 1e9 == pytest.approx(9.24, abs=0.01)
    assert {part.window for part in found.spec.attention.values()} == {None, 4096}  # type: ignore[union-attr]
    assert [layer.count for layer in found.layers] == [21, 21] and found.spec.layers[0].attention == "sliding"


def test_gemma_3_attends_everything_on_every_sixth_layer() -> None:
    """google/gemma-3-27b: 27.0 B parameters without the vision tower; 62 layers, ten of them full."""
    text = config("gemma3_text", 5376, 62, 32, 16, 262208, head_dim=128, intermediate_size=21504, sliding_window=1024)
    del text["tie_word_embeddings"]
    found = imported({"model_type": "gemma3", "text_config": text, "vision_config": {}})
    assert found.parameters / 1e9 == pytest.approx(27.0, abs=0.05)
    assert {group.attention: group.count for group in found.spec.layers} == {"sliding": 52, "full": 10}
    assert {g.attention: g.count for g in imported({**text, "sliding_window_pattern": 31}).spec.layers} == {"sliding": 60, "full": 2}


def test_phi3_mini() -> None:
    """microsoft/Phi-3-mini-4k: 3.82 B parameters, a window on every layer."""
    found = imported(config("phi3", 3072, 32, 32, 32, 32064, intermediate_size=8192, sliding_window=2047))
    assert found.parameters / 1e9 == pytest.approx(3.82, abs=0.005)
    assert found.kv_stored(10_000) == found.kv_stored(2047)


def test_minimax_of_transformers_names_its_layers() -> None:
    data = {**SHIPPED["minimax-m1"], "model_type": "minimax", "block_size": 128}
    del data["attn_type_list"]
    data["layer_types"] = (["linear_attention"] * 7 + ["full_attention"]) * 10
    document = model_of_config(data)
    assert document["layers"] == [
        {"count": 70, "attention": "linear", "ffn": "moe"},
        {"count": 10, "attention": "full", "ffn": "moe"},
    ]
    assert document["attention"]["linear"]["block"] == 128


def test_ernie_4_5_dense() -> None:
    """baidu/ERNIE-4.5-0.3B: 0.36 B parameters."""
    data = config("ernie4_5", 1024, 18, 16, 2, 103424, head_dim=128, intermediate_size=3072, tie_word_embeddings=True)
    assert imported(data).parameters / 1e9 == pytest.approx(0.36, abs=0.005)


# --- which layer is what


def attention(data: Config) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group in model_of_config(data)["layers"]:
        counts[group["attention"]] = counts.get(group["attention"], 0) + group["count"]
    return counts


def ffn(data: Config) -> dict[str, int]:
    counts: dict[str, int] = {}
    for group in model_of_config(data)["layers"]:
        counts[group["ffn"]] = counts.get(group["ffn"], 0) + group["count"]
    return counts


def test_qwen_windows_start_at_max_window_layers() -> None:
    data = SHIPPED["qwen2-7b"] | {"use_sliding_window": True, "max_window_layers": 20, "sliding_window": 4096}
    assert attention(data) == {"full": 20, "sliding": 8}
    assert attention(data | {"layer_types": ["full_attention"] * 28}) == {"full": 28}
    assert attention(data | {"sliding_window": None}) == {"full": 28}


def test_gpt_oss_without_layer_types_alternates() -> None:
    data = {key: value for key, value in GPT_OSS.items() if key != "layer_types"}
    assert model_of_config(data)["layers"] == model_of_config(GPT_OSS)["layers"]


def test_llama_4_says_which_layers_have_rotary_positions() -> None:
    text = MAVERICK["text_config"]
    assert attention({**text, "no_rope_layers": [1, 0] * 24}) == {"chunked": 24, "full": 24}
    assert attention({**text, "no_rope_layer_interval": 3}) == {"chunked": 32, "full": 16}
    assert attention({**text, "attention_chunk_size": None}) == {"full": 48}
    assert ffn({**text, "interleave_moe_layer_step": 1}) == {"moe": 48}
    assert ffn({**text, "moe_layers": [0, 1, 5]}) == {"moe": 3, "dense": 45}


def test_experts_on_some_layers() -> None:
    qwen = SHIPPED["qwen3-235b"]
    assert ffn(qwen | {"decoder_sparse_step": 2, "mlp_only_layers": [1, 3]}) == {"dense": 49, "moe": 45}
    deepseek = SHIPPED["deepseek-v3"]
    assert ffn(deepseek | {"first_k_dense_replace": 4, "moe_layer_freq": 2}) == {"dense": 32, "moe": 29}  # 4, 6, .. 60
    assert ffn(deepseek | {"n_routed_experts": None}) == {"dense": 61}
    ernie = SHIPPED["ernie-4.5-300b"]
    assert ffn(ernie | {"moe_layer_interval": 2, "moe_layer_end_index": 49}) == {"dense": 30, "moe": 24}  # 3, 5, .. 49
    assert ffn(ernie | {"moe_layer_end_index": -1}) == {"dense": 3, "moe": 51}
    assert ffn({**STEP3["text_config"], "moe_layers_enum": [0, 60]}) == {"moe": 2, "dense": 59}


def test_alike_layers_stand_together_in_the_order_of_the_model() -> None:
    assert model_of_config(MAVERICK)["layers"] == [
        {"count": 24, "attention": "chunked", "ffn": "dense"},
        {"count": 12, "attention": "chunked", "ffn": "moe"},
        {"count": 12, "attention": "full", "ffn": "moe"},
    ]


# --- formats


@pytest.mark.parametrize(
    ("quantization", "weights"),
    [
        (BLOCK_FP8, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        (MXFP4, "mxfp4"),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4"),
        ({"quant_method": "awq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "fp4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}}, "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}}, "int4"),
    ],
)
def test_quantized_weights(quantization: Config, weights: str) -> None:
    found = read_model(SHIPPED["llama3-8b"] | {"quantization_config": quantization})
    assert (found.document["weights"], found.document["kv"]) == (weights, "bf16")
    assert found.notes == (f"all weights count as {weights}: scales, and parts kept in bf16, are not counted apart",)


def test_mxfp4_is_of_the_experts_alone() -> None:
    found = read_model(GPT_OSS)
    assert (found.document["weights"], found.document["expert_weights"], found.document["kv"]) == ("bf16", "mxfp4", "bf16")
    assert found.notes == ()


def test_a_quantized_cache() -> None:
    scheme = {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}}}
    data = SHIPPED["llama3-8b"] | {"quantization_config": scheme | {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}}
    assert model_of_config(data)["kv"] == "fp8"


def test_the_newer_name_of_torch_dtype() -> None:
    data = {key: value for key, value in SHIPPED["llama3-8b"].items() if key != "torch_dtype"}
    assert model_of_config(data | {"dtype": "float16"})["weights"] == "fp16"


def test_what_is_left_out_is_told() -> None:
    assert any("multi-token prediction (1 more layer)" in note for note in read_model(SHIPPED["deepseek-v3"]).notes)
    assert read_model(MAVERICK).notes == ("only the language model (text_config) is read",)
    assert read_model(SHIPPED["llama3-8b"]).notes == ()


# --- names and files


def test_a_path_gives_what_its_content_gives(tmp_path: Path) -> None:
    folder = tmp_path / "Llama-3-8B"
    folder.mkdir()
    (folder / "config.json").write_text("\ufeff" + json.dumps(SHIPPED["llama3-8b"], indent="\t"))
    (tmp_path / "other.json").write_text(json.dumps(SHIPPED["llama3-8b"]))
    document = model_of_config(folder / "config.json")
    assert document["name"] == "Llama-3-8B" and str(tmp_path) not in json.dumps(document)
    assert model_of_config(str(tmp_path / "other.json"))["name"] == "other"
    nameless = model_of_config(SHIPPED["llama3-8b"] | {"_name_or_path": "meta-llama/Meta-Llama-3-8B"})
    assert nameless["name"] == "Meta-Llama-3-8B" and model_of_config(SHIPPED["llama3-8b"])["name"] == "llama"
    assert document | {"name": "llama"} == model_of_config(SHIPPED["llama3-8b"])


# --- mistakes


def mistakes(data: Config, tmp_path: Path) -> list[str]:
    """What is told of a config.json, without the name of the file."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data, indent=1))
    with pytest.raises(SpecError) as caught:
        model_of_config(path)
    return [str(issue).removeprefix(f"{path}:") for issue in caught.value.issues]


def test_an_unknown_type_shows_the_fields_and_the_known_types(tmp_path: Path) -> None:
    (told,) = mistakes({"model_type": "llama3", "d_model": 64, "n_layer": 2}, tmp_path)
    assert told.startswith("2:2: model_type: 'llama3' is not known; did you mean 'llama'?; known are llama, mistral, ")
    assert told.endswith("; the fields here are model_type, d_model, n_layer")
    (told,) = mistakes({"model_type": "llava", "text_config": {"model_type": "opt", "hidden_size": 1}}, tmp_path)
    assert told.startswith("4:3: text_config.model_type: 'opt' is not known") and told.endswith("here are model_type, hidden_size")
    (told,) = mistakes({"model_type": ["llama"]}, tmp_path)
    assert "model_type: a list is not known" in told


def test_all_mistakes_are_told_in_one_run(tmp_path: Path) -> None:
    data = SHIPPED["qwen3-235b"] | {"num_key_value_heads": 5, "num_experts_per_tok": 200, "torch_dtype": "int3", "vocab_size": -1}
    del data["head_dim"], data["moe_intermediate_size"]
    assert mistakes(data, tmp_path) == [
        "1:1: head_dim: missing; it must be a whole number",
        "1:1: moe_intermediate_size: missing; it must be a whole number",
        "6:2: vocab_size: must be a whole number of at least 1, not -1",
        "7:2: num_key_value_heads: must divide 64, the num_attention_heads, not 5",
        "9:2: torch_dtype: must be bfloat16, float16 or float32, not 'int3'",
        "13:2: num_experts_per_tok: must be at most 128, the num_experts, not 200",
    ]


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("gpt-oss-20b", {"layer_types": ["full_attention"]}, "layer_types: has 1 items, but num_hidden_layers is 24"),
        ("gpt-oss-20b", {"layer_types": ["full_atention"] * 24}, "not one of 'full_attention', .*; did you mean 'full_attention'"),
        ("gpt-oss-20b", {"sliding_window": None}, "sliding_window: missing"),
        ("minimax-m1", {"attn_type_list": None}, "attn_type_list: missing; it must hold a 0"),
        ("minimax-m1", {"attn_type_list": [2] * 80}, "attn_type_list: 2 is not one of 0, 1"),
        ("minimax-m1", {"attn_type_list": [True] * 80}, "attn_type_list: true is not one of 0, 1"),
        (
            "llama3-8b",
            {"num_attention_heads": 24, "num_key_value_heads": 8},
            "head_dim: missing, and hidden_size 4096 is no multiple of 24",
        ),
        ("llama3-8b", {"num_hidden_layers": 10**12}, "num_hidden_layers: must be at most 10000"),
        ("llama3-8b", {"tie_word_embeddings": "no"}, "tie_word_embeddings: must be true or false, not 'no'"),
        ("llama3-8b", {"quantization_config": {"quant_method": "hqq", "nbits": 3}}, "quant_method 'hqq' with {'nbits': 3} is not known"),
        ("llama3-8b", {"quantization_config": "fp8"}, "quantization_config: must be a mapping, not 'fp8'"),
        ("llama3-8b", {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}}}, "is not known; known are fp8"),
        ("qwen3-235b", {"mlp_only_layers": [94]}, "mlp_only_layers: must hold numbers of layers from 0 to 93, not 94"),
        ("qwen3-235b", {"mlp_only_layers": 3}, "mlp_only_layers: must be a list, not 3"),
        ("ernie-4.5-300b", {"moe_intermediate_size": [3584, 1]}, "moe_intermediate_size: must be a whole number .*, not a list"),
    ],
)
def test_a_mistake_is_told_at_its_field(name: str, change: Config, told: str, tmp_path: Path) -> None:
    lines = mistakes(SHIPPED[name] | change, tmp_path)
    assert len(lines) == 1
    place, _, message = lines[0].partition(": ")
    assert all(part.isdecimal() for part in place.split(":"))
    assert re.search(told, message)


def test_what_transformers_fills_in_differently_must_be_written(tmp_path: Path) -> None:
    for name, field, null in (("mistral-7b", "sliding_window", "no window"), ("deepseek-v3", "q_lora_rank", "one matrix")):
        data = {key: value for key, value in SHIPPED[name].items() if key != field}
        assert mistakes(data, tmp_path) == [f"1:1: {field}: missing; it must be a whole number, or null for {null}"]


def test_step3_needs_its_list_of_layers(tmp_path: Path) -> None:
    text = {key: value for key, value in STEP3["text_config"].items() if key != "moe_layers_enum"}
    (told,) = mistakes({**STEP3, "text_config": text}, tmp_path)
    assert "text_config.moe_layers_enum: missing; it must hold the numbers of the layers with experts" in told
    (told,) = mistakes({**STEP3, "text_config": text | {"moe_layers_enum": "4,x"}}, tmp_path)
    assert "must hold numbers of layers from 0 to 60, not 'x'" in told


def test_files_that_are_no_configs(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text, told in (
        ("[" * 100_000, "not read: "),
        ('{"model_type": "llama", "vocab_size": ' + "9" * 5000 + "}", "not read: "),
        ('{"a": 1', "not JSON: "),
        ("3", "holds 3; "),
    ):
        path.write_text(text)
        with pytest.raises(SpecError, match=told):
            model_of_config(path)
    with pytest.raises(SpecError, match="no such file"):
        model_of_config(tmp_path / "none.json")
