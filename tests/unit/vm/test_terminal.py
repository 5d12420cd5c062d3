from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.vm.terminal import TerminalText

PIECES = [
    b"\x1b",
    b"[",
    b"]",
    b"0;",
    b"1",
    b"m",
    b"H",
    b"\x07",
    b"\\",
    b"(",
    b"B",
    b"\r",
    b"\n",
    b"\t",
    b"\0",
    b"a",
    "é€".encode(),
    b"\xff",
]


def plain(*pieces: bytes) -> str:
    terminal = TerminalText()
    return "".join(terminal.feed(piece) for piece in pieces) + terminal.finish()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        (b"a\r\nb\n\rc", "a\nb\n\nc"),
        (b"a\r\r\nb", "a\nb"),
        (b"10%\r20%\r\n", "10%\n20%\n"),
        (b"end\r", "end\n"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b[0;32m  OK  \x1b[0m] Started", "  OK  ] Started"),
        (b"a\x1b[2J\x1b[01;01Hb", "a\n\nb"),
        (b"\x1b]0;title\x07x\x1b]0;title\x1b\\y", "xy"),
        (b"\x1bPq#0\x1b\\z", "z"),
        (b"\x1b(Bx\x1b=y\x1b7", "xy"),
        (b"\x1b[?2004h$ ", "$ "),
        (b"a\x08\x00\x7f\tb", "a\tb"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (b"cut \x1b[1", "cut [1"),
        (b"broken \x1b[\x1b[1mx", "broken [x"),
        (b"\x1b]" + b"x" * 501 + b"\x07", "]" + "x" * 501),
    ],
)
def test_plain_text(data: bytes, text: str) -> None:
    assert plain(data) == text


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=30))
def test_cuts_do_not_matter(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert plain(*pieces) == plain(data) == plain(*(data[index : index + 1] for index in range(len(data))))


def test_long_sequences_are_cut_the_same() -> None:
    data = b"\x1b]" + b"x" * 600 + b"\x07end"
    assert plain(data) == plain(*(data[index : index + 1] for index in range(len(data))))


@given(st.binary(max_size=200))
def test_no_control_characters_are_left(data: bytes) -> None:
    assert not {chr(code) for code in [*range(9), *range(11, 32), 127]} & set(plain(data))
