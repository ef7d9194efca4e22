"""How a kernel tiles a cascade: loops, tile table, residency, unit bindings, overlap, splits and fitted constants (``kind: schedule``)."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from attnsim.spec.base import Aliases, FieldError, FormatVersion, Name, Source, Spec, Title
from attnsim.spec.constants import Constants, Efficiencies, OpsList, Overlap, listed
from attnsim.spec.dtype import Dtype
from attnsim.spec.quantity import Share, Size, Whole

MaskName = Literal[
    "dense", "causal", "window", "sinks", "neighborhood", "windows", "strided", "span", "packed", "blocks", "topk", "per_head", "any"
]
UnitName = Literal["tensor", "vector", "sfu"]
LevelName = Literal["smem", "register", "tmem", "l1", "l2"]


class PathChoice(Spec):
    """An instruction path and the machines that take it."""

    when: str | None = Field(default=None, description="condition over sizes, isa, dtype, mask ...; left out: always")
    value: str = Field(description="name of a path of the arch file's unit")


def _chosen(value: Any) -> Any:
    """A single choice may be written as its name."""
    return [{"value": value}] if isinstance(value, str) else value


Order = Literal["launch", "longest-first", "stream-k"]


class OrderChoice(Spec):
    """In which order the CTAs of a grid are handed out, and when."""

    when: str | None = Field(default=None, description="condition over sizes, isa, dtype, mask ...; left out: always")
    value: Order = Field(description="launch: as numbered; longest-first: most work first; stream-k: equal shares of all tiles")


class Loop(Spec):
    """One loop of the nest, or the group of ranks spread over CTAs."""

    ranks: list[str] = Field(default_factory=list, description="ranks of the CTA grid, the fastest varying first")
    rank: str | None = Field(default=None, description="rank of a sequential loop")
    parallel: Literal["cta", "core"] | None = Field(default=None, description="cta: over thread blocks of a GPU; core: over cores of a CPU")
    sequential: Literal["first-to-last", "last-to-first"] | None = Field(
        default=None, description="in which order the tiles of `rank` are walked"
    )
    order: Annotated[list[OrderChoice], BeforeValidator(_chosen)] = Field(
        default_factory=list, description="in which order the CTAs of the grid are handed out: launch (default), longest-first, stream-k"
    )
    persistent: bool = Field(default=False, description="one CTA per slot fetches tiles until none is left")

    @model_validator(mode="after")
    def _one_kind(self) -> Loop:
        if (self.parallel is None) == (self.sequential is None):
            raise FieldError("a loop is either `parallel: cta` over `ranks`, or `sequential: first-to-last` over one `rank`")
        if self.parallel is not None and (not self.ranks or self.rank is not None):
            raise FieldError("a parallel loop lists its `ranks`, the fastest varying first", "ranks")
        if self.sequential is not None and (self.rank is None or self.ranks):
            raise FieldError("a sequential loop names one `rank`", "rank")
        return self


_TILE_NAMES = {"q": "P", "kv": "M"}


def _check_size(name: str, value: Any) -> None:
    for side in value if isinstance(value, list) and value else [value]:
        try:
            Whole(1).read(side)
        except ValueError as error:
            raise FieldError(str(error), name) from None


class Tile(Spec):
    """A row of the tile table: tile sizes by rank (``P: 128, M: 64``) and the warps that work on them; the first row whose `when` holds
    is used. A size by axis (``P: [4, 8, 8]``) is a box of tokens, which the kernel holds side by side. `q` and `kv` are other names
    of P and M.
    """

    model_config = ConfigDict(extra="allow")

    when: str | None = Field(default=None, description="condition over sizes, isa, dtype, mask ...; left out: always")
    warps: Size | None = Field(default=None, description="warps that compute (producer warps are not counted)")
    ctas: Size | None = Field(
        default=None, description="CTAs per processor, where the kernel fixes it (else from shared memory, registers and threads)"
    )
    registers: Size | None = Field(default=None, description="registers per thread of the computing warps")
    rows: Size | None = Field(default=None, description="of a matrix product in a kernel of its own: rows of the output a CTA computes")
    cols: Size | None = Field(default=None, description="and columns, whatever ranks they are made of")
    depth: Size | None = Field(default=None, description="and the step of its reduction, in which a split divides it")
    cluster: Size | None = Field(default=None, description="CTAs of it that load the tile of an operand they share once (multicast)")

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.keys() & _TILE_NAMES.keys():
            return data
        for name in _TILE_NAMES.keys() & data.keys():
            _check_size(name, data[name])
        return {key: value for key, value in data.items() if key not in _TILE_NAMES} | {
            rank: data[name] for name, rank in _TILE_NAMES.items() if name in data
        }

    @model_validator(mode="after")
    def _ranks_are_sizes(self) -> Tile:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if not (name[:1].isupper() and name.isalnum()):
                raise FieldError(
                    "unknown field; a tile row holds `when`, `warps`, `ctas`, `registers`, `rows`, `cols`, `depth`, `cluster` and sizes by "
                    "rank, as `P: 128`",
                    name,
                )
            _check_size(name, value)
        return self

    def sizes(self) -> dict[str, int]:
        """Tile size of every rank the row names: of a box, its tokens."""
        return {name: prod(map(int, value)) if isinstance(value, list) else int(value) for name, value in self._given().items()}

    def shape(self, rank: str) -> int | tuple[int, ...]:
        """Tile size of a rank, or the sides of its box. KeyError for a rank the row does not name."""
        value = self._given()[rank]
        return tuple(map(int, value)) if isinstance(value, list) else int(value)

    def _given(self) -> dict[str, Any]:
        return self.__pydantic_extra__ or {}


class Split(Spec):
    """How the sequential rank is split over several CTAs when the grid is small (split-KV)."""

    rank: str = Field(description="of a sequential loop; of a matrix product in a kernel of its own: depth, its reduced ranks")
    rule: Literal["wave-efficiency", "fill", "even-share", "pieces", "stream-k"] = Field(
        description="wave-efficiency: FlashAttention's heuristic; fill: as many as fit in one wave, of one length for all "
        "walks; "
        "even-share: pieces of at most the tiles that each slot would get and a tenth more; pieces: of what each slot would get, rounded "
        "up as `pieces` and `least` say; stream-k: each slot gets as many tiles"
    )
    when: str | None = Field(default=None, description="condition under which the kernel splits at all")
    slots_per_processor: Size = Field(default=1, description="CTAs per processor that the heuristic counts with")
    enough: Share = Field(
        default=0.8,
        description="one split when the grid already fills this share of the slots; default: FlashAttention-2",
    )
    keep: Share = Field(
        default=0.85, description="the smallest split count whose wave efficiency is at least this share of the best; default: as `enough`"
    )
    maximum: Size = Field(default=128, description="most splits of one walk; default: as `enough`")
    least: Size = Field(default=1, description="of fill: positions of the shortest piece; of pieces: long ones are multiples of so many")
    pieces: dict[int, Size] = Field(
        default_factory=dict, description="of pieces: where a slot would get no more positions than the key, the length of a piece"
    )
    min_tiles: Size = Field(default=1, description="no split when the sequential loop has at most this many tiles")
    unsplit: str = Field(default="", description="schedule that the library runs in place of this one where nothing is split")
    combine: Literal["kernel", "always", "in-kernel"] = Field(
        default="kernel",
        description="partial results merged by a second kernel, by one that is launched even when nothing was split, or inside through "
        "scratch memory",
    )
    source: str = Field(default="", description="where the rule is from")


class Registers(Spec):
    """Where the registers of a CTA go that hold no tile; with what `resident` keeps in registers, which tiles the code can be built for."""

    beside: Size = Field(description="per thread of a computing warp: addresses, row maxima and sums, operands on their way")
    producer_warps: Annotated[int, Whole(0)] = Field(default=0, description="warps that only load; `warps` of a tile row leaves them out")
    producer: Size = Field(default=24, description="per thread of a producer warp (setmaxnreg)")
    together: list[str] = Field(
        default_factory=list,
        description="tensors held beside what they are made from, since the next tile's is computed meanwhile; any other takes its place",
    )
    source: str = Field(min_length=1, description="where the numbers are from")


class HelperKernel(Spec):
    """A small kernel beside the main one that streams whole tensors through memory."""

    name: str = Field(description="what the kernel is called in answers")
    when: str | None = Field(default=None, description="condition under which it is launched at all")
    einsums: list[str] = Field(default_factory=list, description="Einsums it computes")
    reads: dict[str, Dtype | Literal["io"]] = Field(
        default_factory=dict, description="tensors it reads once, with their stored format (io: the workload's)"
    )
    writes: dict[str, Dtype | Literal["io"]] = Field(
        default_factory=dict, description="tensors it writes once, with their stored format (io: the workload's)"
    )


class Permute(Spec):
    """Tokens laid out in boxes before the kernel and back after it: every input and output read and written once."""

    memory_efficiency: Efficiencies = Field(description="share of the sustained memory bandwidth that the copies reach")


class Selection(Spec):
    """What a kernel does before it attends the blocks of keys that a topk mask leaves: it scores them and chooses."""

    cascade: str = Field(description="how blocks are scored; rank C, where it has one, takes the blocks, and N the keys of a block")
    schedule: str = Field(description="schedule of the scoring")
    dtype: Dtype | None = Field(default=None, description="number format of the scoring; left out: the workload's")
    sort_passes: OpsList = Field(
        default_factory=list, description="how often every score and its 4-byte index are read and written until the best are found"
    )
    gather_efficiency: Efficiencies = Field(
        default_factory=list,
        description="share of the sustained memory bandwidth that copies of gathered rows reach, where queries that chose the same block "
        "are put together and their partial results merged; left out: the kernel takes only queries that choose together",
    )


class ScheduleSpec(Spec):
    """A schedule file."""

    attnsim: FormatVersion
    kind: Literal["schedule"]
    name: Name = Field(min_length=1)
    title: Title = ""
    aliases: Aliases = Field(default_factory=list)
    source: Source = ""
    cascade: str = Field(description="the cascade it was written for")
    direction: Literal["forward", "backward"] = Field(default="forward", description="of the cascade it runs")
    backward: str | None = Field(default=None, description="schedule used when the workload's direction is backward")
    requires: str | None = Field(
        default=None, description="condition on machine and workload, for example 'isa == sm_90 and dtype in [fp16, bf16, fp8]'"
    )
    fusion: Literal["all", "none", "stream"] | list[list[str]] = Field(
        default="all",
        description="all: one kernel; none: each Einsum its own kernel; stream: all in one streaming kernel; or lists of the Einsums fused "
        "into one streaming kernel",
    )
    loops: list[Loop] = Field(default_factory=list, description="outermost first")
    tiles: Annotated[list[Tile], BeforeValidator(listed)] = Field(
        default_factory=list, description="tile sizes; the first row whose `when` holds is used"
    )
    tile_rule: Literal["first", "fastest"] = Field(
        default="first",
        description="which row of `tiles` a kernel takes: the first that holds, or, for a matrix product in a kernel of its own, that of "
        "all which hold that is fastest here, as a library's heuristic tries to find it",
    )
    tile_choices: Annotated[list[Tile], BeforeValidator(listed)] = Field(
        default_factory=list,
        description="all tiles the kernel is built for, rows as in `tiles`; `attnsim recommend` tries those whose `when` holds",
    )
    masks: list[MaskName] = Field(
        default=["dense", "causal", "window", "sinks"], description="kinds of masks whose tiles it skips; any: it computes every pair"
    )
    masking: Literal["partial", "whole-windows", "unless-block-sparse"] = Field(
        default="partial",
        description="tiles whose mask is computed: those with a masked pair; these, but under a window all; or all unless the kernel's own "
        "test finds none",
    )
    block_mask: dict[str, Size] | None = Field(
        default=None,
        description="sides of the blocks the mask is stored in, by rank, multiples of the tile: a block is skipped, masked, or computed "
        "without a mask as a whole; left out: tile by tile",
    )
    key_tiles: Literal["static", "dynamic"] = Field(
        default="static", description="boxes of keys start at multiples of their sides, or at the first key needed"
    )
    pack_groups: str = Field(
        default="never",
        description="query heads of a group as rows of one tile: never, always, efficient (when it fills tiles better), or a condition",
    )
    pack_threshold: Share = Field(
        default=0.9,
        description="with `efficient`: pack when unpacked tiles are filled below this share of packed ones; default: FlashAttention-3",
    )
    resident: dict[str, LevelName] = Field(
        default_factory=dict, description="tensor -> memory level that holds its tile (smem, register, tmem, l2 on CPUs)"
    )
    buffers: dict[str, Size] = Field(default_factory=dict, description="tensor -> pipeline stages of its tile (default 1)")
    registers: Registers | None = Field(
        default=None, description="registers beside the tiles; what `attnsim tune` holds other tiles against"
    )
    accumulator_dtype: Dtype = Field(default="fp32", description="format in which products are summed")
    bindings: dict[str, UnitName] = Field(
        default_factory=dict, description="operation kind or Einsum -> unit; default: mac on the tensor unit, the rest on vector"
    )
    tensor_path: Annotated[list[PathChoice], BeforeValidator(_chosen)] = Field(
        default_factory=list,
        description="instruction path of the tensor unit: mma_sync, wgmma, tcgen05, mfma ...; a name, or entries with `when`",
    )
    overlap: Overlap = Field(default_factory=Overlap, description="what of a resource's time nothing else hides")
    constants: Constants = Field(default_factory=Constants, description="the few numbers that the code of the kernel does not show")
    split: Split | None = Field(default=None, description="how a walk over the keys is divided among CTAs")
    permute: Permute | None = Field(default=None, description="for kernels whose tiles are boxes of tokens")
    selection: Selection | None = Field(default=None, description="for kernels of topk masks")
    before: list[HelperKernel] = Field(default_factory=list, description="helper kernels launched before the main one")
    after: list[HelperKernel] = Field(default_factory=list, description="helper kernels launched after the main one")

    @model_validator(mode="after")
    def _loops_fit_fusion(self) -> ScheduleSpec:
        if self.fusion == "all" and not any(loop.parallel for loop in self.loops):
            raise FieldError("a fused schedule needs a parallel loop: {ranks: [P, B, H], parallel: cta}", "loops")
        if self.tile_rule == "fastest" and (self.fusion != "none" or any(row.rows is None or row.cols is None for row in self.tiles)):
            raise FieldError("only `fusion: none` with `rows` and `cols` in every row of `tiles` takes the fastest one", "tile_rule")
        if "topk" in self.masks and self.selection is None:
            raise FieldError(
                "a kernel of topk masks says how it chooses: add `selection: {cascade: block-scores, schedule: matmul}`", "masks"
            )
        return self
