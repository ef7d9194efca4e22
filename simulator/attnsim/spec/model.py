"""A language model as its configuration gives it: layers of attention and feed-forward parts (``workloads/models/*.yaml``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from attnsim.spec.base import Aliases, FieldError, FormatVersion, Name, Source, Spec, Title
from attnsim.spec.dtype import Dtype
from attnsim.spec.quantity import Count, Size


class GroupedAttention(Spec):
    """Softmax attention with its own keys for every group of query heads: MHA, GQA, MQA, and MFA with a low-rank query."""

    kind: Literal["gqa"]
    heads: Size = Field(description="query heads")
    kv_heads: Size = Field(description="heads of keys and values; 1: all query heads share them (MQA, MFA)")
    head_dim: Size = Field(description="width of a query and key head")
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
    heads: Size = Field(description="query heads")
    query_rank: Size | None = Field(default=None, description="width between the two factors of the query projection; left out: one matrix")
    kv_rank: Size = Field(description="width of the cached latent")
    rope_dim: Size = Field(description="width of the cached rotary key")
    nope_dim: Size = Field(description="width of a head's key without position")
    value_dim: Size = Field(description="width of a value head")
    kv: Dtype | None = Field(default=None, description="format of the cached latent; left out: the model's")


class LinearAttention(Spec):
    """Linear attention with a state per head in place of cached keys (Lightning Attention, arXiv 2401.04658)."""

    kind: Literal["linear"]
    heads: Size = Field(description="heads, each with a state of head_dim x head_dim")
    head_dim: Size = Field(description="width of a head")
    output_gate: bool = Field(default=False, description="a gate as wide as the heads before the output projection")
    block: Size = Field(default=256, description="tokens of the blocks in which it is computed over a prompt")
    state: Dtype = Field(default="fp32", description="format of the state")


class DenseFfn(Spec):
    """A feed-forward part that every token goes through."""

    kind: Literal["dense"]
    width: Size = Field(description="of the hidden layer")
    gated: bool = Field(default=True, description="three matrices (gate, up, down), or two")


class MoeFfn(Spec):
    """Experts of which a router chooses `top_k` for every token, and shared ones that all tokens use."""

    kind: Literal["moe"]
    experts: Size = Field(description="routed experts of a layer")
    top_k: Size = Field(description="experts that the router chooses for a token")
    width: Size = Field(description="of a routed expert")
    shared: Count = Field(default=0, description="shared experts")
    shared_width: Size | None = Field(default=None, description="of a shared expert; left out: as the routed ones")
    gated: bool = Field(default=True, description="three matrices (gate, up, down), or two")

    @model_validator(mode="after")
    def _chooses_some(self) -> MoeFfn:
        if self.top_k > self.experts:
            raise FieldError(f"must be at most {self.experts}, the experts, not {self.top_k}", "top_k")
        return self


AttentionSpec = Annotated[GroupedAttention | LatentAttention | LinearAttention, Field(discriminator="kind")]
FfnSpec = Annotated[DenseFfn | MoeFfn, Field(discriminator="kind")]


class LayerGroup(Spec):
    """Layers that are alike."""

    count: Size = Field(description="how many layers")
    attention: str = Field(description="one of `attention`")
    ffn: str = Field(description="one of `ffn`")


class Published(Spec):
    """What the makers say, for checks."""

    parameters: Annotated[float, Field(gt=0)] | None = Field(default=None, description="of the whole model")
    activated: Annotated[float, Field(gt=0)] | None = Field(default=None, description="parameters that one token goes through")
    activated_embeddings: Literal["both", "head", "none"] = Field(
        default="both", description="what `activated` counts of the embedding and the head: both matrices, the head alone, none"
    )
    source: str = Field(default="", description="who says so")


class TransformerSpec(Spec):
    """A model file."""

    attnsim: FormatVersion
    kind: Literal["transformer"]
    name: Name = Field(min_length=1)
    title: Title = ""
    aliases: Aliases = []
    source: Source = Field(min_length=1)
    hidden: Size = Field(description="width of the residual stream")
    vocabulary: Size = Field(description="entries of the embedding")
    tied_embeddings: bool = Field(default=False, description="embedding and head share one matrix")
    weights: Dtype = Field(description="format of the weights")
    expert_weights: Dtype | None = Field(default=None, description="format of routed experts, where it is another")
    kv: Dtype = Field(description="format of the cached keys and values")
    attention: dict[str, AttentionSpec] = Field(min_length=1, description="kinds of attention by a name of your choice")
    ffn: dict[str, FfnSpec] = Field(min_length=1, description="kinds of feed-forward parts by a name of your choice")
    layers: list[LayerGroup] = Field(min_length=1, description="groups of alike layers; their order does not matter")
    published: Published = Field(default_factory=Published, description="what the makers say, for checks")

    @model_validator(mode="after")
    def _layers_name_parts(self) -> TransformerSpec:
        for index, group in enumerate(self.layers):
            for part in ("attention", "ffn"):
                name = getattr(group, part)
                if name not in getattr(self, part):
                    raise FieldError(f"no {part} '{name}' here, only {', '.join(getattr(self, part))}", "layers", index, part)
        return self
