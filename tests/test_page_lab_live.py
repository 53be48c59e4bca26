"""The lab's page while runs wait and work: the real queue runs a person's own study, and the page follows it."""

from __future__ import annotations

import re
import time

import pytest
from browser import browsing, chromium, signed_in
from page_lab import TOKEN, LabServed
from small_lab import STUDY

from unweave.lab import Lab
from unweave.server.scheduling import scheduling
from unweave.studies.discover import load_source
from unweave.studies.registry import unregister

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
pytestmark = [chromium, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def browser():
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    (folder / "push.py").write_text(STUDY)
    # As when the server was started by somebody whose studies are installed.
    load_source(folder / "push.py")
    made = Lab(folder / "runs")
    with scheduling(made):
        yield made
    made.close()
    unregister("push")


@pytest.fixture(scope="module")
def served(lab):
    with LabServed(lab) as address:
        yield address


@pytest.fixture
def submit(lab):
    """Submits runs of the study, and ends those that are left."""
    names = []

    def one(name, sleep=0.05, **more):
        names.append(name)
        source = lab.root.parent / "push.py"
        settings = {"sleep": sleep, "word": name}
        return lab.queue.submit("push", settings, name=name, source=source, person="ann", **more)

    yield one
    for name in names:
        if not lab.queue.get(name).has_ended:
            lab.queue.cancel(name)
    lab.queue.wait(names, seconds=20)


@pytest.fixture
def open_page(browser, served):
    contexts = []

    def open_one(path):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        return signed_in(page, served, TOKEN, path)

    yield open_one
    for context in contexts:
        context.close()


def counted(page, part="/api/lab/"):
    """The addresses that the page asks for from now on."""
    asked = []
    page.on("request", lambda request: asked.append(request.url) if part in request.url else None)
    return asked


def test_a_run_is_followed_in_place_to_its_end_and_then_left_alone(open_page, submit):
    submit("followed", sleep=0.25)
    page = open_page("/lab/runs/followed")
    expect(page.locator(".run-facts .state")).to_have_text(re.compile("running"), timeout=20000)
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"of 20, .*left"))
    expect(page.locator("svg.curve")).to_have_count(1)
    page.evaluate(
        "window.kept = [...document.querySelectorAll('svg.curve, .log-lines, .track.long, .steering button')]"
    )
    top = page.locator("#section-log").bounding_box()
    done = int(bar.get_attribute("aria-valuenow"))
    expect(bar).not_to_have_attribute("aria-valuenow", str(done), timeout=8000)
    assert page.locator("#section-log").bounding_box() == top, "nothing moves while it is updated"
    expect(page.locator(".log-lines")).to_have_text(re.compile("pushing followed"))
    expect(page.locator(".run-facts .state")).to_have_text(re.compile("finished"), timeout=20000)
    assert page.evaluate("window.kept.every(one => one.isConnected)"), "what was shown was drawn anew"
    expect(page.locator("#status")).to_have_text("followed: finished")
    expect(page.locator(".claim-list")).to_contain_text("It moved by")
    expect(bar).to_be_hidden()
    asked = counted(page)
    page.wait_for_timeout(2500)
    assert asked == [], "a run that has ended is not asked about again"


def test_a_run_is_paused_resumed_and_cancelled_by_its_buttons(open_page, submit, lab):
    submit("steered", sleep=0.4)
    page = open_page("/lab/runs/steered")
    state = page.locator(".run-facts .state")
    expect(state).to_have_text(re.compile("running"), timeout=20000)
    page.get_by_role("button", name="pause steered").click()
    expect(state).to_have_text(re.compile("paused"), timeout=15000)
    page.get_by_role("button", name="resume steered").click()
    expect(state).to_have_text(re.compile("running|waiting"), timeout=15000)
    page.get_by_role("button", name="cancel steered").click()
    expect(state).to_have_text(re.compile("cancelled"), timeout=15000)
    assert lab.queue.get("steered").state == "cancelled"
    done = [deed.deed for deed in lab.people.deeds(subject="steered")]
    assert done == ["cancel-run", "resume-run", "pause-run"]


def test_the_queue_shows_who_waits_and_a_priority_reorders_it(open_page, submit, lab):
    for name in ("one", "two", "three", "four", "five"):
        submit(f"queued-{name}", sleep=1.0)
    page = open_page("/lab/queue")
    names = page.locator(".jobs tbody .run-name")
    expect(page.locator(".jobs .progress-line").first).to_be_visible(timeout=20000)
    expect(page.locator(".jobs")).to_contain_text("waiting")
    expect(page.get_by_role("meter", name="CPU threads")).to_be_visible()
    last = names.last.inner_text()
    page.get_by_label(f"Priority of {last}").fill("7")
    page.keyboard.press("Tab")
    expect(page.locator(".jobs tbody tr", has_text="waiting").first).to_contain_text(last)
    assert lab.queue.get(last).priority == 7
    page.get_by_role("button", name=f"cancel {last}").click()
    expect(page.locator(".jobs")).not_to_contain_text(last)
    expect(page.locator(".named")).to_contain_text("ann")


