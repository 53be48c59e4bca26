from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import planted
import pytest
import tiny
import torch

from unweave.base.errors import UnweaveError
from unweave.base.seeds import torch_generator
from unweave.corpora.windows import windows_by_label
from unweave.decompose import draws, evaluate, ruler
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.importance import IMPORTANCES, Importance, SiteShape, Widths
from unweave.decompose.ladder import measure_ladder, unigram_model
from unweave.decompose.toys import induction, planted_languages
from unweave.models.capture import capture_inputs
from unweave.models.target import make_target, weights_hash

SITES = {
    "llama": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "qwen2": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "gpt2": ("transformer.h.1.mlp.c_proj", "transformer.h.2.attn.c_attn.v"),
}
KINDS = ["target", "unmasked", "stochastic", "importance", "rounded 0", "rounded 0.1", "rounded 0.5", "random", "zero"]


def constant_importance(d_in, values):
    """An importance function that ignores its input."""
    return Importance(torch.tensor(1.0), torch.zeros(d_in, 2), torch.zeros(2), torch.zeros(2, len(values)), values)


def exact(target, importance=lambda count: torch.ones(count)):
    """Two sites of a target in the pieces of their SVD, needed as much as ``importance`` of their number says."""
    pieces = {}
    for name in SITES[target.module.config.model_type]:
        site = target.site(name)
        V, U = tiny.singular_pieces(target.weight(site))
        pieces[name] = SiteSubcomponents(name, V, U, constant_importance(site.d_in, importance(len(U))))
    return Decomposition(pieces, target.identity.digest, target.name)


def falling(count):
    """Some not needed, some a little, some half, some wholly."""
    return torch.tensor([0.0, 0.05, 0.3, 0.7, 1.0]).repeat(count)[:count]


def measured(target, made, tokens, **options):
    return measure_ladder(target, made, tokens, **{"attack_steps": (), **options})


@torch.no_grad()
def predicted(target, tokens, weights=None):
    """Log-probabilities at every position but the last, with other matrices in the target; they are put back."""
    kept = {name: target.weight(target.site(name)).clone() for name in weights or {}}
    for name, weight in (weights or {}).items():
        target.weight(target.site(name)).copy_(weight)
    found = target.logits(tokens)[:, :-1].log_softmax(-1)
    for name, weight in kept.items():
        target.weight(target.site(name)).copy_(weight)
    return found


def cross_entropy(log_probabilities, tokens):
    return float(-log_probabilities.gather(-1, tokens[:, 1:, None]).mean())


def divergence(before, after):
    return float((before.exp() * (before - after)).sum(-1).mean())


def scaled(made, masks, target=None, delta=0.0):
    """The sites' matrices with every piece times its mask, and the delta times its own."""
    found = {}
    for name, site in made.sites.items():
        found[name] = (site.V @ (masks[name][:, None] * site.U)).T
        if target is not None:
            found[name] = found[name] + delta * site.delta(target.weight(target.site(name)))
    return found


def agrees(rung, target, tokens, weights):
    after, before = predicted(target, tokens, weights), predicted(target, tokens)
    assert rung.cross_entropy == pytest.approx(cross_entropy(after, tokens), rel=1e-4)
    assert rung.kl == pytest.approx(divergence(before, after), rel=1e-3, abs=1e-5)


def test_exact_pieces_that_are_all_needed_change_nothing_under_any_mask_that_keeps_them(target, tokens):
    made, before = exact(target), weights_hash(target.module)
    found = measured(target, made, tokens)
    assert [rung.masks for rung in found.rungs] == KINDS
    base = cross_entropy(predicted(target, tokens), tokens)
    assert found.target_cross_entropy == pytest.approx(base, rel=1e-5)
    assert found.rung("target").kl == 0
    for kind in KINDS[1:7]:
        assert found.rung(kind).kl == pytest.approx(0, abs=1e-5), kind
        assert found.rung(kind).cross_entropy == pytest.approx(base, abs=1e-4), kind
    assert found.rung("random").kl > 0.01
    assert found.tokens == 30
    assert weights_hash(target.module) == before
    assert not any(child._forward_hooks for child in target.module.modules())


