from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootpath.core.errors import MachineError
from bootpath.vm.console import SHOWN_LINES, Console, ConsoleLine, Transcript
from tests.unit.vm.support import Clock, fault


@pytest.fixture
def pair() -> Iterator[tuple[Console, socket.socket]]:
    ours, guest = socket.socketpair()
    console = Console(ours, seconds=Clock(), fault=fault)
    with guest:
        yield console, guest
    console.close()


def test_lines_have_the_time_of_their_first_character() -> None:
    said = Transcript()
    said.feed(b"one\r\ntw", 1.0)
    said.feed(b"o\n\nth", 2.0)
    said.feed(b"ree", 3.0)
    assert said.lines() == [
        ConsoleLine(1.0, "one"),
        ConsoleLine(1.0, "two"),
        ConsoleLine(2.0, ""),
        ConsoleLine(2.0, "three"),
    ]


def test_what_is_kept_is_bounded() -> None:
    said = Transcript(limit_bytes=800)
    for index in range(1000):
        said.feed(b"line %03d\n" % index, float(index))
    assert len(said.raw) <= 900
    assert said.raw.endswith(b"line 998\nline 999\n")
    assert said.dropped_bytes + len(said.raw) == 9000
    assert len(said.unconsumed) == 800
    lines = said.lines()
    assert lines[-1] == ConsoleLine(999.0, "line 999")
    assert len(lines) == 800 // 9


def test_a_line_that_never_ends_is_bounded_too() -> None:
    said = Transcript(limit_bytes=100)
    for _ in range(1000):
        said.feed(b"0123456789", 0.0)
    assert sum(len(line.text) for line in said.lines()) <= 200


def test_take_consumes_up_to_the_end_of_the_match() -> None:
    said = Transcript()
    said.feed(b"login: login: rest", 0.0)
    assert said.take([re.compile("login")]) is not None
    assert said.unconsumed == ": login: rest"
    assert said.take([re.compile("nothing")]) is None
    assert said.unconsumed == ": login: rest"


def test_of_several_the_one_that_comes_first_is_taken() -> None:
    said = Transcript()
    said.feed(b"one two three", 0.0)
    patterns = [re.compile(pattern) for pattern in ("t.*", "two", "one two", "one")]
    assert [match[0] for _ in range(3) if (match := said.take(patterns)) is not None] == ["one two", "three"]


def test_waits_for_text_and_expressions(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"\x1b[1mBoot\x1b[0m took 12 s\r\nlo")
    match = console.wait_for(re.compile(r"took (\d+) s$", re.MULTILINE), 10)
    assert match[1] == "12"
    sender = threading.Timer(0, guest.sendall, [b"gin: "])
    sender.start()
    assert console.wait_for("login:", 10)[0] == "login:"
    sender.join()
    assert console.text == "Boot took 12 s\nlogin: "
    assert console.raw.startswith(b"\x1b[1m")
    assert console.dropped_bytes == 0


def test_a_text_is_not_an_expression(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"aab a.b")
    assert console.wait_for("a.b", 10).start() == 4


def test_what_was_awaited_is_in_the_error(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"something else\n")
    console.wait_for("else", 10)
    with pytest.raises(MachineError, match=r"no match for 'login:' within 0 s"):
        console.wait_for("login:", 0)
    with pytest.raises(MachineError, match=r"no match for /log.n/ within 0 s"):
        console.wait_for(re.compile("log.n"), 0)


def test_the_end_is_noticed(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"last words\x1b[")
    guest.close()
    assert console.wait_end(10)
    assert console.wait_for("words", 10)
    with pytest.raises(MachineError, match="before QEMU ended"):
        console.wait_for("more", 1000)
    assert console.lines == [
        ConsoleLine(0.0, "last words["),
    ]
    with pytest.raises(MachineError, match="console cannot be written to"):
        console.write(b"x")


def test_writing(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    console.write(b"\x03")
    console.send_line("ls é")
    expected = b"\x03ls \xc3\xa9\r"
    assert guest.recv(len(expected), socket.MSG_WAITALL) == expected


def test_the_transcript_has_every_byte(tmp_path: Path) -> None:
    ours, guest = socket.socketpair()
    console = Console(ours, seconds=Clock(), fault=fault, transcript=tmp_path / "t", limit_bytes=10)
    with guest:
        guest.sendall(b"\x1b[1mx\r\n" * 100 + b"!")
        console.wait_for("!", 10)
    console.close()
    assert (tmp_path / "t").read_bytes() == b"\x1b[1mx\r\n" * 100 + b"!"
    assert len(console.last_lines) <= SHOWN_LINES


def test_a_transcript_that_cannot_be_written_is_told_at_the_end() -> None:
    ours, guest = socket.socketpair()
    console = Console(ours, seconds=Clock(), fault=fault, transcript=Path("/dev/full"))
    with guest:
        guest.sendall(b"hello")
        console.wait_for("hello", 10)
    with pytest.raises(MachineError, match="transcript cannot be written: No space left"):
        console.close()
