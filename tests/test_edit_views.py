"""The edit room's views: a slider against applying the edit plainly, and edits that stack, undo, redo and stay."""

from __future__ import annotations

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import planted
import pytest
import torch
from asking import ask
from pydantic import ValidationError

from unweave.base.errors import UnweaveError
from unweave.edit.edits import FactorEdit, applied
from unweave.edit.slider import MOST_WINDOWS, Slider, label_windows
from unweave.models.target import weights_hash
from unweave.read.subject import open_subject

SITE = planted.SITE
FIRST = "model.layers.0.mlp.up_proj:1"
TEXT = " ".join(planted.words()[5:17])


@pytest.fixture(autouse=True)
def weights_stay(planted_target):
    """No view leaves a bit of the target changed."""
    before = weights_hash(planted_target.module)
    yield
    assert weights_hash(planted_target.module) == before


@pytest.fixture
def piece(subject):
    """The name of the subcomponent that is about qb."""
    return ask(subject, "search", words="qb", limit=1).hits[0].name


def edit_of(subject, factors):
    places = {(name.rpartition(":")[0], int(name.rpartition(":")[2])): factor for name, factor in factors.items()}
    return FactorEdit.of(subject.dictionary.decomposition, places, "plain")


def plain(subject, *edits):
    """Next-token probabilities of the text, and cross-entropy by label on the slider's windows, by whole forwards."""
    target = subject.target
    windows = label_windows(target, subject.harvest.pool, planted.LABELS)
    tokens = torch.as_tensor(target.tokenizer(TEXT)["input_ids"])[None]
    with torch.no_grad(), applied(target, *edits):
        chance = target.logits(tokens)[0, -1].softmax(-1)
        losses = {}
        for label, each in windows.items():
            logits = target.logits(each)[:, :-1]
            losses[label] = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), each[:, 1:].flatten()))
    return chance, losses


@pytest.mark.parametrize(
    "factors", [{FIRST: -1.0}, {f"{SITE}:0": 0.0, f"{SITE}:1": 3.0}, {FIRST: 0.0, f"{SITE}:2": 0.5}]
)
def test_the_slider_gives_what_the_edit_gives(subject, factors):
    for _ in range(2):  # the second time from what was kept
        found = ask(subject, "factor", factors=factors, text=TEXT, top=6)
        before, losses_before = plain(subject)
        after, losses_after = plain(subject, edit_of(subject, factors))
        assert [one.label for one in found.by_label] == list(planted.LABELS)
        for one in found.by_label:
            assert one.before == pytest.approx(losses_before[one.label], abs=1e-4)
            assert one.after == pytest.approx(losses_after[one.label], abs=1e-4)
            assert one.change == pytest.approx(one.after - one.before)
            assert one.tokens == one.windows * 31
        assert len(found.next) == 6
        assert [one.token for one in found.next] == torch.maximum(before, after).topk(6).indices.tolist()
        for one in found.next:
            assert one.before == pytest.approx(float(before[one.token]), abs=1e-5)
            assert one.after == pytest.approx(float(after[one.token]), abs=1e-5)
            assert one.text == planted.words()[one.token]
        divergence = float((before * (before / after).log()).sum())
        assert found.divergence == pytest.approx(divergence, abs=1e-5)
        assert " ".join(found.tokens) == TEXT


def test_removing_the_planted_feature_costs_its_label_most(subject, piece):
    found = ask(subject, "factor", factors={piece: 0.0}, text=TEXT)
    changes = {one.label: one.change for one in found.by_label}
    assert max(changes, key=changes.get) == "qb"
    assert changes["qb"] > 0.01


def test_a_factor_of_one_changes_nothing(subject):
    found = ask(subject, "factor", factors={FIRST: 1.0}, text=TEXT)
    assert found.divergence == 0
    assert all(one.change == 0 for one in found.by_label)
    assert all(one.before == one.after for one in found.next)


def test_layers_before_the_edited_one_are_not_run_again(subject, monkeypatch):
    factors = {f"{SITE}:0": 0.0}
    ask(subject, "factor", factors=factors, text=TEXT)
    block = subject.target.module.model.layers[0]
    monkeypatch.setattr(block.mlp, "forward", lambda *_: pytest.fail("block 0 was run"))
    assert ask(subject, "factor", factors={f"{SITE}:0": 2.0}, text=TEXT).divergence > 0


def test_the_slider_without_labels_measures_none(subject):
    found = ask(subject, "factor", factors={FIRST: 0.0}, text=TEXT, by_label=False)
    assert found.by_label == []
    assert found.next


