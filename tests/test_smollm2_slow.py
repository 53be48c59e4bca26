"""Scientific checks on the real model, minutes each: ``make slow``. Last results: docs/results/checks.md."""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np
import pytest

from unweave.base.errors import NothingFound, UnweaveError
from unweave.corpora.bundled import parallel
from unweave.corpora.text import PARTS, Corpus
from unweave.decompose.decomposition import Decomposition, bundled
from unweave.edit.export import export_merged, export_peft
from unweave.edit.store import load_edit
from unweave.models.load import load_target
from unweave.models.target import weights_hash
from unweave.read.site_scan import scan
from unweave.record.run import Run
from unweave.studies.remove_language import RemoveLanguage, remove_language

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def smollm2():
    try:
        return load_target("smollm2", device="cpu")
    except UnweaveError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def run(smollm2, tmp_path_factory):
    """German removed with one factor: five seeds of four tokens, on the bundled decomposition."""
    config = RemoveLanguage(seeds=5, methods=("factor",), left_out=(), strict=False, device="cpu")
    with Run.create("remove-language", {"target": "smollm2", "language": "de"}, tmp_path_factory.mktemp("runs")) as run:
        remove_language(config, run)
    return run


def test_german_goes_and_the_others_stay(run):
    seeds = run.load_table("seeds").records()
    # What four tokens, and books that differ from one another, leave open is told in docs/protocol.md.
    assert 0.9 <= statistics.median(row["level"] for row in seeds) <= 1.15
    assert all(0.85 <= row["level"] <= 1.3 for row in seeds), "a seed ran past or was left at the start"
    assert max(row["change en"] for row in seeds) <= 0.01
    for label in ("fr", "es", "it"):
        assert statistics.median(row[f"change {label}"] for row in seeds) <= 0.03


@pytest.mark.xfail(reason="the bar on the level: measured 1.09 ln V on these windows, 1.06 on text of the same kind")
def test_german_stops_at_the_level_of_a_uniform_guess(run):
    assert 0.95 <= statistics.median(row["level"] for row in run.load_table("seeds").records()) <= 1.05


def test_what_is_exported_agrees_and_the_target_is_left_as_it_was(run, smollm2, tmp_path):
    edit = load_edit(next((run.path / "edits").glob("factor-4-0*")))
    for export, folder in ((export_peft, "peft"), (export_merged, "merged")):
        report = export(smollm2, [edit], tmp_path / folder)
        assert report.max_logit_difference <= 1e-4 < report.effect
    assert weights_hash(smollm2.module) == smollm2.identity.weights


def test_random_weights_are_refused_because_there_is_nothing_to_remove(smollm2, tmp_path):
    module = type(smollm2.module)(smollm2.module.config)
    folder = tmp_path / "random"
    module.save_pretrained(folder)
    smollm2.tokenizer.save_pretrained(folder)
    digest = load_target(str(folder), device="cpu").identity.digest
    replace(Decomposition.load(bundled("smollm2")), target=digest).save(tmp_path / "random.decomp")
    config = RemoveLanguage(target=str(folder), decomposition=str(tmp_path / "random.decomp"), device="cpu")
    with pytest.raises(UnweaveError, match=r"does not know 'de': its cross-entropy there is 1\d\.\d+ nats, above 0.8"):
        remove_language(config)


def test_labels_dealt_at_random_find_nothing():
    with pytest.raises(NothingFound, match="nothing was found for 'de'"):
        remove_language(RemoveLanguage(shuffle=True, device="cpu"))


def test_a_scan_between_two_halves_of_one_language_finds_nothing(smollm2):
    text = parallel()
    halves: dict[str, dict[str, tuple[str, ...]]] = {}
    for part in PARTS:
        lines = [line for document in text.documents(part, "de") for line in document.split("\n")]
        order = np.random.default_rng(0).permutation(len(lines))
        halves[part] = {
            name: ("\n".join(lines[index] for index in order[start::2]),) for start, name in enumerate(("one", "two"))
        }
    found = scan(smollm2, Corpus("halves", halves), "one")
    assert not found.found
    assert scan(smollm2, text, "de").found
