from __future__ import annotations

import pytest
import torch

from unweave.edit.edits import FactorEdit, applied
from unweave.models.prefix import cache_prefix, from_prefix, prefix_logits


def blocks_run(target):
    """Counts, per block, how often its MLP runs."""
    counts = [0] * target.depth
    for index, block in enumerate(target.module.get_submodule(target.blocks)):

        def count(*_, index=index):
            counts[index] += 1

        block.mlp.register_forward_hook(count)
    return counts


@pytest.mark.parametrize("layer", [None, 0, 1, 2, 3])
def test_logits_from_a_prefix_are_the_whole_forward(target, tokens, layer):
    with torch.no_grad():
        whole = target.logits(tokens)
        prefix = cache_prefix(target, tokens, layer, batch=2)
        torch.testing.assert_close(prefix_logits(target, prefix), whole)
        torch.testing.assert_close(prefix_logits(target, prefix, [3, 9]), whole[:, [3, 9]])
        torch.testing.assert_close(prefix_logits(target, prefix, slice(0, -1)), whole[:, :-1])


def test_what_was_cached_is_run_once(target, tokens):
    counts = blocks_run(target)
    prefix = cache_prefix(target, tokens, 2)
    assert counts == [1, 1, 0, 0]
    for _ in range(3):
        prefix_logits(target, prefix)
    assert counts == [1, 1, 3, 3]


def test_without_a_layer_nothing_is_cached(target, tokens):
    counts = blocks_run(target)
    prefix = cache_prefix(target, tokens, None)
    assert counts == [0, 0, 0, 0]
    assert prefix.hidden is None
    with from_prefix(target, prefix):
        target.logits(tokens)
    assert counts == [1, 1, 1, 1]


def test_an_edit_after_the_prefix_acts_as_it_does_in_a_whole_forward(target, tokens, decomposed):
    site = next(site.name for site in target.sites() if site.layer == 2)
    edit = FactorEdit.of(decomposed(target, site), {(site, 0): -3.0})
    with torch.no_grad():
        plain = target.logits(tokens)
        prefix = cache_prefix(target, tokens, 2)
        with applied(target, edit):
            whole = target.logits(tokens)
            torch.testing.assert_close(prefix_logits(target, prefix), whole)
        assert (whole - plain).abs().max() > 0.01
        torch.testing.assert_close(prefix_logits(target, prefix), plain)


@pytest.mark.parametrize("rows", [slice(1, 3), [2, 0], range(1, 3), torch.tensor([1])])
def test_some_rows_of_a_prefix_are_those_windows(llama, tokens, rows):
    prefix = cache_prefix(llama, tokens, 2)
    picked = rows if isinstance(rows, slice | torch.Tensor) else list(rows)
    part = prefix.rows(rows)
    assert torch.equal(part.tokens, tokens[picked])
    with torch.no_grad():
        torch.testing.assert_close(prefix_logits(llama, part), llama.logits(tokens)[picked])


def test_batches_cover_every_window_once_and_in_order(llama, tokens):
    prefix = cache_prefix(llama, tokens, 1)
    parts = list(prefix.batches(2))
    assert [len(part) for part in parts] == [2, 1]
    assert torch.equal(torch.cat([part.tokens for part in parts]), tokens)
    assert torch.equal(torch.cat([part.hidden for part in parts]), prefix.hidden)


def test_progress_counts_windows(llama, tokens):
    seen = []

    class Kept:
        def update(self, done, total, note=""):
            seen.append((done, total))

    cache_prefix(llama, tokens, 1, batch=2, progress=Kept())
    assert seen == [(2, 3), (3, 3)]
