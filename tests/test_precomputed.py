from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from unweave.base.errors import UnweaveError
from unweave.decompose.batches import RowBatches
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.precomputed import Precomputed
from unweave.decompose.whole_model import train_whole_model

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
    target = tiny.words()
    whole, cut = (train(target, batches(), replace(CONFIG, steps=2, micro_batch=size)) for size in (None, 3))
    for name, tensor in whole.items():
        torch.testing.assert_close(cut[name], tensor, rtol=1e-3, atol=1e-4)


def test_too_little_memory_is_refused_with_both_numbers_before_anything_is_kept():
    target = tiny.words()
    refusal = rf"precompute needs .* GB on cpu .* {len(ROWS)} rows, and 0.0 GB are"
    with MaskedTarget(target, target.sites()).attached() as model, pytest.raises(UnweaveError, match=refusal):
        Precomputed(model, batches(), 4, available=lambda device: 10)


def test_data_that_a_function_draws_is_refused():
    target = tiny.words()
    with pytest.raises(UnweaveError, match="precompute needs rows that come up again"):
        train(target, tiny.sentences(), CONFIG)