def test_nothing_is_asked_while_the_page_is_out_of_sight(open_page, submit):
    submit("unseen", sleep=0.4)
    page = open_page("/lab/runs/unseen")
    expect(page.locator(".run-facts .state")).to_have_text(re.compile("running"), timeout=20000)
    page.evaluate("""() => {
      Object.defineProperty(document, 'hidden', {configurable: true, get: () => true});
      document.dispatchEvent(new Event('visibilitychange'));
    }""")
    page.wait_for_timeout(400)
    asked = counted(page)
    page.wait_for_timeout(2500)
    assert asked == []
    page.evaluate("""() => {
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    }""")
    page.wait_for_timeout(500)
    assert asked


def test_a_server_that_fails_is_asked_ever_more_slowly_and_then_again(open_page, submit):
    submit("failing", sleep=0.7)
    page = open_page("/lab/runs/failing")
    expect(page.locator(".run-facts .state")).to_have_text(re.compile("running"), timeout=20000)
    times = []

    def fail(route):
        times.append(time.monotonic())
        route.abort()

    page.route("**/api/lab/run?*", fail)
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.wait_for_timeout(2600)
    assert len(times) == 2
    assert times[1] - times[0] > 1.8
    page.unroute("**/api/lab/run?*")
    expect(page.get_by_role("alert")).to_have_count(0, timeout=12000)


def test_the_list_of_runs_follows_what_runs_without_moving(open_page, submit):
    submit("listed-one", sleep=0.3)
    page = open_page("/lab?q=listed")
    row = page.locator(".rows tbody:not(.gap) tr").first
    expect(row.locator(".progress-line")).to_be_visible(timeout=20000)
    page.get_by_label("Compare listed-one").check()
    submit("listed-two", sleep=0.3)
    expect(page.locator(".heading .total")).to_have_text("2 runs", timeout=15000)
    expect(page.locator(".rows .run-name").first).to_have_text("listed-two")
    expect(page.get_by_label("Compare listed-one")).to_be_checked()
    expect(page.locator(".rows tr", has_text="listed-one")).to_contain_text("finished", timeout=20000)
    expect(page.locator(".rows tr", has_text="listed-one")).to_contain_text("It moved by")


def test_a_run_and_a_sweep_are_started_from_the_studys_own_fields(open_page, lab):
    page = open_page("/lab/start?study=push")
    page.get_by_role("textbox", name="strength").fill("2.5")
    page.get_by_role("textbox", name="word").fill("started-here")
    page.get_by_role("textbox", name="Name of the run").fill("started-run")
    page.get_by_role("button", name="Put into the queue").click()
    expect(page.locator("h1")).to_have_text("started-run", timeout=15000)
    assert lab.queue.get("started-run").config == {
        "strength": 2.5, "seed": 0, "word": "started-here", "fail": False, "sleep": 0.0,
    }  # fmt: skip
    page.goto(page.url.replace("/lab/runs/started-run", "/lab/start?study=push"))
    page.get_by_role("textbox", name="Name of the run").fill("started-sweep")
    page.get_by_text("Vary some of it").click()
    page.locator(".sweep-rows select").select_option("strength")
    page.get_by_role("textbox", name="Values").fill("1, 2")
    page.get_by_role("button", name="Start the sweep").click()
    expect(page.locator("h1")).to_have_text("started-sweep", timeout=15000)
    assert lab.queue.get("started-sweep").kind == "sweep"
    for job in ("started-run", "started-sweep"):
        lab.queue.cancel(job)


def test_a_setting_that_does_not_fit_is_refused_at_the_form(open_page):
    page = open_page("/lab/start?study=push")
    page.get_by_role("textbox", name="strength").fill("strong")
    page.get_by_role("button", name="Put into the queue").click()
    expect(page.get_by_role("alert")).to_contain_text("strength")
    assert page.get_by_role("textbox", name="strength").input_value() == "strong"


def test_what_has_the_focus_keeps_it_while_the_queue_is_asked_again(open_page, submit):
    submit("focused-one", sleep=0.5)
    submit("focused-two", sleep=0.5, after=("focused-one",))
    page = open_page("/lab/queue")
    expect(page.locator(".jobs .progress-line").first).to_be_visible(timeout=20000)
    press = page.get_by_role("button", name="pause focused-one")
    press.focus()
    shown = page.locator(".jobs .progress-line .figure").first
    before = shown.inner_text()
    expect(shown).not_to_have_text(before, timeout=8000)
    expect(press).to_be_focused()
    field = page.get_by_label("Priority of focused-two")
    field.fill("4")
    page.wait_for_timeout(2500)
    expect(field).to_be_focused()
    expect(field).to_have_value("4")