def test_masks_that_are_the_same_everywhere_act_like_edited_weights(target, tokens):
    made = exact(target, falling)
    found = measured(target, made, tokens)
    g = {name: falling(len(site)) for name, site in made.sites.items()}
    for kind, threshold in (("rounded 0", 0.0), ("rounded 0.1", 0.1), ("rounded 0.5", 0.5)):
        weights = scaled(made, {name: (x > threshold).float() for name, x in g.items()})
        agrees(found.rung(kind), target, tokens, weights)
    agrees(found.rung("importance"), target, tokens, scaled(made, g))
    agrees(found.rung("zero"), target, tokens, scaled(made, {name: 0 * x for name, x in g.items()}))
    assert 0 < found.rung("rounded 0").kl < found.rung("rounded 0.5").kl


def test_the_delta_is_let_through_by_stochastic_masks_only(llama, tokens):
    """Pieces that are nothing leave the whole weight to the delta."""
    made = exact(llama)
    made = replace(made, sites={name: replace(site, U=0 * site.U) for name, site in made.sites.items()})
    found = measured(llama, made, tokens)
    zero = found.rung("zero").kl
    for kind in ("unmasked", "importance", "rounded 0.5", "random"):
        assert found.rung(kind).kl == pytest.approx(zero)
    assert 0 < found.rung("stochastic").kl < 0.9 * zero


def test_random_and_stochastic_masks_are_drawn_by_seed_window_position_and_column(llama, tokens):
    """One window of one token's worth of masks at a time, each as an edit of the weights."""
    made = exact(llama, falling)
    for seed in (0, 3):
        found = measured(llama, made, tokens[:1, :2], seed=seed)
        for kind, filled in (("random", False), ("stochastic", True)):
            masks = {}
            for name, site in made.sites.items():
                g = falling(len(site))
                r = draws.uniform_rows(draws.key(seed, kind, name), torch.arange(1), (2,), len(site) + 1)
                m, d = r[0, :, :-1], r[0, :, -1]
                masks[name] = (g + (1 - g) * m if filled else m, d if filled else 0 * d)
            # Attention sees both positions, so each site's output is put in by hand.
            after = by_hand(llama, made, tokens[:1, :2], masks)
            before = predicted(llama, tokens[:1, :2])
            assert found.rung(kind).kl == pytest.approx(divergence(before, after), rel=1e-3)
    other = measured(llama, made, tokens[:1, :2], seed=4)
    for kind in ("random", "stochastic"):
        assert other.rung(kind).kl != found.rung(kind).kl
    assert other.rung("importance").kl == found.rung("importance").kl


@torch.no_grad()
def by_hand(target, made, tokens, masks):
    handles = []
    for name, site in made.sites.items():
        m, d = masks[name]
        delta = site.delta(target.weight(target.site(name)))

        def replaced(_, args, output, site=site, m=m, d=d, delta=delta):
            return ((args[0] @ site.V) * m) @ site.U + d[:, None] * (args[0] @ delta.T)

        handles.append(target.module.get_submodule(name).register_forward_hook(replaced))
    found = predicted(target, tokens)
    for handle in handles:
        handle.remove()
    return found


def test_the_batches_that_windows_are_measured_in_change_nothing(llama, monkeypatch):
    tokens = torch.randint(300, (9, 6), generator=torch.Generator().manual_seed(2))
    made = exact(llama, falling)
    whole = measured(llama, made, tokens, attack_steps=(0, 2))
    monkeypatch.setattr(ruler, "BATCH", 4)
    found = measured(llama, made, tokens, attack_steps=(0, 2))
    for one, other in zip(found.rungs, whole.rungs, strict=True):
        assert one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)
        assert one.kl == pytest.approx(other.kl, rel=1e-4, abs=1e-6)
    for one, other in zip(found.sites, whole.sites, strict=True):
        assert one.l0 == pytest.approx(other.l0)
        assert one.hidden_error == pytest.approx(other.hidden_error, rel=1e-4)
    assert found.attacks == pytest.approx(whole.attacks, rel=1e-3)


# What is used.


