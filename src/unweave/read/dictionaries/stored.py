"""Files of a dictionary's folder: JSON and safetensors, checked against what was expected before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import read_json

UNSAFE = {
    **dict.fromkeys((".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"), "a pickle runs code as it is read"),
    **dict.fromkeys((".npy", ".npz"), "it can hold pickles, which run code as they are read"),
}


@dataclass(frozen=True)
class Config:
    """A folder's JSON object, asked field by field; every refusal names the file and the field."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Config:
        values = read_json(path)
        if not isinstance(values, dict):
            raise UnweaveError(f"{path} holds a {type(values).__name__}, and an object was expected")
        return cls(path, values)

    def count(self, name: str, default: int | None = None) -> int:
        """A whole number of 1 or more."""
        value = self.values.get(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnweaveError(f"{self.path} says {name} {value!r}: a whole number of 1 or more was expected")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise UnweaveError(f"{self.path} says {name} {value!r}: true or false was expected")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, default)
        if value is None or not isinstance(value, str):
            said = "nothing about" if value is None else f"{value!r} as"
            raise UnweaveError(f"{self.path} says {said} {name}: text was expected")
        return value

    def choice(self, name: str, choices: Mapping[str, Any], default: str | None = None) -> str:
        """One of the names in ``choices``."""
        value = self.text(name, default)
        if value not in choices:
            raise UnweaveError(f"{self.path} says {name} {value!r}, which is not read: {', '.join(choices)} are")
        return value

    def part(self, name: str) -> Config:
        """An object inside; empty where there is none."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise UnweaveError(f"{self.path} says {name} {value!r}: an object was expected")
        return Config(self.path, value or {})


def read_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], optional: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, Tensor]:
    """The file's tensors in float32, after names and shapes in its header were compared with ``shapes``.

    Raises ``UnweaveError`` for one that is missing, of another shape or unknown, and for values that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    known = {**shapes, **(optional or {})}
    try:
        with safe_open(path, "pt") as stored:
            names = list(stored.keys())
            found = {name: tuple(stored.get_slice(name).get_shape()) for name in names}
            for name in shapes:
                if name not in found:
                    raise UnweaveError(f"{path} has no tensor {name!r}; {nearest(name, names)}")
            for name, shape in found.items():
                if name not in known:
                    raise UnweaveError(
                        f"{path} has a tensor {name!r} {shape} that is not known: {', '.join(known)} are"
                    )
                if shape != known[name]:
                    raise UnweaveError(f"{path} has {name!r} as {shape}, and its config says {known[name]}")
            tensors = {name: stored.get_tensor(name).float().contiguous() for name in names}
    except OSError as error:
        raise oserror_line(error, path) from error
    except SafetensorError as error:
        raise UnweaveError(f"{path} is not valid safetensors ({error}): get it again") from error
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise UnweaveError(f"{path}: {name!r} has NaN or infinite values: the file is damaged")
    return tensors


def refuse_unsafe(folder: Path) -> None:
    """Raises ``UnweaveError`` where a folder, or a file, holds its weights in a format that can run code."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
        reason = UNSAFE.get(path.suffix.lower())
        if reason:
            raise UnweaveError(
                f"{path} is not read: {reason}. Convert it to safetensors where it is trusted, and give that folder"
            )