def test_windows_are_held_out_and_few(subject):
    pool = subject.harvest.pool
    windows = label_windows(subject.target, pool, planted.LABELS)
    held = {pool.tokens[row].tobytes(): pool.label[row] for row in pool.held.nonzero()[0]}
    for place, label in enumerate(planted.LABELS):
        assert 0 < len(windows[label]) <= MOST_WINDOWS
        assert all(held[one.numpy().astype(pool.tokens.dtype).tobytes()] == place for one in windows[label])


def test_what_is_kept_of_typed_texts_is_bounded(subject):
    for word in planted.words()[2:32]:
        ask(subject, "factor", factors={f"{SITE}:0": 0.0}, text=word, by_label=False)
    assert len(subject.kept("slider", lambda: pytest.fail("not made"))._prefixes) < 25


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"nowhere:0": 0.0}, "subcomponent 'nowhere:0' is not in this decomposition"),
        ({f"{SITE}:x": 0.0}, "subcomponent '.*:x' is not in this decomposition"),
        ({f"{SITE}:100000": 0.0}, "subcomponent 100000 is not in"),
    ],
)
def test_unknown_pieces_are_refused(subject, factors, said):
    for view, more in (("factor", {"text": TEXT}), ("make-edit", {"name": "x"})):
        with pytest.raises(UnweaveError, match=said):
            ask(subject, view, factors=factors, **more)
    assert ask(subject, "edits").edits == []


@pytest.mark.parametrize("factor", [1e9, float("inf"), float("nan")])
def test_a_factor_beyond_reason_is_no_request(subject, factor):
    with pytest.raises(ValidationError):
        ask(subject, "factor", factors={FIRST: factor}, text=TEXT)


def names(answer):
    return [(one.name, one.active) for one in answer.edits]


def test_edits_are_made_undone_in_turn_and_redone(subject):
    assert names(ask(subject, "edits")) == []
    ask(subject, "make-edit", name="a", factors={FIRST: 0.0})
    ask(subject, "make-edit", name="b", factors={f"{SITE}:0": 2.0})
    assert names(ask(subject, "make-edit", name="c", factors={f"{SITE}:1": 0.5})) == [
        ("a", True),
        ("b", True),
        ("c", True),
    ]
    assert names(ask(subject, "undo-edit")) == [("a", True), ("b", True), ("c", False)]
    assert names(ask(subject, "undo-edit", name="a")) == [("a", False), ("b", True), ("c", False)]
    assert names(ask(subject, "redo-edit")) == [("a", True), ("b", True), ("c", False)]
    assert names(ask(subject, "undo-edit")) == [("a", False), ("b", True), ("c", False)]  # redone last, so first
    assert names(ask(subject, "redo-edit", name="c")) == [("a", False), ("b", True), ("c", True)]
    assert names(ask(subject, "drop-edit", name="a")) == [("b", True), ("c", True)]


def test_what_cannot_be_done_to_edits_is_refused_and_changes_nothing(subject):
    with pytest.raises(UnweaveError, match="nothing to undo"):
        ask(subject, "undo-edit")
    ask(subject, "make-edit", name="one", factors={FIRST: 0.0})
    for view, request, said in (
        ("make-edit", {"name": " one ", "factors": {FIRST: 2.0}}, "the name 'one' is taken"),
        ("make-edit", {"name": "  ", "factors": {FIRST: 2.0}}, "the name '' is empty"),
        ("redo-edit", {}, "nothing to redo"),
        ("redo-edit", {"name": "one"}, "edit 'one' is active, not undone"),
        ("drop-edit", {"name": "one"}, "edit 'one' is active, not undone"),
        ("undo-edit", {"name": "two"}, "no edit is named 'two'; nearest: 'one'"),
    ):
        with pytest.raises(UnweaveError, match=said):
            ask(subject, view, **request)
    assert names(ask(subject, "edits")) == [("one", True)]


def test_edits_survive_a_restart(subject, planted_target):
    ask(subject, "make-edit", name="<b>one</b>", factors={FIRST: 0.25})
    ask(subject, "make-edit", name="two", factors={f"{SITE}:0": 2.0})
    ask(subject, "undo-edit", name="<b>one</b>")
    again = open_subject(subject.folder)
    again.kept("target", lambda: planted_target)
    listed = ask(again, "edits")
    assert names(listed) == [("<b>one</b>", False), ("two", True)]
    assert listed.edits[0].factors == {FIRST: 0.25}
    assert ask(again, "fires", text=TEXT, with_edits=True).edits == ["two"]
    assert names(ask(again, "redo-edit")) == [("<b>one</b>", True), ("two", True)]


