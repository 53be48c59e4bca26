from __future__ import annotations

import pytest
import torch
from torch import nn

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.models.capture import capture_inputs
from unweave.read.dictionaries.activations import ReLU, TopK
from unweave.read.dictionaries.coder import Coder, CoderDictionary
from unweave.read.dictionaries.compare import compare_dictionaries
from unweave.read.dictionaries.hooks import hook_place
from unweave.read.dictionaries.probes import ProbeDictionary, Probes
from unweave.read.features import subcomponent_dictionary
from unweave.read.observe import observe

WIDTH = 32


@pytest.fixture
def windows(request):
    """Windows that the target of the test says itself, token by token, so that harm to it shows in their loss."""
    names = ("target", "llama", "gpt2")
    target = request.getfixturevalue(next(name for name in names if name in request.fixturenames))
    generator = torch.Generator().manual_seed(4)
    tokens = torch.randint(300, (6, 1), generator=generator)
    for _ in range(8):
        chances = target.logits(tokens)[:, -1].softmax(-1)
        tokens = torch.cat([tokens, torch.multinomial(chances, 1, generator=generator)], 1)
    return tokens


def perfect(place, name="sae", scale=1.0):
    """A coder that writes ``scale`` times what it reads: a latent for each direction and its opposite."""
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)], 1)
    return Coder(name, place, place, both, ReLU(torch.zeros(2 * WIDTH)), scale * both.T, torch.zeros(WIDTH))


def sae(*coders):
    return CoderDictionary("sae", "made", coders)


def row(target, dictionary, windows, **options):
    return compare_dictionaries(target, {"one": dictionary}, windows, **options).records()[0]


def entropy(logits, windows):
    """Cross-entropy of the third token on, from the second."""
    return float(nn.functional.cross_entropy(logits[:, 1:-1].flatten(0, 1), windows[:, 2:].flatten()))


def test_a_perfect_sae_loses_nothing(target, windows):
    found = row(target, sae(perfect(hook_place(target, "blocks.1.hook_resid_post", WIDTH))), windows)
    assert found["explained"] == pytest.approx(1.0, abs=1e-6)
    assert found["ce"] == pytest.approx(found["ce_target"], abs=1e-5)
    assert found["recovered"] == pytest.approx(1.0, abs=1e-3)
    assert found["ce_target"] == pytest.approx(entropy(target.logits(windows), windows), rel=1e-5)
    assert found["l0"] == WIDTH
    assert found["alive"] == 1.0
    assert found["tokens"] == windows[:, 1:].numel()


def test_a_dictionary_that_writes_the_mean_recovers_nothing(llama, windows):
    place = hook_place(llama, "blocks.1.hook_resid_post", WIDTH)
    mean = observe(llama, {"x": place}, windows).values["x"][:, 1:].flatten(0, 1).mean(0)
    coder = perfect(place, scale=0.0)
    found = row(llama, sae(Coder(**{**vars(coder), "bias": mean})), windows)
    assert found["explained"] == pytest.approx(0.0, abs=1e-5)
    assert found["recovered"] == pytest.approx(0.0, abs=1e-4)
    assert found["ce"] == pytest.approx(found["ce_mean_ablated"], abs=1e-5)
    assert found["ce_mean_ablated"] > found["ce_target"]


def test_a_spliced_sae_changes_the_stream_at_all_positions_but_the_first(llama, windows):
    place = hook_place(llama, "blocks.1.hook_resid_post", WIDTH)
    coder = Coder(**{**vars(perfect(place)), "activation": TopK(torch.zeros(2 * WIDTH), 4)})
    found = row(llama, sae(coder), windows, batch=4)
    hidden = llama.hidden_before(2, windows)
    made = coder.reconstruct(hidden)
    error = (made - hidden)[:, 1:].square().sum()
    variance = (hidden[:, 1:] - hidden[:, 1:].mean((0, 1))).square().sum()
    assert found["explained"] == pytest.approx(float(1 - error / variance), rel=1e-5)
    assert found["l0"] == 4.0
    with llama.resumed(2, torch.cat([hidden[:, :1], made[:, 1:]], 1)):
        assert found["ce"] == pytest.approx(entropy(llama.logits(windows), windows), rel=1e-5)
    assert found["ce"] > found["ce_target"] + 0.01


def test_coders_of_several_layers_are_spliced_in_together(llama, windows):
    places = [hook_place(llama, f"blocks.{layer}.hook_resid_post", WIDTH) for layer in (0, 2)]
    halves = [
        Coder(**{**vars(perfect(p, f"l{i}")), "activation": TopK(torch.zeros(64), 8)}) for i, p in enumerate(places)
    ]
    both = row(llama, sae(*halves), windows)
    hidden = llama.hidden_before(1, windows)
    first = torch.cat([hidden[:, :1], halves[0].reconstruct(hidden)[:, 1:]], 1)
    with llama.resumed(1, first):
        later = llama.hidden_before(3, windows)
    second = torch.cat([later[:, :1], halves[1].reconstruct(later)[:, 1:]], 1)
    with llama.resumed(3, second):
        assert both["ce"] == pytest.approx(entropy(llama.logits(windows), windows), rel=1e-5)
    assert both["groups"] == 2
    assert both["l0"] == 16.0


