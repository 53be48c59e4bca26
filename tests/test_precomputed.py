from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose import run, whole_model
from unweave.decompose.batches import RowBatches
from unweave.decompose.cost import check_memory
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.precomputed import Precomputed, kept_bytes
from unweave.decompose.whole_model import train_whole_model
from unweave.models.target import make_target

CPU = torch.device("cpu")
ROWS = torch.cat([tiny.sentences()(step) for step in range(3)])
CONFIG = replace(tiny.CONFIG, divergence="kl", precompute=True, batch=4, steps=6)


def batches(order=None):
    return RowBatches(ROWS, CONFIG.batch, 0, order)


def train(target, data, config, **options):
    return train_whole_model(target, target.sites(), data, config, **options)


def test_what_is_kept_is_what_the_target_gives_for_the_rows_that_a_step_draws():
    target = tiny.words()
    data = batches(np.array([5, 0, 7, 7, 3]))
    with MaskedTarget(target, target.sites()).attached() as model:
        kept = Precomputed(model, data, 4)
        for step in range(4):
            output, inputs = kept(step, range(1, 4))
            wanted, read = model.clean_rows(data(step)[1:4])
            torch.testing.assert_close(output, wanted)
            assert list(inputs) == list(read)
            for name, x in read.items():
                torch.testing.assert_close(inputs[name], x)


def test_training_ends_where_it_would_and_the_clean_target_has_run_once_for_every_row(monkeypatch):
    seen = []
    clean = MaskedTarget.clean

    def counted(model, batch):
        seen.append(len(batch))
        return clean(model, batch)

    monkeypatch.setattr(MaskedTarget, "clean", counted)
    target = tiny.words()
    found = train(target, batches(), CONFIG)
    first = sum(seen)
    wanted = train(target, batches(), replace(CONFIG, precompute=False))
    started = sum(seen) - first - CONFIG.steps * CONFIG.batch
    assert first == len(ROWS) + started
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_step_in_parts_takes_the_rows_of_each_part():
    target, config = tiny.words(), replace(CONFIG, steps=2)
    whole, cut = (train(target, batches(), replace(config, **o)) for o in ({"precompute": False}, {"micro_batch": 3}))
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, rtol=1e-3, atol=1e-4)


def test_what_is_kept_and_what_a_step_takes_must_fit_together(monkeypatch):
    target, sites = tiny.words(), tiny.words().sites()
    kept = kept_bytes(target, [sites], batches())
    # Logits of every word, and the inputs of both matrices.
    assert kept == {CPU: 4 * len(ROWS) * tiny.LENGTH * (tiny.WORDS + tiny.WIDTH + tiny.INNER)}
    apart = kept_bytes(target, [[site] for site in sites], batches())
    assert apart == {CPU: 4 * len(ROWS) * tiny.LENGTH * (tiny.WORDS + tiny.INNER)}
    asked = []
    monkeypatch.setattr(run, "check_memory", asked.append)
    for config in (CONFIG, replace(CONFIG, precompute=False)):
        run.decompose(target, ROWS, config)
    assert asked[0][CPU].bytes == asked[1][CPU].bytes + kept[CPU]
    with pytest.raises(
        UnweaveError, match=r"for what precompute keeps\), and .* are free: set precompute to False, use"
    ):
        check_memory(asked[0], lambda _: asked[1][CPU].bytes)


def test_a_run_goes_on_with_the_other_setting_and_a_finished_one_computes_nothing(tmp_path, monkeypatch):
    target, path, made = tiny.words(), tmp_path / "x.safetensors", []
    step, build = whole_model.Training.step, whole_model.Precomputed

    def stopped(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(whole_model, "Precomputed", lambda *given: made.append(given) or build(*given))
    with monkeypatch.context() as patch:
        patch.setattr(whole_model.Training, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(target, batches(), replace(CONFIG, precompute=False), checkpoint=path, checkpoint_seconds=0)
    found = train(target, batches(), CONFIG, checkpoint=path)
    assert len(made) == 1
    assert found.keys() == train(target, batches(), CONFIG, checkpoint=path).keys()
    assert len(made) == 1
    for name, tensor in train(target, batches(), CONFIG).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-4)


class Odd(torch.nn.Module):
    """A site that sees half of the samples."""

    def __init__(self):
        super().__init__()
        self.whole, self.part = (torch.nn.Linear(4, 4) for _ in range(2))

    def forward(self, x):
        self.part(x[: len(x) // 2])
        return self.whole(x)


def test_a_site_that_sees_other_rows_is_named():
    target = make_target(Odd(), None, "odd", check=False)
    data = RowBatches(torch.randn(6, 3, 4), 2)
    with (
        MaskedTarget(target, target.sites()).attached() as model,
        pytest.raises(UnweaveError, match="site 'part' sees rows of shape"),
    ):
        Precomputed(model, data, 4)


def test_data_that_a_function_draws_is_refused():
    target = tiny.words()
    with pytest.raises(UnweaveError, match="precompute needs rows that come up again"):
        train(target, tiny.sentences(), CONFIG)
