"""Ratings from all eleven answers, and words of feeling against neutral texts."""

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from unweave.base.errors import UnweaveError
from unweave.corpora.stories import EMOTIONS
from unweave.read.stream import next_log_probabilities
from unweave.shapes.stories import direct, forced_choice
from unweave.shapes.stories.direct import Scale, answer_scale, direct_readout
from unweave.shapes.stories.forced_choice import emotion_tokens, forced_choice_readout, rated_tokens
from unweave.shapes.stories.readouts import READOUTS, Kind, find_readout, register
from unweave.shapes.stories.text import continued, encode_text
from unweave.shapes.stories.valence import valence_of

SPLIT = Scale((*(((number,),) for number in range(10)), ((1, 0),)))  # digits are single tokens
WHOLE = Scale(tuple(((number,),) for number in range(11)))


def test_ten_of_two_digits_takes_its_mass_off_one():
    next_token = np.zeros((1, 2, 10))
    next_token[0, 0] = [0.1, 0.5, *[0.05] * 8]
    next_token[0, 1, 0] = 0.3
    masses = SPLIT.masses(next_token)[0]
    assert masses[1] == pytest.approx(0.35)
    assert masses[10] == pytest.approx(0.15)
    assert masses.sum() == pytest.approx(1)


def test_ten_of_one_token_leaves_one_alone():
    next_token = np.full((1, 1, 11), 1 / 11)
    np.testing.assert_allclose(WHOLE.masses(next_token)[0], 1 / 11)


def test_spellings_with_and_without_a_space_are_summed(llama):
    scale = answer_scale(llama.tokenizer)
    assert all(len(spellings) == 2 for spellings in scale.spellings)
    space, one, zero = (llama.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (" ", "1", "0"))
    assert scale.spellings[10] == ((*one, *zero), (*space, *one, *zero))
    generator = np.random.default_rng(0)
    next_token = generator.dirichlet(np.ones(len(scale.tokens)), (1, len(scale.prefixes)))
    masses = scale.masses(next_token)[0]
    place, column = list(scale.prefixes).index, list(scale.tokens).index
    first, after = next_token[0, place(())], next_token[0, place(tuple(space))]
    assert masses[7] == pytest.approx(
        first[column(scale.spellings[7][0][0])] + first[column(space[0])] * after[column(scale.spellings[7][1][1])]
    )


def test_the_direct_readout_is_the_expected_answer_of_the_chat(llama):
    text = encode_text(llama, ["Mia sat.", "Mia ran."])
    readout = direct_readout(llama)
    ratings, facts = readout.emotions(llama, text)
    assert ratings.shape == (2, 6)
    assert ((ratings > 0) & (ratings < 1)).all()
    scale = readout.scale
    question = direct.QUESTION.format(name="Mia", emotion="anger")
    chat = [{"role": "user", "content": f"Mia sat. Mia ran.{question}"}]
    asked = llama.tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    prompt = llama.tokenizer(asked + direct.ANSWER, add_special_tokens=False)["input_ids"]
    logs = next_log_probabilities(llama, [[*prompt, *prefix] for prefix in scale.prefixes], scale.tokens)
    masses = scale.masses(np.exp(logs.astype(np.float64))[None])[0]
    assert ratings[1, EMOTIONS.index("anger")] == pytest.approx(masses @ np.arange(11) / 10 / masses.sum(), abs=1e-4)
    assert 0 < facts["digit mass"] < 1


def test_without_a_chat_template_the_question_follows_the_text(llama):
    bare = PreTrainedTokenizerFast(tokenizer_object=llama.tokenizer.backend_tokenizer)
    llama.tokenizer = bare
    readout = direct_readout(llama)
    assert readout.head == ()
    assert bare.decode(readout.tail) == f"\n{direct.ANSWER}"


def test_words_that_two_emotions_begin_alike_are_nobody_s(llama):
    words = {name: (f"{letter}x", "zz") for name, letter in zip(EMOTIONS, "abcdef", strict=True)}
    # Byte by byte every word begins with its space.
    with pytest.raises(UnweaveError, match="begins every word"):
        emotion_tokens(llama.tokenizer, words)


class Letters:
    """Words are tokens by their first letter."""

    def __call__(self, text, **_):
        return {"input_ids": [ord(word[0]) for word in text.replace(".", ". ").split() if word]}


def test_the_first_token_of_a_word_stands_for_it():
    words = {name: (f"{letter}x", "zz") for name, letter in zip(EMOTIONS, "abcdef", strict=True)}
    assert emotion_tokens(Letters(), words)["anger"] == (ord("c"),)


