from __future__ import annotations

import json

import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.read.dictionaries.load import load_dictionary
from unweave.read.dictionaries.probes import save_probes
from unweave.read.features import Place, fires

NAMES = ("is German", "is a verb")
HOOK = "blocks.1.hook_resid_post"


def directions():
    return torch.randn(2, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("place", [HOOK, Place("model.layers.1", "output", 32)], ids=["hook", "module"])
def test_saved_probes_read_what_they_were_fitted_on(llama, tmp_path, place):
    W, b = directions(), torch.tensor([0.5, -0.5])
    save_probes(tmp_path / "probes", W, b, NAMES, place, llama)
    made = load_dictionary(tmp_path / "probes", llama)
    ((name, probes),) = made.groups.items()
    assert (made.kind, made.target, made.name) == ("probe", llama.identity.digest, "probes")
    assert name == (place if isinstance(place, str) else place.module)
    assert probes.reads == Place("model.layers.1", "output", 32)
    assert probes.names == NAMES
    x = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(1))
    reading = made.encode({name: x})[name]
    torch.testing.assert_close(reading.activation, x @ W.T + b)
    assert torch.equal(fires(reading), reading.activation > 0)
    assert 0 < int(fires(reading).sum()) < fires(reading).numel()


def test_a_probes_write_direction_raises_its_logit_by_one(llama, tmp_path):
    save_probes(tmp_path / "probes", directions(), torch.zeros(2), NAMES, HOOK)
    (probes,) = load_dictionary(tmp_path / "probes", llama).groups.values()
    for index in range(2):
        step = probes.write_directions()[index]
        assert float(probes.read_directions()[index] @ step) == pytest.approx(1.0)
        torch.testing.assert_close(torch.nn.functional.normalize(step, dim=0), torch.nn.functional.normalize(
            probes.directions[index], dim=0))  # fmt: skip


def test_probes_that_do_not_fit_are_refused(llama, gpt2, tmp_path):
    folder = tmp_path / "probes"
    save_probes(folder, directions(), torch.zeros(2), NAMES, HOOK, llama)
    with pytest.raises(UnweaveError, match=r"belongs to target .*\(tiny llama\).*fit it on this one"):
        load_dictionary(folder, gpt2)
    written = json.loads((folder / "probe.json").read_text())
    for change, message in (
        ({"format": 2}, "has format 2, and this version reads 1"),
        ({"names": []}, "names .*: a list with one text for each probe"),
        ({"names": ["one"]}, r"'(directions|bias)' as .*, and its config says"),
        ({"place": {"module": "model.layers.1", "side": "above"}}, "side 'above', which is not read: input, output"),
        ({"place": {"hook": "blocks.9.hook_resid_post"}}, "has blocks 0 to 3"),
        ({"place": {"module": "model.layers.1.mlp.down_proj", "side": "input"}}, "48 wide, and 32 was expected"),
    ):
        (folder / "probe.json").write_text(json.dumps(written | change))
        with pytest.raises(UnweaveError, match=message):
            load_dictionary(folder, llama)
    with pytest.raises(UnweaveError, match="do not fit together"):
        save_probes(folder, directions(), torch.zeros(3), NAMES, HOOK)
    save_probes(folder, torch.zeros(2, 32), torch.zeros(2), NAMES, HOOK, replace=True)
    with pytest.raises(UnweaveError, match="direction is 0 everywhere"):
        load_dictionary(folder, llama)
