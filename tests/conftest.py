"""Tiny real targets, built here without a network, and small random decompositions of them."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from dataclasses import replace
from functools import partial

# For all that is loaded from here on, and for the processes that tests start: threads of BLAS wait for one another
# longer than they compute, most of all where two processes share the tests on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import planted
import planted_features
import preference_run
import pytest
import torch
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from unweave.corpora.files import load_corpus
from unweave.decompose import compiled, site_local
from unweave.decompose.decomposition import Decomposition, SiteSubcomponents
from unweave.decompose.importance import Importance, init_importance
from unweave.decompose.run import decompose
from unweave.lab.queue import pool
from unweave.models.load import load_target
from unweave.models.target import make_target
from unweave.read.features import subcomponent_dictionary
from unweave.read.harvest import HarvestConfig, harvest
from unweave.read.subject import open_subject
from unweave.studies.discover import forget_sources

# Matrices this small cost more to hand to other threads than to multiply, most of all on a busy machine.
torch.set_num_threads(1)
threadpool_limits(1)  # where a plugin of pytest has loaded NumPy already

VOCABULARY = 300
END = "<|end|>"
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,  # the usual 0.02 leaves logits so flat that no error would show in them
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=False),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=4, n_head=4, n_positions=128, initializer_range=0.2,
        bos_token_id=0, eos_token_id=0,
    ),
}  # fmt: skip
TEXT = ["the cat sat on the mat and looked at the moon", "die Katze sass auf der Matte und sah den Mond"] * 4


LONGEST = ("test_processes", "test_validation", "test_polyglot", "test_survival", "test_remove_language", "test_page")
"""Modules that begin before the others, so that where two share the tests neither waits long for the other's last."""


def pytest_collection_modifyitems(items):
    def place(item):
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def uncompiled():
    """Nothing is compiled, because compiling takes longer than these tests; those of compiled code switch it on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "compiler_works", lambda: False)
        yield


COLD = "from unweave.lab.queue import worker; worker.IDLE_SECONDS = 1e6; worker.main()"


@pytest.fixture(scope="session", autouse=True)
def cold_workers():
    """Workers with nothing to do import nothing meanwhile: of the studies here hardly one needs torch."""
    command = (sys.executable, "-P", "-c", COLD, "unweave.lab.queue.worker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "WorkerProcess", partial(pool.WorkerProcess, command=command))
        yield


@pytest.fixture(scope="module", autouse=True)
def own_studies():
    """What a module's tests register from files is gone before the next one lists the studies."""
    yield
    forget_sources()


@pytest.fixture(scope="session")
def tokenizer():
    """A byte-level BPE of at most 300 tokens with an end-of-text token and a chat template."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=backend)
    made.eos_token = made.pad_token = END
    made.chat_template = "{% for message in messages %}{{ message.content }}" + END + "{% endfor %}"
    return made


def build(kind):
    """A tiny model with random weights, its biases too: a zero bias would hide one that is left out."""
    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_config(CONFIGS[kind]())
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
    return module


@pytest.fixture(scope="session")
def pristine(tokenizer):
    """One target of each kind, for copying: nothing may change these."""
    return {kind: make_target(build(kind), tokenizer, f"tiny {kind}") for kind in CONFIGS}


@pytest.fixture(scope="session")
def fresh(pristine):
    """Makes a target that a test may change."""

    def make(kind="llama", dtype=None):
        target = replace(pristine[kind], module=copy.deepcopy(pristine[kind].module))
        if dtype is None:
            return target
        for parameter in target.module.parameters():
            parameter.data = parameter.data.to(dtype)  # as a model is loaded: its rotary frequencies stay in float32
        return make_target(target.module, target.tokenizer, target.name)

    return make


@pytest.fixture
def llama(fresh):
    return fresh("llama")


@pytest.fixture
def gpt2(fresh):
    return fresh("gpt2")


@pytest.fixture(params=list(CONFIGS))
def target(request, fresh):
    """Every kind in turn: Llama (tied embedding), Qwen2 (biases, untied), GPT-2 (Conv1D, blocks of another kind)."""
    return fresh(request.param)


@pytest.fixture(scope="session")
def tokens():
    """Three windows of ten tokens."""
    return torch.randint(VOCABULARY, (3, 10), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def decomposed():
    """Makes a decomposition of chosen sites into random pieces; what they miss of the weight is the delta."""

    def make(target, *patterns, count=8, seed=0):
        generator = torch.Generator().manual_seed(seed)
        pieces = {}
        for site in target.sites(patterns or ["*"]):
            V = torch.randn(site.d_in, count, generator=generator) / site.d_in**0.5
            U = torch.randn(count, site.d_out, generator=generator) / count**0.5
            importance = Importance(torch.tensor(1.0), **init_importance(site.d_in, 16, count, generator))
            pieces[site.name] = SiteSubcomponents(site.name, V, U, importance)
        return Decomposition(pieces, target.identity.digest, target.name)

    return make


@pytest.fixture(scope="session")
def planted_corpus(tmp_path_factory):
    """The folder of text by planted label."""
    return planted.write_corpus(tmp_path_factory.mktemp("planted") / "corpus")


@pytest.fixture(scope="session")
def planted_target_folder(tmp_path_factory):
    """The trained target's folder; see ``planted.py``."""
    return planted.save(planted.trained(), tmp_path_factory.mktemp("planted") / "target")


