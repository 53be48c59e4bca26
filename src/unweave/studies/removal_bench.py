"""What ``remove-language`` works with: everything loaded, the subcomponent chosen, and what was refused on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unweave.base.errors import NothingFound, UnweaveError, nearest
from unweave.base.progress import Progress

if TYPE_CHECKING:
    from unweave.corpora.text import Corpus
    from unweave.decompose.decomposition import Decomposition
    from unweave.edit.measure import Yardstick
    from unweave.edit.setting import Setting
    from unweave.edit.tuned import Tuning
    from unweave.models.target import Target
    from unweave.read.selection import Selection
    from unweave.record.run import Run
    from unweave.studies.remove_language import RemoveLanguage

WINDOW = 64
TRIED = "The most selective subcomponents of each site turned down until {} is gone, on the selection part"
KNOWN_BELOW = 0.8
"""A target knows a label when its cross-entropy there is below this many ln V."""


@dataclass
class Bench:
    """What the study has loaded and chosen; ``spent`` counts tokens by purpose."""

    target: Target
    corpus: Corpus
    decomposition: Decomposition
    selection: Selection
    setting: Setting
    yardstick: Yardstick
    tuning: Tuning
    plain_label: str
    spent: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def prepare(config: RemoveLanguage, progress: Progress, run: Run | None = None, target: Target | None = None) -> Bench:
    """Loads everything, chooses the subcomponent, and refuses what cannot give a true result."""
    from unweave.base.seeds import derive
    from unweave.corpora.bundled import declaration
    from unweave.corpora.files import load_corpus
    from unweave.corpora.windows import random_groups, windows_by_label
    from unweave.decompose.decomposition import Decomposition, bundled
    from unweave.edit.methods import find_method
    from unweave.edit.setting import Setting
    from unweave.edit.site_trial import choose_piece, trials_table
    from unweave.edit.tuned import bundled_tuning
    from unweave.models.load import load_target
    from unweave.read.selection import label_statistics, most_related, plain_label, related_table, top_tokens

    corpus = load_corpus(config.corpus)
    if config.also:
        corpus = corpus.with_labels(declaration(), [label for label in config.also if label not in corpus.labels()])
    labels = corpus.labels("selection")
    for role, label in (("language", config.language), ("retain", config.retain)):
        if label not in labels:
            raise UnweaveError(
                f"{role} {label!r} is not a label of corpus {corpus.name!r}; {nearest(label, labels)} (also= adds a "
                "label of the Declaration, corpus= takes your own text)"
            )
        for part in ("training", "evaluation"):
            corpus.documents(part, label)  # refused before anything is computed
    everything = declaration().labels("evaluation")
    for label in config.left_out:
        if label not in ("all", *everything):
            raise UnweaveError(f"left_out {label!r} is not a label of the Declaration; {nearest(label, everything)}")
    where = Path(config.decomposition) if config.decomposition else bundled(config.target)
    decomposition = Decomposition.load(where)
    if target is None:
        progress.say(f"loading {config.target}")
        target = load_target(config.target, device=config.device, dtype=config.dtype, progress=progress)
    decomposition.check_target(target.identity.digest)
    if run is not None:
        _bind(run, target, where, corpus, config.corpus)
    warnings = doubts(decomposition, corpus)
    for warning in warnings:
        progress.say(f"warning: {warning}")

    selection_windows = windows_by_label(
        target.tokenizer, corpus, "selection", labels, WINDOW, at_most=config.selection_windows
    )
    if config.shuffle:
        selection_windows = random_groups(selection_windows, seed=derive(config.first_seed, "shuffled labels"))
    statistics = []
    for name, pieces in decomposition.sites.items():
        progress.say(f"reading what the {len(pieces)} subcomponents of {name} fire on")
        statistics.append(label_statistics(target, pieces, selection_windows, progress=progress))
    selection, trials = choose_piece(target, decomposition, statistics, config.language, selection_windows, progress)
    if trials and run is not None:
        run.save_table(trials_table(trials, corpus.label_name(config.language), TRIED))
    pieces = decomposition.site(selection.site)
    tuning = bundled_tuning(config.language, target.name)
    setting = Setting(
        target,
        corpus,
        config.language,
        config.retain,
        pieces,
        selection.index,
        selection_windows,
        entropy_carried=tuning.entropy_carried,
        dealt=config.shuffle,
    )
    yardstick = _yardstick(config, target, corpus, setting, progress)
    _refuse_unknown(config, yardstick, setting)
    # What learns from its text alone has a null too: it learns from text that was dealt at random.
    chosen = not config.shuffle or any("selection" in find_method(name).reads for name in config.methods)
    if chosen and not selection.found:
        raise NothingFound(
            f"nothing was found for {config.language!r}: the most selective subcomponent scores "
            f"{selection.score:.3f}, and shuffled windows give up to {max(selection.null_maxima):.3f}: try the matrix "
            "that `unweave scan` names, or take this one apart with the label in the text (`--also` when decomposing)"
        )
    names = {label: corpus.label_name(label) for label in labels}
    related = most_related(selection.statistics, config.language, config.retain)
    indices = list(dict.fromkeys([selection.index, *related]))
    tokens = top_tokens(target, pieces, indices, selection_windows)
    plain = plain_label(selection.statistics, selection.index, tokens[selection.index], names)
    progress.say(
        f"chosen: {selection.site}:{selection.index}, {plain!r} (importance {selection.on(config.language):.3f})"
    )
    if run is not None:
        run.save_table(related_table(selection.statistics, related, tokens, config.language, names))

    read = sum(len(found) * 64 for found in selection_windows.values())
    spent = {
        "decomposition": int(decomposition.card.get("tokens", 0)),
        "selection": read,
        "labels": 0,
        "tuning": tuning.tokens,
    }
    return Bench(target, corpus, decomposition, selection, setting, yardstick, tuning, plain, spent, warnings)


def _bind(run: Run, target: Target, decomposition: Path, corpus: Corpus, spec: str) -> None:
    """Records what the run's cells are of, for its audit too, and refuses to go on with anything else."""
    from unweave.base.files import file_hash

    basis = {
        "target": target.identity.digest,
        "decomposition": file_hash(decomposition / "decomposition.safetensors"),
        "corpus": corpus.fingerprint(),
    }
    kept = run.cells("basis").get("basis")
    if kept is None:
        run.put_cell("basis", "basis", basis)
    for what, digest in (kept or {}).items():
        if basis[what] != digest:
            raise UnweaveError(f"run {run.id!r} was started with another {what}: put that one back, or start a new run")
    _identify(run, target, decomposition, basis["decomposition"], corpus, spec)


