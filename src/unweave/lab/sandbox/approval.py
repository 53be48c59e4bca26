"""Allowing code that somebody else wrote: bound to its bytes, by a person who may, for the sandbox only."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import atomic_path, read_inside, read_json_inside, sole_writer, write_json
from unweave.base.terminal import one_line, printable
from unweave.lab.people import person_behind

if TYPE_CHECKING:
    from unweave.lab.people import Person

LARGEST = 256 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}\.py")


@dataclass(frozen=True)
class Proposal:
    """A source file that was proposed: its name, the hash that an approval is bound to, and who said yes."""

    name: str
    sha256: str
    proposed_by: str
    why: str
    allowed_by: str | None = None
    allowed: str | None = None


class Approvals:
    """Proposed code of one lab, kept under its hash in ``home/proposals``; what may run is what a person allowed."""

    def __init__(self, home: Path) -> None:
        self.folder = Path(home, "proposals")

    def propose(self, name: str, source: str, by: str, why: str) -> Proposal:
        """Keeps ``source`` to be read by a person; nothing of it runs."""
        if _NAME.fullmatch(name) is None:
            raise UnweaveError(f"{one_line(name)!r} is not a name for a source file: use lower case and end in .py")
        content = source.encode("utf-8", "strict")
        if len(content) > LARGEST:
            raise UnweaveError(f"{name} is {len(content):,} bytes long, and {LARGEST:,} is the most")
        found = Proposal(name, hashlib.sha256(content).hexdigest(), one_line(by), one_line(why)[:500])
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with sole_writer(self.folder / "list.json"):
            listed = self._listed()
            if found.sha256 not in listed:
                with atomic_path(self.folder / f"{found.sha256}.py", private=True) as temporary:
                    temporary.write_bytes(content)
                write_json(self.folder / "list.json", [*map(asdict, listed.values()), asdict(found)], private=True)
        return listed.get(found.sha256, found)

    def list(self) -> list[Proposal]:
        """All proposals, oldest first."""
        return [*self._listed().values()]

    def shown(self, sha256: str) -> str:
        """The source as a person reads it: control and direction characters are made visible."""
        return printable(self._source(sha256).decode("utf-8", "replace"))

    def allow(self, sha256: str, person: Person) -> Proposal:
        """Lets exactly these bytes run in the sandbox. Only a reviewer or an owner may, and not who proposed them.

        What a person's own agent proposed, they proposed.
        """
        person.must("review")
        self._find(self._listed(), sha256)
        with sole_writer(self.folder / "list.json"):
            listed = self._listed()
            found = self._find(listed, sha256)
            if person_behind(found.proposed_by) == person_behind(person.name):
                raise UnweaveError(f"{person.name!r} proposed {found.name}: somebody else has to allow it")
            changed: dict[str, Any] = {"allowed_by": person.name, "allowed": datetime.now(UTC).isoformat()}
            listed[sha256] = Proposal(**{**asdict(found), **changed})
            write_json(self.folder / "list.json", [asdict(each) for each in listed.values()], private=True)
            return listed[sha256]

    def allowed(self, path: Path | str) -> str:
        """The hash of the file at ``path`` if its bytes, as they are now, were allowed; else ``UnweaveError``."""
        try:
            found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise oserror_line(error, path) from error
        known = self._listed().get(found)
        if known is None or known.allowed_by is None:
            raise UnweaveError(
                f"{Path(path).name} (sha256 {found[:12]}) was not allowed to run: somebody who may review has to read "
                "it first"
            )
        return found

    def check(self, sha256: str) -> None:
        """Raises ``UnweaveError`` for bytes that were proposed and not allowed; a person's own were not proposed."""
        known = self._listed().get(sha256)
        if known is not None and known.allowed_by is None:
            raise UnweaveError(
                f"{known.name} (sha256 {sha256[:12]}) was proposed by {known.proposed_by!r} and not allowed to run: "
                "somebody who may review has to read it first"
            )

    def path(self, sha256: str) -> Path:
        """Where the proposed bytes are kept, checked against their hash."""
        self._source(sha256)
        return self.folder / f"{sha256}.py"

    def _source(self, sha256: str) -> bytes:
        self._find(self._listed(), sha256)
        try:
            content = read_inside(self.folder, f"{sha256}.py")
        except OSError as error:
            raise oserror_line(error, self.folder / f"{sha256}.py") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise UnweaveError(f"the code kept under {sha256[:12]} was changed: propose it again")
        return content

    def _find(self, listed: dict[str, Proposal], sha256: str) -> Proposal:
        if sha256 not in listed:
            raise UnweaveError(f"no code with sha256 {one_line(sha256)[:70]!r} was proposed; {nearest(sha256, listed)}")
        return listed[sha256]

    def _listed(self) -> dict[str, Proposal]:
        if not (self.folder / "list.json").exists():
            return {}
        try:
            return {entry["sha256"]: Proposal(**entry) for entry in read_json_inside(self.folder, "list.json")}
        except (TypeError, KeyError) as error:
            raise UnweaveError(f"{self.folder / 'list.json'} is damaged ({error}): move it away") from error
