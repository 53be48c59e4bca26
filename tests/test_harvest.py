"""The harvest against plain counting, cut into shards, stopped and gone on with, and damaged."""

from __future__ import annotations

import json
import shutil

import numpy as np
import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.text import Corpus
from unweave.corpora.windows import placed_windows
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.importance import Importance, init_importance
from unweave.models.capture import capture_inputs
from unweave.read.features import FIRES, subcomponent_dictionary
from unweave.read.harvest import Harvest, HarvestConfig, harvest, read_shard, token_table
from unweave.read.harvest.checks import check_harvest
from unweave.read.harvest.run import plan_harvest, shards_folder
from unweave.read.harvest.text import read_text
from unweave.read.harvest.value import TokenCounts

CONFIG = HarvestConfig(windows=6, length=24, batch=4, shown=5, held=3, context=3, pool=4, draws=2, partners=4)
SITES = {"model.layers.0.mlp.up_proj": 9, "model.layers.1.self_attn.o_proj": 7}


@pytest.fixture(scope="module")
def corpus():
    texts = {label: (planted.text(label, 40, 1),) for label in ("qa", "qb")}
    return Corpus("planted", {"selection": texts, "evaluation": {"qa": (planted.text("qa", 20, 2),)}})


@pytest.fixture(scope="module")
def dictionary(planted_target):
    generator = torch.Generator().manual_seed(3)
    sites = {}
    for name, count in SITES.items():
        site = planted_target.site(name)
        tensors = init_importance(site.d_in, 8, count, generator)
        tensors["b"] = torch.full((count,), -0.4)  # most importances are 0, as those of a trained one are
        V = torch.randn(site.d_in, count, generator=generator)
        U = torch.randn(count, site.d_out, generator=generator)
        sites[name] = SiteSubcomponents(name, V, U, Importance(torch.tensor(1.0), **tensors))
    made = Decomposition(sites, planted_target.identity.digest, planted_target.name)
    return subcomponent_dictionary(made, planted_target, "random")


