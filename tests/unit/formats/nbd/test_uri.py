"""NBD URIs: names of files may be any bytes, all else is UTF-8."""

from __future__ import annotations

import os

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.nbd.uri import NbdUri, pack_nbd_uri, parse_nbd_uri


@pytest.mark.parametrize("path", ["/run/s", "/run/ä b+c%", os.fsdecode(b"/run/\xff\xc3"), "s"])
def test_a_socket_may_have_any_name(path: str) -> None:
    uri = NbdUri("disk", socket=path, parameters={"tls-certificates": path})
    text = pack_nbd_uri(uri)
    assert text.isascii()
    assert parse_nbd_uri(text) == uri


@pytest.mark.parametrize(
    "text", ["nbd://host/%ff", "nbd://%ff@host/", "nbd://host/?x-a=%ff", "nbd://host/?tls-type=%ff"]
)
def test_the_rest_is_utf8(text: str) -> None:
    with pytest.raises(FormatError, match="a percent-encoded part is not UTF-8"):
        parse_nbd_uri(text)