def test_a_sites_facts_are_counts_over_all_rows(llama, tokens, decomposed):
    made = decomposed(llama, *SITES["llama"])
    # Logits spread far on both sides of 0, so that some subcomponents are off in some rows and one in all of them.
    for site in made.sites.values():
        site.importance.B.mul_(2)
        site.importance.b[0] = -100
        site.importance.b[1] = -100 / 99
    found = measured(llama, made, tokens)
    inputs = capture_inputs(llama, [llama.site(name) for name in made.sites], tokens)
    for facts, (name, site) in zip(found.sites, made.sites.items(), strict=True):
        g = site.importance(inputs[name]).flatten(0, 1)
        assert (facts.site, facts.subcomponents) == (name, 8)
        assert facts.l0 == pytest.approx(float((g > 0.1).sum(-1).float().mean()), rel=1e-5)
        assert facts.nonzero == pytest.approx(float((g > 0).sum(-1).float().mean()), rel=1e-5)
        assert facts.alive_mean == int((g.mean(0) > 1e-6).sum()) < 8
        assert facts.alive_fires == int((g.max(0).values > 0.1).sum())
        weight = llama.weight(llama.site(name))
        share = site.delta(weight).square().sum() / weight.square().sum()
        assert facts.faithfulness == pytest.approx(float(share), rel=1e-4)
    assert found.l0 == sum(facts.l0 for facts in found.sites)
    assert found.alive == sum(facts.alive_mean for facts in found.sites)
    assert 0 < found.l0 < found.alive


def test_alive_by_the_mean_and_by_firing_once_are_not_the_same(llama, tokens):
    made = exact(llama, lambda count: torch.tensor([0.0, 1e-7, 1e-3, 0.05, 0.2]).repeat(count)[:count])
    for facts in measured(llama, made, tokens).sites:  # 32 subcomponents: six of each, and two more in front
        assert facts.subcomponents == 32
        assert (facts.alive_fires, facts.l0) == (6, 6)
        assert (facts.alive_mean, facts.nonzero) == (18, 25)


def test_the_hidden_error_is_the_sites_own_with_inputs_masked_upstream(llama, tokens):
    made = exact(llama, falling)
    found = measured(llama, made, tokens)
    first, second = made.sites.values()
    clean = capture_inputs(llama, [llama.site(name) for name in made.sites], tokens)
    edited = scaled(made, {name: falling(len(site)) for name, site in made.sites.items()})
    kept = llama.weight(llama.site(first.site)).clone()
    llama.weight(llama.site(first.site)).copy_(edited[first.site])
    masked = capture_inputs(llama, [llama.site(second.site)], tokens)[second.site]
    llama.weight(llama.site(first.site)).copy_(kept)
    for facts, site, x in zip(found.sites, (first, second), (clean[first.site], masked), strict=True):
        wanted = clean[site.site] @ llama.weight(llama.site(site.site)).T
        error = (x @ edited[site.site].T - wanted).square().sum(-1) / wanted.square().sum(-1)
        assert facts.hidden_error == pytest.approx(float(error.mean()), rel=1e-3)


# The adversary.


def test_the_attack_starts_at_one_random_vector_for_all_rows_and_is_never_less_after_more_steps(llama, tokens):
    made = exact(llama, falling)
    found = measured(llama, made, tokens, attack_steps=(0, 1, 5, 20), seed=2).attacks
    assert list(found) == [0, 1, 5, 20]
    assert list(found.values()) == sorted(found.values())
    assert found[20] > 1.2 * found[0]
    masks, weights = {}, {}
    for name, site in made.sites.items():
        source = torch.rand(len(site) + 1, generator=torch_generator(2, "attack", name))
        g = falling(len(site))
        masks[name] = g + (1 - g) * source[:-1]
        weights |= scaled(replace(made, sites={name: site}), masks, llama, float(source[-1]))
    wanted = divergence(predicted(llama, tokens), predicted(llama, tokens, weights))
    assert found[0] == pytest.approx(wanted, rel=1e-3)


def test_what_an_attack_has_reached_it_does_not_lose(llama, tokens, monkeypatch):
    """Were it to walk downhill, the start would stay the worst."""
    step = ruler.signed_step
    monkeypatch.setattr(ruler, "signed_step", lambda source, gradient, rate: step(source, -gradient, rate))
    found = measured(llama, exact(llama, falling), tokens, attack_steps=(0, 3)).attacks
    assert found[3] == found[0] > 0


