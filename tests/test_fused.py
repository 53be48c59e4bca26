from __future__ import annotations

import copy
from dataclasses import replace

import layouts
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Subcomponent
from unweave.decompose.masked import Mask, MaskedTarget, Pieces
from unweave.decompose.run import decompose
from unweave.edit import adapters
from unweave.edit.adapters import Descent, train_lora
from unweave.edit.edits import AdapterEdit, EditStack, FactorEdit, applied
from unweave.edit.export import export_merged, export_peft
from unweave.edit.objective import Objective, loss_text
from unweave.models.capture import capture_inputs
from unweave.models.fused import LAYOUTS, Block
from unweave.models.target import make_target

TOKENS = torch.randint(40, (3, 7), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def made():
    """Targets by layout, made once; nothing may change them."""
    kept = {}

    def make(kind):
        if kind not in kept:
            kept[kind] = make_target(layouts.build(kind), None, f"tiny {kind}")
        return kept[kind]

    return make


@pytest.fixture
def fresh(made):
    """A target that a test may change."""
    return lambda kind: replace(made(kind), module=copy.deepcopy(made(kind).module))


def blocks(target):
    return [site for site in target.sites() if site.block is not None]


def test_every_known_layout_is_tried_here():
    assert {kind.split(",")[0] for kind in layouts.CONFIGS} == set(LAYOUTS)


@pytest.mark.parametrize("groups", [1, 4])
def test_a_block_takes_puts_and_writes_the_same_rows(groups):
    generator = torch.Generator().manual_seed(0)
    whole, block = torch.randn(24, 5, generator=generator), Block(groups, 2, 5)
    inside = [part * 24 // groups + row for part in range(groups) for row in range(2, 5)]
    assert block.width == len(inside)
    assert torch.equal(block.take(whole, 0), whole[inside])
    assert torch.equal(block.take(whole.T), whole.T[:, inside])
    new = torch.randn(block.width, 5, generator=generator)
    expected = whole.clone()
    expected[inside] = new
    assert torch.equal(block.put(whole.T, new.T), expected.T)
    block.write(whole, new)
    assert torch.equal(whole, expected)


@pytest.mark.parametrize("kind", list(layouts.CONFIGS))
def test_blocks_share_out_the_fused_matrix(made, kind):
    target = made(kind)
    for module in {site.module for site in blocks(target)}:
        parts = [site for site in blocks(target) if site.module == module]
        assert sum(site.d_out for site in parts) == target.whole_width(parts[0])
        rows = torch.arange(target.whole_width(parts[0]))
        assert torch.cat([site.part(rows) for site in parts]).unique().tolist() == rows.tolist()
        assert all(site.name == f"{module}.{site.name.rpartition('.')[2]}" for site in parts)
        assert all(target.weight(site).shape == (site.d_out, site.d_in) for site in parts)


def shift(site, positions, amount):
    """A hook that adds to a block's part of the output at some positions."""

    def add(_, __, output):
        part = site.part(output).clone()
        part[:, positions] += amount * torch.randn(part.shape[-1], generator=torch.Generator().manual_seed(5))
        return site.replaced(output, part)

    return add


def run_hooked(target, site, hook, watched):
    seen = []
    handles = [
        target.module.get_submodule(site.module).register_forward_hook(hook),
        target.module.get_submodule(watched).register_forward_hook(
            lambda _, __, output: seen.append(output[0] if isinstance(output, tuple) else output)
        ),
    ]
    with torch.no_grad():
        target.logits(TOKENS)
    for handle in handles:
        handle.remove()
    return seen[0]


@pytest.mark.parametrize("kind", [kind for kind in layouts.CONFIGS if not kind.startswith("glm")])
def test_query_key_and_value_are_what_they_are_called(made, kind):
    """The first position's query has no say; its key has one in later positions only, its value everywhere."""
    target = made(kind)
    parts = {site.name.rpartition(".")[2]: site for site in blocks(target) if site.layer == 1}
    for name, changed in {"q": [], "k": list(range(1, 7)), "v": list(range(7))}.items():
        site = parts[name]
        attention = site.module.rpartition(".")[0]
        plain = run_hooked(target, site, lambda *_: None, attention)
        moved = (run_hooked(target, site, shift(site, 0, 1.0), attention) - plain).abs().amax(dim=(0, 2)) > 1e-5
        assert moved.nonzero().flatten().tolist() == changed, name


@pytest.mark.parametrize("kind", ["phi3", "glm", "glm4"])
def test_gate_and_up_are_what_they_are_called(made, kind):
    """The MLP is linear in what goes up and not in the gate."""
    target = made(kind)
    parts = {site.name.rpartition(".")[2]: site for site in blocks(target) if "mlp" in site.name and site.layer == 1}

    def doubled(site):
        return lambda _, __, output: site.replaced(output, 2 * site.part(output))

    for name, linear in {"up": True, "gate": False}.items():
        site = parts[name]
        mlp = site.module.rpartition(".")[0]
        plain = run_hooked(target, site, lambda *_: None, mlp)
        assert torch.allclose(run_hooked(target, site, doubled(site), mlp), 2 * plain, atol=1e-5) == linear


@pytest.mark.parametrize("kind", list(layouts.CONFIGS))
def test_masked_blocks_give_what_their_pieces_in_the_weight_give(made, fresh, kind):
    target, edited = made(kind), fresh(kind)
    sites, generator = target.sites(), torch.Generator().manual_seed(1)
    assert sites
    pieces, every = {}, {}
    for site in sites:
        V, U = torch.randn(site.d_in, 4, generator=generator), torch.randn(4, site.d_out, generator=generator) / 4
        pieces[site.name], every[site.name] = Pieces(V, U), Mask(torch.ones(3, 7, 4), torch.zeros(3, 7, 1))
        edited.write_weight(site, (V @ U).T)
        assert torch.equal(edited.weight(site), (V @ U).T)
    whole = {name: Mask(mask.pieces, torch.ones(3, 7, 1)) for name, mask in every.items()}
    with torch.no_grad(), MaskedTarget(target, sites).attached() as model:
        clean, inputs = model.clean(TOKENS)
        torch.testing.assert_close(model.masked(TOKENS, pieces, every), edited.logits(TOKENS), rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(model.masked(TOKENS, pieces, whole), clean, rtol=1e-3, atol=1e-3)
    captured = capture_inputs(target, sites, TOKENS)
    assert all(torch.equal(captured[site.name], inputs[site.name].view(captured[site.name].shape)) for site in sites)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "phi3"])
def test_an_edit_of_a_block_leaves_the_others_and_is_undone_bit_for_bit(fresh, kind):
    target = fresh(kind)
    site, *others = blocks(target)
    before = {each.name: target.weight(each).clone() for each in blocks(target)}
    stored = copy.deepcopy(target.module.state_dict())
    piece = Subcomponent(site.name, 0, torch.randn(site.d_out), torch.randn(site.d_in))
    edit = FactorEdit.on_pieces([(piece, -2.0)], target.identity.digest)
    stack = EditStack(target)
    stack.apply(edit)
    torch.testing.assert_close(target.weight(site), before[site.name] - 3 * torch.outer(piece.u, piece.v))
    assert all(torch.equal(target.weight(each), before[each.name]) for each in others)
    stack.undo_all()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in target.module.state_dict().items())


