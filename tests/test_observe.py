from __future__ import annotations

import layouts
import pytest
import torch
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.models.capture import capture_inputs
from unweave.models.target import make_target
from unweave.read.features import Place
from unweave.read.observe import observe

WORDS, WIDTH = 7, 6


class Words(nn.Module):
    """Logits of words through one matrix; ``act`` says what is done with what it hands over."""

    def __init__(self, act):
        super().__init__()
        self.embedding, self.matrix, self.act = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH), act
        self.unembedding = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens):
        return self.unembedding(self.act(self.matrix, self.embedding(tokens)))


def words(act):
    torch.manual_seed(0)
    return make_target(Words(act), None, "words", check=False)


def block(target, layer, side):
    return Place(f"{target.blocks}.{layer}", side, 32)


def hooks(module):
    return [child for child in module.modules() if child._forward_hooks or child._forward_pre_hooks]


def test_logits_and_values_are_those_of_a_plain_forward(target, tokens):
    sites = target.sites()[:4]
    places = {site.name: Place(site.module, "input", site.d_in, site) for site in sites}
    found = observe(target, places, tokens)
    assert torch.equal(found.logits, target.logits(tokens))
    inputs = capture_inputs(target, sites, tokens)
    assert list(found.values) == [site.name for site in sites]
    for name, value in found.values.items():
        assert torch.equal(value, inputs[name])
    assert not hooks(target.module)


def test_an_output_is_what_the_matrix_makes_of_its_input(target, tokens):
    for site in target.sites():
        places = {side: Place(site.module, side, width, site) for side, width in _sides(site)}
        values = observe(target, places, tokens, logits=False).values
        expected = torch.nn.functional.linear(values["input"], target.weight(site), target.bias(site))
        torch.testing.assert_close(values["output"], expected, rtol=1e-5, atol=1e-4)


def _sides(site):
    return (("input", site.d_in), ("output", site.d_out))


@pytest.mark.parametrize("kind", ["gpt_neox", "bloom", "phi3"])
def test_a_block_of_a_fused_matrix_is_read_by_its_own_columns(kind):
    target = make_target(layouts.build(kind), None, kind)
    tokens = torch.randint(40, (2, 5), generator=torch.Generator().manual_seed(1))
    fused = [site for site in target.sites() if site.block is not None]
    assert fused
    places = {site.name: Place(site.module, "output", site.d_out, site) for site in fused}
    inputs = {site.name: Place(site.module, "input", site.d_in, site) for site in fused}
    values, read = observe(target, places, tokens).values, observe(target, inputs, tokens).values
    for site in fused:
        expected = torch.nn.functional.linear(read[site.name], target.weight(site), target.bias(site))
        torch.testing.assert_close(values[site.name], expected, rtol=1e-4, atol=1e-4)


def test_what_leaves_a_block_enters_the_next(target, tokens):
    places = {"out": block(target, 1, "output"), "in": block(target, 2, "input")}
    values = observe(target, places, tokens, logits=False).values
    assert torch.equal(values["out"], values["in"])
    assert torch.equal(values["in"], target.hidden_before(2, tokens))


def test_without_logits_the_forward_stops_after_the_last_place(llama, tokens):
    ran = []
    for layer in (1, 2):
        llama.module.get_submodule(f"model.layers.{layer}").register_forward_hook(lambda *_, at=layer: ran.append(at))
    found = observe(llama, {"a": block(llama, 1, "output")}, tokens, logits=False)
    assert found.logits is None
    assert ran == [1]


def test_no_place_is_a_plain_forward(llama, tokens):
    assert torch.equal(observe(llama, {}, tokens).logits, llama.logits(tokens))
    assert observe(llama, {}, tokens, logits=False) == (None, {})


def test_a_value_that_the_model_changes_in_place_is_seen_as_it_was():
    def changing(matrix, x):
        out = matrix(x)
        out += 100.0
        return out

    target = words(changing)
    tokens = torch.tensor([[0, 1, 2]])
    places = {"in": Place("matrix", "input", WIDTH), "out": Place("matrix", "output", WIDTH)}
    found = observe(target, places, tokens)
    assert torch.equal(found.values["out"], target.module.matrix(found.values["in"]))
    assert torch.equal(found.logits, target.logits(tokens))


def test_places_that_cannot_be_seen_are_refused_and_leave_no_hook():
    tokens = torch.tensor([[0, 1, 2]])
    place = {"a": Place("matrix", "output", WIDTH)}
    cases = [
        (lambda matrix, x: matrix(matrix(x)), place, "more than once"),
        (lambda matrix, x: x, place, "never called"),
        (lambda matrix, x: torch.cat([matrix(x[:, :1]), x[:, 1:]], 1), place, "does not see every token"),
        (lambda matrix, x: matrix(x), {"a": Place("matrix", "output", WIDTH + 1)}, "6 wide, and 7 was expected"),
        (lambda matrix, x: matrix(x), {"a": Place("matirx", "output", WIDTH)}, "nearest: 'matrix'"),
    ]
    for act, places, message in cases:
        target = words(act)
        with pytest.raises(UnweaveError, match=message):
            observe(target, places, tokens)
        assert not hooks(target.module)


def test_a_module_without_a_tensor_in_front_is_refused():
    class Wrapping(nn.Linear):
        def forward(self, x):
            return {"x": super().forward(x)}

    module = Words(lambda matrix, x: matrix(x)["x"])
    module.matrix = Wrapping(WIDTH, WIDTH)
    target = make_target(module, None, "wrapped", check=False)
    with pytest.raises(UnweaveError, match="is a dict without a tensor in front"):
        observe(target, {"a": Place("matrix", "output", WIDTH)}, torch.tensor([[0, 1]]))
