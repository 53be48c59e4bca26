"""Makes the folders beside this file: random coders saved by SAELens 6.54.12 and sparsify 1.3.3, and what these say.

Each folder holds a coder as its library writes it, and ``expected.safetensors`` with inputs, latents and outputs that
the library computed from that folder. To make them again: ``pip install sae-lens eai-sparsify``, then run this file.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

D_IN, LATENTS, ROWS = 8, 12, 5
HERE = Path(__file__).parent
METADATA = {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "prepend_bos": True, "context_size": 16}
TRANSCODED = {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}


def filled(coder, generator):
    """The coder with random weights, biases and thresholds."""
    with torch.no_grad():
        for name, weight in coder.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * (0.3 if weight.dim() < 2 else 0.7))
            if name == "threshold":
                weight.abs_()
    return coder


def expect(folder, x, latents, output):
    """Stores what a library said, beside the coder."""
    tensors = {"x": x, "latents": latents, "output": output}
    save_file(
        {name: value.detach().float().contiguous() for name, value in tensors.items()}, folder / "expected.safetensors"
    )


def saelens(folder, generator):
    """Every architecture of SAELens in the settings that change what it computes."""
    import sae_lens

    x = torch.randn(ROWS, D_IN, generator=generator) * 2 + 0.5
    sizes = {"d_in": D_IN, "d_sae": LATENTS}
    plain = {
        "standard": ("Standard", {}),
        "standard-no-shift": ("Standard", {"apply_b_dec_to_input": False}),
        "standard-layer-norm": ("Standard", {"normalize_activations": "layer_norm"}),
        "standard-constant-norm": ("Standard", {"normalize_activations": "constant_norm_rescale"}),
        "standard-bfloat16": ("Standard", {"dtype": "bfloat16"}),
        "standard-z": ("Standard", {"reshape_activations": "hook_z"}),
        "gated": ("Gated", {}),
        "gated-layer-norm": ("Gated", {"normalize_activations": "layer_norm"}),
        "jumprelu": ("JumpReLU", {}),
        "topk": ("TopK", {"k": 3}),
        "topk-rescaled": ("TopK", {"k": 3, "rescale_acts_by_decoder_norm": True}),
        "abstopk": ("AbsTopK", {"k": 3}),
    }
    for name, (kind, settings) in plain.items():
        metadata = sae_lens.saes.sae.SAEMetadata(**METADATA)
        seen = x
        if settings.get("reshape_activations") == "hook_z":
            metadata.hook_name, seen = "blocks.1.attn.hook_z", x.unflatten(-1, (2, -1))
        config = getattr(sae_lens, f"{kind}SAEConfig")(**sizes, **settings, metadata=metadata)
        filled(getattr(sae_lens, f"{kind}SAE")(config), generator).save_model(folder / name)
        read = sae_lens.SAE.load_from_disk(folder / name, dtype="float32")
        expect(folder / name, x, read.encode(seen), read(seen).reshape(x.shape))
    for name, kind, settings in (
        ("batchtopk", "BatchTopK", {}),
        ("batchtopk-rescaled", "BatchTopK", {"rescale_acts_by_decoder_norm": True}),
        ("matryoshka", "MatryoshkaBatchTopK", {"matryoshka_widths": [6, 12]}),
    ):
        metadata = sae_lens.saes.sae.SAEMetadata(**METADATA)
        settings = {"rescale_acts_by_decoder_norm": False, **settings}
        config = getattr(sae_lens, f"{kind}TrainingSAEConfig")(**sizes, **settings, k=3, metadata=metadata)
        trained = filled(getattr(sae_lens, f"{kind}TrainingSAE")(config), generator)
        trained.topk_threshold = torch.tensor(0.8, dtype=torch.double)
        trained.save_model(folder / f"{name}-checkpoint")
        trained.save_inference_model(folder / name)
        read = sae_lens.SAE.load_from_disk(folder / name)
        for each in (name, f"{name}-checkpoint"):
            expect(folder / each, x, read.encode(x), read(x))
    for name, kind in (
        ("transcoder", "Transcoder"),
        ("skip-transcoder", "SkipTranscoder"),
        ("jumprelu-transcoder", "JumpReLUTranscoder"),
        ("jumprelu-skip-transcoder", "JumpReLUSkipTranscoder"),
    ):
        metadata = sae_lens.saes.sae.SAEMetadata(**{**METADATA, **TRANSCODED})
        config = getattr(sae_lens, f"{kind}Config")(**sizes, d_out=D_IN, apply_b_dec_to_input=False, metadata=metadata)
        filled(getattr(sae_lens, kind)(config), generator).save_model(folder / name)
        read = sae_lens.SAE.load_from_disk(folder / name)
        expect(folder / name, x, read.encode(x), read(x))
    old(folder, x, sae_lens)
    unfolded(folder, x, sae_lens)


def old(folder, x, sae_lens):
    """Configs as versions before 6 wrote them: everything on one level, under earlier names."""
    common = {"d_in": D_IN, "d_sae": LATENTS, "dtype": "torch.float32", "device": "cpu", "model_name": "tiny"}
    for name, like, settings in (
        ("old-standard", "standard", {"hook_point": "blocks.1.hook_resid_post", "normalize_activations": False}),
        (
            "old-topk",
            "topk",
            {
                "hook_name": "blocks.1.hook_resid_post",
                "architecture": "standard",
                "activation_fn_str": "topk",
                "activation_fn_kwargs": {"k": 3},
                "normalize_activations": "none",
                "finetuning_scaling_factor": False,
                "sae_lens_training_version": "4.4.5",
            },
        ),
    ):
        (folder / name).mkdir()
        weights = load_file(folder / like / "sae_weights.safetensors")
        save_file({**weights, "scaling_factor": torch.ones(LATENTS)}, folder / name / "sae_weights.safetensors")
        (folder / name / "cfg.json").write_text(json.dumps({**common, **settings}))
        read = sae_lens.SAE.load_from_disk(folder / name)
        expect(folder / name, x, read.encode(x), read(x))


def unfolded(folder, x, sae_lens):
    """A training checkpoint whose activations are scaled by a factor that is not yet in its weights."""
    for name, like in (("scaled", "jumprelu"), ("scaled-batchtopk", "batchtopk-rescaled-checkpoint")):
        shutil.copytree(folder / like, folder / name)
        config = json.loads((folder / name / "cfg.json").read_text())
        config["normalize_activations"] = "expected_average_only_in"
        (folder / name / "cfg.json").write_text(json.dumps(config))
        (folder / name / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.7}))
        if like == "jumprelu":
            read = sae_lens.SAE.load_from_disk(folder / name)
        else:
            read = sae_lens.TrainingSAE.load_from_disk(folder / name)
        read.fold_activation_norm_scaling_factor(0.7)
        if like != "jumprelu":
            read.save_inference_model(folder / "folded")
            read = sae_lens.SAE.load_from_disk(folder / "folded")
            shutil.rmtree(folder / "folded")
        expect(folder / name, x, read.encode(x), read(x))


def sparsify(folder, generator):
    """Every activation of sparsify, with and without a skip connection, as SAE and as transcoder."""
    from sparsify import SparseCoder, SparseCoderConfig

    x = torch.randn(ROWS, D_IN, generator=generator) * 2 + 0.5
    for name, hookpoint, settings in (
        ("topk", "layers.1", {}),
        ("groupmax", "layers.0.mlp", {"activation": "groupmax", "skip_connection": True}),
        ("transcoder", "layers.1.mlp", {"transcode": True}),
        ("skip-transcoder", "layers.1.mlp", {"transcode": True, "skip_connection": True}),
    ):
        config = SparseCoderConfig(num_latents=LATENTS, k=3, **settings)
        coder = filled(SparseCoder(D_IN, config), generator)
        coder.save_to_disk(folder / name / hookpoint)
        (folder / name / "config.json").write_text(json.dumps({"sae": asdict(config), "model": "owner/tiny"}))
        read = SparseCoder.load_from_disk(folder / name / hookpoint)
        acts, indices, _ = read.encode(x)
        latents = torch.zeros(ROWS, LATENTS).scatter(-1, indices, acts)
        expect(folder / name / hookpoint, x, latents, read(x, x).sae_out)


if __name__ == "__main__":
    for library, make in (("saelens", saelens), ("sparsify", sparsify)):
        shutil.rmtree(HERE / library, ignore_errors=True)
        (HERE / library).mkdir()
        make(HERE / library, torch.Generator().manual_seed(0))
