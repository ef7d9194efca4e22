"""Masks of blocks from the files in which kernels keep them: .npy, .npz, and matrices that scipy.sparse saved."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnsim.mask.base import Mask
from attnsim.mask.blocks import Blocks
from attnsim.mask.perhead import PerHead
from attnsim.spec.base import FieldError
from attnsim.spec.closed import are_files_closed

if TYPE_CHECKING:
    from attnsim.spec.mask import BlocksMask

Array = np.ndarray[Any, np.dtype[Any]]
MOST_BLOCKS = 2**30
_SPARSE = frozenset({"indices", "indptr", "shape", "format"})


def blocks_of(spec: BlocksMask, folder: Path | None) -> Mask:
    """The mask of a specification. Raises FieldError: no such file, or no array of 0 and 1 in it."""
    if spec.blocks is not None:
        return _mask(np.array(spec.blocks), spec, "blocks")
    if are_files_closed():
        raise FieldError("files are not read here; list the `blocks` themselves", "file")
    path = (folder or Path()) / (spec.file or "")
    try:
        state = path.stat()
    except OSError as error:
        raise FieldError(f"cannot read {str(path)!r}: {error.strerror or error}", "file") from None
    return _from_file(path, (state.st_mtime_ns, state.st_size), spec)


@lru_cache(maxsize=16)
def _from_file(path: Path, _state: tuple[int, int], spec: BlocksMask) -> Mask:
    """Kept while the file does not change."""
    try:
        return _mask(_read(path, spec.array), spec, "file")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError(f"{str(path)!r} is no .npy or .npz file of an array of 0 and 1: {error}", "file") from None


def _read(path: Path, name: str | None) -> Array:
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(found, np.lib.npyio.NpzFile):
        if name is not None:
            raise FieldError(f"{str(path)!r} holds one array without a name; leave `array` out", "array")
        return np.asanyarray(found)
    with found:
        if name is None and set(found.files) >= _SPARSE:
            return _sparse(found)
        if name is None and len(found.files) == 1:
            name = found.files[0]
        if name is None or name not in found.files:
            held = ", ".join(found.files) or "nothing"
            raise FieldError(f"name one of the arrays of {str(path)!r}, which holds {held}", "array")
        array: Array = found[name]
        return array


def _sparse(found: Any) -> Array:
    """A CSR, CSC or BSR matrix as scipy.sparse.save_npz writes it; an entry is set when it is stored."""
    kind = found["format"].item()
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if kind not in ("csr", "csc"):
        raise FieldError(f"a sparse matrix in format {kind}; save it as csr or csc", "file")
    rows, columns = (int(side) for side in found["shape"])
    _check_size((rows, columns))
    table = np.zeros((rows, columns) if kind == "csr" else (columns, rows), dtype=bool)
    pointers = found["indptr"]
    table[np.repeat(np.arange(table.shape[0]), np.diff(pointers)), found["indices"]] = True
    return table if kind == "csr" else table.T


def _check_size(shape: tuple[int, ...]) -> None:
    if prod(shape) > MOST_BLOCKS:
        raise FieldError(
            f"{' x '.join(map(str, shape))} blocks are more than {MOST_BLOCKS}, which memory is kept for; use larger blocks", "file"
        )


def _mask(array: Array, spec: BlocksMask, where: str) -> Mask:
    while array.ndim > 3 and array.shape[0] == 1:  # a batch of one
        array = array[0]
    if array.ndim not in (2, 3) or min(array.shape) < 1:
        raise FieldError(f"an array [query blocks, key blocks] or [heads, query blocks, key blocks], not {list(array.shape)}", where)
    _check_size(array.shape)
    if array.dtype.kind not in "biu" or (array.dtype.kind != "b" and (array.max() > 1 or array.min() < 0)):
        raise FieldError(f"an array of 0 and 1 (or booleans), not {array.dtype}", where)
    q_block, k_block = spec.sides
    if array.ndim == 2:
        return Blocks.of(array, q_block, k_block, spec.causal)
    return PerHead.of([(1, Blocks.of(head, q_block, k_block, spec.causal)) for head in array])
