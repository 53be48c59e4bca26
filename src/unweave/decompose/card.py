"""A decomposition's card: what it is of, how it was made, what was measured, and what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unweave.base.files import atomic_path, write_json
from unweave.decompose.decomposition import Decomposition
from unweave.decompose.ladder import Ladder
from unweave.decompose.ladder_tables import (
    attacks_table,
    compared_table,
    controls_table,
    matches_table,
    rungs_table,
    sites_table,
)
from unweave.decompose.stability import Compared

if TYPE_CHECKING:
    from unweave.models.target import Target

FORMAT = 1
UNRECOVERED = 0.10
UNMASKED = 0.01
HIDDEN = 0.5
STABLE = 0.5
FEW_TOKENS = 10_000
NOISE = 2
"""Shuffled weights with so many times the share of zero masks' KL, or the L0, are not taken apart as well."""


def write_card(
    made: Decomposition,
    ladder: Ladder,
    folder: Path,
    *,
    target: Target | None = None,
    name: str = "this decomposition",
    compared: Mapping[str, Compared] | None = None,
) -> Path:
    """Writes ``card.json`` and ``card.md`` into the folder, each whole or not at all, and returns the latter's path.

    The folder may be the decomposition's own: loading it does not look at them. Raises ``UnweaveError`` for a folder
    that cannot be written to.
    """
    import unweave

    compared = compared or {}
    facts = {
        "format": FORMAT,
        "unweave": unweave.__version__,
        "target": {"name": made.target_name, "identity": made.target, **_target_facts(target)},
        "decomposition": made.digest(),
        "importance": made.importance_kind,
        "method": made.card.get("method"),
        "training": dict(made.card),
        "tokens": tokens_spent(made, ladder),
        "ladder": ladder.as_dict(),
        "stability": {
            other: {
                **(each.stability.as_dict() if each.stability else {}),
                "alive": each.ladder.alive,
                "l0": each.ladder.l0,
                "unrecovered": each.ladder.rung("importance").unrecovered,
                "importance_of_zero": each.ladder.importance_of_zero,
            }
            for other, each in compared.items()
        },
        "limits": limits(ladder, compared),
    }
    folder = Path(folder)
    write_json(folder / "card.json", facts)
    with atomic_path(folder / "card.md") as temporary:
        temporary.write_text(_markdown(made, ladder, facts, name, compared), encoding="utf-8")
    return folder / "card.md"


def tokens_spent(made: Decomposition, ladder: Ladder) -> dict[str, int]:
    """Tokens of text and tokens seen in training, as far as the decomposition says, and those of this measurement.

    A whole-model training on windows of unknown length is counted in windows.
    """
    card, spent = made.card, {}
    config = card.get("config") or {}
    if "tokens" in card:
        spent["decomposition text"] = int(card["tokens"])
    if "tokens_seen" in card:  # of all trainings, one after the other
        spent["seen in training"] = int(card["tokens_seen"])
    elif {"steps", "batch"} <= set(config):
        seen = int(config["steps"]) * int(config["batch"])
        if card.get("method") == "whole-model":
            known = "tokens" in card
            spent["seen in training" if known else "windows seen in training"] = (
                seen * int(config["window_length"]) if known else seen
            )
        else:
            spent["seen in training, each site"] = seen
    return spent | {"evaluation": ladder.tokens}


def limits(ladder: Ladder, compared: Mapping[str, Compared] | None = None) -> list[str]:
    """What this decomposition does not hold to, in sentences with numbers.

    The aims are those of published practice: pieces that sum to the target (KL unmasked below 1 % of that of zero
    masks), an L0 far below the alive count, and an adversary whose reach is said at several strengths (VPD, appendix
    on metrics; the 10 % under importance masks is this project's own).
    """
    found = [f"It does not beat its controls: {failure}." for failure in ladder.failures]
    zero, unmasked, masked = ladder.rung("zero").kl, ladder.rung("unmasked").kl, ladder.rung("importance")
    if unmasked >= UNMASKED * zero:
        found.append(
            f"The pieces do not add up to the target: KL without masks and without the delta is {unmasked:.3f} nats, "
            f"{unmasked / zero:.1%} of zero masks' (aim: below {UNMASKED:.0%})."
            if zero > 0
            else f"Zero masks change nothing (KL {zero:.3f}): these sites do not matter on this text."
        )
    if masked.unrecovered is None:
        # With a base, zero masks leave that, and fine-tuning may have made this text harder.
        zeroed = ladder.rung("zero").cross_entropy < ladder.unigram_cross_entropy
        found.append(
            f"On this text the target is no better than {'zero masks' if zeroed else 'the unigram model'}, so no share "
            "unrecovered can be given."
        )
    elif masked.unrecovered > UNRECOVERED:
        found.append(
            f"Under importance masks {masked.unrecovered:.1%} of the cross-entropy is not recovered (aim: at most "
            f"{UNRECOVERED:.0%})."
        )
    if ladder.attacks:
        first, last = min(ladder.attacks), max(ladder.attacks)
        start, end = ladder.attacks[first], ladder.attacks[last]
        if end > 2 * start:
            found.append(
                f"A longer adversary finds much worse masks: KL {start:.2f} nats after {first} steps, {end:.2f} after "
                f"{last}, where zero masks give {zero:.2f}. What is not important is not safe to change at will."
            )
    broken = [site for site in ladder.sites if site.hidden_error > HIDDEN]
    if broken:
        worst = max(broken, key=lambda site: site.hidden_error)
        found.append(
            f"Importance masks keep predictions better than activations: at {len(broken)} of {len(ladder.sites)} sites "
            f"the masked output misses more than half of its squared size (most at {worst.site}, "
            f"{worst.hidden_error:.2f})."
        )
    idle = [site.site for site in ladder.sites if not site.alive_mean]
    if idle:
        found.append(f"No subcomponent is alive on this text at {', '.join(idle)}.")
    if ladder.alive and ladder.l0 > ladder.alive / 4:
        found.append(f"It is not sparse: {ladder.l0:.0f} of {ladder.alive} alive subcomponents are used a token.")
    if ladder.tokens < FEW_TOKENS:
        found.append(f"Measured on {ladder.tokens:,} tokens: subcomponents of rare text may not have come up.")
    if not ladder.controls:
        found.append("No controls were measured.")
    compared = compared or {}
    for other, each in compared.items():
        found += _shuffled_limits(ladder, each) if each.stability is None else _pieces_limits(other, each)
    if not any(each.stability for each in compared.values()):
        found.append("Whether another seed or capacity finds the same pieces was not measured.")
    if all(each.stability for each in compared.values()):
        found.append(
            "Shuffled weights were not taken apart, so it is not known whether these numbers are more than what noise "
            "would give (on the byte-level model of docs/results/stability.md noise does as well)."
        )
    return found


