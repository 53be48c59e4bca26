from __future__ import annotations

from dataclasses import replace

import cut
import pytest
import tiny
import torch

from unweave.decompose import draws
from unweave.decompose.masked import MaskedTarget
from unweave.decompose.objective import Batch
from unweave.decompose.parts import Parts
from unweave.decompose.processes import ALONE, Processes
from unweave.decompose.whole_model import train_whole_model


@pytest.mark.parametrize("run", cut.RUNS)
@pytest.mark.parametrize("micro_batch", [1, 4])
def test_a_step_in_parts_is_the_step_of_the_whole_batch(run, micro_batch):
    """Six samples in six parts, and in parts of four and two."""
    cut.assert_same(cut.measured(cut.config_of(run, micro_batch=micro_batch)), cut.uncut(run))


def test_parts_of_the_whole_batch_and_larger_ones_are_the_step_to_the_bit():
    run = "pooled, ascents, frequency"
    for micro_batch in (6, 100):
        found, wanted = cut.measured(cut.config_of(run, micro_batch=micro_batch)), cut.uncut(run)
        assert found[0] == wanted[0]
        assert all(torch.equal(tensor, wanted[2][name]) for name, tensor in found[2].items())


def test_the_frequency_penalty_is_that_of_the_batch_and_not_of_its_parts():
    """One subcomponent fires in half of the samples: as rates of the halves it would cost another penalty."""
    from unweave.decompose.objective import Objective

    config = replace(tiny.CONFIG, frequency=1.0, frequency_reference=100)
    objective, anneal = Objective(None, config), torch.tensor(0.3)
    z = torch.tensor([[1.0], [1.0], [0.0], [0.0]]).requires_grad_()
    whole = objective.penalty({"a": z}, anneal)
    (wanted,) = torch.autograd.grad(whole, z)
    rates = [torch.tensor([0.5])]
    halves = [objective.penalty({"a": half}, anneal, lambda own: rates) for half in z.split(2)]
    torch.testing.assert_close(sum(halves) / 2, whole)
    torch.testing.assert_close(torch.autograd.grad(sum(halves) / 2, z)[0], wanted)
    alone = [objective.penalty({"a": half}, anneal) for half in z.split(2)]
    assert float(sum(alone).detach() / 2) > 1.1 * float(whole.detach())


@pytest.fixture
def model():
    target = tiny.words()
    with MaskedTarget(target, target.sites()).attached() as model:
        yield model


def parts_of(model, count, micro_batch=None, processes=ALONE):
    return Parts(model, tiny.sentences(count)(0), draws.key(0), processes, micro_batch)


def test_every_sample_is_in_one_part_of_one_process(model):
    for count, processes, micro_batch in ((7, 3, 2), (6, 1, 4), (5, 5, None), (9, 2, None), (4, 1, None)):
        places = [parts_of(model, count, micro_batch, Processes(rank, processes)).places for rank in range(processes)]
        assert [sample for own in places for place in own for sample in place] == list(range(count))
        sizes = [sum(map(len, own)) for own in places]
        assert max(sizes) - min(sizes) <= 1
        assert all(len(place) <= (micro_batch or count) for own in places for place in own)


def test_the_mean_is_over_samples_whatever_the_parts_and_a_part_knows_its_samples(model):
    seen = []

    def numbers(batch: Batch):
        seen.append(batch)
        return [batch.samples.float().mean(), batch.clean.sum() / len(batch.samples)]

    parts = parts_of(model, 7, 3)
    mean, clean = parts.mean(numbers)
    assert float(mean) == pytest.approx(3)
    whole = parts_of(model, 7)
    torch.testing.assert_close(clean, whole.mean(numbers)[1])
    assert [batch.samples.tolist() for batch in seen] == [[0, 1, 2], [3, 4, 5], [6], list(range(7))]
    assert [batch.share for batch in seen] == pytest.approx([3 / 7, 3 / 7, 1 / 7, 1])
    assert parts.rows() == whole.rows() == (7, tiny.LENGTH)


def test_of_several_parts_one_at_a_time_is_in_memory_and_one_alone_is_run_once(model, monkeypatch):
    import weakref

    clean, made = MaskedTarget.clean, []

    def spy(self, batch):
        alive = [reference for reference in made if reference() is not None]
        found = clean(self, batch)
        made.append(weakref.ref(found[1]["up"]))
        assert not alive
        return found

    monkeypatch.setattr(MaskedTarget, "clean", spy)
    parts = parts_of(model, 6, 2)
    for _ in range(2):
        parts.mean(lambda batch: [batch.clean.mean()])
    assert len(made) == 6
    made.clear()
    parts = parts_of(model, 6)
    for _ in range(3):
        parts.mean(lambda batch: [batch.clean.mean()])
    assert len(made) == 1


def test_fewer_samples_than_processes_are_refused(model):
    from unweave.base.errors import UnweaveError

    with pytest.raises(UnweaveError, match="a step has 3 samples and there are 4 processes: set batch to 4 or more"):
        parts_of(model, 3, None, Processes(1, 4))


def test_a_run_goes_on_with_parts_of_another_size(tmp_path, monkeypatch):
    from unweave.decompose import whole_model

    target, config = tiny.words(), cut.config_of("shared")
    step = whole_model.Training.step

    def stopped(self, number):
        if number == 2:
            raise KeyboardInterrupt
        return step(self, number)

    options = {"checkpoint": tmp_path / "x.safetensors", "checkpoint_seconds": 0}
    with monkeypatch.context() as patch:
        patch.setattr(whole_model.Training, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_whole_model(target, target.sites(), tiny.sentences(), config, **options)
    tensors = train_whole_model(target, target.sites(), tiny.sentences(), replace(config, micro_batch=2), **options)
    cut.assert_same(([], [], tensors), ([], [], cut.uncut("shared")[2]))
