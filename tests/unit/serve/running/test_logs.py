"""A log that stays short whatever happens how often."""

from __future__ import annotations

import io
import logging

import pytest

from bootpath.serve.running.logs import MOST, WINDOW_SECONDS, BriefHandler

FORMAT = "bootpath: %(levelname)s: %(name)s: %(message)s"


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.handler = BriefHandler(self.stream, logging.Formatter(FORMAT), clock=lambda: self.now)

    def say(self, text: str, *arguments: object, level: int = logging.WARNING) -> None:
        self.handler.handle(logging.LogRecord("who", level, "", 0, text, arguments, None))

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log() -> Log:
    return Log()


def test_what_is_said_again_and_again_is_counted(log: Log) -> None:
    for number in range(1000):
        log.say("cannot do %d", number)
        log.say("other")
    assert len(log.lines) == 2 * MOST
    assert log.lines[2] == "bootpath: WARNING: who: cannot do 1"
    log.now = WINDOW_SECONDS
    log.say("cannot do %d", 1000)
    assert log.lines[2 * MOST :] == [
        f"bootpath: WARNING: who: {1000 - MOST} more like this within {WINDOW_SECONDS:.0f} s: cannot do %d",
        "bootpath: WARNING: who: cannot do 1000",
    ]
    log.now += 1
    log.handler.close()
    assert log.lines[2 * MOST + 2 :] == [f"bootpath: WARNING: who: {1000 - MOST} more like this within 11 s: other"]


def test_what_is_said_seldom_is_said(log: Log) -> None:
    for _ in range(3 * MOST):
        log.say("seldom")
        log.now += WINDOW_SECONDS / MOST
    log.handler.close()
    assert log.lines == ["bootpath: WARNING: who: seldom"] * (3 * MOST)


def test_who_asks_for_details_gets_all(log: Log) -> None:
    for _ in range(100):
        log.say("detail", level=logging.DEBUG)
    assert len(log.lines) == 100


def test_nothing_more_is_said_twice(log: Log) -> None:
    for _ in range(2 * MOST):
        log.say("again")
    log.handler.close()
    log.handler.close()
    assert len(log.lines) == MOST + 1
