from __future__ import annotations

import errno

import pytest

from bootpath.core.errors import DeviceError, FileSystemError, FormatError, LimitError
from bootpath.image.entries.files import FilePart, list_files, read_part, real_path, whole_file
from bootpath.image.entries.reasons import FileReason
from tests.support.bootfiles import memory_files

TREE: dict[str, bytes | str] = {
    "/boot/vmlinuz-1": b"kernel",
    "/boot/vmlinuz": "vmlinuz-1",
    "/vmlinuz": "boot/vmlinuz",
    "/up/a/link": "../../boot/vmlinuz-1",
    "/absolute": "/boot/vmlinuz-1",
    "/deep/in": "/up/../dir/",
    "/boot/it": "/absolute",
    "/out": "../../boot/vmlinuz-1",
    "/back": "boot\\vmlinuz-1",
    "/loop": "loop",
    "/dangling": "nowhere",
    "/dir": "boot",
    "/climb": "boot/../../boot/vmlinuz-1",
}


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/boot/vmlinuz-1", "/boot/vmlinuz-1"),
        ("/vmlinuz", "/boot/vmlinuz-1"),
        ("/up/a/link", "/boot/vmlinuz-1"),
        ("/dir/vmlinuz", "/boot/vmlinuz-1"),
        ("/absolute", "/boot/vmlinuz-1"),
        ("/deep/in/it", "/boot/vmlinuz-1"),
    ],
)
def test_links_are_followed_in_a_root(path: str, real: str) -> None:
    assert real_path(memory_files(TREE), path, follow=True) == real


@pytest.mark.parametrize("path", ["/vmlinuz", "/dir/vmlinuz-1", "/absolute"])
def test_no_link_is_followed_on_a_boot_partition(path: str) -> None:
    with pytest.raises(FormatError, match="which is not allowed on a boot partition"):
        real_path(memory_files(TREE), path, follow=False)


@pytest.mark.parametrize(
    ("path", "what"),
    [("/out", "out of"), ("/climb", "out of"), ("/back", "no path")],
)
def test_links_that_lead_out_are_refused(path: str, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        real_path(memory_files(TREE), path, follow=True)
    fault = whole_file(memory_files(TREE), path, follow=True).fault
    assert fault is not None
    assert fault.reason is FileReason.UNREADABLE


def test_a_loop_ends() -> None:
    with pytest.raises(FileSystemError) as caught:
        real_path(memory_files(TREE), "/loop", follow=True)
    assert caught.value.errno == errno.ELOOP


def test_pieces() -> None:
    files = memory_files(TREE)
    assert whole_file(files, "/vmlinuz", follow=True) == FilePart("/boot/vmlinuz-1", size_bytes=6)
    assert whole_file(files, "/nothing", follow=True).fault == FileReason.MISSING()
    assert whole_file(files, "/boot/vmlinuz-1/x", follow=True).fault == FileReason.MISSING()
    assert whole_file(files, "/dangling", follow=True).fault == FileReason.MISSING()
    assert whole_file(files, "/boot", follow=True).fault == FileReason.NOT_A_FILE("directory")


def test_reading_pieces() -> None:
    files = memory_files(TREE)
    assert read_part(files, FilePart("/boot/vmlinuz-1", 2, 3, ".linux")) == b"rne"
    assert read_part(files, FilePart("/boot/vmlinuz-1", size_bytes=0)) == b""
    with pytest.raises(FileSystemError, match="is missing"):
        read_part(files, FilePart("/x", fault=FileReason.MISSING()))
    with pytest.raises(DeviceError, match="returned 4"):
        read_part(files, FilePart("/boot/vmlinuz-1", 2, 30))


def test_directories_are_listed_up_to_a_limit() -> None:
    files = memory_files({f"/d/{number:04}.conf": b"" for number in range(1005)} | {"/d/x.txt": b""})
    listed = list_files(files, "/d", ".conf", follow=False)
    assert [next(listed).name for _ in range(1000)][-1] == "0999.conf"
    with pytest.raises(LimitError, match="at most 1000"):
        next(listed)
    assert list(list_files(files, "/none", ".conf", follow=False)) == []
    assert list(list_files(files, "/d/x.txt", ".conf", follow=False)) == []
