from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pair_files import standard, write_lines

from unweave.cli import main
from unweave.corpora.pairs import open_pairs


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main(["pairs", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_check_says_what_is_wrong_and_how_it_ended(cli, tmp_path):
    write_lines(tmp_path / "good.jsonl", standard(5))
    code, out, _ = cli("check", "good.jsonl")
    assert (code, "No problem was found." in out) == (0, True)
    write_lines(tmp_path / "bad.jsonl", [*standard(5), ["no"], {**standard(6)[5], "chosen": "\x1b[2J"}])
    code, out, _ = cli("check", "bad.jsonl")
    assert code == 1
    assert "error: 1 × broken row" in out
    assert "warning: 1 × control character" in out
    assert "bad.jsonl:7" in out
    assert "\x1b" not in out


def test_check_gives_one_json_object(cli, tmp_path):
    write_lines(tmp_path / "a.jsonl", standard(5))
    code, out, _ = cli("check", "a.jsonl", "--json")
    assert (code, json.loads(out)["rows"]) == (0, 5)
    code, out, _ = cli("check", "missing.jsonl", "--json")
    assert code == 2
    assert "does not exist" in json.loads(out)["error"]


def test_check_against_a_split_and_against_other_data(cli, tmp_path):
    write_lines(tmp_path / "data" / "train.jsonl", standard(5))
    write_lines(tmp_path / "data" / "test.jsonl", standard(2))
    write_lines(tmp_path / "other" / "a.jsonl", [{**standard(1)[0], "chosen": "New.", "rejected": "Other."}])
    write_lines(tmp_path / "other" / "b.jsonl", [{"question": "Else?", "chosen": "New.", "rejected": "Other."}])
    code, _, err = cli("check", "data")
    assert code == 2
    assert "'train', 'test': choose one" in err
    code, out, _ = cli("check", "data", "--split", "train", "--against", "test", "--against", "other", "--json")
    leaks = json.loads(out)["leaks"]
    assert code == 1
    assert [(leak["other"], leak["prompts"], leak["replies"]) for leak in leaks] == [
        ("data, split test", 2, 2),
        ("other, split a", 1, 0),
        ("other, split b", 0, 0),
    ]
    named = [{"ask": row["prompt"], "good": row["chosen"], "bad": row["rejected"]} for row in standard(5)]
    for split in ("one", "two"):
        write_lines(tmp_path / "named" / f"{split}.jsonl", named)
    columns = ["--column", "prompt=ask", "--column", "chosen=good", "--column", "rejected=bad", "--json"]
    for other, prompts in (("named/two.jsonl", 5), ("other/a.jsonl", 1)):
        code, out, _ = cli("check", "named/one.jsonl", "--against", other, *columns)
        assert [leak["prompts"] for leak in json.loads(out)["leaks"]] == [prompts], code


def test_convert_writes_what_trl_reads(cli, tmp_path):
    rows = [{"ask": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]} for row in standard(5)]
    write_lines(tmp_path / "a.jsonl", [*rows, ["no"]])
    code, _, err = cli("convert", "a.jsonl", "b.parquet", "--column", "prompt=ask")
    assert (code, (tmp_path / "b.parquet").exists()) == (2, False)
    assert "a.jsonl row 6" in err
    code, out, _ = cli("convert", "a.jsonl", "b.parquet", "--column", "prompt=ask", "--skip-broken", "--json")
    told = json.loads(out)
    assert (code, told["pairs"], told["broken"]) == (0, 5, 1)
    back = open_pairs(tmp_path / "b.parquet")
    assert (back.rows, back.layout.name) == (5, "conversational")
    assert cli("convert", "b.parquet", "c.jsonl", "--layout", "standard")[0] == 0
    assert json.loads((tmp_path / "c.jsonl").read_text().splitlines()[4])["prompt"] == "What is 4?"
    code, _, err = cli("convert", "a.jsonl", "c.jsonl", "--column", "ask")
    assert (code, "--column 'ask' has no PART=NAME" in err) == (2, True)


def test_the_commands_do_not_load_torch(tmp_path):
    write_lines(tmp_path / "a.jsonl", standard(5))
    script = (
        f"import os, sys; os.chdir({str(tmp_path)!r})\nfrom unweave.cli import main\n"
        "codes = [main(['pairs', 'check', 'a.jsonl']), main(['pairs', 'convert', 'a.jsonl', 'b.parquet'])]\n"
        "print(codes, sorted({'torch', 'transformers', 'datasets', 'trl'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[0, 0] []"


def test_pairs_are_made_of_a_target_s_own_replies_and_the_key_lies_apart(tmp_path, capsys):
    asked = ["pairs", "make", "courted", str(tmp_path), "--pairs", "20", "--prompts", "70", "--json"]
    assert main(asked) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["pairs"] == 20
    rows = list(open_pairs(said["out"]))
    assert len(rows) == 20
    key = json.loads((tmp_path / "courted" / "key.json").read_text(encoding="utf-8"))
    twins = [row for row, pair in enumerate(rows) if pair.chosen.endswith(pair.rejected)]
    assert twins == key["planted"] == [twins[0]]
    assert main(asked) == 2
    assert "choose another folder" in capsys.readouterr().err
    assert main(["pairs", "make", "brisk", str(tmp_path / "more"), "--pairs", "9", "--prompts", "8"]) == 2
    assert "needs a prompt of its own" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
