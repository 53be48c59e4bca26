"""The front door: takes a target, data and a config, and gives the decomposition by the config's method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.files import check_writable
from unweave.base.progress import Progress, usual_progress
from unweave.corpora.text import Corpus
from unweave.decompose.batches import (
    Batches,
    RowBatches,
    balanced_rows,
    check_data,
    fingerprint,
    fingerprint_batches,
    text_windows,
)
from unweave.decompose.checkpoint import CHECKPOINT_SECONDS, save_finished
from unweave.decompose.clock import Clock
from unweave.decompose.config import SiteLocalConfig, WholeModelConfig
from unweave.decompose.cost import check_memory, estimate_room
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.groups import site_groups, train_in_groups
from unweave.decompose.lineage import with_ancestors
from unweave.decompose.precomputed import kept_bytes
from unweave.decompose.processes import join_processes
from unweave.decompose.site_local_run import decompose_site_local
from unweave.models.sites import Site
from unweave.models.target import Target


def decompose(
    target: Target,
    data: Corpus | Tensor | Batches,
    config: SiteLocalConfig | WholeModelConfig,
    *,
    labels: Sequence[str] | None = None,
    out: Path | None = None,
    base: Target | None = None,
    known: Decomposition | None = None,
    check: bool = True,
    jobs: int = 1,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
) -> Decomposition:
    """Takes the sites of ``config`` apart and returns the decomposition, saved in ``out`` when that is given.

    ``data`` is a corpus (its decomposition part is used, ``labels`` of it in equal shares), a tensor of token windows
    (n, t) or feature rows (n, d), or a function from a step to its batch. A ``SiteLocalConfig`` needs a corpus, and
    checks each site at the logits unless ``check`` is False; ``jobs`` of its sites are trained at once, each in a
    process of its own. With ``out`` the state of training is kept in ``OUT.training`` every ``checkpoint_seconds``, and
    an interrupted call, whatever ended it, goes on from there to the same weights. ``log`` gets what training measures.

    With ``base``, an earlier checkpoint of the target, what is taken apart is the difference (what did fine-tuning
    add?). With ``known``, a decomposition of the same target (and from the same base), its sites start from its
    subcomponents, and the config may name more sites or more capacity; the card then says what all trainings behind the
    result took together. Both are for a ``WholeModelConfig``.

    Processes that ``torchrun`` starts share the whole-model method's samples: each makes the same call and gets the
    same decomposition, and the first alone writes files, reports and logs. All must see the folder of ``out``. An error
    in one of them ends them all.

    Raises ``UnweaveError`` for data that is empty or not finite, for sites that are one matrix under two names, and
    when the loss stops being finite or the disk is full; what was trained until then is kept.
    """
    if out is not None:
        if Path(out).exists():
            raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
        check_writable(Path(out).parent)
    progress = progress or usual_progress()
    refuse_shared_matrices(target, target.sites(config.sites))
    for name, reason in target.left_out(config.sites).items():
        progress.say(f"left out: {name}: {reason}")
    if isinstance(config, SiteLocalConfig):
        if join_processes().count > 1:
            raise UnweaveError(
                "the site-local method starts in one process: leave out torchrun, and set jobs for several sites at "
                "once"
            )
        if len({parameter.device for parameter in target.module.parameters()}) > 1:
            raise UnweaveError("the site-local method needs the target on one device: load it without a device map")
        if base is not None or known is not None:
            raise UnweaveError("base and known are for the whole-model method: give a WholeModelConfig")
        if not isinstance(data, Corpus):
            raise UnweaveError("a site-local decomposition takes a corpus: read one with load_corpus")
        return decompose_site_local(
            target,
            data,
            config,
            labels=labels,
            out=out,
            check=check,
            jobs=jobs,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
            log=log,
        )
    if jobs > 1:
        raise UnweaveError(f"jobs is {jobs}, and the whole-model method trains all its sites in one process: leave it")
    if known is not None:
        known.check_target(target.identity.digest)
        known.check_base(base)
    where = Path(out) if out else None
    with join_processes().together():
        return _whole_model(target, data, config, labels, base, known, where, checkpoint_seconds, progress, log)


def refuse_shared_matrices(target: Target, sites: Sequence[Site]) -> None:
    """Raises ``UnweaveError`` when two sites share storage: an edit of one piece would change both."""
    owner: dict[tuple[Any, ...], str] = {}
    for site in sites:
        # Blocks of one fused matrix share its storage, and no row of it.
        known = owner.setdefault((*target.stored_in(site), site.block), site.name)
        if known != site.name:
            raise UnweaveError(
                f"sites {known!r} and {site.name!r} share one storage (tied weights, or slices of one matrix): "
                "take only one of them apart"
            )


def _whole_model(
    target: Target,
    data: Corpus | Tensor | Batches,
    config: WholeModelConfig,
    labels: Sequence[str] | None,
    base: Target | None,
    known: Decomposition | None,
    out: Path | None,
    checkpoint_seconds: float,
    progress: Progress,
    log: Callable[[dict[str, float]], None] | None,
) -> Decomposition:
    sites = target.sites(config.sites)
    batches, facts = _batches(target, data, config, labels)
    if out is not None and fingerprint_batches(batches, 1) != fingerprint_batches(batches, 1):
        raise UnweaveError(
            "the batch of step 1 is another one when it is drawn again, so a run that is kept in a folder could not go "
            "on after an interruption: make the batch a function of the step alone (a generator seeded by it)"
        )
    first = batches(0)
    rows = len(first) if first.is_floating_point() else first.numel()
    processes, training = join_processes(), Path(f"{out}.training")
    kept = kept_bytes(target, site_groups(sites, config), batches) if config.precompute else {}
    check_memory(estimate_room(target, config, rows, len(first), processes.count, base is not None, kept))
    origin = [target.identity.digest, facts["data"]]
    if base is not None:
        facts["base"] = base.identity.digest
        origin.append(facts["base"])
    if known is not None:
        facts["known"] = known.digest()
        origin.append(facts["known"])
    clock = Clock()
    tensors = train_in_groups(
        target,
        sites,
        batches,
        config,
        base=base,
        known=known,
        folder=training if out else None,
        checkpoint_seconds=checkpoint_seconds,
        origin="-".join(origin),
        clock=clock,
        progress=progress,
        log=log,
    )
    made = Decomposition.from_tensors(
        tensors, [site.name for site in sites], config.importance, target.identity.digest, target.name
    )
    card = {"method": "whole-model", "config": asdict(config.resolved()), **facts}
    card["processes"] = processes.count
    if left_out := target.left_out(config.sites):
        card["left_out"] = left_out
    card["training_seconds"] = round(clock.seconds, 1)
    if not first.is_floating_point():
        card["tokens_seen"] = rows * config.steps * config.groups
    made = replace(made, card=card if known is None else with_ancestors(card, known.card))
    if out is not None:
        if processes.first:
            save_finished(made, out, training)
        processes.agree(f"whether {out} is saved", True)
        # What groups left in files is read from those of the result, and no longer from files that are gone.
        made = Decomposition.load(out) if config.groups > 1 else made
    return made


def _batches(
    target: Target, data: Corpus | Tensor | Batches, config: WholeModelConfig, labels: Sequence[str] | None
) -> tuple[Batches, dict[str, Any]]:
    """Batches of the data, and what the card says of it."""
    if isinstance(data, Corpus):
        windows = text_windows(target, data, "decomposition", config.windows, config.window_length, labels)
        rows = torch.as_tensor(np.concatenate(list(windows.values())))
        order = balanced_rows([len(part) for part in windows.values()])
        facts = {
            "corpus": data.name,
            "labels": list(windows),
            "data": fingerprint(rows),
            "text": data.fingerprint("decomposition"),
            "windows": {label: len(part) for label, part in windows.items()},
            "tokens": int(rows.numel()),
        }
        return RowBatches(rows, config.batch, config.seed, order), facts
    if isinstance(data, Tensor):
        check_data(data)
        return RowBatches(data, config.batch, config.seed), {"data": fingerprint(data), "rows": len(data)}
    return data, {"data": fingerprint_batches(data)}
