from __future__ import annotations

import planted
import pytest
import torch

from unweave.base.errors import UnweaveError
from unweave.corpora.windows import random_groups, windows_by_label
from unweave.models.capture import capture_inputs
from unweave.read.selection import (
    FIRES,
    SHUFFLES,
    Statistics,
    TopTokens,
    label_statistics,
    most_related,
    plain_label,
    related_table,
    select,
    top_tokens,
)

NAMES = {label: label.upper() for label in planted.LABELS}


@pytest.fixture(scope="module")
def windows(planted_target, planted_text):
    return windows_by_label(planted_target.tokenizer, planted_text, "selection", count=16)


@pytest.fixture(scope="module")
def pieces(planted_decomposition):
    return planted_decomposition.site(planted.SITE)


@pytest.fixture(scope="module")
def found(planted_target, pieces, windows):
    return label_statistics(planted_target, pieces, windows)


def made(importance, labels=("de", "en", "fr"), site="h.1"):
    importance = torch.tensor(importance)
    by_window = {label: row[None].repeat(3, 1) for label, row in zip(labels, importance, strict=True)}
    return Statistics(site, labels, importance, importance, importance, by_window, 9)


def test_each_label_has_a_piece_of_its_own_that_fires_mostly_there(found):
    chosen = {label: select([found], label) for label in planted.LABELS}
    assert len({selection.index for selection in chosen.values()}) == 4
    for label, selection in chosen.items():
        assert selection.found
        assert selection.p_value == pytest.approx(1 / (SHUFFLES + 1))
        assert selection.on(label) > 0.5
        assert all(selection.on(other) < selection.on(label) / 2 for other in planted.LABELS if other != label)
        assert selection.score == pytest.approx(
            selection.on(label) - max(selection.on(other) for other in planted.LABELS if other != label)
        )


def test_labels_given_by_lot_are_not_found(planted_target, pieces, windows):
    """Five lots: each may exceed fifty shuffles by chance once in fifty-one."""
    lots = [random_groups(windows, seed) for seed in range(5)]
    assert sum(select([label_statistics(planted_target, pieces, lot)], planted.REMOVED).found for lot in lots) <= 1


