"""Reading a GGUF file: its metadata, its table of tensors, and their values in float32."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from unweave.base.errors import UnweaveError, oserror_line

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file: its shape in torch order, its ggml type, and where its bytes lie."""

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    start: int
    stop: int


@dataclass(frozen=True)
class GGUFFile:
    """Parsed metadata, each key's raw bytes, and the tensors, none of them read yet."""

    path: Path
    data: mmap.mmap
    metadata: dict[str, Any]
    raw: dict[str, bytes]
    tensors: list[Tensor]

    @property
    def architecture(self) -> str:
        return self.metadata["general.architecture"]

    def values(self, tensor: Tensor) -> np.ndarray:
        """The tensor dequantised to float32."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize, quant_shape_to_byte_shape

        kind = GGMLQuantizationType(tensor.ggml_type)
        raw = np.frombuffer(self.data, np.uint8, tensor.stop - tensor.start, tensor.start)
        return dequantize(raw.reshape(quant_shape_to_byte_shape(tensor.shape, kind)), kind)


def open_gguf(path: Path) -> GGUFFile:
    """Parses metadata and the table of tensors, and checks that every tensor lies inside the file.

    The format is ggml's ``docs/gguf.md``, little-endian versions 2 and 3. The gguf package's own reader makes an array
    of every vocabulary entry, which takes seconds; this takes a tenth of one. Raises ``UnweaveError`` for a file that
    is no GGUF, is damaged or truncated, holds no model, or has a quantisation that cannot be undone.
    """
    check_magic(path)
    try:
        # Never closed by hand: arrays that view it, as those in a traceback do, would make closing fail.
        with open(path, "rb") as source:
            data = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise oserror_line(error, path) from error
    cursor = _Cursor(data, path)
    version = cursor.number("I")
    if version not in (2, 3):
        kind = "big-endian" if version & 0xFFFF == 0 else f"version {version}"
        raise UnweaveError(f"{path} is a {kind} GGUF file: only little-endian versions 2 and 3 are read; convert it")
    tensor_count, key_count = cursor.number("Q"), cursor.number("Q")
    metadata: dict[str, Any] = {}
    raw: dict[str, bytes] = {}
    for _ in range(key_count):
        start = cursor.at
        name = cursor.string()
        metadata[name] = cursor.value(cursor.number("I"))
        raw[name] = data[start : cursor.at]
    table = []
    for _ in range(tensor_count):
        name, dimensions = cursor.string(), cursor.number("I")
        shape = tuple(reversed([cursor.number("Q") for _ in range(dimensions)]))
        table.append((name, shape, cursor.number("I"), cursor.number("Q")))
    if not isinstance(metadata.get("general.architecture"), str) or not table:
        raise UnweaveError(f"{path} holds no model (no architecture or no tensors): choose another GGUF file")
    alignment = metadata.get("general.alignment", 32)
    base = -(-cursor.at // alignment) * alignment
    tensors = []
    for name, shape, kind, offset in table:
        stop = base + offset + _byte_count(path, name, shape, kind)
        if stop > len(data):
            raise _truncated(path, f"tensor {name!r} ends at byte {stop}, and the file has {len(data)}")
        tensors.append(Tensor(name, shape, kind, base + offset, stop))
    return GGUFFile(path, data, metadata, raw, tensors)


def check_magic(path: Path) -> None:
    """Raises ``UnweaveError`` unless the file can be read and starts as a GGUF file does."""
    try:
        with open(path, "rb") as source:
            start = source.read(len(MAGIC))
    except OSError as error:
        raise oserror_line(error, path) from error
    if start != MAGIC:
        raise UnweaveError(f"{path} is not a GGUF file (it starts with {start!r}, not {MAGIC!r}): choose another file")


def packed(text: str) -> bytes:
    """A string as GGUF stores it."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


class _Cursor:
    """Reads little-endian values in sequence and says so when the file ends too early."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.path, self.at = data, path, len(MAGIC)

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self) -> str:
        return self.take(self.number("Q")).decode("utf-8", errors="replace")

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise _truncated(self.path, f"its metadata does not end within its {len(self.data)} bytes")
        self.at += count
        return self.data[self.at - count : self.at]

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            raise UnweaveError(f"{self.path} is damaged: metadata of type {kind} does not exist; get the file again")
        item, count = self.number("I"), self.number("Q")
        if item in _SCALARS:
            width = struct.calcsize("<" + _SCALARS[item])
            return list(struct.unpack(f"<{count}{_SCALARS[item]}", self.take(count * width)))
        return [self.value(item) for _ in range(count)]


def _byte_count(path: Path, name: str, shape: tuple[int, ...], kind: int) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import _type_traits

    plain = (GGMLQuantizationType.F32, GGMLQuantizationType.F16)
    if kind not in plain and kind not in _type_traits:
        named = GGMLQuantizationType(kind).name if kind in list(GGMLQuantizationType) else f"number {kind}"
        raise UnweaveError(
            f"{path}: tensor {name!r} has quantisation {named}, which cannot be undone; "
            "use a file of type F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K, Q4_1 or Q4_0"
        )
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    if not shape or shape[-1] % block:
        raise UnweaveError(f"{path} is damaged: tensor {name!r} of shape {shape} does not fill blocks of {block}")
    return prod(shape) // block * size


def _truncated(path: Path, why: str) -> UnweaveError:
    return UnweaveError(f"{path} is truncated: {why}; get the file again")
