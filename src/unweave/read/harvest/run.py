"""One streaming pass over text that counts, for every feature, when it fires and what the model then says."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unweave.base.configs import plain_config
from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, save_tensors
from unweave.base.progress import Progress, usual_progress
from unweave.corpora.text import Corpus
from unweave.models.target import Target
from unweave.read.features import Dictionary, feature_counts
from unweave.read.harvest.checks import check_harvest
from unweave.read.harvest.columns import Columns, choose_columns, draw_tokens
from unweave.read.harvest.config import HarvestConfig
from unweave.read.harvest.reservoir import position_keys
from unweave.read.harvest.store import HarvestFacts, write_harvest
from unweave.read.harvest.tally import Batch, Tally, TallyShape
from unweave.read.harvest.text import HarvestText, read_text
from unweave.read.harvest.value import Harvest
from unweave.read.observe import observe

CHECKPOINT_SECONDS = 120


@dataclass(frozen=True)
class Plan:
    """All that several processes of one harvest must agree on."""

    text: HarvestText
    columns: Columns
    pool: np.ndarray
    groups: dict[str, int]
    config: HarvestConfig
    target: str
    dictionary: str

    @property
    def shape(self) -> TallyShape:
        config = self.config
        return TallyShape(
            sum(self.groups.values()),
            len(self.text.labels),
            self.text.length,
            len(self.columns),
            len(self.pool),
            -(-len(self.text) // config.batch),
            config.shown,
            config.held,
            config.context,
            config.draws,
        )

    def identity(self) -> dict[str, Any]:
        """What must be equal for two shards to be of one harvest."""
        return {
            "target": self.target,
            "dictionary": self.dictionary,
            "text": self.text.fingerprint,
            "config": plain_config(self.config),
            "shape": asdict(self.shape),
        }


def plan_harvest(
    target: Target, dictionary: Dictionary, corpora: Corpus | Sequence[Corpus], config: HarvestConfig
) -> Plan:
    """The windows, tables and pool of a harvest, the same in every process that plans it."""
    if dictionary.target not in (None, target.identity.digest):
        raise UnweaveError(
            f"{dictionary.name} belongs to target {dictionary.target}, not to {target.identity.digest} "
            f"({target.name}): load the target it was made from"
        )
    given = [corpora] if isinstance(corpora, Corpus) else list(corpora)
    groups = feature_counts(dictionary)
    text = read_text(target.tokenizer, given, config)
    columns = choose_columns(text.tokens, target.vocabulary, sum(groups.values()), config.table_gb)
    pool = text.pool(config.pool)
    return Plan(text, columns, pool, groups, config, target.identity.digest, dictionary.digest)


def harvest(
    target: Target,
    dictionary: Dictionary,
    corpora: Corpus | Sequence[Corpus],
    config: HarvestConfig | None = None,
    *,
    out: Path,
    sources: tuple[str, str] = ("", ""),
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Harvest:
    """Reads text once and writes to ``out`` what every feature does on it.

    Interrupted, the same call goes on from ``OUT.shards``; what ``read_shard`` has left there (in other processes,
    on other machines) is merged, and batches that none has read are read here. ``sources`` are the target and the
    dictionary as the user named them, for whoever opens the harvest later.

    Every position is counted, a window's first one too. Raises ``UnweaveError`` when ``out`` exists, for shards of
    another harvest, and when the harvest fails its checks; then nothing is written and what was counted stays.
    """
    progress, out = progress or usual_progress(), Path(out)
    if out.exists():
        raise UnweaveError(f"{out} already exists: choose another --out, or remove it first")
    started = time.monotonic()
    plan = plan_harvest(target, dictionary, corpora, config or HarvestConfig())
    folder = shards_folder(out)
    own = folder / "rest.safetensors"
    kept = sorted(folder.glob("*.safetensors"))
    # Before anything is read: two shards that share a batch cannot be merged.
    times = sum((_batches(plan, path) for path in kept), np.zeros(plan.shape.batches, np.int64))
    if times.max(initial=0) > 1:
        raise UnweaveError(
            f"several files of {folder} have read batch {int(times.argmax())}, as shards of different counts do: "
            "remove those of one count"
        )
    tally = _load(plan, own) if own.exists() else Tally(plan.shape)
    read = _read(target, dictionary, plan, tally, np.flatnonzero(times == 0), own, progress, checkpoint_seconds)
    for path in kept:
        if path != own:
            tally.merge(_load(plan, path))  # one at a time: each is as large as the tables
    progress.say("which features fire together")
    seconds = time.monotonic() - started
    facts = _facts(target, dictionary, plan, sources, seconds, read, tally)

    def check(written: Path) -> None:
        check_harvest(Harvest.load(written), target, dictionary)

    write_harvest(out, facts, plan.text, plan.columns, plan.pool, tally, target.tokenizer, plan.config.partners, check)
    _remove(folder)
    return Harvest.load(out)


def read_shard(
    target: Target,
    dictionary: Dictionary,
    corpora: Corpus | Sequence[Corpus],
    config: HarvestConfig | None = None,
    *,
    out: Path,
    shard: tuple[int, int],
    progress: Progress | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Path:
    """Reads every ``shard[1]``-th batch, from ``shard[0]`` on, into a file in ``OUT.shards``; ``harvest`` merges them.

    Interrupted, the same call goes on where it stopped.
    """
    number, count = shard
    if not 0 <= number < count:
        raise UnweaveError(f"shard is {number}/{count}: shards of {count} are 0/{count} to {count - 1}/{count}")
    progress = progress or usual_progress()
    plan = plan_harvest(target, dictionary, corpora, config or HarvestConfig())
    path = shards_folder(Path(out)) / f"{number}-of-{count}.safetensors"
    tally = _load(plan, path) if path.exists() else Tally(plan.shape)
    mine = [index for index in range(number, plan.shape.batches, count) if not tally.done(index)]
    _read(target, dictionary, plan, tally, mine, path, progress, checkpoint_seconds)
    return path


def shards_folder(out: Path) -> Path:
    """Where the processes of one harvest leave what they have counted."""
    return out.with_name(f"{out.name}.shards")


def _read(
    target: Target,
    dictionary: Dictionary,
    plan: Plan,
    tally: Tally,
    batches: Sequence[int] | np.ndarray,
    path: Path,
    progress: Progress,
    checkpoint_seconds: float,
) -> int:
    """Reads batches into ``tally``, keeping it at ``path`` now and then and at the end, however that comes.

    Gives the tokens read.
    """
    places = {name: features.reads for name, features in dictionary.groups.items()}
    in_pool = np.full(len(plan.text), -1)
    in_pool[plan.pool] = np.arange(len(plan.pool))
    kept, tokens, whole = time.monotonic(), 0, True
    try:
        for done, index in enumerate(batches, 1):
            rows = np.arange(index * plan.config.batch, min((index + 1) * plan.config.batch, len(plan.text)))
            whole = False
            read_batch(target, dictionary, places, plan, tally, int(index), rows, in_pool[rows])
            whole = True
            tokens += rows.size * plan.text.length
            progress.update(done, len(batches), "batches read")
            if time.monotonic() - kept > checkpoint_seconds and done < len(batches):
                _save(plan, tally, path)
                kept = time.monotonic()
    finally:
        # Stopped inside a batch, its counts are half in: what is on disk from before is right, this is not.
        if tokens and whole:
            _save(plan, tally, path)
    return tokens


def read_batch(
    target: Target,
    dictionary: Dictionary,
    places: dict[str, Any],
    plan: Plan,
    tally: Tally,
    index: int,
    rows: np.ndarray,
    in_pool: np.ndarray,
) -> None:
    """One forward and everything that is counted of it."""
    text = plan.text
    tokens = text.tokens[rows]
    keys = position_keys(text.hashes[rows], text.length)
    observed = observe(target, places, torch.as_tensor(tokens, dtype=torch.long))
    drawn = draw_tokens(observed.logits, keys, plan.config.draws)  # type: ignore[arg-type]
    of_token = plan.columns.of_token
    batch = Batch(
        index, rows, text.label[rows], text.held[rows], keys, in_pool, of_token[tokens], of_token[drawn], drawn
    )
    with torch.no_grad():
        readings = dictionary.encode(observed.values)
    first = 0
    for name, count in plan.groups.items():
        reading = readings[name]
        tally.add(batch, first, reading.importance.float().cpu().numpy(), reading.activation.float().cpu().numpy())
        first += count
    tally.add_text(batch)


def _save(plan: Plan, tally: Tally, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: torch.from_numpy(_signed(array)) for name, array in tally.tensors().items()}
    with atomic_path(path) as temporary:
        save_tensors(tensors, temporary, {"identity": json.dumps(plan.identity())})


def _load(plan: Plan, path: Path) -> Tally:
    tensors = _tensors(plan, path)
    for name in ("shown.priority", "held.priority"):
        tensors[name] = tensors[name].view(np.uint64)
    return Tally.from_tensors(plan.shape, tensors)


def _batches(plan: Plan, path: Path) -> np.ndarray:
    """How often each batch has been read into the file at ``path``: 0 or 1."""
    return _tensors(plan, path, ["sums.batches"])["sums.batches"]


def _tensors(plan: Plan, path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as stored:
            identity = json.loads((stored.metadata() or {}).get("identity", "{}"))
            if identity != json.loads(json.dumps(plan.identity())):
                raise UnweaveError(
                    f"{path} is of another harvest (other target, dictionary, text or settings): remove "
                    f"{path.parent}, or choose another --out"
                )
            return {name: stored.get_tensor(name) for name in names or stored.keys()}
    except SafetensorError as error:
        raise UnweaveError(f"{path} is damaged ({error}): remove it, and its batches are read again") from error


def _signed(array: np.ndarray) -> np.ndarray:
    return array.view(np.int64) if array.dtype == np.uint64 else array


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _facts(
    target: Target,
    dictionary: Dictionary,
    plan: Plan,
    sources: tuple[str, str],
    seconds: float,
    read: int,
    tally: Tally,
) -> HarvestFacts:
    text = plan.text
    return HarvestFacts(
        target=plan.target,
        target_name=target.name,
        target_source=sources[0] or target.name,
        dtype=target.identity.dtype,
        kind=dictionary.kind,
        dictionary=plan.dictionary,
        dictionary_name=dictionary.name,
        dictionary_source=sources[1] or dictionary.name,
        groups=plan.groups,
        corpus=text.corpus,
        text=text.fingerprint,
        labels=text.labels,
        label_names=text.label_names,
        windows=len(text),
        length=text.length,
        tokens=text.tokens.size,
        settings=plain_config(plan.config),
        seconds=round(seconds, 2),
        tokens_read_here=read,
        tokens_by_label=tuple(tally.sums["tokens_by_label"].tolist()),
        shown_tokens_by_label=tuple(tally.sums["shown_tokens_by_label"].tolist()),
        count_total=int(tally.sums["vocabulary_count"].sum()),
        draws_total=int(tally.sums["vocabulary_draws"].sum()),
    )
