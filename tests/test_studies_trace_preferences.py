"""``trace-preferences``: rows behind a change, and trainings without them, on a bundled target."""

from __future__ import annotations

import made_pairs
import numpy as np
import pytest

from unweave.base.configs import plain_config
from unweave.base.errors import NothingFound, UnweaveError
from unweave.models.load import load_target
from unweave.preferences.evidence import Prediction
from unweave.preferences.held_out import SHARE, place_of
from unweave.preferences.truth.bench import TruthBench
from unweave.record.audit import audit_run
from unweave.record.run import Run
from unweave.studies.preference_forecast import Forecast
from unweave.studies.trace_preferences import TracePreferences, trace_preferences
from unweave.studies.trace_retraining import arms_of


@pytest.fixture(scope="module")
def target():
    return load_target("polyglot", device="cpu")


def config(data, **changes):
    small = {"target": "polyglot", "features": "none", "questions": 30, "samples": 2, "most": 6, "gradient": False}
    return TracePreferences(data=str(data), device="cpu", **{**small, **changes})


def started(folder, asked):
    return Run.create("trace-preferences", plain_config(asked), folder, name="run")


def test_every_row_has_its_share_and_those_with_addresses_are_the_first(tmp_path, target):
    data = made_pairs.write(tmp_path / "pairs.jsonl", made_pairs.lines(40))
    asked = config(data, column="urls")
    with started(tmp_path, asked) as run:
        found = trace_preferences(asked, run, target)
    shares = run.load_table("shares").records()
    assert sum(row["share"] for row in shares) == pytest.approx(found.change, rel=1e-5)
    assert {row["id"] for row in shares[:5]} == {f"r{number}" for number in range(0, 40, 8)}
    assert sorted(row["row"] for row in shares) == list(range(40))
    cumulative = [row["cumulative"] for row in shares]
    assert cumulative == sorted(cumulative)
    assert cumulative[4] == pytest.approx(1)  # nothing else has an address
    assert set(found.rows) <= {row["id"] for row in shares[:5]}
    assert len(found.rows) == 3
    concentration = run.load_table("concentration").records()
    assert max(row["held"] for row in concentration if row["order"] == "at random") == 1
    assert run.load_table("leave-out").column("words") == ("all",)
    assert run.load_table("leave-out").column("change without") == (None,)  # without all rows there is nothing
    assert run.claims()[0].value == 3
    assert not audit_run(run)


def test_the_column_is_the_first_that_stands_and_of_noise_there_is_none(tmp_path, target):
    data = made_pairs.write(tmp_path / "pairs.jsonl", made_pairs.lines(32))
    assert trace_preferences(config(data), target=target).column in ("exclamations", "exclamation-rate")
    null = made_pairs.write(tmp_path / "null.jsonl", made_pairs.lines(32, shuffled=True))
    with pytest.raises(NothingFound, match="name a column"):
        trace_preferences(config(null), target=target)
    assert trace_preferences(config(null, column="words"), target=target).column == "words"
    with pytest.raises(UnweaveError, match="nearest: 'exclamations'"):
        trace_preferences(config(data, column="exclamation"), target=target)