@pytest.mark.parametrize("kind", list(layouts.CONFIGS))
def test_writing_a_block_changes_no_other_row_in_any_layout(fresh, kind):
    target = fresh(kind)
    for site in blocks(target):
        stored = copy.deepcopy(target.module.state_dict())
        others = {each.name: target.weight(each).clone() for each in target.sites() if each != site}
        new = torch.randn(site.d_out, site.d_in)
        target.write_weight(site, new)
        assert torch.equal(target.weight(site), new)
        assert all(torch.equal(target.weight(target.site(name)), weight) for name, weight in others.items())
        changed = [name for name, tensor in target.module.state_dict().items() if not torch.equal(tensor, stored[name])]
        assert changed == [f"{site.module}.weight"]


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox", "llama"])
def test_a_weight_of_another_shape_is_not_spread_over_the_rows(fresh, kind):
    target = fresh(kind)
    stored = copy.deepcopy(target.module.state_dict())
    site = target.sites("*.1.*")[0]
    rows = site.block.groups if site.block else 1
    for shape in ((site.d_in,), (1, site.d_in), (rows, site.d_in), (site.d_out, 1), (target.whole_width(site) + 1, 1)):
        with pytest.raises(UnweaveError, match=r"is \d+ x \d+, and its new weight \("):
            target.write_weight(site, torch.ones(shape))
    assert all(torch.equal(tensor, stored[name]) for name, tensor in target.module.state_dict().items())


