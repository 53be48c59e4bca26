"""Leaving tokens out of the loss: those that carry the behaviour by a probe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from unweave.base.errors import UnweaveError
from unweave.preferences.shaping.registry import shaping
from unweave.preferences.shaping.setting import Setting, Shaped, count_of
from unweave.preferences.shaping.states import reply_states
from unweave.preferences.shaping.token_probe import TokenProbe
from unweave.preferences.truth.dpo import DPORow
from unweave.preferences.truth.log_probs import reply_log_probs

SIDES = ("chosen", "rejected")


@shaping(
    "token-mask",
    "Tokens of both replies that carry the behaviour by a probe do not count in the loss.",
    dose="share of the flagged tokens that do not count, the surest first",
)
def token_mask(setting: Setting, dose: float) -> Shaped:
    """A row is left out where no token of a reply would count. Rows keep what else shifts their references."""
    if setting.probe is None:
        raise UnweaveError("token-mask needs a probe: fit one with fit_token_probe, and give it to the setting")
    masks, flagged = _masks(setting, setting.probe, dose)
    masked = int(sum(mask.sum() for mask in masks))
    changed = [number for number, mask in enumerate(masks) if mask.any()]
    count = len(setting.rows)
    prompts = [setting.rows[number % count].prompt for number in changed]
    replies = [getattr(setting.rows[number % count], SIDES[number // count]) for number in changed]
    chances = dict(zip(changed, reply_log_probs(setting.target, prompts, replies), strict=True))
    rows, removed, reasons = [], [], []
    for number, row in enumerate(setting.rows):
        for place, side in ((number, "chosen"), (count + number, "rejected")):
            if place in chances:
                row = _masked(row, side, masks[place], chances[place])
        empty = [side for side in SIDES if getattr(row, f"{side}_used") and not any(getattr(row, f"{side}_used"))]
        if empty:
            removed.append(number)
            reasons.append(f"every token of the {empty[0]} reply carries {setting.behaviour}")
        else:
            rows.append(row)
    probe = setting.probe
    note = f"{masked} of {flagged} tokens flagged for {probe.behaviour} at layer {probe.layer} do not count"
    return Shaped(rows, removed=tuple(removed), reasons=tuple(reasons), note=note)


def _masks(setting: Setting, probe: TokenProbe, dose: float) -> tuple[list[Bool[np.ndarray, " t"]], int]:
    """Which tokens of each reply are masked, all chosen ones before all rejected ones, and how many were flagged."""
    replies = [row.chosen for row in setting.rows] + [row.rejected for row in setting.rows]
    prompts = [row.prompt for row in setting.rows] * 2
    surety = [np.full(len(reply), -np.inf) for reply in replies]
    for index, states in reply_states(setting.target, probe.layer, prompts, replies):
        surety[index] = probe.read(states)
    flat = np.concatenate(surety)
    flagged = int((flat >= 0).sum())
    masked = np.zeros(len(flat), bool)
    masked[np.argsort(-flat, kind="stable")[: count_of(dose, flagged)]] = True
    return np.split(masked, np.cumsum([len(reply) for reply in replies])[:-1]), flagged


def _masked(row: DPORow, side: str, mask: np.ndarray, chances: np.ndarray) -> DPORow:
    used = getattr(row, f"{side}_used")
    before = np.ones(len(mask), bool) if used is None else np.array(used)
    lost = float(chances[mask & before].sum())
    changes = {
        f"{side}_used": tuple(bool(each) for each in before & ~mask),
        f"reference_{side}": getattr(row, f"reference_{side}") - lost,
    }
    return replace(row, **changes)
