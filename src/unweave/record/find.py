"""Finding a run by its path, its id, or as the last one."""

from __future__ import annotations

from pathlib import Path

from unweave.base.errors import UnweaveError, nearest
from unweave.record.run import Run


def list_runs(root: Path = Path("runs")) -> list[Run]:
    """All readable runs in ``root``, oldest first."""
    found: list[tuple[str, str, Run]] = []
    for description in Path(root).glob("*/run.json"):
        # A half-written folder of a killed process starts with a dot.
        if description.parent.name.startswith("."):
            continue
        try:
            run = Run.open(description.parent)
            found.append((str(run.state()["created"]), run.id, run))
        except UnweaveError:
            continue
    return [run for *_, run in sorted(found, key=lambda entry: entry[:2])]


def find_run(name_or_path: str | Path, root: Path = Path("runs")) -> Run:
    """The run at a path, of an id in ``root``, or the newest for ``last``; else ``UnweaveError`` with the nearest."""
    name = str(name_or_path)
    if name == "last":
        runs = list_runs(root)
        if not runs:
            raise UnweaveError(f"there are no runs in {root}: start one with `unweave run STUDY`")
        return runs[-1]
    for path in (Path(name_or_path), Path(root) / name):
        if (path / "run.json").is_file():
            return Run.open(path)
        if path.name == "run.json" and path.is_file():
            return Run.open(path.parent)
    if name and Path(name).is_dir():
        raise UnweaveError(f"{name} is not a run: it has no run.json")
    raise UnweaveError(f"there is no run {name!r} in {root}; {nearest(name, [run.id for run in list_runs(root)])}")
