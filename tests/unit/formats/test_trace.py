from __future__ import annotations

from uuid import UUID

import pytest

from bootpath.core.errors import FormatError, LimitError
from bootpath.core.iolog import Discard, Flush, Mark, Read, Record, Write, Zero
from bootpath.core.limits import limits_raised
from bootpath.formats.trace import Trace, pack_trace, parse_trace

TRACE = Trace(
    uuid=UUID("6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d"),
    generation=7,
    size_bytes=1 << 30,
    records=(
        Mark("mount ❄"),
        Read(0, 4096),
        Read(4096, 8192, source="preload"),
        Read(1 << 40, 4096, source="disk", errno=5),
        Write(4096, 4096),
        Write(4096, 4, b"\0\1\2\3", fua=True),
        Write(8192, 0, b"", errno=28),
        Zero(8192, 4096),
        Discard(8192, 4096, errno=95),
        Flush(),
        Flush(errno=5),
    ),
)

HEADER = (
    '{"format": "bootpath.trace", "version": 1, "uuid": "6d4b1f6e-5f1c-4f0e-9f57-8f0f3c1a2b3d", '
    '"generation": 7, "size_bytes": 1073741824}\n'
)

TEXT = (
    HEADER
    + """\
{"op": "mark", "name": "mount \\u2744"}
{"op": "read", "offset": 0, "length": 4096}
{"op": "read", "offset": 4096, "length": 8192, "source": "preload"}
{"op": "read", "offset": 1099511627776, "length": 4096, "source": "disk", "errno": 5}
{"op": "write", "offset": 4096, "length": 4096}
{"op": "write", "offset": 4096, "length": 4, "data": "AAECAw==", "fua": true}
{"op": "write", "offset": 8192, "length": 0, "data": "", "errno": 28}
{"op": "zero", "offset": 8192, "length": 4096}
{"op": "discard", "offset": 8192, "length": 4096, "errno": 95}
{"op": "flush"}
{"op": "flush", "errno": 5}
"""
)


def fault(text: str | bytes) -> str:
    with pytest.raises(FormatError) as caught:
        parse_trace(text.encode() if isinstance(text, str) else text)
    return str(caught.value)


def test_text() -> None:
    assert pack_trace(TRACE).decode() == TEXT
    assert parse_trace(TEXT.encode()) == TRACE


