from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_ladder import SITES

from unweave.decompose.config import WholeModelConfig
from unweave.decompose.shuffled import find_shuffled, shuffled_control, shuffled_target
from unweave.models.target import weights_hash


def test_shuffling_keeps_the_entries_of_each_matrix_and_nothing_of_their_places(target):
    before = weights_hash(target.module)
    kept, other = SITES[target.module.config.model_type]
    found = shuffled_target(target, [kept])
    old, new = target.weight(target.site(kept)), found.weight(found.site(kept))
    assert new.shape == old.shape
    torch.testing.assert_close(new.flatten().sort().values, old.flatten().sort().values)
    assert float((new == old).float().mean()) < 0.05
    assert torch.equal(found.weight(found.site(other)), target.weight(target.site(other)))
    assert weights_hash(target.module) == before
    assert found.identity.digest != target.identity.digest
    assert found.name == f"{target.name}, shuffled"


def test_the_shuffle_is_the_seeds(llama):
    hashes = [shuffled_target(llama, seed=seed).identity.digest for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_decomposition_of_shuffled_weights_is_known_by_its_target(target, decomposed):
    own, other = SITES[target.module.config.model_type]
    made = decomposed(target, own)
    for sites in ("*", [own]):
        twin = shuffled_target(target, sites)
        found = find_shuffled(target, replace(made, target=twin.identity.digest))
        assert found is not None
        assert found.identity == twin.identity
    for stranger in (target, shuffled_target(target, seed=1), shuffled_target(target, [other])):
        assert find_shuffled(target, replace(made, target=stranger.identity.digest)) is None


def test_the_shuffled_target_is_taken_apart_with_the_same_settings_and_measured(llama, tokens):
    config = WholeModelConfig(
        sites=",".join(SITES["llama"]), steps=3, batch=2, hidden=4, subcomponents=4, faithfulness_steps=0
    )
    made, ladder = shuffled_control(llama, tokens, config, attack_steps=(1,), controls=("svd",))
    assert made.target == shuffled_target(llama, config.sites).identity.digest
    assert [site.subcomponents for site in ladder.sites] == [4, 4]
    assert ladder.rung("zero").kl > 0
    assert ladder.tokens == tokens.numel()
    with pytest.raises(Exception, match="belongs to target"):
        made.check_target(llama.identity.digest)
