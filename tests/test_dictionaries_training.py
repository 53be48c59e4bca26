from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.read.dictionaries import residual_rows as capture
from unweave.read.dictionaries.compare import compare_dictionaries
from unweave.read.dictionaries.load import load_dictionary
from unweave.read.dictionaries.residual_rows import residual_place, residual_rows, token_sequences
from unweave.read.dictionaries.training import train_sae
from unweave.read.dictionaries.training_config import SAEConfig

LAYER = 2
CONFIG = SAEConfig(expansion=2, k=6, epochs=6, batch=128, learning_rate=3e-3)


@pytest.fixture(scope="module")
def windows():
    return torch.randint(300, (80, 16), generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def trained(pristine, windows):
    return train_sae(pristine["llama"], windows, LAYER, CONFIG)


def test_the_saved_folder_gives_the_same_sae_back(trained, pristine, windows, tmp_path):
    trained.save(tmp_path / "sae")
    loaded = load_dictionary(tmp_path / "sae", pristine["llama"])
    assert loaded.kind == "sae"
    assert loaded.digest == trained.dictionary.digest
    (name,) = loaded.groups
    assert name == f"{pristine['llama'].blocks}.{LAYER}"
    x = pristine["llama"].hidden_before(LAYER + 1, windows[:4])
    before, after = (each.encode({name: x})[name] for each in (trained.dictionary, loaded))
    assert torch.equal(before.activation, after.activation)
    assert 0 < int((before.activation > 0).sum()) < before.activation.numel()
    report = json.loads((tmp_path / "sae" / "training.json").read_text())
    assert report["explained"] == trained.report.explained
    assert report["config"]["k"] == CONFIG.k
    with pytest.raises(UnweaveError, match="already exists"):
        trained.save(tmp_path / "sae")
    trained.save(tmp_path / "sae", replace=True)


def test_the_report_is_what_the_loaded_sae_does(trained, pristine, windows):
    """Variance explained and L0 agree with the independent comparison of dictionaries, on the held-out windows."""
    report = trained.report
    held_out = windows[_held_out_rows(windows)]
    assert report.held_out_tokens == held_out.numel()
    assert report.tokens + report.held_out_tokens + report.left_out_tokens == windows.numel()
    (coder,) = trained.dictionary.groups.values()
    x = pristine["llama"].hidden_before(LAYER + 1, held_out).flatten(0, 1)
    missed = (x - coder.reconstruct(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert report.explained == pytest.approx(1 - float(missed), abs=2e-3)
    assert report.l0 == pytest.approx(float((coder.latents(x) > 0).sum(1).float().mean()), rel=0.02)
    assert report.explained > report.explained_at_random
    assert 0 <= report.dead < 0.5
    table = compare_dictionaries(pristine["llama"], {"sae": trained.dictionary}, held_out)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["explained"] == pytest.approx(report.explained, abs=0.05)


def _held_out_rows(windows):
    from unweave.read.dictionaries.training import _held_out

    return _held_out(len(windows), CONFIG.held_out, 0)


def test_rows_are_the_stream_whatever_they_are_read_with(pristine, windows):
    """Sequences of several lengths, in one forward or alone: every token's row is what the model has there."""
    target = pristine["llama"]
    texts = [window[:length].tolist() for window, length in zip(windows, (3, 16, 9, 1, 16, 5), strict=False)]
    place = residual_place(target, LAYER)
    rows = residual_rows(target, place, texts)
    assert rows.windows.tolist() == [i for i, text in enumerate(texts) for _ in text]
    for i, text in enumerate(texts):
        expected = target.hidden_before(LAYER + 1, torch.tensor([text]))[0]
        found = rows.values[rows.windows == i].float() * rows.unit
        torch.testing.assert_close(found, expected, atol=2e-3 * float(expected.abs().max()), rtol=0)
        torch.testing.assert_close(rows.norms[rows.windows == i], expected.norm(dim=1), rtol=1e-4, atol=1e-4)


def test_without_memory_the_rows_are_on_disk(pristine, windows, monkeypatch, tmp_path):
    target, texts = pristine["llama"], windows[:5].tolist()
    place = residual_place(target, LAYER)
    in_memory = residual_rows(target, place, texts)
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path))
    monkeypatch.setattr(capture, "available_memory", lambda device: 100)
    on_disk = residual_rows(target, place, texts)
    assert torch.equal(in_memory.values, on_disk.values)
    assert (tmp_path / "residual").is_dir()
    assert not list((tmp_path / "residual").iterdir())


def test_tokens_of_a_norm_far_above_the_mean_are_left_out(fresh, windows):
    """A token whose embedding is huge is in no batch, so that the SAE is not about it."""
    target = fresh("llama")
    with torch.no_grad():
        target.module.get_input_embeddings().weight[5] *= 1000
    spoiled = windows.clone()
    spoiled[:, 3] = 5
    report = train_sae(target, spoiled, 0, SAEConfig(expansion=2, k=6, epochs=1, batch=128)).report
    assert report.left_out_tokens == int((spoiled == 5).sum())


def test_an_interrupted_training_ends_in_the_same_sae(trained, pristine, windows, tmp_path):
    class Stop(Exception): ...

    class Stopping:
        def update(self, done, total, note=""):
            if "dead" in note and done == 20:
                raise Stop

        def say(self, line): ...

    path = tmp_path / "sae.safetensors"
    arguments = (pristine["llama"], windows.numpy(), LAYER, CONFIG)
    with pytest.raises(Stop):
        train_sae(*arguments, progress=Stopping(), checkpoint=path, checkpoint_seconds=0)
    resumed = train_sae(*arguments, checkpoint=path)
    assert resumed.dictionary.digest == trained.dictionary.digest
    with pytest.raises(UnweaveError, match="another target"):
        train_sae(pristine["llama"], windows.flip(0), LAYER, CONFIG, checkpoint=path)


def test_seeds_and_layers_differ(trained, pristine, windows):
    short = SAEConfig(expansion=2, k=6, epochs=1, batch=128)
    digests = {
        train_sae(pristine["llama"], windows, layer, short, seed).dictionary.digest
        for layer, seed in ((LAYER, 0), (LAYER, 1), (1, 0), (LAYER, 0))
    }
    assert len(digests) == 3


def test_what_cannot_be_trained_is_refused(pristine, windows):
    target = pristine["llama"]
    with pytest.raises(UnweaveError, match="layers 0 to 3"):
        train_sae(target, windows, 4)
    with pytest.raises(UnweaveError, match="some are held out"):
        train_sae(target, windows[:1], LAYER)
    with pytest.raises(UnweaveError, match="windows, tokens"):
        train_sae(target, np.zeros(4, np.int64), LAYER)
    with pytest.raises(UnweaveError, match="an empty one"):
        token_sequences([[1, 2], []])
