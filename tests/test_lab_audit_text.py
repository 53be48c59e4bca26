from __future__ import annotations

import time

import pytest
from audited import finished
from hypothesis import given, settings
from hypothesis import strategies as st

from unweave.base.errors import UnweaveError
from unweave.lab.audit.text import check_prose, check_text, cited_claims, cited_tables, render_text
from unweave.record.claims import Claim, stated

LEVEL = Claim("Spanish is at 0.95 ln V.", "summary", "0" * 64, {"method": "factor"}, "level", 0.9547, 2)
CHANGE = Claim("English moves by -0.004.", "summary", "0" * 64, {}, "retained", -0.0042, 3)
COUNT = Claim("It read 12000 tokens.", "cost", "0" * 64, {}, "tokens", 12000, 0)
CLAIMS = {"one#0": LEVEL, "one#1": CHANGE, "#2": COUNT}


def unbound(text, allowed=()):
    return [finding.what for finding in check_text(text, CLAIMS, allowed)]


@pytest.mark.parametrize(
    "text",
    [
        "Spanish is left at 0.95 ln V, and English moves by -0.004 or −0.004 nats.",
        "It read 12,000 (that is 12000) tokens.",
        "It rose by +0.95.",
        "On 2026-11-26 and at 2026-11-26T10:12:03Z; see Figure 2, Table 3.1, section 4 and equation 5.",
        "1. First\n2) Second\n## 3. Third",
        "See Eq. 4, (eq. 5), Sec 3, [sec. 2.1], fig. 12, Parts 2 and (part 3) on page 10.",
        "The 1st, 2nd and 23rd seed of lora-1-here on smollm2, in run remove-language-20261126-100000-ab12.",
        "Run `unweave run x --set tokens=lora-4`, hash `9f86d081`, site `model.layers.25.mlp.down_proj`.",
        "See https://example.org/2026/paper-7.html and arXiv:2606.12360v2.",
        "{{one#0}} ln V and {{one#1:+}}; {{#2}} tokens. {{one#0:sentence}} {{one/summary}}",
        "No number at all, and one removes it.",
        "",
    ],
)
def test_numbers_with_a_claim_and_what_is_free_pass(text):
    assert unbound(text) == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Spanish is at 0.96 ln V.", "0.96"),
        ("Spanish is at 0.9547 ln V.", "0.9547"),
        ("Spanish is at 0.950 ln V.", "0.950"),
        ("Spanish is at -0.95 ln V.", "-0.95"),
        ("English moves by 0.004.", "0.004"),
        ("It is 95 % gone.", "95"),
        ("It is 95% gone.", "95"),
        ("It holds in 5 of them.", "5"),
        ("`0.97`", "0.97"),
        ("`level=0.97`", "0.97"),
        ("level-0.97", "97"),
        ("Accuracy0.97", "97"),
        ("1.5e-3", "1.5e-3"),
        ("`1e-5`", "1e-5"),
        ("It is 5x better.", "5"),
        ("0.97nats", "0.97"),
        ("ninety-seven percent of it", "ninety-seven percent"),
        ("fifteen percent of it", "fifteen percent"),
        ("nineteen times as much", "nineteen times"),
        ("zero percent of it", "zero percent"),
        ("a level eq 0.97 here", "0.97"),
        ("in part 97 of it", "97"),
        ("in Part 0.97 of it", "0.97"),
        ("sec 12 is what it took", "12"),
        ("about-97% of it", "-97"),
        ("about-97.5 percent of it", "-97.5"),
        ("97) percent of it", "97"),
        ("Ten times better", "Ten times"),
        ("twofold, three fold", "twofold"),
        ("٠.٩٧ in other digits", "0.97"),
        ("０．９７ in wide digits", "0.97"),
        ("0.\u200b97 with nothing between", "0.97"),
        ("½ of it", "1"),
        ("10⁻³", "10"),
        ("In 1984 it was so", "1984"),
        ("12,0001 tokens", "12"),
        ("between 0.95 and 0.99", "0.99"),
        ("0.95-0.99", "0.99"),
        ("* 0.99 *", "0.99"),
        ("| arm | 0.99 |", "0.99"),
        ("**0.99**", "0.99"),
        ("Qwen2.5", "5"),
    ],
)
def test_a_number_without_a_claim_is_found(text, number):
    found = unbound(text)
    assert found
    assert f"states {number} in" in found[0]