@pytest.fixture
def asked(llama, monkeypatch):
    """A target whose six emotions are six tokens."""
    monkeypatch.setattr(
        forced_choice, "emotion_tokens", lambda _: {name: (70 + at,) for at, name in enumerate(EMOTIONS)}
    )
    return llama


def test_forced_choice_is_the_log_probability_above_neutral_texts(asked):
    neutral = [encode_text(asked, ["Mia sat.", "Mia ran."], "Mia")]
    text = encode_text(asked, ["Mia fell down.", "It was dark."], "Mia")
    readout = forced_choice_readout(asked, neutral)
    scores, facts = readout.emotions(asked, text)
    tokens = [70 + at for at in range(6)]

    def plain(passage):
        return np.stack(
            [
                next_log_probabilities(
                    asked,
                    [
                        [*passage.tokens[:end], *continued(asked.tokenizer, frame.format(name="Mia"))]
                        for frame in forced_choice.FRAMES
                    ],
                    tokens,
                )
                for end in passage.ends
            ]
        )

    raw = (plain(text.passages[0]) - plain(neutral[0].passages[0]).mean(0)).mean(1)
    np.testing.assert_allclose(scores, raw - raw.mean(1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(readout.emotions(asked, neutral[0])[0].mean(0), 0, atol=1e-5)
    assert facts["word mass"] == pytest.approx(np.exp(plain(text.passages[0])).sum(2).mean(), rel=1e-4)


def test_words_are_scored_by_the_forward_that_asks_for_emotions(asked, monkeypatch):
    neutral = [encode_text(asked, ["Mia sat.", "Mia ran."], "Mia")]
    text = encode_text(asked, ["Mia fell down.", "It was dark."], "Mia")
    plain = forced_choice_readout(asked, neutral).emotions(asked, text)
    words = {"happy": 73, "sad": 80, "angry": 81}
    monkeypatch.setattr(forced_choice, "rated_tokens", lambda _: words)
    readout = forced_choice_readout(asked, neutral)
    found = readout.emotions(asked, text)
    # They are beside the emotions, and change nothing of them.
    np.testing.assert_allclose(found[0], plain[0], atol=1e-6)
    assert found[1] == pytest.approx(plain[1])
    forwards = []
    ask = forced_choice.branch_log_probabilities
    monkeypatch.setattr(forced_choice, "branch_log_probabilities", lambda *given: forwards.append(1) or ask(*given))
    scores = readout.word_scores(asked, text)
    assert forwards == []
    frames = [
        next_log_probabilities(
            asked,
            [
                [*passage.tokens[:end], *continued(asked.tokenizer, frame.format(name="Mia"))]
                for passage in (text.passages[0], neutral[0].passages[0])
                for end in passage.ends
            ],
            list(words.values()),
        )
        for frame in forced_choice.FRAMES
    ]
    raw = np.mean([each[:2] - each[2:].mean(0) for each in frames], axis=0)
    np.testing.assert_allclose(scores, raw - raw.mean(1, keepdims=True), atol=1e-4)
    # What is asked later, while something is added to the target, is not what was read.
    monkeypatch.setattr(forced_choice, "branch_log_probabilities", lambda *given: ask(*given) ** 2)
    assert not np.allclose(readout.emotions(asked, text)[0], found[0], atol=0.1)
    np.testing.assert_array_equal(readout.word_scores(asked, text), scores)
    other = encode_text(asked, ["It was dark."], "Mia")
    assert readout.word_scores(asked, other).shape == (1, 3)


def test_words_that_are_split_stand_for_nothing():
    class Split:
        def __call__(self, text, **_):
            word = text.removeprefix(".")
            return {"input_ids": [46] * text.startswith(".") + {"": [], " sad": [7], " happy": [8]}.get(word, [5, 6])}

    assert rated_tokens(Split()) == {"happy": 8, "sad": 7}


def test_forced_choice_needs_neutral_texts(asked):
    with pytest.raises(UnweaveError, match="neutral texts"):
        forced_choice_readout(asked, [])


def test_valence_is_happiness_less_four_negatives():
    levels = np.array([[1.0, 0.2, 0.2, 0.9, 0.4, 0.0]])
    assert valence_of(levels) == pytest.approx([0.9 - 0.2])


def test_readouts_are_found_by_name():
    assert find_readout("direct").calibrated is False
    assert find_readout("forced-choice").calibrated
    with pytest.raises(UnweaveError, match="'forced-choice'"):
        find_readout("forced")
    with pytest.raises(UnweaveError, match="already"):
        register(Kind("direct", "", "", False, lambda *_: None))
    assert set(READOUTS) == {"direct", "forced-choice"}
