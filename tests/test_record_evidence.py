from __future__ import annotations

import json
import shutil

import pytest
from audited import LEVELS, finished, one_seed

from unweave.base.errors import UnweaveError
from unweave.record.aggregate import Aggregate
from unweave.record.cited_seeds import cited_amiss
from unweave.record.evidence import Evidence, check_evidence, cite, cited_runs, is_evidence
from unweave.record.run import Run
from unweave.record.seal import read_seal, seal_run
from unweave.record.table import Table


@pytest.fixture
def sources(tmp_path):
    """Two arms of three seeds, a run each."""
    return [
        one_seed(tmp_path, seed, level + 0.1 * (arm == "b"), arm)
        for arm in ("a", "b")
        for seed, level in enumerate((0.5, 0.6, 0.7))
    ]


@pytest.fixture
def comparing(tmp_path, sources):
    """A run that cites them all."""
    run = Run.create("comparison", {}, root=tmp_path, name="comparing")
    cited = Evidence.from_runs([(source, {"arm": source.config["arm"]}) for source in sources], "cells", "level")
    run.save_table(cited.table())
    return run


def verdicts(run, **options):
    return {(one.run, one.verdict): one.reason for one in check_evidence(run, run.path.parent, **options)}


def held(run, **options):
    return {one.verdict for one in check_evidence(run, run.path.parent, **options)} == {"held"}


def test_numbers_of_many_runs_hold_to_the_bytes(comparing, sources):
    table = comparing.load_table("evidence")
    assert is_evidence(table)
    assert table.columns == ("seed", "arm", "run", "table", "sha256", "row", "column", "value")
    assert table.column("value") == (0.5, 0.6, 0.7, 0.6, 0.7, 0.7999999999999999)
    assert table.column("row")[1] == '{"seed": 1}'
    assert cited_runs(comparing) == sorted(source.id for source in sources)
    assert held(comparing)


def test_a_run_with_a_row_for_each_seed_is_cited_row_by_row(tmp_path):
    source = finished(tmp_path)
    cited = Evidence.from_runs([source], "cells", "level", {"method": "factor"}, arm="x")
    table = cited.table()
    assert table.column("seed") == tuple(LEVELS)
    assert json.loads(str(table.column("row")[2])) == {"method": "factor", "seed": 2}
    both = cited + Evidence.from_runs([source], "summary", "level", arm="median")
    assert both.table("both").column("arm") == ("x",) * 5 + ("median",)


def test_a_metric_can_be_cited(tmp_path):
    source = finished(tmp_path)
    run = Run.create("comparison", {}, root=tmp_path, name="comparing")
    cited = [Evidence.from_runs([source], "metrics:last", "loss", {"seed": seed}) for seed in LEVELS]
    run.save_table(sum(cited, Evidence()).table())
    assert cited[4].records[0]["value"] == 1 - LEVELS[4]
    assert held(run)
    assert cite(source, "metrics:max", "loss", {})["value"] == pytest.approx(1 - 0.9125)


@pytest.mark.parametrize(
    ("table", "column", "row", "reason"),
    [
        ("cells", "level", {"seed": 3}, "cites seeds 3, and run 'one' has seeds 0, 1, 2, 3, 4 of it"),
        ("cells", "level", {"method": "factor", "seed": [1, 3]}, "cites seeds 1, 3, and"),
        ("cells", "level", {"level": 0.971}, "by 'level', the number that is claimed"),
        ("metrics:last", "loss", {"seed": 3}, "cites seeds 3, and"),
        ("metrics:last", "loss", {}, "cites seeds 4, and"),
    ],
)
def test_some_seeds_of_a_run_are_no_evidence(tmp_path, table, column, row, reason):
    source = finished(tmp_path)
    run = Run.create("comparison", {}, root=tmp_path, name="comparing")
    run.save_table(Evidence.from_runs([source], table, column, row).table())
    found = check_evidence(run, tmp_path)
    assert {one.verdict for one in found} == {"failed"}
    assert reason in found[0].reason


def test_seeds_that_another_arm_has_are_left_out_of_this_one(tmp_path):
    """Every seed is cited, but the good ones under the name that is claimed."""
    source = finished(tmp_path)
    run = Run.create("comparison", {}, root=tmp_path, name="comparing")
    cited = Evidence.from_runs([source], "cells", "level", {"seed": [0, 3]}, arm="factor")
    cited += Evidence.from_runs([source], "cells", "level", {"seed": [1, 2, 4]}, arm="other")
    run.save_table(cited.table())
    assert {one.verdict for one in check_evidence(run, tmp_path)} == {"failed"}


