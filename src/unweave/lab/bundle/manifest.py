"""The list of a bundle: what it is, and the hash and the size of every file in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from unweave.base.errors import UnweaveError
from unweave.lab.bundle.members import check_member, check_members, shown
from unweave.record.table import check_name

SCHEMA = 1
NAME = "manifest.json"
LARGEST = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """``files`` gives sha256 and bytes by name: ``runs/ID/...`` and ``threads/ID/...``.

    ``seals`` are the digests that the runs had in the ledger of the lab that they come from.
    """

    kind: Literal["run", "thread"]
    id: str
    files: Mapping[str, tuple[str, int]]
    seals: Mapping[str, str] = field(default_factory=dict)
    unweave: str = ""

    @property
    def folders(self) -> list[str]:
        """``runs/ID`` and ``threads/ID`` for all that the bundle holds, the thread last."""
        return sorted({"/".join(name.split("/")[:2]) for name in self.files})

    @property
    def runs(self) -> list[str]:
        """The ids of its runs."""
        return [folder.removeprefix("runs/") for folder in self.folders if folder.startswith("runs/")]

    def of(self, folder: str) -> dict[str, tuple[str, int]]:
        """The files of one of ``folders``, named from there."""
        below = f"{folder}/"
        return {name.removeprefix(below): what for name, what in self.files.items() if name.startswith(below)}

    def to_bytes(self) -> bytes:
        """The manifest as it stands in the file: the same bytes for the same content."""
        content = {
            "schema": SCHEMA,
            "kind": self.kind,
            "id": self.id,
            "unweave": self.unweave,
            "seals": dict(sorted(self.seals.items())),
            "files": {name: list(what) for name, what in sorted(self.files.items())},
        }
        return json.dumps(content, indent=1, ensure_ascii=True).encode("ascii") + b"\n"

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Reads a manifest and trusts nothing in it. Raises ``UnweaveError`` for whatever is not as written here."""
        try:
            value = json.loads(content.decode("ascii"), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise UnweaveError(f"the bundle's {NAME} is not valid JSON ({error}): it was damaged") from error
        if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
            raise UnweaveError(f"the bundle's {NAME} does not say its schema: it is another kind of file")
        if value["schema"] != SCHEMA:
            raise UnweaveError(
                f"the bundle has schema {value['schema']}, and this unweave reads {SCHEMA}: use another version"
            )
        kinds = {"kind": str, "id": str, "unweave": str, "seals": dict, "files": dict}
        wrong = next((name for name, kind in kinds.items() if not isinstance(value.get(name), kind)), None)
        if wrong or set(value) != {*kinds, "schema"} or value["kind"] not in ("run", "thread"):
            raise UnweaveError(f"the bundle's {NAME} has a wrong {wrong or 'entry'}: it was damaged")
        files = {name: _entry(name, what) for name, what in value["files"].items()}
        found = cls(value["kind"], value["id"], files, value["seals"], value["unweave"])
        found._check()
        return found

    def _check(self) -> None:
        for name in self.files:
            check_member(name)
        check_members(self.files)
        for folder in self.folders:
            place, _, id = folder.partition("/")
            if place not in ("runs", "threads") or id in ("threads", "runs"):
                raise UnweaveError(f"the bundle holds {shown(folder)}, neither a run nor a thread: it is refused whole")
            check_name(id, place[:-1])
        threads = [folder for folder in self.folders if folder.startswith("threads/")]
        if threads != ([f"threads/{self.id}"] if self.kind == "thread" else []):
            raise UnweaveError(
                f"the bundle is of one {self.kind} and holds {len(threads)} threads: it is refused whole"
            )
        if self.kind == "run" and self.runs != [self.id]:
            raise UnweaveError(f"the bundle is of run {shown(self.id)} and holds others: it is refused whole")
        for run, digest in self.seals.items():
            if run not in self.runs or not isinstance(digest, str) or not _SHA256.fullmatch(digest):
                raise UnweaveError(f"the bundle has a seal of {shown(run)} that is none: it is refused whole")


def _entry(name: str, what: Any) -> tuple[str, int]:
    if isinstance(what, list) and len(what) == 2:
        sha256, size = what
        sized = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        if sized and isinstance(sha256, str) and _SHA256.fullmatch(sha256):
            return sha256, size
    raise UnweaveError(f"the bundle's {NAME} gives no sha256 and size for {shown(name)}: it was damaged")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
