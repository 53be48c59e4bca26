"""Does going along a concept's manifold steer better than going straight, and where does the line win?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.studies.registry import study
from unweave.studies.steer_inquiry import INQUIRY
from unweave.studies.steer_needs import steer_needs

if TYPE_CHECKING:
    from unweave.models.target import Target
    from unweave.record.run import Run


@dataclass(frozen=True, kw_only=True)
class SteerManifold:
    """Move states between values along a fitted curve, along straight lines and along shuffled curves."""

    systems: tuple[str, ...] = ("days-successor", "months-successor", "mountain-car", "modular-addition")
    """Tasks of the target, and models trained here: mountain-car and modular-addition."""
    target: str = "smollm2"
    """A name, a Hugging Face folder or id, or a GGUF file."""
    position: Literal["auto", "entity", "last"] = "auto"
    """Where a target's stream is replaced: at the token that is asked about or at the last one; by default where
    interchanges work better."""
    layers: int = 3
    """Depths of a target: the first, middle ... last of those at which interchanges work."""
    waypoints: int = 21
    """Places along a way, both ends included; 50 as published."""
    bases: int = 8
    """Questions of a target in which the state is replaced."""
    pairs: int = 40
    """Pairs of values at most; half of a draw are neighbours."""
    shuffles: int = 5
    """Curves through the same centroids in another order; 19 are needed for a p of 0.05 of the order."""
    components: int = 32
    """Principal components of the states' subspace that the curve lies in, where there are so many."""
    exchanged: bool = False
    """A null run: in half of the pairs, drawn for each seed, the manifold and the straight line in its subspace go by
    each other's name, so that neither can be found to be better."""
    shown: int = 4
    """Pairs of the first seed whose paths and answers are kept step by step."""
    seeds: int = 3
    """Draws of contexts, or trainings of a world."""
    first_seed: int = 0
    device: str | None = None
    """cpu, cuda or mps; the best there is by default."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    def __post_init__(self) -> None:
        if not self.systems or len(set(self.systems)) < len(self.systems):
            raise UnweaveError(f"systems is {self.systems}: give one or more, and each once")
        for name, least in (
            ("layers", 1), ("waypoints", 3), ("bases", 1), ("pairs", 4), ("shuffles", 1), ("components", 2),
            ("shown", 1), ("seeds", 1),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise UnweaveError(f"{name} is {getattr(self, name)}: give {least} or more")

    @property
    def used_seeds(self) -> list[int]:
        return list(range(self.first_seed, self.first_seed + self.seeds))


@dataclass(frozen=True)
class SteeredManifold:
    """The study's typed result."""

    ways: tuple[dict[str, Any], ...]
    """A row for each system, layer, distance and way: its energy, mass, order, and how often it beats the manifold."""
    tests: tuple[dict[str, Any], ...]
    """A row for each way against the manifold: the difference with its interval, p and Holm's p."""
    refused: dict[str, str]
    """Tasks that the target cannot do, and by how much."""
    report: str | None = None


@study(
    "steer-manifold",
    "Does steering along a concept's manifold beat steering straight, and where does the line win?",
    SteerManifold,
    needs=steer_needs,
    inquiry=INQUIRY,
)
def steer_manifold(config: SteerManifold, run: Run | None = None, target: Target | None = None) -> SteeredManifold:
    """Each system is asked whether it can do its task, fitted, and steered along every way at every layer and seed.

    With a run every way is kept as it ends and a repeated call goes on; without one all of it goes to a temporary
    folder. ``target`` is a loaded one; then ``config.target`` is only its name. Raises ``UnweaveError`` for an unknown
    system, and where the target can do none of the tasks and no world was asked for.
    """
    import tempfile

    from unweave.shapes.steering.opened import check_system

    for name in config.systems:
        check_system(name)
    if run is not None:
        run.use_seeds(config.used_seeds)
        return _steered(config, run.path, run, target)
    with tempfile.TemporaryDirectory() as folder:
        return _steered(config, Path(folder), None, target)


def _steered(config: SteerManifold, folder: Path, run: Run | None, target: Target | None) -> SteeredManifold:
    from unweave.studies.steer_bench import open_steer_bench
    from unweave.studies.steer_report import write_steering
    from unweave.studies.steer_tables import steer_tables

    progress = run.progress if run is not None else Silent()
    bench = open_steer_bench(config, folder, target, progress, run)
    prepared = [bench.prepared(name) for name in config.systems]
    refused = {each.name: each.capability.reason for each in prepared if not each.capability.passed}
    able = [each for each in prepared if each.capability.passed]
    for reason in refused.values():
        progress.say(f"refused: {reason}")
    if not able:
        raise UnweaveError(f"{config.target} can do none of the tasks: {'; '.join(refused.values())}")
    found = [bench.steered(each, seed, layer) for each in able for seed in config.used_seeds for layer in each.layers]
    tables = steer_tables(config, prepared, found)
    report = str(write_steering(run, config, able, tables, refused)) if run is not None else None
    return SteeredManifold(tuple(tables["ways"]), tuple(tables["tests"]), refused, report)