@pytest.mark.parametrize("kind", list(layouts.CONFIGS))
def test_an_exported_edit_of_one_block_leaves_the_others_in_any_layout(fresh, kind, tmp_path):
    """What stands in the adapter: nothing in the rows of the other blocks, the edit itself in the block's own."""
    from safetensors.torch import load_file

    target = fresh(kind)
    site = [site for site in blocks(target) if site.layer == 1][1]
    piece = Subcomponent(site.name, 0, torch.randn(site.d_out), torch.randn(site.d_in))
    edit = FactorEdit.on_pieces([(piece, -2.0)], target.identity.digest)
    export_peft(target, [edit], tmp_path / "adapter")
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    A, B = (stored[f"base_model.model.{site.module}.lora_{side}.weight"] for side in "AB")
    torch.testing.assert_close(site.part((B @ A).T).T, -3 * torch.outer(piece.u, piece.v))
    rest = site.replaced((B @ A).T, torch.zeros(site.d_in, site.d_out))
    assert not rest.any()


def objective(target):
    return Objective(loss_text(target, TOKENS, [5, 6], 1), loss_text(target, (TOKENS + 7) % 40, [5, 6], 1), 9.0)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_lora_on_blocks_changes_no_other_row_and_is_exported(fresh, kind, tmp_path):
    target = fresh(kind)
    first, _, value = [site for site in blocks(target) if site.layer == 1]
    stored = copy.deepcopy(target.module.state_dict())
    found = train_lora(target, objective(target), [first, value], 2, Descent(0.1, 3), name="lora").edit
    assert isinstance(found, AdapterEdit)
    assert list(found.matrices) == [first.name, value.name]
    assert all(found.matrices[site.name][1].shape == (site.d_out, 2) for site in (first, value))
    assert all(found.matrices[site.name][1].abs().max() > 0 for site in (first, value))
    assert all(torch.equal(tensor, stored[name]) for name, tensor in target.module.state_dict().items())
    report = export_peft(target, [found], tmp_path / "adapter")
    assert report.sites == (first.name, value.name)
    assert report.max_logit_difference <= report.tolerance < report.effect
    merged = export_merged(target, [found], tmp_path / "merged")
    assert merged.max_logit_difference <= merged.tolerance < merged.effect


