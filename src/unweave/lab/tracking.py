"""Logging from a training script: ``import unweave``, then ``init``, ``log`` and ``finish``, as in other trackers."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from unweave.base.errors import UnweaveError, first_line, nearest
from unweave.lab import ranks
from unweave.lab.mirrors import About, open_mirrors
from unweave.lab.tracked_run import Settings, Summary, TrackedRun, said
from unweave.record.find import list_runs
from unweave.record.run import Run
from unweave.record.table import check_name

STUDY = "tracked"
Resume = Literal["allow", "must", "never"]
_lock = threading.RLock()
_current: TrackedRun | None = None
_hooked = False
_raised: BaseException | None = None
_exit_code: object = None


def init(
    project: str | None = None,
    config: Any = None,
    name: str | None = None,
    *,
    dir: str | Path | None = None,
    mode: Literal["online", "offline", "disabled"] | None = None,
    id: str | None = None,
    resume: bool | Resume | None = None,
    tags: Sequence[str] = (),
    group: str | None = None,
    job_type: str | None = None,
    notes: str | None = None,
    mirror: str | Sequence[str] | None = None,
    **others: Any,
) -> TrackedRun:
    """Starts a run that ``log`` writes to, in the lab's folder ``dir`` (``$UNWEAVE_RUNS``, else ``runs``).

    ``config`` is a dictionary, a dataclass or parsed arguments. ``mode="disabled"`` (or ``$UNWEAVE_MODE``) records
    nothing; the other modes are the same here, since nothing leaves the machine. ``id`` names the run's folder;
    ``resume`` is ``"allow"``, ``"must"`` or ``"never"``, and True goes on with the project's last run that did not
    finish. ``mirror`` is ``"mlflow"``, ``"trackio"`` or ``"wandb"``: what is logged is sent there too, with that
    library. In a process that ``multiprocessing`` started, and in the ranks of a torchrun launch after the first,
    the run of the first process is joined. A run that is still open is finished first.
    Raises ``UnweaveError`` for settings that cannot be followed and a folder that cannot be written; ``log`` does not.
    """
    global _current
    mode = mode or os.environ.get("UNWEAVE_MODE") or "online"  # type: ignore[assignment]
    if mode not in ("online", "offline", "disabled"):
        raise UnweaveError(f"mode is {mode!r}; {nearest(str(mode), ('online', 'offline', 'disabled'))}")
    if resume not in (None, True, False, "allow", "must", "never"):
        raise UnweaveError(f"resume is {resume!r}: say allow, must, never, True or False")
    with _lock:
        if _current is not None and _current.here:
            finish()
        _hook()
        if others:
            said(f"init does not know {', '.join(sorted(others))}: left out")
        project = project or os.environ.get("UNWEAVE_PROJECT") or "uncategorized"
        settings = Settings(config)
        if mode == "disabled":
            _current = TrackedRun(None, settings, name or project, project)
            return _current
        # Absolute, because a script may change its folder.
        root = Path(dir or os.environ.get("UNWEAVE_RUNS") or "runs").absolute()
        ranks.count_start()
        try:
            joined = ranks.parent_run() if ranks.is_child() else ranks.await_first_rank(root)
        except UnweaveError as error:
            said(f"{error}; nothing is recorded here")
            _current = TrackedRun(None, settings, name or project, project)
            return _current
        if joined is not None:
            _current = TrackedRun(joined, Settings(joined.config), name or joined.id, project, joined=True)
            return _current
        labels = {"project": project, "name": name, "group": group, "job": job_type}
        about = {"tags": [*(f"{label}:{text}" for label, text in labels.items() if text), *tags]}
        run = _resumed(root, id, resume, f"project:{project}")
        if run is None:
            run = Run.create(STUDY, settings, root, id or _new_id(name or project), about=about)
        elif settings:
            run.reconfigure({**run.config, **settings})
        tracked = TrackedRun(run, Settings({**run.config, **settings}), name or run.id, project, notes=notes)
        wanted = mirror or os.environ.get("UNWEAVE_MIRROR", "").replace(",", " ").split()
        try:
            tracked.mirrors = open_mirrors(wanted, About(run.id, project, tracked.name, dict(tracked.config)), said)
        except UnweaveError:
            # A refusal leaves no run behind, unless it is one that was there before.
            run.__exit__(*sys.exc_info())
            raise
        ranks.announce(run)
        _current = tracked
        return tracked


def log(data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:
    """Adds a row to the run's metrics; see ``TrackedRun.log``. Without a run it says so, once."""
    tracked = _active()
    if tracked is None:
        TrackedRun.warn_once("log was called without a run: call unweave.init first; nothing is recorded")
        return
    tracked.log(data, step, commit)