def _pieces_limits(other: str, each: Compared) -> list[str]:
    """What another decomposition of the same target says of how far the pieces can be relied on."""
    found, stability = [], each.stability
    if stability is not None and stability.matched is not None and stability.matched < STABLE:
        found.append(
            f"{other} has other pieces: matched cosine {stability.matched:.3f}, where random directions give "
            f"{stability.chance:.3f}."
        )
    if each.same_seed:
        found.append(f"{other} began from the same seed: what the two share is in part where they started.")
    return found


def _shuffled_limits(ladder: Ladder, each: Compared) -> list[str]:
    """Whether the shuffled target is taken apart about as well, with about as few pieces."""
    noise, found = each.ladder, []
    if not each.same_settings:
        found.append("Shuffled weights were taken apart with other settings, so their numbers are no control of these.")
    ours, theirs = ladder.importance_of_zero, noise.importance_of_zero
    if ours is None or theirs is None or theirs >= NOISE * ours or noise.l0 >= NOISE * ladder.l0:
        return found
    return [
        *found,
        f"Shuffled weights are taken apart about as well: under importance masks KL is {theirs:.1%} of zero masks' at "
        f"L0 {noise.l0:.1f}, and here {ours:.1%} at L0 {ladder.l0:.1f}. These numbers are no evidence of mechanisms.",
    ]


def _target_facts(target: Target | None) -> dict[str, Any]:
    if target is None:
        return {}
    parameters = sum(parameter.numel() for parameter in target.module.parameters())
    return {
        "parameters": parameters,
        "layers": target.depth,
        "architecture": type(target.module).__name__,
        **{key: value for key, value in asdict(target.identity).items() if key != "config"},
    }


def _markdown(
    made: Decomposition, ladder: Ladder, facts: Mapping[str, Any], name: str, compared: Mapping[str, Compared]
) -> str:
    target, count = facts["target"], sum(map(len, made.sites.values()))
    size = f", {target['architecture']}, {target['parameters']:,} parameters" if "parameters" in target else ""
    masked, controls = ladder.rung("importance"), controls_table(ladder)
    if not ladder.controls:
        verdict = "no controls were measured"
    else:
        verdict = "better than its controls" if ladder.passed else "**not** better than its controls"
    parts = [
        f"# Decomposition of {made.target_name or made.target}\n",
        f"{count:,} subcomponents of {len(made.sites)} sites of {made.target_name or 'a target'} (identity "
        f"`{made.target}`{size}), measured by unweave {facts['unweave']}. Hash of the tensors "
        f"`{facts['decomposition']}`, importance function {made.importance_kind}.\n",
        f"In short: L0 {ladder.l0:.1f} of {ladder.alive:,} alive subcomponents a token; under importance masks KL is "
        f"{masked.kl:.3f} nats and {_share(masked.unrecovered)} of the cross-entropy is unrecovered; {verdict}.\n",
        "## Limits\n",
        "".join(f"- {limit}\n" for limit in facts["limits"]) or "None of those looked for.\n",
        "## How it was made\n",
        _settings(made.card),
        "## Tokens\n",
        "".join(f"- {purpose}: {tokens:,}\n" for purpose, tokens in facts["tokens"].items()),
        "## Text of this measurement\n",
        _listed(ladder.text) or "Not stated.\n",
        "## Ladder\n",
        rungs_table(ladder).to_markdown(),
    ]
    if ladder.controls:
        parts += ["## Controls\n", controls.to_markdown()]
    if ladder.attacks:
        parts += ["## Adversary\n", attacks_table(ladder).to_markdown()]
    parts += ["## Sites\n", sites_table(ladder).to_markdown()]
    if compared:
        parts += ["## Stability\n", compared_table(name, ladder, compared).to_markdown()]
    if any(each.stability for each in compared.values()):
        parts.append(matches_table(compared).to_markdown())
    return "\n".join(parts)


def _settings(card: Mapping[str, Any]) -> str:
    """The training's own card as a list; what it measured site by site stays in ``card.json``."""
    if not card:
        return "Not stated.\n"
    shown = {key: value for key, value in card.items() if key not in ("config", "sites", "together")}
    config = card.get("config") or {}
    return _listed(shown) + ("- settings: " + ", ".join(f"{k} `{_plain(v)}`" for k, v in config.items()) + "\n")


def _listed(facts: Mapping[str, Any]) -> str:
    return "".join(f"- {key}: {_plain(value)}\n" for key, value in facts.items())


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _share(unrecovered: float | None) -> str:
    return "an unknown share" if unrecovered is None else f"{unrecovered:.1%}"
