from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from threading import Event
from types import SimpleNamespace

import numpy as np
import planted
import pytest
import torch
from filelock import FileLock

from unweave.base.errors import DecompositionFailed, UnweaveError
from unweave.base.progress import Silent
from unweave.decompose import batches, quality, site_local, site_local_cost, site_local_jobs
from unweave.decompose import site_local_run as run
from unweave.decompose.batches import balanced_rows
from unweave.decompose.config import WholeModelConfig
from unweave.decompose.decomposition import Decomposition, random_like
from unweave.decompose.ladder import measure_ladder
from unweave.decompose.run import decompose
from unweave.decompose.site_local_cost import capture_groups

QUICK = replace(planted.CONFIG, steps=30, windows=10, batch=64)


@pytest.fixture
def made(planted_target, planted_text, tmp_path, monkeypatch):
    """Decomposes the planted site; the cache is in the test's own folder."""
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(site_local, "compiler_works", lambda: False)

    def make(config=QUICK, sites=planted.SITE, check=False, **options):
        return decompose(planted_target, planted_text, replace(config, sites=sites), check=check, **options)

    return make


@pytest.fixture
def short_check(monkeypatch):
    """Two held-out windows a label, and adversaries of two steps: what fails its check fails this too."""
    monkeypatch.setattr(quality, "ATTACK_STEPS", 2)
    for name in ("ATTACK_STEPS", "CHECK_WINDOWS"):
        monkeypatch.setattr(run, name, 2)


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
    original = run.capture_together

    def remembering(*args, **options):
        found = original(*args, **options)
        captured.append(found[planted.SITE].folder)
        return found

    monkeypatch.setattr(run, "capture_together", remembering)
    first = made()
    stamp = (captured[0] / "inputs.f16").stat().st_mtime_ns
    assert same(made(), first)
    assert (captured[1] / "inputs.f16").stat().st_mtime_ns == stamp
    assert captured[0] == captured[1]


def test_two_runs_of_one_site_do_not_touch_its_inputs_at_once(made, tmp_path, monkeypatch):
    """Another run, of several sites, is in the middle of its capture: this one waits, and then captures anew."""
    wanted, said = made(), Event()
    folder = next((tmp_path / "cache" / "captures").glob("*.o_proj"))
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "inputs.f16").write_bytes(b"half written")

    class Waiting(Silent):
        def say(self, line):
            if line == f"another run has the inputs in {folder}: waiting until it is done with them":
                said.set()

    with ThreadPoolExecutor(1) as pool:
        with FileLock(f"{folder}.lock"):
            call = pool.submit(made, progress=Waiting())
            assert said.wait(200)
            assert [path.name for path in folder.iterdir()] == ["inputs.f16"]
            shutil.rmtree(folder)
        assert same(call.result(), wanted)


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

        def stopping(path, settings, state, optimiser, step, seconds):
            save(path, settings, state, optimiser, step, seconds)
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


VALUES = "model.layers.1.self_attn.v_proj"
BOTH = f"{VALUES},{planted.SITE}"


def captured(folder):
    return sorted(path.parent.name.split("-")[-1] for path in (folder / "cache" / "captures").glob("*/inputs.f16"))


def test_captured_inputs_go_with_their_site_and_stay_for_a_single_one(made, tmp_path):
    made(sites=BOTH, out=tmp_path / "both.decomp")
    assert captured(tmp_path) == []
    made()
    assert captured(tmp_path) == [planted.SITE]


def test_several_sites_are_masked_all_at_once_on_held_out_text(
    made, planted_target, planted_text, tmp_path, monkeypatch, short_check
):
    ladders = []

    def measuring(target, decomposition, tokens, **options):
        ladders.append((tokens, measure_ladder(target, decomposition, tokens, **options)))
        return ladders[-1][1]

    monkeypatch.setattr(run, "measure_ladder", measuring)
    with pytest.raises(DecompositionFailed, match=r"failed its check \([12] of 2 sites\): .*; it is kept in"):
        made(sites=BOTH, check=True, out=tmp_path / "both.decomp")
    card = Decomposition.load(tmp_path / "both.decomp").card
    ((tokens, ladder),) = ladders
    held_out = batches.text_windows(planted_target, planted_text, "selection", 2, 64)
    assert torch.equal(tokens, torch.as_tensor(np.concatenate(list(held_out.values()))))
    assert card["together"] == json.loads(json.dumps(ladder.as_dict()))
    assert [site["site"] for site in card["together"]["sites"]] == [VALUES, planted.SITE]
    assert list(card["together"]["attacks"]) == ["2"]
    assert all(card["sites"][name]["quality"]["site"] == name for name in (VALUES, planted.SITE))


def test_a_single_site_is_not_measured_twice(made):
    assert "together" not in made(check=False).card


