from __future__ import annotations

import copy
import json
from collections import OrderedDict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.models.load import load_target
from unweave.models.target import identify, make_target, weights_hash


def test_a_target_is_frozen_in_evaluation_mode_and_says_what_it_is(target):
    assert not target.module.training
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    assert target.depth == 4
    assert target.vocabulary == 300
    assert target.dtype == torch.float32
    assert target.identity.digest in repr(target)
    assert "4 layers" in repr(target)


def test_logits_at_positions_are_the_logits_there(target, tokens):
    with torch.no_grad():
        whole = target.logits(tokens)
        assert whole.shape == (3, 10, 300)
        for positions in ([0], [2, 7, 9], slice(None, -1), slice(4, 6)):
            torch.testing.assert_close(target.logits(tokens, positions), whole[:, positions])
        assert target.logits(tokens).shape == (3, 10, 300), "the hook that picks positions stayed behind"


def test_picked_positions_reach_the_output_embedding_contiguous(target, tokens):
    # A strided slice makes torch copy the whole embedding once for each window: measured five times slower.
    seen = []
    handle = target.output_embedding().register_forward_hook(lambda _, args, __: seen.append(args[0].is_contiguous()))
    with torch.no_grad():
        for positions in (slice(None, -1), [2, 7], torch.tensor([[1, 2], [3, 4], [5, 6]])):
            target.logits(tokens, positions)
    handle.remove()
    assert seen == [True] * 3


def test_hidden_before_is_what_enters_the_block(target, tokens):
    seen = []
    block = target.module.get_submodule(target.blocks)[2]
    handle = block.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        target.logits(tokens)
        handle.remove()
        assert torch.equal(target.hidden_before(2, tokens), seen[0])


@pytest.mark.parametrize("layer", range(4))
def test_resuming_from_any_layer_is_the_whole_forward(target, tokens, layer):
    with torch.no_grad():
        whole = target.logits(tokens)
        with target.resumed(layer, target.hidden_before(layer, tokens)):
            torch.testing.assert_close(target.logits(tokens), whole)
        assert torch.equal(target.logits(tokens), whole), "the blocks were not put back"


def test_resuming_uses_what_was_handed_over_and_skips_what_came_before(target, tokens):
    with torch.no_grad():
        whole = target.logits(tokens)
        hidden = target.hidden_before(2, tokens)
        ran = []
        blocks = target.module.get_submodule(target.blocks)
        handles = [
            child.register_forward_hook(lambda *_, index=index: ran.append(index))
            for index, block in enumerate(blocks)
            for name, child in block.named_modules()
            if name.endswith("mlp")
        ]
        with target.resumed(2, hidden):
            target.logits(tokens)
        assert ran == [2, 3]
        for handle in handles:
            handle.remove()
        with target.resumed(2, hidden + 1):
            assert not torch.allclose(target.logits(tokens), whole)


def test_a_block_with_a_forward_of_its_own_gets_it_back(llama, tokens):
    block = llama.module.get_submodule(llama.blocks)[0]
    own = block.forward
    block.forward = own
    with torch.no_grad():
        hidden = llama.hidden_before(1, tokens)
        with llama.resumed(1, hidden):
            assert block.forward is not own
    assert block.__dict__["forward"] is own


@pytest.mark.parametrize("layer", [-1, 4, 99])
def test_a_layer_that_is_not_there_is_refused(llama, tokens, layer):
    with pytest.raises(UnweaveError, match=f"layer {layer} is not in this target: it has layers 0 to 3"):
        llama.hidden_before(layer, tokens)
    with pytest.raises(UnweaveError, match=f"layer {layer} is not"), llama.resumed(layer, torch.zeros(3, 10, 32)):
        pass


def test_the_identity_is_that_of_the_model_and_not_of_the_object(target):
    again = make_target(copy.deepcopy(target.module), target.tokenizer, "another name")
    assert again.identity == target.identity


