from __future__ import annotations

import errno
import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from unweave.base.errors import UnweaveError
from unweave.decompose.checkpoint import (
    last_good,
    not_finite,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    save_finished,
    write_checkpoint,
)
from unweave.decompose.config import WholeModelConfig

SETTINGS = {"sites": ["up", "down"], "origin": "target-text", "config": asdict(WholeModelConfig())}
TENSORS = {"up/V": torch.arange(6.0).reshape(2, 3), "usage:up": torch.ones(3), "descent:up/V/step": torch.tensor(7.0)}


def test_what_was_written_comes_back_with_the_number_of_steps(tmp_path):
    path = tmp_path / "deep" / "one.safetensors"
    write_checkpoint(path, SETTINGS, 7, TENSORS | {"up/U": TENSORS["up/V"].T.requires_grad_()}, 12.5)
    step, tensors, seconds = read_checkpoint(path, SETTINGS)
    assert (step, seconds) == (7, 12.5)
    assert tensors.keys() == TENSORS.keys() | {"up/U"}
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert torch.equal(tensors["up/U"], TENSORS["up/V"].T)
    assert not tensors["up/U"].requires_grad
    assert [each.name for each in path.parent.iterdir()] == ["one.safetensors"]


def test_no_file_is_no_checkpoint_yet(tmp_path):
    assert read_checkpoint(tmp_path / "one.safetensors", SETTINGS) is None