def test_the_means_are_those_of_the_importance_and_activation_on_every_token_but_the_first(
    planted_target, pieces, windows, found
):
    site = planted_target.site(planted.SITE)
    with torch.no_grad():
        x = capture_inputs(planted_target, [site], torch.as_tensor(windows["qc"]))[site.name][:, 1:]
    g = pieces.importance(x)
    row = found.of("qc")
    torch.testing.assert_close(found.importance[row], g.mean((0, 1)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.firing[row], (g > FIRES).float().mean((0, 1)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.activation[row], pieces.activations(x).mean((0, 1)), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.by_window["qc"], g.mean(1), rtol=1e-4, atol=1e-6)
    assert found.tokens == 4 * 16 * 64


def test_the_batch_changes_nothing(planted_target, pieces, windows, found):
    other = label_statistics(planted_target, pieces, windows, batch=5)
    torch.testing.assert_close(other.importance, found.importance, rtol=1e-4, atol=1e-6)


def test_selectivity_is_the_distance_to_the_next_label():
    statistics = made([[0.9, 0.5, 0.1], [0.2, 0.6, 0.1], [0.4, 0.0, 0.1]])
    torch.testing.assert_close(statistics.selectivity("de"), torch.tensor([0.5, -0.1, 0.0]))
    torch.testing.assert_close(statistics.selectivity("fr"), torch.tensor([-0.5, -0.6, 0.0]))
    with pytest.raises(UnweaveError, match="label 'nl' is not in the contrast; nearest: "):
        statistics.selectivity("nl")


def test_the_best_piece_is_chosen_over_all_sites_and_so_is_the_best_of_chance():
    weak = made([[0.3, 0.1], [0.1, 0.1], [0.1, 0.1]], site="weak")
    strong = made([[0.1, 0.8], [0.1, 0.1], [0.1, 0.0]], site="strong")
    selection = select([weak, strong], "de")
    assert (selection.site, selection.index) == ("strong", 1)
    assert selection.score == pytest.approx(0.7)
    assert select([weak], "de").site == "weak"


def test_a_site_where_any_lot_of_windows_differs_hides_what_another_one_has():
    clean = made([[0.4], [0.1], [0.1]], site="clean")
    halves = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    noisy = Statistics("noisy", clean.labels, *[torch.full((3, 1), 0.5)] * 3, dict.fromkeys(clean.labels, halves), 9)
    alone, both = select([clean], "de"), select([noisy, clean], "de")
    assert both.site == "clean"
    assert len(both.null_maxima) == SHUFFLES
    assert max(both.null_maxima) > max(alone.null_maxima)
    assert not both.found
    assert select([clean], "de", seed=1).null_maxima != alone.null_maxima


def test_a_short_label_among_the_others_does_not_hide_a_long_one():
    torch.manual_seed(0)
    windows = {label: torch.rand(size, 40) for label, size in (("de", 24), ("fr", 24), ("en", 24), ("nl", 2))}
    means = torch.stack([part.mean(0) for part in windows.values()])
    statistics = Statistics("site", tuple(windows), means, means, means, windows, 1)
    long, short = (max(select([statistics], label).null_maxima) for label in ("de", "nl"))
    assert long < 0.5 * short


def test_the_most_related_are_those_with_the_largest_gain_over_the_retained_label(found):
    listed = most_related(found, "qb", "qa")
    assert len(listed) == 16
    gain = found.importance[1] - found.importance[0]
    assert listed[0] == int(gain.argmax()) == select([found], "qb").index
    assert [float(gain[index]) for index in listed] == sorted(gain.tolist(), reverse=True)[:16]
    assert len(most_related(found, "qb", "qa", count=1000)) == len(gain)


def test_the_top_tokens_of_a_labels_piece_are_words_of_that_label(planted_target, pieces, windows, found):
    chosen = {label: select([found], label).index for label in planted.LABELS}
    tokens = top_tokens(planted_target, pieces, list(chosen.values()), windows)
    languages = planted.languages()
    for label, index in chosen.items():
        vocabulary = {planted.words()[token] for token in languages[label].tokens}
        assert len(tokens[index].by_label[label]) == 6
        assert set(tokens[index].by_label[label]) <= vocabulary
        assert plain_label(found, index, tokens[index], NAMES).startswith(f"only {label.upper()}: ")


def test_the_weight_of_a_token_is_its_importance_times_its_lift(planted_target, pieces, windows, found):
    """Counted here one token at a time."""
    index = select([found], "qb").index
    site = planted_target.site(planted.SITE)
    with torch.no_grad():
        x = capture_inputs(planted_target, [site], torch.as_tensor(windows["qb"]))[site.name][:, 1:]
    g = pieces.importance(x)[..., index]
    seen, total = {}, {}
    for ids, values in zip(windows["qb"][:, 1:].tolist(), g.tolist(), strict=True):
        for token, value in zip(ids, values, strict=True):
            seen[token] = seen.get(token, 0) + 1
            total[token] = total.get(token, 0) + (value if value > FIRES else 0)
    ranked = sorted(total, key=lambda token: -total[token] * total[token] / seen[token])[:40]
    found_tokens = top_tokens(planted_target, pieces, [index], windows, count=40)[index].by_label["qb"]
    assert list(found_tokens) == planted_target.tokenizer.convert_ids_to_tokens(ranked)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (0, "only German: und, der"),
        (1, "French and German: le, la"),
        (2, "all labels: und, der"),
        (3, "rarely needed"),
    ],
)
def test_the_plain_label_says_where_a_piece_fires(column, expected):
    statistics = made([[0.9, 0.5, 0.5, 0.05], [0.1, 0.1, 0.4, 0.0], [0.2, 0.9, 0.4, 0.0]])
    tokens = TopTokens({"de": ("und", "der"), "en": ("the",), "fr": ("le", "la")})
    names = {"de": "German", "en": "English", "fr": "French"}
    assert plain_label(statistics, column, tokens, names) == expected


def test_the_related_table_says_what_each_fires_on_elsewhere(found, planted_target, pieces, windows):
    related = most_related(found, "qb", "qa", 4)
    tokens = top_tokens(planted_target, pieces, related, windows)
    table = related_table(found, related, tokens, "qb", NAMES)
    first = table.records()[0]
    assert first["subcomponent"] == f"{planted.SITE}:{related[0]}"
    assert first["label"].startswith("only QB")
    assert first["importance qb"] == pytest.approx(float(found.importance[1, related[0]]))
    everywhere = made([[0.9], [0.1], [0.6]])
    shown = TopTokens({"de": ("und",), "en": ("the",), "fr": ("le", "la")})
    (row,) = related_table(everywhere, [0], {0: shown}, "de", {}).records()
    assert row["fires on elsewhere"] == "(fr) le la"
    assert row["fires on in de"] == "und"
    (row,) = related_table(made([[0.9], [0.04], [0.03]]), [0], {0: shown}, "de", {}).records()
    assert row["fires on elsewhere"] == "hardly anything"
