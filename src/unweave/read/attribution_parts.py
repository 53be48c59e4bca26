"""Finished parts of an attribution over text, on disk beside where the result goes, so that a stopped run goes on."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, read_json, save_tensors, write_json
from unweave.read.cut import CutTarget
from unweave.read.edge_table import COLUMNS


class Parts:
    """The kept edges of each chunk of targets: in memory, and in ``OUT.parts`` where there is an ``out``."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._kept: dict[int, dict[str, Tensor]] = {}

    @classmethod
    def open(
        cls, out: Path | None, model: CutTarget, windows: Int[Tensor, "n t"], wanted: Tensor, sources: int, chunk: int
    ) -> Parts:
        """The parts of this very attribution; raises ``UnweaveError`` where those on disk are of another one."""
        if out is None:
            return cls(None)
        folder = Path(out).with_name(f"{Path(out).name}.parts")
        plan: dict[str, Any] = {
            "target": model.target.identity.digest,
            "decomposition": model.decomposition.digest(),
            "windows": hashlib.sha256(windows.numpy().tobytes()).hexdigest()[:16],
            "shape": list(windows.shape),
            "targets": hashlib.sha256(wanted.numpy().tobytes()).hexdigest()[:16],
            "sources": sources,
            "chunk": chunk,
            "attention": model.attention,
            "norms": model.norms,
        }
        if (folder / "plan.json").exists():
            found = read_json(folder / "plan.json")
            other = [name for name in plan if not isinstance(found, dict) or found.get(name) != plan[name]]
            if other:
                raise UnweaveError(
                    f"{folder} holds parts of an attribution with another {other[0]}: remove it, or choose another out"
                )
        else:
            write_json(folder / "plan.json", plan)
        return cls(folder)

    def has(self, number: int) -> bool:
        """Whether a chunk is finished."""
        return number in self._kept or (self.folder is not None and self._path(number).exists())

    def keep(self, number: int, targets: Tensor, sources: Tensor, sums: Sequence[Tensor]) -> None:
        """Keeps a finished chunk's edges."""
        values = [each.detach().cpu().contiguous() for each in (targets, sources, *sums)]
        part = dict(zip(COLUMNS, values, strict=True))
        if self.folder is None:
            self._kept[number] = part
            return
        with atomic_path(self._path(number)) as temporary:
            save_tensors(part, temporary)

    def columns(self, count: int) -> dict[str, np.ndarray]:
        """The edges of all chunks."""
        from safetensors.torch import load_file

        parts = [
            self._kept[number] if number in self._kept else load_file(self._path(number)) for number in range(count)
        ]
        empty = {name: torch.zeros(0, dtype=torch.long if name in COLUMNS[:2] else torch.float32) for name in COLUMNS}
        return {name: torch.cat([empty[name], *(part[name] for part in parts)]).numpy() for name in COLUMNS}

    def remove(self) -> None:
        """Removes what was kept on disk."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        assert self.folder is not None  # noqa: S101  asked for only where there is one
        return self.folder / f"{number:05d}.safetensors"
