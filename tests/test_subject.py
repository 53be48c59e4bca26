"""A subject: opened by its folder, loaded when asked, and refused where the parts do not belong together."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time

import huggingface_hub
import pytest
from labelled import write_labels

from unweave.base.errors import UnweaveError
from unweave.decompose.decomposition import bundled
from unweave.read.opened_subject import slug
from unweave.read.subject import Subject, open_subject


def changed(folder, **facts):
    """The same folder with other facts in its harvest.json."""
    path = folder / "harvest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return open_subject(folder)


def test_opening_reads_no_more_than_what_it_is_of(planted_harvest, monkeypatch):
    for name in ("_load_harvest", "_load_target", "_load_labels"):
        monkeypatch.setattr(Subject, name, lambda _, name=name: pytest.fail(name))
    opened = open_subject(planted_harvest)
    found = opened.summary()
    assert (found.kind, found.features, found.title) == (
        "subcomponents",
        sum(opened.facts.groups.values()),
        opened.title,
    )


def test_an_id_is_safe_in_a_path_and_differs_by_folder(planted_harvest, tmp_path):
    ids = {open_subject(planted_harvest).id}
    for parent in ("a", "b"):
        copy = tmp_path / parent / "Größe & <b> ..harvest"
        shutil.copytree(planted_harvest, copy)
        ids.add(open_subject(copy).id)
        assert open_subject(copy).id == open_subject(copy).id
    assert len(ids) == 3
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", each) for each in ids)


def test_a_slug_keeps_letters_digits_and_hyphens():
    assert slug("../..") == ""
    assert slug("Größe  Zwei.2") == "grosse-zwei-2"


def test_what_is_no_harvest_is_refused(tmp_path):
    with pytest.raises(UnweaveError, match="there is no such folder"):
        open_subject(tmp_path / "none")
    with pytest.raises(UnweaveError, match=r"it has no harvest\.json; make one"):
        open_subject(tmp_path)
    (tmp_path / "harvest.json").write_text("{}")
    with pytest.raises(UnweaveError, match=r"damaged: its harvest\.json lacks 'target'"):
        open_subject(tmp_path)
    (tmp_path / "harvest.json").write_text("[1]")
    with pytest.raises(UnweaveError, match="damaged"):
        open_subject(tmp_path)


def test_another_target_is_refused_with_both_identities(subject, planted_target):
    other = changed(subject.folder, target="0123456789abcdef")
    with pytest.raises(UnweaveError, match=rf"is now target {planted_target.identity.digest}.* of 0123456789abcdef"):
        _ = other.target


def test_another_dictionary_is_refused_with_both_identities(subject, planted_target):
    own = subject.facts.dictionary
    other = changed(subject.folder, dictionary="0123456789abcdef")
    other.kept("target", lambda: planted_target)
    for ask in (lambda: other.dictionary, lambda: other.directions):
        with pytest.raises(UnweaveError, match=f"is now dictionary {own}.* of 0123456789abcdef"):
            ask()


def test_what_can_be_seen_to_be_missing_is_said_without_loading(subject, tmp_path):
    assert subject.unavailable() == ""
    assert "dictionary" in changed(subject.folder, dictionary_source=str(tmp_path / "gone")).unavailable()
    assert "target 'gone'" in changed(subject.folder, target_source="gone").unavailable()


def test_a_bundled_decomposition_is_found_by_name(subject):
    named = changed(subject.folder, target_source="polyglot", dictionary_source="polyglot")
    assert named.unavailable() == ""
    assert named._find_dictionary() == bundled("polyglot")


def test_labels_are_those_beside_the_harvest_and_may_be_missing(subject):
    assert set(subject.labels.text) == {""}
    write_labels(subject.folder, {2: "odd words"})
    opened = open_subject(subject.folder)
    assert opened.labels.text[2] == "odd words"
    assert opened.labels.confidence_of(2) == "clear"
    assert opened.labels.confidence_of(3) is None


def test_labels_of_another_harvest_and_damaged_ones_are_not_shown_and_it_says_why(subject):
    write_labels(subject.folder, {2: "odd words"}, harvest="0123456789abcdef")
    found = open_subject(subject.folder).labels
    assert set(found.text) == {""}
    assert "labels are of harvest 0123456789abcdef" in found.note
    write_labels(subject.folder, {2: "odd words"})
    (subject.folder / "labels.parquet").write_bytes(b"half")
    assert "is not the table that labels.json describes" in open_subject(subject.folder).labels.note


def test_labels_that_are_made_meanwhile_are_found_and_others_stay(subject):
    assert subject.labels.text[2] == ""
    assert subject.index.match("odd")[2] == 0
    for text in ("odd words", "even odder words"):
        write_labels(subject.folder, {2: text})
        assert (subject.labels.text[2], subject.table.labels.text[2], subject.labels.note) == (text, text, "")
        assert subject.index.match("words")[2] > 0
    assert subject.labels is subject.labels
    assert subject.index is subject.index
    assert subject.index.table is subject.table
    (subject.folder / "labels.json").unlink()
    assert (subject.labels.text[2], subject.table.labels.text[2]) == ("", "")


def test_a_hub_target_is_available_once_it_is_in_the_cache_and_no_view_downloads_it(
    subject, planted_target_folder, planted_target, tmp_path, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("model_info", "list_repo_files"):
        monkeypatch.setattr(huggingface_hub.HfApi, name, lambda *_, **__: pytest.fail("the network was asked"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("a download"))
    other = changed(subject.folder, target_source="org/model", target_name="org/model")
    said = "target org/model is not in the Hugging Face cache.*fetch it with `hf download org/model`"
    assert re.search(said, other.unavailable())
    with pytest.raises(UnweaveError, match=said):
        _ = other.target
    assert "neither a folder here nor a hub id" in changed(subject.folder, target_source="org/a--b").unavailable()

    place = tmp_path / "hub" / "models--org--model"
    snapshot = place / "snapshots" / ("0" * 40)
    shutil.copytree(planted_target_folder, snapshot)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("0" * 40)
    assert other.unavailable() == ""
    assert other.target.identity == planted_target.identity
    assert other.target.name == "org/model"
    (snapshot / "model.safetensors").unlink()
    assert "has no weights" in other.unavailable()


def test_a_part_is_made_once_whoever_asks_and_a_failure_is_not_kept(subject):
    made = []

    def slow():
        time.sleep(0.05)
        made.append(len(made))
        if len(made) == 1:
            raise UnweaveError("not yet")
        return object()

    with pytest.raises(UnweaveError, match="not yet"):
        subject.kept("part", slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(subject.kept("part", slow))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert len(found) == 5
    assert len(set(map(id, found))) == 1
