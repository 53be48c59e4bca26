"""What a run wrote up, as the operation reads it."""

from __future__ import annotations

import os

import pytest
from lab_places import ANN, small_lab

from unweave.base.errors import UnweaveError
from unweave.lab.operations.registry import perform
from unweave.lab.operations.run_models import RunRequest


def told(lab, run):
    return perform(lab, ANN, "report", RunRequest(run=run)).text


def test_references_to_claims_are_filled_in_and_a_lost_one_stays(tmp_path):
    lab = small_lab(tmp_path, german=0.98, french=0.5)
    report = lab.root / "german" / "report.md"
    report.write_text("# Levels\n\nGerman {{#0}}, French {{french#0}}.\n", encoding="utf-8")
    assert told(lab, "german") == "# Levels\n\nGerman 0.970, French 0.490.\n"
    report.write_text("{{#99}} <script>", encoding="utf-8")
    assert told(lab, "german") == "{{#99}} <script>"
    assert told(lab, "french") is None


@pytest.mark.skipif(os.name != "posix", reason="symlinks as POSIX has them")
def test_f3_11_a_link_in_the_place_of_a_report_is_not_followed(tmp_path):
    lab = small_lab(tmp_path, german=0.98)
    secret = tmp_path / "secret"
    secret.write_text("a key")
    (lab.root / "german" / "report.md").symlink_to(secret)
    with pytest.raises(UnweaveError):
        told(lab, "german")