def test_a_saved_and_loaded_target_is_the_same_target(target, tmp_path):
    target.module.save_pretrained(tmp_path / "model")
    target.tokenizer.save_pretrained(tmp_path / "model")
    loaded = load_target(tmp_path / "model", device="cpu")
    # A tokenizer of no architecture is read as Qwen2's own by transformers, so only the others come back as they were.
    tokenizer = loaded.identity.tokenizer if target.name == "tiny qwen2" else target.identity.tokenizer
    assert loaded.identity == replace(target.identity, tokenizer=tokenizer)
    assert load_target(tmp_path / "model", device="cpu").identity == loaded.identity


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_bit_of_any_weight_changes_the_identity(pristine, data):
    target = pristine["qwen2"]
    weights = dict(target.module.named_parameters())
    name = data.draw(st.sampled_from(sorted(weights)))
    words = weights[name].data.view(-1).view(torch.int32)
    index = data.draw(st.integers(0, words.numel() - 1))
    bit = data.draw(st.sampled_from([*range(23), 31]))  # the mantissa and the sign: the number stays finite
    flipped = 1 << bit if bit < 31 else -(1 << 31)
    words[index] ^= flipped
    try:
        assert weights_hash(target.module) != target.identity.weights
    finally:
        words[index] ^= flipped
    assert weights_hash(target.module) == target.identity.weights


def test_renaming_a_weight_changes_the_identity():
    first = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    second = nn.Sequential(OrderedDict(a=first.a, c=first.b))
    assert weights_hash(first) != weights_hash(second)


def test_a_view_of_a_part_of_a_weight_hides_nothing():
    module = nn.Module()
    whole = torch.arange(8.0)
    module.register_buffer("a", whole[:4])
    module.register_buffer("b", whole)
    before = weights_hash(module)
    whole[6] = -1.0
    assert weights_hash(module) != before


def test_config_tokenizer_and_dtype_are_part_of_the_identity(llama, tokenizer):
    before = llama.identity
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["<more>"])
    changed = identify(llama.module, other)
    assert (changed.weights, changed.config, changed.dtype) == (before.weights, before.config, before.dtype)
    assert changed.tokenizer != before.tokenizer
    assert identify(llama.module, None).tokenizer == "none"

    llama.module.config.rope_parameters = {**llama.module.config.rope_parameters, "rope_theta": 5.0}
    changed = identify(llama.module, tokenizer)
    assert changed.config != before.config
    assert changed.weights == before.weights
    assert changed.digest != before.digest

    assert identify(llama.module.to(torch.bfloat16), tokenizer).dtype == "bfloat16"


def test_padding_and_truncation_are_not_part_of_the_identity(llama, tokenizer):
    other = copy.deepcopy(tokenizer)
    other(["a", "b c d"], padding=True, truncation=True, max_length=4)
    assert json.loads(other.backend_tokenizer.to_str())["truncation"] is not None
    assert identify(llama.module, other) == llama.identity


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(llama, tokenizer, bad):
    llama.module.get_submodule("model.layers.3.mlp.up_proj").weight.data[0, 0] = bad
    with pytest.raises(UnweaveError, match=r"'model.layers.3.mlp.up_proj.weight' has NaN or infinite"):
        make_target(llama.module, tokenizer, "damaged")


class Plain(nn.Module):
    """No config, no list of blocks, logits as a tensor: the least that a live module can be."""

    def __init__(self, wrap=lambda logits: logits):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.first, self.out = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20)
        self.wrap = wrap
        self.config = SimpleNamespace(vocab_size=20)

    def forward(self, tokens):
        return self.wrap(self.out(torch.tanh(self.first(self.embed(tokens)))))


def test_a_plain_live_module_is_a_target(tokens):
    target = make_target(Plain(), None, "plain")
    assert (target.depth, target.vocabulary, target.blocks) == (0, 20, None)
    with torch.no_grad():
        whole = target.logits(tokens % 20)
        assert torch.equal(target.logits(tokens % 20, [1, 2]), whole[:, [1, 2]])
    with pytest.raises(UnweaveError, match="has no list of blocks"):
        target.hidden_before(0, tokens)


def test_a_module_without_a_config_says_its_vocabulary_by_its_logits():
    module = Plain()
    del module.config
    assert load_target(module).vocabulary == 20
    features = nn.Sequential(nn.Linear(5, 3))
    with pytest.raises(UnweaveError, match=r"^rows does not take tokens .* so it has no vocabulary"):
        make_target(features, None, "rows")


def test_a_module_that_gives_no_logits_is_refused():
    with pytest.raises(UnweaveError, match="returns a tuple, and logits"):
        make_target(Plain(lambda logits: (logits, None)), None, "pair")


def test_a_module_without_matrices_is_refused():
    with pytest.raises(UnweaveError, match="nothing can be taken apart"):
        make_target(nn.Sequential(nn.Embedding(4, 4)), None, "embedding")
