"""A value that no disk could make right is exit code 2, whatever the option: the parser finds it."""

from __future__ import annotations

import argparse

import pytest

from bootpath.cli import lived
from bootpath.cli.failures import UsageError
from bootpath.cli.main import build_parser, main
from tests.support.parsers import leaves

PARSERS = (*leaves(build_parser()), lived.build_parser())
WRONG = {
    "--algorithm": ("", "md", "shake_128"),
    "--append": ("\udcff",),
    "--data-block-size": ("0", "511", "513", "1MiB"),
    "--data-blocks": ("0", "-1", "1_000", "\u0661", "9" * 30, "1.5"),
    "--deadline": ("nan", "inf", "-1", "1e9", "9" * 400, "1000001"),
    "--disk-delay": ("nan", "-1s", "12d", "16667m"),
    "--dm-minor": ("-1", "1048576"),
    "--dm-name": ("\udcff",),
    "--export": ("\udcff",),
    "--fault": ("", "read", "read:explode", "read:error:errno=ENONE"),
    "--fec-roots": ("1", "25", "\u0662"),
    "--grace": ("nan", "inf", "-inf", "-1", "1e3"),
    "--hash": ("", "md5", "sha3"),
    "--hash-block-size": ("0", "4097"),
    "--hash-offset": ("-1", "8EiB", "9" * 30, "9" * 5000, "x"),
    "--max-clients": ("0", "-1", "1_0", " 1", "+1"),
    "--overlay-size": ("0", "0MiB", "-1"),
    "--salt": ("0", "xy", "00" * 257),
    "--size": ("0", "8EiB"),
    "--slots": ("0", "65"),
    "--status": ("", "x", ":70000", ":\u0661", ":" + "9" * 5000),
    "--table": ("",),
    "--tcp": ("", "localhost", "a:b", ":-1"),
    "--timeout": ("nan", "1e3"),
    "--workers": ("0", "1025", "\u0661"),
}
RIGHT = {
    "--data-block-size": (("512", 512), ("64KiB", 65536)),
    "--deadline": (("0", 0.0), ("1000000", 1e6)),
    "--fec-roots": (("2", 2), ("24", 24)),
    "--grace": (("0", 0.0), ("500ms", 0.5)),
    "--hash-offset": (("0", 0), ("7EiB", 7 << 60)),
    "--salt": (("-", b""), ("00ff", b"\0\xff")),
    "--size": (("1", 1),),
    "--workers": (("1024", 1024),),
}


def parsers_of(flag: str) -> list[argparse.ArgumentParser]:
    found = [parser for parser in PARSERS if flag in parser._option_string_actions]
    assert found
    return found


@pytest.mark.parametrize(("flag", "text"), [(flag, text) for flag, texts in WRONG.items() for text in texts])
def test_a_wrong_value(flag: str, text: str) -> None:
    for parser in parsers_of(flag):
        with pytest.raises(UsageError, match=flag) as caught:
            parser.parse_known_args([f"{flag}={text}"])
        assert caught.value.code == 2


@pytest.mark.parametrize(("flag", "text", "value"), [(flag, *pair) for flag, pairs in RIGHT.items() for pair in pairs])
def test_a_right_value(flag: str, text: str, value: object) -> None:
    for parser in parsers_of(flag):
        action = parser._option_string_actions[flag]
        assert parser._get_values(action, [text]) == value


def test_files_and_disks_have_names() -> None:
    """Each option and operand that is a file, or a disk."""
    nameless = [
        (parser.prog, action.option_strings or action.dest)
        for parser in PARSERS
        for action in parser._actions
        if str(action.metavar) in ("F", "D", "DIR", "DISK", "DATA", "HASH", "TABLE", "OVERLAY", "BASE", "SOURCE")
        and accepts(parser, action, "")
    ]
    assert nameless == []


def accepts(parser: argparse.ArgumentParser, action: argparse.Action, text: str) -> bool:
    try:
        parser._get_value(action, text)
    except argparse.ArgumentError:
        return False
    return True


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_two_hyphens_are_a_value(parser: argparse.ArgumentParser) -> None:
    """argparse gives an empty list for ``--option=--``."""
    for action in parser._actions:
        if action.option_strings and action.nargs is None and accepts(parser, action, "--") and not action.choices:
            assert parser._get_values(action, ["--"]) == parser._get_value(action, "--")


def test_an_argument_has_no_nul(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "a\0b"]) == 2
    assert capsys.readouterr().err == "bootpath: an argument has a NUL character: 'a\\x00b'\n"
