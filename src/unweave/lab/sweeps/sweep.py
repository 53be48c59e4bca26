"""A sweep at work: it submits the runs of its plan to the queue, waits for them, chooses who goes on, and compares."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, first_line
from unweave.base.progress import Progress
from unweave.lab.sweeps.alike import runs_alike
from unweave.lab.sweeps.arms import Arm, Grouped
from unweave.lab.sweeps.comparison import Comparison, compare_arms
from unweave.lab.sweeps.halving import Rung, ranked
from unweave.lab.sweeps.measure import Reading
from unweave.lab.sweeps.plan import SweepPlan, Trial
from unweave.lab.sweeps.sweep_record import keep_sweep
from unweave.record.run import Run, RunCancelled

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.lab.queue.job import Job

SWEEP = "sweep"
NEEDS = {"threads": 0.0, "memory_gb": 1.0, "disk_gb": 0.05}
"""It waits for its runs, and would wait for ever if it held what they need."""
LOOK_SECONDS = 2.0


def submit_sweep(
    lab: Lab,
    plan: SweepPlan,
    name: str | None = None,
    thread: str | None = None,
    person: str | None = None,
) -> Job:
    """Puts a sweep into the queue: a job that submits and follows the others, and goes on after a crash.

    Raises ``UnweaveError`` for a plan that cannot be run as a whole; then nothing was submitted.
    """
    plan.check()
    if name is not None and len(name) > 80:
        raise UnweaveError(f"the sweep's name {name!r} is too long, as its runs add to it: use at most 80 characters")
    rungs = [{"settings": dict(rung.settings), "arms": rung.arms, "seeds": list(rung.seeds)} for rung in plan.rungs]
    about = {"runs": plan.runs, "rungs": rungs, "arms": plan.arms}
    return lab.queue.submit(
        SWEEP,
        plan.to_json(),
        kind="sweep",
        needs=NEEDS,
        priority=plan.priority,
        thread=thread,
        person=person,
        name=name,
        source=plan.source,
        plan=about,
        seeds=list(plan.rungs[-1].seeds) or None,
        tags=[SWEEP, plan.study],
    )


def run_sweep(root: Path, run: Run) -> None:
    """Does the sweep whose plan is the config of ``run``, from wherever it was; what a worker of the queue calls."""
    from unweave.lab.lab import Lab
    from unweave.studies.discover import forget_sources

    # What an earlier job of this process loaded may be the same study from another place, and so for a later one.
    forget_sources()
    lab = Lab(root)
    try:
        Sweep(lab, run).go()
    finally:
        forget_sources()
        lab.close()


def runs_of(run: Run) -> list[str]:
    """The runs of a sweep's last rung so far, by the sweep's own run."""
    trials = [(int(key.partition("/")[0]), str(row["run"])) for key, row in run.cells("trials").items()]
    last = max((rung for rung, _ in trials), default=0)
    return [name for rung, name in trials if rung == last]


class Sweep:
    """One sweep. Its runs are called ``<sweep>.<number>``, so that none is submitted twice."""

    def __init__(self, lab: Lab, run: Run) -> None:
        self.lab = lab
        self.run = run
        plan = SweepPlan.from_json(run.config)
        if plan.source is not None:
            # As it was when the sweep was submitted, so that all of its runs are of the same code.
            kept = (run.path / "code" / Path(plan.source).name).resolve()
            plan = replace(plan, source=str(kept) if kept.is_file() else plan.source)
        self.plan = plan
        self.jobs: dict[str, Job] = {}
        """By the trial's key."""
        self.failures: dict[str, str] = {}
        """Why a run counts for nothing, by its id."""
        self._number = 0

    def go(self) -> Comparison | None:
        """Runs rung after rung, and keeps tables and claims; the comparison of the last rung's arms."""
        self.plan.check()
        alive = list(range(len(self.plan.arms)))
        reached: dict[int, int] = {}
        leader: int | None = None
        readings: dict[int, list[Reading]] = {}
        try:
            for rung in self.plan.rungs:
                if rung.number:
                    alive = self._going_on(readings, rung)
                    leader = alive[0]
                trials = self.plan.trials(rung, alive)
                self._submit(trials)
                self._wait(trials)
                readings = self._read(trials)
                reached |= dict.fromkeys(alive, rung.number)
            compared = self._compare(readings, leader)
        except RunCancelled:
            self._stop()
            raise
        except UnweaveError:
            # What was run is told of, also where it is not enough to compare, or the budget is used up.
            jobs = {key: self.lab.queue.get(job.id) for key, job in self.jobs.items()}
            keep_sweep(self.run, self.plan, jobs, reached, readings, self.failures, None)
            raise
        keep_sweep(self.run, self.plan, self.jobs, reached, readings, self.failures, compared)
        return compared

    def _going_on(self, readings: Mapping[int, Sequence[Reading]], rung: Rung) -> list[int]:
        """The best arms of the rung before, and the baseline, best first."""
        assert self.plan.measure is not None  # noqa: S101 - a plan that halves has one
        scores = {arm: [reading.value for reading in found] for arm, found in readings.items()}
        order = ranked(scores, self.plan.measure.better)
        if len(order) < 2:
            raise UnweaveError(f"{len(order)} configs of rung {rung.number} gave a number: {self._first_failure()}")
        chosen = order[: rung.arms]
        base = self.plan.baseline_arm
        return [*chosen, base] if base in order and base not in chosen and base is not None else chosen

    def _submit(self, trials: Sequence[Trial]) -> None:
        known = self.run.cells("trials")
        state = self.run.state()
        for trial in trials:
            self._number += 1
            name = f"{self.run.id}.{self._number:04d}"
            entry = known.get(trial.key)
            if entry is not None:
                name = str(entry["run"])
            else:
                self.run.put_cell("trials", trial.key, {"run": name, "stopped": False})
            self.jobs[trial.key] = self._job(name, trial, state, bool(entry and entry["stopped"]))
            if entry is not None and entry["stopped"]:
                self.run.put_cell("trials", trial.key, {"run": name, "stopped": False})

    def _job(self, name: str, trial: Trial, state: Mapping[str, Any], stopped: bool) -> Job:
        if self.lab.database.read("SELECT 1 FROM jobs WHERE id = ?", (name,)):
            # Only what this sweep stopped itself is started again: what failed is told.
            job = self.lab.queue.get(name)
            return self.lab.queue.resume(name) if stopped and job.state == "cancelled" else job
        plan = {
            "study": self.plan.study,
            "config": dict(trial.config),
            "stage": f"{self.run.id}, rung {trial.rung}",
            "arm": trial.arm,
            **({"seeds": list(trial.seeds)} if trial.seeds else {}),
        }
        return self.lab.queue.submit(
            self.plan.study,
            trial.config,
            needs=dict(self.plan.needs) or None,
            priority=self.plan.priority,
            thread=state.get("thread"),
            person=state.get("person"),
            name=name,
            plan=plan,
            seeds=list(trial.seeds) or None,
            parents=[self.run.id],
            tags=[self.run.id],
            source=self.plan.source,
        )

    def _wait(self, trials: Sequence[Trial]) -> None:
        names = [self.jobs[trial.key].id for trial in trials]
        before = len(self.jobs) - len(trials)
        progress = _Part(self.run.progress, before, max(self.plan.runs, len(self.jobs)))
        while True:
            jobs = self.lab.queue.wait(names, LOOK_SECONDS, progress)
            self.jobs |= {trial.key: job for trial, job in zip(trials, jobs, strict=True)}
            if all(job.has_ended for job in jobs):
                return
            self.run.stop_if_cancelled()

    def _read(self, trials: Sequence[Trial]) -> dict[int, list[Reading]]:
        found: dict[int, list[Reading]] = {}
        for trial in trials:
            job = self.jobs[trial.key]
            if job.state != "finished":
                self.failures[job.id] = f"{job.state}: {job.note or 'it did not say why'}"
                continue
            if self.plan.measure is None:
                continue
            try:
                run = Run.open(self.lab.root / job.run)
                readings = self.plan.measure.read(run, trial.seeds)
            except UnweaveError as error:
                self.failures[job.id] = first_line(error)
                continue
            found.setdefault(trial.arm, []).extend(readings)
        return found

    def _compare(self, readings: Mapping[int, Sequence[Reading]], leader: int | None) -> Comparison | None:
        measure = self.plan.measure
        if measure is None:
            return None
        if not readings:
            raise UnweaveError(f"no run of the sweep gave {measure.text}: {self._first_failure()}")
        arms = {
            number: Arm(self.plan.settings(number), tuple(sorted(found, key=lambda reading: reading.seed)))
            for number, found in readings.items()
        }
        # The leader was chosen on earlier seeds, so that its numbers here are not those of a lucky draw.
        base = next(number for number in (self.plan.baseline_arm, leader, *sorted(arms)) if number in arms)
        notes = [f"compared with {arms[base].name}, which led before the last rung"] if base == leader else []
        configs = [{**config, **self.plan.rungs[-1].settings} for config in self.plan.arms]
        others = runs_alike(
            self.lab, self.plan.study, configs, {job.id for job in self.jobs.values()}, self.plan.seed_field
        )
        outside = dict.fromkeys(others, "of the same config, and not of this sweep")
        grouped = Grouped(tuple(arms.values()), tuple(self.plan.space.fields()), {**self.failures, **outside})
        return compare_arms(self.plan.study, measure, grouped, arms[base].settings, notes=notes)

    def _stop(self) -> None:
        """Cancels the runs that have not ended, and remembers which, so that a resumed sweep starts them again."""
        for key, job in self.jobs.items():
            if not self.lab.queue.get(job.id).has_ended:
                self.run.put_cell("trials", key, {"run": job.id, "stopped": True})
                self.lab.queue.cancel(job.id)

    def _first_failure(self) -> str:
        return next((f"{run}: {reason}" for run, reason in self.failures.items()), "none was run")


class _Part:
    """Progress of some runs as that of all."""

    def __init__(self, progress: Progress, before: int, total: int) -> None:
        self.progress, self.before, self.total = progress, before, total
        self.at = 0.0

    def update(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done == total or now - self.at > 0.2:
            self.at = now
            self.progress.update(self.before + done, self.total, note)

    def say(self, line: str) -> None:
        self.progress.say(line)