@pytest.fixture(scope="module")
def made(planted_target, dictionary, corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("harvest") / "one.harvest"
    return harvest(planted_target, dictionary, corpus, CONFIG, out=out)


@pytest.fixture(scope="module")
def plan(planted_target, dictionary, corpus):
    return plan_harvest(planted_target, dictionary, corpus, CONFIG)


@pytest.fixture(scope="module")
def readings(planted_target, dictionary, plan):
    """Importance and activation [n, t, C] of all windows, by the plain way."""
    tokens = torch.as_tensor(plan.text.tokens, dtype=torch.long)
    sites = planted_target.sites(list(SITES))
    with torch.no_grad():
        inputs = capture_inputs(planted_target, sites, tokens)
        importance = dictionary.decomposition.importances(inputs)
        activation = {name: dictionary.decomposition.sites[name].activations(x) for name, x in inputs.items()}
    return tuple(np.concatenate([one[name].numpy() for name in SITES], -1) for one in (importance, activation))


def test_every_count_is_that_of_plain_counting(made, plan, readings):
    importance, activation = readings
    fires = importance > np.float32(FIRES)
    assert 0.02 < fires.mean() < 0.9
    assert np.array_equal(made.firing, fires.sum((0, 1)))
    for label in range(2):
        mine = plan.text.label == label
        assert np.array_equal(made.firing_by_label[:, label], fires[mine].sum((0, 1)))
        np.testing.assert_allclose(made.importance_by_label[:, label], importance[mine].mean((0, 1)), atol=1e-5)
        alone = mine & ~plan.text.held
        assert np.array_equal(made.shown_by_label[:, label], fires[alone].sum((0, 1)))
        assert made.shown_tokens_by_label[label] == 24 * alone.sum()
    assert np.array_equal(made.firing_by_position, fires.sum(0).T)
    assert np.array_equal(made.shown_by_position, fires[~plan.text.held].sum(0).T)
    assert np.array_equal(made.tokens_by_label, 24 * np.bincount(plan.text.label, minlength=2))
    row = int(made.firing.argmax())
    np.testing.assert_allclose(made.activation_mean[row], activation[..., row][fires[..., row]].mean(), rtol=1e-4)
    np.testing.assert_allclose(made.importance_mean[row], importance[..., row][fires[..., row]].mean(), rtol=1e-4)
    counts, _ = np.histogram(importance[..., row][importance[..., row] > 0], made.IMPORTANCE_EDGES)
    assert abs(made.importance_histogram[row] - counts).sum() <= 2  # numpy's bins are closed on the other side
    levels = activation[..., row][fires[..., row]]
    edges = np.concatenate([[-np.inf], made.ACTIVATION_EDGES[1:-1], [np.inf]])
    assert abs(made.activation_histogram[row] - np.histogram(levels, edges)[0]).sum() <= 2


def test_tokens_are_counted_in_shown_windows_only(made, plan, readings):
    fires = readings[0] > np.float32(FIRES)
    shown = ~plan.text.held
    assert 0 < shown.sum() < len(shown)
    for row in range(len(made)):
        expected = np.bincount(plan.text.tokens[shown][fires[shown][..., row]], minlength=300)
        counts = made.input_tokens(row)
        assert np.array_equal(np.bincount(counts.tokens, counts.counts, 300), expected)
    assert np.array_equal(
        made.vocabulary.count[:300],
        np.bincount(plan.text.tokens[shown].reshape(-1), minlength=300)[: len(made.vocabulary.count)],
    )


def test_output_tokens_follow_the_models_own_distribution(planted_target, made, plan, readings):
    fires = readings[0] > np.float32(FIRES)
    shown = ~plan.text.held
    with torch.no_grad():
        logits = planted_target.logits(torch.as_tensor(plan.text.tokens[shown], dtype=torch.long))
    chance = logits.double().softmax(-1).numpy()
    row = int(made.firing_shown.argmax())
    mass = chance[fires[shown][..., row]].sum(0)
    counts = made.output_tokens(row)
    drawn = np.bincount(counts.tokens, counts.counts, len(mass)) / CONFIG.draws
    assert drawn.sum() == pytest.approx(mass.sum())
    # Each position misses a token's share by less than one draw of CONFIG.draws.
    wrong = np.abs(drawn - mass)
    assert wrong.max() < 3 * np.sqrt(mass.sum()) / CONFIG.draws
    assert np.corrcoef(drawn, mass)[0, 1] > 0.9


def test_examples_are_firings_with_their_context(made, plan, readings):
    importance, activation = readings
    for row in range(len(made)):
        for held in (False, True):
            found = made.examples(row, held)
            firing = (importance[..., row] > np.float32(FIRES)) & (plan.text.held == held)[:, None]
            assert len(found) == min(CONFIG.held if held else CONFIG.shown, firing.sum())
            assert len({(one.window, one.position) for one in found}) == len(found)
            for one in found:
                assert firing[one.window, one.position]
                first = one.position - one.offset
                where = slice(first, first + len(one.tokens))
                assert first == max(0, one.position - CONFIG.context)
                assert np.array_equal(one.tokens, plan.text.tokens[one.window, where])
                np.testing.assert_allclose(one.importance, importance[one.window, where, row], atol=1e-3)
                np.testing.assert_allclose(one.activation, activation[one.window, where, row], rtol=1e-4, atol=1e-4)
                assert one.label == plan.text.label[one.window]


def test_a_sample_of_firings_is_uniform(planted_target, dictionary, corpus, tmp_path):
    """Over seeds, early and late windows are drawn alike: a reservoir that keeps the first ones would fail."""
    places = []
    for seed in range(12):
        config = HarvestConfig(windows=6, length=24, batch=4, shown=2, held=1, context=0, pool=1, partners=1, seed=seed)
        one = harvest(planted_target, dictionary, corpus, config, out=tmp_path / f"{seed}.harvest")
        found = [example for row in range(len(one)) for example in one.examples(row)]
        places += [(example.window + 0.5) / one.facts.windows for example in found]
    assert len(places) > 200
    assert abs(np.mean(places) - 0.5) < 4 / np.sqrt(12 * len(places)) * 2


def test_the_pool_keeps_every_firing(made, plan, readings):
    importance, activation = readings
    pool = made.pool
    sorts = np.bincount(plan.text.held, minlength=2)
    assert np.array_equal(np.bincount(pool.held, minlength=2), np.minimum(sorts, CONFIG.pool))
    for row in range(len(made)):
        flat, strength, level = pool.firing(row)
        window, place = pool.window[flat // pool.length], flat % pool.length
        expected = importance[pool.window][..., row] > np.float32(FIRES)
        assert np.array_equal(np.flatnonzero(expected), flat)
        np.testing.assert_allclose(strength, importance[window, place, row], atol=1e-3)
        np.testing.assert_allclose(level, activation[window, place, row], rtol=1e-4, atol=1e-4)
    rows, strength, _ = pool.at(2, 5)
    assert np.array_equal(rows, np.flatnonzero(importance[pool.window[2], 5] > np.float32(FIRES)))


def test_partners_fire_together(made, readings):
    fires = readings[0][made.pool.window].reshape(-1, len(made)) > np.float32(FIRES)
    row = int(fires.sum(0).argmax())
    both = (fires & fires[:, [row]]).sum(0)
    jaccard = both / (fires | fires[:, [row]]).sum(0)
    jaccard[row] = 0
    found = made.partners(row)
    assert len(found.partner)
    np.testing.assert_allclose(found.jaccard, jaccard[found.partner], rtol=1e-5)
    assert found.jaccard[0] == pytest.approx(jaccard[both >= 3].max())
    assert np.array_equal(found.together, both[found.partner])
    first = found.partner[0]
    share = fires.mean(0)
    assert found.pmi[0] == pytest.approx(np.log((both[first] / len(fires)) / (share[row] * share[first])), rel=1e-4)


def test_shards_merge_to_the_same_bytes(planted_target, dictionary, corpus, made, tmp_path):
    out = tmp_path / "shared.harvest"
    for number in (2, 0, 1):
        read_shard(planted_target, dictionary, corpus, CONFIG, out=out, shard=(number, 3))
    merged = harvest(planted_target, dictionary, corpus, CONFIG, out=out)
    assert merged.facts.tokens_read_here == 0
    assert not shards_folder(out).exists()
    assert _hashes(merged) == _hashes(made)


def test_a_stopped_harvest_goes_on(planted_target, dictionary, corpus, made, tmp_path, monkeypatch):
    out, seen = tmp_path / "stopped.harvest", []

    class Stop:
        def update(self, done, total, note=""):
            seen.append(done)
            raise KeyboardInterrupt

        def say(self, line):
            pass

    read_shard(planted_target, dictionary, corpus, CONFIG, out=out, shard=(0, 2))
    with pytest.raises(KeyboardInterrupt):
        harvest(planted_target, dictionary, corpus, CONFIG, out=out, progress=Stop())
    assert not out.exists()
    resumed = harvest(planted_target, dictionary, corpus, CONFIG, out=out)
    assert 0 < resumed.facts.tokens_read_here < resumed.facts.tokens / 2
    assert _hashes(resumed) == _hashes(made)


def test_shards_of_another_harvest_are_refused(planted_target, dictionary, corpus, tmp_path):
    out = tmp_path / "x.harvest"
    read_shard(planted_target, dictionary, corpus, CONFIG, out=out, shard=(0, 2))
    other = HarvestConfig(**{**CONFIG.__dict__, "seed": 1})
    with pytest.raises(UnweaveError, match="of another harvest"):
        harvest(planted_target, dictionary, corpus, other, out=out)
    with pytest.raises(UnweaveError, match="2/2: shards of 2 are 0/2 to 1/2"):
        read_shard(planted_target, dictionary, corpus, CONFIG, out=out, shard=(2, 2))


def test_a_wrong_tensor_is_found(planted_target, dictionary, corpus, made, tmp_path):
    """Others have shipped caches of another tensor than they said: recomputing a sample finds it."""

    class Shifted:
        kind, name, digest, target = dictionary.kind, dictionary.name, dictionary.digest, dictionary.target
        groups = dictionary.groups

        def encode(self, values):
            return dictionary.encode({name: x.roll(1, 1) for name, x in values.items()})

    wrong = harvest_unchecked(planted_target, Shifted(), corpus, tmp_path / "wrong.harvest")
    with pytest.raises(UnweaveError, match="from what the model gives now"):
        check_harvest(wrong, planted_target, dictionary)
    assert check_harvest(made, planted_target, dictionary)["examples"] > 10


def test_a_wrong_tensor_of_a_coder_is_found_and_nothing_is_written(planted_target, corpus, tmp_path):
    from unweave.read.dictionaries import load_dictionary, save_probes

    probes = tmp_path / "probes"
    generator = torch.Generator().manual_seed(1)
    width = planted_target.site("model.layers.0.mlp.up_proj").d_in
    save_probes(
        probes, torch.randn(5, width, generator=generator), torch.zeros(5), list("abcde"), "blocks.1.hook_resid_post"
    )
    right = load_dictionary(probes, planted_target)

    class Shifted:
        kind, name, digest, target, groups = right.kind, right.name, right.digest, right.target, right.groups

        def encode(self, values):
            return right.encode({name: x.roll(1, 1) for name, x in values.items()})

    out = tmp_path / "probes.harvest"
    with pytest.raises(UnweaveError, match="holds another tensor"):
        harvest(planted_target, Shifted(), corpus, CONFIG, out=out)
    assert not out.exists()
    shutil.rmtree(shards_folder(out))  # what was counted wrongly stays until the dictionary is another
    assert len(harvest(planted_target, right, corpus, CONFIG, out=out)) == 5


def test_windows_are_held_out_with_their_neighbours(planted_target, tmp_path):
    long = Corpus("long", {"selection": {"qa": (planted.text("qa", 1200, 1),), "qb": (planted.text("qb", 1200, 1),)}})
    config = HarvestConfig(length=16)
    text = read_text(planted_target.tokenizer, [long], config)
    windows, places = placed_windows(planted_target.tokenizer, long, "selection", "qa", 16, at_most=10**6)
    place = {window.tobytes(): at for window, at in zip(windows.astype(np.int32), places, strict=True)}
    mine = text.label == 0
    order = np.argsort([place[window.tobytes()] for window in text.tokens[mine]])
    held = text.held[mine][order]
    assert 0.05 < held.mean() < 0.5
    assert (np.diff(held.astype(int)) != 0).sum() <= 2 * -(-len(held) // 32)


def test_shards_of_different_counts_are_refused_before_anything_is_read(planted_target, dictionary, corpus, tmp_path):
    out = tmp_path / "mixed.harvest"
    read_shard(planted_target, dictionary, corpus, CONFIG, out=out, shard=(0, 2))
    read_shard(planted_target, dictionary, corpus, CONFIG, out=out, shard=(0, 4))
    with pytest.raises(UnweaveError, match="have read batch 0, as shards of different counts do"):
        harvest(planted_target, dictionary, corpus, CONFIG, out=out)
    assert not (shards_folder(out) / "rest.safetensors").exists()


def test_a_target_without_tokenizer_is_refused(corpus):
    with pytest.raises(UnweaveError, match="has no tokenizer"):
        read_text(None, [corpus], CONFIG)


def harvest_unchecked(target, dictionary, corpus, out):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unweave.read.harvest.run.check_harvest", lambda *_: None)
        return harvest(target, dictionary, corpus, CONFIG, out=out)


def test_importances_beyond_one_and_nan_are_refused(planted_target, dictionary, corpus, tmp_path):
    for value, match in ((1.5, r"to 1\.5, and they must be in"), (float("nan"), "nan, and they must be in")):

        class Broken:
            kind, name, digest, target = dictionary.kind, dictionary.name, dictionary.digest, dictionary.target
            groups = dictionary.groups

            def encode(self, values, value=value):
                found = dictionary.encode(values)
                for reading in found.values():
                    reading.importance[0, 0, 0] = value
                return found

        with pytest.raises(UnweaveError, match=match):
            harvest(planted_target, Broken(), corpus, CONFIG, out=tmp_path / "broken.harvest")


def test_a_damaged_harvest_is_refused(made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made.folder, copy)
    Harvest.load(copy)
    (copy / "examples.parquet").write_bytes(b"PAR1" + bytes(40))
    with pytest.raises(UnweaveError, match=r"examples\.parquet is damaged"):
        Harvest.load(copy)
    (copy / "harvest.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(UnweaveError, match="format 9"):
        Harvest.load(copy)
    with pytest.raises(UnweaveError, match="there is no such folder"):
        Harvest.load(tmp_path / "nowhere")


def test_names_and_rows(made):
    for row in (0, 8, 9, 15):
        assert made.row(made.name(row)) == row
    assert made.name(9) == "model.layers.1.self_attn.o_proj:0"
    for name in ("model.layers.1.self_attn.o_proj:7", "model.layers.1.self_attn.o_proj:-1", "nothing:0", "nothing"):
        with pytest.raises(UnweaveError, match="is not in this harvest"):
            made.row(name)


def test_tokens_beyond_the_tables_are_counted_as_one(planted_target, dictionary, corpus, made, tmp_path):
    few = HarvestConfig(**{**CONFIG.__dict__, "table_gb": 16 * 8 * 101 / 1e9})
    small = harvest(planted_target, dictionary, corpus, few, out=tmp_path / "few.harvest")
    assert int(small.vocabulary.own_column.sum()) == 100
    row = int(made.firing_shown.argmax())
    whole, part = made.input_tokens(row), small.input_tokens(row)
    assert part.counts.sum() == whole.counts.sum()
    own = np.isin(whole.tokens, part.tokens)
    assert np.array_equal(whole.counts[own], part.counts[part.tokens >= 0])
    # What is said of a token does not depend on how many others are told apart.
    for found in (made.input_table, made.output_table):
        same = {"input_table": small.input_table, "output_table": small.output_table}[found.__name__](row)
        every = found(row)
        at = [every.tokens.tolist().index(token) for token in same.tokens]
        for name in ("precision", "recall", "pmi"):
            np.testing.assert_allclose(getattr(same, name), getattr(every, name)[at], rtol=1e-12)


def test_a_token_table_by_hand():
    table = token_table(TokenCounts(np.array([0, 2, -1]), np.array([6, 2, 2])), np.array([8, 0, 12]), 100)
    assert table.tokens.tolist() == [0, 2]
    assert table.precision.tolist() == [6 / 8, 2 / 12]
    assert table.recall.tolist() == [0.6, 0.2]
    np.testing.assert_allclose(table.pmi, np.log([0.6 / 0.08, 0.2 / 0.12]))


def _hashes(one):
    return json.loads((one.folder / "harvest.json").read_text())["sha256"]
