from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.extlinux import (
    EXTLINUX_MAX_BYTES,
    MAX_INCLUDES,
    MAX_TIMEOUT_TENTHS,
    ExtlinuxLabel,
    ExtlinuxMenu,
    pack_extlinux,
    parse_extlinux,
)

# As u-boot-menu writes it, and with all that U-Boot's README.pxe names.
MENU = b"""\
## /boot/extlinux/extlinux.conf
default l0
menu title U-Boot menu
prompt 0
timeout 50


label l0
\tmenu label Debian GNU/Linux 12 (bookworm) 6.1.0-18-arm64
\tlinux /boot/vmlinuz-6.1.0-18-arm64
\tinitrd /boot/initrd.img-6.1.0-18-arm64
\tfdtdir /usr/lib/linux-image-6.1.0-18-arm64/

\tappend root=PARTUUID=1234 ro quiet

LABEL l0r
\tMENU LABEL ^Rescue
\tKERNEL /boot/fit.itb#conf-1
\tDEVICETREE a.dtb
\tFDT b.dtb
\tFDTOVERLAYS x.dtbo  y.dtbo
\tAPPEND single
\tKASLRSEED
label local
\tlocalboot 1
"""


def test_a_menu() -> None:
    menu = parse_extlinux(MENU)
    assert menu == ExtlinuxMenu(
        (
            ExtlinuxLabel(
                "l0",
                "Debian GNU/Linux 12 (bookworm) 6.1.0-18-arm64",
                "/boot/vmlinuz-6.1.0-18-arm64",
                initrds=("/boot/initrd.img-6.1.0-18-arm64",),
                append="root=PARTUUID=1234 ro quiet",
                devicetree_directory="/usr/lib/linux-image-6.1.0-18-arm64/",
            ),
            ExtlinuxLabel(
                "l0r",
                "Rescue",
                "/boot/fit.itb",
                "conf-1",
                append="single",
                devicetree="a.dtb",
                devicetree_overlays=("x.dtbo", "y.dtbo"),
            ),
            ExtlinuxLabel("local", local=True),
        ),
        default="l0",
        title="U-Boot menu",
        timeout_tenths=50,
    )
    assert menu.ignored == ("kaslrseed",)
    assert parse_extlinux(pack_extlinux(menu)) == menu


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("label a\nlabel b\n", ""),
        ("label a\nlabel b\nmenu default\n", "b"),
        ("label a\nmenu default\nlabel b\nmenu default\n", "a"),
        ("default a\nlabel a\nlabel b\nmenu default\n", "a"),
        ("default a\nontimeout b\nlabel a\nlabel b\n", "b"),
        ("default a\ndefault\n", "a"),
    ],
)
def test_the_default(text: str, default: str) -> None:
    assert parse_extlinux(text.encode()).default == default


def test_initrds() -> None:
    menu = parse_extlinux(
        b"label a\ninitrd x,y\ninitrd z\nlabel b\nappend quiet initrd=p,q ro\nlabel c\nappend noinitrd=p\n"
        b"label d\ninitrd x\nappend initrd=p\n"
    )
    assert [menu.initrds(label) for label in menu.labels] == [("x", "y"), ("p", "q"), (), ("x",)]


def test_append_of_the_menu() -> None:
    menu = parse_extlinux(b"append common\nlabel a\nlabel b\nappend own\nlabel c\nappend -\n")
    assert [menu.command_line(label) for label in menu.labels] == ["common", "own", ""]
    assert parse_extlinux(pack_extlinux(menu)) == menu


def test_a_timeout_has_a_limit() -> None:
    assert parse_extlinux(b"timeout 99999\n").timeout_tenths == MAX_TIMEOUT_TENTHS


def test_includes_stand_where_they_are_named() -> None:
    files = {"one": b"label b\nmenu include two\n", "two": b"append of-b\nlabel c\n"}
    menu = parse_extlinux(b"label a\ninclude one\nlabel d\n", files.__getitem__)
    assert [(label.name, label.append) for label in menu.labels] == [
        ("a", None),
        ("b", "of-b"),
        ("c", None),
        ("d", None),
    ]


def test_includes_are_bounded() -> None:
    asked: list[str] = []

    def itself(name: str) -> bytes:
        asked.append(name)
        return b"include me\n"

    with pytest.raises(FormatError, match="INCLUDE"):
        parse_extlinux(b"include me\n", itself)
    assert len(asked) == MAX_INCLUDES
    with pytest.raises(FormatError, match="INCLUDE"):
        parse_extlinux(b"include me\n")
    half = b"#" * (EXTLINUX_MAX_BYTES // 2)
    with pytest.raises(FormatError, match="the menu is too long"):
        parse_extlinux(b"include a\ninclude b\n", lambda name: half)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"label\n", "no name"),
        (b"timeout x\n", "TIMEOUT"),
        (b"timeout -5\n", "TIMEOUT"),
        (b"label \xff\n", "UTF-8"),
        (b"label a\0b\n", "line 1"),
        (b"#" * (EXTLINUX_MAX_BYTES + 1), "the menu is too long"),
        (b"append " + b"x" * 20_000 + b"\n" + b"label a\n" * 100, "APPEND is too long for its labels"),
    ],
)
def test_menus_that_are_refused(data: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        parse_extlinux(data)


def test_what_would_be_read_as_something_else_is_not_packed() -> None:
    for label in (ExtlinuxLabel(""), ExtlinuxLabel("a", kernel="a#b"), ExtlinuxLabel("a", initrds=("a,b",))):
        with pytest.raises(FormatError):
            pack_extlinux(ExtlinuxMenu((label,)))
