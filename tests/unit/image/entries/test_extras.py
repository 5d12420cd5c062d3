from __future__ import annotations

import stat

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.cpio import parse_cpio
from bootpath.image.entries.extras import is_extra, pack_extras


def test_each_kind_in_its_place() -> None:
    archive = pack_extras(
        [("/a/b.cred", b"secret"), ("/x.SYSEXT.raw", b"x"), ("/y.confext.raw", b""), ("/a/unknown.raw", b"z")]
    )
    entries = {entry.path: (stat.S_IMODE(entry.mode), entry.data) for entry in parse_cpio(archive)}
    assert entries == {
        ".extra": (0o755, b""),
        ".extra/credentials": (0o500, b""),
        ".extra/credentials/b.cred": (0o400, b"secret"),
        ".extra/sysext": (0o555, b""),
        ".extra/sysext/x.SYSEXT.raw": (0o444, b"x"),
        ".extra/confext": (0o555, b""),
        ".extra/confext/y.confext.raw": (0o444, b""),
    }


def test_nothing_that_is_known() -> None:
    assert pack_extras([("/a.raw", b"")]) == pack_extras([]) == b""
    assert not is_extra("/a.raw")


def test_two_of_one_name() -> None:
    assert pack_extras([("/a/x.cred", b"1"), ("/b/x.cred", b"1")])
    with pytest.raises(FormatError, match="two different entries have this name"):
        pack_extras([("/a/x.cred", b"1"), ("/b/x.cred", b"2")])
