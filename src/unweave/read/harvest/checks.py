"""Whether a harvest holds what it says, read again from the model by another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unweave.base.errors import UnweaveError
from unweave.models.capture import capture_inputs
from unweave.models.target import Target
from unweave.read.features import FIRES, Dictionary, Place, SubcomponentDictionary
from unweave.read.harvest.tally import IMPORTANCE_BINS
from unweave.read.harvest.value import Example, Harvest

SAMPLE = 24
"""Examples that are recomputed from their windows."""
IMPORTANCE_TOLERANCE = 5e-3
COARSER = 10
"""How much further apart values of a target in half precision may be, whose own steps are up to 8e-3."""
FLIPS = 0.02
"""Of latents that are on or off, the share of tokens on which another batch's rounding may turn one over."""
ACTIVATION_TOLERANCE = 5e-3
"""Relative to the largest activation of the example, since another batch rounds otherwise."""


def check_harvest(harvest: Harvest, target: Target, dictionary: Dictionary) -> dict[str, float]:
    """Totals that must agree, and a sample of examples recomputed from the pool's windows.

    Raises ``UnweaveError`` that names the first thing which is not as it should be. Gives the largest differences.
    """
    _check_totals(harvest)
    return _check_sample(harvest, target, dictionary)


def _check_totals(harvest: Harvest) -> None:
    above = harvest.importance_histogram[:, round(FIRES * IMPORTANCE_BINS) :].sum(1)
    totals = {
        "by label": harvest.firing_by_label.sum(1),
        "by position": harvest.firing_by_position.sum(1),
        "by importance": above,
        "by activation": harvest.activation_histogram.sum(1),
    }
    for name, counted in totals.items():
        wrong = np.flatnonzero(counted != harvest.firing)
        if len(wrong):
            raise UnweaveError(
                f"{harvest.name(int(wrong[0]))} fires {harvest.firing[wrong[0]]} times and {counted[wrong[0]]} {name}: "
                "the harvest is wrong; report this"
            )
    for name in ("tokens_in", "tokens_out"):
        table, _ = harvest._token_tables(name)
        draws = 1 if name == "tokens_in" else int(harvest.facts.settings["draws"])
        counted = np.bincount(table["row"], weights=table["count"], minlength=len(harvest))
        wrong = np.flatnonzero(counted != draws * harvest.firing_shown)
        if len(wrong):
            raise UnweaveError(f"{harvest.name(int(wrong[0]))}: {name} does not add up to its firings; report this")
    for name in ("label", "position"):
        shown = getattr(harvest, f"shown_by_{name}")
        if (shown > getattr(harvest, f"firing_by_{name}")).any() or (shown.sum(1) != harvest.firing_shown).any():
            raise UnweaveError(f"firings by {name} in shown windows do not add up; report this")
    if int(harvest.tokens_by_label.sum()) != harvest.facts.tokens:
        raise UnweaveError(f"{harvest.tokens_by_label.sum()} of {harvest.facts.tokens} tokens were read; report this")


def _check_sample(harvest: Harvest, target: Target, dictionary: Dictionary) -> dict[str, float]:
    """Examples that lie in windows of the pool, because of these all tokens are kept."""
    pool = harvest.pool
    place = {int(window): at for at, window in enumerate(pool.window)}
    fired = np.flatnonzero(harvest.firing)
    step = max(1, len(fired) // (4 * SAMPLE))
    found = [one for row in fired[::step] for held in (False, True) for one in harvest.examples(int(row), held)]
    chosen = [one for one in found if one.window in place]
    chosen = chosen[:: max(1, len(chosen) // SAMPLE)][:SAMPLE]
    worst = {"importance": 0.0, "activation": 0.0}
    flips = looked_at = 0
    for one in chosen:
        tokens = pool.tokens[place[one.window]]
        where = slice(one.position - one.offset, one.position - one.offset + len(one.tokens))
        name = harvest.name(one.row)
        if not np.array_equal(tokens[where], one.tokens):
            raise UnweaveError(f"an example of {name} has other tokens than its window; report this")
        importance, activation = _recomputed(harvest, target, dictionary, one, tokens)
        scale = max(float(np.abs(activation).max()), 1e-6)
        apart = {
            "importance": float(np.abs(importance[where] - one.importance).max()),
            "activation": float(np.abs(activation[where] - one.activation).max()) / scale,
        }
        if not isinstance(dictionary, SubcomponentDictionary):
            turned = (importance[where] > FIRES) != (one.importance > FIRES)
            flips, looked_at = flips + int(turned.sum()), looked_at + len(turned)
            same = ~turned
            apart["importance"] = 0.0
            apart["activation"] = float(np.abs(activation[where] - one.activation)[same].max(initial=0.0)) / scale
        coarser = 1 if harvest.facts.dtype in ("float32", "float64") else COARSER
        for what, limit in (("importance", IMPORTANCE_TOLERANCE), ("activation", ACTIVATION_TOLERANCE)):
            if not apart[what] <= limit * coarser:
                raise UnweaveError(
                    f"an example of {name} has an {what} that is {apart[what]:.3g} from what the model gives now: the "
                    "harvest holds another tensor; report this"
                )
            worst[what] = max(worst[what], apart[what])
    if flips > FLIPS * looked_at + 1:
        raise UnweaveError(
            f"{flips} of {looked_at} latents in the examples are on where the model has them off now, or off: the "
            "harvest holds another tensor; report this"
        )
    return worst | {"examples": float(len(chosen))}


def _recomputed(
    harvest: Harvest, target: Target, dictionary: Dictionary, example: Example, tokens: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Importance and activation [t] of one feature on one window, by another way than the harvest's own."""
    window = torch.as_tensor(tokens[None], dtype=torch.long)
    group, index = harvest.groups[harvest.site_of[example.row]][0], int(harvest.index_of[example.row])
    with torch.no_grad():
        if isinstance(dictionary, SubcomponentDictionary):
            made = dictionary.decomposition
            sites = target.sites(list(made.sites))
            inputs = {name: x.float() for name, x in capture_inputs(target, sites, window).items()}
            importance = made.importances(inputs)[group][0, :, index]
            piece = made.subcomponent(group, index)
            activation = (inputs[group][0] @ piece.v) * piece.u.norm()
        else:
            features: Any = dictionary.groups[group]
            x = _value(target, features.reads, window)
            # A coder or probe by itself, past whatever read many of them at once.
            alone = getattr(features, "read", None)
            reading = alone(x) if alone else dictionary.encode({group: x})[group]
            importance, activation = reading.importance[0, :, index], reading.activation[0, :, index]
    return importance.float().cpu().numpy(), activation.float().cpu().numpy()


def _value(target: Target, place: Place, tokens: torch.Tensor) -> torch.Tensor:
    """What stands at a place, [1, t, d], by a hook of its own."""
    kept: list[torch.Tensor] = []

    def keep(_: object, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = output if place.side == "output" else (args[0] if args else kwargs["hidden_states"])
        kept.append(given[0] if isinstance(given, tuple) else given)

    handle = target.module.get_submodule(place.module).register_forward_hook(keep, with_kwargs=True)
    try:
        target.logits(tokens)
    finally:
        handle.remove()
    found = kept[0].reshape(*tokens.shape, -1)
    return found if place.site is None or place.side == "input" else place.site.part(found)
