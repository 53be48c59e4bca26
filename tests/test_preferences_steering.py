"""Steering reaches rejected replies of the rows that it names, from the prompt's last token on, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from shaping_world import BETA, setting

from unweave.base.errors import UnweaveError
from unweave.models.target import weights_hash
from unweave.preferences.shaping import shape
from unweave.preferences.shaping.steering import rejected_steered
from unweave.preferences.truth.dpo import DPOSettings, train_dpo
from unweave.preferences.truth.log_probs import reply_log_probs

LAYER = 2


def batch(rows, pad):
    """As TRL's collator lays it out."""
    whole = [[*row.prompt, *row.chosen] for row in rows] + [[*row.prompt, *row.rejected] for row in rows]
    width = max(map(len, whole)) + 1
    return torch.tensor([each + [pad] * (width - len(each)) for each in whole])


@torch.no_grad()
def streams(target, tokens):
    """What enters every block, by a hook of the test's own, and the logits."""
    kept = []
    blocks = target.module.get_submodule(target.blocks)

    def keep(_, args, kwargs):
        kept.append(args[0] if args else kwargs["hidden_states"])

    handles = [block.register_forward_pre_hook(keep, with_kwargs=True) for block in blocks]
    logits = target.logits(tokens)
    for handle in handles:
        handle.remove()
    return kept, logits


def hooks(target):
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in target.module.modules())


def test_only_the_rejected_replies_of_named_rows_move(target):
    given = setting(target)
    rows = list(given.rows)
    tokens = batch([rows[n] for n in (3, 1, 0, 4)], target.tokenizer.pad_token_id)
    plain, plain_logits = streams(target, tokens)
    shift = torch.full((32,), 0.5)
    found = hooks(target)
    with rejected_steered(target, LAYER, rows[:2], shift):
        moved, moved_logits = streams(target, tokens)
    for layer in range(LAYER):
        assert torch.equal(moved[layer], plain[layer])
    wanted = plain[LAYER].clone()
    for place, row in ((5, rows[1]), (6, rows[0])):
        wanted[place, len(row.prompt) - 1 :] += shift
        assert not torch.allclose(moved_logits[place], plain_logits[place])
    assert torch.equal(moved[LAYER], wanted)
    others = [0, 1, 2, 3, 4, 7]
    assert torch.equal(moved_logits[others], plain_logits[others])
    assert hooks(target) == found
    assert torch.equal(target.logits(tokens), plain_logits)


def test_other_forwards_are_left_alone(llama):
    given = setting(llama)
    rows = list(given.rows)
    tokens = batch(rows[:3], llama.tokenizer.pad_token_id)
    turned = torch.cat([tokens[3:], tokens[:3]])
    with rejected_steered(llama, LAYER, rows[:1], torch.ones(32)):
        llama.logits(tokens)
        for other in (tokens[:5], turned, tokens[:, :-4], tokens[[0, 1, 2, 4, 5, 3]]):
            assert torch.equal(streams(llama, other)[0][LAYER], llama.hidden_before(LAYER, other))


def test_a_row_that_never_came_is_told(llama):
    given = setting(llama)
    rows = list(given.rows)
    with (
        pytest.raises(UnweaveError, match="1 of 2 rows to steer never came"),
        rejected_steered(llama, LAYER, rows[:2], torch.ones(32)),
    ):
        llama.logits(batch(rows[1:4], llama.tokenizer.pad_token_id))
    with pytest.raises(KeyError), rejected_steered(llama, LAYER, rows[:2], torch.ones(32)):
        raise KeyError
    assert not hooks(llama)
    with pytest.raises(UnweaveError, match="layer 9 is not in"), rejected_steered(llama, 9, rows, torch.ones(32)):
        pass


@pytest.mark.parametrize("towards", [1, -1])
def test_trl_trains_the_policy_steered_and_the_target_stays(llama, towards):
    """The first loss against one made by hand: hooks on the whole replies of the named rows, one at a time."""
    given = setting(llama, towards=towards)
    before = weights_hash(llama.module)
    shaped = shape("steering", given, 0.25)
    assert tuple(shaped.rows) == given.rows
    settings = DPOSettings(BETA, 1e-9, epochs=1, batch=6, at_once=2, rank=1)
    loss = train_dpo(llama, shaped.rows, settings, policy=shaped.policy).curve[0]["loss"]
    assert weights_hash(llama.module) == before
    assert not hooks(llama)

    shift = towards * 0.25 * 4.0 * torch.from_numpy(given.direction.vector)
    block = llama.module.model.layers[LAYER]
    named = np.argsort(-given.gap, kind="stable")[:2]
    margins = np.zeros(6)
    for number in named:
        row = given.rows[number]

        def add(_, args, row=row):
            hidden = args[0].clone()
            hidden[:, len(row.prompt) - 1 :] += shift
            return (hidden, *args[1:])

        handle = block.register_forward_pre_hook(add)
        margins[number] = row.reference_rejected - reply_log_probs(llama, [row.prompt], [row.rejected])[0].sum()
        handle.remove()
    assert np.abs(margins[named]).min() > 0.01
    assert loss == pytest.approx(np.log1p(np.exp(-BETA * margins)).mean(), abs=1e-4)


def test_a_fraction_of_the_rows_is_steered(llama):
    given = setting(llama)
    for fraction, count in ((0.17, 1), (0.5, 3), (1.0, 4)):
        shaped = shape("steering", replace(given, fraction=fraction), 0.1)
        assert f"of {count} rows" in shaped.note