def test_a_killed_call_goes_on_with_the_next_site(made, tmp_path, monkeypatch):
    whole = made(sites=BOTH, out=tmp_path / "whole.decomp")
    train = site_local_jobs.train_job
    trained = []

    def stopping(job, *rest):
        if job.site == planted.SITE:
            raise KeyboardInterrupt
        train(job, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(site_local_jobs, "train_job", stopping)
        with pytest.raises(KeyboardInterrupt):
            made(sites=BOTH, out=tmp_path / "half.decomp")
    assert [path.name for path in (tmp_path / "half.decomp.training").iterdir()] == [f"{VALUES}.decomp"]
    assert captured(tmp_path) == [planted.SITE]
    monkeypatch.setattr(site_local_jobs, "train_job", lambda job, *rest: (trained.append(job.site), train(job, *rest)))
    with pytest.raises(UnweaveError, match=r"v_proj.decomp was made with other settings.*: remove it, or use another"):
        made(replace(QUICK, seed=1), sites=BOTH, out=tmp_path / "half.decomp")
    assert same(made(sites=BOTH, out=tmp_path / "half.decomp"), whole)
    assert trained == [planted.SITE]
    assert not (tmp_path / "half.decomp.training").exists()


def test_a_later_call_may_name_more_sites(made, tmp_path, monkeypatch):
    train, trained = site_local_jobs.train_job, []

    def remembering(job, *rest):
        trained.append(job.site)
        train(job, *rest)

    monkeypatch.setattr(site_local_jobs, "train_job", remembering)
    with monkeypatch.context() as patch:
        patch.setattr(run, "save_finished", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(sites=VALUES, out=tmp_path / "grown.decomp")
    assert list(made(sites=BOTH, out=tmp_path / "grown.decomp").sites) == [VALUES, planted.SITE]
    assert trained == [VALUES, planted.SITE]


def test_a_full_disk_stops_every_site_and_is_no_fault_of_one(made, tmp_path, monkeypatch):
    def full(*args, **options):
        raise UnweaveError("the disk is full") from OSError(28, "No space left on device")

    monkeypatch.setattr(site_local_jobs, "train_site", full)
    with pytest.raises(UnweaveError, match=r"^the disk is full$"):
        made(sites=BOTH, out=tmp_path / "both.decomp")
    assert not (tmp_path / "both.decomp").exists()


def test_a_site_that_cannot_be_trained_does_not_lose_the_others(made, tmp_path, monkeypatch):
    train = site_local_jobs.train_site

    def failing(site, *args, **options):
        if site == VALUES:
            raise UnweaveError("the loss stopped being finite")
        return train(site, *args, **options)

    monkeypatch.setattr(site_local_jobs, "train_site", failing)
    with pytest.raises(
        DecompositionFailed, match=r"\(1 of 2 sites\): .*v_proj: the loss stopped being finite; it is kept"
    ):
        made(sites=BOTH, out=tmp_path / "one.decomp")
    kept = Decomposition.load(tmp_path / "one.decomp")
    assert list(kept.sites) == [planted.SITE]
    assert kept.card["failures"] == [f"{VALUES}: the loss stopped being finite"]
    with pytest.raises(UnweaveError, match=r"^the loss stopped being finite$") as alone:
        made(sites=VALUES, out=tmp_path / "alone.decomp")
    assert not isinstance(alone.value, DecompositionFailed)
    assert not (tmp_path / "alone.decomp").exists()


def test_only_a_group_of_sites_has_its_inputs_on_disk_at_one_time(made, tmp_path, monkeypatch):
    on_disk = []
    train = site_local_jobs.train_job
    monkeypatch.setattr(run, "capture_groups", lambda sites, tokens: capture_groups(sites, tokens, most=1))
    monkeypatch.setattr(
        site_local_jobs, "train_job", lambda job, *rest: (on_disk.append(captured(tmp_path)), train(job, *rest))
    )
    made(sites=BOTH)
    assert on_disk == [[VALUES], [planted.SITE]]


def test_too_little_disk_is_refused_before_anything_is_captured(made, tmp_path, monkeypatch):
    monkeypatch.setattr(site_local_cost.shutil, "disk_usage", lambda _: SimpleNamespace(free=300_000))
    with pytest.raises(UnweaveError, match=r"captures needs about 0\.0 GB for captured inputs and .* 0\.0 GB are free"):
        made(sites=BOTH, out=tmp_path / "both.decomp")
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "both.decomp").exists()


def test_the_whole_model_method_goes_on_from_local_pieces(made, planted_target, planted_text):
    local = made(sites=BOTH)
    config = WholeModelConfig(sites=BOTH, hidden=QUICK.hidden, subcomponents=4, steps=1, learning_rate=1e-9, windows=20)
    joined = decompose(planted_target, planted_text, config, known=local)
    assert joined.card["known"] == local.digest()
    x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    for name, site in joined.sites.items():
        torch.testing.assert_close(site.product(), local.site(name).product(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(site.importance(x), local.site(name).importance(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(UnweaveError, match="set hidden, depth and heads to what it was made with"):
        decompose(planted_target, planted_text, replace(config, hidden=8), known=local)


def test_an_untrained_one_fails_and_is_kept_marked_as_failed(made, tmp_path, short_check):
    line = r"failed its check: .*svd.*; it is kept in .*one.decomp, marked as failed$"
    with pytest.raises(DecompositionFailed, match=line) as failed:
        made(replace(QUICK, steps=1), check=True, out=tmp_path / "one.decomp")
    assert failed.value.exit_code == 1
    assert "\n" not in str(failed.value)
    card = Decomposition.load(tmp_path / "one.decomp").card
    assert card["failures"]
    assert not card["sites"][planted.SITE]["quality"]["passed"]


def test_one_of_random_directions_fails(made, tmp_path, monkeypatch, short_check):
    train = site_local_jobs.train_site

    def randomised(*args, **options):
        return random_like(train(*args, **options), torch.Generator().manual_seed(0))

    monkeypatch.setattr(site_local_jobs, "train_site", randomised)
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
    original = site_local_jobs.train_site

    def spy(site, weight, inputs, *args, **options):
        drawn.append(inputs.rows.tolist())
        return original(site, weight, inputs, *args, **options)

    monkeypatch.setattr(site_local_jobs, "train_site", spy)
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