def test_the_attack_finds_worse_masks_than_chance_and_none_where_everything_is_needed(llama, tokens):
    found = measured(llama, exact(llama, torch.zeros), tokens, attack_steps=(20,))
    assert found.attacks[20] > found.rung("random").kl
    needed = measured(llama, exact(llama), tokens, attack_steps=(3,))
    assert needed.attacks[3] == pytest.approx(0, abs=1e-5)
    assert measured(llama, exact(llama), tokens).attacks == {}


def test_the_attack_is_on_windows_spread_over_all_of_them(llama, monkeypatch):
    tokens = torch.randint(300, (9, 6), generator=torch.Generator().manual_seed(2))
    made = exact(llama, falling)
    found = measured(llama, made, tokens, attack_steps=(0,), attack_windows=3)
    assert found.attacks == pytest.approx(measured(llama, made, tokens[[0, 4, 8]], attack_steps=(0,)).attacks)
    assert (found.attack_windows, found.attack_tokens, found.tokens) == (3, 18, 54)


def test_the_ladder_says_how_many_windows_the_attack_has_read(llama, tokens):
    found = evaluate(llama, exact(llama), tokens, attack_steps=(0,), attack_windows=2, controls=())
    assert (found.attack_windows, found.attack_tokens) == (2, 20)
    assert repr(found).endswith(" after 0 steps on 2 windows")
    # There are three windows, however many it may read.
    usual = evaluate(llama, exact(llama), tokens, attack_steps=(0,), controls=())
    assert (usual.attack_windows, usual.attack_tokens) == (3, 30)
    none = measured(llama, exact(llama), tokens)
    assert (none.attack_windows, none.attack_tokens) == (0, 0)
    with pytest.raises(UnweaveError, match="attack_windows is 0, and the adversary needs at least 1"):
        evaluate(llama, exact(llama), tokens, attack_windows=0)


# Modules that are no Hugging Face models.


def pieces_of(target, sites):
    """Sites of any target in the pieces of their SVD, all needed."""
    pieces = {}
    for site in map(target.site, sites):
        V, U = tiny.singular_pieces(target.weight(site))
        pieces[site.name] = SiteSubcomponents(site.name, V, U, constant_importance(site.d_in, torch.ones(len(U))))
    return Decomposition(pieces, target.identity.digest, target.name)


def test_a_module_without_a_config_is_measured_where_it_gives_logits():
    """Planted languages: logits of eight words, none at the tag, which is read and never predicted."""
    target = make_target(planted_languages.PlantedLanguages(0), None, "planted", check=False)
    tokens = planted_languages.sequences(4, 0)(0)
    found = pieces_of(target, ("language", "word", "down")).evaluate(target, tokens, attack_steps=(1,))
    with torch.no_grad():
        own = target.logits(tokens)[:, :-1].log_softmax(-1)
    assert own.shape == (4, 10, 8)
    assert found.target_cross_entropy == pytest.approx(cross_entropy(own, tokens[:, 1:]), rel=1e-5)
    assert found.rung("importance").kl == pytest.approx(0, abs=1e-5)
    zero = torch.full_like(own, 1 / 8).log()
    assert found.rung("zero").kl == pytest.approx(divergence(own, zero), rel=1e-4)
    assert found.rung("zero").cross_entropy == pytest.approx(math.log(8), rel=1e-4)
    counts = torch.bincount(tokens.flatten())[:8] + 1
    unigram = (counts / counts.sum()).log().expand_as(own)
    assert found.unigram_cross_entropy == pytest.approx(cross_entropy(unigram, tokens[:, 1:]), rel=1e-5)
    # Its sites see a row less than there are tokens.
    down = planted_languages.WORDS * planted_languages.LANGUAGES
    assert found.sites[0].l0 == found.sites[0].subcomponents <= down


def test_a_token_without_a_logit_is_read_and_not_predicted():
    target = make_target(induction.Induction(0), None, "induction", check=False)
    tokens = induction.sequences(4, 0)(0)
    found = pieces_of(target, ("layers.0.v", "layers.1.o")).evaluate(target, tokens, attack_steps=(1,))
    with torch.no_grad():
        wanted = torch.nn.functional.cross_entropy(
            target.logits(tokens).transpose(1, 2), induction.wanted(tokens), ignore_index=-1
        )
    assert found.target_cross_entropy == pytest.approx(float(wanted), rel=1e-5)
    assert found.unigram_cross_entropy < 10
    assert found.rung("unmasked").kl == pytest.approx(0, abs=1e-5)
    with pytest.raises(UnweaveError, match=r"^induction has logits of tokens 0 to 7, and no window has one"):
        pieces_of(target, ("layers.0.v",)).evaluate(target, torch.full((2, 6), induction.SPECIAL))


