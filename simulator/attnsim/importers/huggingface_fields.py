"""Fields of a config.json, read one by one; what is wrong or missing is remembered with its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from attnsim.errors import suggest
from attnsim.importers.common import Source
from attnsim.spec.quantity import Whole, show
from attnsim.spec.scan import Loc

T = TypeVar("T")

_MOST_LAYERS: Final = 10_000  # a list is made of them


@dataclass(frozen=True)
class Fields:
    """The fields of a language model, at `loc` of the file; of formats and tied embeddings, which stand outside too, those of the whole.

    After a mistake a value of 1, or an empty list, stands in, so that one run tells all.
    """

    source: Source
    loc: Loc = ()

    def fail(self, name: str, message: str) -> None:
        """Remember a mistake in a field."""
        self.source.fail((*self._place(name), name), message)

    def first(self, *names: str) -> tuple[str, Any]:
        """The first of some fields that is there and not null, or the first of the names and None."""
        for name in names:
            if (value := self.source.value((*self._place(name), name))) is not None:
                return name, value
        return names[0], None

    def has(self, name: str) -> bool:
        """Whether a field is written, be it null."""
        return name in self._data

    def size(self, *names: str, least: int = 1) -> int:
        """A whole number, which must be there under one of its names."""
        name, value = self.first(*names)
        if value is None:
            self.fail(name, "missing; it must be a whole number")
            return 1
        return self._whole(name, value, least)

    def optional(self, *names: str, least: int = 0) -> int | None:
        """A whole number; None where it is left out or null."""
        name, value = self.first(*names)
        return None if value is None else self._whole(name, value, least)

    def nullable(self, name: str, null: str) -> int | None:
        """A whole number or null, which must be written: the families differ in what they take where it is left out."""
        if not self.has(name):
            self.fail(name, f"missing; it must be a whole number, or null for {null}")
        return self.optional(name, least=1)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        _, value = self.first(name)
        if value is not None and not isinstance(value, bool):
            self.fail(name, f"must be true or false, not {show(value)}")
        return default if value is None else bool(value)

    def items(self, name: str) -> list[Any] | None:
        """A list; None where it is left out or null."""
        _, value = self.first(name)
        if value is None or isinstance(value, list):
            return value
        self.fail(name, f"must be a list, not {show(value)}")
        return []

    def each_layer(self, name: str, meaning: Mapping[Any, T]) -> list[T] | None:
        """A list with a word for every layer, and what the words mean; None where it is left out, null or empty."""
        written = self.items(name)
        if not written:
            return None
        if len(written) != self.layers:
            self.fail(name, f"has {len(written)} items, but num_hidden_layers is {self.layers}")
        known = [show(word) for word in meaning]
        found: list[T] = []
        for word in written[: self.layers]:
            if isinstance(word, str | int) and not isinstance(word, bool) and word in meaning:
                found.append(meaning[word])
            else:
                hint = suggest(word, [key for key in meaning if isinstance(key, str)]) if isinstance(word, str) else ""
                self.fail(name, f"{show(word)} is not one of {', '.join(known)}{hint}")
                break
        return found

    def indices(self, name: str, values: list[Any]) -> set[int]:
        """Numbers of layers, counted from 0."""
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < self.layers:
                self.fail(name, f"must hold numbers of layers from 0 to {self.layers - 1}, not {show(value)}")
                return set()
        return set(values)

    def per_layer(self, choose: Callable[[int], T]) -> list[T]:
        """What `choose` gives for the number of every layer."""
        return [choose(index) for index in range(self.layers)]

    @cached_property
    def layers(self) -> int:
        """How many there are."""
        count = self.size("num_hidden_layers")
        if count > _MOST_LAYERS:
            self.fail("num_hidden_layers", f"must be at most {_MOST_LAYERS}, not {count}")
        return min(count, _MOST_LAYERS)

    @cached_property
    def _data(self) -> dict[str, Any]:
        return self.source.mapping(self.loc)

    def _place(self, name: str) -> Loc:
        """Where a field stands: with the language model, or, of those that stand outside at times, there."""
        outside = ("torch_dtype", "dtype", "quantization_config", "compression_config", "tie_word_embeddings")
        return () if self.loc and name in outside and self._data.get(name) is None else self.loc

    def _whole(self, name: str, value: Any, least: int) -> int:
        try:
            return Whole(least).read(value)
        except ValueError as error:
            self.fail(name, str(error))
            return max(least, 1)
