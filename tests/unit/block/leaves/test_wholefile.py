from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from bootpath.block.leaves.wholefile import open_plain, read_beginning, read_parsed, read_stream, read_whole
from bootpath.core.errors import Error, FormatError, LimitError
from bootpath.core.limits import limits_raised
from bootpath.formats.trace import parse_trace
from tests.support.errors import raises


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"k" * 3_000_000)
    assert read_whole(path) == path.read_bytes()
    with limits_raised(file_bytes=3_000_000):
        assert len(read_whole(path)) == 3_000_000


def test_the_beginning_of_a_file_may_do(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_bytes(b"abc")
    os.truncate(path, 1 << 40)
    assert read_beginning(path) == b"abc".ljust(4 << 20, b"\0")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    with limits_raised(file_wait_seconds=0), pytest.raises(LimitError, match="nothing was written to the pipe"):
        read_beginning(fifo)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch()
    os.truncate(path, 1 << 40)
    with raises(LimitError, what="the file is too large", where=str(path), found="1 TiB", expected="at most 4 MiB"):
        read_whole(path)


def test_what_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recorded"
    path.write_bytes(b"{")
    with raises(
        FormatError, what="the last line has no line feed", where=f"{path}: trace", hint="the file was cut short"
    ):
        read_parsed(path, parse_trace)
    path.write_bytes(b"key")
    assert read_parsed(path, bytes.decode) == "key"


def test_a_device_that_never_ends() -> None:
    with raises(LimitError, what="the file is too large", where="/dev/zero", expected="at most 4 MiB"):
        read_whole("/dev/zero")
    with open("/dev/zero", "rb") as file, raises(LimitError, where="standard input"):
        read_stream(file, "standard input")


def test_a_pipe_is_read_like_a_file() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"pass")
    os.write(writing, b"word")
    os.close(writing)
    try:
        assert read_whole(f"/dev/fd/{reading}") == b"password"
    finally:
        os.close(reading)


def test_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with limits_raised(file_wait_seconds=0), pytest.raises(LimitError, match="nothing was written") as caught:
        read_whole(tmp_path / "pipe")
    assert caught.value.hint == "allow more with BOOTPATH_LIMITS=file_wait_seconds=N"


def test_what_is_missing_or_a_directory_is_named(tmp_path: Path) -> None:
    for path, kind in ((tmp_path / "no", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind) as caught:
            read_whole(path)
        assert caught.value.filename == str(path)


def test_a_stream_is_read_to_its_end() -> None:
    assert read_stream(io.BytesIO(b"table"), "standard input", "table_bytes") == b"table"


def test_only_what_has_a_size_is_read_in_pieces(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(Error, match="neither a file nor a block device"):
            open_plain(path)
    with pytest.raises(IsADirectoryError):
        open_plain(tmp_path)
    (tmp_path / "file").write_bytes(b"content")
    with open_plain(tmp_path / "file") as file:
        assert file.read() == b"content"
