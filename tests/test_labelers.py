"""What every registered labeler must do. A new one is added to ``MAKE`` and to ``LABELERS``, in one line each."""

from __future__ import annotations

import json

import pytest
from scripted_endpoint import playing

from unweave.base.endpoint import Endpoint
from unweave.base.errors import UnweaveError
from unweave.read.labels.asking import Asker
from unweave.read.labels.evidence import Evidence, EvidenceSource
from unweave.read.labels.labeler import LABELERS, find_labeler
from unweave.read.labels.predicate import from_json

ANSWER = json.dumps({"writes": "some words", "reads": "other words", "confidence": "medium"})


def _with_model(made, tmp_path):
    with playing(ANSWER) as play:
        yield made(Asker(Endpoint(play.url, "model"), cache=tmp_path / "cache"))


def _alone(made, _):
    yield made()


MAKE = {"statistical": _alone, "language-model": _with_model}


@pytest.fixture(params=sorted(LABELERS))
def labeler(request, tmp_path, monkeypatch):
    for name in ("UNWEAVE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield from MAKE[request.param](find_labeler(request.param), tmp_path)


@pytest.fixture(scope="module")
def source(features_harvest):
    return EvidenceSource(features_harvest)


def test_labels_are_short_plain_and_the_same_every_time(labeler, source):
    for row in (0, 5, 9, 14):
        label = labeler.label(source.of(row))
        assert label == labeler.label(source.of(row))
        assert label.confidence in ("clear", "weak", "unclear")
        assert label.text.strip()
        assert label.text.isprintable()
        assert len(label.text) < 400
        assert label.text.startswith("unclear") == (label.confidence == "unclear" or not label.reads)
        assert label.reason
        if label.predicate is not None:
            json.dumps(label.predicate)
            from_json(label.predicate, source.text.attributes)


def test_a_labeler_is_found_by_its_name_and_says_what_it_depends_on(labeler):
    assert find_labeler(labeler.name) is type(labeler)
    json.dumps([labeler.settings(), labeler.spent()])


def test_an_unknown_labeler_is_refused_with_the_nearest():
    with pytest.raises(UnweaveError, match="nearest: 'statistical'"):
        find_labeler("statistcal")


def test_evidence_has_nothing_held_out_to_look_at():
    assert not any("held" in name or "score" in name for name in Evidence.__dataclass_fields__)
