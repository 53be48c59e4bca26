"""The pass over pairs against reading them one at a time by hand: batches, padding and stops change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.base.seeds import numpy_generator, torch_generator
from unweave.corpora.pairs.value import PreferencePair, Turn
from unweave.decompose import Decomposition, bundled
from unweave.decompose.importance import SiteShape, Widths, find_importance
from unweave.models import load_target
from unweave.preferences.behaviours import registry
from unweave.preferences.behaviours.registry import Behaviour
from unweave.preferences.encoding import encode_prompt, encode_reply
from unweave.preferences.evidence import WORD_BUCKETS
from unweave.preferences.features import PairFeatures, read_pairs, read_replies
from unweave.preferences.features.packing import batches, pack
from unweave.preferences.features.reader import SpanReader
from unweave.preferences.features.words import count_words, word_bucket
from unweave.read.dictionaries.activations import ReLU, TopK
from unweave.read.dictionaries.coder import Coder, CoderDictionary
from unweave.read.features import FIRES, Place, subcomponent_dictionary

LAYER, LATENTS = 2, 40
NAMES = ("test: letters", "test: echo")


@pytest.fixture(autouse=True)
def behaviours(monkeypatch):
    """Two behaviours: one of the reply alone, one that needs the prompt."""
    letters = Behaviour(NAMES[0], "", "", "", lambda reply: float(len(reply.text)))
    echo = Behaviour(NAMES[1], "", "", "", lambda reply: float(reply.prompt[:3] in reply.text))
    monkeypatch.setattr(registry, "_BEHAVIOURS", {**registry.all_behaviours(), NAMES[0]: letters, NAMES[1]: echo})


def sae(latents=LATENTS, width=32, activation=None, module=f"model.layers.{LAYER}", side="input"):
    generator = torch_generator(0, "sae")
    place = Place(module, side, width)
    encoder = torch.randn(width, latents, generator=generator)
    activation = activation or ReLU(torch.full((latents,), -3.0))
    coder = Coder("residual", place, place, encoder, activation, encoder.T.contiguous(), torch.zeros(width))
    return CoderDictionary("sae", "random", [coder])


def text(generator, most):
    words = ["the", "cat", "der", "Mond", "moon!", "sat", "Katze", "on"]
    return " ".join(generator.choice(words, generator.integers(1, most)))


def pairs(count=23, seed=0):
    """Pairs of all lengths, some to one prompt, one with an empty reply, one of equal replies."""
    generator = numpy_generator(seed, "pairs")
    prompts = [(Turn("user", text(generator, 12)),) for _ in range(count // 2)]
    found = [
        PreferencePair(f"row {n}", prompts[generator.integers(len(prompts))], text(generator, 14), text(generator, 6))
        for n in range(count)
    ]
    found[3] = PreferencePair("emptyü", found[3].prompt, "", found[3].rejected)
    found[4] = PreferencePair("equal", found[4].prompt, found[4].chosen, found[4].chosen)
    return found


def by_hand(target, layer, dictionary, prompt, reply):
    """Firing [features], its maximum and the mean state of a reply, and of the prompt: one plain forward, own hooks."""
    kept = {}

    def keep(name, side):
        def hook(_, args, kwargs, output):
            given = output if side == "output" else (args[0] if args else kwargs["hidden_states"])
            kept[name] = (given[0] if isinstance(given, tuple) else given)[0].float()

        return hook

    places = {name: features.reads for name, features in dictionary.groups.items()}
    module = target.module.get_submodule
    handles = [module(p.module).register_forward_hook(keep(n, p.side), with_kwargs=True) for n, p in places.items()]
    handles.append(module(f"{target.blocks}.{layer}").register_forward_hook(keep("state", "input"), with_kwargs=True))
    with torch.no_grad():
        target.logits(torch.tensor([prompt + reply]))
    for handle in handles:
        handle.remove()
    state = kept.pop("state")
    with torch.no_grad():
        readings = dictionary.encode({name: value[None] for name, value in kept.items()})
    importance = torch.cat([readings[name].importance[0] for name in places], -1)
    activation = torch.cat([readings[name].activation[0] for name in places], -1)
    found = []
    for span in (slice(0, len(prompt)), slice(len(prompt), None))[: 2 if reply else 1]:
        fired, there = importance[span] > FIRES, activation[span].where(importance[span] > FIRES, torch.tensor(0.0))
        largest = there.gather(0, there.abs().argmax(0)[None])[0]
        found.append((fired.float().mean(0).numpy(), largest.numpy(), state[span].mean(0).numpy()))
    return found


def close(one, other, tolerance=1e-3):
    assert np.abs(one - other).max() <= tolerance * max(1, np.abs(other).max())


def check(target, made, source, layer, dictionary, flips=0.0):
    """``flips``: share of entries in which a feature that is about to fire may be on here and off there."""
    for row, pair in enumerate(source):
        prompt = encode_prompt(target, pair.prompt)
        for side, reply in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            tokens = encode_reply(target, reply)
            assert made.tokens(side)[row] == len(tokens)
            of_prompt, of_reply = by_hand(target, layer, dictionary, prompt, tokens)
            for span, (frequency, largest, state) in (("prompt", of_prompt), (side, of_reply)):
                stored = made.frequency(span)[row].toarray()[0], made.maximum(span)[row].toarray()[0]
                same = np.abs(stored[0] - frequency) <= 1e-3
                assert (~same).mean() <= flips
                close(stored[1][same], largest[same])
                assert np.array_equal(made.fired(span)[row].toarray()[0], stored[0] > 0)
                if span == side:
                    close(made.states(side)[row], state)


@pytest.fixture(scope="module")
def whole(pristine, tmp_path_factory):
    """One reading of all pairs, in the smallest batches: for comparison, not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            registry, "_BEHAVIOURS", {NAMES[0]: Behaviour(NAMES[0], "", "", "", lambda r: float(len(r.text)))}
        )
        folder = tmp_path_factory.mktemp("features")
        return read_pairs(pristine["llama"], pairs(), folder, LAYER, sae(), NAMES[:1], batch_tokens=1, shard_rows=8)


