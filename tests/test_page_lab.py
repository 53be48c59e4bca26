"""The lab's page in a real browser, against the real server over a real lab."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import browsing, chromium, fresh_pages, signed_in
from page_checks import beyond_the_edge, poor_contrast
from page_lab import ANN, BOB, CARL, EVE, HOSTILE, PLAN, QUESTION, TOKEN, LabServed, account, made_lab

from unweave.lab.sandbox.approval import Approvals
from unweave.lab.threads.events import Plan, StateChange, content_hash
from unweave.record import Run

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]
SIX = "remove-es-0+remove-es-1+remove-es-2+lora-es-0+lora-es-1+lora-es-2"
VIEWS = {
    "home": "/",
    "runs": "/lab",
    "run": "/lab/runs/remove-es-1",
    "invalid": "/lab/runs/changed-afterwards",
    "claims": "/lab/runs/remove-es-1/claims?claim=1",
    "table": "/lab/runs/remove-es-1/tables/effects",
    "compare": f"/lab/compare?runs={SIX}&measure=seeds.level&by=method",
    "threads": "/lab/threads",
    "thread": "/lab/threads/spanish",
    "agents": "/lab/agent",
    "agent": "/lab/agent/spanish",
    "queue": "/lab/queue",
    "start": "/lab/start?study=remove-language",
    "people": "/lab/people",
}
INERT = (
    "/lab",
    "/lab/runs/hostile",
    "/lab/runs/hostile/claims?claim=0",
    "/lab/runs/hostile/tables/texts",
    "/lab/threads",
    "/lab/threads/hostile-thread",
    "/lab/threads/spanish",
    "/lab/agent/hostile-thread",
    "/lab/compare?runs=hostile+remove-es-0&measure=seeds.level",
)


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = made_lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def tokens(lab):
    return {person.name: account(lab, person) for person in (ANN, BOB, CARL, EVE)}


@pytest.fixture(scope="module")
def served(lab, tokens):
    with LabServed(lab) as address:
        yield address


@pytest.fixture
def open_page(browser, served):
    """Opens an address in a fresh browser, signed in; at the end asserts that nothing was complained of."""
    with fresh_pages(browser, 8000) as fresh:

        def open_one(path="/lab", token=TOKEN, allowed="", **options):
            return signed_in(fresh(allowed, **options), served, token, path)

        yield open_one


def query(page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def rows(page):
    return page.locator(".rows tbody:not(.gap) tr")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_in_both_schemes_and_on_a_phone(open_page, view):
    page = open_page(VIEWS[view])
    expect(page.locator("main [aria-busy='true']")).to_have_count(0)
    page.wait_for_timeout(200)
    assert "unweave" in page.title()
    assert page.get_by_role("alert").count() == (1 if view == "invalid" else 0)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert poor_contrast(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert beyond_the_edge(page) == []


def test_f3_16_every_text_of_the_lab_is_inert_in_every_view(open_page, served):
    page = open_page("/")
    for path in INERT:
        page.goto(served + path)
        expect(page.locator("main")).to_contain_text("<script>window.struck=1</script>")
        page.wait_for_timeout(300)
        assert page.evaluate("window.struck") is None
        assert page.locator("main script, main b[onclick], main [onerror], main iframe, main object").count() == 0
        assert page.locator("main a[href^='javascript'], main img:not([src^='data:image/svg+xml'])").count() == 0
        assert page.locator("main a:not([href^='/'])").count() == 0
        shown = page.locator("main").inner_text()
        assert "\u202e" not in shown
        assert "\x1b" not in shown
        assert "RLO" in shown


def test_f3_16_a_figure_with_scripts_stays_a_picture(open_page, lab, served):
    """An SVG in a run's folder is anybody's: as an image it runs nothing and fetches nothing."""
    bad = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" onload="window.struck=1">'
        "<script>window.struck=1;fetch('/api/lab/lab?from=svg')</script><image href='/api/lab/lab?from=image'/>"
        "<a href='javascript:alert(1)'><rect width='40' height='20'/></a></svg>"
    )
    file = lab.root / "hostile" / "figures" / "texts.svg"
    before = file.read_text()
    file.write_text(bad)
    try:
        page = open_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{served}/lab/runs/hostile")
        picture = page.locator("img.picture")
        expect(picture).to_have_attribute("src", re.compile("^data:image/svg"))
        picture.click()
        page.wait_for_timeout(300)
        assert page.evaluate("window.struck") is None
        assert page.url.endswith("/lab/runs/hostile")
        assert [url for url in asked if "from=" in url] == []
    finally:
        file.write_text(before)


def test_runs_are_filtered_and_sorted_by_the_lab_and_the_address_keeps_it(open_page):
    page = open_page()
    expect(page.locator(".heading .total")).to_have_text("10 runs")
    page.get_by_role("combobox", name="State").select_option("failed")
    expect(page.locator(".heading .total")).to_have_text("1 run")
    expect(rows(page)).to_contain_text(["remove-it"])
    expect(rows(page).first).to_contain_text("subcomponent 77")
    page.get_by_role("combobox", name="State").select_option("")
    page.get_by_role("searchbox").press_sequentially("lora es", delay=5)
    expect(page.locator(".heading .total")).to_have_text("3 runs")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("th[aria-sort='ascending']")).to_have_text("Run")
    expect(rows(page).locator("a.run-name").first).to_have_text("lora-es-0")
    assert query(page) == {"q": "lora es", "sort": "id", "up": "1"}
    page.reload()
    expect(page.locator(".heading .total")).to_have_text("3 runs")
    expect(page.get_by_role("searchbox")).to_have_value("lora es")
    page.get_by_role("searchbox").fill("nothing is called this")
    expect(page.locator(".nothing")).to_be_visible()


def test_a_run_that_was_changed_is_marked_in_the_list_and_on_its_page(open_page):
    page = open_page()
    changed = rows(page).filter(has_text="changed-afterwards")
    expect(changed.locator(".verdict")).to_have_text(re.compile("invalid"))
    expect(rows(page).filter(has_text="remove-es-1").locator(".verdict")).to_have_text(re.compile(" valid"))
    changed.locator("a.run-name").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid.")


def test_chosen_runs_are_compared(open_page):
    # The made-up runs lack the table that the study answers with, and the page says so.
    page = open_page(allowed="422")
    for name in ("remove-es-0", "remove-es-1"):
        page.get_by_label(f"Compare {name}").check()
    expect(page.locator(".comparing .total")).to_have_text("2 chosen")
    page.get_by_role("searchbox").fill("lora-es-2")
    expect(page.locator(".heading .total")).to_have_text("1 run")
    page.get_by_label("Compare lora-es-2").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.locator("h1")).to_have_text("Comparison")
    assert query(page) == {"runs": "remove-es-0 remove-es-1 lora-es-2"}
    side = page.get_by_role("region", name="Runs side by side")
    expect(side.locator("tbody tr")).to_have_count(3)
    expect(side.locator("thead")).to_contain_text("method")
    expect(side.locator("thead")).not_to_contain_text("windows")
    lines_ = page.locator("svg.curve g > path.line")
    expect(lines_).to_have_count(3)
    dashes = lines_.evaluate_all("all => all.map(one => getComputedStyle(one).strokeDasharray)")
    assert len(set(dashes)) == 3, "curves are told apart without colour"


def test_arms_are_compared_over_seeds_with_the_noise_floor(open_page):
    page = open_page(VIEWS["compare"])
    means = page.get_by_role("region", name="Means over seeds")
    expect(means.locator("tbody tr")).to_have_count(2)
    differences = page.get_by_role("region", name="Paired differences")
    expect(differences.locator("tbody tr")).to_have_count(1)
    expect(differences.locator("rect.floor")).to_have_count(1)
    with page.expect_request(lambda request: "/api/lab/compare" in request.url) as asked:
        page.get_by_role("combobox", name="Compared with").select_option("method=lora")
    assert parse_qs(urlsplit(asked.value.url).query)["baseline"] == ["method=lora"]
    expect(means.locator("tbody tr").first).to_contain_text("lora")
    assert query(page)["baseline"] == "method=lora"
    page.reload()
    expect(means.locator("tbody tr").first).to_contain_text("lora")


def test_a_claim_shows_its_row_its_hash_and_the_auditors_verdict(open_page, lab):
    page = open_page("/lab/runs/remove-es-1")
    page.get_by_role("link", name="Window 59 of Italian").click()
    claim = page.locator("#claim-1")
    chosen = claim.locator("tr.chosen")
    expect(chosen).to_have_count(1)
    expect(chosen.locator("td").nth(0)).to_have_text("it")
    expect(chosen.locator("td").nth(1)).to_have_text("59")
    expect(chosen.locator("td.cell")).to_have_text("0.0770")
    assert chosen.evaluate(
        """row => {
          const [box, own] = [row.closest('.table-scroll'), row].map((one) => one.getBoundingClientRect());
          return own.bottom <= box.bottom + 2 && own.top >= box.top;
        }"""
    ), "the row is in sight"
    sha256 = Run.open(lab.root / "remove-es-1").load_table("effects").sha256
    claim.locator("summary").click()
    expect(claim.locator("code.whole")).to_have_text(sha256)
    page.locator("#claim-2").get_by_role("button", name="Evidence").click()
    expect(page.locator("#claim-2 tr.chosen")).to_have_count(3)
    assert query(page) == {"claim": "2"}
    page.get_by_role("button", name="Audit now").click()
    expect(page.locator(".audit")).to_contain_text("valid", timeout=20000)
    # One window's change and one loss are of no seed: nothing says that they were not picked among those of several.
    for number, verdict in enumerate(("held", "not checkable", "held", "not checkable")):
        expect(page.locator(f"#claim-{number} .verdict")).to_have_text(re.compile(verdict))


def test_a_claim_whose_table_was_changed_has_failed(open_page):
    page = open_page("/lab/runs/changed-afterwards/claims", allowed="422")
    verdict = page.locator("#claim-0 .verdict")
    expect(verdict).to_have_text(re.compile("failed|not checkable"))
    page.locator("#claim-0").get_by_role("button", name="Evidence").click()
    expect(page.locator("#claim-0 .problem")).to_be_visible()
    page.wait_for_timeout(100)


def test_a_table_is_turned_over_page_by_page(open_page):
    page = open_page("/lab/runs/remove-es-1/tables/effects")
    expect(page.locator(".saved tbody tr")).to_have_count(200)
    page.get_by_role("button", name="Later rows").click()
    expect(page.locator(".saved tbody tr")).to_have_count(100)
    expect(page.locator(".table-part .total")).to_have_text("rows 201 to 300 of 300")
    expect(page.get_by_role("button", name="Later rows")).to_be_disabled()


def test_curves_are_read_by_keyboard_and_as_numbers(open_page):
    page = open_page("/lab/runs/remove-es-1")
    chart = page.locator(".curve-chart").filter(has_text="loss").first
    drawing = chart.locator("svg.curve")
    expect(drawing).to_have_attribute("aria-label", re.compile(r"loss.*last 0\.\d+ at 299, between"))
    drawing.focus()
    page.keyboard.press("End")
    expect(chart.locator(".curve-readout")).to_contain_text("step 299")
    page.keyboard.press("ArrowLeft")
    expect(chart.locator(".curve-readout")).to_contain_text("step 298")
    before = chart.locator("path.line").get_attribute("d")
    chart.get_by_role("button", name="Powers of ten").click()
    assert chart.locator("path.line").get_attribute("d") != before
    chart.locator("summary").click()
    expect(chart.locator("tbody tr")).to_have_count(151)


def test_of_a_long_log_the_end_is_shown_and_few_lines_are_kept(open_page, lab):
    run = Run.open(lab.root / "remove-it")
    (run.path / "log.txt").write_text("".join(f"zeile {number} ä\n" for number in range(50_000)), encoding="utf-8")
    page = open_page("/lab/runs/remove-it")
    expect(page.locator(".log-lines")).to_contain_text("zeile 49999 ä")
    lines = page.locator(".log-lines .line")
    assert 1500 < lines.count() <= 2000
    expect(lines.first).to_have_text(re.compile(r"^zeile \d+ ä\s*$"))
    expect(page.locator(".log-head")).to_contain_text("its end shown")
    expect(page.get_by_role("button", name="To the end")).to_be_hidden()
    page.locator(".log-lines").evaluate("one => one.scrollTop = 0")
    page.get_by_role("button", name="To the end").click()
    assert page.locator(".log-lines").evaluate("one => one.scrollHeight - one.scrollTop - one.clientHeight") < 24


def test_a_thread_shows_its_plan_what_changed_and_what_rests_on_claims(open_page):
    page = open_page("/lab/threads/spanish")
    expect(page.locator("h1")).to_have_text(QUESTION)
    newest = page.locator("article.plan").first
    expect(newest).to_contain_text("approved")
    expect(newest).to_contain_text("the best candidate: level reached the bar, about 0.97")
    newest.get_by_text("What changed since version 1").click()
    changes = newest.locator("table").last
    expect(changes.locator("tbody tr")).to_have_count(2)
    expect(changes).to_contain_text("budget.runs")
    cited = page.locator(".cited a").first
    expect(page.locator(".cited .verdict").first).to_have_text(re.compile("held"))
    cited.click()
    expect(page.locator("#claim-0 tr.chosen")).to_have_count(1)
    page.go_back()
    note = page.locator(".markdown").filter(has_text="What was seen")
    expect(note.locator("em, strong, li, blockquote, pre, h4")).to_have_count(7)
    assert note.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))") == [
        "/lab/runs/remove-es-1",
        "/lab/runs",
    ]
    expect(note).to_contain_text("elsewhere (https://example.org/x)")


def test_a_reader_sees_everything_and_can_change_nothing(open_page, served, tokens):
    page = open_page("/lab", tokens["eve"], allowed="403")
    expect(page.locator(".person")).to_have_text(re.compile("eve.*reader"))
    for path in ("/lab", "/lab/runs/remove-es-1", "/lab/threads", "/lab/threads/spanish", "/lab/agent", "/lab/queue"):
        page.goto(served + path)
        page.wait_for_selector("h1")
        page.wait_for_timeout(200)
        names = {name.strip() for name in page.locator("main button:visible").all_inner_texts()}
        assert names <= {
            "Powers of ten",
            "To the end",
            "Run",
            "Study",
            "State",
            "Thread",
            "Started ▼",
            "Started",
            "Took",
        }
        assert page.locator("details.write, form.make, form.agent-form, main a[href='/lab/start']").count() == 0
    page.goto(f"{served}/lab/people")
    expect(page.locator("main")).to_contain_text("for owners")
    expect(page.locator("nav")).not_to_contain_text("People")
    refused = page.evaluate(
        """() => fetch('/api/lab/add-note', {method: 'POST', headers: {'Content-Type': 'application/json'},
        body: JSON.stringify({thread: 'spanish', text: 'x'})}).then(answer => answer.status)"""
    )
    assert refused == 403


def test_a_plan_is_approved_by_a_reviewer_and_only_as_it_is_shown(open_page, lab, tokens):
    thread = lab.threads.create("Is a changed plan asked for again?", by=CARL, id="approvals")
    plan = lab.threads.add(thread.id, Plan({"study": "push", "arms": [1]}), by=CARL)
    page = open_page("/lab/threads/approvals", tokens["carl"])
    expect(page.locator("article.plan")).to_contain_text("waits for a reviewer")
    page = open_page("/lab/threads/approvals", tokens["bob"], allowed="422")
    # Another plan is proposed while the first is read: the button is for the first, and the lab refuses it.
    newer = lab.threads.add(thread.id, Plan({"study": "push", "arms": [1, 2]}), by=CARL)
    page.get_by_role("button", name="Approve this version").click()
    expect(page.locator("article.plan").first).to_contain_text("Version 2")
    assert lab.threads.get(thread.id).approved(newer.sha256) is None
    page.get_by_role("button", name="Approve this version").click()
    expect(page.locator("article.plan").first).to_contain_text("approved by bob")
    assert lab.threads.get(thread.id).approved(newer.sha256).by == "bob"
    assert plan.sha256 != newer.sha256 == content_hash({"study": "push", "arms": [1, 2]})
    lab.threads.add(thread.id, Plan({"study": "push", "arms": [3]}), by=CARL)
    lab.threads.add(thread.id, StateChange(state="concluded"), by=CARL)
    page.reload()
    expect(page.locator("article.plan").first).to_contain_text("Version 3")
    expect(page.get_by_role("button", name="Approve this version")).to_have_count(0)


def test_notes_hypotheses_and_reviews_are_written_on_the_page(open_page, lab, tokens):
    lab.threads.create("Can people write?", by=CARL, id="writing")
    found = Run.open(lab.root / "remove-es-1").claims()[0].value
    page = open_page("/lab/threads/writing", tokens["carl"])
    page.get_by_text("Write a note").click()
    page.get_by_label("Markdown").fill(f"It **moves**.\n\n{HOSTILE}")
    page.locator("details.write[open] button").click()
    expect(page.locator("article.note strong")).to_have_text("moves")
    page.get_by_text("Write a hypothesis").click()
    page.get_by_label("What is supposed").fill("It grows.")
    page.get_by_label("What would be seen if it held").fill("A slope above 0.")
    page.locator("details.write[open] button").click()
    expect(page.locator(".hypotheses")).to_contain_text("Predicted: A slope above 0.")
    page.get_by_text("Conclude", exact=True).click()
    page.get_by_label("What was found").fill(f"Spanish is left at {found:.3f} ln V.")
    rests = page.get_by_label("The claims that it rests on")
    for unreadable in ("remove-es-1 1", "remove-es-1", "remove-es-1:-1", "remove-es-1:0, x"):
        rests.fill(unreadable)
        page.locator("details.write[open] button").click()
        assert "RUN:NUMBER, counted from 0" in rests.evaluate("one => one.validationMessage")
    rests.fill("remove-es-1:0")
    page.locator("details.write[open] button").click()
    expect(page.locator(".cited .verdict")).to_have_text(re.compile("held"))
    page = open_page("/lab/threads/writing", tokens["bob"])
    page.get_by_text("Review this thread").click()
    page.get_by_role("combobox", name="Verdict").select_option("revise")
    page.get_by_role("textbox", name="Why", exact=True).first.fill("More seeds.")
    page.get_by_role("button", name="Send the review").click()
    expect(page.locator("article.review")).to_contain_text("to be revised")
    [review] = lab.threads.get("writing").reviews
    assert (review.verdict, review.by) == ("revise", "bob")


def test_an_owner_makes_accounts_and_sees_who_did_what(open_page, lab):
    page = open_page("/lab/people")
    page.get_by_label("Name").fill("dora")
    page.locator(".make select").select_option("reviewer")
    page.get_by_role("button", name="Add", exact=True).click()
    token = page.locator("pre.code").inner_text()
    assert lab.people.by_token(token) == lab.people.get("dora")
    expect(page.locator("[aria-label='Who did what']")).to_contain_text("add-person")
    assert token not in page.locator("[aria-label='Who did what']").inner_text()
    page.get_by_label("Role of dora").select_option("reader")
    expect(page.locator("#status")).to_have_text("dora is a reader")
    assert lab.people.get("dora").role == "reader"
    page.get_by_label("Remove dora").click()
    expect(page.get_by_role("table", name="People")).not_to_contain_text("dora")


def test_proposed_code_is_read_before_it_is_allowed_and_by_another_than_who_proposed_it(open_page, lab, tokens):
    source = f"# {HOSTILE}\nprint('<b>hello</b>')\n"
    proposed = Approvals(lab.home).propose("measure.py", source, "agent", f"It measures. {HOSTILE}")
    page = open_page("/lab/agent", tokens["carl"])
    page.locator("details.record > summary").click()
    expect(page.locator("pre.source")).to_contain_text("print('<b>hello</b>')")
    assert "\u202e" not in page.locator("pre.source").inner_text()
    assert page.get_by_role("button", name="Allow exactly this code").count() == 0
    page = open_page("/lab/agent", tokens["bob"])
    assert page.get_by_role("button", name="Allow exactly this code").count() == 0, "it has not been shown yet"
    page.locator("details.record > summary").click()
    page.get_by_role("button", name="Allow exactly this code").click()
    expect(page.locator("details.record > summary")).to_contain_text("allowed by bob")
    [kept] = Approvals(lab.home).list()
    assert (kept.sha256, kept.allowed_by) == (proposed.sha256, "bob")
    assert page.evaluate("window.struck") is None


def test_what_is_not_there_is_said_plainly(open_page):
    for path, words in (
        ("/lab/runs/no-such-run", "there is no run 'no-such-run'"),
        ("/lab/threads/none", "there is no thread"),
    ):
        page = open_page(path, allowed="404")
        expect(page.get_by_role("alert")).to_contain_text(words)


def test_the_keyboard_reaches_runs_and_their_boxes(open_page):
    page = open_page()
    expect(rows(page).first).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".rows tr.current a.run-name")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".rows tr.current input")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(".comparing .total")).to_contain_text("1 chosen")
    page.keyboard.press("Tab")
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.locator("h1.run-title")).to_have_text(name)


@pytest.mark.parametrize(
    ("text", "tags", "words"),
    [
        ("# One\n\ntwo **three** *four* `five`", "h3 p strong em code", "Onetwo three four five"),
        ("1. a\n2. b\n\n- c", "ol li li ul li", "abc"),
        ("> quoted\n> > twice", "blockquote p blockquote p", "quotedtwice"),
        ("```\n<script>x</script>\n```", "pre", "<script>x</script>\n"),
        ("[a](/lab/threads) [b](javascript:x) [c](//evil.example) [d](/lab/../x)", "p a",
         "a b (javascript:x) c (//evil.example) d (/lab/../x)"),
        ("a_b_c 2*3*4 **", "p", "a_b_c 2*3*4 **"),
        ("<img src=x onerror=alert(1)>", "p", "<img src=x onerror=alert(1)>"),
    ],
)  # fmt: skip
def test_markdown_becomes_elements_and_nothing_else(open_page, text, tags, words):
    page = open_page("/lab")
    made = page.evaluate(
        """async (text) => {
          const root = (await import('/static/markdown.js')).markdown(text);
          const all = [...root.querySelectorAll('*')].filter((one) => one.localName !== 'bdi');
          return [all.map((one) => one.localName).join(' '), root.textContent];
        }""",
        text,
    )
    assert made == [tags, words]


def test_a_list_read_by_cursor_is_walked_once_and_forgets_when_it_changes(open_page):
    page = open_page("/lab")
    found = page.evaluate(
        """async () => {
          const { CursorPages } = await import('/static/lab_pages.js');
          let total = 5000;
          const asked = [];
          const pages = new CursorPages(async (after, limit) => {
            asked.push([after, limit]);
            const from = after === '' ? 0 : Number(after);
            const rows = Array.from({ length: Math.max(0, Math.min(limit, total - from)) }, (_, at) => from + at);
            return { rows, total, next: from + rows.length < total ? String(from + rows.length) : null };
          });
          const first = await Promise.all([pages.page(4900, 100), pages.page(2000, 100)]);
          const walked = asked.splice(0).length;
          await pages.page(3000, 100);
          const known = asked.splice(0).length;
          total = 4000;
          await pages.page(0, 100);
          asked.length = 0;
          const beyond = await pages.page(4500, 100);
          return [first.map((one) => one.rows[0]), walked, known, beyond.rows.length, asked[0][0]];
        }"""
    )
    # 4900 rows are passed in five steps; 2000 and 3000 were met on the way.
    assert found == [[4900, 2000], 7, 1, 0, "100"]


def test_what_changed_between_plans_leaves_out_the_next_step(open_page):
    page = open_page("/lab")
    changes = page.evaluate(
        """async ([before, after]) => (await import('/static/lab_plan.js')).differences(before, after)""",
        [PLAN, {**PLAN, "launch": [], "said": "Then confirm.", "stopping": {**PLAN["stopping"], "seeds": 5}}],
    )
    assert changes == [["stopping.seeds", "3", "5"]]
