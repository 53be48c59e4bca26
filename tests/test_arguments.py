from __future__ import annotations

import pytest

from unweave.base.arguments import Parser, count, names
from unweave.base.errors import UnweaveError


@pytest.fixture
def parser():
    made = Parser("tool")
    made.add_argument("--format", choices=("peft", "merged"))
    made.add_argument("--windows", type=count)
    made.add_argument("--labels", type=names)
    commands = made.add_subparsers(metavar="COMMAND", dest="command")
    commands.add_parser("studies")
    commands.add_parser("scan").add_argument("target", metavar="TARGET")
    return made


def test_values_are_read(parser):
    read = parser.parse_args(["--windows", "3", "--labels", "en, de,", "scan", "x"])
    assert (read.windows, read.labels, read.command, read.target) == (3, ["en", "de"], "scan", "x")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["studeis"], r"^command 'studeis' is not known; nearest: 'studies'.* \(see `tool --help`\)$"),
        (["--format", "merge"], r"^--format 'merge' is not known; nearest: 'merged' "),
        (["--windows", "0"], r"--windows: '0' is not a whole number above 0"),
        (["--windows", "²"], r"--windows: '²' is not a whole number above 0"),
        (["studies", "--wind"], r"unrecognized arguments: --wind "),
        (["scan"], r"required: TARGET \(see `tool scan --help`\)"),
    ],
)
def test_a_refusal_is_one_line(parser, capsys, arguments, line):
    with pytest.raises(UnweaveError, match=line):
        parser.parse_args(arguments)
    assert capsys.readouterr() == ("", "")
