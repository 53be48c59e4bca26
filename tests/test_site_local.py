from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import planted
import pytest
import torch
from safetensors.torch import save_file

from unweave.base.errors import UnweaveError
from unweave.decompose import site_local
from unweave.decompose.checkpoint import read_checkpoint
from unweave.decompose.config import SiteLocalConfig
from unweave.decompose.importance import Importance
from unweave.decompose.site_local import Inputs, subcomponent_count, train_site

SMALL = SiteLocalConfig(hidden=8, steps=60, batch=32, learning_rate=5e-3, sparsity=1e-3, adversaries=3, window_length=8)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(site_local, "compiler_works", lambda: False)


@pytest.fixture(scope="module")
def small():
    """A matrix and twelve windows of eight inputs, stored at half their size."""
    generator = np.random.default_rng(0)
    weight = torch.as_tensor(generator.normal(size=(12, 10)), dtype=torch.float32)
    return weight, Inputs(generator.normal(size=(12, 8, 10)).astype(np.float16), 2.0)


def train(small, config=SMALL, **options):
    weight, inputs = small
    return train_site("h.1.mlp", weight, inputs, config, **options)


def tensors(pieces):
    return [pieces.V, pieces.U, *pieces.importance]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(second), strict=True))


def save_every_step(monkeypatch, stop_at=None):
    """A checkpoint after each step; Ctrl-C right after the one of step ``stop_at``."""
    ticks = iter(range(0, 10**9, 100))
    monkeypatch.setattr(site_local, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    save = site_local._save

    def stopping(path, settings, state, optimiser, step, seconds):
        save(path, settings, state, optimiser, step, seconds)
        if step == stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(site_local, "_save", stopping)


def interrupted(small, path, monkeypatch, config=SMALL, **options):
    with monkeypatch.context() as patch:
        save_every_step(patch, stop_at=25)
        with pytest.raises(KeyboardInterrupt):
            train(small, config, checkpoint=path, **options)
    return path


@pytest.mark.parametrize(
    ("capacity", "d_in", "d_out", "expected"),
    [(1.1, 576, 576, 640), (1.0, 64, 64, 64), (1.1, 64, 200, 96), (0.1, 64, 64, 32), (2.0, 100, 48, 96)],
)
def test_the_count_is_a_multiple_of_the_rank_and_of_32(capacity, d_in, d_out, expected):
    assert subcomponent_count(SiteLocalConfig(capacity=capacity), d_in, d_out) == expected


def test_the_first_position_has_its_share_of_a_batch_and_no_more():
    values = np.zeros((5, 8, 3), np.float16)
    values[:, 0] = 1
    drawn = Inputs(values, 4.0).sample(np.random.default_rng(0), 64)
    assert drawn.shape == (64, 3)
    assert torch.equal(drawn[:8], torch.full((8, 3), 4.0))
    assert not drawn[8:].any()


def test_windows_are_drawn_as_often_as_they_are_listed():
    values = np.arange(4, dtype=np.float16)[:, None, None] * np.ones((4, 8, 1), np.float16)
    drawn = Inputs(values, 1.0, rows=np.array([0, 3, 3])).sample(np.random.default_rng(0), 3000)
    assert set(drawn.flatten().tolist()) == {0, 3}
    assert (drawn == 3).float().mean() == pytest.approx(2 / 3, abs=0.05)


def test_training_finds_pieces_that_are_faithful_sparse_and_good_under_both_kinds_of_mask(
    planted_target, planted_text, planted_decomposition
):
    """Measured anew on text that training never saw."""
    from unweave.corpora.windows import windows_by_label
    from unweave.models.capture import capture_inputs

    pieces = planted_decomposition.site(planted.SITE)
    site = planted_target.site(planted.SITE)
    windows = np.concatenate(list(windows_by_label(planted_target.tokenizer, planted_text, "evaluation").values()))
    with torch.no_grad():
        x = capture_inputs(planted_target, [site], torch.as_tensor(windows[::8]))[planted.SITE][:, 1:].flatten(0, 1)
    wanted = x @ planted_target.weight(site).T
    g = pieces.importance(x)
    masked = ((x @ pieces.V) * g) @ pieces.U
    error = ((masked - wanted).square().sum(-1) / wanted.square().sum(-1)).mean()
    delta = pieces.delta(planted_target.weight(site))
    assert delta.square().sum() / planted_target.weight(site).square().sum() < 1e-4
    assert (g > 0).sum(-1).float().mean() < 4
    assert error < 0.35
    # A mask that is not needed may be anything between: half on, here.
    half = ((x @ pieces.V) * (g + (1 - g) / 2)) @ pieces.U + x @ delta.T / 2
    assert ((half - wanted).square().sum(-1) / wanted.square().sum(-1)).mean() < 0.35


def test_the_error_falls_from_that_of_random_pieces(small):
    logged = []
    train(small, replace(SMALL, steps=200), log=logged.append)
    first, last = logged[0], logged[-1]
    assert [row["step"] for row in logged] == list(range(1, 201))
    assert last["error"] < 0.5 * first["error"]
    assert last["faithfulness"] < 1e-2
    assert last["gamma"] == pytest.approx(SMALL.gamma_end)


def test_the_adversary_makes_the_error_larger_than_random_masks_do(small):
    logged = []
    train(small, replace(SMALL, steps=100, batch=100, sparsity=1e-2, adversary_rate=0.2), log=logged.append)
    assert logged[-1]["adversarial_error"] > logged[-1]["error"]
    without = []
    train(small, replace(SMALL, steps=50, adversarial_fraction=0.0), log=without.append)
    assert without[-1]["adversarial_error"] == 0


def test_sparsity_is_what_turns_pieces_off(small):
    counts = []
    for sparsity in (0.0, 0.03):
        logged = []
        train(small, replace(SMALL, steps=120, sparsity=sparsity), log=logged.append)
        counts.append(logged[-1]["l0"])
    assert counts[1] < 0.5 * counts[0]


def test_the_result_is_on_the_scale_of_the_matrix_and_the_inputs(small):
    """Training at unit scale and scaling back: a matrix a thousand times larger gives the same pieces, larger."""
    weight, inputs = small
    plain = train(small)
    large = train((1000 * weight, Inputs(inputs.values, 100 * inputs.scale)))
    torch.testing.assert_close(large.product(), 1000 * plain.product(), rtol=1e-3, atol=1.0)
    x = torch.randn(5, 10)
    torch.testing.assert_close(large.importance(100 * x), plain.importance(x), rtol=1e-3, atol=1e-3)


def test_the_seed_decides_everything(small):
    config = replace(SMALL, steps=10)
    assert equal(train(small, config), train(small, config))
    assert not equal(train(small, config), train(small, replace(config, seed=1)))


def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(small, tmp_path, monkeypatch):
    path = interrupted(small, tmp_path / "x.safetensors", monkeypatch)
    steps = []
    monkeypatch.setattr(site_local._Adam, "step", counting(site_local._Adam.step, steps))
    resumed = train(small, checkpoint=path)
    assert steps == list(range(25, 60))
    assert equal(resumed, train(small))


def counting(function, steps):
    def counted(self, step):
        steps.append(step)
        return function(self, step)

    return counted


def test_checkpoints_change_nothing(small, tmp_path, monkeypatch):
    plain = train(small)
    save_every_step(monkeypatch)
    assert equal(train(small, checkpoint=tmp_path / "x.safetensors"), plain)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize(("seconds", "kept"), [(60.0, [60]), (0.0, list(range(1, 61)))])
def test_a_checkpoint_is_written_so_often_and_after_the_last_step(small, tmp_path, monkeypatch, seconds, kept):
    written, save = [], site_local._save
    monkeypatch.setattr(site_local, "_save", lambda *given: (written.append(given[4]), save(*given)))
    first = train(small, checkpoint=tmp_path / "x.safetensors", checkpoint_seconds=seconds)
    assert written == kept
    # What is kept at the end is the whole training.
    monkeypatch.setattr(site_local._Adam, "step", None)
    assert equal(train(small, checkpoint=tmp_path / "x.safetensors"), first)


def test_a_checkpoint_of_other_settings_or_another_origin_is_refused(small, tmp_path, monkeypatch):
    path = interrupted(small, tmp_path / "x.safetensors", monkeypatch, origin="target-text")
    content = path.read_bytes()
    for config, origin in ((replace(SMALL, seed=1), "target-text"), (SMALL, "other-text"), (SMALL, "")):
        with pytest.raises(UnweaveError, match="is a checkpoint of other settings, text or another target"):
            train(small, config, checkpoint=path, origin=origin)
    assert path.read_bytes() == content
    train(small, checkpoint=path, origin="target-text")


def test_a_damaged_checkpoint_is_refused_in_one_line(small, tmp_path, monkeypatch):
    path = interrupted(small, tmp_path / "x.safetensors", monkeypatch)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(UnweaveError, match=r"is a damaged checkpoint .*remove it to start again"):
            train(small, checkpoint=path)
    save_file({"state/V": torch.zeros(2)}, path)
    with pytest.raises(UnweaveError, match="is a damaged checkpoint"):
        train(small, checkpoint=path)


@pytest.mark.parametrize("what", ["zero weight", "zero inputs", "nan weight", "nan inputs", "infinite inputs"])
def test_a_matrix_or_inputs_without_a_scale_are_refused(small, what):
    weight, inputs = small[0].clone(), small[1].values.copy()
    value = {"zero": 0.0, "nan": np.nan, "infinite": np.inf}[what.split()[0]]
    changed = weight if what.endswith("weight") else inputs
    changed[...] = value
    with pytest.raises(UnweaveError, match=r"site 'h.1.mlp' has a weight or inputs that are all zero or not finite"):
        train((weight, Inputs(inputs, 1.0)))


def test_a_loss_that_stops_being_finite_says_what_to_do(small):
    with pytest.raises(UnweaveError) as stopped:
        train(small, replace(SMALL, learning_rate=1e20))
    assert str(stopped.value) == (
        "site 'h.1.mlp': the loss stopped being finite at step 2: lower learning_rate (now 1e+20) and start again; "
        "nothing is kept, because no folder was given to keep it in"
    )


def test_it_names_the_last_good_checkpoint_and_keeps_it(small, tmp_path, monkeypatch):
    """The step before the loss is seen to be lost has already spoilt the weights: its state is not kept."""
    path, step = tmp_path / "x.safetensors", site_local._Adam.step

    def poisoned(self, number):
        step(self, number)
        if number == 6:
            self.state["V"].detach()[0, 0] = np.nan

    monkeypatch.setattr(site_local._Adam, "step", poisoned)
    with pytest.raises(UnweaveError, match=r"at step 8: lower .* again with another --out; the last good .* 6 steps$"):
        train(small, checkpoint=path, checkpoint_seconds=0)
    assert read_checkpoint(path, {})[0] == 6


def test_weights_that_the_last_step_spoilt_are_no_result(small, tmp_path, monkeypatch):
    step = site_local._Adam.step

    def poisoned(self, number):
        step(self, number)
        if number == SMALL.steps - 1:
            self.state["b"].detach()[0] = np.inf

    monkeypatch.setattr(site_local._Adam, "step", poisoned)
    with pytest.raises(UnweaveError, match=r"at step 60: .* there is no checkpoint yet, so nothing is kept$"):
        train(small, checkpoint=tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_importance_function_is_the_trained_one(small):
    pieces = train(small)
    assert isinstance(pieces.importance, Importance)
    assert float(pieces.importance.scale) == pytest.approx(2.0, rel=0.1)
    assert not any(tensor.requires_grad for tensor in tensors(pieces))


def test_a_device_that_cannot_compile_trains_eagerly_and_says_so(small, monkeypatch):
    def broken(function, **options):
        def compiled(*arguments):
            raise RuntimeError("Cannot find a working triton installation\nmore")

        return compiled

    plain = train(small)
    said = []
    monkeypatch.setattr(site_local, "compiler_works", lambda: True)
    monkeypatch.setattr(torch, "compile", broken)
    progress = SimpleNamespace(say=said.append, update=lambda *_: None)
    found = train(small, progress=progress)
    assert len(said) == 1
    assert "torch.compile failed (Cannot find a working triton installation): training eagerly" in said[0]
    for one, other in zip(tensors(found), tensors(plain), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_the_compiled_step_is_the_eager_one(small, monkeypatch):
    from unweave.base import device

    config = replace(SMALL, steps=20)
    plain = train(small, config)
    monkeypatch.setattr(site_local, "compiler_works", device.compiler_works)
    for found, wanted in zip(tensors(train(small, config)), tensors(plain), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)