def test_a_newer_checkpoint_replaces_the_older_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    write_checkpoint(path, SETTINGS, 1, TENSORS)
    write_checkpoint(path, SETTINGS, 2, TENSORS)
    assert read_checkpoint(path, SETTINGS)[0] == 2

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("unweave.decompose.checkpoint.save_tensors", broken)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, SETTINGS, 3, TENSORS)
    assert read_checkpoint(path, SETTINGS)[0] == 2
    assert [each.name for each in tmp_path.iterdir()] == ["one.safetensors"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_leaves_the_last_good_one(tmp_path, value):
    path = tmp_path / "one.safetensors"
    spoilt = TENSORS | {"usage:up": torch.tensor([1.0, value, 1.0])}
    write_checkpoint(path, SETTINGS, 1, spoilt)
    assert not path.exists()
    write_checkpoint(path, SETTINGS, 2, TENSORS)
    write_checkpoint(path, SETTINGS, 3, spoilt)
    assert read_checkpoint(path, SETTINGS)[0] == 2


def test_a_run_that_stops_says_what_it_leaves(tmp_path):
    path = tmp_path / "one.safetensors"
    assert last_good(None) == "nothing is kept, because no folder was given to keep it in"
    assert last_good(path) == "there is no checkpoint yet, so nothing is kept"
    for step, words in ((1, "1 step"), (7, "7 steps")):
        write_checkpoint(path, SETTINGS, step, TENSORS)
        assert last_good(path) == f"the last good checkpoint is {path}, after {words}"


def test_a_loss_that_is_not_finite_names_its_cause_where_the_batch_is_it(tmp_path):
    path, batch = tmp_path / "one.safetensors", torch.ones(3, 4)
    line = "the loss stopped being finite at step 6: lower learning_rate (now 0.1) and start again; there is no"
    assert str(not_finite(5, batch, 0.1, path)).startswith(line)
    assert str(not_finite(5, torch.ones(3, 4, dtype=torch.long), 0.1, path)).startswith(line)
    write_checkpoint(path, SETTINGS, 5, TENSORS)
    batch[1, 2] = float("nan")
    assert str(not_finite(5, batch, 0.1, path, site="up")) == (
        "site 'up': the loss stopped being finite at step 6: its batch has NaN or infinite values: leave those rows "
        f"out and start again with another --out; the last good checkpoint is {path}, after 5 steps"
    )


def refusing(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_names_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("unweave.decompose.checkpoint.save_tensors", refusing)
        with pytest.raises(UnweaveError, match=r"the disk is full: .*; there is no checkpoint yet, so nothing is"):
            write_checkpoint(path, SETTINGS, 1, TENSORS)
    assert not list(tmp_path.iterdir())
    write_checkpoint(path, SETTINGS, 2, TENSORS)
    monkeypatch.setattr("unweave.decompose.checkpoint.save_tensors", refusing)
    with pytest.raises(UnweaveError, match=r"the disk is full: .*, after 2 steps, and the same call goes on from it$"):
        write_checkpoint(path, SETTINGS, 3, TENSORS)
    assert read_checkpoint(path, SETTINGS)[0] == 2


def test_the_folder_of_checkpoints_goes_only_when_the_result_is_saved(tmp_path):
    out, training = tmp_path / "one.decomp", tmp_path / "one.decomp.training"
    write_checkpoint(training / "one.safetensors", SETTINGS, 2, TENSORS)
    (tmp_path / ".one.decomp.abcd1234.part").mkdir()  # of a process that was killed while it saved

    class Made:
        def save(self, folder):
            if self.refused:
                raise UnweaveError("the disk is full")
            folder.mkdir()

    made = Made()
    made.refused = True
    with pytest.raises(UnweaveError, match=r"^the disk is full; all steps are kept in .*\.training, and the same call"):
        save_finished(made, out, training)
    assert [path.name for path in tmp_path.iterdir()] == [training.name]
    made.refused = False
    save_finished(made, out, training)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    "other",
    [
        {"origin": "other-text"},
        {"sites": ["up"]},
        {"sites": ["down", "up"]},
        {"config": asdict(WholeModelConfig(seed=1))},
        {"config": asdict(WholeModelConfig(prune_at=(0.3,)))},
        {"more": 1},
    ],
)
def test_other_settings_are_refused_and_the_file_stays(tmp_path, other):
    path = tmp_path / "one.safetensors"
    write_checkpoint(path, SETTINGS, 7, TENSORS)
    content = path.read_bytes()
    with pytest.raises(UnweaveError, match="is a checkpoint of other settings, text or another target: remove it, or"):
        read_checkpoint(path, SETTINGS | other)
    assert path.read_bytes() == content


def test_a_damaged_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "one.safetensors"
    write_checkpoint(path, SETTINGS, 7, TENSORS)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(UnweaveError, match=r"is a damaged checkpoint \(.*\): remove it to start again") as refused:
            read_checkpoint(path, SETTINGS)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("metadata", [None, {"other": "1"}, {"training": "{"}])
def test_tensors_that_are_no_checkpoint_are_refused(tmp_path, metadata):
    path = tmp_path / "one.safetensors"
    save_file(TENSORS, path, metadata)
    with pytest.raises(UnweaveError, match="is a damaged checkpoint"):
        read_checkpoint(path, SETTINGS)


@pytest.mark.parametrize("found", [[1], 7, None, SETTINGS, {**SETTINGS, "step": None}])
def test_metadata_of_another_shape_is_a_damaged_checkpoint_too(tmp_path, found):
    path = tmp_path / "one.safetensors"
    save_file(TENSORS, path, {"training": json.dumps(found)})
    with pytest.raises(UnweaveError, match="is a damaged checkpoint"):
        read_checkpoint(path, SETTINGS)


def test_a_folder_in_its_place_is_refused(tmp_path):
    with pytest.raises(UnweaveError):
        read_checkpoint(tmp_path, SETTINGS)


def trained(optimiser, parameters, steps):
    for number in range(steps):
        generator = torch.Generator().manual_seed(number)
        for parameter in parameters.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()


def parameters():
    names = ("up/V", "up.up/V", "up/importance.A", "sources")
    return {name: torch.full((3, place + 1), 0.5, requires_grad=True) for place, name in enumerate(names)}


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_an_optimiser_goes_on_from_what_was_stored_as_if_it_had_never_stopped(tmp_path, kind):
    def optimiser(named):
        return kind(named.values(), lr=0.1, fused=True)

    whole = parameters()
    first = optimiser(whole)
    trained(first, whole, 3)
    stored = {name: tensor.detach().clone() for name, tensor in whole.items()}
    state = optimiser_tensors("descent", first, whole)
    assert set(state) == {f"descent:{name}/{key}" for name in whole for key in ("step", "exp_avg", "exp_avg_sq")}
    # Another optimiser's state, of parameters whose names begin alike, is left alone.
    alien = {name.replace("descent:", "ascent:"): tensor + 1 for name, tensor in state.items()}
    write_checkpoint(tmp_path / "one", SETTINGS, 3, stored | alien | state)
    trained(first, whole, 2)

    found = read_checkpoint(tmp_path / "one", SETTINGS).tensors
    again = {name: found[name].requires_grad_() for name in whole}
    second = optimiser(again)
    restore_optimiser("descent", second, again, found)
    trained(second, again, 2)
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())


def test_an_optimiser_that_never_stepped_has_nothing_to_store():
    named = parameters()
    assert optimiser_tensors("descent", torch.optim.AdamW(named.values()), named) == {}