def test_a_row_cited_by_its_number_needs_those_of_the_other_seeds(tmp_path):
    source = finished(tmp_path)
    run = Run.create("comparison", {}, root=tmp_path, name="comparing")
    records = [{**record, "row": str(seed)} for seed, record in enumerate(_all_seeds(source).records)]
    run.save_table(Table.from_records("evidence", records))
    assert held(run)
    run.save_table(Table.from_records("evidence", records[3:4]))
    assert not held(run)


@pytest.fixture
def grid(tmp_path):
    """A run of two settings and three seeds, and one that may cite it."""
    source = Run.create("removal", {"tokens": [4, 8]}, root=tmp_path, name="grid")
    rows = tuple((tokens, seed, tokens / 10 + seed / 100) for tokens in (4, 8) for seed in range(3))
    source.save_table(Table("raw", ("tokens", "seed", "acc"), rows))
    source.finish()
    return source, Run.create("comparison", {}, root=tmp_path, name="comparing")


def test_a_text_that_differs_by_seed_tells_no_numbers_apart(grid):
    source, run = grid
    records = [
        cite(source, "raw", "acc", {"tokens": 4, "seed": seed}, what=f"acc of seed {seed}", tokens=4, seed=seed)
        for seed in range(3)
    ]
    run.save_table(Evidence(tuple(records)).table())
    run.claim("The mean is {value}.", over=Aggregate("evidence", "value", {"tokens": 4}, "mean"))
    assert held(run)
    run.save_table(Evidence(tuple(records[:2])).table())
    assert not held(run)


def test_seeds_are_not_chosen_by_a_column_that_a_claim_selects_by(grid):
    """All seeds are cited, and the good ones lie in the group that is claimed."""
    source, run = grid
    records = [
        cite(source, "raw", "acc", {"tokens": 4, "seed": seed}, group=int(seed == 1), seed=seed) for seed in range(3)
    ]
    run.save_table(Evidence(tuple(records)).table())
    assert held(run)
    run.claim("The mean is {value}.", over=Aggregate("evidence", "value", {"group": 0}, "mean"))
    assert {one.verdict for one in check_evidence(run, run.path.parent)} == {"failed"}


def test_a_setting_tells_apart_the_arms_of_rows_cited_by_their_numbers(grid):
    source, run = grid
    digest, table = source.load_table("raw").sha256, source.load_table("raw")
    records = [
        {"run": "grid", "table": "raw", "sha256": digest, "row": str(row), "column": "acc", "value": table.rows[row][2]}
        for row in range(6)
    ]
    run.save_table(Table.from_records("evidence", records[:3]))
    assert held(run)
    run.save_table(Table.from_records("evidence", [*records[:2], records[5]]))
    assert {one.verdict for one in check_evidence(run, run.path.parent)} == {"failed"}


def logged(root):
    """A source with a metric that was no number at first."""
    source = Run.create("training", {}, root=root, name="logged")
    for loss in (float("nan"), None, 0.5, 0.6):
        source.log(loss=loss)
    source.finish()
    return cite(source, "metrics:last", "loss", {})


def test_a_logged_value_that_is_no_number_hides_nothing(tmp_path, comparing):
    table = comparing.load_table("evidence")
    records = [{**record, "value": 0.99} if record["run"] == "a-1" else record for record in table.records()]
    comparing.save_table(Table.from_records("evidence", [logged(tmp_path), *records], table.columns))
    found = verdicts(comparing)
    assert found[("logged", "held")]
    assert found[("a-1", "failed")].endswith("the evidence says 0.99")


def test_a_source_whose_seeds_cannot_be_told_is_not_checkable_alone(comparing, monkeypatch):
    def amiss(source, records, about):
        if source.id == "a-0":
            raise UnweaveError("it is in pieces")
        return {}

    monkeypatch.setattr("unweave.record.evidence.cited_amiss", amiss)
    found = verdicts(comparing)
    assert found.pop(("a-0", "not checkable")) == "which seeds run 'a-0' has of it cannot be told: it is in pieces"
    assert {verdict for _, verdict in found} == {"held"}


