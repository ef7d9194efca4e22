"""What a user asks about a whole model: phase, context, batch or latency target, deployment and prices (``kind: model``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from attnsim.lanes import Number, maximum, minimum
from attnsim.spec.base import FieldError, FormatVersion, Name, Source, Spec, Title
from attnsim.spec.dtype import Dtype
from attnsim.spec.quantity import Between, Bytes, PositiveShare, Quantity, Seconds, Share, Size
from attnsim.spec.workload import Conditions


class Slo(Spec):
    """Latency targets: the largest batch that meets them is chosen where the workload gives none."""

    tpot: Annotated[float, Quantity("s")] | None = Field(default=None, description="time per output token of a request, for example 50 ms")
    ttft: Annotated[float, Quantity("s")] | None = Field(default=None, description="time to the first token")


class IdealDeployment(Spec):
    """The bound of arXiv 2507.19427, section 4: peak rates, weights read for free, no network; attention and FFN each on the machine where
    they cost least.
    """

    kind: Literal["ideal"]
    hardware: list[str] = Field(default=[], description="machines to choose from, beside the one asked about")
    disaggregated: bool = Field(default=True, description="attention and FFN may run on different machines")
    mla_value: Literal["latent", "latent_and_rope"] = Field(
        default="latent", description="width of the values of absorbed MLA; arXiv 2507.19427 counts the rotary part too"
    )
    linear_core: Literal["recurrent", "block"] = Field(
        default="recurrent",
        description="FLOPs of linear attention a token: of the state alone, or in blocks as arXiv 2507.19427 counts them",
    )
    gpus_per_server: Size = Field(default=8, description="GPUs, each with its network adapter, of a server of the FFN")


class CachePolicy(Spec):
    """Which keys and values of a request stay, and how memory for them is handed out."""

    kept: PositiveShare = Field(default=1.0, description="share of a request's tokens that stay in the cache, mean over layers and heads")
    budget: Size | None = Field(
        default=None, description="most tokens of a request that stay, such as sinks and a window (arXiv 2309.17453); left out: all"
    )
    page: Bytes | None = Field(
        default=None, description="bytes of a page, of which keys and values of a layer and request have their own (arXiv 2405.04437)"
    )
    block: Size | None = Field(default=None, description="tokens of a page, in place of its bytes (PagedAttention, arXiv 2309.06180)")

    @model_validator(mode="after")
    def _one_page(self) -> CachePolicy:
        if self.page is not None and self.block is not None:
            raise FieldError("give the bytes of a page (`page`) or its tokens (`block`)", "block")
        return self

    def tokens(self, context: Number) -> Number:
        """Tokens of a request of `context` tokens that stay, at least one."""
        return maximum(1, minimum(round(self.kept * context), self.budget or context))


class ServingStack(Spec):
    """What the software around the kernels adds to a step: constants measured or fitted, with where they come from."""

    name: str = Field(default="", description="what the stack is called")
    efficiency: PositiveShare = Field(default=1.0, description="speed of the stack's kernels as a share of this engine's")
    overhead: Seconds = Field(default=0.0, description="time of a step in which the devices wait for the host")
    cache_copies: Annotated[float, Between(0.0)] = Field(
        default=0.0, description="times a decoding step copies the cache, reading and writing it: to a longer tensor, another layout"
    )
    prompt_logits: bool = Field(
        default=False, description="scores of the vocabulary for every token of a prompt, in fp32 too, not for its last alone"
    )
    source: str = Field(default="", description="where the constants come from, or `fitted`")
    rows: str = Field(default="", description="what they were fitted on")

    @property
    def adds(self) -> bool:
        """Whether a step takes longer than its kernels."""
        return self.efficiency < 1 or self.overhead > 0 or self.cache_copies > 0

    @model_validator(mode="after")
    def _constants_have_a_source(self) -> ServingStack:
        if self.adds and not self.source:
            raise FieldError("say where the constants come from, `fitted` for example", "source")
        if self.source == "fitted" and not self.rows:
            raise FieldError("name the rows that the constants were fitted on", "rows")
        return self


class ColocatedDeployment(Spec):
    """All parts of a model on the same GPUs."""

    kind: Literal["colocated"]
    tp: Size = Field(default=1, description="GPUs that share every matrix (tensor parallel)")
    dp: Size = Field(default=1, description="groups of them, each with requests of its own (data parallel attention)")
    ep: Size = Field(default=1, description="GPUs over which the experts are spread; divides tp x dp, or is 1: experts are cut as the rest")
    pp: Size = Field(default=1, description="stages of layers (pipeline parallel)")
    memory: Share = Field(default=0.9, description="share of the memory that weights and cache may take")
    cache: CachePolicy = Field(default_factory=CachePolicy, description="which keys and values stay, and in which pages")
    stack: ServingStack = Field(default_factory=ServingStack, description="left out: the kernels of this engine and nothing between them")


class AfdDeployment(Spec):
    """Attention and FFN on servers of their own, micro-batches going round between them (arXiv 2507.19427, section 5; arXiv 2504.02263)."""

    kind: Literal["afd"]
    attention: Size = Field(description="servers of attention (x of xAyF)")
    ffn: Size = Field(description="servers of the FFN (y of xAyF)")
    attention_machine: str | None = Field(default=None, description="left out: the machine asked about")
    ffn_machine: str | None = Field(default=None, description="left out: the machine asked about")
    gpus_per_server: Size = Field(default=8, description="GPUs of a server")
    micro_batches: Size = Field(
        default=3, description="micro-batches in flight, one in each of attention, network and FFN; 4: a stage for each way of the network"
    )
    sync: Seconds = Field(
        default=0.0, description="time a stage waits for the slowest of its devices (jitter), beside the longest of the three"
    )
    memory: Share = Field(default=0.9, description="share of the memory that weights and cache may take")


class OffloadDeployment(Spec):
    """Attention on devices chosen for their memory, everything else on devices of compute (Lamina, arXiv 2405.01814v2): DOP(a, b)."""

    kind: Literal["offload"]
    compute: Size = Field(description="devices of compute (a), which share every matrix")
    memory: Size = Field(description="devices of memory (b), which share the requests")
    compute_machine: str | None = Field(default=None, description="left out: the machine asked about")
    memory_machine: str | None = Field(default=None, description="left out: the machine asked about")
    batches: Size = Field(default=2, description="batches that take turns (rotational staggered pipeline)")
    replicas: Size = Field(
        default=1, description="groups of `compute` devices, each with all weights, among which the batches rotate; the paper: batches - 1"
    )
    overlap: bool = Field(default=True, description="new keys and values travel while attention over the cache runs")
    share: Share = Field(default=0.9, description="share of the memory that the cache may take")
    slowdown: Share = Field(
        default=0.2, description="what the network may add to the time of a batch, for min_network_bytes_per_s (alpha, section 3.1)"
    )

    @model_validator(mode="after")
    def _a_batch_each(self) -> OffloadDeployment:
        if self.replicas > self.batches:
            raise FieldError(f"{self.replicas} replicas for {self.batches} batches: one would always wait; give more batches", "replicas")
        return self


Deployment = Annotated[IdealDeployment | ColocatedDeployment | AfdDeployment | OffloadDeployment, Field(discriminator="kind")]


class ModelWorkload(Spec):
    """A question about a whole model."""

    attnsim: FormatVersion
    kind: Literal["model"]
    name: Name = Field(min_length=1)
    title: Title = ""
    source: Source = ""
    model: str | dict[str, Any] = Field(description="library name, path, or an inline model")
    phase: Literal["decode", "prefill"] = Field(
        default="decode", description="decode: one more token for every request; prefill: the whole prompt"
    )
    context: Size = Field(description="tokens of a request: those before the one decoded, or those of the prompt")
    batch: Size | None = Field(default=None, description="requests at once; left out: the largest that fits and meets `slo`")
    slo: Slo = Field(default_factory=Slo, description="latency targets")
    dtype: Dtype | None = Field(
        default=None, description="format of matrix products; left out: the weights', where the machine computes in it"
    )
    attention_schedule: str | dict[str, Any] | None = Field(
        default=None, description="schedule of the softmax attention kernels; left out: the best known one"
    )
    kv: Dtype | None = Field(default=None, description="format of cached keys and values; left out: the model's")
    deployment: Deployment = Field(
        default_factory=lambda: ColocatedDeployment(kind="colocated"), description="on which devices the parts of the model run"
    )
    conditions: Conditions = Field(default_factory=Conditions, description="under which the kernels run")
    prices: str | None = Field(default=None, description="a price profile of arch_specs/prices.yaml")

    @model_validator(mode="after")
    def _batch_or_target(self) -> ModelWorkload:
        if self.batch is None and self.deployment.kind == "ideal" and self.slo.tpot is None:
            return self
        if self.phase == "prefill" and self.slo.tpot is not None:
            raise FieldError("a prompt has no time per output token; give `ttft`", "slo", "tpot")
        return self