def test_two_servers_on_one_harvest_keep_each_others_edits(subject):
    both = subject, open_subject(subject.folder)
    for one in both:
        assert names(ask(one, "edits")) == []
    for place, one in enumerate(both):
        ask(one, "make-edit", name=f"of {place}", factors={f"{SITE}:{place}": 0.0})
    with pytest.raises(UnweaveError, match="the name 'of 1' is taken"):
        ask(both[0], "make-edit", name="of 1", factors={FIRST: 0.0})
    assert names(ask(both[1], "undo-edit", name="of 0")) == [("of 0", False), ("of 1", True)]
    assert ask(both[0], "factor", factors={FIRST: 0.0}, text=TEXT, by_label=False, with_edits=True).edits == ["of 1"]
    with ThreadPoolExecutor(8) as pool:
        made = [
            pool.submit(ask, both[place % 2], "make-edit", name=f"{place}", factors={f"{SITE}:{place}": 2.0})
            for place in range(2, 14)
        ]
    assert all(one.result() for one in made)
    for one in both:
        assert {name for name, _ in names(ask(one, "edits"))} == {"of 0", "of 1", *map(str, range(2, 14))}


def test_edits_do_not_wait_for_what_runs_the_target(subject):
    with ThreadPoolExecutor(1) as pool, subject.lock:
        steps = (
            ("make-edit", {"name": "one", "factors": {FIRST: 0.0}}),
            ("undo-edit", {}),
            ("redo-edit", {}),
            ("undo-edit", {}),
            ("edits", {}),
            ("drop-edit", {"name": "one"}),
        )
        for view, request in steps:
            answer = pool.submit(ask, subject, view, **request)
            try:
                listed = names(answer.result(timeout=5))
            except TimeoutError:
                pytest.fail(f"{view} waits")
        assert listed == []