def _identify(run: Run, target: Target, decomposition: Path, digest: str, corpus: Corpus, spec: str) -> None:
    """Tells the run what its numbers depend on: the text by the part of the corpus that it is from."""
    from unweave.corpora.bundled import declaration
    from unweave.corpora.place import corpus_place

    run.identify("target", target.name, target.identity.digest)
    run.identify("decomposition", decomposition.name, digest)
    for part in ("selection", "training", "decomposition"):
        run.identify("data", f"{corpus.name}/{part}", corpus.fingerprint(part))
    held = {found.name: (found, where) for found, where in ((declaration(), "declaration"), (corpus, spec))}
    for held_out, where in held.values():
        place = corpus_place(where)
        run.identify("held-out", f"{held_out.name}/evaluation", held_out.fingerprint("evaluation"), **place)


def doubts(decomposition: Decomposition, corpus: Corpus) -> tuple[str, ...]:
    """What a reader should know of a decomposition: a check it failed, text that may hold what is evaluated."""
    found = []
    if decomposition.card.get("failures"):
        found.append(f"the decomposition failed its own check at the logits: {decomposition.card['failures'][0]}")
    card = decomposition.card
    apart = card.get("unseen", {}).get("evaluation") == corpus.fingerprint("evaluation")
    read = card.get("text") or card.get("data", "")
    if not apart and read not in ("", corpus.fingerprint("decomposition")):
        found.append(
            f"the decomposition was trained on {decomposition.card.get('corpus', 'another corpus')}, not on the "
            f"decomposition part of {corpus.name}: whether held-out text was among it is not known"
        )
    return tuple(found)


def _yardstick(
    config: RemoveLanguage, target: Target, corpus: Corpus, setting: Setting, progress: Progress
) -> Yardstick:
    """Held-out text: the corpus's own evaluation part, and the Declaration's for the same labels (named ``udhr/x``)."""
    import torch

    from unweave.corpora.bundled import declaration
    from unweave.corpora.windows import token_windows
    from unweave.edit.measure import make_yardstick

    most = config.windows
    windows = {
        label: torch.as_tensor(token_windows(target.tokenizer, corpus, "evaluation", label, 64, at_most=most))
        for label in corpus.labels("evaluation")
    }
    second = declaration()
    for label in corpus.labels("evaluation"):
        if corpus.name != second.name and label in second.labels("evaluation") and label not in config.also:
            found = token_windows(target.tokenizer, second, "evaluation", label, 64, at_most=most)
            windows[f"udhr/{label}"] = torch.as_tensor(found)
    return make_yardstick(target, windows, setting.layer, progress=progress)


def _refuse_unknown(config: RemoveLanguage, yardstick: Yardstick, setting: Setting) -> None:
    base = yardstick.base[config.language].mean()[0]
    if base >= KNOWN_BELOW * setting.ceiling:
        raise UnweaveError(
            f"{config.target} does not know {config.language!r}: its cross-entropy there is {base:.2f} nats, above "
            f"{KNOWN_BELOW} ln V = {KNOWN_BELOW * setting.ceiling:.2f}, so there is nothing to remove"
        )
