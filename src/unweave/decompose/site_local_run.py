"""Site-local decomposition of chosen sites: capture their inputs, train each site, check at the logits, save."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.base.errors import DecompositionFailed, UnweaveError, oserror_line
from unweave.base.memory import available_memory
from unweave.base.progress import Progress, Silent
from unweave.base.settings import cache_folder
from unweave.corpora.text import Corpus
from unweave.decompose.batches import balanced_rows, fingerprint, text_windows
from unweave.decompose.checkpoint import CHECKPOINT_SECONDS, save_finished
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.ladder import measure_ladder
from unweave.decompose.quality import Quality, check_quality
from unweave.decompose.site_local_cost import capture_groups, check_disk, check_memory, estimate_site_local
from unweave.decompose.site_local_jobs import SiteJob, train_jobs
from unweave.models.capture import capture_together
from unweave.models.sites import Site
from unweave.models.target import Target

CHECK_WINDOWS = 8
ATTACK_STEPS = 20
"""Of the adversary that has all sites at once."""


def decompose_site_local(
    target: Target,
    corpus: Corpus,
    config: SiteLocalConfig,
    *,
    labels: Sequence[str] | None = None,
    out: Path | None = None,
    check: bool = True,
    jobs: int = 1,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | None = None,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> Decomposition:
    """Takes the sites of ``config`` apart, each from its own inputs on the corpus's decomposition part.

    Inputs of several sites are captured in one pass, as many as ``capture_groups`` lets on the disk at one time, and
    deleted when their site is finished; those of a single site stay in the cache for another try. ``jobs`` sites are
    trained at once, in processes of their own. With ``out`` the decomposition is saved there; an interrupted call goes
    on from the finished sites and checkpoints in ``OUT.training`` and from the captured inputs in the cache.

    The check at the logits uses the selection part, which training never saw; several sites are then masked all at
    once, and the card's ``together`` holds the ladder. Raises ``UnweaveError`` before anything is begun when disk or
    memory are too small, and ``DecompositionFailed`` when a site cannot be trained or does not beat an SVD and random
    masks; what was trained is kept in ``out`` all the same, marked as failed.
    """
    progress = progress or Silent()
    chosen = target.sites(config.sites)
    windows = text_windows(target, corpus, "decomposition", config.windows, config.window_length, labels)
    held_out = text_windows(target, corpus, "selection", CHECK_WINDOWS, config.window_length, list(windows))
    text = _Text(windows, torch.as_tensor(np.concatenate(list(held_out.values()))))
    with ExitStack() as stack:
        training = Path(f"{out}.training") if out is not None else None
        folder = training or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work = _Work(target, config, text, folder, training is not None, checkpoint_seconds)
        waiting = [site for site in chosen if not work.is_finished(site)]
        _check_room(work, waiting, jobs, out, progress)
        failures = work.train(waiting, jobs, keep_inputs=len(chosen) == 1, check=check, progress=progress, log=log)
        made = {site.name: work.finished(site) for site in chosen if work.place(site).exists()}
        card: dict[str, Any] = {
            "method": "site-local",
            "config": asdict(config),
            "corpus": corpus.name,
            "labels": list(windows),
            "data": corpus.fingerprint("decomposition"),
            "windows": {label: len(part) for label, part in windows.items()},
            "tokens": int(text.tokens.numel()),
            "sites": {},
        }
        for name, each in made.items():
            entry = {"training_seconds": each.card["training_seconds"]}
            if check:
                entry["quality"] = work.quality(target.site(name), each, progress)
                failures += [f"{name}: {failure}" for failure in entry["quality"]["failures"]]
            card["sites"][name] = entry
        if left_out := target.left_out(config.sites):
            card["left_out"] = left_out
        card["failures"] = failures
        pieces = {name: each.site(name) for name, each in made.items()}
        decomposition = Decomposition(pieces, target.identity.digest, target.name, card)
        if check and len(pieces) > 1:
            decomposition = _with_all_at_once(target, decomposition, text.held_out, progress)
        if not pieces:
            raise DecompositionFailed(f"no site could be trained: {failures[0]}")
        if out is not None and training is not None:
            if len(pieces) == len(chosen):
                save_finished(decomposition, Path(out), training)
            else:  # checkpoints of the sites that could not be trained are named in their refusals
                decomposition.save(Path(out))
    if failures:
        kept = f"; it is kept in {out}, marked as failed" if out is not None else ""
        of = f" ({len({line.split(': ')[0] for line in failures})} of {len(chosen)} sites)" if len(chosen) > 1 else ""
        raise DecompositionFailed(f"the decomposition failed its check{of}: {failures[0]}{kept}")
    return decomposition


@dataclass(frozen=True)
class _Text:
    """Windows by label to learn from, and windows to check on."""

    windows: dict[str, np.ndarray]
    held_out: Tensor

    @property
    def tokens(self) -> Tensor:
        return torch.as_tensor(np.concatenate(list(self.windows.values())))

    @property
    def rows(self) -> np.ndarray:
        return balanced_rows([len(part) for part in self.windows.values()])


class _Work:
    """The sites of one call: where each one's captured inputs, checkpoint and finished pieces are."""

    def __init__(
        self,
        target: Target,
        config: SiteLocalConfig,
        text: _Text,
        folder: Path,
        resumable: bool,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        self.target, self.config, self.text, self.folder, self.resumable = target, config, text, folder, resumable
        self.checkpoint_seconds = checkpoint_seconds
        self.tokens = text.tokens
        self.data = fingerprint(self.tokens)

    def place(self, site: Site) -> Path:
        return self.folder / f"{site.name}.decomp"

    def inputs(self, site: Site) -> Path:
        return cache_folder("captures", f"{self.target.identity.digest}-{self.data}-{site.name}")

    def job(self, site: Site) -> SiteJob:
        return SiteJob(
            site.name,
            self.target.weight(site).detach().float().cpu().numpy(),
            self.inputs(site),
            self.text.rows,
            # A site's own settings, so that a later call may name more sites and take over what is finished.
            replace(self.config, sites=site.name),
            self.target.identity.digest,
            f"{self.target.identity.digest}-{self.data}",
            self.folder / f"{site.name}.safetensors" if self.resumable else None,
            self.place(site),
            str(self.target.device),
            self.checkpoint_seconds,
        )

    def is_finished(self, site: Site) -> bool:
        """Whether an earlier call finished it; raises ``UnweaveError`` for one made with other settings or text."""
        if not self.place(site).exists():
            return False
        if self.finished(site).card["settings"] != self.job(site).settings():
            raise UnweaveError(
                f"{self.place(site)} was made with other settings, text or another target: remove it, or use another "
                "--out"
            )
        return True

    def finished(self, site: Site) -> Decomposition:
        return Decomposition.load(self.place(site))

    def train(
        self,
        sites: Sequence[Site],
        jobs: int,
        keep_inputs: bool,
        check: bool,
        progress: Progress,
        log: Callable[[dict[str, Any]], None] | None = None,
    ) -> list[str]:
        """Captures, trains and checks group by group; returns why sites could not be trained. One site alone raises."""
        failures = []
        for group in capture_groups(sites, self.tokens.numel()):
            widths = ", ".join(f"{site.name} ({site.d_in} to {site.d_out})" for site in group)
            progress.say(f"capturing inputs of {self.tokens.numel()} tokens: {widths}")
            folders = {site: self.inputs(site) for site in group}
            with _kept_from_others(folders.values(), progress):
                capture_together(self.target, folders, self.tokens, self.data, progress=progress)
                failures += self._train_group(group, jobs, keep_inputs, check, progress, log)
        return failures

    def _train_group(
        self,
        group: Sequence[Site],
        jobs: int,
        keep_inputs: bool,
        check: bool,
        progress: Progress,
        log: Callable[[dict[str, Any]], None] | None,
    ) -> list[str]:
        failures = []
        for job, refusal in train_jobs([self.job(site) for site in group], min(jobs, len(group)), progress, log):
            # One chosen site is one still to be kept for another try, however many an earlier call finished.
            if refusal is not None and keep_inputs:
                raise refusal
            if refusal is not None:
                progress.say(f"{job.site} was not trained: {refusal}")
                failures.append(f"{job.site}: {refusal}")
            elif check:
                site = self.target.site(job.site)
                self.quality(site, self.finished(site), progress)
            if not keep_inputs:
                shutil.rmtree(job.capture, ignore_errors=True)
                continue
            size = sum(path.stat().st_size for path in job.capture.iterdir()) / 1e9
            progress.say(f"its inputs stay in {job.capture} ({size:.1f} GB) for another try; delete them when done")
        return failures

    def quality(self, site: Site, made: Decomposition, progress: Progress) -> dict[str, Any]:
        """The check at the logits, taken from the finished site where an earlier call has made it."""
        if "quality" in made.card:
            return dict(made.card["quality"])
        weight, pieces = self.target.weight(site), made.site(site.name)
        quality = check_quality(self.target, weight, pieces, self.text.held_out, progress=progress)
        progress.say(_verdict(quality))
        replace(made, card={**made.card, "quality": quality.as_dict()}).save(self.place(site), replace=True)
        return quality.as_dict()


@contextmanager
def _kept_from_others(folders: Iterable[Path], progress: Progress) -> Iterator[None]:
    """Inside, these captures are this process's: another run of the same site and text waits, and says so.

    Locks are taken in the target's order of sites, so that no two runs wait for each other; they end with the process.
    """
    from filelock import FileLock, Timeout

    with ExitStack() as stack:
        for folder in folders:
            lock = FileLock(folder.parent / f"{folder.name}.lock")
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    progress.say(f"another run has the inputs in {folder}: waiting until it is done with them")
                    lock.acquire()
            except OSError as error:
                raise oserror_line(error, folder) from error
            stack.callback(lock.release)
        yield


def _check_room(work: _Work, sites: Sequence[Site], jobs: int, out: Path | None, progress: Progress) -> None:
    """Says what the sites that are not finished will take; refuses where there is too little of it."""
    if not sites:
        return
    cost = estimate_site_local(work.target, sites, work.config, work.tokens.numel(), jobs)
    progress.say(cost.sentence())
    left = [work.inputs(site) / "inputs.f16" for site in sites]
    check_disk(cost, cache_folder("captures"), out, sum(path.stat().st_size for path in left if path.exists()))
    check_memory(cost, available_memory(torch.device("cpu")), jobs)


def _with_all_at_once(target: Target, made: Decomposition, tokens: Tensor, progress: Progress) -> Decomposition:
    """The decomposition with the ladder of all its sites masked at once in its card."""
    progress.say(f"masking all {len(made.sites)} sites at once")
    ladder = measure_ladder(
        target, made, tokens, attack_steps=(ATTACK_STEPS,), attack_windows=CHECK_WINDOWS, progress=progress
    )
    kl = {name: ladder.rung(name).kl for name in ("importance", "stochastic", "random", "zero")}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in kl.items())
    progress.say(
        f"all sites at once: L0 {ladder.l0:.1f} of {ladder.alive} alive; KL at the logits under masks: {shown}, "
        f"adversarial {ladder.attacks[ATTACK_STEPS]:.3f}"
    )
    return replace(made, card={**made.card, "together": ladder.as_dict()})


def _verdict(quality: Quality) -> str:
    ours, svd, random = quality.ours, quality.svd, quality.random
    return (
        f"{quality.site}: L0 {quality.l0:.1f} of {quality.alive} alive; KL at the logits under importance / stochastic "
        f"/ adversarial masks {ours.importance:.3f} / {ours.stochastic:.3f} / {ours.adversarial:.3f} "
        f"(SVD {svd.importance:.3f} / {svd.stochastic:.3f} / {svd.adversarial:.3f}, "
        f"random {random.importance:.3f} / {random.stochastic:.3f} / {random.adversarial:.3f})"
    )
