"""Stores of features, opened: clusters by hand, evidence in one set of columns, and folders that are not whole."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from unweave.base.errors import UnweaveError
from unweave.preferences.evidence import WORD_BUCKETS
from unweave.preferences.features import PairFeatures, ReplyFeatures
from unweave.preferences.features.facts import FORMAT, FeatureFacts, ShardFacts, write_facts
from unweave.preferences.features.shards import packed_texts, shard_path, starts_of, write_shard

FACTS = FeatureFacts(
    format=FORMAT, target="t" * 16, target_name="made", layer=1, width=3, sides=("chosen", "rejected"),
    behaviours=("words", "questions"), kind="sae", dictionary="d" * 16, dictionary_name="sae",
    features={"one": 4, "two": 3}, max_prompt=9, max_reply=200, shard_rows=2,
)  # fmt: skip
TOKENS = 200


def frequencies(sides, rows=5):
    """Made firing frequencies [rows, features] by span, counts of ``TOKENS`` tokens."""
    generator = np.random.default_rng(len(sides))
    counts = {
        span: generator.integers(0, 5, (rows, 7)) * generator.integers(0, 2, (rows, 7)) for span in ("prompt", *sides)
    }
    counts[sides[0]][0] = [2, 3, 1, 0, 0, 5, 0]
    return {span: found / TOKENS for span, found in counts.items()}


def write(folder, sides=("chosen", "rejected"), facts=FACTS, rows=5):
    """A store without any target, so that every number is known."""
    facts, made = replace(facts, sides=sides), frequencies(sides, rows)
    shards = []
    for number, start in enumerate(range(0, rows, 2)):
        mine = range(start, min(start + 2, rows))
        arrays = packed_texts("ids", [f"ü{row}" for row in mine]) | {"groups": np.array([row // 2 for row in mine])}
        for span in ("prompt", *sides):
            dense = made[span][list(mine)]
            row, feature = np.nonzero(dense)
            arrays |= {
                f"{span}.starts": starts_of(np.bincount(row, minlength=len(mine)).tolist()),
                f"{span}.index": feature.astype(np.int32),
                f"{span}.freq": dense[row, feature].astype(np.float16),
                f"{span}.max": -dense[row, feature].astype(np.float16),
                f"{span}.tokens": np.full(len(mine), TOKENS, np.int32),
                f"{span}.cut": np.array([row % 2 for row in mine], np.uint8),
            }
        for at, side in enumerate(sides):
            arrays |= {
                f"{side}.state": np.array([[row, at, 0.5] for row in mine], np.float16),
                f"{side}.behaviours": np.array([[row, 10 + at] for row in mine], np.float32),
                f"{side}.words.starts": starts_of([1] * len(mine)),
                f"{side}.words.index": np.array([row + 100 * at for row in mine], np.int32),
                f"{side}.words.count": np.full(len(mine), 2, np.float32),
            }
        path = shard_path(folder, number)
        write_shard(path, arrays, facts.identity(), "")
        shards.append(ShardFacts.of(path, len(mine), sides))
    write_facts(folder, facts, shards)
    return folder


@pytest.fixture
def pairs(tmp_path):
    return PairFeatures.open(write(tmp_path / "pairs"))


@pytest.fixture
def own(tmp_path):
    return ReplyFeatures.open(write(tmp_path / "own", ("reply",)))


def test_every_row_is_read_back_in_its_place(pairs):
    wanted = frequencies(("chosen", "rejected"))
    assert len(pairs) == 5
    assert pairs.ids == [f"ü{row}" for row in range(5)]
    assert pairs.groups.tolist() == [0, 0, 1, 1, 2]
    for span, dense in wanted.items():
        assert np.allclose(pairs.frequency(span).toarray(), dense, rtol=1e-3)
        assert np.allclose(pairs.maximum(span).toarray(), -dense, rtol=1e-3)
        assert np.array_equal(pairs.fired(span).toarray(), dense > 0)
    assert pairs.states("rejected").tolist() == [[row, 1, 0.5] for row in range(5)]
    assert pairs.values("chosen").tolist() == [[row, 10] for row in range(5)]
    assert pairs.values("rejected").tolist() == [[row, 11] for row in range(5)]
    assert pairs.words("rejected").indices.tolist() == [100, 101, 102, 103, 104]
    assert pairs.words("rejected").shape == (5, WORD_BUCKETS)
    assert [pairs.feature_name(number) for number in (0, 3, 4, 6)] == ["one:0", "one:3", "two:0", "two:2"]
    assert "7 features of sae" in repr(pairs)
    for wrong in (-1, 7):
        with pytest.raises(UnweaveError, match="it has 7, from 0"):
            pairs.feature_name(wrong)
    with pytest.raises(UnweaveError, match="no side 'reply': it has chosen, rejected"):
        pairs.states("reply")


def test_a_cluster_s_value_is_the_share_of_its_features_that_fire(pairs):
    fires = pairs.frequency("chosen").toarray() > 0
    clusters = ((0, 1, 2, 3), (6, 4), (5,))
    found = pairs.cluster_values("chosen", clusters)
    assert np.allclose(found, np.stack([fires[:, list(each)].mean(1) for each in clusters], 1))
    assert found[0].tolist() == [0.75, 0.0, 1.0]
    # Two of 200 tokens are .01, in half precision a little more: the threshold is exact all the same.
    assert pairs.cluster_values("chosen", clusters, 0.01)[0].tolist() == [0.25, 0.0, 1.0]
    assert pairs.cluster_values("chosen", clusters, 0.0099)[0].tolist() == [0.5, 0.0, 1.0]
    for wrong, said in (([[]], "cluster 0 is empty"), ([[1, 7]], "feature 7 is not"), ([[-1]], "feature -1 is not")):
        with pytest.raises(UnweaveError, match=said):
            pairs.cluster_values("chosen", wrong)
    with pytest.raises(UnweaveError, match="above is 1"):
        pairs.cluster_values("chosen", clusters, 1)


def test_evidence_has_behaviours_then_clusters_of_pairs_and_of_the_target_s_own_replies(pairs, own):
    clusters = ((0, 1), (5,))
    found = pairs.evidence(own, clusters)
    assert found.names == ("words", "questions", "cluster:0", "cluster:1")
    assert len(found) == 5
    for replies, store, side in (
        (found.chosen, pairs, "chosen"),
        (found.rejected, pairs, "rejected"),
        (found.reference, own, "reply"),
    ):
        assert np.array_equal(replies.values[:, :2], store.values(side))
        assert np.array_equal(replies.values[:, 2:], store.cluster_values(side, clusters))
        assert np.array_equal(replies.embedding, store.states(side))
        assert np.array_equal(replies.tokens, store.tokens(side))
        assert (replies.words != store.words(side)).nnz == 0
        assert replies.values.dtype == replies.embedding.dtype == np.float32
    assert np.array_equal(found.groups, pairs.groups)
    assert np.array_equal(found.reference_groups, own.groups)
    some = pairs.evidence(own, names=["questions"])
    assert some.names == ("questions",)
    assert some.chosen.values.tolist() == [[10.0]] * 5
    with pytest.raises(UnweaveError, match=r"'question' was not measured.*'questions'"):
        pairs.evidence(own, names=["question"])


def test_pairs_may_be_the_reference_with_both_their_sides(pairs):
    found = pairs.evidence(pairs)
    assert np.array_equal(found.reference.values, np.concatenate([pairs.values("chosen"), pairs.values("rejected")]))
    assert found.reference_groups.tolist() == [0, 0, 1, 1, 2] * 2
    assert found.reference.words.shape == (10, WORD_BUCKETS)
    assert found.reference.tokens.shape == (10,)


@pytest.mark.parametrize(
    ("name", "value"), [("target", "x"), ("layer", 2), ("dictionary", None), ("behaviours", ("a",))]
)
def test_what_was_read_otherwise_is_no_reference(pairs, tmp_path, name, value):
    other = ReplyFeatures.open(write(tmp_path / "other", ("reply",), replace(FACTS, **{name: value})))
    with pytest.raises(UnweaveError, match=f"was read with {name} "):
        pairs.evidence(other)


def test_what_is_not_a_whole_store_is_refused(pairs, tmp_path):
    def damaged(change):
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(pairs.folder, folder)
        change(folder)
        return folder

    def rewrite(**given):
        def change(folder):
            facts = json.loads((folder / "features.json").read_text()) | given
            (folder / "features.json").write_text(json.dumps({k: v for k, v in facts.items() if v != "gone"}))

        return change

    for change, said in (
        (lambda folder: (folder / "features.json").unlink(), "its reading was interrupted"),
        (lambda folder: (folder / "shard-00001.safetensors").unlink(), "shard-00001.safetensors is not there"),
        (lambda folder: (folder / "shard-00001.safetensors").write_bytes(b"short"), "not of the"),
        (rewrite(format=9), "feature format 9"),
        (rewrite(layer="gone"), "is damaged"),
        (rewrite(shards="gone"), "is damaged"),
        (rewrite(sides=["reply"]), "holds reply, and chosen and rejected is needed"),
    ):
        with pytest.raises(UnweaveError, match=said):
            PairFeatures.open(damaged(change))
    with pytest.raises(UnweaveError, match="it is no store"):
        PairFeatures.open(tmp_path / "nothing")
    whole = damaged(lambda folder: None)
    content = bytearray((whole / "shard-00000.safetensors").read_bytes())
    content[:8] = b"\xff" * 8
    (whole / "shard-00000.safetensors").write_bytes(content)
    with pytest.raises(UnweaveError, match="is damaged"):
        _ = PairFeatures.open(whole).groups


def test_a_store_s_digest_is_of_all_it_holds(pairs, tmp_path):
    assert PairFeatures.open(write(tmp_path / "same")).digest == pairs.digest
    assert PairFeatures.open(write(tmp_path / "less", rows=4)).digest != pairs.digest
    assert sum(shard.cut["chosen"] for shard in pairs.shards) == 2
    assert sum(shard.tokens["prompt"] for shard in pairs.shards) == 5 * TOKENS
