"""Shading: words by what leaving them out changes, tokens by what the store says of the whole reply."""

from __future__ import annotations

import numpy as np
import pytest
from preference_run import pairs

from unweave.preferences import highlights
from unweave.preferences.behaviours.registry import find_behaviours
from unweave.preferences.highlights import behaviour_parts
from unweave.preferences.subject import open_preferences


def one(name):
    (found,) = find_behaviours([name])
    return found


def test_words_are_shaded_by_what_they_add():
    read = behaviour_parts(one("exclamations"), "Yes! Very\n\ngood!", "well?")
    assert "".join(part.text for part in read.parts) == "Yes! Very\n\ngood!"
    assert [part.text for part in read.parts if part.value] == ["!", "!"]
    assert {part.value for part in read.parts} == {0.0, 1.0}
    paragraphs = behaviour_parts(one("paragraphs"), "One.\n\nTwo.", "")
    assert [part.value for part in paragraphs.parts if part.text == "\n\n"] == [1.0]


def test_of_a_long_reply_the_first_words_are_tried_and_the_rest_is_whole(monkeypatch):
    monkeypatch.setattr(highlights, "MOST_WORDS", 3)
    text = "a! b! c! d!"
    read = behaviour_parts(one("exclamations"), text, "")
    assert read.cut
    assert "".join(part.text for part in read.parts) == text
    assert [part.value for part in read.parts] == [0, 1, 0, 0, 0]


def test_what_fires_on_tokens_is_what_the_store_holds_of_the_reply(foreseen):
    subject = open_preferences(foreseen)
    for row in (0, 7):
        spans = subject.reader.read(pairs()[row], 1)
        for span, read in zip(("prompt", "chosen", "rejected"), spans, strict=True):
            assert not read.cut
            assert subject.store.tokens(span)[row] == len(read.parts)
            frequency = subject.store.frequency(span)[row].toarray()[0]
            # Of a cluster, the mean share over tokens is the mean frequency over its features.
            expected = [frequency[list(members)].mean() for members in subject.members]
            found = [
                np.mean([sum(each.share for each in part.firing if each.cluster == k) for part in read.parts])
                for k in range(len(subject.members))
            ]
            assert found == pytest.approx(expected, abs=2e-3)
            assert np.mean([part.value for part in read.parts]) == pytest.approx(expected[1], abs=2e-3)