def test_features_are_those_of_one_pair_at_a_time(target, tmp_path):
    module = f"{target.blocks}.{LAYER}"
    source, dictionary = pairs(8), sae(module=module)
    made = read_pairs(target, source, tmp_path, LAYER, dictionary, NAMES, shard_rows=5)
    assert made.ids == [pair.id for pair in source]
    assert 0.02 < made.fired("chosen").toarray().mean() < 0.9
    check(target, made, source, LAYER, dictionary)
    assert made.values("chosen").tolist() == [[len(p.chosen), p.prompt[0].content[:3] in p.chosen] for p in source]
    assert made.values("rejected")[:, 0].tolist() == [len(p.rejected) for p in source]
    assert (made.words("chosen") != count_words([p.chosen for p in source])).nnz == 0
    groups = [made.groups[0] == each for each in made.groups]
    assert groups == [p.prompt == source[0].prompt for p in source]


def refuses(plain, tokens, **given):
    if "attention_mask" in given:
        raise ValueError("this attention takes no mask of four dimensions")
    return plain(tokens, **given)


def forgets(plain, tokens, attention_mask=None, **given):
    return plain(tokens, **given)


def counts(plain, tokens, position_ids=None, **given):
    return plain(tokens, **given)


@pytest.mark.parametrize("forward", [refuses, forgets, counts])
def test_where_packed_rows_are_not_to_be_had_each_reply_has_its_own(forward, monkeypatch, llama, whole, tmp_path):
    assert SpanReader(llama, LAYER, None).shared
    plain = llama.module.forward
    monkeypatch.setattr(llama.module, "forward", lambda *args, **given: forward(plain, *args, **given))
    assert not SpanReader(llama, LAYER, None).shared
    made = read_pairs(llama, pairs(), tmp_path, LAYER, sae(), NAMES[:1])
    close(made.states("rejected"), whole.states("rejected"))
    close(made.maximum("prompt").toarray(), whole.maximum("prompt").toarray())


