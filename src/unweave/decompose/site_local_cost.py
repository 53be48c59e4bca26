"""What a site-local decomposition will take, before it starts: time, memory, and disk for captured inputs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unweave.base.errors import UnweaveError
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.site_local import subcomponent_count
from unweave.models.sites import Site
from unweave.models.target import Target

FLOAT, HALF = 4, 2
CAPTURED_AT_ONCE = 8_000_000_000
"""Bytes of captured inputs that are on disk at one time, if one site alone does not need more."""
SECONDS_OF_WORK = 7.5e-11
"""Training on two cores, compiled: per step, token, subcomponent and width of the site."""
SECONDS_OF_FORWARD = 3.3e-12
"""A forward pass on two cores, float32: per token and FLOP."""


@dataclass(frozen=True)
class SiteLocalCost:
    """Of all sites of one call. Seconds are those of two cores with compiled training, a rough guide elsewhere."""

    sites: int
    subcomponents: int
    tokens: int
    capture_seconds: float
    training_seconds: float
    capture_bytes: int
    """On disk at one time, in the cache."""
    kept_bytes: int
    """On disk beside the decomposition: finished sites and the checkpoints of those in training."""
    memory_bytes: int
    """Of the sites trained at once, beside the target."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """The estimate for a person."""
        capturing, training = (max(1, round(s / 60)) for s in (self.capture_seconds, self.training_seconds))
        sites = "1 site" if self.sites == 1 else f"{self.sites} sites"
        return (
            f"{sites}, {self.subcomponents:,} subcomponents; expected on two cores, compiled: capturing "
            f"{self.tokens:,} tokens about {capturing} min, training about {training} min, and the checks at the "
            f"logits; {self.capture_bytes / 1e9:.1f} GB of captured inputs on disk at one time, "
            f"{self.memory_bytes / 1e9:.1f} GB of memory beside the target"
        )


def capture_groups(sites: Sequence[Site], tokens: int, most: int = CAPTURED_AT_ONCE) -> list[list[Site]]:
    """The sites in order, cut into groups whose inputs are captured in one pass and take at most ``most`` bytes.

    A site that needs more than that by itself is a group of one.
    """
    groups: list[list[Site]] = []
    for site in sites:
        if groups and _captured(tokens, [*groups[-1], site]) <= most:
            groups[-1].append(site)
        else:
            groups.append([site])
    return groups


def estimate_site_local(
    target: Target, sites: Sequence[Site], config: SiteLocalConfig, tokens: int, jobs: int = 1
) -> SiteLocalCost:
    """Time, disk and memory for taking ``sites`` apart on so many tokens of text, ``jobs`` at a time."""
    groups = capture_groups(sites, tokens)
    counts = {site.name: subcomponent_count(config, site.d_in, site.d_out) for site in sites}
    work = sum(counts[site.name] * (site.d_in + site.d_out) for site in sites)
    matrices = sum(site.d_in * site.d_out for site in target.all_sites().values())
    # A pass ends at the last site of its group.
    parts = [_part_of_model(target, max(group, key=lambda site: site.layer or 0)) for group in groups]
    trained = {site.name: _trained_numbers(site, counts[site.name], config) for site in sites}
    at_once = sorted((_training_bytes(site, counts[site.name], config) for site in sites), reverse=True)[:jobs]
    return SiteLocalCost(
        sites=len(sites),
        subcomponents=sum(counts.values()),
        tokens=tokens,
        capture_seconds=sum(parts) * 2 * matrices * tokens * SECONDS_OF_FORWARD,
        training_seconds=work * config.steps * config.batch * SECONDS_OF_WORK,
        capture_bytes=max((_captured(tokens, group) for group in groups), default=0),
        kept_bytes=FLOAT * (sum(trained.values()) + 3 * max(trained.values(), default=0) * jobs),
        memory_bytes=sum(at_once),
    )


def check_disk(cost: SiteLocalCost, cache: Path, out: Path | None, already: int = 0) -> None:
    """Raises ``UnweaveError`` with the numbers when a disk has less room than captures and results need on it together.

    ``already`` is how many bytes of captured inputs an interrupted call has left in the cache.
    """
    captures = max(0, cost.capture_bytes - already)
    needs = [(cache, captures, "captured inputs", "UNWEAVE_CACHE or --cache to another disk, or use fewer windows")]
    if out is not None:
        needs.append((out, cost.kept_bytes, "the sites' subcomponents", "--out to another disk, or use fewer sites"))
    disks: dict[int, list[tuple[Path, int, str, str]]] = {}
    for need in needs:
        if need[1]:
            disks.setdefault(_there(need[0]).stat().st_dev, []).append(need)
    for here in disks.values():
        free = shutil.disk_usage(_there(here[0][0])).free
        if sum(wanted for _, wanted, _, _ in here) > free:
            told = " and ".join(
                f"{folder} needs about {wanted / 1e9:.1f} GB for {what}" for folder, wanted, what, _ in here
            )
            where = " on the disk of both" if len(here) > 1 else ""
            remedies = "; or ".join(remedy for *_, remedy in here)
            raise UnweaveError(f"{told}, and {free / 1e9:.1f} GB are free{where}: set {remedies}")


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists already."""
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def check_memory(cost: SiteLocalCost, available: int | None, jobs: int) -> None:
    """Raises ``UnweaveError`` with both numbers when training needs more memory than is left beside the target."""
    if available is not None and cost.memory_bytes > available:
        fewer = "fewer --jobs, " if jobs > 1 else ""
        raise UnweaveError(
            f"training needs about {cost.memory_bytes / 1e9:.1f} GB of memory beside the target, and "
            f"{available / 1e9:.1f} GB are free: use {fewer}a smaller batch or a smaller capacity"
        )


def _captured(tokens: int, sites: Sequence[Site]) -> int:
    return HALF * tokens * sum(site.d_in for site in sites)


def _part_of_model(target: Target, last: Site) -> float:
    return 1.0 if last.layer is None or not target.depth else (last.layer + 1) / target.depth


def _trained_numbers(site: Site, count: int, config: SiteLocalConfig) -> int:
    pieces = count * (site.d_in + site.d_out)
    return pieces + (site.d_in + 1) * config.hidden + (config.hidden + 1) * count


def _training_bytes(site: Site, count: int, config: SiteLocalConfig) -> int:
    # Values, gradients and two moments; and for every token of the batch the logits, masks, activations and penalties
    # with their gradients, beside inputs, outputs and the importance function's hidden layer.
    rows = config.batch * (8 * count + 2 * site.d_in + 4 * site.d_out + 4 * config.hidden)
    return FLOAT * (4 * _trained_numbers(site, count, config) + site.d_in * site.d_out + rows)
