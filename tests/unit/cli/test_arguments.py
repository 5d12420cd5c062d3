from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from bootpath.cli.arguments import duration, limits_of, read_password, size, uuid
from bootpath.cli.failures import UsageError
from bootpath.core.limits import Budgets, limits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4096", 4096),
        ("1024MiB", 1 << 30),
        ("4G", 4 << 30),
        ("4gib", 4 << 30),
        ("1MB", 10**6),
        ("512B", 512),
        ("1.5GiB", 3 << 29),
        (" 8 KiB ", 8192),
        ("9007199254740993", (1 << 53) + 1),
        ("9223372036854775807", (1 << 63) - 1),
        ("7.5EiB", 15 << 59),
        ("0.1MB", 100_000),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1.3", "1 XiB", "MiB", "1e9", "0x10", "١"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        size(text)


@pytest.mark.parametrize(("text", "value"), [("2", 2.0), ("2s", 2.0), ("500ms", 0.5), ("1m", 60.0), ("0.5 s", 0.5)])
def test_durations(text: str, value: float) -> None:
    assert duration(text) == value


@pytest.mark.parametrize("text", ["", "-1s", "2h", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)


def test_uuid() -> None:
    assert uuid("6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c001").version == 4
    with pytest.raises(argparse.ArgumentTypeError):
        uuid("nonsense")


@pytest.mark.parametrize(
    ("content", "password"), [(b"a b\n", b"a b"), (b"x\r\n", b"x"), (b"x\n\n", b"x\n"), (b"", b"")]
)
def test_password_file_drops_one_newline(tmp_path: Path, content: bytes, password: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert read_password(file) == password


def test_no_password_file() -> None:
    assert read_password(None) is None


def test_limits_are_those_of_the_variable() -> None:
    with limits_of("initrd_bytes=4GiB, boot_entries=5000"):
        assert (limits().initrd_bytes, limits().boot_entries) == (4 << 30, 5000)
    with limits_of(" "):
        assert limits() == Budgets()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("boot_entrys=1", "did you mean boot_entries?"),
        ("everything=1", "docs/reference/limits.md"),
        ("initrd_bytes", "write initrd_bytes=64MiB"),
        ("initrd_bytes=-1", "write initrd_bytes=64MiB"),
        ("places=4GiB", "write places=100"),
        ("places=-4", "write places=100"),
    ],
)
def test_limits_that_are_none(text: str, what: str) -> None:
    with pytest.raises(UsageError) as caught, limits_of(text):
        pass
    assert what in str(caught.value)
