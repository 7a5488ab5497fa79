"""Progress and messages: a line now and then without a terminal, a bar on one, results kept apart."""

from __future__ import annotations

import io
import logging
import sys

import pytest

import semfid.progress
from semfid.logs import messages_on_screen
from semfid.progress import progress, silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(semfid.progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_and_one_at_the_end(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    with progress("scoring") as advance:
        for done in range(1, 101):
            clock[0] += 0.25
            advance(done, 100)
        advance(100, 100)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "scoring: 40/100 (4.0/s, 15 s left)",
        "scoring: 80/100 (4.0/s, 5 s left)",
        "scoring: 100/100 (4.0/s)",
    ]
    assert captured.out == ""


def test_nothing_to_do_or_not_shown_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("a") as advance:
        advance(0, 0)
    with silent("b") as advance, progress("c", shown=False) as other:
        advance(1, 1)
        other(1, 1)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_and_messages_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with messages_on_screen(), progress("scoring") as advance:
        advance(1, 3)
        logging.getLogger("semfid").info("a message")
        advance(3, 3)
    shown = screen.getvalue()
    assert "scoring:  33%" in shown and "3/3" in shown.rpartition("\r")[2]
    assert "a message" in shown.splitlines(), "on a line of its own"


def test_a_terminal_without_tqdm_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with messages_on_screen(), progress("scoring") as advance:
        advance(3, 3)
        logging.getLogger("semfid").warning("a message")
    lines = screen.getvalue().splitlines()
    assert lines[0].startswith("scoring: 3/3 (") and lines[1:] == ["semfid: a message"]


def test_messages_go_to_standard_error_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("semfid.engine.something")
    with messages_on_screen():
        log.info("100 % plain")
        log.warning("look: %s", "here")
        log.debug("unseen")
    log.info("unseen")
    assert capsys.readouterr() == ("", "100 % plain\nsemfid: look: here\n")
