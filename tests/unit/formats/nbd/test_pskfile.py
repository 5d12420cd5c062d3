from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.nbd.pskfile import parse_psk_file

KEY = "00112233445566778899aabbccddeeff"


def test_users() -> None:
    content = f"alice:{KEY}\n\n  b:o:b:{KEY.upper()} \r\nзоя:{KEY}{KEY}\n".encode()
    assert parse_psk_file(content) == {
        "alice": bytes.fromhex(KEY),
        "b:o:b": bytes.fromhex(KEY),
        "зоя": bytes.fromhex(KEY * 2),
    }


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no user has a key"),
        (b"\n \n", "no user has a key"),
        (KEY.encode(), "line 1: the line is not USER:KEY"),
        (f":{KEY}".encode(), "line 1: the line is not USER:KEY"),
        (f"alice:{KEY[:-1]}".encode(), "the key is not in hexadecimal"),
        (f"alice:{KEY[:-1]}g".encode(), "the key is not in hexadecimal"),
        (f"alice:{KEY}\n\nbob:abcd".encode(), "line 3: the key has the wrong length; .* found 2 bytes"),
        (b"alice:", "found 0 bytes"),
        (b"alice:" + b"ab" * 257, "found 257 bytes"),
        (f"alice:{KEY}\nalice:{KEY}".encode(), "line 2: the user is named twice"),
        (f"a\0:{KEY}".encode(), "has a NUL"),
        (b"\xff:" + KEY.encode(), "or the user not in UTF-8"),
        (b"alice:\xff\xff", "the key is not in hexadecimal"),
    ],
)
def test_what_is_no_file_of_keys(content: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what) as fault:
        parse_psk_file(content)
    assert KEY[:-1] not in str(fault.value)
