from __future__ import annotations

import pytest

from bootpath.formats.systemdboot.loaderconf import LoaderConf, MenuMode, MenuTimeout, parse_loader_conf

EXAMPLE = b"""# /boot/efi/loader/loader.conf
timeout 0
default 01234567890abcdef1234567890abdf0-*
editor no
"""


def test_the_example_of_the_manual() -> None:
    assert parse_loader_conf(EXAMPLE) == LoaderConf("01234567890abcdef1234567890abdf0-*", timeout=0, editor=False)
    assert parse_loader_conf(b"") == LoaderConf()


def test_lines_as_systemd_boot_reads_them() -> None:
    text = (
        b"  default\t \"a b\" \r\n#default c\n\neditor\ntimeout 3\rpreferred 'x*'\nbeep yes\nbeep no\ndefault @SAVED\n"
    )
    conf = parse_loader_conf(text)
    assert conf == LoaderConf("@SAVED", "x*", 3, others=(("beep", "no"),))
    assert not conf.ignored
    assert parse_loader_conf(b"default a\0\ndefault b\n").default == "a"
    assert parse_loader_conf(b"default \xff\n").default == "\udcff"


@pytest.mark.parametrize(
    ("text", "timeout"),
    [
        ("5", 5),
        ("007", 7),
        ("4294967295", 4294967295),
        ("4294967296", None),
        ("9" * 5000, None),
        ("-1", None),
        ("٣", None),
        ("menu-hidden", MenuMode.HIDDEN),
        ("menu-disabled", MenuMode.DISABLED),
        ("menu-force", MenuMode.FORCE),
        ("Menu-force", None),
    ],
)
def test_timeouts(text: str, timeout: MenuTimeout | None) -> None:
    conf = parse_loader_conf(f"timeout {text}\n".encode())
    assert conf.timeout == timeout
    assert bool(conf.ignored) is (timeout is None)


def test_what_has_no_effect_is_said_once() -> None:
    conf = parse_loader_conf(b"\xef\xbb\xbfdefault a\neditor maybe\ndefault @first\ntimout 3\ntimout 4\ntimeout x\n")
    assert conf == LoaderConf()
    assert conf.ignored == (
        "default, which stands behind a byte order mark",
        "editor 'maybe', which is neither yes nor no",
        "default '@first', which names no entry",
        "'timout', which is not known",
        "timeout 'x', which is no time",
    )