# Against the baselines, on a target that knows its text.


@pytest.fixture(scope="module")
def heldout(planted_target, planted_text):
    windows = windows_by_label(planted_target.tokenizer, planted_text, "evaluation", count=2)
    return torch.cat([torch.as_tensor(part) for part in windows.values()])


@pytest.fixture(scope="module")
def planted_ladder(planted_target, planted_decomposition, planted_text):
    return evaluate(planted_target, planted_decomposition, planted_text, windows=2, attack_steps=(2,))


def test_unrecovered_is_0_for_the_target_and_1_or_more_for_nothing(planted_ladder):
    rungs = {rung.masks: rung for rung in planted_ladder.rungs}
    assert rungs["target"].unrecovered == 0
    assert rungs["zero"].unrecovered >= 1 - 1e-6
    base = planted_ladder.target_cross_entropy
    worst = min(rungs["zero"].cross_entropy, planted_ladder.unigram_cross_entropy)
    assert worst > base + 0.1
    for rung in rungs.values():
        assert rung.unrecovered == pytest.approx((rung.cross_entropy - base) / (worst - base))
    # The trained decomposition lies between.
    assert abs(rungs["unmasked"].unrecovered) < 0.02
    assert rungs["importance"].unrecovered < 0.5 * rungs["random"].unrecovered


def test_the_unigram_model_is_counted_on_the_decomposition_part(
    planted_ladder, planted_target, planted_text, planted_decomposition, heldout
):
    seen = windows_by_label(planted_target.tokenizer, planted_text, "decomposition", at_most=10**6)
    counts = torch.bincount(torch.cat([torch.as_tensor(part) for part in seen.values()]).flatten(), minlength=170)
    wanted = -((counts + 1) / (counts + 1).sum()).log()[heldout[:, 1:]].mean()
    assert planted_ladder.unigram_cross_entropy == pytest.approx(float(wanted), rel=1e-5)
    assert planted_ladder.tokens == heldout.numel() == 4 * 2 * planted.LENGTH
    # Windows alone are counted by themselves, which predicts them better.
    own = evaluate(planted_target, planted_decomposition, heldout, attack_steps=())
    assert own.unigram_cross_entropy < planted_ladder.unigram_cross_entropy
    for kind in KINDS:
        assert own.rung(kind).kl == pytest.approx(planted_ladder.rung(kind).kl, rel=1e-4, abs=1e-6)


def test_a_unigram_model_adds_one_to_every_count():
    found = unigram_model(torch.tensor([[0, 0, 2]]), 4).exp()
    torch.testing.assert_close(found, torch.tensor([3.0, 1.0, 2.0, 1.0]) / 7)


def test_labels_part_and_number_of_windows_are_chosen(planted_target, planted_decomposition, planted_text):
    options = {"labels": ["qa"], "windows": 3, "length": 16, "attack_steps": ()}
    found = evaluate(planted_target, planted_decomposition, planted_text, part="selection", **options)
    windows = windows_by_label(planted_target.tokenizer, planted_text, "selection", ["qa"], 16, count=3)["qa"]
    assert found.tokens == 48
    base = cross_entropy(predicted(planted_target, torch.as_tensor(windows)), torch.as_tensor(windows))
    assert found.target_cross_entropy == pytest.approx(base, rel=1e-5)


def test_a_target_no_better_than_the_unigram_model_leaves_nothing_to_recover(llama, tokens):
    """Random weights on random tokens."""
    found = measured(llama, exact(llama), tokens)
    assert found.unigram_cross_entropy < found.target_cross_entropy
    assert {rung.unrecovered for rung in found.rungs} == {None}


# The value, and refusals.


def test_what_gives_no_ladder_is_refused_with_what_is_needed(llama, planted_text):
    rows = tiny.features()
    made = pieces_of(rows, ("first", "second"))
    with pytest.raises(UnweaveError, match=r"to a target that predicts them \(feature rows have no ladder\)$"):
        made.evaluate(rows, tiny.rows()(0))
    words = tiny.words()
    with pytest.raises(UnweaveError, match=r"^tiny words has no tokenizer to read corpus .* windows of tokens"):
        pieces_of(words, ("up",)).evaluate(words, planted_text)
    for windows in (0, -1):
        with pytest.raises(
            UnweaveError, match=f"^windows is {windows}, and the ladder needs at least 1 for each label"
        ):
            exact(llama).evaluate(llama, planted_text, windows=windows)


