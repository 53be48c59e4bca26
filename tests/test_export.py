from __future__ import annotations

import copy
import errno
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from unweave.base.errors import UnweaveError
from unweave.edit import agreement, export
from unweave.edit.edits import AdapterEdit, FactorEdit, applied
from unweave.edit.export import export_merged, export_peft
from unweave.models.load import load_target
from unweave.models.target import make_target, weights_hash

# PEFT reads a property that transformers 5 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

SITES = {
    "llama": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "qwen2": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "gpt2": ("transformer.h.1.mlp.c_proj", "transformer.h.2.attn.c_attn.v"),
}


def two_edits(target, decomposed):
    """A factor edit of rank 3 and 1 at two sites, and an adapter of rank 1 at the second."""
    first, second = SITES[target.module.config.model_type]
    decomposition = decomposed(target, first, second)
    factors = {(first, 0): -3.0, (first, 2): 0.0, (first, 5): 2.5, (second, 1): -1.0}
    site = target.site(second)
    A, B = torch.randn(1, site.d_in), 0.3 * torch.randn(site.d_out, 1)
    return [
        FactorEdit.of(decomposition, factors, "factors"),
        AdapterEdit({second: (A, B)}, target.identity.digest, "adapter"),
    ]


@pytest.fixture
def edits(target, decomposed):
    torch.manual_seed(3)
    return two_edits(target, decomposed)


@pytest.fixture
def llama_edits(llama, decomposed):
    torch.manual_seed(3)
    return two_edits(llama, decomposed)


def logits(module, tokens):
    with torch.no_grad():
        return module(tokens).logits


def edited_logits(target, edits, tokens):
    with applied(target, *edits), torch.no_grad():
        return target.logits(tokens)


def difference(found, expected):
    return float((found - expected).abs().max())


def test_an_adapter_loaded_by_peft_gives_the_logits_of_the_edit(target, edits, tokens, tmp_path):
    report = export_peft(target, edits, tmp_path / "adapter")
    expected = edited_logits(target, edits, tokens)
    loaded = PeftModel.from_pretrained(copy.deepcopy(target.module), str(tmp_path / "adapter"))
    assert difference(logits(loaded, tokens), expected) <= 1e-4
    assert difference(expected, logits(target.module, tokens)) > 0.1
    assert report.max_logit_difference <= report.tolerance == 1e-4
    assert report.effect > 0.1
    assert (report.path, report.format, report.rank) == (tmp_path / "adapter", "peft", 3)
    assert report.sites == SITES[target.module.config.model_type]
    assert report.bytes == sum(file.stat().st_size for file in (tmp_path / "adapter").iterdir())


