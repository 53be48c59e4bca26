"""What every subject of live views is: made with a target and a dictionary, which are loaded when asked for."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from unweave.base.errors import UnweaveError
from unweave.base.kept import Kept
from unweave.models.named import resolve

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.read.features import Dictionary

_UNSAFE = re.compile(r"[^a-z0-9]+")


class OpenedSubject(Kept, ABC):
    """A folder that views look at; ``made`` names it in errors, and ``again`` says how another is made.

    Views may run at once in several threads. Whoever runs the target, or changes it, holds ``lock`` meanwhile.
    """

    def __init__(self, folder: Path, target_name: str, made: str, again: str, device: str | None) -> None:
        super().__init__()
        self.id = subject_id(folder)
        self.target_title = without_folders(target_name)
        self._made, self._again, self._device = made, again, device
        self.lock = RLock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id}: {self.title})"

    @property
    @abstractmethod
    def title(self) -> str:
        """What a list of subjects calls this."""

    @property
    def target(self) -> Target:
        """The target that this was made with; raises ``UnweaveError`` where what loads now is another one."""
        return self.kept("target", self._load_target)

    @property
    def dictionary(self) -> Dictionary:
        """The dictionary that this was made with; raises ``UnweaveError`` where there was none or it is another now."""
        return self.kept("dictionary", self._load_dictionary)

    @abstractmethod
    def _load_target(self) -> Target: ...

    @abstractmethod
    def _load_dictionary(self) -> Dictionary: ...

    def _target_at(self, place: str, digest: str, dtype: str) -> Target:
        from unweave.models.load import load_target

        target = load_target(place, device=self._device, dtype=dtype)
        self._check("target", self.target_title, target.identity.digest, digest)
        return replace(target, name=self.target_title)

    def _check(self, what: str, name: str, digest: str, wanted: str | None) -> None:
        if digest != wanted:
            raise UnweaveError(
                f"{name} is now {what} {digest}, and {self._made} is of {wanted}: bring that {what} back, or "
                f"{self._again}"
            )


def find_target(source: str, owner: str) -> str:
    """A target as ``load_target`` takes it; of a hub id its folder in the cache, because no view downloads.

    Raises ``UnweaveError`` where it is not on this machine; the line says that it is the target of a ``owner``.
    """
    from unweave.models.huggingface import cached_folder, check_folder

    found = resolve(source)
    if isinstance(found, Path):
        return source
    folder = cached_folder(found)
    if folder is None:
        raise UnweaveError(
            f"the {owner}'s target {found} is not in the Hugging Face cache, and looking at a {owner} downloads "
            f"nothing: fetch it with `hf download {found}`"
        )
    check_folder(folder)
    return str(folder)


def without_folders(name: str) -> str:
    """A name as it is shown: of a path on this machine only its last part."""
    return Path(name).name if Path(name).is_absolute() else name


def subject_id(folder: Path) -> str:
    """What a subject is called in URLs: after its folder, and different for two folders of one name."""
    place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    return f"{slug(folder.resolve().name)[:60] or 'subject'}-{place}"


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens: what an id may consist of."""
    letters = (each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    return _UNSAFE.sub("-", "".join(letters).casefold()).strip("-")
