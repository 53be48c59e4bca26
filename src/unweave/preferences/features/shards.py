"""A store's shards: some thousand rows each, whole or absent, with what they are of in their header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, remove_partial, save_tensors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_HEADER = "reading"


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies, by its number from 0."""
    return folder / f"shard-{number:05d}.safetensors"


def write_shard(path: Path, arrays: Mapping[str, np.ndarray], identity: Mapping[str, Any], content: str) -> None:
    """Writes arrays with what they are of: ``identity`` of the reading, and a hash of the rows' ``content``."""
    import torch

    remove_partial(path)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    # One entry: safetensors writes several in no fixed order, and the same reading is to give the same bytes.
    header = json.dumps({"identity": identity, "content": content}, sort_keys=True)
    with atomic_path(path) as temporary:
        save_tensors(tensors, temporary, {_HEADER: header})


class Shard:
    """One shard, memory-mapped: an array is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        try:
            self._stored: Any = safe_open(path, "np")
            header = json.loads((self._stored.metadata() or {})[_HEADER])
            self.identity: dict[str, Any] = header["identity"]
            self.content: str = header["content"]
        except OSError as error:
            raise oserror_line(error, path) from error
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise UnweaveError(f"{path} is damaged ({error}): remove it, and its rows are read again") from error

    def __getitem__(self, name: str) -> np.ndarray:
        from safetensors import SafetensorError

        try:
            return self._stored.get_tensor(name)
        except SafetensorError as error:
            raise UnweaveError(
                f"{self.path} has no {name!r} ({error}): remove it, and its rows are read again"
            ) from error

    def rows(self, name: str) -> int:
        """The first dimension of an array, which is not read."""
        return self._stored.get_slice(name).get_shape()[0]

    def texts(self, name: str) -> list[str]:
        """What ``packed_texts`` stored."""
        content, starts = self[name].tobytes(), self[f"{name}.starts"].tolist()
        return [content[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(starts)]

    def sparse(self, name: str, values: str | None, width: int) -> csr_matrix:
        """Rows stored as CSR; values float32, or True everywhere where no name of values is given."""
        from scipy.sparse import csr_matrix

        index, starts = self[f"{name}.index"], self[f"{name}.starts"]
        data = self[f"{name}.{values}"].astype(np.float32) if values else np.ones(len(index), bool)
        return csr_matrix((data, index, starts), shape=(len(starts) - 1, width))


def packed_texts(name: str, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """Texts as bytes in UTF-8 and where each begins."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    content = np.frombuffer(bytearray().join(encoded), np.uint8)
    return {name: content, f"{name}.starts": starts_of(list(map(len, encoded)))}


def starts_of(lengths: Sequence[int]) -> Int64[np.ndarray, " n_plus_1"]:
    """Where each of some runs begins, and after them where the last ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
