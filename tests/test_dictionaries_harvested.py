"""A SAELens, a sparsify and a probe folder of the planted target through the harvest, as a decomposition goes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from unweave.read.dictionaries import compare_dictionaries, load_dictionary, save_probes
from unweave.read.features import Place, subcomponent_dictionary
from unweave.read.harvest import Harvest, HarvestConfig, harvest
from unweave.read.harvest.text import read_text
from unweave.read.observe import observe

HOOK, MODULE = "blocks.1.hook_resid_post", "model.layers.1"
CONFIG = HarvestConfig(parts=("decomposition",), length=32, windows=24, batch=7, shown=6, held=3, pool=8)


@pytest.fixture(scope="module")
def width(planted_target):
    return planted_target.module.config.hidden_size


@pytest.fixture(scope="module")
def folders(planted_target, width, tmp_path_factory):
    """The same random directions as SAE, transcoder and probes."""
    root, generator = tmp_path_factory.mktemp("made"), torch.Generator().manual_seed(0)
    c = 3 * width
    decoder = torch.nn.functional.normalize(torch.randn(c, width, generator=generator), dim=-1)
    shift = torch.randn(width, generator=generator) * 0.1

    def write(name, config, weights, tensors):
        (root / name).mkdir(parents=True)
        (root / name / "cfg.json").write_text(json.dumps(config))
        save_file({key: value.contiguous() for key, value in tensors.items()}, root / name / weights)

    metadata = {"hook_name": HOOK, "model_name": "planted", "sae_lens_version": "6.54.12"}
    write(
        "saelens",
        {"architecture": "topk", "k": 5, "d_in": width, "d_sae": c, "metadata": metadata},
        "sae_weights.safetensors",
        {"W_enc": decoder.T, "b_enc": torch.zeros(c), "W_dec": decoder, "b_dec": shift},
    )
    write(
        "sparsify/layers.1.mlp",
        {"activation": "topk", "k": 5, "d_in": width, "num_latents": c, "transcode": True},
        "sae.safetensors",
        {"encoder.weight": decoder, "encoder.bias": torch.zeros(c), "W_dec": 0.1 * decoder, "b_dec": shift},
    )
    save_probes(root / "probes", decoder[:4], torch.zeros(4), ("a", "b", "c", "d"), HOOK, planted_target)
    return root


@pytest.mark.parametrize(
    ("name", "kind", "place"),
    [
        ("saelens", "sae", Place(MODULE, "output", 0)),
        ("sparsify", "transcoder", Place(f"{MODULE}.mlp", "input", 0)),
        ("probes", "probe", Place(MODULE, "output", 0)),
    ],
)
def test_a_folder_goes_through_the_harvest(planted_target, planted_text, width, folders, tmp_path, name, kind, place):
    dictionary = load_dictionary(folders / name, planted_target)
    made = harvest(planted_target, dictionary, planted_text, CONFIG, out=tmp_path / "harvest")
    ((group, features),) = dictionary.groups.items()
    assert made.facts.kind == kind
    assert made.facts.dictionary == dictionary.digest
    assert made.groups == ((group, len(features)),)
    assert made.name(3) == f"{group}:3"
    # Everything that was counted, again from one plain forward of the same windows.
    text = read_text(planted_target.tokenizer, [planted_text], CONFIG)
    where = Place(place.module, place.side, width)
    values = observe(planted_target, {group: where}, torch.as_tensor(text.tokens), logits=False).values
    reading = dictionary.encode(values)[group]
    fired = (reading.importance > 0).flatten(0, 1)
    np.testing.assert_allclose(made.firing, fired.sum(0).numpy(), atol=2)
    active = reading.activation.flatten(0, 1)[:, (row := int(made.firing.argmax()))]
    assert made.activation_mean[row] == pytest.approx(float(active[fired[:, row]].mean()), rel=1e-3)
    assert made.examples(row)
    assert Harvest.load(tmp_path / "harvest").firing.sum() == made.firing.sum() > 0


def test_all_kinds_are_compared_on_the_same_text(planted_target, planted_text, planted_decomposition, folders):
    windows = read_text(planted_target.tokenizer, [planted_text], CONFIG).tokens
    given = {name: load_dictionary(folders / name, planted_target) for name in ("saelens", "sparsify", "probes")}
    given["pieces"] = subcomponent_dictionary(planted_decomposition, planted_target)
    rows = {row["dictionary"]: row for row in compare_dictionaries(planted_target, given, windows).records()}
    assert {row["tokens"] for row in rows.values()} == {windows[:, 1:].size}
    assert len({row["ce_target"] for row in rows.values()}) == 1
    assert rows["saelens"]["l0"] == rows["sparsify"]["l0"] == 5.0
    # Trained pieces keep more of the model than random directions.
    assert rows["pieces"]["recovered"] > rows["sparsify"]["recovered"]
    assert rows["pieces"]["explained"] > max(rows["saelens"]["explained"], rows["sparsify"]["explained"])
