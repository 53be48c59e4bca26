"""The agent on the page: started, its plan read and approved, followed to its report, or stopped."""

from __future__ import annotations

import re

import pytest
from browser import browsing, chromium, signed_in
from lab_places import ANN
from page_lab import BOB, EVE, TOKEN, LabServed, account
from small_lab import write_study

from unweave.lab import Lab
from unweave.lab.agent.job import start_agent
from unweave.server.scheduling import scheduling
from unweave.studies.discover import load_source
from unweave.studies.registry import unregister

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]
QUESTION = "Which strength of pushing moves it?"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    load_source(write_study(folder, planned=True))
    made = Lab(folder / "runs")
    with scheduling(made):
        yield made
    made.close()
    unregister("push")


@pytest.fixture(scope="module")
def tokens(lab):
    return {person.name: account(lab, person) for person in (ANN, BOB, EVE)}


@pytest.fixture(scope="module")
def open_page(lab, tokens):
    with browsing() as browser, LabServed(lab) as served:

        def open_one(path, name=None):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.set_default_timeout(10000)
            return signed_in(page, served, tokens[name] if name else TOKEN, path)

        yield open_one


def test_an_agent_is_approved_followed_and_read(open_page, lab, tokens):
    thread, job = start_agent(
        lab, QUESTION, budget={"runs": 40}, wait_for_approval=True, source=lab.root.parent / "push.py", person=ANN
    )
    page = open_page(f"/lab/agent/{thread}", "bob")
    expect(page.locator("h1")).to_have_text(QUESTION)
    expect(page.locator(".agent-now")).to_contain_text("waits for approval", timeout=40000)
    plan = page.locator("article.plan")
    expect(plan).to_contain_text("What counts as an answer")
    expect(plan).to_contain_text("the bar is at least 15 cm")
    expect(page.get_by_role("meter", name="Runs")).to_have_attribute("aria-valuetext", re.compile("0 spent.* of 40"))
    assert page.locator("#section-runs + div tbody tr").count() == 0, "nothing runs before somebody approves"
    page.get_by_role("button", name="Approve").click()
    expect(plan).to_contain_text("approved by bob")
    expect(page.locator(".agent-now")).to_contain_text("It is done.", timeout=120000)
    expect(page.locator(".concluded")).to_contain_text("strength=4.0")
    expect(page.locator(".markdown").first).to_contain_text("What it rests on")
    expect(page.locator("#section-critic ~ div")).to_contain_text("critic")
    page.get_by_role("link", name=re.compile(r"^\d+ claims?$")).click()
    expect(page.locator("#claim-0 .verdict")).to_have_text(re.compile("held"))
    page.goto(page.url.split("/lab/")[0] + f"/lab/threads/{thread}")
    expect(page.locator(".conclusions .cited .verdict").first).to_have_text(re.compile("held"))
    assert lab.queue.get(job.id).state == "finished"


def test_an_agent_is_stopped_from_its_page_and_readers_cannot(open_page, lab, tokens):
    thread, job = start_agent(
        lab, "Does pushing move it?", wait_for_approval=True, source=lab.root.parent / "push.py", person=ANN
    )
    page = open_page(f"/lab/agent/{thread}", "eve")
    expect(page.locator(".agent-now")).to_contain_text("waits for approval", timeout=40000)
    assert page.get_by_role("button", name=re.compile("Approve|Stop")).count() == 0
    page = open_page(f"/lab/agent/{thread}")
    page.get_by_role("button", name="Stop the agent").click()
    expect(page.get_by_role("button", name="Stop the agent")).to_be_hidden(timeout=40000)
    assert lab.threads.get(thread).state == "stopped"
    assert [one.id for one in lab.queue.list(thread=thread)] == [job.id]


def test_an_agent_is_started_with_a_budget_and_a_question_that_fits_none_is_refused(open_page, lab):
    page = open_page("/lab/agent")
    expect(page.locator(".agent-form")).to_contain_text("It can ask")
    page.get_by_label("Question").fill("How tall is the tower?")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible(timeout=20000)
    assert page.get_by_label("Question").input_value() == "How tall is the tower?"
    page.get_by_label("Question").fill("Which strength moves it when pushing?")
    page.get_by_label("Runs, at most", exact=True).fill("12")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("h1")).to_have_text("Which strength moves it when pushing?", timeout=20000)
    thread = page.url.rpartition("/")[2]
    [job] = lab.queue.list(thread=thread)
    assert job.config["budget"] == {"runs": 12.0}
    assert job.config["wait_for_approval"] is True
    lab.queue.cancel(job.id)
