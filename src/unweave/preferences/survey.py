"""Everything that predictions start from, read once into a folder: learned features, own replies, pairs, gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.base.files import atomic_path, save_tensors
from unweave.base.progress import Progress, Silent
from unweave.base.seeds import numpy_generator
from unweave.corpora.pairs.value import PreferencePair
from unweave.models.target import Target
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.evidence import Evidence
from unweave.preferences.features.clusters import ClusterConfig, FeatureClusters, cluster_features
from unweave.preferences.features.reading_pass import read_pairs, read_replies
from unweave.preferences.features.store import PairFeatures, ReplyFeatures
from unweave.preferences.predictors.gradients import Projection, gradient_effects, reply_gradients
from unweave.preferences.truth.answers import Answered, reply_tokens
from unweave.read.features import Dictionary

TRAIN = "train"
NONE = "none"
MOST_GRADIENTS = 2000
"""Pairs beyond which gradients are left out unless they are asked for: each takes a backward pass."""

CLUSTERED = 10_000
"""Rows of a store that clusters of features are found in; more of them change nothing but the time it takes."""


@dataclass(frozen=True)
class SurveySettings:
    """What is read, and where."""

    layer: int | None = None
    """The block whose output is read; the middle one by default."""
    features: str = TRAIN
    """``train`` an SAE here, ``none``, or a folder: an SAE of SAELens or sparsify, or a decomposition."""
    latents: int = 8
    """Latents of the SAE that is trained, in widths of the stream."""
    kept: int = 32
    """Latents that it keeps on a token."""
    epochs: int = 12
    """How often it sees each token."""
    gradient: bool | None = None
    """Whether to take gradients; None for up to ``MOST_GRADIENTS`` pairs."""
    gradient_sites: tuple[str, ...] = ()
    """Whose adapters gradients are of; the output matrices of the upper half of the blocks by default."""
    own_gradients: int = 4
    """Own replies to each question that gradients are taken of."""
    seed: int = 0


class Survey:
    """Reads what predictions need of one target, each thing once; all of it is kept in ``folder``.

    ``answers`` are the target's own replies to held-out questions, before any training.
    """

    def __init__(
        self,
        target: Target,
        folder: Path,
        answers: Sequence[Answered],
        settings: SurveySettings,
        progress: Progress | None = None,
        stop: Callable[[], None] | None = None,
    ) -> None:
        self.target, self.folder, self.answers = target, Path(folder), list(answers)
        self.settings, self.progress, self.stop = settings, progress or Silent(), stop or (lambda: None)
        self.layer = settings.layer if settings.layer is not None else max(0, target.depth // 2 - 1)
        if not 0 <= self.layer < target.depth:
            raise UnweaveError(f"layer {self.layer} is not in {target.name}: it has layers 0 to {target.depth - 1}")
        self._dictionary: Dictionary | None = None

    def dictionary(self, texts: Callable[[], Sequence[tuple[Sequence[int], Sequence[int]]]]) -> Dictionary | None:
        """The features: those of a folder, or an SAE trained the first time it is asked for.

        ``texts`` gives the (prompt, reply) tokens to train on, and is called only then.
        """
        from unweave.read.dictionaries.load import load_dictionary

        if self._dictionary is not None or self.settings.features == NONE:
            return self._dictionary
        place = self.folder / "features"
        if self.settings.features != TRAIN:
            place = Path(self.settings.features)
        elif not place.exists():
            self._train(texts(), place)
        self._dictionary = load_dictionary(place, self.target)
        return self._dictionary

    def _train(self, texts: Sequence[tuple[Sequence[int], Sequence[int]]], place: Path) -> None:
        from unweave.read.dictionaries.training import train_sae
        from unweave.read.dictionaries.training_config import SAEConfig

        windows = [[*prompt, *reply] for prompt, reply in texts]
        config = SAEConfig(expansion=self.settings.latents, k=self.settings.kept, epochs=self.settings.epochs)
        trained = train_sae(
            self.target, windows, self.layer, config, self.settings.seed, self.progress, place.with_suffix(".training")
        )
        trained.save(place)
        report = trained.report
        self.progress.say(
            f"SAE of layer {self.layer}: {report.latents} latents, {report.explained:.3f} of the variance explained by "
            f"{report.l0:.1f} of them on a held-out token ({report.explained_by_components:.3f} by as many principal "
            f"components), {report.dead:.1%} dead, {report.tokens} tokens"
        )

    def own(self, name: str, answers: Sequence[Answered]) -> ReplyFeatures:
        """The target's replies of one time as features, read by the untrained target."""
        self.stop()
        return read_replies(
            self.target,
            [answered.question.turns for answered in answers],
            [answered.replies for answered in answers],
            self.folder / "replies" / name,
            self.layer,
            self._dictionary,
            progress=self.progress,
        )

    def pairs(self, name: str, pairs: Iterable[PreferencePair]) -> PairFeatures:
        """A dataset as features."""
        self.stop()
        place = self.folder / "pairs" / name
        return read_pairs(self.target, pairs, place, self.layer, self._dictionary, progress=self.progress)

    def clusters(self, *stores: ReplyFeatures | PairFeatures) -> FeatureClusters | None:
        """Clusters of features that fire in the same replies, found once."""
        from scipy.sparse import vstack

        path = self.folder / "clusters.json"
        if path.exists():
            return FeatureClusters.load(path)
        if self._dictionary is None:
            return None
        generator, parts = numpy_generator(self.settings.seed, "survey", "clusters"), []
        for store in stores:
            rows = np.arange(store.rows)
            if store.rows > CLUSTERED:
                rows = np.sort(generator.choice(store.rows, CLUSTERED, replace=False))
            parts += [store.fired(side)[rows] for side in store.facts.sides]
        fired = vstack(parts, format="csr")
        found = cluster_features(fired, ClusterConfig(seed=self.settings.seed))
        found.save(path)
        return found

    def evidence(
        self,
        store: PairFeatures,
        reference: ReplyFeatures,
        clusters: FeatureClusters | None,
        pairs: Sequence[PreferencePair] | None = None,
    ) -> Evidence:
        """What predictors see. Gradients are taken where ``pairs`` are given and the settings ask for them."""
        found = store.evidence(reference, clusters.members if clusters is not None else ())
        if pairs is None or not self._wants_gradients(len(pairs)):
            return found
        return replace(found, gradient=self._gradient(store.digest, pairs, reference, found))

    def _wants_gradients(self, rows: int) -> bool:
        asked = self.settings.gradient
        return rows <= MOST_GRADIENTS if asked is None else asked

    def _gradient(
        self, name: str, pairs: Sequence[PreferencePair], reference: ReplyFeatures, evidence: Evidence
    ) -> np.ndarray:
        own = self._kept_gradients("own", reply_tokens(self.target, self.answers, self.settings.own_gradients))
        replies = [
            (encode_prompt(self.target, pair.prompt), encode_reply(self.target, text))
            for pair in pairs
            for text in (pair.chosen, pair.rejected)
        ]
        both = self._kept_gradients(f"pairs-{name}", replies)
        rows = self._own_rows(reference)
        values = evidence.reference.values[rows]
        return gradient_effects(both[0::2] - both[1::2], own, values, evidence.reference_groups[rows])

    def _own_rows(self, reference: ReplyFeatures) -> np.ndarray:
        kept, row = [], 0
        for answered in self.answers:
            kept += range(row, row + min(self.settings.own_gradients, len(answered.replies)))
            row += len(answered.replies)
        if row != reference.rows:
            raise UnweaveError(
                f"{reference.folder} holds {reference.rows} replies, and there are {row}: read them again"
            )
        return np.array(kept)

    def _kept_gradients(self, name: str, replies: Sequence[tuple[Sequence[int], Sequence[int]]]) -> np.ndarray:
        from safetensors.numpy import load_file

        path = self.folder / "gradients" / f"{name}.safetensors"
        if path.exists():
            return load_file(path)["gradients"]
        self.stop()
        sites = self.settings.gradient_sites or output_sites(self.target)
        found = reply_gradients(
            self.target,
            [prompt for prompt, _ in replies],
            [reply for _, reply in replies],
            Projection(sites, seed=self.settings.seed),
            progress=self.progress,
        )
        with atomic_path(path) as temporary:
            save_tensors({"gradients": torch.from_numpy(found)}, temporary)
        return found


def output_sites(target: Target) -> tuple[str, ...]:
    """In the upper half of the blocks, the sites that write to the stream: their outputs are as wide as it is."""
    width = int(getattr(target.module.config, "hidden_size", 0))  # type: ignore[union-attr]
    upper = target.sites([f"{target.blocks}.{layer}.*" for layer in range(target.depth // 2, target.depth)])
    writing = {site.name for site in upper if site.d_out == width}
    # Of a square attention the inputs are as wide too: what comes last in each part of a block writes.
    last = {site.name.rpartition(".")[0]: site.name for site in upper if site.name in writing}
    return tuple(last.values())
