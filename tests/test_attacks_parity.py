"""Attack 41 of the list that the lab must withstand: numbers that come from hooks and edits, and not from the model."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

from unweave.base.errors import UnweaveError
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.export import export_merged, export_peft
from unweave.models.load import load_target
from unweave.models.parity import parity_gate

# PEFT reads a property that transformers 5 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def site_of(target):
    return "transformer.h.1.mlp.c_proj" if "gpt2" in target.name else "model.layers.1.mlp.down_proj"


def logits(target, tokens):
    with torch.no_grad():
        return target.logits(tokens)


def edit_of(target, decomposed, factor):
    site = site_of(target)
    return FactorEdit.of(decomposed(target, site), {(site, 0): factor}, "one")


def test_f3_41_hooked_and_plain_logits_are_equal_and_a_target_where_they_are_not_is_refused(target):
    assert parity_gate(target)["hooked_minus_plain"] == 0.0
    hooked = target.module.get_submodule(site_of(target))
    hooked.register_forward_hook(lambda _, arguments, output: output + 0.01)
    with pytest.raises(UnweaveError, match="site"):
        parity_gate(target)


def test_f3_41_an_intervention_of_no_strength_is_the_identity(target, decomposed, tokens):
    plain = logits(target, tokens)
    with applied(target, edit_of(target, decomposed, 1.0)):
        assert torch.equal(logits(target, tokens), plain)
    with applied(target, edit_of(target, decomposed, -2.0)):
        assert not torch.equal(logits(target, tokens), plain)


def test_f3_41_taking_hooks_and_edits_off_restores_the_model_bit_for_bit(target, decomposed, tokens):
    before, plain = (
        {name: tensor.clone() for name, tensor in target.module.state_dict().items()},
        logits(target, tokens),
    )
    with applied(target, edit_of(target, decomposed, -2.0)):
        parity_gate(target)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.module.state_dict().items())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in target.module.modules())
    assert torch.equal(logits(target, tokens), plain)


def test_f3_41_a_merged_model_equals_the_adapter_within_tolerance(fresh, decomposed, tokens, tmp_path):
    target = fresh("llama")
    edit = edit_of(target, decomposed, -2.0)
    export_peft(target, [edit], tmp_path / "adapter")
    export_merged(target, [edit], tmp_path / "merged")
    adapter = PeftModel.from_pretrained(copy.deepcopy(target.module), str(tmp_path / "adapter"))
    merged = load_target(tmp_path / "merged", device="cpu")
    with torch.no_grad():
        expected = adapter(tokens).logits
    assert float((logits(merged, tokens) - expected).abs().max()) <= 1e-4
    assert float((logits(target, tokens) - expected).abs().max()) > 1e-2
