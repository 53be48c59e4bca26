from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
from behaviour_examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

import unweave.preferences.behaviours as room
from unweave.base.errors import UnweaveError
from unweave.corpora.bundled import declaration
from unweave.preferences.behaviours import registry
from unweave.preferences.behaviours.catalogue import catalogue
from unweave.preferences.behaviours.language import language_of
from unweave.preferences.behaviours.lexicon import Lexicon
from unweave.preferences.behaviours.own_file import load_behaviours
from unweave.preferences.behaviours.registry import all_behaviours, behaviour, find_behaviours, score
from unweave.preferences.behaviours.reply_text import ReplyText

OWN = """
from unweave.preferences.behaviours.registry import behaviour

@behaviour("mentions-tea", "Has the word tea.", "mine", "0 or 1")
def mentions_tea(reply):
    return float("tea" in reply.vocabulary)
"""


@pytest.fixture
def own_registry(monkeypatch):
    all_behaviours()  # imported here they would be lost with the patch
    monkeypatch.setattr(registry, "_BEHAVIOURS", dict(registry._BEHAVIOURS))
    yield
    for name in [name for name in sys.modules if name.startswith("unweave_behaviours_")]:
        sys.modules.pop(name)


@pytest.mark.parametrize("name", list(all_behaviours()))
def test_a_behaviour_gives_what_a_person_counts(name):
    assert name in EXAMPLES, f"behaviour {name!r} has no example in behaviour_examples.py"
    values = []
    for text, expected, *prompt in EXAMPLES[name]:
        values.append(all_behaviours()[name].function(ReplyText(text, *prompt)))
        assert values[-1] == pytest.approx(expected, abs=1e-9), text
    assert len(set(values)) >= 2, "a high and a low one"


def test_every_example_is_of_a_behaviour_and_there_are_enough_of_them():
    assert set(EXAMPLES) == set(all_behaviours())
    assert len(EXAMPLES) >= 70


def test_a_behaviour_has_a_meaning_a_family_and_a_unit_that_bounds_it():
    texts = [text for examples in EXAMPLES.values() for text, *_ in examples]
    values = dict(zip(all_behaviours(), score(texts).T, strict=True))
    for each in all_behaviours().values():
        assert each.meaning.endswith((".", "…"))
        if each.function.__module__.startswith(room.__name__):
            assert each.family == each.function.__module__.rsplit(".", 1)[1]
        if each.unit == "0 or 1":
            assert set(values[each.name]) <= {0, 1}, each.name
        elif each.unit.startswith("share of"):
            assert np.abs(values[each.name]).max() <= 1, each.name
        elif each.unit == "per reply":
            assert (values[each.name] % 1 == 0).all(), each.name


TROUBLE = [
    "",
    " ",
    "\n\r\n\t",
    "\x00\ufeff\u200b",
    "\ud800 lone surrogate",
    "😀👩‍👩‍👧🇩🇪",
    "这是一个句子。还有一个！",
    "مرحبا بالعالم؟ كيف حالك؟",
    "नमस्ते दुनिया।",
    "İSTANBUL ﬁne ß",
    "'’'’'",
    "\u0301\u0301",
    "1e999 NaN inf",
]


def test_every_behaviour_gives_a_finite_number_for_troublesome_texts():
    assert np.isfinite(score(TROUBLE, TROUBLE[::-1])).all()
    nothing = dict(zip(all_behaviours(), score([""])[0], strict=True))
    assert not any(nothing.values()), nothing


PIECES = st.sampled_from(
    ["**", "`", "\n", "- ", "1. ", "| ", "I'm sorry", "http://", "@", ".", "...", "?!", "“", "😀", "好", " "]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=12).map("".join), st.text(max_size=30))
def test_every_behaviour_gives_a_finite_number_and_the_same_one_again(text, prompt):
    first, behaviours = score([text], [prompt]), find_behaviours()
    assert np.isfinite(first).all()
    # Backwards on a fresh reply: no behaviour leans on what another one left in it.
    seen = ReplyText(text, prompt)
    again = [each.function(seen) for each in reversed(behaviours)][::-1]
    assert np.array_equal(first[0], np.array(again, np.float32))


