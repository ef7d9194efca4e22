"""A language model as its configuration gives it: layers of attention and feed-forward parts (``workloads/models/*.yaml``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import FieldError, Spec
from attnsim.spec.dtype import Dtype
from attnsim.spec.quantity import Count, Size


class GroupedAttention(Spec):
    """Softmax attention with its own keys for every group of query heads: MHA, GQA, MQA, and MFA with a low-rank query."""

    kind: Literal["gqa"]
    heads: Size = Field(description="query heads")
    kv_heads: Size = Field(description="heads of keys and values; 1: all query heads share them (MQA, MFA)")
    head_dim: Size
    value_dim: Size | None = Field(default=None, description="left out: head_dim")
    query_rank: Size | None = Field(default=None, description="width between the two factors of a low-rank query projection (MFA)")
    window: Size | None = Field(default=None, description="most keys a token attends: sliding window or chunk")
    output_gate: bool = Field(default=False, description="a gate as wide as the heads before the output projection")
    kv: Dtype | None = Field(default=None, description="format of the cached keys and values; left out: the model's")

    @model_validator(mode="after")
    def _groups_divide(self) -> GroupedAttention:
        if self.heads % self.kv_heads:
            raise FieldError(f"must divide {self.heads}, the query heads, not {self.kv_heads}", "kv_heads")
        return self


class LatentAttention(Spec):
    """Multi-head latent attention: one latent vector a token is cached, and a rotary key shared by all heads (arXiv 2405.04434)."""

    kind: Literal["mla"]
    heads: Size
    query_rank: Size | None = Field(default=None, description="width between the two factors of the query projection; left out: one matrix")
    kv_rank: Size = Field(description="width of the cached latent")
    rope_dim: Size = Field(description="width of the cached rotary key")
    nope_dim: Size = Field(description="width of a head's key without position")
    value_dim: Size
    kv: Dtype | None = None


class LinearAttention(Spec):
    """Linear attention with a state per head in place of cached keys (Lightning Attention, arXiv 2401.04658)."""

    kind: Literal["linear"]
    heads: Size
    head_dim: Size
    output_gate: bool = False
    block: Size = Field(default=256, description="tokens of the blocks in which it is computed over a prompt")
    state: Dtype = Field(default="fp32", description="format of the state")


class DenseFfn(Spec):
    """A feed-forward part that every token goes through."""

    kind: Literal["dense"]
    width: Size
    gated: bool = Field(default=True, description="three matrices (gate, up, down), or two")


class MoeFfn(Spec):
    """Experts of which a router chooses `top_k` for every token, and shared ones that all tokens use."""

    kind: Literal["moe"]
    experts: Size
    top_k: Size
    width: Size = Field(description="of a routed expert")
    shared: Count = Field(default=0, description="shared experts")
    shared_width: Size | None = Field(default=None, description="of a shared expert; left out: as the routed ones")
    gated: bool = True

    @model_validator(mode="after")
    def _chooses_some(self) -> MoeFfn:
        if self.top_k > self.experts:
            raise FieldError(f"must be at most {self.experts}, the experts, not {self.top_k}", "top_k")
        return self


AttentionSpec = Annotated[GroupedAttention | LatentAttention | LinearAttention, Field(discriminator="kind")]
FfnSpec = Annotated[DenseFfn | MoeFfn, Field(discriminator="kind")]


class LayerGroup(Spec):
    """Layers that are alike."""

    count: Size
    attention: str = Field(description="one of `attention`")
    ffn: str = Field(description="one of `ffn`")


class Published(Spec):
    """What the makers say, for checks."""

    parameters: Annotated[float, Field(gt=0)] | None = None
    activated: Annotated[float, Field(gt=0)] | None = Field(default=None, description="parameters that one token goes through")
    activated_embeddings: Literal["both", "head", "none"] = Field(
        default="both", description="what `activated` counts of the embedding and the head: both matrices, the head alone, none"
    )
    source: str = ""


class TransformerSpec(Spec):
    """A model file."""

    attnsim: Literal[1]
    kind: Literal["transformer"]
    name: str = Field(min_length=1)
    title: str = ""
    aliases: list[str] = []
    source: str = Field(min_length=1)
    hidden: Size
    vocabulary: Size
    tied_embeddings: bool = False
    weights: Dtype = Field(description="format of the weights")
    expert_weights: Dtype | None = Field(default=None, description="format of routed experts, where it is another")
    kv: Dtype = Field(description="format of the cached keys and values")
    attention: dict[str, AttentionSpec] = Field(min_length=1)
    ffn: dict[str, FfnSpec] = Field(min_length=1)
    layers: list[LayerGroup] = Field(min_length=1, description="groups of alike layers; their order does not matter")
    published: Published = Field(default_factory=Published)

    @model_validator(mode="after")
    def _layers_name_parts(self) -> TransformerSpec:
        for index, group in enumerate(self.layers):
            for part in ("attention", "ffn"):
                name = getattr(group, part)
                if name not in getattr(self, part):
                    raise FieldError(f"no {part} '{name}' here, only {', '.join(getattr(self, part))}", "layers", index, part)
        return self
