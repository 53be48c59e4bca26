"""What a run's numbers depend on outside its folder, against what it is now: the code, and text that was held out."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.base.files import path_hash, read_inside
from unweave.lab.audit.finding import Finding
from unweave.lab.audit.plan import code_hash, environments
from unweave.record.environment import code_tree
from unweave.record.run import Run


def code_findings(run: Run) -> Iterator[Finding]:
    """The copy of a person's own study against its recorded hash, and the installed package against the run's.

    A package of another version or from a checkout is a note: people go on working. One of the same version, installed,
    with other bytes was changed in place, and then nothing says what made the numbers.
    """
    state = run.state()
    source = state.get("source")
    if isinstance(source, Mapping):
        yield from _copy(run, source)
    recorded = environments(state)
    hashes = list(dict.fromkeys(map(code_hash, recorded)))
    if len(hashes) > 1:
        yield Finding("code", "environment", f"the run was resumed with other code: {_list(hashes)}", grave=False)
    package = Path(__file__).resolve().parents[2]
    now = code_tree(package)
    if hashes[-1] in (None, now) or not recorded:
        return
    last, version = recorded[-1], sys.modules["unweave"].__version__
    if last.get("unweave") != version or last.get("commit") is not None or _is_checkout(package):
        told = f"unweave {last.get('unweave')} made the run, with other code than the unweave {version} that audits it"
        yield Finding("code", "environment", told, grave=False)
    else:
        told = f"the installed unweave {version} was changed since: its code is {now[:12]}, and {_list(hashes)} then"
        yield Finding("code", "environment", told)


def held_out_findings(run: Run) -> Iterator[Finding]:
    """Held-out text hashed again where it lies; other data that changed since is a note.

    An identity says where: ``path``, or ``bundled`` for a file of the package, with the hash of the bytes there in
    ``bytes`` (else in ``sha256``).
    """
    state = run.state()
    versions = {one.get("unweave") for one in environments(state)}
    for one in state.get("identities") or []:
        if not isinstance(one, Mapping) or one.get("kind") not in ("held-out", "data"):
            continue
        path, where = _place(one), f"{one['kind']} {one.get('name')}"
        if path is None:
            continue
        try:
            now = path_hash(path) if path.exists() else None
        except OSError as error:
            now, path = None, Path(f"{path.name} ({error.strerror})")
        if now is None:
            yield Finding("data", where, f"{path.name} cannot be read now, and not be compared", grave=False)
        elif now != (then := str(one.get("bytes") or one.get("sha256"))):
            other = "bundled" in one and versions != {sys.modules["unweave"].__version__}
            told = f"{path.name} has other bytes now: sha256 {now[:12]} instead of {then[:12]}"
            yield Finding("data", where, told, grave=one["kind"] == "held-out" and not other)


def _place(identity: Mapping[str, Any]) -> Path | None:
    bundled = identity.get("bundled")
    if isinstance(bundled, str) and re.fullmatch(r"[a-z0-9.-]+", bundled):
        return Path(__file__).resolve().parents[2] / "corpora" / "data" / bundled
    return Path(str(identity["path"])) if identity.get("path") else None


def _copy(run: Run, source: Mapping[str, Any]) -> Iterator[Finding]:
    name = str(source.get("file"))
    if not re.fullmatch(r"code/[A-Za-z0-9_][A-Za-z0-9_.-]*\.py", name):
        yield Finding("code", "source", f"{name!r} is not the name of a file in the run's code folder")
        return
    try:
        now = hashlib.sha256(read_inside(run.path, name)).hexdigest()
    except (OSError, UnweaveError):
        yield Finding("code", name, "the study's own code is gone, or is a link")
        return
    if now != source.get("sha256"):
        told = f"the study's own code was changed: {now[:12]} instead of {str(source.get('sha256'))[:12]}"
        yield Finding("code", name, told)


def _is_checkout(package: Path) -> bool:
    return package.parent.name == "src" and (package.parent.parent / ".git").exists()


def _list(hashes: list[str | None]) -> str:
    return ", ".join(str(sha256)[:12] for sha256 in hashes)
