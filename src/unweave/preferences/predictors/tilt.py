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
from unweave.preferences.predictors.reference import no_prompt_twice, own_variation
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
    """Bradley-Terry weights ``w`` of differences that were each divided by its root mean square, ``scale``.

    At the optimum ``w = sum_i rest_i d_i / penalty`` with ``rest_i = sigma(-w . d_i)``, which is what of a pair is not
    explained yet: that is why the change falls apart into shares.
    """

    w: Float64[np.ndarray, " m"]
    scale: Float64[np.ndarray, " m"]
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
    scaled, scale = _scaled(evidence)
    return (scaled @ _through(evidence, resampling.replies, scale).T).astype(np.float32)


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
    scaled, scale = _scaled(evidence)
    found = fit_weights(scaled, scale, resampling.pairs)
    through = _through(evidence, resampling.replies, scale)
    pulls = scaled * found.rest[:, None]
    shares = ((len(evidence) / found.penalty) * (pulls @ through.T)).astype(np.float32)
    steps = np.linalg.solve(found.curvature, ((resampling.pair_weights - 1) @ resampling.pairs.sums(pulls)).T)
    own = own_variation(evidence, resampling.replies).astype(np.float64)
    along = own @ ((found.w[:, None] + steps) * (evidence.spread / scale)[:, None])
    along *= resampling.reply_weights.T[resampling.replies.index]
    freedom = resampling.reply_weights @ (resampling.replies.sizes - 1)
    return Shares(shares, (own.T @ along / np.maximum(freedom, 1)).T)


def fit_weights(
    scaled: Float64[np.ndarray, "n m"], scale: Float64[np.ndarray, " m"], prompts: Prompts, seed: int = 0
) -> PreferenceWeights:
    """The weights of pairs whose differences ``scaled`` have been divided by ``scale``."""
    penalty = _chosen_penalty(scaled, prompts, seed)
    w = _fitted(scaled, [penalty], 1e-4)[0]
    rest = _rest(scaled @ w)
    weighted = scaled * np.sqrt(rest * (1 - rest))[:, None]
    curvature = weighted.T @ weighted + penalty * np.eye(len(scale))
    # The shares take ``w`` for what the pairs add up to, which is so at the optimum alone.
    for _ in range(NEWTON_STEPS):
        w += np.linalg.solve(curvature, scaled.T @ rest - penalty * w)
        rest = _rest(scaled @ w)
    return PreferenceWeights(w, scale, penalty, rest, curvature)


def _scaled(evidence: Evidence) -> tuple[Float64[np.ndarray, "n m"], Float64[np.ndarray, " m"]]:
    found = (evidence.chosen.values - evidence.rejected.values).astype(np.float64)
    scale = np.sqrt((found**2).mean(0))
    scale[scale < 1e-9] = 1.0
    found /= scale
    return found, scale


def _through(evidence: Evidence, replies: Prompts, scale: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, "m m"]:
    """From weights of scaled differences to changes in units of spread: the covariance within prompts."""
    own = own_variation(evidence, replies).astype(np.float64)
    return (own.T @ own) / (len(own) - len(replies)) * (evidence.spread / scale)


def _chosen_penalty(scaled: Float64[np.ndarray, "n m"], prompts: Prompts, seed: int) -> float:
    order = numpy_generator(seed, "tilt", "folds").permutation(len(prompts))
    # The order decides both which prompts take part and which fold they are in.
    place = np.empty(len(prompts), np.int64)
    place[order] = np.arange(len(prompts))
    allowed = int((np.cumsum(prompts.sizes[order]) <= MOST_ROWS).sum())
    taken = place[prompts.index] < max(allowed, 2)
    rows, fold = scaled[taken], place[prompts.index][taken] % FOLDS
    lost = np.zeros(len(PENALTIES))
    for each in np.unique(fold):
        for index, w in enumerate(_fitted(rows[fold != each], PENALTIES, 1e-3)):
            lost[index] += np.logaddexp(0, -(rows[fold == each] @ w)).sum()
    return float(PENALTIES[np.argmin(lost)])


def _fitted(
    scaled: Float64[np.ndarray, "n m"], penalties: np.ndarray | list[float], tolerance: float
) -> list[Float64[np.ndarray, " m"]]:
    """The weights for each penalty in turn, each fit begun at the one before; ``tolerance`` is of the slope.

    Minimised in coordinates in which the loss is round where no weight is learnt yet, by its curvature over some of the
    rows: a few passes over all of them do, however much the columns hang together.
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import minimize

    count, width = scaled.shape
    some = scaled[:: max(count // MOST_ROWS, 1)]
    flat = some.T @ some * (count / max(4 * len(some), 1))
    w, found = np.zeros(width), []
    for penalty in penalties:
        root = cholesky(flat + penalty * np.eye(width))

        def loss(place: np.ndarray, root: np.ndarray = root, penalty: float = penalty) -> tuple[float, np.ndarray]:
            w = solve_triangular(root, place)
            margins = scaled @ w
            slope = penalty * w - scaled.T @ _rest(margins)
            return np.logaddexp(0, -margins).sum() + penalty / 2 * (w @ w), solve_triangular(root, slope, trans=1)

        best = minimize(loss, root @ w, jac=True, method="L-BFGS-B", options={"gtol": tolerance, "ftol": 0.0})
        w = solve_triangular(root, best.x)
        found.append(w)
    return found


def _rest(margins: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    from scipy.special import expit

    return expit(-margins)
