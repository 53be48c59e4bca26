"""Where a study's config holds its seeds, and the runs that a list of seeds takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unweave.base.errors import UnweaveError, nearest

if TYPE_CHECKING:
    from unweave.studies.registry import Study


@dataclass(frozen=True)
class Seeding:
    """``first`` is the field of a run's seed, or of the first where ``count`` is the field for how many follow it.

    Without ``first`` every run begins at seed 0; without both a study has no seeds that could be set.
    """

    first: str | None = None
    count: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that say seeds and nothing else."""
        return tuple(name for name in (self.first, self.count) if name)

    def seeds_of(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        """The seeds that a run of ``config`` takes."""
        start = int(config[self.first]) if self.first and config.get(self.first) is not None else 0
        count = int(config[self.count]) if self.count and config.get(self.count) is not None else 1
        return tuple(range(start, start + count))

    def without(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config without its seeds: what two runs share that differ in nothing else."""
        return {name: value for name, value in config.items() if name not in self.fields}

    def runs(self, config: Mapping[str, Any], seeds: Sequence[int]) -> list[tuple[dict[str, Any], tuple[int, ...]]]:
        """The configs that run ``config`` at every one of ``seeds``, each with its own: one config where one run takes
        several seeds in a row, else one for each seed.
        """
        if not seeds:
            return [(dict(config), self.seeds_of(config))]
        if not self.fields:
            raise UnweaveError(f"seeds {list(seeds)} for a study that has no field for seeds: leave them out")
        groups = _stretches(seeds) if self.count else [(seed,) for seed in seeds]
        if not self.first and groups != [tuple(range(len(seeds)))]:
            raise UnweaveError(f"seeds {list(seeds)}: this study counts its seeds from 0, so they must begin there")
        made = []
        for group in groups:
            start = {self.first: group[0]} if self.first else {}
            made.append(({**config, **start, **({self.count: len(group)} if self.count else {})}, group))
        return made


def seeding_of(study: Study, field: str | None = None) -> Seeding:
    """Where ``study`` keeps its seeds: in ``field``, where its inquiry says, or in fields of the usual names."""
    known = [each.name for each in study.fields()]
    if field is not None:
        if field not in known:
            raise UnweaveError(f"study {study.name!r} has no field {field!r} for seeds; {nearest(field, known)}")
        return Seeding(field)
    first, count = ("first_seed", "seeds") if study.inquiry is None else (study.inquiry.first_seed, study.inquiry.seeds)
    for candidate in (first, "seed"):
        if candidate in known:
            return Seeding(candidate, count if count in known and candidate != "seed" else None)
    return Seeding(None, count if count in known else None)


def _stretches(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for seed in seeds:
        if found and seed == found[-1][-1] + 1:
            found[-1] = (*found[-1], seed)
        else:
            found.append((seed,))
    return found
