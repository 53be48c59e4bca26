"""The systems of a steering study: gated, scanned, fitted, and steered along every way; every part is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from unweave.base.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from unweave.models.target import Target
    from unweave.record.run import Run
    from unweave.shapes.steering.behaviour import Behaviour
    from unweave.shapes.steering.energy import Cost
    from unweave.shapes.steering.gate import Capability
    from unweave.shapes.steering.interchange import Scan
    from unweave.shapes.steering.paths import Manifold
    from unweave.shapes.steering.system import Layout, System
    from unweave.shapes.steering.target_system import Position
    from unweave.studies.steer_manifold import SteerManifold


PAIRS_AT_ONCE = 8
"""Between two looks at whether the run was cancelled."""


@dataclass(frozen=True)
class Prepared:
    """A system before anything is steered: whether it can do its task, and where it will be replaced."""

    name: str
    capability: Capability
    layers: tuple[int, ...] = ()
    position: Position = "last"
    """At which token of a target."""
    scan: Scan | None = None


@dataclass(frozen=True)
class Steered:
    """One system, seed and layer: what was fitted, and the cost of every way between every pair."""

    name: str
    seed: int
    layer: int
    values: tuple[str, ...]
    metric: np.ndarray
    known: Layout
    manifold: Manifold
    behaviour: Behaviour
    pairs: list[tuple[int, int, str]]
    costs: dict[str, list[Cost]]
    """By way, in the order of the pairs."""
    bases: np.ndarray
    answers: Callable[[str], np.ndarray] = field(repr=False)
    """Probabilities [pairs, b, p, v] of a way, as they are kept."""
    gone: Callable[[str, int], str] = field(repr=False)
    """The way that goes by a way's name in a pair, by its number: another one only in a null run."""


