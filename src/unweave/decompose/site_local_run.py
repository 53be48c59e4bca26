"""Site-local decomposition of chosen sites: capture once, train each site, check at the logits, save."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unweave.base.errors import DecompositionFailed
from unweave.base.progress import Progress, Silent
from unweave.base.settings import cache_folder
from unweave.corpora.text import Corpus
from unweave.decompose.batches import balanced_rows, fingerprint, text_windows
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.quality import Quality, check_quality
from unweave.decompose.site_local import Inputs, train_site
from unweave.models.capture import capture_to_disk
from unweave.models.target import Target

CHECK_WINDOWS = 8


def decompose_site_local(
    target: Target,
    corpus: Corpus,
    config: SiteLocalConfig,
    *,
    labels: Sequence[str] | None = None,
    out: Path | None = None,
    check: bool = True,
    progress: Progress | None = None,
) -> Decomposition:
    """Takes the sites of ``config`` apart, each from its own inputs on the corpus's decomposition part.

    With ``out`` the decomposition is saved there; an interrupted call continues from ``OUT.training`` and from the
    captured inputs in the cache. The check at the logits uses the selection part, which training never saw. Raises
    ``DecompositionFailed`` when a site does not beat an SVD and random masks there; what was trained is kept in
    ``out`` all the same, marked as failed.
    """
    progress = progress or Silent()
    chosen = target.sites(config.sites)
    windows = text_windows(target, corpus, "decomposition", config.windows, config.window_length, labels)
    tokens = torch.as_tensor(np.concatenate(list(windows.values())))
    data = fingerprint(tokens)
    held_out = text_windows(target, corpus, "selection", CHECK_WINDOWS, config.window_length, list(windows))
    held_out = torch.as_tensor(np.concatenate(list(held_out.values())))
    training = Path(f"{out}.training") if out is not None else None
    pieces: dict[str, SiteSubcomponents] = {}
    card: dict[str, Any] = {
        "method": "site-local",
        "config": asdict(config),
        "corpus": corpus.name,
        "labels": list(windows),
        "data": corpus.fingerprint("decomposition"),
        "windows": {label: len(part) for label, part in windows.items()},
        "tokens": int(tokens.numel()),
        "sites": {},
    }
    failures: list[str] = []
    for site in chosen:
        folder = cache_folder("captures", f"{target.identity.digest}-{data}-{site.name}")
        progress.say(f"{site.name} ({site.d_in} to {site.d_out}): capturing inputs of {tokens.numel()} tokens")
        capture = capture_to_disk(target, site, tokens, folder, data, progress=progress)
        started = time.monotonic()
        weight = target.weight(site).detach().float().cpu()
        pieces[site.name] = train_site(
            site.name,
            weight,
            Inputs(capture.values, capture.index.scale, balanced_rows([len(part) for part in windows.values()])),
            config,
            checkpoint=training / f"{site.name}.safetensors" if training else None,
            origin=f"{target.identity.digest}-{data}",
            progress=progress,
            device=target.device,
        )
        entry: dict[str, Any] = {"training_seconds": round(time.monotonic() - started, 1)}
        if check:
            quality = check_quality(target, target.weight(site), pieces[site.name], held_out, progress=progress)
            progress.say(_verdict(quality))
            failures += [f"{site.name}: {failure}" for failure in quality.failures]
            entry["quality"] = quality.as_dict()
        card["sites"][site.name] = entry
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
        progress.say(f"its inputs stay in {folder} ({size:.1f} GB) for another try; delete them when done")
    card["failures"] = failures
    decomposition = Decomposition(pieces, target.identity.digest, target.name, card)
    if out is not None:
        decomposition.save(Path(out))
        if training is not None:
            shutil.rmtree(training, ignore_errors=True)
    if failures:
        kept = f"; it is kept in {out}, marked as failed" if out is not None else ""
        raise DecompositionFailed(f"the decomposition failed its check: {failures[0]}{kept}")
    return decomposition


def _verdict(quality: Quality) -> str:
    ours, svd, random = quality.ours, quality.svd, quality.random
    return (
        f"{quality.site}: L0 {quality.l0:.1f} of {quality.alive} alive; KL at the logits under importance / stochastic "
        f"/ adversarial masks {ours.importance:.3f} / {ours.stochastic:.3f} / {ours.adversarial:.3f} "
        f"(SVD {svd.importance:.3f} / {svd.stochastic:.3f} / {svd.adversarial:.3f}, "
        f"random {random.importance:.3f} / {random.stochastic:.3f} / {random.adversarial:.3f})"
    )
