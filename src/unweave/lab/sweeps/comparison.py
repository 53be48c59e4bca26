"""Arms compared with a baseline, seed by seed: differences, tests, and the noise floor below which none is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest
from unweave.lab.sweeps.arms import Arm, Grouped, group, shown
from unweave.lab.sweeps.measure import Measure

if TYPE_CHECKING:
    from unweave.lab.lab import Lab
    from unweave.record.run import Run
    from unweave.stats.bootstrap import Interval

LEAST_SEEDS = 3
LEVEL = 0.95
TOO_FEW = "too few seeds"
BASELINE = "baseline"
BETTER = "better"
WORSE = "worse"
NO_SPREAD = "no verdict: the seed changes nothing"


@dataclass(frozen=True)
class Row:
    """One arm: its mean over ``n`` seeds with Student's interval, and how it stands to the baseline.

    ``difference`` is the mean over the ``pairs`` seeds that both arms have. ``floor`` is the difference that arms equal
    to the baseline stay within, by the baseline's own spread over those seeds; ``detectable`` is the true difference
    that would pass it four times in five. ``p`` is of ``test``, and ``adjusted`` of Holm's method over all arms.
    """

    arm: Arm
    mean: Interval
    median: float
    verdict: str
    pairs: int = 0
    difference: Interval | None = None
    floor: float = math.nan
    detectable: float = math.nan
    p: float = math.nan
    adjusted: float = math.nan
    test: str = ""
    note: str = ""
    alike: tuple[str, ...] = ()
    """Of the best arm: the others, the baseline apart, that the same test does not tell from it."""


@dataclass(frozen=True)
class Comparison:
    """``rows`` with the baseline first. ``verdict`` of another row is ``better``, ``worse``, that no difference was
    seen, or that there is none: for too few seeds, or for seeds that change nothing.
    """

    study: str
    measure: Measure
    by: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seed_field: str | None = None

    @property
    def baseline(self) -> Row:
        """The arm that the others are compared with."""
        return self.rows[0]

    def _repr_html_(self) -> str:
        from unweave.lab.notebook import comparison_html

        return comparison_html(self)

    @property
    def best(self) -> Row:
        """The arm with the best mean among those that are better than the baseline; the baseline if none is."""
        return _best(self.rows, self.measure) or self.baseline

    def row(self, name: str) -> Row:
        """The row of the arm called ``name``."""
        found = {row.arm.name: row for row in self.rows}
        if name not in found:
            raise UnweaveError(f"there is no arm {name!r}; {nearest(name, found)}")
        return found[name]


def compare(
    lab: Lab,
    runs: Sequence[str],
    measure: Measure,
    by: Sequence[str] | None = None,
    baseline: Mapping[str, Any] | None = None,
    seed_field: str | None = None,
) -> Comparison:
    """Compares runs of ``lab`` by their ids; see ``compare_runs``. Runs that the lab holds invalid, and runs that have
    not finished, are left out and named.
    """
    kept: list[Run] = []
    left_out: dict[str, str] = {}
    for run in dict.fromkeys(runs):
        entry = lab.runs.get(run)
        opened = lab.runs.open(run)
        if not entry.valid:
            left_out[run] = f"it is invalid: {entry.reason}"
        elif opened.status != "finished":
            left_out[run] = f"it is {opened.status}"
        else:
            kept.append(opened)
    if not kept:
        reasons = "; ".join(f"{run}: {reason}" for run, reason in list(left_out.items())[:3]) or "no runs are given"
        raise UnweaveError(f"there is nothing to compare ({reasons})")
    return compare_runs(kept, measure, by, baseline, seed_field, left_out)


def compare_runs(
    runs: Sequence[Run],
    measure: Measure,
    by: Sequence[str] | None = None,
    baseline: Mapping[str, Any] | None = None,
    seed_field: str | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Comparison:
    """Groups runs into arms by ``by`` (see ``group``) and compares each with the arm of the ``baseline`` settings, or
    with the first one made.
    """
    grouped = group(runs, measure, by, seed_field)
    if not grouped.arms:
        reasons = "; ".join(list(grouped.left_out.values())[:3])
        raise UnweaveError(f"none of {len(runs)} runs has {measure.text} ({reasons})")
    found = compare_arms(runs[0].study, measure, grouped, baseline, left_out or {}, _differences(runs))
    return replace(found, seed_field=seed_field)


def compare_arms(
    study: str,
    measure: Measure,
    grouped: Grouped,
    baseline: Mapping[str, Any] | None = None,
    left_out: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """The comparison of arms that have been read."""
    base = _baseline(grouped, baseline)
    others = [arm for arm in grouped.arms if arm is not base]
    rows = _beside_the_best(_contrasts(base, others, measure), measure)
    said = () if baseline is not None or not others else (f"compared with the arm that was made first: {base.name}",)
    left_out = {**(left_out or {}), **grouped.left_out}
    return Comparison(study, measure, grouped.by, tuple(rows), left_out, (*said, *grouped.notes, *notes))


def _best(rows: Sequence[Row], measure: Measure) -> Row | None:
    found = [row for row in rows if row.verdict == BETTER]
    return (max if measure.better == "higher" else min)(found, key=lambda row: row.mean.mean, default=None)


def _beside_the_best(rows: list[Row], measure: Measure) -> list[Row]:
    """The rows, with the arms that are not told from the best one beside it.

    The seeds that would tell them apart are those that chose it, so the test is one of all pairs.
    """
    best = _best(rows, measure)
    if best is None:
        return rows
    others = [row.arm for row in rows[1:] if row is not best]
    told = _contrasts(best.arm, others, measure, len(others) * (len(others) + 1) // 2)[1:]
    alike = tuple(row.arm.name for row in told if row.verdict != WORSE)
    return [replace(row, alike=alike) if row is best else row for row in rows]


def _contrasts(base: Arm, others: Sequence[Arm], measure: Measure, pairs: int = 0) -> list[Row]:
    """The baseline's row and each other's, with p adjusted by Holm, or by Bonferroni as one of so many ``pairs``."""
    from unweave.stats import holm, paired_test

    shared = [sorted(set(base.values) & set(arm.values)) for arm in others]
    tested = [number for number, seeds in enumerate(shared) if len(seeds) >= LEAST_SEEDS]
    tests = {
        number: paired_test(_at(base, shared[number]), _at(others[number], shared[number]), pairs or len(tested), LEVEL)
        for number in tested
    }
    found = [test.p for test in tests.values()]
    adjusted = dict(zip(tested, [min(1.0, p * pairs) for p in found] if pairs else holm(found or [1.0]), strict=False))
    rows = [_alone(base, BASELINE)]
    for number, arm in enumerate(others):
        seeds = shared[number]
        if number in tests:
            rows.append(_contrast(base, arm, seeds, measure, *tests[number], float(adjusted[number])))
        else:
            note = f"{len(seeds)} shared with the baseline, and a comparison needs {LEAST_SEEDS}"
            rows.append(_alone(arm, TOO_FEW, note=note, pairs=len(seeds), difference=_difference(base, arm, seeds)))
    return rows


def _contrast(base: Arm, arm: Arm, seeds: Sequence[int], measure: Measure, p: float, test: str, adjusted: float) -> Row:
    from unweave.stats import detectable_difference, noise_floor

    difference = _difference(base, arm, seeds)
    assert difference is not None  # noqa: S101 - there are at least three seeds
    floor = noise_floor(_at(base, seeds), len(seeds), LEVEL)
    significant, past = adjusted <= 1 - LEVEL + 1e-12, abs(difference.mean) > floor
    note = ""
    if _constant(_at(base, seeds)) and _constant(_at(arm, seeds)):
        verdict = NO_SPREAD
    elif significant and past:
        gain = difference.mean > 0 if measure.better == "higher" else difference.mean < 0
        verdict = BETTER if gain else WORSE
    else:
        verdict = f"no difference seen (noise floor {floor:.3g})"
        if significant:
            note = f"of one sign over the seeds (p {adjusted:.2g}), but smaller than what the seed alone does"
        elif past:
            note = f"past the floor, but not steady over the seeds (p {adjusted:.2g})"
    return _alone(
        arm,
        verdict,
        pairs=len(seeds),
        difference=difference,
        floor=floor,
        detectable=detectable_difference(_at(base, seeds), len(seeds), LEVEL),
        p=p,
        adjusted=adjusted,
        test=test,
        note=note,
    )


def _alone(arm: Arm, verdict: str, **facts: Any) -> Row:
    import statistics

    from unweave.stats import student_interval

    values = list(arm.values.values())
    return Row(arm, student_interval(values, LEVEL), float(statistics.median(values)), verdict, **facts)


def _difference(base: Arm, arm: Arm, seeds: Sequence[int]) -> Interval | None:
    from unweave.stats import student_interval

    if not seeds:
        return None
    pairs = zip(_at(base, seeds), _at(arm, seeds), strict=True)
    return student_interval([after - before for before, after in pairs], LEVEL)


def _constant(values: Sequence[float]) -> bool:
    """Whether values differ by no more than their arithmetic may."""
    return max(values) - min(values) <= 1e-12 * max(map(abs, values))


def _at(arm: Arm, seeds: Sequence[int]) -> list[float]:
    values = arm.values
    return [values[seed] for seed in seeds]


def _baseline(grouped: Grouped, settings: Mapping[str, Any] | None) -> Arm:
    if settings is None:
        return grouped.arms[0]
    for name in settings:
        if name not in grouped.by:
            raise UnweaveError(
                f"the baseline names {name!r}, which the arms do not differ in; {nearest(name, grouped.by)}"
            )
    wanted = {name: shown(value) for name, value in settings.items()}
    found = [arm for arm in grouped.arms if all(shown(arm.settings[name]) == wanted[name] for name in wanted)]
    if len(found) != 1:
        text = ", ".join(f"{name}={value}" for name, value in wanted.items())
        raise UnweaveError(f"{len(found)} arms are {text}; {nearest(text, [arm.name for arm in grouped.arms])}")
    return found[0]


def _differences(runs: Sequence[Run]) -> list[str]:
    """What besides the config differs between the runs, so that a difference may come from it."""
    found = []
    states = [run.state() for run in runs]
    code = {_code(state["environment"]) for state in states}
    if len(code) > 1:
        found.append(f"the runs were made with {len(code)} versions of the code")
    for kind in ("target", "data", "held-out", "decomposition"):
        names: dict[str, set[str]] = {}
        for state in states:
            for each in state.get("identities", []):
                if each["kind"] == kind:
                    names.setdefault(each["name"], set()).add(each["sha256"])
        found += [
            f"the runs used {len(seen)} versions of {kind} {name!r}" for name, seen in names.items() if len(seen) > 1
        ]
    return found


def _code(environment: Mapping[str, Any]) -> str:
    code = environment.get("code")
    tree = code.get("tree") if isinstance(code, Mapping) else None
    return str(tree or environment.get("commit") or environment.get("unweave"))