def finish(exit_code: int | None = None) -> None:
    """Ends the run; see ``TrackedRun.finish``. Without a run it does nothing."""
    global _current
    with _lock:
        if _current is not None:
            _current.finish(exit_code)
            _current = None


class _CurrentSettings:
    """``unweave.config``: the config of the run that is open."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_settings(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_settings(), name, value)

    def __getitem__(self, name: str) -> Any:
        return _settings()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        _settings()[name] = value

    def __contains__(self, name: object) -> bool:
        return name in _settings()

    def __iter__(self) -> Any:
        return iter(_settings())

    def __len__(self) -> int:
        return len(_settings())

    def __repr__(self) -> str:
        return repr(_settings())


config = _CurrentSettings()


def __getattr__(name: str) -> Any:
    if name == "run":
        return _active()
    if name == "summary":
        tracked = _active()
        return Summary() if tracked is None else tracked.summary
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _settings() -> Settings:
    tracked = _active()
    if tracked is None:
        raise UnweaveError("there is no run, and so no config: call unweave.init first")
    return tracked.config


def _active() -> TrackedRun | None:
    global _current, _exit_code
    if _current is None and ranks.RUN in os.environ:
        with _lock:
            run = ranks.parent_run() if _current is None else None
            if run is not None:
                _hook()
                _current = TrackedRun(run, Settings(run.config), run.id, "", joined=True)
    # Whoever logs after sys.exit has caught it.
    _exit_code = None
    return _current


def _resumed(root: Path, id: str | None, resume: bool | Resume | None, tag: str) -> Run | None:
    if id is not None:
        check_name(id, "run")
    if id is not None and (root / id / "run.json").is_file():
        if resume in (None, False, "never"):
            raise UnweaveError(f"run {id!r} exists already: choose another id, or say resume='allow'")
        return Run.resume(root / id)
    if resume == "must":
        raise UnweaveError(f"there is no run {id!r} in {root} to resume" if id else "resume='must' needs an id")
    if resume is True and id is None:
        for run in reversed(list_runs(root)):
            state = run.state()
            if state["study"] == STUDY and tag in state.get("tags", []) and run.status not in ("running", "finished"):
                return Run.resume(run.path)
    return None


def _new_id(text: str) -> str:
    words = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("._-")[:60] or "run"
    return f"{words}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _hook() -> None:
    """Once a process: its end ends the run, and an error or exit code that ended it is told by the run."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    atexit.register(_at_exit)
    before, leave = sys.excepthook, sys.exit

    def told(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        global _raised
        _raised = error
        before(kind, error, trace)

    def left(status: Any = None, /) -> Any:
        global _exit_code
        _exit_code = status
        leave(status)

    sys.excepthook, sys.exit = told, left


def _at_exit() -> None:
    tracked = _current
    if tracked is None:
        return
    with suppress(Exception):
        if _raised is not None:
            tracked.end("interrupted" if isinstance(_raised, KeyboardInterrupt) else "failed", first_line(_raised))
        elif _exit_code not in (None, 0, False):
            tracked.end("failed", f"the program ended with exit code {_exit_code}"[:200])
        else:
            tracked.end("finished", None)
