"""The model every spec is built on, and the error a validator raises to point at one of its own fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FormatVersion = Annotated[Literal[1], Field(description="version of the file format")]
Name = Annotated[str, Field(description="what it is called on the command line and in answers")]
Title = Annotated[str, Field(description="one line for lists and answers")]
Aliases = Annotated[list[str], Field(description="other names it goes by")]
Source = Annotated[str, Field(description="where it is from: paper and section, repository and file")]


class Spec(BaseModel):
    """A frozen model that refuses unknown fields, NaN and infinity.

    Validators are built on first use, not on import: a run touches a few models of many.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
    )


class FieldError(ValueError):
    """What a validator of a whole model raises to name the field at fault: `FieldError("must be below right", "left")`.

    `loc` is relative to the model that is validated; the reader of the file turns it into a line and column.
    """

    def __init__(self, message: str, *loc: str | int) -> None:
        """Keep the message and the place."""
        super().__init__(message)
        self.loc = loc
