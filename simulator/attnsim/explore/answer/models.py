"""Points of one model on one deployment all at once: contexts and batches as Lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import numpy as np

from attnsim.api.model import model_estimate_of
from attnsim.evaluate.estimate import plain
from attnsim.evaluate.flat import flatten
from attnsim.explore.answer.scalar import Group, point_document
from attnsim.lanes import Lanes, OneByOne
from attnsim.spec.serving import ModelWorkload
from attnsim.spec.yaml import validate

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

MOST_LANES: Final = 8192
"""Points at a time: an array of float64 that size stays in a processor's cache, and the cost of a step of the program is spread thin."""


def model_batches(group: Group) -> Iterator[Array]:
    """Numbers of points, at most `MOST_LANES` at a time."""
    numbers = np.arange(group.count)
    for first in range(0, group.count, MOST_LANES):
        yield numbers[first : first + MOST_LANES]


def model_answers(group: Group) -> Callable[[Group, Array], dict[str, Any]]:
    """What answers some points of this group together: the question is read once."""
    spec: ModelWorkload | None = None

    def answer(group: Group, some: Array) -> dict[str, Any]:
        nonlocal spec
        sizes: dict[str, Any] = {}
        for name, column in group.sizes.items():
            values = column[some]
            if values.min() < 1:
                raise OneByOne
            sizes[name] = int(values[0]) if bool((values == values[0]).all()) else Lanes(values.astype(np.float64))
        if spec is None:
            spec = validate(ModelWorkload, point_document(group, int(some[0])))
        estimate = model_estimate_of(spec.model_copy(update=sizes), group.document, group.machine, group.schedule)
        entries = {name: getattr(estimate, name, None) for name in group.fields or ()}
        return flatten({name: plain(value) for name, value in entries.items() if value is not None})

    return answer
