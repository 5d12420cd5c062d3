from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.osrelease import OS_RELEASE_MAX_BYTES, parse_os_release


def test_assignments() -> None:
    data = b"""# comment
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
ID=debian
VERSION='12 (\xc3\xa4)'
  NAME=last
NAME="it's \\$5 \\"x\\""
EMPTY=
BROKEN="no end
not an assignment
1BAD=x
"""
    assert parse_os_release(data + bytes(7)) == {
        "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)",
        "ID": "debian",
        "VERSION": "12 (ä)",
        "NAME": 'it\'s $5 "x"',
        "EMPTY": "",
        "BROKEN": '"no end',
    }


@pytest.mark.parametrize("data", [b"ID=\xff", b"ID=a\0b\n", b"#" * (OS_RELEASE_MAX_BYTES + 1)])
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_os_release(data)