def test_a_wrong_rounding_is_told_with_what_the_claim_holds():
    (what,) = unbound("Spanish is left at 0.96 ln V.")
    assert what == "states 0.96 in “Spanish is left at 0.96 ln V.”, and the claim holds 0.9547, which is 0.95"


def test_settings_may_be_stated_and_nothing_near_them():
    settings = {"tokens": [4, 64], "rate": 1e-3, "target": "Qwen2.5-0.5B", "strict": True}
    text = "With 4 or 64 tokens at 0.001 on Qwen2.5-0.5B."
    assert unbound(text, settings.values()) == []
    assert unbound(text, [settings]) == []
    assert len(unbound("With 5 tokens at 0.01 on Qwen2.5-1.5B; 1.", [settings])) >= 3


def test_a_text_value_of_a_claim_may_be_quoted():
    claim = Claim("The site is h.9.mlp.", "t", "0" * 64, {}, "site", "h.9.mlp", 0)
    assert check_text("It is at h.9.mlp.", [claim]) == []
    assert check_text("It is at h.9.attn.", [claim])


@pytest.mark.parametrize("place", ["{{one#3}}", "{{two#0}}", "{{#0}}", "{{0.97}}", "{{}}", "{{one#0:x}}"])
def test_a_placeholder_that_leads_nowhere_is_found_and_not_rendered(place):
    assert any("there is no such claim or table" in what for what in unbound(f"It is {place}."))
    with pytest.raises(UnweaveError, match="refers to no claim and no table"):
        render_text(f"It is {place}.", CLAIMS)


def test_placeholders_become_numbers_sentences_and_tables(tmp_path):
    run = finished(tmp_path)
    text = "Left at {{one#0}} ({{ one#0:+ }}): {{#0:sentence}}\n{{one/summary}}"
    claims = cited_claims(text, tmp_path, own="one")
    tables = cited_tables(text, tmp_path, own="one")
    assert set(claims) == {"one#0", "#0"}
    shown = render_text(text, claims, tables)
    assert shown.startswith(
        "Left at 0.94 (+0.94): One factor leaves Spanish at 0.94 ln V.\n\n| method | tokens | level |"
    )
    assert check_text(text, claims) == []
    assert check_text(shown, claims, [run.config, 0.942, "Median"]) == []
    assert cited_claims("{{one#9}}", tmp_path) == {}


def test_references_are_ids_and_no_paths(tmp_path):
    finished(tmp_path / "runs")
    text = "{{..#0}} {{...#0}} {{nobody#0}} {{../one#0}} {{/etc#0}} {{one#1}} {{one/nothing}} {{nobody/summary}}"
    assert cited_claims(text, tmp_path / "runs") == {}
    assert cited_tables(text, tmp_path / "runs") == {}
    assert len(check_text(text, {})) >= 6


def test_a_studys_prose_must_be_in_its_cells_at_the_decimals_that_it_shows():
    cells = [0.9547, -0.0042, 12000, "h.9.mlp"]
    assert check_prose("It is 0.95, 0.955, -0.004 or −0.0042 over 12,000 at h.9.mlp.", cells, [4], "report.html") == []
    (finding,) = check_prose("It is 0.96.", cells, [4], "report.html")
    assert (finding.kind, finding.where) == ("number", "report.html")


@given(st.floats(-1e4, 1e4), st.integers(0, 4), st.floats(-1e4, 1e4))
@settings(max_examples=150, deadline=None)
def test_only_the_claims_own_rounding_passes(value, digits, other):
    claim = Claim("", "t", "0" * 64, {}, "c", value, digits)
    assert check_text(f"It is {stated(value, digits)} here.", [claim]) == []
    wrong = stated(other, digits)
    if wrong != stated(value, digits):
        assert check_text(f"It is {wrong} here.", [claim])


@pytest.mark.parametrize(
    "text",
    [
        "{{" + " " * 200_000,
        "`" * 200_000,
        "\n" * 200_000,
        "1" * 200_000,
        "a-" * 100_000,
        "``` `` ` " * 20_000,
        "1," * 99_999,
    ],
    ids=["braces", "backticks", "lines", "digits", "hyphens", "runs of backticks", "commas"],
)
def test_a_text_made_to_be_slow_is_read_in_time(text):
    begun = time.process_time()
    check_text(text, CLAIMS)
    assert time.process_time() - begun < 5.0


def test_a_text_without_end_is_not_read():
    (finding,) = check_text("x" * 1_000_001, CLAIMS)
    assert "has 1,000,001 characters" in finding.what
