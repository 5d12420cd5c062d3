from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.leaves.open import SCHEMES, open_device
from bootpath.core.device import read_bytes
from bootpath.core.errors import DeviceError
from tests.support.patterns import assert_pattern, pattern


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a disk.img"
    path.write_bytes(pattern(0, 8192))
    return path


def test_paths(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image.parent)
    for spec in (str(image), image.name, image.as_uri(), image.as_uri().replace("file:///", "file://localhost/")):
        device = open_device(spec)
        assert isinstance(device, FileDevice)
        assert device.read_only
        assert_pattern(read_bytes(device, 0, 8192), 0)
        device.close()
    device = open_device(str(image), writable=True)
    device.write(0, pattern(0, 512, tag=1))
    device.close()
    assert image.read_bytes()[:512] == pattern(0, 512, tag=1)


def test_a_path_that_looks_like_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("odd:")
    Path("odd:/disk").write_bytes(bytes(512))
    open_device("./odd://disk").close()
    with pytest.raises(DeviceError, match=r"no scheme 'odd'; expected one of .*; write \./ before a path"):
        open_device("odd://disk")


@pytest.mark.parametrize(
    ("spec", "writable", "code"),
    [
        ("/nonexistent", False, "ENOENT"),
        ("file://elsewhere/disk", False, "EINVAL"),
        ("ftp://host/disk", False, "EINVAL"),
        ("https://host/disk?token=hush", True, "EPERM"),
        ("s3://bucket/key", True, "EPERM"),
        ("nbds://host/?tls-certificates=/nonexistent", False, "ENOENT"),
        ("nbd+unix:///?socket=/nonexistent", False, "EIO"),
        ("a\0b", False, "EINVAL"),
        ("file:///a%00b", False, "EINVAL"),
        ("\ud800", False, "EINVAL"),
        ("file://[", False, "EINVAL"),
        ("file://localhost:x/disk", False, "EINVAL"),
        ("http://[::1/x", False, "EINVAL"),
        ("http://host:99999/x", False, "EINVAL"),
        ("https://[x]/", False, "EINVAL"),
        ("https://[::1/x", True, "EPERM"),
        ("s3://[", False, "EINVAL"),
        ("s3:///key", False, "EINVAL"),
        ("nbd://[::1/x", False, "EINVAL"),
        ("nbd://host:99999/x", False, "EINVAL"),
        ("nbd://host:0/x", False, "EINVAL"),
        ("nbd://" + "a" * 64 + "/x", False, "EINVAL"),
        ("nbd://a..b/x", False, "EINVAL"),
    ],
)
def test_refusals(spec: str, writable: bool, code: str) -> None:
    with pytest.raises(DeviceError) as error:
        open_device(spec, writable=writable)
    assert error.value.errno_name == code


@pytest.mark.parametrize("url", ["https://user:hush@[::1/x?hush", "https://user:hush@h\u2100/x#hush"])
def test_a_malformed_url_is_shown_without_secrets(url: str) -> None:
    with pytest.raises(DeviceError, match="the URL is malformed") as error:
        open_device(url)
    assert "hush" not in str(error.value)
    assert "hush" not in str(error.value)


def test_every_scheme_is_lower_case() -> None:
    assert all(scheme == scheme.lower() for scheme in SCHEMES)