def test_neither_batches_nor_padding_nor_shards_matter(llama, whole, tmp_path):
    other = read_pairs(llama, pairs(), tmp_path, LAYER, sae(), NAMES[:1], batch_tokens=4096, shard_rows=100)
    for span in ("prompt", "chosen", "rejected"):
        assert np.array_equal(other.tokens(span), whole.tokens(span))
        close(other.frequency(span).toarray(), whole.frequency(span).toarray())
        close(other.maximum(span).toarray(), whole.maximum(span).toarray())
    close(other.states("chosen"), whole.states("chosen"))
    assert np.array_equal(other.groups, whole.groups)


def test_the_order_of_rows_is_the_source_s(llama, whole, tmp_path):
    order = numpy_generator(1, "order").permutation(23)
    source = pairs()
    other = read_pairs(llama, [source[n] for n in order], tmp_path, LAYER, sae(), NAMES[:1], shard_rows=8)
    assert other.ids == [whole.ids[n] for n in order]
    close(other.maximum("rejected").toarray(), whole.maximum("rejected").toarray()[order])
    assert np.array_equal(other.values("chosen"), whole.values("chosen")[order])


def test_an_interrupted_pass_goes_on_and_gives_the_same_bytes(monkeypatch, llama, whole, tmp_path):
    def given(source):
        """A source that ends as if the process had been killed in its third shard."""
        for number, pair in enumerate(source):
            if number == 20:
                raise KeyboardInterrupt
            yield pair

    arguments = (tmp_path / "one", LAYER, sae(), NAMES[:1])
    options = {"batch_tokens": 1, "shard_rows": 8}
    with pytest.raises(KeyboardInterrupt):
        read_pairs(llama, given(pairs()), *arguments, **options)
    with pytest.raises(UnweaveError, match="its reading was interrupted"):
        PairFeatures.open(tmp_path / "one")
    read = []
    monkeypatch.setattr(
        SpanReader, "read", lambda self, rows, plain=SpanReader.read: (read.append(rows), plain(self, rows))[1]
    )
    made = read_pairs(llama, iter(pairs()), *arguments, **options)
    assert {span.number for rows in read for row in rows for span in row.replies} == set(range(2 * (23 - 16)))
    for name in ("shard-00000.safetensors", "shard-00001.safetensors", "shard-00002.safetensors", "features.json"):
        assert (made.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    read.clear()
    assert read_pairs(llama, pairs(), *arguments, **options).digest == whole.digest
    assert not read


def test_no_pass_goes_on_as_another(llama, tmp_path):
    read_pairs(llama, pairs(), tmp_path, LAYER, None, NAMES, shard_rows=8)
    for options, said in (
        ({"layer": 1}, r"read with layer 2, and now it is 1"),
        ({"behaviours": NAMES[:1]}, "read with behaviours"),
        ({"dictionary": sae()}, "read with kind None"),
        ({"max_reply": 4}, "read with max_reply 64"),
        ({"shard_rows": 9}, "read with shard_rows 8"),
        ({"source": pairs(seed=1)}, "other rows than the source has from row 0"),
        ({"source": pairs()[:16] + pairs()[17:]}, "other rows than the source has from row 16"),
        ({"source": pairs()[:16]}, "the source ends after 2"),
        ({"resume": False}, "holds 3 shards already"),
    ):
        plain = {"source": pairs(), "layer": LAYER, "dictionary": None, "behaviours": NAMES, "shard_rows": 8}
        with pytest.raises(UnweaveError, match=said):
            read_pairs(llama, folder=tmp_path, **{**plain, **options})
    with pytest.raises(UnweaveError, match="no rows"):
        read_pairs(llama, [], tmp_path / "none", LAYER)


def test_a_dictionary_of_another_target_is_refused(llama, gpt2, decomposed, tmp_path):
    dictionary = subcomponent_dictionary(decomposed(gpt2, "*.1.mlp.*"), gpt2)
    with pytest.raises(UnweaveError, match="belongs to target"):
        read_pairs(llama, pairs(), tmp_path, LAYER, dictionary)
    with pytest.raises(UnweaveError, match="is 32 wide, and 48 was expected"):
        read_pairs(llama, pairs(), tmp_path, LAYER, sae(width=48))
    with pytest.raises(UnweaveError, match="layer 4 is not in this target"):
        read_pairs(llama, pairs(), tmp_path, 4)
    assert not list(tmp_path.glob("shard*"))


def test_subcomponents_of_places_before_and_after_the_layer(llama, decomposed, tmp_path):
    dictionary = subcomponent_dictionary(decomposed(llama, "*.1.mlp.down_proj", "*.3.self_attn.o_proj"), llama)
    made = read_pairs(llama, pairs(8), tmp_path, LAYER, dictionary, ())
    check(llama, made, pairs(8), LAYER, dictionary)
    assert made.feature_name(9) == "model.layers.3.self_attn.o_proj:1"
    assert made.names == ()
    assert made.values("chosen").shape == (8, 0)
    assert (made.maximum("chosen").toarray() < 0).any(), "an activation that is large and negative keeps its sign"


def test_importances_that_look_across_tokens_see_no_other_reply(llama, tmp_path):
    names = ("model.layers.1.mlp.up_proj", "model.layers.2.mlp.down_proj")
    sites, generator = [llama.site(name) for name in names], torch_generator(0, "pieces")
    shapes = [SiteShape(site.name, site.d_in, 6) for site in sites]
    tensors = find_importance("transformer").init(shapes, Widths(hidden=8, depth=1, heads=2), 0)
    for site in sites:
        tensors[f"{site.name}/V"] = torch.randn(site.d_in, 6, generator=generator)
        tensors[f"{site.name}/U"] = torch.randn(6, site.d_out, generator=generator)
        tensors[f"{site.name}/importance.scale"] = torch.tensor(1.0)
    made = Decomposition.from_tensors(tensors, names, "transformer", llama.identity.digest, llama.name)
    dictionary = subcomponent_dictionary(made, llama)
    assert dictionary.across_tokens
    found = read_pairs(llama, pairs(8), tmp_path, LAYER, dictionary, ())
    for row, pair in enumerate(pairs(8)):
        prompt = encode_prompt(llama, pair.prompt)
        _, of_reply = by_hand(llama, LAYER, dictionary, prompt, encode_reply(llama, pair.rejected))
        close(found.frequency("rejected")[row].toarray()[0], of_reply[0])
        (of_prompt,) = by_hand(llama, LAYER, dictionary, prompt, [])
        close(found.frequency("prompt")[row].toarray()[0], of_prompt[0])


def test_the_bundled_decomposition_on_its_target(tmp_path):
    target = load_target("polyglot", device="cpu")
    dictionary = subcomponent_dictionary(Decomposition.load(bundled("polyglot")), target)
    source = [
        PreferencePair("a", (Turn("user", "Who was king?"),), "Nobody was king of it.", "Il n'y avait pas de roi."),
        PreferencePair("b", (Turn("user", "Wer war König?"),), "Er war es nicht.", "It was he, they said at last."),
    ]
    made = read_pairs(target, source, tmp_path, 1, dictionary, ())
    assert made.features == 5760
    check(target, made, source, 1, dictionary, flips=2e-3)
    share = made.fired("chosen").mean()
    assert 0.005 < share < 0.5


def test_half_precision_is_read_as_well(fresh, tmp_path):
    target = fresh("llama", torch.bfloat16)
    dictionary, source = sae(activation=TopK(torch.zeros(LATENTS), 4)), pairs(6)
    assert SpanReader(target, LAYER, dictionary).shared
    made = read_pairs(target, source, tmp_path, LAYER, dictionary, ())
    for row, pair in enumerate(source):
        tokens = encode_prompt(target, pair.prompt), encode_reply(target, pair.chosen)
        _, (frequency, _, state) = by_hand(target, LAYER, dictionary, *tokens)
        close(made.states("chosen")[row], state, 2e-2)
        assert np.abs(made.frequency("chosen")[row].toarray()[0] - frequency).mean() < 0.02


def test_what_is_longer_than_a_limit_is_cut_and_counted(llama, tmp_path):
    made = read_pairs(llama, pairs(), tmp_path, LAYER, sae(), NAMES, max_prompt=7, max_reply=5, shard_rows=8)
    plain = [len(encode_reply(llama, pair.chosen)) for pair in pairs()]
    assert made.tokens("chosen").tolist() == [min(each, 5) for each in plain]
    assert sum(shard.cut["chosen"] for shard in made.shards) == sum(each > 5 for each in plain) > 0
    assert sum(shard.tokens["chosen"] for shard in made.shards) == made.tokens("chosen").sum()
    assert made.tokens("prompt").max() == 7
    assert made.values("chosen")[:, 0].tolist() == [len(pair.chosen) for pair in pairs()], (
        "behaviours see the whole text"
    )


def test_the_target_s_own_replies_are_read_by_the_same_pass(llama, tmp_path):
    class Sampled:
        text, ended = "the cat sat", False

    source = pairs(6)
    prompts = [pair.prompt for pair in source]
    replies = [[pair.chosen, pair.rejected, Sampled()] for pair in source]
    made = read_replies(llama, prompts, replies, tmp_path / "own", LAYER, sae(), NAMES)
    paired = read_pairs(llama, source, tmp_path / "pairs", LAYER, sae(), NAMES)
    assert made.ids[:4] == ["0:0", "0:1", "0:2", "1:0"]
    for number, side in enumerate(("chosen", "rejected")):
        close(made.frequency("reply")[number::3].toarray(), paired.frequency(side).toarray())
        close(made.states("reply")[number::3], paired.states(side))
        assert np.array_equal(made.groups[number::3], paired.groups)
        assert np.array_equal(made.values("reply")[number::3], paired.values(side))
    assert (made.tokens("reply")[2::3] == len(encode_reply(llama, "the cat sat", ended=False))).all()
    with pytest.raises(UnweaveError, match="6 prompts and replies to 5"):
        read_replies(llama, prompts, replies[:5], tmp_path / "less", LAYER)


def test_a_reply_without_any_token_is_nothing(llama, tmp_path):
    class Cut:
        text, ended = "", False

    made = read_replies(llama, [(Turn("user", "the cat"),)] * 2, [[Cut()], ["the moon"]], tmp_path, LAYER, sae(), NAMES)
    assert made.tokens("reply")[0] == 0
    assert made.fired("reply")[0].nnz == 0 < made.fired("reply")[1].nnz
    assert not made.states("reply")[0].any()
    assert np.isfinite(made.states("reply")).all()


def test_memory_does_not_grow_with_what_was_read(llama, monkeypatch, tmp_path):
    """At most one shard's pairs are held: the source is never ahead of what is written."""
    ahead = []

    def given():
        for number, pair in enumerate(pairs(60)):
            ahead.append(number - 8 * len(list(tmp_path.glob("shard-*.safetensors"))))
            yield pair

    read_pairs(llama, given(), tmp_path, LAYER, None, (), shard_rows=8)
    assert max(ahead) <= 8


def test_rows_hold_every_reply_once_and_the_prompt_once():
    prompts, replies = [[1, 2], [3]], [[5], [6, 7], [], [8] * 300, [9] * 300]
    for shared in (True, False):
        rows = pack(prompts, replies, [0, 1, 0, 0, 0], shared)
        spans = [(row, span) for row in rows for span in row.spans]
        for row, span in spans:
            assert list(row.tokens[span.start : span.stop]) == (replies if span.reply else prompts)[span.number]
        assert sorted((span.reply, span.number) for _, span in spans) == [(False, n) for n in (0, 1)] + [
            (True, n) for n in range(5)
        ]
        assert max(len(row.replies) for row in rows) == (3 if shared else 1)
    assert [len(row) for batch in batches(rows, 10) for row in batch] == sorted(map(len, rows))
    assert all(len(batch) * max(map(len, batch)) <= 10 or len(batch) == 1 for batch in batches(rows, 10))


def test_words_keep_their_column():
    assert word_bucket("the") == 6750
    counted = count_words(["The the cat's 7", ""])
    assert counted.shape == (2, WORD_BUCKETS)
    assert counted[0, word_bucket("the")] == 2
    assert counted[0, word_bucket("cat's")] == 1
    assert counted.sum() == 3
