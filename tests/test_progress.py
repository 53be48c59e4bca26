from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

from unweave.base import progress
from unweave.base.progress import Notebook, Silent, Terminal, usual_progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes when it is told to."""
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


class Screen(io.StringIO):
    def isatty(self):
        return True


def ipython(monkeypatch, shell):
    """An IPython that is running with this shell; returns what it displays."""
    shown = []

    class Handle:
        def update(self, bundle, raw):
            assert raw
            shown[-1].append(bundle)

    def display(bundle, raw, display_id):
        assert raw
        assert display_id is True
        shown.append([bundle])
        return Handle()

    package, inner = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython, inner.display = lambda: shell, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return shown


def test_the_time_left_is_reckoned_from_the_steps_of_this_process_alone(clock):
    """A run resumed at step 9,000 of 10,000 that takes a second a step has 990 s left after ten of them."""
    screen = Screen()
    terminal = Terminal("decompose", screen)
    for done in range(9001, 9012):
        terminal.update(done, 10_000)
        clock[0] += 1
    assert screen.getvalue().split("\r\x1b[K")[-1] == "decompose 9011/10000 (0:10, 16:29 left)"


def test_another_piece_of_work_is_reckoned_anew(clock):
    screen = Screen()
    terminal = Terminal("", screen)
    for piece in (100, 200):
        for done in range(1, piece // 2):
            terminal.update(done, piece)
            clock[0] += 10 if piece == 100 else 1
    assert screen.getvalue().endswith("99/200 (1:38, 1:41 left)")


def test_a_script_sees_nothing_unless_it_asks(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert isinstance(usual_progress(), Silent)
    # IPython was imported by some library, and is not what runs this.
    ipython(monkeypatch, None)
    assert isinstance(usual_progress(), Silent)
    assert capsys.readouterr() == ("", "")


def test_ipython_in_a_terminal_gets_a_line_and_a_notebook_a_bar(monkeypatch):
    ipython(monkeypatch, SimpleNamespace())
    assert type(usual_progress()) is Terminal
    ipython(monkeypatch, SimpleNamespace(kernel=object()))
    assert type(usual_progress()) is Notebook


def test_a_bar_is_rewritten_in_place_and_each_piece_of_work_has_its_own(monkeypatch, clock, capsys):
    shown = ipython(monkeypatch, SimpleNamespace(kernel=object()))
    bar = Notebook("decompose")
    for done in (1, 2, 3):
        bar.update(done, 3, "a < b")
        clock[0] += 1
    bar.say("half-way")
    for done in (1, 2):
        bar.update(done, 9)
        clock[0] += 1
    bar.update(1, 4)
    assert [len(each) for each in shown] == [3, 2, 1]
    assert shown[0][-1] == {
        "text/plain": "decompose 3/3 (0:02) a < b",
        "text/html": '<progress value="3" max="3" style="width: 16em"></progress> decompose 3/3 (0:02) a &lt; b',
    }
    assert capsys.readouterr() == ("half-way\n", "")


def test_a_bar_is_not_rewritten_more_often_than_can_be_seen(monkeypatch, clock):
    shown = ipython(monkeypatch, SimpleNamespace(kernel=object()))
    bar = Notebook()
    for done in range(1, 1001):
        bar.update(done, 2000)
        clock[0] += 0.001
    assert len(shown[0]) <= 6
