from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_concept import planted_states, ring_concept

from unweave.base.errors import UnweaveError
from unweave.shapes.concepts.concept import Value
from unweave.shapes.concepts.states import label_sequences, read_states, split_templates


def test_thirds_hold_every_template_once_and_depend_on_seed_and_concept():
    splits = [split_templates(12, seed, "days") for seed in range(6)]
    for split in splits:
        assert sorted((*split.fit, *split.choose, *split.test)) == list(range(12))
        assert [len(each) for each in split] == [4, 4, 4]
    assert len(set(splits)) == 6
    assert split_templates(12, 0, "months") != splits[0] == split_templates(12, 0, "days")
    assert [len(each) for each in split_templates(8, 0, "days")] == [3, 3, 2]
    with pytest.raises(UnweaveError, match="2 templates"):
        split_templates(2, 0, "days")


def test_centroids_are_means_without_what_a_template_adds():
    states = planted_states(ring_concept(6))
    templates = (1, 4, 7)
    by_hand = np.stack(
        [
            states.states[:, each].astype(np.float64) - states.states[:, each].astype(np.float64).mean(0)
            for each in templates
        ]
    ).mean(0)
    found = states.centroids(templates)
    assert found.shape == (4, 6, 24)
    assert found[2] == pytest.approx(by_hand[:, 2])
    assert np.abs(found.mean(1)).max() < 1e-12
    with pytest.raises(UnweaveError, match="depth 9 was not read: there are 0, 1, 2, 3"):
        states.place(9)


def test_a_label_is_read_at_its_last_token_at_each_depth(llama):
    concept = ring_concept(4)
    found = read_states(llama, concept, [0, 2])
    assert found.states.shape == (4, 12, 2, 32)
    row = label_sequences(llama, concept)[2 * 12 + 5]
    assert llama.tokenizer.decode(row) == "my value c"
    seen = {}
    handle = llama.module.model.layers[2].register_forward_pre_hook(
        lambda _, args, kwargs: seen.update(x=args[0]), with_kwargs=True
    )
    llama.logits(torch.tensor([row]))
    handle.remove()
    assert found.states[2, 5, 1] == pytest.approx(seen["x"][0, -1].numpy(), abs=1e-5)
    assert read_states(llama, concept).layers == (0, 1, 2, 3, 4)


def test_values_that_are_the_same_tokens_are_refused(llama, monkeypatch):
    concept = ring_concept(4)
    spoken = replace(concept, values=(*concept.values[:3], Value("value  a", 3.0)))
    squeezed = type(llama.tokenizer).__call__
    monkeypatch.setattr(
        type(llama.tokenizer),
        "__call__",
        lambda self, text, **rest: squeezed(
            self, [each.replace("  ", " ") for each in text] if isinstance(text, list) else text, **rest
        ),
    )
    with pytest.raises(UnweaveError, match="'value  a' and 'value a' as the same tokens"):
        read_states(llama, spoken)
    llama.tokenizer = None
    with pytest.raises(UnweaveError, match="has no tokenizer"):
        read_states(llama, concept)
