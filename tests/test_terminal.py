from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.base.outcome import Output, conclude
from unweave.base.progress import Terminal
from unweave.base.terminal import one_line, printable

ATTACKS = {
    "\x1b[2J\x1b[H": "\\x1b[2J\\x1b[H",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\x1b]52;c;cm0gLXJm\x1b\\": "\\x1b]52;c;cm0gLXJm\\x1b\\",
    "\x9b31m": "\\x9b31m",
    "gnp\u202eexe": "gnp\\u202eexe",
    "\u2066\u2069\u200f\u200b\ufeff": "\\u2066\\u2069\\u200f\\u200b\\ufeff",
    "over\rwritten": "over\\rwritten",
    "back\x08\x7f\x00": "back\\x08\\x7f\\x00",
    "half \ud83d": "half \\ud83d",
}
PLAIN = ["Straße, naïve, 日本語, العربية, עברית, हिन्दी", "▁the Ġthe ↵ – − “x” 😀 e\u0301", "a\tb\nc"]


@pytest.mark.parametrize("text", ATTACKS)
def test_f3_16_what_a_terminal_would_obey_is_written_out(text):
    assert printable(text) == ATTACKS[text]


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_of_any_language_stays(text):
    assert printable(text) == text


def test_a_cell_has_one_line():
    assert one_line("a\nb\tc\r\x1b") == "a\\nb\\tc\\r\\x1b"


@given(st.text(st.characters()))
def test_f3_16_no_control_character_is_left_in_any_text(text):
    shown = one_line(text)
    assert not [character for character in shown if unicodedata.category(character) in ("Cc", "Cs")]
    assert not set(shown) & {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("text", ATTACKS)
def test_f3_16_commands_print_and_refuse_inertly(text, capsys):
    conclude(lambda: Output({"name": text}, [f"name: {text}"]))
    assert capsys.readouterr().out == f"name: {ATTACKS[text]}\n"

    def refuse():
        raise UnweaveError(f"no {text}!")

    conclude(refuse)
    assert "\x1b" not in (err := capsys.readouterr().err)
    assert err.startswith("unweave: no ")
    conclude(refuse, as_json=True)
    printed = capsys.readouterr()
    assert printed.out.isascii()
    assert printable(printed.out) == printed.out


@pytest.mark.parametrize("text", ATTACKS)
def test_f3_16_progress_is_inert(text):
    stream = io.StringIO()
    progress = Terminal("load", stream)
    progress.update(1, 1, text)
    progress.say(text)
    assert [character for character in stream.getvalue() if character in text and not character.isprintable()] == []


def test_what_comes_after_the_output_decides_how_the_command_ends(capsys):
    said = []

    def go_on():
        said.append(capsys.readouterr().out)
        print("a library prints this")
        return 3

    assert conclude(lambda: Output({"url": "x"}, ["ready"], then=go_on), as_json=True) == 3
    assert said == ['{"url": "x"}\n']
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "a library prints this\n")

    def interrupted():
        raise KeyboardInterrupt

    assert conclude(lambda: Output({}, ["ready"], then=interrupted)) == 130
