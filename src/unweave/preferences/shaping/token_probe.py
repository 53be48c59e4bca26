"""A linear probe for the tokens that carry a behaviour, fitted on a target's own replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from unweave.base.errors import UnweaveError
from unweave.base.progress import Progress
from unweave.base.seeds import derive, numpy_generator
from unweave.models.target import Target
from unweave.preferences.encoding import encode_prompt, last_user_turn
from unweave.preferences.shaping.states import reply_states
from unweave.preferences.shaping.token_labels import carrying_tokens
from unweave.preferences.truth.answers import Answered

FOLDS = 3
STRENGTH = 0.1
"""scikit-learn's C, on standardised states."""


@dataclass(frozen=True)
class TokenProbe:
    """Says of a token, by the state at it, whether it carries a behaviour.

    It does where ``states @ weights + bias`` is ``threshold`` or more. ``f1`` and ``auroc`` are of tokens of replies to
    other prompts than those that were fitted, and thresholded, on.
    """

    behaviour: str
    layer: int
    weights: Float32[np.ndarray, " d"] = field(repr=False)
    bias: float
    threshold: float
    f1: float
    auroc: float
    carrying: float
    """Share of the tokens that carry the behaviour."""
    tokens: int

    def read(self, states: Float[np.ndarray, "t d"]) -> Float[np.ndarray, " t"]:
        """How far each token is above the threshold, in log-odds; flagged where it is 0 or more."""
        return states @ self.weights + (self.bias - self.threshold)


def fit_token_probe(
    target: Target,
    layer: int,
    behaviour: str,
    answers: Sequence[Answered],
    seed: int = 0,
    most: int = 16384,
    progress: Progress | None = None,
) -> TokenProbe:
    """Logistic regression of ``carrying_tokens`` on the states entering a block, with the threshold of the best F1.

    ``answers`` are the untrained target's own; prompts are taken at random until their replies have ``most`` tokens.
    The threshold is that of predictions across folds of prompts; the F1 that is reported takes each fold at the
    threshold of the others. Raises ``UnweaveError`` where the behaviour is not carried by tokens of replies to at least
    as many prompts as there are folds.
    """
    order = numpy_generator(seed, "token probe", behaviour).permutation(len(answers))
    taken, length = [], 0
    for place in order:
        if length >= most:
            break
        taken.append(answers[place])
        length += sum(len(reply.tokens) for reply in answers[place].replies)
    prompts = [encode_prompt(target, each.question.turns) for each in taken for _ in each.replies]
    asked = [last_user_turn(each.question.turns) for each in taken for _ in each.replies]
    replies = [reply.tokens for each in taken for reply in each.replies]
    prompt_of = [number for number, each in enumerate(taken) for _ in each.replies]
    labels = carrying_tokens(target, replies, asked, behaviour)
    states, carries, groups = [], [], []
    for index, found in reply_states(target, layer, prompts, replies, progress=progress):
        states.append(found)
        carries.append(labels[index])
        groups.append(np.full(len(found), prompt_of[index]))
    held = {prompt_of[index] for index, label in enumerate(labels) if label.any()}
    if len(held) < FOLDS:
        raise UnweaveError(
            f"{behaviour!r} is carried by single tokens in replies to {len(held)} of {len(taken)} prompts, and a probe "
            f"needs {FOLDS}: sample more replies, or shape by rows or rewards"
        )
    return _fitted(behaviour, layer, np.concatenate(states), np.concatenate(carries), np.concatenate(groups), seed)


def _fitted(
    behaviour: str,
    layer: int,
    states: Float32[np.ndarray, "n d"],
    carries: Bool[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    seed: int,
) -> TokenProbe:
    from sklearn.metrics import f1_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    if carries.all():
        raise UnweaveError(f"every token of the replies carries {behaviour!r}: nothing would be left to train on")
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=derive(seed, "folds") % 2**32)
    across, fold_of = np.empty(len(states)), np.empty(len(states), np.int64)
    for fold, (fitted, tried) in enumerate(folds.split(states, carries, groups)):
        weights, bias = _regression(states[fitted], carries[fitted])
        across[tried], fold_of[tried] = states[tried] @ weights + bias, fold
    flagged = np.concatenate(
        [
            across[fold_of == fold] >= _best_threshold(across[fold_of != fold], carries[fold_of != fold])
            for fold in range(FOLDS)
        ]
    )
    truth = np.concatenate([carries[fold_of == fold] for fold in range(FOLDS)])
    weights, bias = _regression(states, carries)
    return TokenProbe(
        behaviour,
        layer,
        weights.astype(np.float32),
        bias,
        _best_threshold(across, carries),
        float(f1_score(truth, flagged)),
        float(roc_auc_score(carries, across)),
        float(carries.mean()),
        len(carries),
    )


def _regression(states: Float[np.ndarray, "n d"], carries: Bool[np.ndarray, " n"]) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import LogisticRegression

    centre, spread = states.mean(0, dtype=np.float64), np.maximum(states.std(0, dtype=np.float64), 1e-6)
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit((states - centre) / spread, carries)
    weights = model.coef_[0] / spread
    return weights, float(model.intercept_[0] - weights @ centre)


def _best_threshold(values: Float[np.ndarray, " n"], carries: Bool[np.ndarray, " n"]) -> float:
    """The value from which on tokens are flagged that gives the highest F1."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(carries, values)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)[:-1]
    return float(thresholds[int(f1.argmax())])