@pytest.mark.parametrize(
    "wrong", [{"fractions": ()}, {"fractions": (0.0,)}, {"fractions": (0.2, 0.1)}, {"seeds": 0}, {"first_seed": -1}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UnweaveError, match=next(iter(wrong))):
        config("x.jsonl", **wrong)


def test_arms_leave_out_the_strongest_rows_and_as_many_at_random():
    shares = np.linspace(-1, 2, 40, dtype=np.float32)[:, None]
    one = np.array([0.5], np.float32)
    found = Forecast((Prediction("mean-difference", ("x",), one, one, one, shares),), None, None, {})
    arms = arms_of(found, "x", (0.1, 0.5), [3, 4])
    assert [arm.name for arm in arms] == [
        "all rows",
        "without the top 10 %",
        "without a random 10 %",
        "without the top 50 %",
        "without a random 50 %",
    ]
    assert len({arm.training(seed) for arm in arms for seed in (3, 4)}) == 10
    assert arms[1].removed[3].tolist() == arms[1].removed[4].tolist() == [39, 38, 37, 36]
    assert len(arms[2].removed[3]) == 4
    assert arms[4].removed[3].tolist() != arms[4].removed[4].tolist()


def test_retraining_is_on_rows_of_no_question_and_is_seen_on_those(tmp_path, target, monkeypatch):
    """The trainings themselves are stood in for: which rows each gets, and what is made of its replies."""
    data = made_pairs.write(tmp_path / "pairs.jsonl", made_pairs.lines(60))
    asked = config(data, column="words", retrain=True, seeds=3, fractions=(0.1,))
    trained = {}

    def outcome(self, name, rows, seed, held_out=()):
        from unweave.preferences.truth.answers import Answered
        from unweave.preferences.truth.bench import Outcome
        from unweave.preferences.truth.sampling import Reply
        from unweave.stats.bootstrap import Interval

        trained[name] = ({row.prompt for row in rows}, {pair.prompt for pair in held_out}, len(rows))
        # All rows add two words, all but the top one, all but random ones two again.
        more = " more" * (1 if name.startswith("top") else 2)
        after = tuple(
            Answered(each.question, tuple(Reply((), reply.text + more, reply.ended) for reply in each.replies))
            for each in self.before
        )
        none = Interval(0.5, 0.4, 0.6, 3)
        return Outcome(after, none, none, 2.0, (), 10, 1.0)

    monkeypatch.setattr(TruthBench, "rows", lambda self, pairs: [_Row(pair.prompt) for pair in pairs])
    monkeypatch.setattr(TruthBench, "outcome", outcome)
    with started(tmp_path, asked) as run:
        found = trace_preferences(asked, run, target)
    assert len(trained) == 9
    from unweave.corpora.pairs import open_pairs

    held = {pair.prompt for pair in open_pairs(data) if place_of(pair) < SHARE}
    assert len(held) > 3
    for name, (prompts, held_out, count) in trained.items():
        assert not prompts & held, name
        assert held_out == held
        kept = 60 - len(held)
        assert count == (kept if name.startswith("all") else kept - round(0.1 * kept))
    assert {row["row"] for row in run.load_table("shares").records()} == {
        row for row, pair in enumerate(open_pairs(data)) if pair.prompt not in held
    }
    undoing = {row["training"]: row for row in found.undoing}
    top, random = undoing["without the top 10 %"], undoing["without a random 10 %"]
    assert top["undone"] == pytest.approx(0.5, abs=1e-6)
    assert top["undone low"] == pytest.approx(0.5, abs=1e-6) == top["undone high"]
    assert random["undone"] == pytest.approx(0, abs=1e-6)
    retrainings = run.load_table("retrainings").records()
    assert {row["seed"] for row in retrainings} == {0, 1, 2} == set(run.state()["seeds"])
    assert all(row["undone"] == pytest.approx(0.5) for row in retrainings if row["order"] == "top")
    assert [claim.over is not None for claim in run.claims()] == [True, True, True]
    assert not audit_run(run)


class _Row:
    def __init__(self, prompt):
        self.prompt = prompt


def test_too_few_prompts_to_hold_some_out_are_refused(tmp_path, target):
    kept = [row for row in made_pairs.lines(60) if _place(row) >= SHARE][:12]
    data = made_pairs.write(tmp_path / "pairs.jsonl", kept)
    with pytest.raises(UnweaveError, match="0 of its prompts among the held-out"):
        trace_preferences(config(data, column="words", retrain=True), target=target)


def _place(row):
    from unweave.corpora.pairs.value import PreferencePair, Turn

    return place_of(PreferencePair("x", (Turn("user", row["prompt"]),), "", ""))


@pytest.mark.slow
def test_trainings_are_kept_and_not_repeated(tmp_path, target, monkeypatch):
    data = made_pairs.write(tmp_path / "pairs.jsonl", made_pairs.lines(48))
    asked = config(
        data,
        column="exclamations",
        retrain=True,
        seeds=1,
        fractions=(0.1,),
        epochs=1,
        learning_rate=5e-3,
        batch=4,
        rank=2,
    )
    with started(tmp_path, asked) as run:
        found = trace_preferences(asked, run, target)
    monkeypatch.setattr("unweave.preferences.truth.bench.train_dpo", None)
    other = Run.create("trace-preferences", plain_config(asked), tmp_path, name="again")
    (run.path / "survey").rename(other.path / "survey")
    (run.path / "trainings").rename(other.path / "trainings")
    with other:
        again = trace_preferences(asked, other, target)
    assert again.undoing == found.undoing
    assert found.undoing[0]["change"] > 0
