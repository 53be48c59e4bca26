from __future__ import annotations

import pytest
import torch
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.models.sites import find_blocks, list_sites, select_sites


def test_sites_are_the_matrices_without_embedding_and_unembedding(pristine):
    llama = pristine["llama"].all_sites()
    assert len(llama) == 4 * 7
    site = llama["model.layers.3.mlp.down_proj"]
    assert (site.kind, site.d_in, site.d_out, site.bias, site.layer) == ("linear", 48, 32, False, 3)
    assert "lm_head" not in llama
    assert pristine["qwen2"].site("model.layers.0.self_attn.q_proj").bias
    assert not pristine["qwen2"].site("model.layers.0.self_attn.o_proj").bias


def test_conv1d_sites_have_their_directions_the_right_way_round(pristine):
    gpt2 = pristine["gpt2"]
    assert len(gpt2.all_sites()) == 4 * 6
    site = gpt2.site("transformer.h.2.mlp.c_fc")
    assert (site.kind, site.d_in, site.d_out, site.bias, site.layer) == ("conv1d", 32, 128, True, 2)
    assert gpt2.weight(site).shape == (128, 32)


def test_a_weight_is_a_view_that_writes_through(target):
    site = target.sites("*.mlp.*")[0]
    weight = target.weight(site)
    assert weight.shape == (site.d_out, site.d_in)
    weight[1, 2] = 7.0
    stored = target.module.get_submodule(site.name).weight
    assert (stored[2, 1] if site.kind == "conv1d" else stored[1, 2]) == 7.0


@pytest.mark.parametrize(
    ("patterns", "count"),
    [
        ("*", 28),
        ("*.o_proj", 4),
        ("model.layers.1.*", 7),
        ("model.layers.[12].mlp.down_proj", 2),
        ("*.o_proj, *.q_proj", 8),
        (["*.o_proj", "*.1.self_attn.*"], 7),
        ("model.layers.0.mlp.up_proj", 1),
    ],
)
def test_globs_and_lists_choose_sites(pristine, patterns, count):
    assert len(pristine["llama"].sites(patterns)) == count


def test_chosen_sites_come_in_the_models_order_and_once(pristine):
    names = [site.name for site in pristine["llama"].sites("*.down_proj,*.3.*,*.0.mlp.down_proj")]
    assert len(names) == len(set(names)) == 10
    assert names == [name for name in pristine["llama"].all_sites() if name in names]


def test_a_wrong_name_is_answered_with_the_nearest(pristine):
    llama = pristine["llama"]
    with pytest.raises(
        UnweaveError, match=r"site 'model.layers.2.mlp.down' is not .* nearest: '.*\.2\.mlp\.down_proj'"
    ):
        llama.site("model.layers.2.mlp.down")
    with pytest.raises(UnweaveError, match=r"site '\*\.w_proj' is not in this target"):
        llama.sites("*.o_proj,*.w_proj")
    with pytest.raises(UnweaveError, match="is a pattern, and one exact site is needed"):
        llama.site("*.o_proj")


def test_the_output_embedding_is_no_site_even_when_it_is_untied(pristine):
    assert pristine["qwen2"].output_embedding() is pristine["qwen2"].module.lm_head
    with pytest.raises(UnweaveError, match="site 'lm_head'"):
        pristine["qwen2"].site("lm_head")


def test_only_plain_floating_point_matrices_are_sites():
    class Own(nn.Linear):
        pass

    module = nn.ModuleDict({"plain": nn.Linear(4, 3), "own": Own(4, 3), "conv": nn.Conv1d(4, 3, 1)})
    quantised = nn.Linear(4, 3)
    quantised.weight = nn.Parameter(torch.zeros(3, 4, dtype=torch.int8), requires_grad=False)
    module["quantised"] = quantised
    assert list(list_sites(module, None)) == ["plain"]
    assert select_sites(list_sites(module, None), "*")[0].layer is None


def test_blocks_are_the_outermost_list_of_the_configured_length(pristine):
    assert pristine["llama"].blocks == "model.layers"
    assert pristine["gpt2"].blocks == "transformer.h"
    inner = nn.ModuleDict({"experts": nn.ModuleList(nn.Linear(2, 2) for _ in range(3))})
    outer = nn.ModuleDict({"stack": nn.ModuleDict({"layers": nn.ModuleList([inner] * 3)})})
    assert find_blocks(outer, 3) == "stack.layers"
    assert find_blocks(outer) == "stack.layers"
    assert find_blocks(nn.Linear(2, 2), 3) is None
