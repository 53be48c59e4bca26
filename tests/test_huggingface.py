from __future__ import annotations

import json
import pickle
import shutil
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoConfig, LlamaConfig, PreTrainedTokenizerFast
from transformers.utils import logging

from unweave.base.errors import UnweaveError
from unweave.models.huggingface import check_folder, check_safetensors, load_folder

CPU = torch.device("cpu")
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CONFIGS = {
    "llama": LlamaConfig(
        vocab_size=len(BYTES),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    ),
    "gpt2": GPT2Config(vocab_size=len(BYTES), n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
}


def write_model(folder, config=CONFIGS["llama"], **saving):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder, **saving)
    backend = Tokenizer(models.BPE(vocab={byte: index for index, byte in enumerate(BYTES)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    return {kind: (root / kind, write_model(root / kind, config)) for kind, config in CONFIGS.items()}


@pytest.fixture
def llama(saved, tmp_path):
    """A copy of the Llama-like folder, to be damaged."""
    return shutil.copytree(saved["llama"][0], tmp_path / "llama")


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


@pytest.mark.parametrize("kind", CONFIGS)
def test_model_is_the_saved_one_frozen_and_in_evaluation_mode(saved, kind):
    folder, model = saved[kind]
    module, tokenizer = load_folder(folder, torch.float32, CPU)
    tokens = tokenizer("Grüße, world", return_tensors="pt").input_ids
    assert tokenizer.decode(tokens[0]) == "Grüße, world"
    with torch.no_grad():
        assert torch.equal(module(tokens).logits, model(tokens).logits)
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert module.config._attn_implementation == "sdpa"


def test_dtype_is_the_one_asked_for(saved):
    module, _ = load_folder(saved["llama"][0], torch.bfloat16, CPU)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}


def test_shards_are_loaded_and_each_is_needed(tmp_path):
    model = write_model(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(shards) > 2
    module, _ = load_folder(tmp_path, torch.float32, CPU)
    assert torch.equal(module.lm_head.weight, model.lm_head.weight)
    shutil.copy(shards[0], shards[1])
    with pytest.raises(UnweaveError, match=f"{shards[1].name} lacks tensor"):
        load_folder(tmp_path, torch.float32, CPU)
    shards[1].unlink()
    with pytest.raises(UnweaveError, match=f"lacks 1 of {len(shards)} weight files: get {shards[1].name}"):
        load_folder(tmp_path, torch.float32, CPU)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": []}')
    with pytest.raises(UnweaveError, match="has no weight_map"):
        load_folder(tmp_path, torch.float32, CPU)


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def only_gguf(folder):
    (folder / "model.safetensors").rename(folder / "model-Q4_0.gguf")


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def empty(folder):
    for each in folder.iterdir():
        each.unlink()


def no_tokenizer(folder):
    for each in folder.glob("tokenizer*"):
        each.unlink()


def damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": 3}')


def pointer(folder):
    (folder / "model.safetensors").write_text("version 1\noid sha256:0\nsize 123\n")


def write_config(text):
    return lambda folder: (folder / "config.json").write_text(text)


def configured(**changes):
    return lambda folder: edit_json(folder / "config.json", **changes)


def weights(change):
    return lambda folder: edit_weights(folder, change)


def without_head(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (no_weights, r"has no weights \(it has config.json, generation_config.json, tokenizer.json"),
        (empty, r"has no weights \(it has nothing\)"),
        (only_pickle, r"only as pickle \(pytorch_model.bin\).* convert them to model.safetensors"),
        (only_gguf, r"has no model.safetensors but model-Q4_0.gguf: give a .gguf file's own path"),
        (pointer, "git lfs pull"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "adapter_config.json").touch(), "is an adapter"),
        (write_config("{"), "config.json is not valid JSON"),
        (write_config("[]"), "names no model_type"),
        (write_config("{}"), "names no model_type"),
        (configured(hidden_size="wide"), "config.json is not valid|cannot be loaded"),
        (configured(model_type="lama"), "model_type 'lama' is unknown to transformers; nearest: 'llama'"),
        (configured(model_type="vit"), "model_type 'vit' is not a causal language model"),
        (configured(quantization_config={"quant_method": "gptq"}), "packed by quantisation"),
        (configured(num_hidden_layers=3), r"lacks 9 weights, the first is model.layers.2.\S+ which would be left at"),
        (
            configured(num_hidden_layers=1),
            r"has 9 weights, the first is model.layers.1.\S+ which LlamaForCausalLM would",
        ),
        (configured(hidden_size=64), "cannot be loaded: .*"),
        (weights(without_head), "lacks weight lm_head.weight, which would be left at random"),
        (weights(lambda t: t | {"value_head.weight": torch.zeros(1, 32)}), "has weight value_head.weight, which"),
        (no_tokenizer, "has no tokenizer"),
        (damaged_tokenizer, "its tokenizer cannot be loaded"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(llama, damage, said):
    damage(llama)
    with pytest.raises(UnweaveError, match=said) as refused:
        load_folder(llama, torch.float32, CPU)
    assert "\n" not in str(refused.value)


def test_tied_head_may_be_left_out(llama):
    edit_json(llama / "config.json", tie_word_embeddings=True)
    edit_weights(llama, without_head)
    module, _ = load_folder(llama, torch.float32, CPU)
    assert module.lm_head.weight is module.model.embed_tokens.weight


def test_masks_saved_by_older_versions_are_no_weights(tmp_path):
    config = GPTNeoConfig(
        vocab_size=len(BYTES),
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=16,
        bos_token_id=0,
        eos_token_id=0,
    )
    write_model(tmp_path, config)
    stem = "transformer.h.0.attn.attention"
    masks = {f"{stem}.bias": torch.ones(1, 1, 16, 16).tril(), f"{stem}.masked_bias": torch.tensor(-1e9)}
    edit_weights(tmp_path, lambda tensors: tensors | masks)
    load_folder(tmp_path, torch.float32, CPU)


@pytest.mark.parametrize("model_type", ["llama", "strange"])
def test_f3_19_code_that_comes_with_a_model_is_never_run(llama, model_type, monkeypatch):
    marker = llama / "ran"
    (llama / "modeling_strange.py").write_text(f"open({str(marker)!r}, 'w')\n")
    auto_map = {"AutoConfig": "modeling_strange.Config", "AutoModelForCausalLM": "modeling_strange.Model"}
    edit_json(llama / "config.json", auto_map=auto_map, model_type=model_type)
    edit_json(llama / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "modeling_strange.Tokenizer"]})
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    if model_type == "llama":
        module, _ = load_folder(llama, torch.float32, CPU)
        assert type(module).__module__ == "transformers.models.llama.modeling_llama"
    else:
        with pytest.raises(UnweaveError, match="needs the code that comes with it, which is never run"):
            load_folder(llama, torch.float32, CPU)
    assert not marker.exists()


class Planted:
    """What a pickle would run when it is opened."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_f3_18_pickles_beside_the_weights_are_never_opened(llama):
    marker = llama / "ran"
    for name in (
        "pytorch_model.bin",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
        "training_args.bin",
        "tokenizer.pkl",
        "model.joblib",
        "embeddings.npy",
    ):
        (llama / name).write_bytes(pickle.dumps(Planted(marker)))
    load_folder(llama, torch.float32, CPU)
    assert not marker.exists()
    pickle.loads((llama / "optimizer.pt").read_bytes()).close()  # noqa: S301  # it would have shown
    assert marker.exists()


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (
            "config.json",
            {"_attn_implementation_internal": "evil/kernel"},
            "_implementation_internal names code on a",
        ),
        ("config.json", {"attn_implementation": "evil/kernel:f"}, "attn_implementation names code on a hub"),
        ("config.json", {"text_config": {"_attn_implementation": {"": "evil/x"}}}, "text_config._attn_implementation"),
        ("config.json", {"deep": [{"er": {"trust_remote_code": True}}]}, "deep.er.trust_remote_code is True"),
        ("config.json", {"trust_remote_code": "yes"}, "trust_remote_code is 'yes'"),
        ("config.json", {"use_kernels": True}, "use_kernels asks for kernels"),
        ("tokenizer_config.json", {"trust_remote_code": True}, "tokenizer_config.json: trust_remote_code"),
        ("generation_config.json", {"x": {"trust_remote_code": 1}}, "generation_config.json: x.trust_remote_code"),
    ],
)
def test_f3_19_keys_that_fetch_or_run_code_are_refused_at_any_depth(llama, file, changes, said):
    edit_json(llama / file, **changes)
    with pytest.raises(UnweaveError, match=said):
        load_folder(llama, torch.float32, CPU)


def test_f3_19_a_chat_template_cannot_leave_its_sandbox(llama):
    marker = llama / "ran"
    escape = (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}"
        "{{ cycler.__init__.__globals__.os.system('touch " + str(marker) + "') }}"
    )
    edit_json(llama / "tokenizer_config.json", chat_template=escape)
    _, tokenizer = load_folder(llama, torch.float32, CPU)
    with pytest.raises(Exception, match=r"unsafe|undefined|has no attribute"):
        tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert not marker.exists()


def test_f3_21_a_local_folder_opens_no_socket_and_prints_nothing(saved, monkeypatch, capfd):
    def refuse(*_):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    before = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        load_folder(saved["llama"][0], torch.float32, CPU)
        assert capfd.readouterr() == ("", "")
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(before)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_safetensors_of_any_other_length_are_refused(saved, tmp_path, data):
    whole = (saved["llama"][0] / "model.safetensors").read_bytes()
    length = data.draw(st.integers(0, len(whole) - 1) | st.integers(len(whole) + 1, len(whole) + 9))
    path = tmp_path / "cut.safetensors"
    path.write_bytes((whole + bytes(9))[:length])
    with pytest.raises(UnweaveError, match="corrupt or truncated"):
        check_safetensors(path)


def written(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "length"),
    [
        (b"not json", 0),
        ([], 0),
        ({"a": {"dtype": "F32"}}, 0),
        ({"a": entry(0, 8, [2], "Q9")}, 8),
        ({"a": entry(0, 8, [2], "odd")}, 8),
        ({"a": entry(0, 8, [3])}, 8),
        ({"a": entry(8, 0, [2])}, 8),
        ({"a": entry(0, 8, [2]), "b": entry(12, 16, [1])}, 16),
        ({"a": entry(0, 8, [2]), "b": entry(4, 8, [1])}, 8),
    ],
)
def test_safetensors_with_a_damaged_header_are_refused(tmp_path, header, length):
    with pytest.raises(UnweaveError, match="is corrupt"):
        check_safetensors(written(tmp_path / "x.safetensors", header, bytes(length)))


def test_safetensors_header_gives_the_names(tmp_path):
    names = ("float32", "bfloat16", "float16", "bool", "int64", "uint8", "float8_e4m3fn", "complex64")
    tensors = {name: torch.zeros(3, 2, dtype=getattr(torch, name)) for name in names} | {"empty": torch.zeros(0)}
    save_file(tensors, tmp_path / "x.safetensors")
    assert check_safetensors(tmp_path / "x.safetensors") == set(tensors)


def test_check_reads_no_weight(llama):
    path = llama / "model.safetensors"
    size = path.stat().st_size
    header = 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]
    with open(path, "r+b") as file:
        file.truncate(header)
        file.truncate(size)  # a hole where the weights were
    assert check_folder(llama)["model_type"] == "llama"


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as the client asks for: one repository, ``org/tiny``."""

    folder, asked = None, ()
    commit = "0" * 40
    status = 200

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        names = sorted(each.name for each in self.folder.iterdir())
        if self.status != 200:
            return self.answer(b"{}", self.status)
        if not path.removeprefix("/api/models").startswith("/org/tiny"):
            return self.answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
        if "/tree/" in path:
            sizes = [{"type": "file", "path": n, "size": (self.folder / n).stat().st_size, "oid": n} for n in names]
            return self.answer(json.dumps(sizes).encode())
        if path.startswith("/api/models"):
            info = {"id": "org/tiny", "sha": self.commit, "siblings": [{"rfilename": name} for name in names]}
            return self.answer(json.dumps(info).encode())
        name = path.rsplit("/", 1)[1]
        if self.command == "GET":
            self.asked.append(name)
        return self.answer((self.folder / name).read_bytes(), 200, {"ETag": name, "X-Repo-Commit": self.commit})

    def answer(self, body, status=200, headers=()):
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(llama, tmp_path, monkeypatch):
    for name in ("pytorch_model.bin", "README.md", "modeling_strange.py", "consolidated.safetensors"):
        (llama / name).write_text("not wanted")
    handler = type("OneHub", (Hub,), {"folder": llama, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_hub_id_is_downloaded_without_what_is_not_needed_and_then_found_offline(hub, saved, monkeypatch):
    module, _ = load_folder("org/tiny", torch.float32, CPU)
    assert torch.equal(module.lm_head.weight, saved["llama"][1].lm_head.weight)
    unwanted = {"pytorch_model.bin", "README.md", "modeling_strange.py", "consolidated.safetensors"}
    assert set(hub.asked) == {each.name for each in hub.folder.iterdir()} - unwanted
    hub.status = 503
    load_folder("org/tiny", torch.float32, CPU)
    monkeypatch.setenv("UNWEAVE_OFFLINE", "1")
    load_folder("org/tiny", torch.float32, CPU)


def test_hub_repository_with_only_pickle_is_refused_before_any_download(hub):
    (hub.folder / "model.safetensors").unlink()
    (hub.folder / "consolidated.safetensors").unlink()
    with pytest.raises(UnweaveError, match=r"org/tiny has its weights only as pickle \(pytorch_model.bin\)"):
        load_folder("org/tiny", torch.float32, CPU)
    assert hub.asked == []


def test_hub_that_does_not_answer_is_one_line(hub, monkeypatch):
    with pytest.raises(UnweaveError, match="org/other is no folder here, and not on the hub or private"):
        load_folder("org/other", torch.float32, CPU)
    hub.status = 503
    with pytest.raises(UnweaveError, match="the hub cannot be reached") as refused:
        load_folder("org/tiny", torch.float32, CPU)
    assert "\n" not in str(refused.value)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnweaveError, match="the hub cannot be reached") as refused:
        load_folder("org/tiny", torch.float32, CPU)
    assert "\n" not in str(refused.value)


def test_hub_id_is_refused_offline_when_not_cached(hub, monkeypatch):
    monkeypatch.setenv("UNWEAVE_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", None)
    with pytest.raises(UnweaveError, match="not in the Hugging Face cache, and offline is set"):
        load_folder("org/tiny", torch.float32, CPU)
    with pytest.raises(UnweaveError, match="neither a folder here nor a hub id"):
        load_folder("no/such/folder", torch.float32, CPU)
