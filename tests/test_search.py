"""Search: by words, token, site, contrast, likeness and co-firing, alone and together, and from the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from small_harvest import SmallHarvest, label

from unweave.base.errors import UnweaveError
from unweave.cli import main
from unweave.read.directions import Directions
from unweave.read.feature_labels import FeatureLabels
from unweave.read.feature_table import FeatureTable
from unweave.read.search import SearchIndex, mean_importance
from unweave.read.view_models import SearchRequest
from unweave.read.word_index import WordIndex, words_of


def index(*labels, directions=None):
    harvest = SmallHarvest()
    table = FeatureTable(harvest, FeatureLabels.of(len(harvest), labels))
    return SearchIndex(table, None if directions is None else lambda: directions)


def found(where, **asked):
    return [hit.row for hit in where.search(SearchRequest(**asked)).hits]


def test_a_language_is_found_by_its_name_the_most_selective_feature_first():
    # Row 1 has the shorter label, the better score and the lower row number would not help row 0 either.
    labelled = index(
        label(1, "German", detection=0.99),
        label(0, "words of German text, and a comma or two", "weak", detection=0.6),
        label(4, "French text"),
        label(2, "capital letters"),
    )
    assert found(labelled, words="German") == [0, 1]
    assert found(labelled, words="german text") == [0, 1, 4]
    hits = labelled.search(SearchRequest(words="German")).hits
    assert [hit.match for hit in hits] == [1.0, 1.0]
    assert [hit.score for hit in hits] == pytest.approx([(1 + 0.05 * 0.8) / 1.05, (1 + 0.05 * 0.4) / 1.05])
    assert hits[0].why == "its label has 'german'; importance on de +0.800 against the next label"


def test_without_labels_a_language_is_found_by_statistics_alone():
    bare = index()
    assert found(bare, words="German") == [0, 1]
    assert found(bare, words="french") == [4]
    assert found(bare, words="English") == []
    assert found(bare, words="de") == []  # a code may be a word


def test_a_label_that_says_so_comes_before_statistics_that_do():
    assert found(index(label(5, "after German quotation marks")), words="German") == [5, 0, 1]


def test_rare_words_count_more_and_scores_decide_between_equal_matches():
    labelled = index(
        label(0, "comma after a noun", detection=0.7),
        label(1, "comma after a noun", detection=0.9),
        label(2, "noun"),
        label(4, "semicolon noun"),
        label(5, "nothing at all"),
    )
    assert found(labelled, words="comma noun")[:2] == [1, 0]
    assert found(labelled, words="commas") == [1, 0]
    assert found(labelled, words="semi") == [4]  # the beginning of a word that nobody has whole
    assert found(labelled, words="noun semicolon")[0] == 4


def test_a_feature_is_found_by_its_name():
    assert found(index(), words="down") == [4, 5]


def test_a_token_is_found_by_how_much_of_both_sides_it_makes_up():
    hits = index().search(SearchRequest(token=" der")).hits  # noqa: S106
    assert [hit.row for hit in hits] == [0, 1]
    assert hits[0].token == pytest.approx(18 / 27)
    assert hits[1].token == pytest.approx(10 / 30)  # firings on tokens that were not told apart count
    precision, recall = 18 / 20, 18 / 27
    assert hits[0].score == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_token_that_is_not_written_so_is_looked_for_without_space_and_case():
    where = index()
    assert where.tokens.ids("Der").tolist() == [2]
    assert where.tokens.ids("der").tolist() == [0, 1, 2]
    assert where.tokens.ids("DER").tolist() == [0, 1, 2]
    with pytest.raises(UnweaveError, match="token 'cat' is not in the vocabulary"):
        where.search(SearchRequest(token="cat"))  # noqa: S106


def test_a_contrast_gives_what_differs_and_nothing_where_nothing_does():
    where = index()
    assert found(where, contrast="de") == [0, 1]
    assert found(where, contrast="French:en") == [4]
    nothing = where.search(SearchRequest(contrast="en"))
    assert nothing.hits == []
    assert "than shuffled windows give" in nothing.note


def test_mean_importance_by_window_is_what_a_loop_gives():
    pool = SmallHarvest().pool
    got = mean_importance(pool, 6)
    row, position, importance, _ = pool.entries()
    expected = np.zeros((60, 6))
    for one in zip(row, position, importance, strict=True):
        expected[one[1] // 4, one[0]] += one[2] / 4
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def directions(signed=False):
    reads = torch.tensor([[1.0, 0, 0], [-2.0, 0.2, 0], [0, 3.0, 0], [0.6, 0.8, 0]])
    writes = torch.eye(4)[:, :2]
    return Directions(
        [(reads, writes), (torch.tensor([[1.0, 1], [1, 0]]), torch.tensor([[1.0, 0, 0], [0, 0, 2]]))], signed
    )


def test_likeness_is_the_cosine_among_places_of_one_width():
    where = index(directions=directions())
    hits = where.search(SearchRequest(like="h.0.up:0")).hits
    assert [hit.row for hit in hits] == [1, 3]  # row 2 is at right angles, and 4 and 5 are of another width
    assert hits[0].cosine == pytest.approx(-2 / np.sqrt(4.04))
    assert hits[1].cosine == pytest.approx(0.6)
    # An SAE's latent that points the other way is not like it.
    assert found(index(directions=directions(signed=True)), like="h.0.up:0") == [3]
    assert found(where, like="h.1.down:0") == [5]
    assert found(where, like="h.0.up:0", by="write") == []
    assert found(where, like="h.1.down:0", by="write") == []


def test_directions_of_equal_width_are_compared_across_groups():
    groups = [(torch.eye(2), torch.eye(2)), (torch.tensor([[0.0, 5.0]]), torch.eye(2)[:1])]
    assert Directions(groups, signed=True).nearest(2, "read", 5) == [(1, 1.0), (0, 0.0)]
    assert Directions(groups, signed=True).nearest(2, "write", 1) == [(0, 1.0)]


def test_co_firing_gives_partners():
    hits = index().search(SearchRequest(co_fires="h.0.up:0")).hits
    assert [(hit.row, hit.jaccard) for hit in hits] == [(1, 0.5), (2, 0.1)]
    assert "20 tokens" in hits[0].why


def test_criteria_together_must_all_hold():
    where = index(label(1, "comma"), label(2, "comma"), label(4, "comma"))
    assert found(where, words="comma", contrast="de") == [1]
    assert found(where, words="comma", site="h.1.*") == [4]
    hits = where.search(SearchRequest(co_fires="h.0.up:0", token=" and")).hits  # noqa: S106
    assert [hit.row for hit in hits] == [1, 2]
    assert hits[0].score == pytest.approx(0.5 * 0.25)  # scores are multiplied
    nothing = where.search(SearchRequest(words="comma", contrast="fr", site="h.0.*"))
    assert nothing.hits == []
    assert nothing.note == "no feature meets all of these together"


def test_a_site_alone_lists_its_features_by_density():
    assert found(index(), site="h.0.*") == [2, 0, 1, 3]
    with pytest.raises(UnweaveError, match=r"group 'h.7.\*' matches nothing"):
        found(index(), site="h.7.*")


def test_limit_and_total():
    answer = index().search(SearchRequest(site="*", limit=2))
    assert (answer.total, len(answer.hits)) == (6, 2)


def test_nothing_asked_is_refused():
    with pytest.raises(UnweaveError, match="nothing to search for"):
        index().search(SearchRequest(words="  "))


def test_words_fold_case_and_plurals():
    assert words_of("Commas, CLASSES of glass; it's") == ["comma", "classe", "of", "glass", "it", "s"]


def test_a_word_counts_by_the_first_text_that_has_it():
    where = WordIndex([("red fox", "dog"), ("dog", "dog")], (1.0, 0.25))
    assert where.holds("dog").tolist() == [0.25, 1.0]
    assert where.weight("fox") > where.weight("dog") > 0


def run(capsys, *arguments):
    code = main(["search", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_the_command_finds_the_planted_language(capsys, planted_harvest):
    code, answer = run(capsys, "qb", "--harvest", str(planted_harvest), "--limit", "1")
    assert code == 0
    hit = answer["hits"][0]
    assert hit["name"].startswith("model.layers.1.self_attn.o_proj:")
    assert hit["why"].startswith("importance on qb +")
    assert answer["request"]["words"] == "qb"


def test_the_command_says_what_is_like_a_feature_without_its_target(capsys, planted_harvest, monkeypatch):
    monkeypatch.setattr("unweave.models.load.load_target", lambda *_, **__: pytest.fail("the target was loaded"))
    name = "model.layers.1.self_attn.o_proj:0"
    code, answer = run(capsys, "--like", name, "--harvest", str(planted_harvest), "--by", "write")
    assert code == 0
    assert all(hit["cosine"] is not None and hit["name"] != name for hit in answer["hits"])


def test_finding_nothing_is_a_result_with_its_own_exit_code(capsys, planted_harvest):
    code, answer = run(capsys, "zebra", "--harvest", str(planted_harvest))
    assert code == 1
    assert answer["hits"] == []
    assert answer["note"] == "no label has a word of 'zebra'"


def test_the_harvest_beside_a_decomposition_is_found(capsys, tmp_path):
    code, answer = run(capsys, "x", "--decomposition", str(tmp_path / "one.decomp"))
    assert code == 2
    assert answer["error"].startswith(f"{tmp_path / 'one.decomp.harvest'} is not a harvest")


def test_a_limit_that_is_too_large_is_refused_in_one_line(capsys, planted_harvest):
    code, answer = run(capsys, "x", "--harvest", str(planted_harvest), "--limit", "100000")
    assert code == 2
    assert answer["error"] == "limit is 100000: input should be less than or equal to 500"