@pytest.fixture(scope="session")
def planted_target(planted_target_folder):
    """The trained target; a test that changes it must undo that."""
    return load_target(planted_target_folder, device="cpu")


@pytest.fixture(scope="session")
def planted_text(planted_corpus):
    """The corpus of the folder."""
    return load_corpus(planted_corpus)


@pytest.fixture(scope="session")
def planted_decomposition_folder(planted_target, planted_text, tmp_path_factory):
    """The folder of the decomposition of the site that carries the label."""
    folder = tmp_path_factory.mktemp("planted") / "one.decomp"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNWEAVE_CACHE", str(folder.parent / "cache"))
        patch.setattr(site_local, "compiler_works", lambda: False)
        decompose(planted_target, planted_text, planted.CONFIG, out=folder)
    return folder


@pytest.fixture(scope="session")
def planted_decomposition(planted_decomposition_folder):
    return Decomposition.load(planted_decomposition_folder)


@pytest.fixture(scope="session")
def features_harvest(tmp_path_factory):
    """The harvest of features that are known by construction; see ``planted_features.py``."""
    return planted_features.planted_harvest(tmp_path_factory.mktemp("planted") / "features.harvest")


@pytest.fixture(scope="session")
def planted_harvest(planted_target_folder, planted_target, planted_text, planted_decomposition_folder, decomposed):
    """A harvest's folder: the site that carries the label, and two others in random pieces."""
    trained = Decomposition.load(planted_decomposition_folder)
    others = decomposed(planted_target, "model.layers.0.mlp.up_proj", "model.layers.2.mlp.down_proj")
    both = replace(trained, sites={**trained.sites, **others.sites}, card={})
    folder = planted_decomposition_folder.with_name("three.decomp")
    both.save(folder)
    dictionary = subcomponent_dictionary(both, planted_target, "three")
    out, config = folder.with_name("three.harvest"), HarvestConfig(length=32, windows=24, pool=24, context=8)
    sources = (str(planted_target_folder), str(folder))
    harvest(planted_target, dictionary, planted_text, config, out=out, sources=sources)
    return out


@pytest.fixture
def subject(planted_harvest, planted_target, tmp_path):
    """A copy of that harvest, opened, with the target that is loaded already; the target must be left as it was."""
    folder = tmp_path / "three.harvest"
    shutil.copytree(planted_harvest, folder)
    opened = open_subject(folder)
    opened.kept("target", lambda: planted_target)
    return opened


@pytest.fixture(scope="session")
def foreseen(tmp_path_factory):
    """The folder of a finished run that foresaw what made pairs teach; not to be changed."""
    return preference_run.make_run(tmp_path_factory.mktemp("foreseen"))
