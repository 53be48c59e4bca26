"""Explaining a behaviour away in the reward: the pair's score is added to its margin, and need not be learnt."""

from __future__ import annotations

from dataclasses import replace

from unweave.preferences.shaping.registry import shaping
from unweave.preferences.shaping.setting import Setting, Shaped


@shaping(
    "reward-shaping",
    "Adds the replies' scores to the reward, so that only what they do not explain is learnt.",
    dose="lambda: what one standard deviation of the score is worth, in units of the reward",
)
def reward_shaping(setting: Setting, dose: float) -> Shaped:
    """``-ln sigmoid(beta D + lambda (s+ - s-))`` by references ``ln p0(y) - lambda s(y) / beta``.

    Source: Bergen et al., "Anatomy of Post-Training", 2026; its own sign differs between its experiments.
    """
    nats = setting.towards * dose / setting.beta
    rows = [
        replace(
            row,
            reference_chosen=row.reference_chosen - nats * float(chosen),
            reference_rejected=row.reference_rejected - nats * float(rejected),
        )
        for row, chosen, rejected in zip(setting.rows, setting.scores.chosen, setting.scores.rejected, strict=True)
    ]
    sign = "+" if setting.towards > 0 else "-"
    return Shaped(rows, note=f"{sign} the score of {setting.scores.of}, beta {setting.beta:g}")
