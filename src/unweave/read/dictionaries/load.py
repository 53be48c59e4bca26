"""One door for every kind of dictionary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from unweave.base.errors import UnweaveError, nearest
from unweave.base.progress import Progress, Silent
from unweave.decompose.decomposition import Decomposition, bundled, bundled_names
from unweave.models.target import Target
from unweave.read.dictionaries import saelens, sparsify
from unweave.read.dictionaries.coder import Coder, CoderDictionary
from unweave.read.dictionaries.probes import ProbeDictionary, read_probes
from unweave.read.dictionaries.saelens import read_saelens
from unweave.read.dictionaries.sparsify import read_sparsify
from unweave.read.dictionaries.stored import refuse_unsafe
from unweave.read.features import Dictionary, Place, subcomponent_dictionary
from unweave.read.observe import observe

Reader = Callable[[Path, Target], tuple[Literal["sae", "transcoder"], Coder, str]]
CODERS: dict[str, Reader] = {saelens.WEIGHTS: read_saelens, sparsify.WEIGHTS: read_sparsify}
"""Readers of one coder, by the file that its weights are in."""
LOOKED_FOR = (
    f"decomposition.json (a decomposition), cfg.json with {saelens.WEIGHTS} (SAELens) or {sparsify.WEIGHTS} "
    "(sparsify), folders of those, and probe.json (probes)"
)
ALIASES = {"gpt2-small": "gpt2"}
"""What TransformerLens calls models that are called otherwise at their source."""


def load_dictionary(source: str | Path, target: Target, progress: Progress | None = None) -> Dictionary:
    """A decomposition, sparse coders or probes as features of ``target``, on its device.

    ``source`` is a folder of any of them, a folder of SAELens or sparsify folders (one coder each, read together), or
    the name of a bundled decomposition. What was made on a model of another name is read, and ``progress`` says so.
    Raises ``UnweaveError`` for anything else, and for what does not fit the target.
    """
    folder, progress = Path(source).expanduser(), progress or Silent()
    if str(source) in bundled_names():
        # As with targets, a known name wins over a folder that is called so: ./polyglot is the folder.
        return subcomponent_dictionary(Decomposition.load(bundled(str(source))), target, str(source))
    if folder.is_file():
        refuse_unsafe(folder)
        raise UnweaveError(f"{folder} is a file: give the folder that it is in")
    if not folder.is_dir():
        raise UnweaveError(f"{source} is no folder and no bundled decomposition; {_near(folder)}")
    if (folder / "decomposition.json").exists():
        return subcomponent_dictionary(Decomposition.load(folder), target, folder.resolve().name)
    made = read_probes(folder, target) if (folder / "probe.json").exists() else _read_coders(folder, target)
    _check_fit(made, target)
    if made.base and _plain(made.base) not in (_plain(target.name), _plain(target.source)):
        progress.say(
            f"{made.name} was made on {made.base}, and this target is {target.name}: see that they are the same"
        )
    return made


def _read_coders(folder: Path, target: Target) -> CoderDictionary:
    found = _coder_folders(folder)
    if not found:
        refuse_unsafe(folder)
        raise UnweaveError(f"{folder} is no dictionary: looked for {LOOKED_FOR}")
    kinds, coders, bases = zip(*(reader(each, target) for each, reader in found.items()), strict=True)
    for what, values in (("kinds", kinds), ("models", bases)):
        if len(set(values)) > 1:
            raise UnweaveError(
                f"{folder} holds coders of several {what} ({', '.join(sorted(set(values)))}): give one's"
            )
    placed = [coder.to(target.device) for coder in coders]
    return CoderDictionary(kinds[0], folder.resolve().name, placed, bases[0])


def _coder_folders(folder: Path) -> dict[Path, Reader]:
    """The folder itself, or those in it, that hold a coder; in the order of their names, numbers as numbers."""
    inside = sorted((each for each in folder.iterdir() if each.is_dir()), key=_natural)
    for folders in ([folder], inside):
        found = {
            each: reader
            for each in folders
            for weights, reader in CODERS.items()
            if (each / "cfg.json").is_file() and (each / weights).is_file()
        }
        if found:
            return found
    for each in inside:
        refuse_unsafe(each)
    return {}


def _natural(path: Path) -> list[tuple[int, str]]:
    """``layers.10`` after ``layers.9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.name.replace("_", ".").split(".")]


def _check_fit(made: CoderDictionary | ProbeDictionary, target: Target) -> None:
    """One forward of two tokens: every place must be there, once a forward, and as wide as the dictionary says."""
    places: dict[str, Place] = {}
    for name, features in made.groups.items():
        places |= {f"{name} reads": features.reads, f"{name} writes": features.writes}
    try:
        observe(target, places, torch.zeros(1, 2, dtype=torch.long))
    except UnweaveError as error:
        raise UnweaveError(f"{made.name} does not fit {target.name}: {error}") from error


def _plain(model: str) -> str:
    """A model's name without its owner."""
    name = model.rstrip("/").rpartition("/")[2].lower()
    return ALIASES.get(name, name)


def _near(folder: Path) -> str:
    beside = [str(each) for each in folder.parent.iterdir() if each.is_dir()] if folder.parent.is_dir() else []
    return nearest(str(folder), [*bundled_names(), *sorted(beside)])
