"""A run: one execution of a study, and the folder that holds everything it wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError, nearest, oserror_line
from unweave.base.files import atomic_path, read_json, sole_writer, write_json
from unweave.base.progress import Progress, Silent
from unweave.base.secrets import scrubbed
from unweave.record import jsonl, spool
from unweave.record.about import checked_seeds, with_deviation, with_identity
from unweave.record.claims import Claim, make_aggregate_claim, make_claim, make_metric_claim, read_claims
from unweave.record.environment import environment, is_gone, this_process
from unweave.record.life import ENDINGS, RunCancelled, ending, json_config, make_folder, now
from unweave.record.notebook import Listed, run_html
from unweave.record.pair import settle
from unweave.record.row import plain_row
from unweave.record.seal import SEAL, seal_run
from unweave.record.table import Table, Value, check_name

if TYPE_CHECKING:
    from unweave.record.aggregate import Aggregate
    from unweave.record.figure import Figure


class Run:
    """A study's handle on its folder: ``run.json``, metrics, cells, tables, figures, claims and the report.

    Every method that writes has written when it returns. A failed write raises ``UnweaveError`` with the path and the
    remedy; so does any write to a run that has finished, which is sealed. Used as a context manager it records how the
    block ended; a run refused before it wrote anything is removed.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self.path = Path(path)
        self.progress: Progress = progress or Silent()
        self.measure: Callable[[], Mapping[str, float]] | None = None
        """What the run used, asked when it ends and kept as ``usage``."""
        self._owner: int | None = None
        """The process that created or resumed the run, and alone writes ``metrics.jsonl``."""

    @classmethod
    def create(
        cls,
        study: str,
        config: Mapping[str, Any],
        root: Path = Path("runs"),
        name: str | None = None,
        progress: Progress | None = None,
        about: Mapping[str, Any] | None = None,
        status: Literal["running", "waiting"] = "running",
    ) -> Run:
        """Starts a run in ``root/<study>-<date>-<time>-<4 hex>``, or in ``root/<name>``, which must not exist yet.

        ``about`` is what else it records of itself: ``plan``, ``seeds``, ``thread``, ``job``, ``person``, ``parents``,
        ``tags``, and ``source``, the Python file of a person's own study, which is copied. A ``waiting`` run has only
        its folder; the process that works on it calls ``begin``.
        """
        run = cls(make_folder(study, config, root, name, about or {}, status), progress)
        run._owner = os.getpid()
        return run

    @classmethod
    def open(cls, path: Path, progress: Progress | None = None) -> Run:
        """A run that exists, to read. Raises ``UnweaveError`` when ``path`` is not a run's folder."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise UnweaveError(f"{path} is not a run: it has no run.json")
        run = cls(path, progress)
        state = run.state()
        kinds = {"study": str, "config": dict, "status": str, "created": str, "process": dict, "environment": dict}
        wrong = [key for key, kind in kinds.items() if not isinstance(state.get(key), kind)]
        if wrong:
            raise UnweaveError(f"{path / 'run.json'} lacks {wrong[0]!r}: it was damaged or is another kind of file")
        return run

    @classmethod
    def resume(cls, path: Path, progress: Progress | None = None) -> Run:
        """Opens a run to go on with it. Refuses one that is finished or that a live process still works on."""
        run = cls.open(path, progress)
        if run.status in ("waiting", "running", "finished"):
            raise UnweaveError(f"run {run.path.name!r} is {run.status}: only a run that stopped early can be resumed")
        run.begin()
        return run

    def begin(self, surroundings: Mapping[str, Any] | None = None) -> None:
        """Marks a run that waits or stopped early as worked on by this process, in ``surroundings``: ``environment``'s.

        A run that another process works on, or that is finished, is refused.
        """
        with sole_writer(self.path / "run.json"):
            self._begin(surroundings)
        self._owner = os.getpid()

    def _begin(self, surroundings: Mapping[str, Any] | None) -> None:
        state, status = self.state(), self.status
        if status in ("running", "finished"):
            raise UnweaveError(f"run {self.id!r} is {status}: there is nothing to begin")
        surroundings = dict(surroundings or environment())
        began: dict[str, Any] = {"status": "running", "note": None, "process": this_process()}
        # A run of an earlier version, which had not the key, has begun.
        if state.get("began", state["created"]) is None:
            self._set(**began, began=now(), environment=surroundings)
        else:
            # Claims are of tables that will be saved again, and are made again with them.
            self._remove("cancel", "claims.json", SEAL)
            try:
                settle(self.path / "tables")
            except OSError as error:
                raise oserror_line(error, self.path / "tables") from error
            resumed = [*state.get("resumed", []), {"at": now(), "environment": surroundings}]
            self._set(**began, finished=None, resumed=resumed)

    def wait(self, note: str | None = None, lost: bool = False) -> None:
        """Marks a run that no process works on as one that a queue will begin, or go on with.

        ``lost``: the process, of another machine perhaps, is known to be gone, whatever the run says.
        """
        if self.status == "finished" or (self.status == "running" and not lost):
            raise UnweaveError(f"run {self.id!r} is {self.status}: it cannot wait for a worker")
        self._set(status="waiting", finished=None, note=note)

    @classmethod
    def join(cls, path: Path, progress: Progress | None = None) -> Run:
        """The run that another process works on, to log to and keep cells of beside it.

        What this process logs goes to a file of its own. Claims, tables and the end are the other process's, which
        ends the run after this one has.
        """
        run = cls.open(path, progress)
        if run.status != "running":
            raise UnweaveError(f"run {run.path.name!r} is {run.status}: only a run at work can be joined")
        return run

    def state(self) -> dict[str, Any]:
        """The content of ``run.json``."""
        state = read_json(self.path / "run.json")
        if not isinstance(state, dict):
            raise UnweaveError(f"{self.path / 'run.json'} is not a run's description: it was damaged")
        return state

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def study(self) -> str:
        """The study that this run executes."""
        return str(self.state()["study"])

    @property
    def config(self) -> dict[str, Any]:
        """The study's config as it was given."""
        return dict(self.state()["config"])

    @property
    def status(self) -> str:
        """One of ``STATUSES``; a run whose process died without a word is ``interrupted``."""
        state = self.state()
        if state["status"] == "running" and is_gone(state["process"]):
            return "interrupted"
        return str(state["status"])

    def log(self, step: int | None = None, **metrics: Any) -> None:
        """Adds one line to the metrics with the time; a number that is not finite is written as null."""
        self._refuse_sealed("metrics")
        stamp: dict[str, Any] = {"time": now()} if step is None else {"time": now(), "step": step}
        name = spool.FIRST if self._owner == os.getpid() else spool.own_name()
        spool.append(self.path / name, {**stamp, **plain_row(metrics)})

    def metrics(self) -> list[dict[str, Any]]:
        """All lines logged so far, by every process of the run, in the order of their times."""
        return spool.read(self.path)

    def identify(self, kind: str, name: str, sha256: str, **facts: Any) -> None:
        """Records what the run's numbers depend on: a ``target``, ``data``, ``held-out`` text or a ``decomposition``.

        Raises ``UnweaveError`` when the run, before it was resumed, depended on other bytes under that name.
        """
        self._refuse_sealed("identities")
        known = self.state().get("identities", [])
        found = with_identity(known, kind, name, sha256, plain_row(facts))
        if found != known:
            self._set(identities=found)

    def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Records another config, of a script that settles its settings while it runs."""
        self._refuse_sealed("config")
        self._set(config=json_config(self.study, config))

    def use_seeds(self, seeds: Sequence[int], unseeded: bool = False) -> None:
        """Records the seeds that the study will use; refused where the run was planned with others.

        With ``unseeded`` nothing in the run draws at random, so that its first seed stands for all of them.
        """
        self._refuse_sealed("seeds")
        wanted, planned = checked_seeds(list(seeds)), self.state().get("seeds")
        if planned is None:
            self._set(seeds=wanted)
        elif sorted(planned) != sorted(wanted):
            raise UnweaveError(f"run {self.id!r} was planned with seeds {planned}, and its config gives {wanted}")
        if unseeded:
            self._set(unseeded=True)

    def deviate(self, what: str, why: str) -> None:
        """Declares that the run does not do as it was planned in ``what``: ``config.tokens``, ``seeds``, ``data.NAME``.

        The audit calls a difference from the plan that is not declared a reason not to believe the run.
        """
        self._refuse_sealed("deviations")
        self._set(deviations=with_deviation(self.state().get("deviations", {}), what, why))

    def put_cell(self, name: str, key: str, row: Mapping[str, Any]) -> None:
        """Keeps one finished piece of the partial table ``name`` on the disk before it returns.

        A later ``put_cell`` under the same key replaces it. A study asks ``cells`` first and skips what is there.
        """
        check_name(name, "cells")
        self._refuse_sealed("cells")
        jsonl.append(self.path / "cells" / f"{name}.jsonl", {"key": str(key), "row": plain_row(row)}, durable=True)

    def cells(self, name: str) -> dict[str, dict[str, Value]]:
        """The finished pieces of the partial table ``name`` by key, in the order in which they were first kept."""
        check_name(name, "cells")
        return {record["key"]: record["row"] for record in jsonl.read(self.path / "cells" / f"{name}.jsonl")}

    def save_table(self, table: Table) -> str:
        """Saves a table, in place of an older one of that name, and returns the sha256 of its CSV bytes."""
        self._refuse_sealed("tables")
        return table.save(self.path / "tables")

    def load_table(self, name: str) -> Table:
        """A saved table, checked against its recorded hash."""
        return Table.load(self.path / "tables", name)

    def tables(self) -> list[str]:
        """Names of the saved tables."""
        return sorted(path.stem for path in (self.path / "tables").glob("*.csv"))

    def draw(self, name: str, figure: Figure) -> Path:
        """Saves ``figures/<name>.svg``, drawn from a table that this run holds in exactly that version."""
        check_name(name, "figure")
        self._refuse_sealed("figures")
        saved = self.load_table(figure.spec.table)
        if saved.sha256 != figure.spec.sha256:
            raise UnweaveError(
                f"figure {name!r} was drawn from another version of table {saved.name!r}: save the table, then draw it"
            )
        folder = self.path / "figures"
        for file, content in ((f"{name}.svg", figure.svg), (f"{name}.narrow.svg", figure.narrow)):
            with atomic_path(folder / file) as temporary:
                temporary.write_text(content, encoding="utf-8")
        write_json(folder / f"{name}.json", figure.spec.to_json())
        return folder / f"{name}.svg"

    def figures(self) -> list[str]:
        """Names of the drawn figures."""
        return sorted(path.stem for path in (self.path / "figures").glob("*.json"))

    def claim(
        self,
        sentence: str,
        table: str | None = None,
        row: Mapping[str, Any] | None = None,
        column: str | None = None,
        value: Value = None,
        digits: int = 3,
        over: Aggregate | None = None,
    ) -> Claim:
        """Records a sentence whose number is the one cell of a saved table that ``row`` and ``column`` select.

        ``{value}`` in the sentence becomes the cell at ``digits`` decimals, ``{value:+}`` the same with its sign.
        ``over`` says of which raw rows of another saved table the cell is the median, mean or so; with ``over`` and no
        ``table`` the claim is on that aggregate itself. A claim on a number over seeds should have it: only then can
        the audit tell that no seed was left out.
        Raises ``UnweaveError`` when no or several rows match, when ``value`` is given and is not the cell's at those
        digits, when the cell is not what ``over`` gives, when the sentence does not state the value, when it calls the
        largest or smallest of several numbers no such thing, and when rows are selected by a number that came out.
        """
        raw = None if over is None else self.load_table(over.table)
        if table is None or row is None or column is None:
            if over is None or raw is None or (table, row, column) != (None, None, None):
                raise UnweaveError(
                    f"the claim {sentence!r} needs a table, a row and a column, or `over` and none of them"
                )
            return self._keep(make_aggregate_claim(raw, sentence, over, value, digits, config=self.config))
        saved = self.load_table(table)
        return self._keep(make_claim(saved, sentence, row, column, value, digits, over, raw, config=self.config))

    def claim_metric(
        self,
        sentence: str,
        metric: str,
        how: Literal["last", "first", "max", "min", "mean"] = "last",
        where: Mapping[str, Any] | None = None,
        digits: int = 3,
    ) -> Claim:
        """Records a sentence whose number is read from what was logged: ``how`` over ``metric``, with ``{value}``.

        ``where`` selects rows by what was logged beside it; ``step>=`` and ``step<=`` in it bound the step.
        Raises ``UnweaveError`` when no row has the metric, when one of them is not a finite number, and where ``claim``
        refuses a sentence or a selector.
        """
        return self._keep(make_metric_claim(self.path, sentence, metric, how, where, digits, config=self.config))

    def _keep(self, claim: Claim) -> Claim:
        self._refuse_sealed("claims")
        others = [known for known in self.claims() if not known.same_place(claim)]
        write_json(self.path / "claims.json", [known.to_json() for known in (*others, claim)])
        return claim

    def claims(self) -> list[Claim]:
        """The recorded claims in order."""
        path = self.path / "claims.json"
        return Listed(read_claims(path) if path.exists() else [])

    def cancel(self) -> None:
        """Asks the run to stop at its next look, from any process: writes a file named ``cancel``."""
        try:
            (self.path / "cancel").touch()
        except OSError as error:
            raise oserror_line(error, self.path / "cancel") from error

    def cancelled(self) -> bool:
        """True once somebody asked the run to stop."""
        return (self.path / "cancel").exists()

    def stop_if_cancelled(self) -> None:
        """Raises ``RunCancelled`` once somebody asked the run to stop."""
        if self.cancelled():
            raise RunCancelled(f"run {self.id!r} was cancelled: what it finished is kept, and it can be resumed")

    def finish(self, status: str = "finished", note: str | None = None) -> None:
        """Records how the run ended; ``note`` is one line, such as the error's.

        A finished run is sealed, and before it is called finished, so that a finished one always has its seal.
        """
        if status not in ENDINGS:
            raise UnweaveError(f"a run cannot end as {status!r}; {nearest(status, ENDINGS)}")
        spool.close(self.path)
        # An error's text may hold a key that it was about, and what no file takes.
        note = scrubbed(note).encode("utf-8", "replace").decode("utf-8") if note is not None else None
        used = {"usage": dict(self.measure())} if self.measure is not None else {}
        state = {**self.state(), "status": status, "finished": now(), "note": note, **used}
        if status == "finished":
            seal_run(self, state)
        else:
            self._remove(SEAL)
        write_json(self.path / "run.json", state)

    def _repr_html_(self) -> str:
        return run_html(self)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        status = ending(error)
        if error is None:
            if self.state()["status"] == "running":
                self.finish()
            return
        if isinstance(error, UnweaveError) and error.exit_code == UnweaveError.exit_code and self._untouched():
            shutil.rmtree(self.path, ignore_errors=True)
            return
        # The error that ended the run says more than a disk too full to record it; unrecorded, it reads as interrupted.
        with suppress(UnweaveError):
            unsaid = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else type(error).__name__
            self.finish(status, " ".join(f"{error}".split()) or unsaid)

    def _untouched(self) -> bool:
        """True for a first start that wrote nothing: a refusal, not a run that anybody would resume or open."""
        state = self.state()
        written = {path.name for path in self.path.iterdir()} - {"run.json", "run.json.lock", "code"}
        return not (written or state["resumed"] or state.get("job"))

    def _remove(self, *names: str) -> None:
        for name in names:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise oserror_line(error, self.path / name) from error

    def _refuse_sealed(self, what: str) -> None:
        if os.path.exists(self._seal_path):
            raise UnweaveError(
                f"run {self.id!r} is finished and sealed, and its {what} stay as they are: start another"
            )

    @cached_property
    def _seal_path(self) -> str:
        return str(self.path / SEAL)

    def _set(self, **changes: Any) -> None:
        write_json(self.path / "run.json", {**self.state(), **changes})