class SteerBench:
    """Opens systems once and keeps what they answered in ``folder``."""

    def __init__(
        self, config: SteerManifold, folder: Path, target: Target | None, progress: Progress, run: Run | None
    ) -> None:
        self.config, self.folder, self.progress, self.run = config, folder, progress, run
        self._target = target
        self._systems: dict[tuple[str, int], System] = {}

    def target(self) -> Target:
        """The target, loaded when the first task needs it."""
        from unweave.models.load import load_target

        if self._target is None:
            self._target = load_target(self.config.target, device=self.config.device, dtype=self.config.dtype)
        if self.run is not None:
            self.run.identify("target", self._target.name, self._target.identity.digest)
        return self._target

    def prepared(self, name: str) -> Prepared:
        """The gate, and for a task that passes it the interchange scan; both are kept."""
        from unweave.shapes.steering.gate import capability
        from unweave.shapes.steering.opened import WORLDS

        if name in WORLDS:
            system = self.system(name, self.config.first_seed)
            layers = tuple(system.layers)
            able = capability(name, system.natural(layers[-1]), system.states(layers[-1]).index.tolist())
            return Prepared(name, able, layers)
        kept = self.run.cells("prepared").get(name) if self.run is not None else None
        if kept is not None:
            return _from_cell(name, kept)
        found = self._prepared_task(name)
        if self.run is not None:
            self.run.put_cell("prepared", name, _to_cell(found))
        return found

    def _prepared_task(self, name: str) -> Prepared:
        from unweave.shapes.steering.gate import capability
        from unweave.shapes.steering.interchange import interchange_scan
        from unweave.shapes.steering.opened import dealt_questions
        from unweave.shapes.steering.target_system import Answers, clean_answers, tokenised
        from unweave.shapes.steering.tasks import find_task

        config, task, target = self.config, find_task(name), self.target()
        dealt = dealt_questions(task, config.first_seed, config.bases)
        answers = Answers(target, task.answers)
        every = [tokenised(target, each) for each in dealt.every]
        able = capability(name, clean_answers(target, every, answers, self.progress), [each.answer for each in every])
        if not able.passed:
            return Prepared(name, able)
        self._stop()
        questions = [tokenised(target, each) for each in dealt.scan]
        scan = interchange_scan(target, questions, answers, seed=config.first_seed, progress=self.progress)
        position, layers = scan.place(config.layers, None if config.position == "auto" else config.position)
        return Prepared(name, able, layers, position, scan)

    def system(self, name: str, seed: int, position: Position = "last", layers: Sequence[int] = ()) -> System:
        """The system of a seed: other contexts of the target, or another training of a world, which has its layers."""
        from unweave.shapes.steering.opened import WORLDS, open_target_system, open_world
        from unweave.shapes.steering.tasks import find_task

        key = (name, seed)
        if key not in self._systems:
            if name in WORLDS:
                self._systems[key] = open_world(name, seed, self.progress)
            else:
                self._systems[key] = open_target_system(
                    self.target(), find_task(name), seed, position, layers, self.config.bases, self.progress
                )
        return self._systems[key]

    def steered(self, prepared: Prepared, seed: int, layer: int) -> Steered:
        """Every way between every pair at one layer; pairs and shuffled orders are the same at all layers."""
        import numpy as np

        from unweave.shapes.steering.behaviour import fit_behaviour
        from unweave.shapes.steering.energy import cost
        from unweave.shapes.steering.paths import (
            IN_SUBSPACE,
            MANIFOLD,
            WAYS,
            exchanged,
            fit_manifold,
            neighbours_and_far,
            shuffled,
            waypoints,
        )
        from unweave.shapes.steering.system import layout

        config, system = self.config, self.system(prepared.name, seed, prepared.position, prepared.layers)
        known = layout(system.metric)
        labelled = system.states(layer)
        manifold = fit_manifold(labelled, known, config.components)
        behaviour = fit_behaviour(system.natural(layer), labelled.index, known)
        pairs = neighbours_and_far(known, system.metric, config.pairs, config.first_seed)
        shares, bases = np.linspace(0, 1, config.waypoints), system.bases(layer)
        ways = (*WAYS, *map(shuffled, range(config.shuffles)))
        swapped = exchanged(pairs, system.metric, seed) if config.exchanged else frozenset()
        other = {MANIFOLD: IN_SUBSPACE, IN_SUBSPACE: MANIFOLD}

        def gone(way: str, number: int) -> str:
            return other.get(way, way) if number in swapped else way

        def answered(way: str) -> np.ndarray:
            def made() -> np.ndarray:
                found = []
                for start in range(0, len(pairs), PAIRS_AT_ONCE):
                    self._stop()
                    some = pairs[start : start + PAIRS_AT_ONCE]
                    states = [
                        waypoints(manifold, gone(way, number), first, second, shares, bases, config.first_seed).states
                        for number, (first, second, _) in enumerate(some, start)
                    ]
                    said = system.answers(layer, np.concatenate(states, 1))
                    found.append(np.stack(np.split(said, len(some), 1)))
                return np.concatenate(found)

            return self._kept(f"{prepared.name}-{seed}-{layer}-{way.replace(' ', '-')}", made)

        costs = {}
        for number, way in enumerate(ways):
            probabilities = answered(way)
            costs[way] = [
                cost(each, behaviour, known, first, second)
                for each, (first, second, _) in zip(probabilities, pairs, strict=True)
            ]
            self.progress.update(number + 1, len(ways), f"ways of {prepared.name}, seed {seed}, layer {layer}")
        return Steered(
            prepared.name, seed, layer, tuple(system.values), system.metric, known, manifold, behaviour, pairs, costs,
            bases, answered, gone,
        )  # fmt: skip

    def _kept(self, name: str, made: Callable[[], np.ndarray]) -> np.ndarray:
        import torch
        from safetensors.numpy import load_file

        from unweave.base.files import atomic_path, save_tensors

        path = self.folder / "steered" / f"{name}.safetensors"
        if not path.exists():
            found = torch.from_numpy(made().astype("float32"))
            with atomic_path(path) as temporary:
                save_tensors({"probabilities": found}, temporary)
        return load_file(path)["probabilities"].astype("float64")

    def _stop(self) -> None:
        if self.run is not None:
            self.run.stop_if_cancelled()


def open_steer_bench(
    config: SteerManifold, folder: Path, target: Target | None, progress: Progress, run: Run | None
) -> SteerBench:
    """A bench that keeps its parts in ``folder``; with a run it can be cancelled between pairs."""
    return SteerBench(config, folder, target, progress, run)


def _to_cell(found: Prepared) -> dict[str, Any]:
    able = found.capability
    cell: dict[str, Any] = {"accuracy": asdict(able.accuracy), "chance": able.chance, "mass": able.mass}
    if found.scan is None:
        return cell
    scan = {at: [asdict(each) for each in found.scan.accuracy[at]] for at in found.scan.accuracy}
    return {**cell, "position": found.position, "layers": list(found.layers), "scan": scan}


def _from_cell(name: str, cell: dict[str, Any]) -> Prepared:
    from unweave.shapes.steering.gate import Capability
    from unweave.shapes.steering.interchange import Scan
    from unweave.stats.bootstrap import Interval

    able = Capability(name, Interval(**cell["accuracy"]), cell["chance"], cell["mass"])
    if "scan" not in cell:
        return Prepared(name, able)
    scan = Scan({at: tuple(Interval(**each) for each in found) for at, found in cell["scan"].items()})
    return Prepared(name, able, tuple(cell["layers"]), cell["position"], scan)
