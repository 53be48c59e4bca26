"""Edits as files: safetensors with a JSON description, tied to the target's identity."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from unweave.base.errors import UnweaveError, oserror_line
from unweave.base.files import atomic_path, save_tensors
from unweave.decompose.decomposition import Subcomponent
from unweave.edit.edits import AdapterEdit, Edit, FactorEdit


def save_edit(edit: Edit, path: Path) -> None:
    """Writes an edit, whole or not at all."""
    description: dict[str, object] = {"name": edit.name, "target": edit.target}
    tensors: dict[str, Tensor] = {}
    if isinstance(edit, FactorEdit):
        description["pieces"] = [
            {"site": piece.site, "index": piece.index, "factor": factor} for piece, factor in edit.pieces
        ]
        for number, (piece, _) in enumerate(edit.pieces):
            tensors |= {f"{number}/u": piece.u.contiguous(), f"{number}/v": piece.v.contiguous()}
    else:
        for site in edit.sites():
            A, B = edit.low_rank(site)
            tensors |= {f"{site}/A": A.contiguous(), f"{site}/B": B.contiguous()}
    with atomic_path(path) as temporary:
        save_tensors({name: t.clone() for name, t in tensors.items()}, temporary, {"edit": json.dumps(description)})


def load_edit(path: Path) -> Edit:
    """Reads an edit back; raises ``UnweaveError`` for a damaged file or one that is not an edit."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).exists():
        raise UnweaveError(f"{path}: there is no saved edit")
    try:
        with safe_open(path, "pt") as stored:
            description = json.loads((stored.metadata() or {})["edit"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if "pieces" in description:
            pieces = [
                (Subcomponent(found["site"], found["index"], tensors[f"{n}/u"], tensors[f"{n}/v"]), found["factor"])
                for n, found in enumerate(description["pieces"])
            ]
            return FactorEdit.on_pieces(pieces, description["target"], description["name"])
        sites = sorted({name.rpartition("/")[0] for name in tensors})
        matrices = {site: (tensors[f"{site}/A"], tensors[f"{site}/B"]) for site in sites}
        return AdapterEdit(matrices, description["target"], description["name"])
    except OSError as error:
        raise oserror_line(error, path) from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnweaveError(f"{path} is not a saved edit, or is damaged ({error})") from error