def test_a_target_that_gives_no_logits_by_position_is_refused():
    words = tiny.words()
    made, forward = pieces_of(words, ("up",)), words.module.forward
    for taken in (lambda logits: logits[:, -1], lambda logits: logits[:, -1:]):
        words.module.forward = lambda tokens, taken=taken: taken(forward(tokens))
        with pytest.raises(UnweaveError, match=r"^tiny words gives \(1, .*12\) for a window of 5 tokens"):
            made.evaluate(words, tiny.sentences()(0))


def test_a_ladder_is_plain_json_and_says_how_far_it_is(llama, tokens):
    said = []
    progress = SimpleNamespace(update=lambda done, total, note="": said.append(note), say=said.append)
    found = measure_ladder(llama, exact(llama, falling), tokens, attack_steps=(1,), progress=progress)
    again = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert again["l0"] == found.l0
    assert again["alive"] == found.alive
    assert [rung["masks"] for rung in again["rungs"]] == KINDS
    assert again["sites"][0]["subcomponents"] == 32
    assert set(KINDS) <= set(said)
    assert said[-1].startswith("adversary, KL ")


def test_a_ladder_shows_itself_as_a_short_table(planted_ladder):
    lines = repr(planted_ladder).splitlines()
    assert lines[0].startswith(f"Ladder({planted_ladder.tokens:,} tokens, L0 {planted_ladder.l0:.1f} of ")
    assert len(lines) == 2 + len(planted_ladder.rungs) + 1
    importance = planted_ladder.rung("importance")
    row = next(line for line in lines if line.startswith("importance "))
    assert row.split()[1:] == [
        f"{importance.cross_entropy:.3f}", f"{importance.kl:.4f}", f"{importance.unrecovered:.3f}"
    ]  # fmt: skip
    assert lines[-1].startswith("adversary, KL: ")
    assert {len(line) for line in lines[1:-1]} == {51}


def test_the_same_measurement_twice_is_the_same(llama, tokens):
    made = exact(llama, falling)
    first, second = (measured(llama, made, tokens, attack_steps=(2,), seed=seed) for seed in (1, 1))
    assert first == second


@pytest.mark.parametrize("kind", IMPORTANCES)
def test_every_kind_of_importance_is_measured(llama, tokens, kind):
    shapes, tensors = [], {}
    for number, name in enumerate(SITES["llama"]):
        site = llama.site(name)
        shapes.append(SiteShape(name, site.d_in, 6))
        tensors |= {f"{name}/V": torch.randn(site.d_in, 6), f"{name}/U": torch.randn(6, site.d_out)}
        tensors[f"{name}/importance.scale"] = torch.tensor(1.0 + number)
    tensors |= IMPORTANCES[kind].init(shapes, Widths(8, 1, 2), 0)
    made = Decomposition.from_tensors(tensors, SITES["llama"], kind, llama.identity.digest)
    found = measured(llama, made, tokens, attack_steps=(1,))
    g = made.importances(capture_inputs(llama, [llama.site(name) for name in SITES["llama"]], tokens))
    assert found.l0 == pytest.approx(sum(float((x > 0.1).sum(-1).float().mean()) for x in g.values()), rel=1e-4)


def test_a_decomposition_of_another_target_is_refused(llama, fresh, tokens):
    with pytest.raises(UnweaveError, match=r"belongs to target .* \(tiny llama\), not to"):
        measured(fresh("qwen2"), exact(llama), tokens)


TOKENS = torch.zeros(2, 3, 4).long()


@pytest.mark.parametrize("data", [TOKENS[:0], TOKENS[0].float(), TOKENS[0, :, :1], TOKENS, TOKENS[0, 0]])
def test_data_that_is_not_windows_of_tokens_is_refused(llama, data):
    with pytest.raises(UnweaveError, match=r"^the data has shape .*: .*give windows of tokens \(n, t\)"):
        evaluate(llama, exact(llama), data)
