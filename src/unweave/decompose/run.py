"""The front door: takes a target, data and a config, and gives the decomposition by the config's method."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.base.errors import UnweaveError
from unweave.base.files import check_writable
from unweave.base.memory import available_memory
from unweave.base.progress import Progress, Silent
from unweave.corpora.text import Corpus
from unweave.decompose.batches import Batches, RowBatches, balanced_rows, check_data, fingerprint, text_windows
from unweave.decompose.config import SiteLocalConfig, WholeModelConfig
from unweave.decompose.cost import check_memory, estimate_cost
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.site_local_run import decompose_site_local
from unweave.decompose.whole_model import train_whole_model
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
    progress: Progress | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
) -> Decomposition:
    """Takes the sites of ``config`` apart and returns the decomposition, saved in ``out`` when that is given.

    ``data`` is a corpus (its decomposition part is used, ``labels`` of it in equal shares), a tensor of token windows
    (n, t) or feature rows (n, d), or a function from a step to its batch. A ``SiteLocalConfig`` needs a corpus, and
    checks each site at the logits unless ``check`` is False. An interrupted call with ``out`` continues from
    ``OUT.training``. ``log`` gets what training measures.

    With ``base``, an earlier checkpoint of the target, what is taken apart is the difference (what did fine-tuning
    add?). With ``known``, a decomposition of the same target, its sites start from its subcomponents, and the config
    may name more sites or more capacity. Both are for a ``WholeModelConfig``.

    Raises ``UnweaveError`` for data that is empty or not finite, and for sites that are one matrix under two names.
    """
    if out is not None:
        if Path(out).exists():
            raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
        check_writable(Path(out).parent)
    refuse_shared_matrices(target, target.sites(config.sites))
    if isinstance(config, SiteLocalConfig):
        if base is not None or known is not None:
            raise UnweaveError("base and known are for the whole-model method: give a WholeModelConfig")
        if not isinstance(data, Corpus):
            raise UnweaveError("a site-local decomposition takes a corpus: read one with load_corpus")
        return decompose_site_local(target, data, config, labels=labels, out=out, check=check, progress=progress)
    if known is not None:
        known.check_target(target.identity.digest)
    where = Path(out) if out else None
    return _whole_model(target, data, config, labels, base, known, where, progress or Silent(), log)


def refuse_shared_matrices(target: Target, sites: Sequence[Site]) -> None:
    """Raises ``UnweaveError`` when two sites share storage: an edit of one piece would change both."""
    owner: dict[tuple[Any, ...], str] = {}
    for site in sites:
        storage = target.weight(site).untyped_storage()
        known = owner.setdefault((target.weight(site).device, storage.data_ptr()), site.name)
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
    progress: Progress,
    log: Callable[[dict[str, float]], None] | None,
) -> Decomposition:
    sites = target.sites(config.sites)
    batches, facts = _batches(target, data, config, labels)
    first = batches(0)
    rows = len(first) if first.is_floating_point() else first.numel()
    check_memory(estimate_cost(target, config, rows), available_memory(target.device))
    checkpoint = Path(f"{out}.training") / "whole-model.safetensors" if out else None
    origin = [target.identity.digest, facts["data"]]
    if base is not None:
        facts["base"] = base.identity.digest
        origin.append(facts["base"])
    if known is not None:
        facts["known"] = known.digest()
        origin.append(facts["known"])
    started = time.monotonic()
    tensors = train_whole_model(
        target,
        sites,
        batches,
        config,
        base=base,
        known=known,
        checkpoint=checkpoint,
        origin="-".join(origin),
        progress=progress,
        log=log,
    )
    made = Decomposition.from_tensors(
        tensors, [site.name for site in sites], config.importance, target.identity.digest, target.name
    )
    card = {"method": "whole-model", "config": asdict(config), **facts}
    made = replace(made, card=card | {"training_seconds": round(time.monotonic() - started, 1)})
    if out is not None:
        made.save(out)
        shutil.rmtree(f"{out}.training", ignore_errors=True)
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
            "windows": {label: len(part) for label, part in windows.items()},
            "tokens": int(rows.numel()),
        }
        return RowBatches(rows, config.batch, config.seed, order), facts
    if isinstance(data, Tensor):
        check_data(data)
        return RowBatches(data, config.batch, config.seed), {"data": fingerprint(data), "rows": len(data)}
    return data, {"data": getattr(data, "name", "batches")}
