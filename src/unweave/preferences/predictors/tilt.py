"""Tilt: the weights that explain the preferences, pushed through what goes with what in the target's own replies.

The optimum of KL-regularised training is ``pi*(y|x) ~ pi0(y|x) exp(r(x, y) / beta)``. For a reward linear in the
columns, ``r = w . f``, the columns' means move to first order by their covariance under the untrained target:
``change = Cov(f) w / beta``. So a column that nobody rated moves when it hangs together with one that was.
Source: Rafailov et al., "Direct preference optimization", 2023, eq. 4, differentiated at ``w = 0``; the weights are
those of Bradley and Terry, 1952.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from unweave.base.seeds import numpy_generator
from unweave.preferences.evidence import Evidence
from unweave.preferences.predictors.prompts import Prompts, Resampling
from unweave.preferences.predictors.reference import differences, no_prompt_twice, own_variation
from unweave.preferences.predictors.registry import Shares, predictor

PENALTIES = 10.0 ** np.arange(5.0, -2.0, -1.0)
"""Of the squared weights, beside the summed loss; tried from the strongest."""
FOLDS = 5
NEWTON_STEPS = 2
"""From the fitted weights; each leaves about the square of what was wrong."""
MOST_ROWS = 4096
"""Pairs that the penalty is chosen on, whole prompts at a time. It stands for the prior's precision, so it does not
grow with the number of pairs."""


@dataclass(frozen=True)
class PreferenceWeights:
    """Bradley-Terry weights ``w`` of differences, each in its column's spread over the target's own replies: divided by
    their own size, differences of a column in which pairs hardly vary would weigh as much as any.

    At the optimum ``w = sum_i rest_i d_i / penalty`` with ``rest_i = sigma(-w . d_i)``, which is what of a pair is not
    explained yet: that is why the change falls apart into shares.
    """

    w: Float64[np.ndarray, " m"]
    penalty: float
    rest: Float64[np.ndarray, " n"]
    curvature: Float64[np.ndarray, "m m"]
    """Second derivatives of the penalised loss."""


def _lacks(evidence: Evidence) -> str | None:
    if len(np.unique(evidence.groups)) < 2:
        return "all pairs answer one prompt, so no penalty can be chosen on prompts left out: give pairs of 2 or more"
    return no_prompt_twice(evidence)


def first_order_pushes(evidence: Evidence, resampling: Resampling) -> Float32[np.ndarray, "n m"]:
    """Each pair's push before any weight is learnt: its differences through the covariance. Odd in the pair's label."""
    return (differences(evidence) @ _covariance(evidence, resampling.replies)).astype(np.float32)


@predictor(
    "tilt",
    "Bradley-Terry weights through the covariance of the target's own replies",
    _lacks,
    pushes=first_order_pushes,
)
def tilt(evidence: Evidence, resampling: Resampling) -> Shares:
    """Logistic regression without intercept, its penalty by cross-validation over prompts; see the module.

    The interval draws the pairs' prompts anew by one Newton step from the fitted weights (the infinitesimal jackknife),
    with the penalty held, and the replies' prompts in the covariance. It is of the shrunk estimate: a strong
    penalty makes it narrow about a value too near 0.
    """
    apart = differences(evidence).astype(np.float64)
    found = fit_weights(apart, resampling.pairs)
    pulls = apart * found.rest[:, None]
    covariance = _covariance(evidence, resampling.replies)
    shares = ((len(evidence) / found.penalty) * (pulls @ covariance)).astype(np.float32)
    steps = np.linalg.solve(found.curvature, ((resampling.pair_weights - 1) @ resampling.pairs.sums(pulls)).T)
    own = own_variation(evidence, resampling.replies).astype(np.float64)
    along = own @ (found.w[:, None] + steps)
    along *= resampling.reply_weights.T[resampling.replies.index]
    freedom = resampling.reply_weights @ (resampling.replies.sizes - 1)
    return Shares(shares, (own.T @ along / np.maximum(freedom, 1)).T)


def fit_weights(apart: Float64[np.ndarray, "n m"], prompts: Prompts, seed: int = 0) -> PreferenceWeights:
    """The weights that explain the labels of pairs whose replies differ by ``apart``."""
    penalty = _chosen_penalty(apart, prompts, seed)
    w = _fitted(apart, [penalty], 1e-4)[0]
    rest = _rest(apart @ w)
    weighted = apart * np.sqrt(rest * (1 - rest))[:, None]
    curvature = weighted.T @ weighted + penalty * np.eye(len(w))
    # The shares take ``w`` for what the pairs add up to, which is so at the optimum alone.
    for _ in range(NEWTON_STEPS):
        w += np.linalg.solve(curvature, apart.T @ rest - penalty * w)
        rest = _rest(apart @ w)
    return PreferenceWeights(w, penalty, rest, curvature)


def _covariance(evidence: Evidence, replies: Prompts) -> Float64[np.ndarray, "m m"]:
    """Of the target's own replies within prompts, in spreads: from weights to changes."""
    own = own_variation(evidence, replies).astype(np.float64)
    return (own.T @ own) / (len(own) - len(replies))


def _chosen_penalty(apart: Float64[np.ndarray, "n m"], prompts: Prompts, seed: int) -> float:
    order = numpy_generator(seed, "tilt", "folds").permutation(len(prompts))
    # The order decides both which prompts take part and which fold they are in.
    place = np.empty(len(prompts), np.int64)
    place[order] = np.arange(len(prompts))
    allowed = int((np.cumsum(prompts.sizes[order]) <= MOST_ROWS).sum())
    taken = place[prompts.index] < max(allowed, 2)
    rows, fold = apart[taken], place[prompts.index][taken] % FOLDS
    lost = np.zeros(len(PENALTIES))
    for each in np.unique(fold):
        for index, w in enumerate(_fitted(rows[fold != each], PENALTIES, 1e-3)):
            lost[index] += np.logaddexp(0, -(rows[fold == each] @ w)).sum()
    return float(PENALTIES[np.argmin(lost)])


def _fitted(
    apart: Float64[np.ndarray, "n m"], penalties: np.ndarray | list[float], tolerance: float
) -> list[Float64[np.ndarray, " m"]]:
    """The weights for each penalty in turn, each fit begun at the one before; ``tolerance`` is of the slope.

    Minimised in coordinates in which the loss is round where no weight is learnt yet, by its curvature over some of the
    rows: a few passes over all of them do, however much the columns hang together.
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    count, width = apart.shape
    some = apart[:: max(count // MOST_ROWS, 1)]
    flat = some.T @ some * (count / max(4 * len(some), 1))
    w, found = np.zeros(width), []
    for penalty in penalties:
        root = cholesky(flat + penalty * np.eye(width))

        def loss(place: np.ndarray, root: np.ndarray = root, penalty: float = penalty) -> tuple[float, np.ndarray]:
            w = solve_triangular(root, place)
            margins = apart @ w
            slope = penalty * w - apart.T @ _rest(margins)
            return np.logaddexp(0, -margins).sum() + penalty / 2 * (w @ w), solve_triangular(root, slope, trans=1)

        best = minimize(loss, root @ w, jac=True, method="L-BFGS-B", options={"gtol": tolerance, "ftol": 0.0})
        w = solve_triangular(root, best.x)
        found.append(w)
    return found


def _rest(margins: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    from scipy.special import expit

    return expit(-margins)
