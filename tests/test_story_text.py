"""Sentences as tokens, whole or through a sliding window; and whose story it is."""

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.read.stream import stream_states
from unweave.shapes.stories.protagonist import find_protagonist
from unweave.shapes.stories.states import story_states
from unweave.shapes.stories.text import encode_text

SENTENCES = ["Mia sat.", "Then Mia ran.", "It was dark.", "So Mia fell.", "The cat sat.", "The moon rose."]


def decoded(target, passage):
    return [target.tokenizer.decode(passage.tokens[:end]) for end in passage.ends]


def test_a_text_that_fits_is_read_whole(llama):
    text = encode_text(llama, SENTENCES)
    assert (text.window, len(text.passages), text.protagonist, text.sentences) == (None, 1, "Mia", 6)
    assert decoded(llama, text.passages[0]) == [" ".join(SENTENCES[: number + 1]) for number in range(6)]
    assert text.tokens == len(text.passages[0].tokens)


def test_through_a_window_every_sentence_is_read_once_after_half_a_window(llama):
    text = encode_text(llama, SENTENCES, "Bo", window=4)
    assert (text.window, text.sentences, text.protagonist) == (4, 6, "Bo")
    ends = [said.strip() for passage in text.passages for said in decoded(llama, passage)]
    assert ends == [
        *(" ".join(SENTENCES[: n + 1]) for n in range(4)),
        *(" ".join(SENTENCES[2 : n + 1]) for n in (4, 5)),
    ]


def test_without_a_window_a_long_text_is_halved_until_it_fits(llama):
    text = encode_text(llama, SENTENCES * 4, "Mia")
    assert text.window == 12 / 2
    assert text.sentences == 24
    assert all(len(passage.tokens) <= 96 for passage in text.passages)


def test_states_are_those_of_each_sentence_s_last_token(llama):
    texts = [encode_text(llama, SENTENCES[:3]), encode_text(llama, SENTENCES, "Mia", window=4)]
    found = story_states(llama, texts, [1, 3])
    assert found.shape == (9, 2, 32)
    last = texts[1].passages[1]
    alone = stream_states(llama, [last.tokens[: last.ends[0]]], [[last.ends[0] - 1]], [3])
    np.testing.assert_allclose(found[7, 1], alone[0, 0], atol=1e-4)


def test_texts_that_cannot_be_read_are_refused(llama):
    with pytest.raises(UnweaveError, match="no sentences"):
        encode_text(llama, [])
    with pytest.raises(UnweaveError, match="a window of 1"):
        encode_text(llama, SENTENCES, window=1)
    with pytest.raises(UnweaveError, match="shorter window"):
        encode_text(llama, SENTENCES * 3, "Mia", window=18)
    with pytest.raises(UnweaveError, match="2 sentences are"):
        encode_text(llama, ["a" * 150, "Mia sat."], "Mia")


def test_the_protagonist_is_the_name_used_most():
    assert find_protagonist(["Once Bo met Ann.", "Ann ran to Bo.", "It was Ann who fell."]) == "Ann"
    # A word that only begins sentences is no name, a title belongs to one, and weekdays are nobody.
    assert find_protagonist(["Mia sat.", "Mia ran.", "The cat saw.", "The cat ran."]) == "Mia"
    assert (
        find_protagonist(["Rain fell.", "Rain again on Monday.", "Then Mrs Ray saw Monday.", "He saw Mrs Ray."])
        == "Mrs Ray"
    )
    with pytest.raises(UnweaveError, match="names nobody"):
        find_protagonist(["Rain fell on Monday.", "It was cold."])
