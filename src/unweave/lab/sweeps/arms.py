"""Runs grouped into arms: the same config but for the seed, with the number of each seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError, nearest
from unweave.lab.sweeps.measure import Measure, Reading
from unweave.lab.sweeps.seeding import Seeding, seeding_of

if TYPE_CHECKING:
    from unweave.record.run import Run
    from unweave.studies.registry import Study


@dataclass(frozen=True)
class Arm:
    """What the runs of one arm share in the compared fields, and their readings in the order of seeds."""

    settings: Mapping[str, Any]
    readings: tuple[Reading, ...]

    @property
    def name(self) -> str:
        """``tokens=4, language=de``; ``all runs`` where nothing is compared."""
        return ", ".join(f"{name}={shown(value)}" for name, value in self.settings.items()) or "all runs"

    @property
    def values(self) -> dict[int, float]:
        """The number by seed."""
        return {reading.seed: reading.value for reading in self.readings}


@dataclass(frozen=True)
class Grouped:
    """Arms in the order in which their first runs were made, the fields that tell them apart, and who is left out."""

    arms: tuple[Arm, ...]
    by: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Runs that are not compared, by id, with the reason."""
    notes: tuple[str, ...] = ()


def group(runs: Sequence[Run], measure: Measure, by: Sequence[str] | None, seed_field: str | None = None) -> Grouped:
    """Reads ``measure`` from every run and groups the numbers by ``by``: fields of the config, columns of the table.

    Without ``by`` it is every field in which the runs differ, seeds apart. A run that lacks the number is left out and
    named, and so is one that repeats a seed of its arm: the first one made counts. Raises ``UnweaveError`` where runs
    of one arm differ in something else than the seed.
    """
    studies = sorted({run.study for run in runs})
    if len(studies) != 1:
        raise UnweaveError(f"{len(runs)} runs of {' and '.join(studies) or 'nothing'}: compare runs of one study")
    seeding, resolved = study_of(studies[0], seed_field)
    ordered = sorted(runs, key=lambda run: (str(run.state()["created"]), run.id))
    configs = {run.id: resolved(run.config) for run in ordered}
    varying = _varying([seeding.without(config) for config in configs.values()])
    known = list(dict.fromkeys(name for config in configs.values() for name in config))
    chosen = list(varying if by is None else by)
    columns = [name for name in chosen if name not in known]
    if columns and measure.table is None:
        raise UnweaveError(f"{columns[0]!r} is no field of these runs' configs; {nearest(columns[0], known)}")
    rest = [name for name in varying if name not in chosen]
    found: dict[str, tuple[dict[str, Any], dict[int, Reading]]] = {}
    others: dict[str, tuple[str, str]] = {}
    left_out: dict[str, str] = {}
    notes: list[str] = []
    for run in ordered:
        config = configs[run.id]
        try:
            readings = measure.read(run, seeding.seeds_of(config), columns)
        except UnweaveError as error:
            left_out[run.id] = str(error)
            continue
        repeated = []
        for reading in readings:
            settings = {name: reading.cells[name] if name in columns else config.get(name) for name in chosen}
            key = json.dumps(settings, sort_keys=True)
            remainder = json.dumps([config.get(name) for name in rest])
            first, other = others.setdefault(key, (run.id, remainder))
            if other != remainder:
                raise UnweaveError(
                    f"runs {first} and {run.id} differ in {', '.join(rest)}, not only in the seed: compare by "
                    f"{'that' if len(rest) == 1 else 'these'} too, or leave one out"
                )
            values = found.setdefault(key, (settings, {}))[1]
            if reading.seed in values:
                repeated.append((reading.seed, values[reading.seed].run))
            else:
                values[reading.seed] = reading
        if repeated:
            seed, earlier = repeated[0]
            reason = f"repeats seed {seed} of the same config in run {earlier}, which counts"
            if len(repeated) == len(readings):
                left_out[run.id] = reason
            else:
                notes.append(f"run {run.id} {reason}; its other numbers are compared")
    arms = [Arm(settings, tuple(values[seed] for seed in sorted(values))) for settings, values in found.values()]
    return Grouped(tuple(arms), tuple(chosen), left_out, tuple(notes))


def shown(value: Any) -> str:
    """A config's value as text: lists with commas, as they are given on a command line."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(shown, value))
    return str(value)


def study_of(name: str, seed_field: str | None) -> tuple[Seeding, Callable[[Mapping[str, Any]], dict[str, Any]]]:
    """Where the study of that name keeps its seeds, and what makes an older config of it a whole one."""
    from unweave.studies.registry import all_studies

    study: Study | None = all_studies().get(name)
    if study is None:
        # Runs of a training script or of a file that is not installed here: their configs are what was written.
        return Seeding(seed_field or "seed"), dict
    return seeding_of(study, seed_field), lambda config: _resolved(study, config)


def _resolved(study: Study, config: Mapping[str, Any]) -> dict[str, Any]:
    """With the defaults of fields that an older version of the study did not have."""
    try:
        return plain_config(study.configure(config))
    except UnweaveError:
        return dict(config)


def _varying(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for config in configs for name in config)
    return [name for name in names if len({json.dumps(config.get(name), sort_keys=True) for config in configs}) > 1]
