"""What is on a device: exactly one file system, or an error that says what there is."""

from __future__ import annotations

import errno

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.block.targets.fault import Fault, FaultKind, FaultRule
from bootpath.core.device import Device, checked
from bootpath.core.errors import DeviceError, FileSystemError, FormatError
from bootpath.fs.readers.files import FileKind, Files
from bootpath.fs.readers.open import READERS, find_kind, open_files
from bootpath.fs.readers.redoxfiles import RedoxFiles
from bootpath.fs.redox.redoxfs import RedoxFS
from tests.support.filetrees import as_device, contents, golden_image

NAMES = ["fat12", "ext4-4k", "erofs-lz4hc-big", "squashfs-zstd", "iso9660-moved", "ubifs-lzo"]


def redoxfs_image() -> bytearray:
    image = bytearray(2 << 20)
    with RedoxFS.create(MemoryDevice(image), created_ns=0, clock=lambda: 0, pristine=True) as fs:
        fs.mkdir("boot")
        fs.mkfile("boot/kernel")
        fs.write("boot/kernel", b"k" * 5000)
        fs.symlink("kernel", "boot/link")
    return image


def test_redoxfs_is_one_of_them() -> None:
    device = MemoryDevice(redoxfs_image())
    files: Files = open_files(device)
    assert (files.format, find_kind(device), list(files.warnings)) == ("redoxfs", "redoxfs", [])
    assert [entry.kind for entry in files.list("boot")] == [FileKind.FILE, FileKind.SYMLINK]
    assert files.read_file("boot/link", 5000) == files.read("boot/kernel", 0, 9999) == b"k" * 5000
    assert files.readlink("boot/link") == "kernel"
    assert files.exists("boot")
    assert not files.exists("root")
    assert files.lookup("boot/link", follow=False).kind is FileKind.SYMLINK
    assert [path for path, _ in files.walk()] == ["/", "/boot", "/boot/kernel", "/boot/link"]
    assert sum(extent.length for extent in files.extents("boot/kernel")) >= 4096
    with pytest.raises(FileSystemError) as caught:
        files.read_file("boot/kernel", 4999)
    assert caught.value.errno == errno.EFBIG
    with pytest.raises(FileSystemError) as caught:
        files.read_file("boot", 4999)
    assert caught.value.errno == errno.EISDIR
    with RedoxFS.open(MemoryDevice(redoxfs_image())) as fs:
        assert RedoxFiles(fs).read("boot/kernel", 4999, 10) == b"k"


@pytest.mark.parametrize("name", NAMES)
def test_devices_with_large_blocks(name: str) -> None:
    image = golden_image(name)
    image += bytes(-len(image) % 4096)
    device = checked(MemoryDevice(bytes(image), block_bytes=4096))
    assert open_files(device).read_file("vmlinuz", 100_000) == contents()["vmlinuz"]


def test_nothing() -> None:
    with pytest.raises(
        FormatError, match=r"memory: the device has no file system that can be read; found nothing known"
    ):
        open_files(MemoryDevice(1 << 20))
    with pytest.raises(ValueError, match="no reader of 'ntfs', only of vfat, ext2"):
        open_files(MemoryDevice(512), "ntfs")


def test_more_than_one() -> None:
    """A new squashfs over an old ext4 leaves the ext4's superblock where it was."""
    image = golden_image("ext4-4k")
    squashfs = golden_image("squashfs-gzip")
    image[:96] = squashfs[:96]
    device = as_device(image)
    with pytest.raises(FormatError, match="image: several file systems are on this device: ext4, squashfs") as caught:
        open_files(device)
    assert "wipefs" in str(caught.value)
    assert open_files(device, "ext4").read_file("vmlinuz", 100_000) == contents()["vmlinuz"]


def test_what_is_damaged_and_nothing_else() -> None:
    image = golden_image("ext4-1k")
    image[1024 + 200] ^= 1
    with pytest.raises(FormatError, match=r"image: ext: .*checksum"):
        open_files(as_device(image))


def test_every_kind_refuses_zeros() -> None:
    for kind in READERS:
        with pytest.raises(FormatError):
            open_files(MemoryDevice(64 << 10), kind)


def boot(device: Device, kind: str) -> bytes:
    """What a loader does."""
    files = open_files(device, kind)
    assert files.list("loader/entries")
    return files.read_file("loader/entries/linux.conf", 4096) + files.read_file("vmlinuz", 100_000)


@pytest.mark.parametrize("name", [*NAMES, "ext2-1k", "erofs-chunks", "squashfs-lz4", "iso9660-zisofs"])
def test_a_read_that_fails_is_a_device_error(name: str) -> None:
    """Each read in turn fails once, and DeviceError passes."""
    device = as_device(golden_image(name))
    kind = find_kind(device)
    right = contents()["loader/entries/linux.conf"] + contents()["vmlinuz"]
    for turn in range(1000):
        fault = Fault(device, [FaultRule(FaultKind.ERROR, after=turn, count=1)])
        try:
            assert boot(fault, kind) == right
        except DeviceError as error:
            assert error.errno == errno.EIO  # noqa: PT017 - the loop ends when there is no error
        if not fault.hits:
            assert turn >= 5
            return
    pytest.fail("it reads too often")


@pytest.mark.parametrize("name", [*NAMES, "ext2-1k", "squashfs-lz4", "iso9660-zisofs"])
def test_a_reader_lives_on_after_a_read_that_failed(name: str) -> None:
    device = as_device(golden_image(name))
    kind = find_kind(device)
    for turn in range(1000):
        fault = Fault(device, [FaultRule(FaultKind.ERROR, after=turn, count=1)])
        try:
            files = open_files(fault, kind)
        except DeviceError:
            continue
        try:
            files.read_file("text", 200_000)
        except DeviceError:
            assert files.read_file("text", 200_000) == contents()["text"]
        if not fault.hits:
            return