def test_every_kind_of_record_is_covered() -> None:
    assert {type(record) for record in TRACE.records} == {Read, Write, Zero, Discard, Flush, Mark}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "trace: the file is empty"),
        (HEADER[:-1], "trace: the last line has no line feed; the file was cut short"),
        ("{}\n", "trace: line 1: the member 'format' is missing"),
        (HEADER.replace("trace", "plan"), "trace: line 1: the value of format is not valid"),
        (HEADER.replace(": 1,", ": 2,"), "trace: line 1: the value of version is not valid; expected 1, found 2"),
        (HEADER.replace(": 7", ": 7.0"), "trace: line 1: a number is not an integer"),
        (HEADER.replace(": 7", ": -7"), "trace: line 1: the value of generation is not valid"),
        (HEADER.replace("}", ', "x": 1}'), "trace: line 1: the member 'x' is not known"),
    ],
)
def test_header_refusal(text: str, message: str) -> None:
    assert fault(text).startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the text is not JSON: line 1, column 1: expecting value"),
        ("[]", "the value is not an object; expected an object, found []"),
        ("{}", "the member 'op' is missing"),
        ('{"op": 1}', "the value of op is not valid; expected a string, found 1"),
        ('{"op": "trim"}', "the record has an unknown op; expected a record of the I/O log, found 'trim'"),
        ('{"op": "read", "length": 1}', "the member 'offset' is missing"),
        ('{"op": "read", "offset": 0}', "the member 'length' is missing"),
        ('{"op": "read", "offset": true, "length": 1}', "the value of offset is not valid"),
        ('{"op": "read", "offset": -1, "length": 1}', "the value of offset is not valid"),
        ('{"op": "read", "offset": 0, "length": 1, "length": 1}', "the member 'length' appears twice"),
        ('{"op": "read", "offset": 0, "length": 1, "fua": true}', "the member 'fua' is not known"),
        (
            '{"op": "read", "offset": 0, "length": 1, "source": null}',
            "the value of source is not valid; expected a string, found None",
        ),
        (
            '{"op": "read", "offset": 18446744073709551615, "length": 1}',
            "offset + length is out of range; expected an end below 2^64, found 18446744073709551616",
        ),
        (
            '{"op": "read", "offset": 0, "length": 1, "errno": 4096}',
            "the record has an unknown errno; expected 0 to 4095, found 4096",
        ),
        (
            '{"op": "write", "offset": 0, "length": 1, "fua": 1}',
            "the value of fua is not valid; expected true or false, found 1",
        ),
        (
            '{"op": "write", "offset": 0, "length": 1, "data": "AAE="}',
            "the data has the wrong length; expected 1, found 2 bytes",
        ),
        ('{"op": "write", "offset": 0, "length": 1, "data": "AB=="}', "the data is not base64"),
        ('{"op": "write", "offset": 0, "length": 1, "data": "AA"}', "the data is not base64"),
        ('{"op": "write", "offset": 0, "length": 1, "data": "-"}', "the data is not base64"),
        ('{"op": "write", "offset": 0, "length": 1, "data": "ü"}', "the data is not base64"),
        (
            '{"op": "write", "offset": 0, "length": 1, "data": null}',
            "the value of data is not valid; expected a string, found None",
        ),
        ('{"op": "zero", "offset": 0, "length": 1, "data": "AA=="}', "the member 'data' is not known"),
        ('{"op": "flush", "offset": 0}', "the member 'offset' is not known"),
        ('{"op": "mark"}', "the member 'name' is missing"),
        ('{"op": "mark", "name": "a", "errno": 0}', "the member 'errno' is not known"),
        ('{"op": "mark", "name": "\\udc00"}', "the string '\\udc00' holds a lone surrogate"),
        ("[" * 100_000, "the text is nested too deeply"),
        ("\ufeff{}", "the text is not JSON: line 1, column 1"),
    ],
)
def test_record_refusal_names_the_line(line: str, message: str) -> None:
    text = f'{HEADER}{{"op": "flush"}}\n{line}\n'
    assert fault(text).startswith(f"trace: line 3: {message}")


def test_bytes_that_are_not_utf8() -> None:
    assert fault(HEADER.encode() + b"\xff\n").startswith("trace: line 2: byte 0 is not UTF-8")


def test_file_too_long() -> None:
    with limits_raised(trace_bytes=1 << 20):
        assert "the trace is too long; expected at most 1 MiB" in fault(bytes((1 << 20) + 1))


def test_trace_too_long_to_pack() -> None:
    with limits_raised(trace_bytes=len(TEXT) - 1), pytest.raises(LimitError, match="the trace is too long"):
        pack_trace(TRACE)


@pytest.mark.parametrize(
    "record",
    [
        Read(-1, 4096),
        Read(0, -1),
        Read(2**64 - 1, 1),
        Read(0, 1, errno=-1),
        Flush(errno=4096),
        Write(0, 2, b"a"),
        Mark("\ud800"),
    ],
)
def test_record_that_could_not_be_parsed_back(record: Record) -> None:
    with pytest.raises(FormatError):
        pack_trace(Trace(TRACE.uuid, 1, 1, (record,)))


@pytest.mark.parametrize(("generation", "size_bytes"), [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_header_value_out_of_range(generation: int, size_bytes: int) -> None:
    with pytest.raises(FormatError, match="an unsigned 64-bit number"):
        Trace(TRACE.uuid, generation, size_bytes, ())