def test_a_transcoder_replaces_what_its_module_writes(gpt2, windows):
    reads, writes = (hook_place(gpt2, f"blocks.1.{hook}", WIDTH) for hook in ("mlp.hook_in", "hook_mlp_out"))
    generator = torch.Generator().manual_seed(0)
    coder = Coder(
        "mlp", reads, writes, torch.randn(WIDTH, 50, generator=generator), ReLU(torch.zeros(50)),
        torch.randn(50, WIDTH, generator=generator) / 50, torch.zeros(WIDTH), restored=False,
    )  # fmt: skip
    found = row(gpt2, CoderDictionary("transcoder", "made", [coder]), windows)
    mlp, plain = gpt2.module.transformer.h[1].mlp, gpt2.module.transformer.h[1].mlp.forward
    mlp.forward = lambda x: torch.cat([plain(x)[:, :1], coder.reconstruct(x)[:, 1:]], 1)
    assert found["ce"] == pytest.approx(entropy(gpt2.logits(windows), windows), rel=1e-5)
    del mlp.forward
    assert found["ce"] != pytest.approx(found["ce_target"], abs=1e-3)


def test_subcomponents_are_masked_by_importances_of_the_targets_own_values(llama, decomposed, windows):
    made, sites = decomposed(llama, "*.1.*", count=24), llama.sites("*.1.*")
    found = row(llama, subcomponent_dictionary(made, llama), windows)
    inputs = capture_inputs(llama, sites, windows)
    g = made.importances(inputs)
    for site in sites:
        module, pieces = llama.module.get_submodule(site.module), made.site(site.name)

        def masked(x, module=module, pieces=pieces, g=g[site.name]):
            own = nn.functional.linear(x, module.weight, module.bias)
            return torch.cat([own[:, :1], ((x @ pieces.V * g) @ pieces.U)[:, 1:]], 1)

        module.forward = masked
    assert found["ce"] == pytest.approx(entropy(llama.logits(windows), windows), rel=1e-5)
    for site in sites:
        del llama.module.get_submodule(site.module).forward
    assert found["ce"] > found["ce_target"] + 0.01
    assert found["l0"] == pytest.approx(
        sum(float((x[:, 1:] > 0.1).float().sum(-1).mean()) for x in g.values()), rel=1e-5
    )
    explained = []
    for site in sites:
        wanted = inputs[site.name][:, 1:] @ llama.weight(site).T
        pieces = made.site(site.name)
        error = wanted - (inputs[site.name] @ pieces.V * g[site.name] @ pieces.U)[:, 1:]
        explained.append(1 - float(error.square().sum() / (wanted - wanted.mean((0, 1))).square().sum()))
    assert found["explained"] == pytest.approx(sum(explained) / len(explained), rel=1e-4)


def test_subcomponents_that_are_the_whole_weight_lose_nothing(target, windows):
    """Singular vectors with every importance 1 are the matrix itself, in place of a fused or biased one too."""
    pieces = {}
    for site in target.sites("*.2.*"):
        U, S, V = torch.linalg.svd(target.weight(site).float(), full_matrices=False)

        def ones(x, like=S):
            return torch.ones(*x.shape[:-1], len(like))

        pieces[site.name] = SiteSubcomponents(site.name, V.T.contiguous(), (U * S).T.contiguous(), ones)
    made = Decomposition(pieces, target.identity.digest, target.name)
    found = row(target, subcomponent_dictionary(made, target), windows)
    assert found["explained"] == pytest.approx(1.0, abs=1e-6)
    assert found["ce"] == pytest.approx(found["ce_target"], abs=1e-5)
    assert found["l0"] == found["features"]


def test_probes_are_counted_and_nothing_is_spliced(llama, windows):
    place = hook_place(llama, "blocks.1.hook_resid_post", WIDTH)
    probes = Probes("p", place, torch.eye(WIDTH)[:3], torch.tensor([0.0, 0.0, -1e6]), ("a", "b", "c"))
    found = row(llama, ProbeDictionary("made", probes), windows)
    assert found["alive"] == pytest.approx(2 / 3)
    assert [found[name] for name in ("explained", "ce", "ce_mean_ablated", "recovered")] == [None] * 4


def test_rows_are_on_the_same_text_and_batches_change_nothing(llama, decomposed, windows):
    place = hook_place(llama, "blocks.1.hook_resid_post", WIDTH)
    given = {
        "sae": sae(perfect(place, scale=0.9)),
        "pieces": subcomponent_dictionary(decomposed(llama, "*.1.*"), llama),
    }
    table = compare_dictionaries(llama, given, windows.numpy())
    assert table.column("dictionary") == ("sae", "pieces")
    assert len(set(table.column("ce_target"))) == 1
    again = compare_dictionaries(llama, given, windows, batch=1)
    for one, other in zip(table.records(), again.records(), strict=True):
        assert one == {
            **other,
            **{k: pytest.approx(v, rel=1e-4, abs=1e-6) for k, v in other.items() if isinstance(v, float)},
        }
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in llama.module.modules())


def test_where_the_means_do_no_harm_nothing_is_said_to_be_recovered(llama):
    text = torch.randint(300, (6, 9), generator=torch.Generator().manual_seed(4))
    found = row(llama, sae(perfect(hook_place(llama, "blocks.3.hook_resid_post", WIDTH))), text)
    assert found["ce_mean_ablated"] < found["ce_target"]
    assert found["recovered"] is None


def test_what_cannot_be_compared_is_refused(llama, decomposed, windows):
    with pytest.raises(UnweaveError, match="no dictionaries to compare"):
        compare_dictionaries(llama, {}, windows)
    dictionary = subcomponent_dictionary(decomposed(llama, "*.1.*"), llama)
    with pytest.raises(UnweaveError, match="3 tokens or more"):
        row(llama, dictionary, windows[:, :2])
    made = decomposed(llama, "*.1.*")
    differing = Decomposition(made.sites, made.target, made.target_name, {"base": "earlier"})
    with pytest.raises(UnweaveError, match="difference from an earlier checkpoint"):
        row(llama, subcomponent_dictionary(differing, llama), windows)
