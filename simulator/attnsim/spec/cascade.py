"""A cascade of extended Einsums as the user writes it: ranks, inputs and equations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from attnsim.spec.base import Aliases, FieldError, FormatVersion, Name, Source, Spec, Title


def _joined(item: Any) -> Any:
    """The text of an equation that YAML split into a one-pair mapping.

    YAML ends a key at a colon before a space, so the unquoted line `LM[p] = QK[m,p] :: max(m)` arrives as {"LM[p] = QK[m,p] :": "max(m)"}.
    The equation is put together again, for the file to read like the paper.
    """
    if isinstance(item, dict) and len(item) == 1:
        (key, value), *_ = item.items()
        if isinstance(key, str) and key.endswith(":") and isinstance(value, str):
            return f"{key}: {value}"
    if not isinstance(item, str):
        raise FieldError(f"write an equation such as 'SN[m,p] = exp(QK[m,p] - GM[p])', not {item!r}")
    return item


EquationText = Annotated[
    str,
    BeforeValidator(_joined),
    Field(
        description="an extended Einsum; the object form is what an unquoted '… :: max(m)' is to YAML",
        examples=["QK[m,p] = Q[p,e] * K[m,e]", "SN[m,p] = exp(QK[m,p] - GM[p])", "RM[m1+1,p] = max(RM[m1,p], LM[m1,p])"],
        json_schema_extra={
            "type": ["string", "object"],
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {"type": "string"},
        },
    ),
]


class CascadeSpec(Spec):
    """An algorithm as equations.

    A rank is an upper-case name, its variable in an index the same name in lower case (m1 walks M1). Batch ranks are on every tensor that
    has them and are left out of the equations.
    """

    attnsim: FormatVersion
    kind: Literal["cascade"]
    name: Name = Field(min_length=1)
    title: Title = ""
    source: Source = ""
    computes: str = Field(default="", description="name of the function it computes; cascades with the same name give the same result")
    aliases: Aliases = Field(default_factory=list)
    algorithms: list[str] = Field(default_factory=list, description="published algorithms that compute it this way")
    ranks: dict[str, str] = Field(description="every rank and what it stands for, for example {P: query, M: key}", min_length=1)
    batch: list[str] = Field(default_factory=lambda: ["B", "H"], description="ranks that are left out of the equations")
    groups: dict[str, str] = Field(
        default_factory=dict,
        description="{G: H}: a tensor declared with G is shared by the H/G heads of a group. Left out: {G: H} where an input has G",
    )
    shared: dict[str, str] = Field(
        default_factory=dict, description="{dK: G}: a computed tensor that the heads of a group have in common; it is summed over them"
    )
    positions: list[str] = Field(
        default_factory=lambda: ["P", "M"], description="query and key rank that the mask applies to; [] for none", max_length=2
    )
    inputs: dict[str, list[str]] = Field(
        description="ranks of every input, batch ranks included, for example {Q: [B, H, P, E]}", min_length=1
    )
    outputs: list[str] = Field(default_factory=list, description="left out: the tensors that no equation reads")
    partition: dict[str, list[str]] = Field(default_factory=dict, description="{M: [M1, M0]}: outer to inner; M0 is the schedule's tile")
    init: list[EquationText] = Field(default_factory=list, description="iterative tensors at coordinate 0, for example 'RM[0,p] = -inf'")
    body: list[EquationText] = Field(description="the equations", min_length=1)
    finally_: list[EquationText] = Field(
        default_factory=list, alias="finally", description="equations that read final coordinates, for example RD[M1,p]"
    )