def test_a_sources_tables_and_metrics_are_read_once_to_tell_its_seeds(grid, monkeypatch):
    source, read = grid[0], []
    records = [cite(source, "raw", "acc", {"tokens": 4, "seed": seed}) for seed in range(3)]
    load = Run.load_table
    monkeypatch.setattr(Run, "load_table", lambda run, name: read.append(name) or load(run, name))
    assert cited_amiss(source, records, []) == {}
    assert read == ["raw"]


def _all_seeds(source):
    return Evidence.from_runs([source], "cells", "level")


def test_a_source_edited_sealed_again_or_gone_is_found(comparing, sources):
    first, second, third = sources[:3]
    seals = {source.id: str(read_seal(source.path)) for source in sources}
    table = second.path / "tables" / "cells.csv"
    table.write_bytes(table.read_bytes().replace(b"0.6", b"0.9"))
    (third.path / "seal.json").unlink()
    third.save_table(Table("cells", ("seed", "level"), ((2, 0.99),)))
    seal_run(third)
    shutil.rmtree(first.path)
    found = verdicts(comparing, seals=seals)
    assert found[(first.id, "not checkable")] == f"there is no run {first.id!r} here"
    assert "seal of run" in found[(second.id, "failed")]
    assert "tables/cells.csv was changed" in found[(second.id, "failed")]
    assert "another one than when this run was first seen" in found[(third.id, "failed")]
    assert "has other bytes than were cited" in verdicts(comparing)[(third.id, "failed")]
    assert sum(verdict == "held" for _, verdict in found) == 3


def evidence_of(comparing, number, **changes):
    table = comparing.load_table("evidence")
    records = table.records()
    records[number] |= changes
    comparing.save_table(Table.from_records("evidence", records, table.columns))
    return check_evidence(comparing, comparing.path.parent)[number]


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"value": 0.65}, "failed", "holds 0.6 there, the evidence says 0.65"),
        ({"sha256": "0" * 64}, "failed", "has other bytes than were cited"),
        ({"column": "seed"}, "failed", "holds 1 there, the evidence says 0.6"),
        ({"column": "loss"}, "failed", "has no column 'loss'"),
        ({"row": '{"seed": 2}'}, "failed", "holds|rows of"),
        ({"row": "{seed"}, "failed", "selects no row"),
        ({"row": "7"}, "failed", "selects no row"),
        ({"row": "0"}, "held", ""),
        ({"table": "summary"}, "failed", "there is no table 'summary'"),
        ({"run": "nobody"}, "not checkable", "there is no run 'nobody' here"),
        ({"run": "../a-1"}, "not checkable", "run name"),
        ({"run": "/etc"}, "not checkable", "run name"),
    ],
)
def test_a_row_of_evidence_that_is_not_true_is_found(comparing, changes, verdict, words):
    found = evidence_of(comparing, 1, **changes)
    assert found.verdict == verdict, found.reason
    assert not words or any(word in found.reason for word in words.split("|"))


def test_a_source_that_is_not_finished_or_is_invalid_proves_nothing(tmp_path, comparing, sources):
    running = Run.create("removal", {}, root=tmp_path, name="running")
    running.save_table(Table("cells", ("seed", "level"), ((0, 0.5),)))
    record = cite(running, "cells", "level", {"seed": 0}, arm="a", seed=9)
    table = comparing.load_table("evidence")
    comparing.save_table(Table.from_records("evidence", [*table.records(), record], table.columns))
    found = verdicts(comparing, invalid={sources[0].id: "its seal is broken"})
    assert "is running, so its numbers may still change" in found[("running", "not checkable")]
    assert found[(sources[0].id, "failed")] == f"run {sources[0].id!r} is invalid: its seal is broken"


def test_a_link_in_the_place_of_a_run_is_not_followed(comparing, sources, tmp_path):
    moved = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    shutil.move(sources[0].path, moved)
    sources[0].path.symlink_to(moved)
    assert ("a-0", "not checkable") in verdicts(comparing)


def test_what_cannot_be_cited_is_refused(sources):
    source = sources[0]
    with pytest.raises(UnweaveError, match="nothing to cite"):
        Evidence.from_runs([source], "cells", "level", {"seed": 7})
    with pytest.raises(UnweaveError, match="cannot hold 'run' about a number"):
        cite(source, "cells", "level", {"seed": 0}, run="x")
    with pytest.raises(UnweaveError, match="cites nothing"):
        Evidence().table()
