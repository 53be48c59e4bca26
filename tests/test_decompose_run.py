from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import planted
import pytest
import torch

from unweave.base.errors import DecompositionFailed, UnweaveError
from unweave.decompose import batches, site_local
from unweave.decompose import site_local_run as run
from unweave.decompose.batches import balanced_rows
from unweave.decompose.decomposition import Decomposition, random_like
from unweave.decompose.run import decompose

QUICK = replace(planted.CONFIG, steps=30, windows=10, batch=64)


@pytest.fixture
def made(planted_target, planted_text, tmp_path, monkeypatch):
    """Decomposes the planted site; the cache is in the test's own folder."""
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(site_local, "compiler_works", lambda: False)

    def make(config=QUICK, sites=planted.SITE, check=False, **options):
        return decompose(planted_target, planted_text, replace(config, sites=sites), check=check, **options)

    return make


def same(first, second):
    pairs = [(pieces, second.sites[name]) for name, pieces in first.sites.items()]
    return all(torch.equal(one.V, two.V) and torch.equal(one.U, two.U) for one, two in pairs)


def test_the_card_says_what_it_was_made_of_and_how_good_it_is(planted_decomposition, planted_target, planted_text):
    card = planted_decomposition.card
    assert card["config"] == asdict(planted.CONFIG)
    assert card["labels"] == list(planted.LABELS)
    assert card["windows"] == dict.fromkeys(planted.LABELS, 100)
    assert card["tokens"] == 4 * 100 * 64
    assert card["data"] == planted_text.fingerprint("decomposition")
    assert card["failures"] == []
    assert card["sites"][planted.SITE]["quality"]["passed"]
    assert planted_decomposition.target == planted_target.identity.digest
    assert len(planted_decomposition.site(planted.SITE)) == 96


def test_what_is_saved_is_what_is_returned_and_nothing_else_stays(made, tmp_path):
    found = made(out=tmp_path / "one.decomp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "one.decomp"]
    stored = Decomposition.load(tmp_path / "one.decomp")
    assert same(found, stored)
    assert stored.card == json.loads(json.dumps(found.card))


def test_inputs_are_captured_once(made, monkeypatch):
    captured = []
    original = run.capture_to_disk

    def remembering(*args, **options):
        found = original(*args, **options)
        captured.append(found.folder)
        return found

    monkeypatch.setattr(run, "capture_to_disk", remembering)
    first = made()
    stamp = (captured[0] / "inputs.f16").stat().st_mtime_ns
    assert same(made(), first)
    assert (captured[1] / "inputs.f16").stat().st_mtime_ns == stamp
    assert captured[0] == captured[1]


def test_several_sites_are_taken_apart_each_by_itself(made):
    both = made(sites="model.layers.1.*.[ov]_proj")
    assert list(both.sites) == ["model.layers.1.self_attn.v_proj", planted.SITE]
    assert set(both.card["sites"]) == set(both.sites)
    alone = made()
    assert torch.equal(alone.sites[planted.SITE].V, both.sites[planted.SITE].V)


def test_an_interrupted_call_goes_on_where_it_stopped(made, tmp_path, monkeypatch):
    whole = made(out=tmp_path / "whole.decomp")
    save = site_local._save
    with monkeypatch.context() as patch:
        ticks = iter(range(0, 10**9, 100))
        patch.setattr(site_local.time, "monotonic", lambda: next(ticks))

        def stopping(path, settings, state, optimiser, step):
            save(path, settings, state, optimiser, step)
            if step == 20:
                raise KeyboardInterrupt

        patch.setattr(site_local, "_save", stopping)
        with pytest.raises(KeyboardInterrupt):
            made(out=tmp_path / "half.decomp")
    assert not (tmp_path / "half.decomp").exists()
    assert (tmp_path / "half.decomp.training" / f"{planted.SITE}.safetensors").exists()
    steps = []
    original = site_local._Adam.step
    monkeypatch.setattr(site_local._Adam, "step", lambda self, step: (steps.append(step), original(self, step)))
    assert same(made(out=tmp_path / "half.decomp"), whole)
    assert steps == list(range(20, 30))
    assert not (tmp_path / "half.decomp.training").exists()


def test_an_untrained_one_fails_and_is_kept_marked_as_failed(made, tmp_path):
    line = r"failed its check: .*svd.*; it is kept in .*one.decomp, marked as failed$"
    with pytest.raises(DecompositionFailed, match=line) as failed:
        made(replace(QUICK, steps=1), check=True, out=tmp_path / "one.decomp")
    assert failed.value.exit_code == 1
    assert "\n" not in str(failed.value)
    card = Decomposition.load(tmp_path / "one.decomp").card
    assert card["failures"]
    assert not card["sites"][planted.SITE]["quality"]["passed"]


def test_one_of_random_directions_fails(made, tmp_path, monkeypatch):
    train = run.train_site

    def randomised(*args, **options):
        return random_like(train(*args, **options), torch.Generator().manual_seed(0))

    monkeypatch.setattr(run, "train_site", randomised)
    with pytest.raises(DecompositionFailed, match="failed its check"):
        made(check=True, out=tmp_path / "one.decomp")
    assert Decomposition.load(tmp_path / "one.decomp").card["failures"]


def test_the_check_reads_text_that_training_never_saw(made, planted_text, monkeypatch):
    parts = []
    windows = batches.windows_by_label

    def spy(tokenizer, corpus, part, labels, *args, **options):
        parts.append((part, list(labels)))
        return windows(tokenizer, corpus, part, labels, *args, **options)

    monkeypatch.setattr(batches, "windows_by_label", spy)
    made(labels=("qa", "qb"))
    assert parts == [("decomposition", ["qa", "qb"]), ("selection", ["qa", "qb"])]


def test_what_cannot_be_done_is_refused_before_anything_is_trained(made, tmp_path):
    (tmp_path / "one.decomp").mkdir()
    with pytest.raises(UnweaveError, match="already exists: choose another --out"):
        made(out=tmp_path / "one.decomp")
    with pytest.raises(UnweaveError, match=r"site 'model.layers.9.mlp' is not in this target; nearest: "):
        made(sites="model.layers.9.mlp")
    with pytest.raises(UnweaveError, match=r"label 'qz' is not in corpus"):
        made(labels=("qa", "qz"))
    assert not (tmp_path / "cache").exists()


def test_training_draws_from_the_balanced_rows(made, planted_text, monkeypatch):
    drawn = []
    original = run.train_site

    def spy(site, weight, inputs, *args, **options):
        drawn.append(inputs.rows.tolist())
        return original(site, weight, inputs, *args, **options)

    monkeypatch.setattr(run, "train_site", spy)
    monkeypatch.setattr(run, "text_windows", _shortened(run.text_windows))
    found = made()
    counts = list(found.card["windows"].values())
    assert counts == [10, 10, 10, 3]
    assert drawn == [balanced_rows(counts).tolist()]
    assert drawn[0].count(30) > 1


def _shortened(windows):
    """The last label has only three windows."""

    def drawn(*arguments):
        found = windows(*arguments)
        return found | {planted.LABELS[-1]: found[planted.LABELS[-1]][:3]}

    return drawn


def test_a_label_with_little_text_is_drawn_as_often_as_the_others():
    rows = balanced_rows([4, 2, 4])
    assert np.bincount(rows).tolist() == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1]
    assert np.bincount(balanced_rows([5, 2])).tolist() == [1, 1, 1, 1, 1, 3, 2]
    assert balanced_rows([3, 3]).tolist() == list(range(6))
