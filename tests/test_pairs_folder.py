from __future__ import annotations

import json
import shutil

import pytest
from datasets import Dataset, DatasetDict
from pair_files import assistant, conversational, standard, user, write_lines
from trl.data_utils import extract_prompt, is_conversational

from unweave.base.errors import UnweaveError
from unweave.corpora.pairs import open_pairs, split_names


@pytest.fixture
def saved(tmp_path):
    """A folder that ``datasets`` has written, of two splits, one of them in several files."""
    parts = {"train": Dataset.from_list(conversational(30)), "test": Dataset.from_list(conversational(4))}
    DatasetDict(parts).save_to_disk(tmp_path / "saved", num_shards={"train": 3, "test": 1})
    return tmp_path / "saved"


def test_a_saved_dict_of_splits_names_them_and_gives_each(saved):
    assert split_names(saved) == ("train", "test")
    with pytest.raises(UnweaveError, match="has the splits 'train', 'test': choose one"):
        open_pairs(saved)
    with pytest.raises(UnweaveError, match="no split 'tets'; nearest: 'test'"):
        open_pairs(saved, split="tets")
    source = open_pairs(saved, split="train")
    pairs = list(source)
    assert source.rows == len(pairs) == 30
    assert [pair.chosen for pair in pairs] == [f"It is {i}." for i in range(30)]
    assert pairs[10].id == "train/data-00001-of-00003.arrow:1"
    assert "arrow" in source.describe().format


def test_a_saved_dataset_is_read_in_its_own_order_after_a_selection(tmp_path):
    Dataset.from_list(standard(50)).shuffle(seed=1).select(range(20)).save_to_disk(tmp_path / "one")
    expected = Dataset.load_from_disk(tmp_path / "one")["prompt"]
    assert [pair.prompt[0].content for pair in open_pairs(tmp_path / "one")] == list(expected)


def test_a_saved_folder_that_lacks_a_file_is_refused(saved):
    (saved / "train" / "data-00001-of-00003.arrow").unlink()
    with pytest.raises(UnweaveError, match=r"lists 'data-00001-of-00003\.arrow', which is not beside it"):
        open_pairs(saved, split="train")


def test_a_saved_folder_that_lists_a_file_elsewhere_is_refused(saved, tmp_path):
    shutil.copy(saved / "test" / "data-00000-of-00001.arrow", tmp_path / "outside.arrow")
    state = saved / "test" / "state.json"
    state.write_text(json.dumps({"_data_files": [{"filename": "../../outside.arrow"}]}))
    with pytest.raises(UnweaveError, match=r"lists '\.\./\.\./outside\.arrow'"):
        open_pairs(saved, split="test")


def test_a_hub_folder_of_parquet_shards_is_read_by_split(tmp_path):
    rows = Dataset.from_list(conversational(40))
    (tmp_path / "data").mkdir()
    for name, split in (("train_prefs", rows.select(range(30))), ("test_prefs", rows.select(range(30, 40)))):
        for index in range(2):
            split.shard(2, index).to_parquet(tmp_path / "data" / f"{name}-{index:05d}-of-00002.parquet")
    (tmp_path / "README.md").write_text("---\nconfigs: nothing of this is read\n---\n")
    (tmp_path / "dataset_infos.json").write_text("{}")
    (tmp_path / "load.py").write_text("raise SystemExit")
    assert split_names(tmp_path) == ("train_prefs", "test_prefs")
    source = open_pairs(tmp_path, split="train_prefs")
    assert source.rows == 30
    assert [pair.chosen for pair in source] == [f"It is {i}." for i in range(30)]
    assert source.describe().files == tuple(f"data/train_prefs-{i:05d}-of-00002.parquet" for i in range(2))


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["train.jsonl", "test.jsonl"], ["train", "test"]),
        (["validation/0000.jsonl", "train/0000.jsonl"], ["train", "validation"]),
        (["helpful/train.jsonl.gz", "harmless/train.jsonl.gz"], ["train"]),
        (["my-dev-set.jsonl"], ["validation"]),
        (["part-0.jsonl", "part-1.jsonl"], ["train"]),
        (["good.jsonl", "bad.jsonl"], ["bad", "good"]),
        (["data.jsonl"], ["train"]),
        ([".hidden/train.jsonl", "__pycache__/dev.jsonl", "test.jsonl"], ["test"]),
    ],
)
def test_files_are_given_to_splits_by_their_names(tmp_path, files, splits):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert list(split_names(tmp_path)) == splits


def test_a_split_that_is_there_in_two_formats_is_refused(tmp_path):
    write_lines(tmp_path / "train.jsonl", standard(2))
    Dataset.from_list(standard(2)).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(UnweaveError, match=r"the split 'train' as \.jsonl and as \.parquet"):
        open_pairs(tmp_path)


def test_files_that_are_links_are_followed_as_in_the_hub_s_cache(tmp_path):
    blob = write_lines(tmp_path / "blobs" / "abc", standard(2))
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "train.jsonl").symlink_to(blob)
    (snapshot / "again").symlink_to(snapshot)
    assert len(list(open_pairs(snapshot))) == 2


CONVERSATIONS = [
    ([user("a"), assistant("b")], [user("a"), assistant("c")]),
    ([user("a"), assistant("b"), user("c"), assistant("d")], [user("a"), assistant("b"), user("c"), assistant("e")]),
    ([{"role": "system", "content": "s"}, user("a"), assistant("b")],) * 2,
    ([user("a"), assistant("b")], [user("a"), assistant("b"), user("c"), assistant("d")]),
    ([user("a"), assistant("b"), user("c"), assistant("d")], [user("a"), assistant("x"), user("c"), assistant("d")]),
]


@pytest.mark.parametrize(("chosen", "rejected"), CONVERSATIONS)
def test_an_implicit_prompt_is_the_one_that_trl_extracts(tmp_path, chosen, rejected):
    row = {"chosen": chosen, "rejected": rejected}
    source = open_pairs(write_lines(tmp_path / "a.jsonl", [row]))
    (pair,) = source
    assert is_conversational(row)
    assert source.layout.replies == "messages"
    extracted = extract_prompt(row)
    assert [{"role": turn.role, "content": turn.content} for turn in pair.prompt] == extracted["prompt"]
    for reply, expected in ((pair.chosen, extracted["chosen"]), (pair.rejected, extracted["rejected"])):
        first, *later = expected
        assert reply == first["content"] + "".join(f"\n\n[{each['role']}]\n{each['content']}" for each in later)


@pytest.mark.parametrize(
    ("chosen", "rejected"), [("The sky is blue.", "The sky is green."), ("Why? Yes.", "Why?  No."), ("same.", "same.")]
)
def test_an_implicit_prompt_of_text_is_the_one_that_trl_extracts(tmp_path, chosen, rejected):
    row = {"chosen": chosen, "rejected": rejected}
    (pair,) = open_pairs(write_lines(tmp_path / "a.jsonl", [row]))
    assert {"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected} == extract_prompt(row)
    assert not is_conversational(row)
