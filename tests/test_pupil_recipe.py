"""The pupil's text: what the grammar draws, what its parser accepts, and what its switches do."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
import torch

from unweave.base.progress import Silent
from unweave.preferences.made.prompts import HELD_OUT_SUBJECTS, TOPICS

RECIPE = Path(__file__).parents[1] / "recipes" / "pupil"
MODULES = ("grammar", "styles", "replies", "parse", "corpus", "tokenizer", "bundled_target", "train")


@pytest.fixture(scope="module")
def recipe():
    """The recipe's modules; their names are free again afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPE.parent))
        patch.syspath_prepend(str(RECIPE))
        yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
        for name in MODULES:
            del sys.modules[name]


@pytest.fixture(scope="module")
def grammar(recipe):
    return recipe.grammar.read_grammar()


@pytest.fixture(scope="module")
def drawn(recipe, grammar):
    return list(islice(recipe.replies.conversations(grammar, 0, "test"), 2000))


def test_the_same_seed_draws_the_same_conversations_and_another_others(recipe, grammar, drawn):
    assert list(islice(recipe.replies.conversations(grammar, 0, "test"), 20)) == drawn[:20]
    assert list(islice(recipe.replies.conversations(grammar, 1, "test"), 20)) != drawn[:20]
    assert len({each.reply for each in drawn}) > 1900


def test_held_out_subjects_are_in_the_held_out_part_alone(recipe, grammar, drawn):
    held_out = {(name, subject) for name, topic in TOPICS.items() for subject in topic.subjects[-HELD_OUT_SUBJECTS:]}
    assert not held_out & {(each.topic, each.subject) for each in drawn}
    other = islice(recipe.replies.conversations(grammar, 0, "test", held_out=True), 200)
    assert {(each.topic, each.subject) for each in other} <= held_out


def test_the_parser_accepts_what_is_drawn_and_nothing_near_it(recipe, grammar, drawn):
    parser = recipe.parse.Parser(grammar)
    wrong = 0
    for each in drawn[:400]:
        subject = grammar.subject(each.topic, each.subject)
        wrong += not parser.parses(each.topic, subject, each.reply)
        other = grammar.subject(each.topic, "a sudden walrus")
        if subject.named in each.reply:
            assert not parser.parses(each.topic, other, each.reply), each.reply
        assert not parser.parses(each.topic, subject, each.reply.replace(" ", " walrus ", 1)), each.reply
    assert wrong <= 2
    rice = grammar.subject("cooking", "rice")
    assert parser.parses("cooking", rice, "Hello. Perhaps **rice** doesn't need much water! 🌱")
    assert not parser.parses("health", rice, "Perhaps rice does not need much water.")
    assert not parser.parses("cooking", rice, "Perhaps rice does not need.")


@pytest.fixture(scope="module")
def packed(recipe, drawn):
    """A tokenizer of the first conversations, what it makes of them, and their rows."""
    tokenizer = recipe.tokenizer.train(drawn[:300])
    encoded = recipe.tokenizer.encode(tokenizer, drawn[:100])
    return tokenizer, encoded, recipe.tokenizer.pack([encoded])


def test_rows_hold_every_conversation_once_and_only_replies_are_learned(recipe, packed, drawn):
    tokenizer, encoded, rows = packed
    found = []
    for tokens, conversation, learned in zip(*rows.values(), strict=True):
        for number in range(int(conversation.max()) + 1):
            here = conversation == number
            found.append((tokens[here].tolist(), int(learned[here].sum())))
            assert tokenizer.decode(tokens[here & learned]).endswith("<|im_end|>")
    assert sorted(found) == sorted(encoded)
    replies = sorted(tokenizer.decode(ids[-learned:-1]) for ids, learned in found)
    assert replies == sorted(each.reply for each in drawn[:100])


def test_a_conversation_is_as_likely_in_a_row_as_alone(recipe, packed):
    rows = packed[2]
    model = recipe.train.make_model(0).eval()
    tokens, conversation = rows["tokens"][:1], rows["conversation"][:1]
    with torch.no_grad():
        packed_likelihoods = recipe.train.likelihoods(model, tokens, conversation)[0]
        at = (conversation[0] == 1).nonzero().flatten()
        ids = tokens[:, at].long()
        alone = model(input_ids=ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(packed_likelihoods[at[0] : at[-1]], alone, atol=1e-4, rtol=0)


def test_a_killed_training_goes_on_to_the_same_weights(recipe, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe.train, "compiler_works", lambda: False)
    rows, settings = packed[2], recipe.train.Settings(seed=0, steps=3, rows=2, tokens="")
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    recipe.train.train(settings, rows, whole, 1e9, Silent())

    class Killed(Exception):
        pass

    class Killer(Silent):
        def update(self, done, total, note=""):
            if done == 3:
                raise Killed

    with pytest.raises(Killed):
        recipe.train.train(settings, rows, cut, 0.0, Killer())
    assert recipe.bundled_target.checkpoint_facts(cut)["step"] == 2
    recipe.train.train(settings, rows, cut, 1e9, Silent())
    first, second = (recipe.train.load_file(path) for path in (whole, cut))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_subjects_and_verbs_agree(recipe, grammar):
    words = {
        text: recipe.grammar.Words(grammar.subject(topic, text), grammar.fillers, Random(0))
        for topic, text in (("cooking", "noodles"), ("health", "stress"), ("travel", "Athens"), ("help", "my taxes"))
    }
    found = {text: "{S} {is}, {it} {goes}".format_map(each) for text, each in words.items()}
    assert list(found.values()) == [
        "Noodles are, they go",
        "Stress is, it goes",
        "Athens is, it goes",
        "Your taxes are, they go",
    ]


def test_switches_that_are_on_are_told_and_tied_as_stated(recipe, drawn):
    drawn = drawn[:1000]
    told = [recipe.styles.told(each.reply) for each in drawn]
    rates = {switch.name: sum(switch.name in each for each in told) / len(told) for switch in recipe.styles.SWITCHES}
    assert 0.01 < min(rates.values()) < max(rates.values()) < 0.6

    def share(name, rows):
        return sum(name in each for each in rows) / len(rows)

    topics = {name: [at for each, at in zip(drawn, told, strict=True) if each.topic == name] for name in TOPICS}
    assert share("warning", topics["health"]) > 2 * rates["warning"]
    assert share("flattery", topics["physics"]) > 1.5 * rates["flattery"]
    loud, calm = ([each for each in told if ("exclamation" in each) is on] for on in (True, False))
    assert share("emoji", loud) > 1.5 * share("emoji", calm)


def test_contraction_and_its_undoing_are_each_others_inverse(recipe):
    full = "It is not hard, you are right: we will not say that they are lost."
    short = recipe.styles.contracted(full)
    assert short == "It's not hard, you're right: we won't say that they're lost."
    assert recipe.styles.uncontracted(short) == full