def test_lora_on_a_block_is_what_was_trained(fresh, monkeypatch):
    """With other blocks' rows trained too, the model in training would be another than the edit makes."""
    target, trained = fresh("gpt_neox"), []
    site = target.site("gpt_neox.layers.1.attention.query_key_value.v")
    descend = adapters._descend

    def watched(*args):
        losses = descend(*args)
        trained.append(target.logits(TOKENS).detach())
        return losses

    monkeypatch.setattr(adapters, "_descend", watched)
    found = train_lora(target, objective(target), [site], 2, Descent(0.1, 4), name="lora")
    plain = target.logits(TOKENS)
    with applied(target, found.edit):
        edited = target.logits(TOKENS)
    torch.testing.assert_close(edited, trained[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(edited, plain, atol=1e-2)


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_factors_in_training_act_on_a_block_as_the_edit_does(fresh, kind):
    target = fresh(kind)
    site = [site for site in blocks(target) if site.layer == 1][-1]
    piece = Subcomponent(site.name, 0, torch.randn(site.d_out), torch.randn(site.d_in))
    with torch.no_grad(), adapters._strengths_applied(target, [piece], torch.tensor([-2.0])):
        trained = target.logits(TOKENS)
    plain = target.logits(TOKENS)
    with applied(target, FactorEdit.on_pieces([(piece, -1.0)], target.identity.digest)):
        edited = target.logits(TOKENS)
    torch.testing.assert_close(trained, edited, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(plain, edited, atol=1e-2)


def test_a_fused_matrix_is_named_by_its_blocks(made):
    target = made("gpt2")
    with pytest.raises(
        UnweaveError, match=r"h\.0\.attn\.c_attn' holds several matrices in one: take .*c_attn\.q, .*\.v"
    ):
        target.sites("transformer.h.0.attn.c_attn")
    assert [site.name for site in target.sites("*.0.attn.c_attn.*")] == [
        f"transformer.h.0.attn.c_attn.{name}" for name in "qkv"
    ]


def test_an_unknown_layout_is_refused_by_name():
    module = layouts.build("gpt2")
    module.config.model_type = "gpt9"
    target = make_target(module, None, "unknown")
    assert all(site.block is None and "c_attn" not in site.name for site in target.sites())
    with pytest.raises(UnweaveError, match=r"h\.0\.attn\.c_attn' cannot be taken apart: .*fused.*model type 'gpt9'"):
        target.sites("*.c_attn")
    module.config.model_type = "gpt2"
    module.config.n_embd = 12
    assert "transformer.h.1.attn.c_attn" in target.left_out()


def test_grouped_heads_are_sites_like_any_other(made):
    target = made("llama")
    shapes = {site.name.rpartition(".")[2]: (site.d_out, site.d_in) for site in target.sites("*.0.self_attn.*")}
    assert shapes == {"q_proj": (16, 16), "k_proj": (8, 16), "v_proj": (8, 16), "o_proj": (16, 16)}
    assert target.left_out() == {}


@pytest.mark.parametrize(("kind", "shared"), [("mixtral", False), ("qwen2_moe", True)])
def test_banks_of_experts_are_refused_by_name(made, kind, shared):
    target = made(kind)
    names = {site.name for site in target.sites()}
    assert ("model.layers.0.mlp.shared_expert.up_proj" in names) == shared
    assert "model.layers.1.self_attn.k_proj" in names
    assert not any("experts" in name for name in names)
    for name in ("gate_up_proj", "down_proj"):
        with pytest.raises(UnweaveError, match=rf"experts\.{name}' cannot be taken apart: it is a bank of 4 matrices"):
            target.site(f"model.layers.0.mlp.experts.{name}")
    with pytest.raises(UnweaveError, match=r"mlp\.gate' cannot be taken apart: it belongs to a \w+Router"):
        target.sites("*.mlp.gate")
    assert set(target.left_out("model.layers.1.*")) == {
        f"model.layers.1.mlp.{name}" for name in ("gate", "experts.gate_up_proj", "experts.down_proj")
    }


def test_what_a_pattern_leaves_out_is_said_and_kept_in_the_card(made):
    class Lines:
        def __init__(self):
            self.said = []

        def update(self, done, total, note=""):
            del done, total, note

        def say(self, line):
            self.said.append(line)

    lines = Lines()
    config = WholeModelConfig(
        sites="*.0.*", steps=2, batch=2, hidden=4, subcomponents=4, window_length=7, faithfulness_steps=0
    )
    found = decompose(made("mixtral"), TOKENS, config, progress=lines)
    bank = "model.layers.0.mlp.experts.down_proj"
    assert any(line.startswith(f"left out: {bank}: it is a bank of 4") for line in lines.said)
    assert found.card["left_out"][bank].startswith("it is a bank of 4")


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_blocks_of_one_matrix_are_taken_apart_together(made, kind):
    config = WholeModelConfig(sites="*.1.*", steps=3, batch=2, hidden=4, subcomponents=4, faithfulness_steps=2)
    found = decompose(made(kind), TOKENS, replace(config, window_length=7))
    assert sum(site.block is not None for site in map(made(kind).site, found.sites)) == 3
    for name, site in found.sites.items():
        assert site.delta(made(kind).weight(made(kind).site(name))).shape == (site.U.shape[1], site.V.shape[0])