def test_f3_11_edits_are_read_through_no_link(subject, tmp_path):
    ask(subject, "make-edit", name="one", factors={FIRST: 0.25})
    path = subject.folder / "edits.json"
    path.rename(tmp_path / "outside.json")
    path.symlink_to(tmp_path / "outside.json")
    for view, request in (("edits", {}), ("undo-edit", {})):
        with pytest.raises(UnweaveError, match=r"edits\.json is no file of its own, and links are not followed"):
            ask(subject, view, **request)
    (tmp_path / "outside.json").unlink()
    with pytest.raises(UnweaveError, match=r"edits\.json is no file of its own"):
        ask(subject, "edits")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_f3_15_edits_are_the_owners_alone_under_umask_000(subject):
    before = os.umask(0)
    try:
        ask(subject, "make-edit", name="one", factors={FIRST: 0.25})
    finally:
        os.umask(before)
    for path in subject.folder.glob("edits.json*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_edits_of_another_dictionary_and_damaged_ones_are_refused(subject, planted_target):
    ask(subject, "make-edit", name="one", factors={FIRST: 0.25})
    path = subject.folder / "edits.json"
    good = json.loads(path.read_text())
    for change, said in (
        ({"dictionary": "feedfeedfeedfeed"}, f"of dictionary feedfeedfeedfeed, not of {subject.facts.dictionary}"),
        ({"format": 9}, "has format 9"),
        ({"edits": [{"name": "x"}]}, "is damaged"),
        ({"edits": [good["edits"][0] | {"factors": {"nowhere:0": 1.0}}]}, "'nowhere:0' is not in"),
    ):
        path.write_text(json.dumps(good | change))
        again = open_subject(subject.folder)
        again.kept("target", lambda: planted_target)
        with pytest.raises(UnweaveError, match=said):
            ask(again, "edits")


def test_the_stack_is_under_the_slider_on_both_sides(subject, piece):
    ask(subject, "make-edit", name="base", factors={piece: 0.0, FIRST: 2.0})
    ask(subject, "make-edit", name="undone", factors={f"{SITE}:2": -3.0})
    ask(subject, "undo-edit")
    factors = {f"{SITE}:1": 0.0}
    base, top = edit_of(subject, {piece: 0.0, FIRST: 2.0}), edit_of(subject, factors)
    alone = ask(subject, "factor", factors=factors, text=TEXT)
    found = ask(subject, "factor", factors=factors, text=TEXT, with_edits=True)
    assert (alone.edits, found.edits) == ([], ["base"])
    before, after = plain(subject, base)[1], plain(subject, base, FactorEdit(top.pieces, top.target, "top"))[1]
    for one in found.by_label:
        assert one.before == pytest.approx(before[one.label], abs=1e-4)
        assert one.after == pytest.approx(after[one.label], abs=1e-4)
    assert [one.before for one in alone.by_label] != [one.before for one in found.by_label]
    # Another stack of the same names must not be answered from what was kept.
    ask(subject, "undo-edit")
    ask(subject, "drop-edit", name="base")
    ask(subject, "make-edit", name="base", factors={piece: 5.0, FIRST: 2.0})
    again = ask(subject, "factor", factors=factors, text=TEXT, with_edits=True)
    other = plain(subject, edit_of(subject, {piece: 5.0, FIRST: 2.0}))[1]
    assert again.by_label[0].before == pytest.approx(other[again.by_label[0].label], abs=1e-4)


def test_the_sliders_factor_takes_the_place_of_the_stacks(subject):
    ask(subject, "make-edit", name="base", factors={FIRST: 0.0, f"{SITE}:0": 2.0})
    ask(subject, "make-edit", name="gone whole", factors={f"{SITE}:1": -2.0})
    before = plain(subject, edit_of(subject, {FIRST: 0.0, f"{SITE}:0": 2.0, f"{SITE}:1": -2.0}))
    for factors in ({FIRST: -1.0, f"{SITE}:1": 3.0}, {FIRST: 1.0, f"{SITE}:1": 1.0}):
        after = plain(subject, edit_of(subject, {f"{SITE}:0": 2.0, **factors}))
        found = ask(subject, "factor", factors=factors, text=TEXT, with_edits=True)
        assert found.edits == ["base", "gone whole"]
        for one in found.by_label:
            assert one.before == pytest.approx(before[1][one.label], abs=1e-4)
            assert one.after == pytest.approx(after[1][one.label], abs=1e-4)
        for one in found.next:
            assert one.before == pytest.approx(float(before[0][one.token]), abs=1e-5)
            assert one.after == pytest.approx(float(after[0][one.token]), abs=1e-5)
    same = ask(subject, "factor", factors={FIRST: 0.0, f"{SITE}:1": -2.0}, text=TEXT, with_edits=True)
    assert same.divergence == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("piece_again", [FIRST, FIRST.replace(":1", ":01")])
def test_no_two_active_edits_set_the_same_piece(subject, piece_again):
    said = f"subcomponent '{FIRST}' has a factor in edit 'one' already, which is active: undo that one first"
    ask(subject, "make-edit", name="one", factors={f"{SITE}:0": 2.0, FIRST: 0.0})
    with pytest.raises(UnweaveError, match=said):
        ask(subject, "make-edit", name="two", factors={piece_again: 0.5})
    assert names(ask(subject, "undo-edit")) == [("one", False)]
    ask(subject, "make-edit", name="two", factors={piece_again: 0.5})
    with pytest.raises(UnweaveError, match=said.replace("'one'", "'two'")):
        ask(subject, "redo-edit", name="one")
    assert names(ask(subject, "edits")) == [("one", False), ("two", True)]


@pytest.mark.parametrize("name", ["slider", " slider", "slider "])
def test_an_edit_of_any_name_leaves_the_slider_as_it_is(subject, name):
    ask(subject, "make-edit", name=name, factors={FIRST: 0.0})
    assert ask(subject, "factor", factors={f"{SITE}:0": 0.0}, text=TEXT, with_edits=True).edits == ["slider"]


def test_typed_text_and_graphs_show_the_edited_model_when_asked(subject):
    before = ask(subject, "fires", text=TEXT)
    plainly = ask(subject, "graph", text=TEXT, nodes=6)
    ask(
        subject, "make-edit", name="strong", factors={f"model.layers.0.mlp.up_proj:{index}": -4.0 for index in range(8)}
    )
    edited = ask(subject, "fires", text=TEXT, with_edits=True)
    assert edited.edits == ["strong"]
    assert edited.features != before.features
    assert ask(subject, "fires", text=TEXT) == before
    graph = ask(subject, "graph", text=TEXT, nodes=6, with_edits=True)
    assert graph.edits == ["strong"]
    assert graph.probability != plainly.probability
    assert ask(subject, "graph", text=TEXT, nodes=6) == plainly


def test_views_in_parallel_never_see_each_others_edits(subject):
    expected = {
        factor: ask(subject, "factor", factors={FIRST: factor}, text=TEXT).model_copy(update={"seconds": 0.0})
        for factor in (0.0, -5.0)
    }
    fired = ask(subject, "fires", text=TEXT)
    wrong = []

    def slide(factor):
        for _ in range(6):
            found = ask(subject, "factor", factors={FIRST: factor}, text=TEXT)
            if found.model_copy(update={"seconds": 0.0}) != expected[factor]:
                wrong.append(factor)

    def fire():
        for _ in range(6):
            if ask(subject, "fires", text=TEXT) != fired:
                wrong.append("fires")

    threads = [threading.Thread(target=slide, args=(factor,)) for factor in expected] + [threading.Thread(target=fire)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_weights_are_put_back_when_a_view_fails(subject, monkeypatch):
    def broken(*_):
        raise UnweaveError("in the middle")

    ask(subject, "make-edit", name="one", factors={FIRST: 0.0})
    monkeypatch.setattr(Slider, "_losses", broken)
    with pytest.raises(UnweaveError, match="in the middle"):
        ask(subject, "factor", factors={f"{SITE}:0": 0.0}, text=TEXT, with_edits=True)
