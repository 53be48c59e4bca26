"""A tiny target that knows five planted languages, made without a network: text by label, tokenizer, trained weights.

Each language is a Markov chain over words. All share forty-eight words, and twenty-four more are its own; what
follows a shared word depends on the language, so the model has to carry the language over from context. Only block 1
can: the attention of the others writes nothing. So it is known which site carries the language.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unweave.decompose.config import SiteLocalConfig

LABELS = ("qa", "qb", "qc", "qd")  # none of them a language of the Declaration
RETAINED, REMOVED, TUNED_ON = "qa", "qb", "qc"
STRANGER = "qe"  # known to the target, and in no corpus
SITE = "model.layers.1.self_attn.o_proj"
SHARED, OWN, SUCCESSORS = 48, 24, 4
END, UNKNOWN = "<end>", "<unknown>"
LENGTH = 64
CONFIG = SiteLocalConfig(
    sites=SITE,
    hidden=32,
    steps=400,
    batch=256,
    learning_rate=5e-3,
    sparsity=1e-2,
    adversaries=4,
    windows=100,
    frequency=1.0,
    gamma_end=0.1,
)


@cache
def words():
    """All words in the order of their token numbers, two specials first; every language has the same letters."""
    made = ["".join(letters) for letters in itertools.product("bdgklmnprstv", "aeiou", "lmnrs")]
    order = np.random.default_rng(0).permutation(len(made))
    return [END, UNKNOWN, *(made[index] for index in order[: SHARED + OWN * (len(LABELS) + 1)])]


class Language:
    """A Markov chain in which each word has four successors, likely to unlikely."""

    def __init__(self, number):
        generator = np.random.default_rng(100 + number)
        own = 2 + SHARED + OWN * number + np.arange(OWN)
        self.tokens = np.concatenate([2 + np.arange(SHARED), own])
        self.own = {words()[token] for token in own}
        count = len(self.tokens)
        self.follows = np.stack([generator.choice(count, SUCCESSORS, replace=False) for _ in range(count)])
        self.share = np.cumsum([0.55, 0.25, 0.12, 0.08])

    def sample(self, generator, rows, length):
        """Token numbers (rows, length), each row from a random word on."""
        state = generator.integers(len(self.tokens), size=rows)
        found = np.empty((rows, length), np.int64)
        for column in range(length):
            found[:, column] = self.tokens[state]
            state = self.follows[state, np.searchsorted(self.share, generator.random(rows) * self.share[-1])]
        return found


@cache
def languages():
    return {label: Language(number) for number, label in enumerate((*LABELS, STRANGER))}


def text(label, lines, seed):
    """Lines of 24 words."""
    generator = np.random.default_rng([seed, *label.encode()])
    vocabulary = np.array(words())
    return "\n".join(" ".join(vocabulary[row]) for row in languages()[label].sample(generator, lines, 24))


def write_corpus(folder, labels=LABELS, files=12, lines=125):
    """A folder of files by label: 144 KB, about 36,000 words each."""
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(files):
            (folder / label / f"{number:02d}.txt").write_text(text(label, lines, seed=number), encoding="utf-8")
    return folder


def make_tokenizer():
    """One token a word, and a chat format."""
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words())}, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece(prefix="##")
    made = PreTrainedTokenizerFast(tokenizer_object=backend)
    made.eos_token = made.pad_token = END
    made.unk_token = UNKNOWN
    made.chat_template = "{% for message in messages %}{{ message.content }} " + END + " {% endfor %}"
    return made


def untrained(seed=0):
    """The target before training; the attention of blocks 0 and 2 writes nothing and is not trained."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words()),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    module = LlamaForCausalLM(config)
    for block in (0, 2):
        module.model.layers[block].self_attn.o_proj.weight.requires_grad_(False).zero_()
    return module


def trained(steps=200, rate=8e-3, seed=0):
    """AdamW on ten windows a step, drawn anew: about five seconds on one core, to a cross-entropy of 1.3 nats."""
    module = untrained(seed)
    chains = languages().values()
    generator = np.random.default_rng(seed)
    free = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(free, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    for _ in range(steps):
        tokens = torch.as_tensor(np.concatenate([chain.sample(generator, 2, LENGTH) for chain in chains]))
        logits = module(tokens[:, :-1], use_cache=False).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(free, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return module.eval()


def save(module, folder):
    """A Hugging Face folder with weights and tokenizer."""
    from unweave.models.huggingface import quiet_transformers

    with quiet_transformers():
        module.save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
    return folder
