from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from unweave.base.errors import UnweaveError
from unweave.models.target import make_target
from unweave.read.dictionaries.activations import TopK
from unweave.read.dictionaries.load import load_dictionary
from unweave.read.features import Place, feature_counts, fires

MADE = Path(__file__).parent / "dictionaries"
SAELENS = sorted(path.name for path in (MADE / "saelens").iterdir())
SPARSIFY = sorted(path.parent.relative_to(MADE / "sparsify").as_posix() for path in MADE.glob("sparsify/*/*/cfg.json"))
D_IN, LATENTS = 8, 12


class Lines:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def update(self, done, total, note=""): ...

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def narrow():
    """A Llama of two blocks, 8 wide, as the stored coders are."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=D_IN, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=0.3,
    )  # fmt: skip
    return make_target(AutoModelForCausalLM.from_config(config), None, "tiny")


@pytest.fixture
def copied(tmp_path):
    """A stored folder to be changed: its config, its tensors, or both."""

    def make(name, config=None, tensors=None, drop=(), library="saelens", weights="sae_weights.safetensors"):
        folder = tmp_path / Path(name).name
        shutil.copytree(MADE / library / name, folder)
        written = json.loads((folder / "cfg.json").read_text()) | (config or {})
        (folder / "cfg.json").write_text(json.dumps({k: v for k, v in written.items() if k not in drop}))
        stored = load_file(folder / weights) | (tensors or {})
        save_file({k: v for k, v in stored.items() if k not in drop}, folder / weights)
        return folder

    return make


def says_what_its_library_says(folder, target):
    """Largest differences of latents and output from what the library said, and the coder."""
    dictionary = load_dictionary(folder, target)
    (coder,) = dictionary.groups.values()
    expected = load_file(folder / "expected.safetensors")
    latents, output = coder.latents(expected["x"]), coder.reconstruct(expected["x"])
    assert torch.equal(latents != 0, expected["latents"] != 0)
    assert 0 < int((latents != 0).sum()) < latents.numel()
    torch.testing.assert_close(latents, expected["latents"], rtol=1e-5, atol=5e-6)
    torch.testing.assert_close(output, expected["output"], rtol=1e-5, atol=5e-6)
    return dictionary, coder, expected["x"]


@pytest.mark.parametrize("name", SAELENS)
def test_a_saelens_folder_gives_what_saelens_gives(narrow, name):
    dictionary, coder, x = says_what_its_library_says(MADE / "saelens" / name, narrow)
    transcoder = "transcoder" in name
    assert dictionary.kind == ("transcoder" if transcoder else "sae")
    assert feature_counts(dictionary) == {coder.name: LATENTS}
    assert (coder.reads == coder.writes) == (not transcoder)
    reading = dictionary.encode({coder.name: x})[coder.name]
    assert torch.equal(fires(reading), coder.latents(x) != 0)


@pytest.mark.parametrize("name", SPARSIFY)
def test_a_sparsify_folder_gives_what_sparsify_gives(narrow, name):
    dictionary, coder, _ = says_what_its_library_says(MADE / "sparsify" / name, narrow)
    assert dictionary.base == "owner/tiny"
    assert dictionary.kind == ("transcoder" if "transcoder" in name else "sae")
    assert coder.name == Path(name).name
    assert coder.reads.module == f"model.{coder.name}"
    assert (coder.reads.side, coder.writes.side) == ("input" if "transcoder" in name else "output", "output")


@pytest.mark.parametrize("name", SAELENS)
def test_what_is_decoded_is_what_latents_add_to_the_place(narrow, name):
    """Each activation times its write direction is how the output differs without that latent."""
    (coder,) = load_dictionary(MADE / "saelens" / name, narrow).groups.values()
    x = load_file(MADE / "saelens" / name / "expected.safetensors")["x"]
    reading = coder.read(x)
    empty = type(coder)(**{**vars(coder), "activation": lambda products: torch.zeros_like(products)})
    added = coder.reconstruct(x) - empty.reconstruct(x)
    torch.testing.assert_close(coder.decode(reading.activation), added, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reading.activation @ coder.write_directions(), added, rtol=1e-4, atol=1e-5)
    assert coder.read_directions().shape == (LATENTS, D_IN)


def test_signed_latents_keep_their_sign(copied, narrow):
    folder = copied("topk/layers.1", {"signed": True}, library="sparsify", weights="sae.safetensors")
    (coder,) = load_dictionary(folder, narrow).groups.values()
    x = load_file(folder / "expected.safetensors")["x"]
    stored = load_file(folder / "sae.safetensors")
    products = (x - stored["b_dec"]) @ stored["encoder.weight"].T + stored["encoder.bias"]
    latents = coder.latents(x)
    assert bool((latents < 0).any())
    for row, all_of_row in zip(latents, products, strict=True):
        largest = all_of_row.abs().topk(3).indices
        assert torch.equal(row[largest], all_of_row[largest])
        assert int((row != 0).sum()) == 3


@pytest.mark.parametrize("name", ["standard", "old-standard"])
def test_a_centred_stream_is_read_without_its_mean_and_gets_it_back(copied, narrow, name):
    loading = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    if name == "standard":
        metadata = json.loads((MADE / "saelens/standard/cfg.json").read_text())["metadata"]
        loading = {"metadata": metadata | loading}
    (plain,) = load_dictionary(MADE / "saelens" / name, narrow).groups.values()
    (centred,) = load_dictionary(copied(name, loading), narrow).groups.values()
    x = load_file(MADE / "saelens/standard/expected.safetensors")["x"]
    mean = x.mean(-1, keepdim=True)
    torch.testing.assert_close(centred.latents(x), plain.latents(x - mean))
    torch.testing.assert_close(centred.reconstruct(x), plain.reconstruct(x - mean) + mean)
    torch.testing.assert_close(centred.read_directions().mean(-1), torch.zeros(LATENTS), rtol=0, atol=1e-6)


def test_folders_of_one_model_are_read_together_in_their_order(narrow, tmp_path):
    for layer in (1, 0):
        folder = shutil.copytree(MADE / "saelens/topk", tmp_path / "all" / f"layer_{layer}")
        config = json.loads((folder / "cfg.json").read_text())
        config["metadata"]["hook_name"] = f"blocks.{layer}.hook_resid_post"
        (folder / "cfg.json").write_text(json.dumps(config))
    dictionary = load_dictionary(tmp_path / "all", narrow)
    assert list(dictionary.groups) == ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    (alone,) = load_dictionary(tmp_path / "all/layer_1", narrow).groups.values()
    assert torch.equal(alone.encoder, dictionary.groups[alone.name].encoder)
    assert dictionary.digest != load_dictionary(tmp_path / "all/layer_1", narrow).digest
    (folder / "cfg.json").write_text((tmp_path / "all/layer_1/cfg.json").read_text())
    with pytest.raises(UnweaveError, match=r"two coders of 'blocks[.]1[.]hook_resid_post'"):
        load_dictionary(tmp_path / "all", narrow)
    shutil.copytree(MADE / "saelens/transcoder", tmp_path / "all/transcoder")
    with pytest.raises(UnweaveError, match=r"coders of several kinds \(sae, transcoder\)"):
        load_dictionary(tmp_path / "all", narrow)


def test_a_seed_of_a_sparsify_run_is_of_the_hookpoint_above_it(narrow, tmp_path):
    shutil.copytree(MADE / "sparsify/topk/layers.1", tmp_path / "layers.1/seed3")
    assert list(load_dictionary(tmp_path / "layers.1/seed3", narrow).groups) == ["layers.1"]


def test_another_base_model_is_said(copied, narrow):
    metadata = json.loads((MADE / "saelens/standard/cfg.json").read_text())["metadata"]
    for name, said in (("tiny", False), ("owner/tiny", False), ("gpt2-small", True)):
        progress = Lines()
        folder = copied("standard", {"metadata": metadata | {"model_name": name}})
        load_dictionary(folder, narrow, progress)
        assert bool(progress.lines) == said
        shutil.rmtree(folder)
    assert "was made on gpt2-small, and this target is tiny" in progress.lines[0]


REFUSED = [
    ("standard", {"architecture": "temporal"}, {}, (), "architecture 'temporal', which is not read: standard, gated"),
    ("standard", {"normalize_activations": "covariance_whitening"}, {}, (), "'covariance_whitening', which is not"),
    ("standard", {"normalize_activations": "expected_average_only_in"}, {}, (), "the factor is not in the folder"),
    ("old-topk", {"activation_fn_str": "tanh-relu"}, {}, (), "activation_fn 'tanh-relu', which is not read"),
    ("standard", {"reshape_activations": "hook_z"}, {}, (), "only hook_z has heads to join"),
    ("standard", {"reshape_activations": "flat"}, {}, (), "reshape_activations 'flat', which is not read"),
    ("standard", {"d_sae": 13}, {}, (), r"'W_dec' as \(12, 8\), and its config says \(13, 8\)"),
    ("standard", {"d_sae": "12"}, {}, (), "d_sae '12': a whole number"),
    ("standard", {"d_sae": 0}, {}, (), "d_sae 0: a whole number"),
    ("standard", {"apply_b_dec_to_input": 1}, {}, (), "apply_b_dec_to_input 1: true or false"),
    ("topk", {"k": 13}, {}, (), "k 13 of 12 latents"),
    ("topk", {}, {}, ("k",), "k None: a whole number"),
    ("standard", {}, {}, ("b_enc",), "has no tensor 'b_enc'; nearest: 'b_dec'"),
    ("standard", {}, {"W_gate": torch.ones(2)}, (), "'W_gate'.* that is not known"),
    ("standard", {}, {"b_dec": torch.full((8,), float("nan"))}, (), "'b_dec' has NaN or infinite values"),
    ("standard", {}, {"scaling_factor": torch.full((12,), 2.0)}, (), "scaling_factor other than 1"),
    ("transcoder", {"apply_b_dec_to_input": True}, {}, (), "cannot be taken from its input"),
    ("standard", {"metadata": {}}, {}, (), "nothing about hook_name"),
    ("standard", {"metadata": {"hook_name": "blocks.7.hook_resid_post"}}, {}, (), "has blocks 0 to 1"),
    ("standard", {"metadata": {"hook_name": "blocks.1.hook_resid_past"}}, {}, (), "nearest: 'blocks.1.hook_resid"),
    ("standard", {"metadata": {"hook_name": "blocks.1.mlp.hook_post"}}, {}, (), "12 wide, and 8 was expected"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config", "tensors", "drop", "message"), REFUSED, ids=[each[-1] for each in REFUSED])
def test_what_is_not_understood_is_refused_by_name(copied, narrow, name, config, tensors, drop, message):
    with pytest.raises(UnweaveError, match=message):
        load_dictionary(copied(name, config, tensors, drop), narrow)


SPARSIFY_REFUSED = [
    ({"activation": "binary"}, (), "activation 'binary', which is not read: topk, groupmax"),
    ({"encoder_pkm": True}, (), "encoder_pkm True, which is not read"),
    ({"activation": "groupmax", "k": 5}, (), "groupmax with k 5 of 12"),
    ({"activation": "groupmax", "signed": True}, (), "signed with groupmax"),
    ({"skip_connection": True}, (), "no tensor 'W_skip'"),
    ({"d_in": 9}, (), "its config says"),
]


@pytest.mark.parametrize(("config", "drop", "message"), SPARSIFY_REFUSED)
def test_a_sparsify_option_that_is_not_understood_is_refused(copied, narrow, config, drop, message):
    folder = copied("topk/layers.1", config, None, drop, "sparsify", "sae.safetensors")
    with pytest.raises(UnweaveError, match=message):
        load_dictionary(folder, narrow)


def test_an_early_sparsify_transcoder_is_refused(narrow, tmp_path):
    folder = shutil.copytree(MADE / "sparsify/topk/layers.1", tmp_path / "run/layers.1")
    config = json.loads((folder / "cfg.json").read_text())
    del config["transcode"]
    (folder / "cfg.json").write_text(json.dumps(config))
    assert load_dictionary(folder, narrow).kind == "sae"
    (folder.parent / "config.json").write_text('{"transcode": true}')
    with pytest.raises(UnweaveError, match="disagree about what is taken from the input"):
        load_dictionary(folder, narrow)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".ckpt", ".joblib", ".npz", ".npy"])
def test_f3_18_a_file_that_can_run_code_is_never_opened(narrow, tmp_path, suffix):
    """A pickle that would write a marker: refused by name, alone, in a folder and in a folder of folders; no marker."""
    marker = tmp_path / "marker"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (marker,))

    inside = tmp_path / "given" / "blocks.1"
    inside.mkdir(parents=True)
    evil = inside / f"sae_weights{suffix}"
    torch.save(Evil(), evil)
    shutil.copy(MADE / "saelens/standard/cfg.json", inside)
    for given in (evil, inside, inside.parent):
        with pytest.raises(UnweaveError, match=rf"{suffix} is not read: (a pickle|it can hold pickles)"):
            load_dictionary(given, narrow)
    for name in ("sae_weights.safetensors", "sparsity.safetensors"):
        shutil.copy(MADE / "saelens/standard/sae_weights.safetensors", inside / name)
    assert len(load_dictionary(inside, narrow).groups["blocks.1.hook_resid_post"]) == LATENTS
    assert not marker.exists()


def test_what_is_no_dictionary_is_refused_with_what_was_looked_for(narrow, tmp_path):
    with pytest.raises(UnweaveError, match=r"no dictionary: looked for decomposition.json .*probe.json"):
        load_dictionary(tmp_path, narrow)
    with pytest.raises(UnweaveError, match="no folder and no bundled decomposition; nearest: 'polyglot'"):
        load_dictionary("polyglott", narrow)
    with pytest.raises(UnweaveError, match="give the folder that it is in"):
        load_dictionary(MADE / "saelens/standard/sae_weights.safetensors", narrow)
    with pytest.raises(UnweaveError, match="belongs to target"):
        load_dictionary("polyglot", narrow)
    folder = shutil.copytree(MADE / "saelens/standard", tmp_path / "damaged")
    (folder / "sae_weights.safetensors").write_bytes(b"\x09\0\0\0\0\0\0\0{}")
    with pytest.raises(UnweaveError, match="not valid safetensors"):
        load_dictionary(folder, narrow)
    (folder / "cfg.json").write_text("[]")
    with pytest.raises(UnweaveError, match="holds a list, and an object was expected"):
        load_dictionary(folder, narrow)


def test_the_digest_is_of_all_that_decides_a_reading(copied, narrow):
    """Tensors, but also how many latents are kept, and where they read; not where the folder lies."""
    plain = load_dictionary(MADE / "saelens/topk", narrow).digest
    elsewhere = json.loads((MADE / "saelens/topk/cfg.json").read_text())["metadata"]
    elsewhere["hook_name"] = "blocks.0.hook_resid_post"
    changes = [
        ({}, {}),
        ({"k": 4}, {}),
        ({"apply_b_dec_to_input": False}, {}),
        ({"normalize_activations": "layer_norm"}, {}),
        ({"metadata": elsewhere}, {}),
        ({}, {"b_enc": torch.ones(LATENTS)}),
    ]
    digests = []
    for config, tensors in changes:
        folder = copied("topk", config, tensors)
        digests.append(load_dictionary(folder, narrow).digest)
        shutil.rmtree(folder)
    assert digests[0] == plain
    assert len(set(digests)) == len(changes)


def test_a_decomposition_comes_through_the_same_door(llama, decomposed, tmp_path):
    made = decomposed(llama, "*.1.*")
    made.save(tmp_path / "made")
    dictionary = load_dictionary(tmp_path / "made", llama)
    assert dictionary.kind == "subcomponents"
    assert dictionary.digest == made.digest()
    assert all(features.reads == Place(name, "input", features.reads.width, llama.site(name)) for name, features in
               dictionary.groups.items())  # fmt: skip


def test_top_k_keeps_no_negative_latent():
    found = TopK(torch.zeros(4), 3)(torch.tensor([[-1.0, 2.0, -3.0, 0.5]]))
    assert torch.equal(found, torch.tensor([[0.0, 2.0, 0.0, 0.5]]))