def test_an_adapter_merged_by_peft_gives_the_logits_of_the_edit(target, edits, tokens, tmp_path):
    # The layout of the weight (fan_in_fan_out) is used only when an adapter is merged.
    export_peft(target, edits, tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(copy.deepcopy(target.module), str(tmp_path / "adapter")).merge_and_unload()
    assert difference(logits(loaded, tokens), edited_logits(target, edits, tokens)) <= 1e-4


def test_an_adapter_has_what_servers_assume(target, edits, tmp_path):
    """One rank, plain scaling, module names in a list, and tensors named by them (vLLM's PEFTHelper and loader)."""
    folder = tmp_path / "adapter"
    export_peft(target, edits, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    modules = [target.site(name).module for name in SITES[target.module.config.model_type]]
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert config["r"] == config["lora_alpha"] == 3
    assert config["target_modules"] == sorted(modules)
    assert config["bias"] == "none"
    assert config["inference_mode"] is True
    assert config["fan_in_fan_out"] is (target.module.config.model_type == "gpt2")
    assert not config["use_rslora"]
    assert not config["use_dora"]
    assert not config["modules_to_save"]
    assert not config["rank_pattern"]
    assert not config["alpha_pattern"]
    tensors = load_file(folder / "adapter_model.safetensors")
    names = [f"base_model.model.{module}.lora_{side}.weight" for module in modules for side in "AB"]
    assert sorted(tensors) == sorted(names)
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32
        assert tensor.shape[0 if "lora_A" in name else 1] == 3


def test_an_adapter_is_the_edits_low_rank_product(llama, llama_edits, tmp_path):
    export_peft(llama, llama_edits, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    for site in SITES["llama"]:
        A, B = (tensors[f"base_model.model.{site}.lora_{side}.weight"] for side in "AB")
        products = [B @ A for edit in llama_edits if site in edit.sites() for A, B in [edit.low_rank(site)]]
        torch.testing.assert_close(B @ A, sum(products))


def test_peft_puts_the_adapter_on_the_edited_sites_only(target, edits, tmp_path):
    export_peft(target, edits, tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(copy.deepcopy(target.module), str(tmp_path / "adapter"))
    hit = {name.removeprefix("base_model.model.") for name, child in loaded.named_modules() if hasattr(child, "lora_A")}
    assert hit == {target.site(name).module for name in SITES[target.module.config.model_type]}


def test_an_adapter_on_every_site_lists_them_in_order_and_hits_them_all(target, tokens, tmp_path):
    matrices = {site.name: (torch.randn(1, site.d_in), 0.1 * torch.randn(site.d_out, 1)) for site in target.sites()}
    edit = AdapterEdit(matrices, target.identity.digest, "everywhere")
    report = export_peft(target, [edit], tmp_path / "adapter")
    assert report.max_logit_difference <= 1e-4
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted({site.module for site in target.sites()})


def test_the_same_edits_give_the_same_bytes(llama, llama_edits, tmp_path):
    for name in ("one", "two"):
        export_peft(llama, llama_edits, tmp_path / name)
    for file in ("adapter_config.json", "adapter_model.safetensors", "unweave.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


class Nested(nn.Module):
    """One module's name is the end of another's, which PEFT's list of names cannot tell apart."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(40, 8)
        self.inner = nn.ModuleDict({"mix": nn.Linear(8, 8)})
        self.mix, self.out = nn.Linear(8, 8), nn.Linear(8, 40)
        self.config = SimpleNamespace(vocab_size=40)

    def forward(self, tokens):
        return self.out(self.mix(torch.tanh(self.inner["mix"](self.embed(tokens)))))


def test_a_name_that_ends_another_name_hits_only_its_own_module(tmp_path):
    target = make_target(Nested(), None, "nested")
    edit = AdapterEdit({"mix": (torch.randn(1, 8), torch.randn(8, 1))}, target.identity.digest, "edit")
    report = export_peft(target, [edit], tmp_path / "adapter")
    assert report.max_logit_difference <= 1e-4
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["target_modules"] == "mix"
    inner = AdapterEdit({"inner.mix": (torch.randn(1, 8), torch.randn(8, 1))}, target.identity.digest, "edit")
    export_peft(target, [inner], tmp_path / "inner")
    config = json.loads((tmp_path / "inner" / "adapter_config.json").read_text())
    assert config["target_modules"] == ["inner.mix"]


@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
def test_an_adapter_that_peft_puts_on_more_than_the_edited_sites_is_noticed(tmp_path, monkeypatch):
    target = make_target(Nested(), None, "nested")
    edit = AdapterEdit({"mix": (torch.randn(1, 8), torch.randn(8, 1))}, target.identity.digest, "edit")
    monkeypatch.setattr(export, "peft_target_modules", lambda _, sites: sites)
    with pytest.raises(UnweaveError, match=r"PEFT put the adapter on \['inner.mix', 'mix'\], and the edit is at"):
        export_peft(target, [edit], tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_a_merged_folder_gives_the_logits_of_the_edit(target, edits, tokens, tmp_path):
    # Qwen2's folder is read with Qwen2's own tokenizer by transformers, which the one of the tests is not.
    tokenizer = None if target.module.config.model_type == "qwen2" else target.tokenizer
    target = make_target(target.module, tokenizer, target.name)
    edits = [replace(edit, target=target.identity.digest) for edit in edits]
    plain = logits(target.module, tokens)
    report = export_merged(target, edits, tmp_path / "merged")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert type(loaded) is type(target.module)
    assert torch.equal(logits(loaded, tokens), edited_logits(target, edits, tokens))
    assert report.max_logit_difference == 0.0
    assert report.effect > 0.1
    assert report.format == "merged"
    assert torch.equal(logits(target.module, tokens), plain)


def test_a_merged_folder_keeps_tokenizer_template_ties_and_generation_settings(llama, llama_edits, tmp_path):
    llama.module.generation_config.max_new_tokens = 17
    export_merged(llama, llama_edits, tmp_path / "merged")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert loaded.lm_head.weight.data_ptr() == loaded.model.embed_tokens.weight.data_ptr()
    assert "lm_head.weight" not in load_file(tmp_path / "merged" / "model.safetensors")
    assert loaded.generation_config.max_new_tokens == 17
    assert loaded.config.to_dict()["rope_parameters"] == llama.module.config.rope_parameters
    chat = [{"role": "user", "content": "the moon"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "the moon<|end|>"
    assert tokenizer("die Katze")["input_ids"] == llama.tokenizer("die Katze")["input_ids"]


def test_a_merged_folder_is_a_target_of_its_own(llama, llama_edits, tmp_path):
    export_merged(llama, llama_edits, tmp_path / "merged")
    merged = load_target(tmp_path / "merged", device="cpu")
    assert merged.identity == replace(llama.identity, weights=merged.identity.weights)
    assert merged.identity.weights != llama.identity.weights


def test_exporting_leaves_the_live_target_as_it_was(target, edits, tmp_path):
    modules = dict(target.module.named_modules())
    attributes = {name: sorted(vars(child)) for name, child in modules.items()}
    export_peft(target, edits, tmp_path / "adapter")
    if target.name != "tiny qwen2":
        export_merged(target, edits, tmp_path / "merged")
    assert weights_hash(target.module) == target.identity.weights
    assert dict(target.module.named_modules()) == modules
    assert {name: sorted(vars(child)) for name, child in modules.items()} == attributes
    assert not any(parameter.requires_grad for parameter in target.module.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_held_to_twice_its_own_rounding(fresh, decomposed, tmp_path, tokens, dtype):
    target = fresh("llama", dtype)
    torch.manual_seed(3)
    edits = two_edits(target, decomposed)
    plain = logits(target.module, tokens)
    rounding = difference(plain.float(), logits(copy.deepcopy(target.module).float(), tokens))
    adapter = export_peft(target, edits, tmp_path / "adapter")
    merged = export_merged(target, edits, tmp_path / "merged")
    assert (merged.max_logit_difference, merged.tolerance) == (0.0, 1e-4)
    assert 0 < adapter.max_logit_difference <= adapter.tolerance
    assert rounding / 4 < adapter.tolerance < 8 * rounding
    assert load_file(tmp_path / "merged" / "model.safetensors")["model.norm.weight"].dtype == dtype
    assert {t.dtype for t in load_file(tmp_path / "adapter" / "adapter_model.safetensors").values()} == {torch.float32}


def test_rounding_in_float32_is_allowed_for_and_no_more(target, edits, tmp_path, monkeypatch):
    # A large model rounds by more than 1e-4 where every matrix changes; a tiny one does so only under a lower limit.
    monkeypatch.setattr(agreement, "TOLERANCE", 1e-12)
    report = export_peft(target, edits, tmp_path / "adapter")
    assert 1e-12 < report.max_logit_difference <= report.tolerance < 1e-4
    monkeypatch.setattr(export, "_write_adapter", spoiled(export._write_adapter, 1e-3))
    with pytest.raises(UnweaveError, match="differs from the edit by"):
        export_peft(target, edits, tmp_path / "spoiled")


def test_the_base_can_be_written_beside_the_adapter(llama, llama_edits, tokens, tmp_path):
    folder = tmp_path / "adapter"
    export_peft(llama, llama_edits, folder, with_base=True)
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    assert torch.equal(logits(base, tokens), logits(llama.module, tokens))
    whole = AutoPeftModelForCausalLM.from_pretrained(folder)
    assert difference(logits(whole, tokens), edited_logits(llama, llama_edits, tokens)) <= 1e-4
    card = (folder / "README.md").read_text()
    assert "The unedited model is in `base/`" in card
    assert f"vllm serve {folder / 'base'} --enable-lora --max-lora-rank 8 --lora-modules edited=adapter" in card


def test_a_wrong_base_beside_the_adapter_is_noticed(llama, llama_edits, tmp_path, monkeypatch):
    own = export._save_model

    def save_edited(target, folder):
        with applied(target, llama_edits[0]):
            own(target, folder)

    monkeypatch.setattr(export, "_save_model", save_edited)
    with pytest.raises(UnweaveError, match="differs from the edit"):
        export_peft(llama, llama_edits, tmp_path / "adapter", with_base=True)


@pytest.mark.parametrize(
    ("source", "base", "expected"),
    [
        ("", None, None),
        ("some/folder", None, "some/folder"),
        ("org/model", "org/other", "org/other"),
        ("model.Q8_0.gguf", None, None),
        ("model.Q8_0.gguf", "org/model", "org/model"),
    ],
)
def test_the_adapter_names_its_base_where_there_is_a_name(llama, llama_edits, tmp_path, source, base, expected):
    export_peft(replace(llama, source=source), llama_edits, tmp_path / "adapter", base=base)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == expected
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert ("whose quantised weights were expanded" in card) == source.endswith(".gguf")
    assert f'from_pretrained("{expected or "BASE_MODEL"}"' in card


def test_card_and_record_say_what_was_edited_how_exactly_and_at_what_cost(llama, llama_edits, tmp_path):
    cost = {"decomposition": 1_228_800, "training": 4}
    report = export_peft(llama, llama_edits, tmp_path / "adapter", tokens=cost)
    record = json.loads((tmp_path / "adapter" / "unweave.json").read_text())
    first, second = SITES["llama"]
    assert record["target"]["digest"] == llama.identity.digest
    assert record["target"]["weights"] == llama.identity.weights
    assert record["edits"] == [
        {
            "name": "factors",
            "factors": [
                {"subcomponent": f"{first}:0", "factor": -3.0},
                {"subcomponent": f"{first}:2", "factor": 0.0},
                {"subcomponent": f"{first}:5", "factor": 2.5},
                {"subcomponent": f"{second}:1", "factor": -1.0},
            ],
        },
        {"name": "adapter", "ranks": {second: 1}},
    ]
    assert record["tokens"] == cost
    assert record["max_logit_difference"] == report.max_logit_difference
    card = (tmp_path / "adapter" / "README.md").read_text()
    for part in (f"`{first}:0` times -3", f"`{second}`: rank 1", llama.identity.digest, "- decomposition: 1,228,800"):
        assert part in card
    assert "licence of the edited model" in card
    assert str(tmp_path) not in card


def test_an_export_is_refused_when_something_is_there(llama, llama_edits, tmp_path):
    for write in (export_peft, export_merged):
        with pytest.raises(UnweaveError, match="already exists"):
            write(llama, llama_edits, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_requests_are_refused_and_leave_nothing(llama, llama_edits, tmp_path):
    folder = tmp_path / "out"
    other = replace(llama_edits[0], target="other")
    for write in (export_peft, export_merged):
        with pytest.raises(UnweaveError, match="at least one edit"):
            write(llama, [], folder)
        with pytest.raises(UnweaveError, match="belongs to target other"):
            write(llama, [other], folder)
        with pytest.raises(UnweaveError, match="already applied"):
            write(llama, [llama_edits[0], llama_edits[0]], folder)
        with pytest.raises(UnweaveError, match="has edits applied"), applied(llama, llama_edits[0]):
            write(llama, llama_edits[1:], folder)
    with pytest.raises(UnweaveError, match="exclude each other"):
        export_peft(llama, llama_edits, folder, base="org/model", with_base=True)
    assert list(tmp_path.iterdir()) == []
    assert weights_hash(llama.module) == llama.identity.weights


def test_sites_of_both_layouts_are_refused_for_an_adapter(gpt2, tmp_path):
    block = gpt2.module.transformer.h[0]
    block.mlp.c_proj = nn.Linear(128, 32)
    target = make_target(gpt2.module, gpt2.tokenizer, "mixed")
    shapes = {"transformer.h.0.mlp.c_proj": 128, "transformer.h.1.mlp.c_proj": 128}
    matrices = {site: (torch.randn(1, d_in), torch.randn(32, 1)) for site, d_in in shapes.items()}
    with pytest.raises(UnweaveError, match="both Linear and Conv1D"):
        export_peft(target, [AdapterEdit(matrices, target.identity.digest, "edit")], tmp_path / "adapter")
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_is_no_transformers_model_has_no_merged_folder(tmp_path):
    target = make_target(Nested(), None, "nested")
    edit = AdapterEdit({"mix": (torch.randn(1, 8), torch.randn(8, 1))}, target.identity.digest, "edit")
    with pytest.raises(UnweaveError, match="nested is a Nested, and only a transformers model has a folder format"):
        export_merged(target, [edit], tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []
    assert weights_hash(target.module) == target.identity.weights


def test_a_tokenizer_that_does_not_come_back_is_noticed(fresh, decomposed, tmp_path):
    target = fresh("qwen2")
    with pytest.raises(UnweaveError, match="AutoTokenizer loads another tokenizer"):
        export_merged(target, two_edits(target, decomposed), tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_is_not_in_the_folder_is_noticed(llama, llama_edits, tmp_path, monkeypatch):
    save = export._save_model

    def save_without_one(target, folder):
        save(target, folder)
        tensors = load_file(folder / "model.safetensors")
        del tensors["model.norm.weight"]  # all ones, as it is when it is made anew: the logits would not show it
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(export, "_save_model", save_without_one)
    with pytest.raises(UnweaveError, match=r"lacks model\.norm\.weight when loaded again"):
        export_merged(llama, llama_edits, tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def spoiled(write, amount=0.5):
    """Writes as ``write`` does, then moves one number in the file."""

    def write_and_spoil(*arguments):
        write(*arguments)
        path = next(arguments[-1].glob("*.safetensors"))
        tensors = load_file(path)
        name = next(name for name in tensors if "lora_B" in name or "down_proj" in name)
        tensors[name][0, 0] += amount
        save_file(tensors, path, metadata={"format": "pt"})

    return write_and_spoil


def test_a_file_that_differs_from_the_edit_is_noticed_and_removed(llama, llama_edits, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_write_adapter", spoiled(export._write_adapter))
    monkeypatch.setattr(export, "_save_model", spoiled(export._save_model))
    for exporting in (export_peft, export_merged):
        with pytest.raises(UnweaveError, match="differs from the edit by"):
            exporting(llama, llama_edits, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
    assert weights_hash(llama.module) == llama.identity.weights


@pytest.mark.parametrize(
    ("failure", "raised", "line"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (OSError(errno.ENOSPC, "No space left on device"), UnweaveError, "the disk is full"),
        (SafetensorError('IoError(Os { code: 28, kind: StorageFull })'), UnweaveError, "the disk is full"),
        (SafetensorError("odd"), UnweaveError, "the weights could not be written: odd"),
        (ValueError("temperature\nmore"), UnweaveError, "cannot be saved by transformers: temperature$"),
    ],
)  # fmt: skip
def test_an_interrupted_export_leaves_nothing(llama, llama_edits, tmp_path, monkeypatch, failure, raised, line):
    def half(module, folder):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{")
        raise failure

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", half)
    with pytest.raises(raised, match=line):
        export_merged(llama, llama_edits, tmp_path / "out")
    with pytest.raises(raised, match=line):
        export_peft(llama, llama_edits, tmp_path / "out", with_base=True)
    assert list(tmp_path.iterdir()) == []
    assert weights_hash(llama.module) == llama.identity.weights


def test_written_weights_can_be_read_by_others(llama, llama_edits, tmp_path):
    export_peft(llama, llama_edits, tmp_path / "adapter", with_base=True)
    for file in (tmp_path / "adapter").rglob("*"):
        assert file.stat().st_mode & 0o444 == 0o444, file.name


def test_an_adapter_can_be_moved(llama, llama_edits, tokens, tmp_path):
    export_peft(llama, llama_edits, tmp_path / "adapter")
    moved = shutil.move(tmp_path / "adapter", tmp_path / "elsewhere")
    loaded = PeftModel.from_pretrained(copy.deepcopy(llama.module), moved)
    assert difference(logits(loaded, tokens), edited_logits(llama, llama_edits, tokens)) <= 1e-4