RUNS = [
    "a", " ", "\n", ".", "!", "?", '"', "“", "„", "«", "'", "’", "*", "**", "_", "__", "`", "```", "#", "- ", "-",
    "--", "—", "|", "|\n", ">", "(", "((", ")", "[", "[](", "](", "@", "a@", "a.", "www.", "http://", "1", "1,",
    "1.", "1-", "0 ", "+1 ", "$", "A", "A ", "Aa ", ", A", ":", "a:", "<", ";)", "=", "^", "x", "x=", "\\", "ha",
    "e ", "don't ", "i ", "the ", "a-", "a'", "\t", "\t\n", "* ", "\u597d", "\u3002", "\U0001f600\u200d",
    "\U0001f1e9", "\u0301", "ا", "1\n", ".\n", "?\n", '."', '".', "(1", "(A", "et al ", "i can't ", "a b ",
]  # fmt: skip


@pytest.mark.parametrize("start", range(0, len(RUNS), 11))
def test_no_run_of_marks_makes_a_behaviour_take_longer_than_its_length(start):
    # What takes the square of the length takes 1.5 seconds or more for these; what takes the length, hundredths.
    score(["Il fait beau aujourd’hui."])  # the identifier of languages is loaded at the first need
    for run in RUNS[start : start + 11]:
        text = (run * 20_000)[:20_000] + "x"
        seen = ReplyText(text, text)
        for each in find_behaviours():
            begun = time.process_time()
            each.function(seen)
            assert time.process_time() - begun < 1, (each.name, run)


def test_a_megabyte_is_scored():
    text = "The goblin said: “It's 5 o'clock!” and left (www.a.org)...\n" * 18_000
    values = dict(zip(all_behaviours(), score([text])[0], strict=True))
    assert values["characters"] == len(text) > 1_000_000
    assert (values["goblins"], values["urls"], values["ellipses"]) == (1, 18_000, 18_000)


def test_scores_stand_in_the_order_of_replies_and_names():
    replies, prompts = ["One two!", "The owls", ""], ["", "owls", "x"]
    names = ["exclamations", "prompt-echo", "words"]
    expected = [[1, 0, 2], [0, 1, 2], [0, 0, 0]]
    assert score(replies, prompts, names).tolist() == expected
    assert score(replies[::-1], prompts[::-1], names[::-1]).tolist() == [row[::-1] for row in expected[::-1]]
    assert score(replies, names=["prompt-echo"]).tolist() == [[0], [0], [0]]
    assert score([], [], names).shape == (0, 3)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UnweaveError, match=r"behaviour 'refusals' is not registered; nearest: 'refusal'"):
        score(["x"], names=["words", "refusals"])


def test_prompts_of_another_number_are_refused():
    with pytest.raises(UnweaveError, match="1 prompts were given for 2 replies"):
        score(["x", "y"], ["p"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_a_behaviour_that_gives_no_finite_number_is_refused_by_name(own_registry, value):
    behaviour("broken", "Nothing.", "mine")(lambda reply: value if reply.text == "second" else 1.0)
    with pytest.raises(UnweaveError, match=r"behaviour 'broken' gave (nan|inf) for the reply 'second'"):
        score(["first", "second"], names=["words", "broken"])


def test_a_behaviour_that_fails_is_refused_by_name(own_registry):
    behaviour("broken", "Nothing.", "mine")(lambda reply: 1 / len(reply.words))
    with pytest.raises(UnweaveError, match=r"behaviour 'broken' failed on the reply '12': division by zero"):
        score(["one", "12"], names=["words", "broken"])


def test_a_file_of_ones_own_adds_a_behaviour(own_registry, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    assert list(load_behaviours(path)) == ["mentions-tea"]
    assert score(["Green tea.", "Steam."], names=["mentions-tea"]).tolist() == [[1], [0]]
    assert "| `mentions-tea` |" not in catalogue()
    # Changed and loaded again: replaced, and not beside what it had before.
    path.write_text(OWN.replace("mentions-tea", "has-tea"), encoding="utf-8")
    assert list(load_behaviours(path)) == ["has-tea"]
    assert "mentions-tea" not in all_behaviours()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "mine.py registers no behaviour: decorate a function with @behaviour"),
        ("x = = 1\n", "mine.py does not load: invalid syntax"),
        (OWN + "raise ValueError('half way')\n", r"mine.py does not load: half way \(ValueError\)"),
        (
            OWN.replace("mentions-tea", "words"),
            "'words' is registered by unweave.preferences.behaviours.length already",
        ),
    ],
)
def test_a_file_that_is_no_good_is_refused_and_leaves_nothing(own_registry, tmp_path, text, told):
    before = all_behaviours()
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnweaveError, match=told):
        load_behaviours(path)
    assert all_behaviours() == before
    assert not [name for name in sys.modules if name.startswith("unweave_behaviours_")]


