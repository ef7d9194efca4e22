"""Series of counts as people write them: `1k..128k:log2`, `8k,32k`, `16..64:+16`."""

from __future__ import annotations

import re

from attnsim.errors import UsageError

_COUNT = re.compile(r"([1-9][0-9]{0,14})(k|M|)")
_SUFFIX = {"": 1, "k": 2**10, "M": 2**20}  # of tokens, keys, requests: 8k of context is 8192
MOST_COUNTS = 10_000


def read_counts(text: str) -> tuple[int, ...]:
    """Counts in ascending order, each once: numbers and series, separated by commas.

    `a..b:log2` doubles from a up to b, `a..b:+n` adds n; k is 1024 and M 1024 k. Raises: UsageError for anything else.
    """
    found: set[int] = set()
    for part in text.replace("K", "k").split(","):
        found.update(_series(part.strip(), text))
        if len(found) > MOST_COUNTS:
            raise UsageError(f"{text!r} is more than {MOST_COUNTS} counts")
    return tuple(sorted(found))


def _series(part: str, text: str) -> list[int]:
    ends, colon, step = part.partition(":")
    first, dots, last = ends.partition("..")
    if not dots and not colon:
        return [_count(first, text)]
    low, high = _count(first, text), _count(last, text)
    if high < low:
        raise UsageError(f"{part!r} ends before it starts")
    if step == "log2":
        return [low << power for power in range((high // low).bit_length())]
    if not step.startswith("+"):
        raise _unreadable(text)
    each = _count(step[1:], text)
    if (high - low) // each > MOST_COUNTS:
        raise UsageError(f"{part!r} is more than {MOST_COUNTS} counts")
    return list(range(low, high + 1, each))


def _count(text: str, whole: str) -> int:
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        raise _unreadable(whole)
    return int(match[1]) * _SUFFIX[match[2]]


def _unreadable(text: str) -> UsageError:
    return UsageError(f"cannot read {text!r}; write for example 1k..128k:log2, 8k..64k:+8k, or 8k,32k")


def count_text(count: int) -> str:
    """A count as `read_counts` takes it: 8192 -> 8k, 1048576 -> 1M, 1000 -> 1000."""
    for suffix in ("M", "k"):
        if count % _SUFFIX[suffix] == 0:
            return f"{count // _SUFFIX[suffix]}{suffix}"
    return str(count)