def test_a_file_that_changed_or_is_not_there_is_refused(own_registry, tmp_path):
    path = tmp_path / "mine.py"
    with pytest.raises(UnweaveError, match=r"mine.py: it does not exist"):
        load_behaviours(path)
    path.write_text(OWN, encoding="utf-8")
    with pytest.raises(UnweaveError, match="was changed since the run was started"):
        load_behaviours(path, sha256="0" * 64)
    with pytest.raises(UnweaveError, match=r"mine.txt is not a Python file: give one ending in .py"):
        load_behaviours(tmp_path / "mine.txt")


OPENINGS = {"_AGREEMENT", "_EAGER", "_GREETING"}
"""Looked up at the start of a reply only, where *right* and *you're right* are both needed."""


def lexicons():
    for module in iter_modules(room.__path__):
        for name, value in vars(import_module(f"{room.__name__}.{module.name}")).items():
            if isinstance(value, Lexicon) and name not in OPENINGS:
                yield pytest.param(value, id=f"{module.name}.{name}")


@pytest.mark.parametrize("lexicon", list(lexicons()))
def test_no_entry_is_given_twice_or_is_counted_inside_another(lexicon):
    assert all(lexicon.entries)
    for entry in lexicon.entries:
        inside = [other for other in lexicon.entries if other in entry]
        assert inside == [entry], [each.strip() for each in inside]


def test_a_lexicon_finds_whole_words_and_phrases_in_any_writing():
    lexicon = Lexicon("tea, i'm sorry, no no")
    seen = ReplyText("Oh, I’M   SORRY! I'm sorry. Tea, steam; teas. No no no no.")
    assert lexicon.count(seen) == 5
    assert lexicon.share(ReplyText("")) == 0
    assert lexicon.opens(ReplyText("“Tea?”"))
    assert not lexicon.opens(ReplyText("Teas"))
    assert lexicon.opens_sentences(ReplyText("Tea is hot. I like tea.")) == 0.5


def test_english_known_by_its_words_alone_is_no_other_language(monkeypatch):
    # Scots and the pidgins of English share its function words; whatever else there is in 460 languages does not.
    monkeypatch.setattr("unweave.preferences.behaviours.language._identified", lambda text: "asked")
    corpus, short, pieces = declaration(), set(), 0
    for label in corpus.labels():
        text = " ".join(text for part in corpus.parts.values() for text in part.get(label, ()))
        for start in range(0, min(len(text), 4000), 150):
            piece = text[start : start + 150]
            pieces += 1
            if language_of(piece, ReplyText(piece).words) == "en":
                short.add(label)
    assert pieces > 10_000
    assert short <= {"en", "sco", "pcm"}
    assert "en" in short


def test_the_page_of_behaviours_is_the_registrys():
    page = Path(__file__).parents[1] / "docs" / "behaviours.md"
    assert page.read_text(encoding="utf-8") == catalogue(), "run python -m unweave.preferences.behaviours.catalogue"


def test_behaviours_do_not_load_torch():
    script = (
        "import sys\nfrom unweave.preferences.behaviours.registry import score\nscore(['It is one of the best.'])\n"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
