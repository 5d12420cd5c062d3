"""``50_rootfs``: find the disk that holds the root, open it as the system does, and read what a boot reads."""

from __future__ import annotations

from collections.abc import Iterator

from bootpath.fs.redox.redoxfs import RedoxFS

ROOTFS = "50_rootfs"
_CHUNK_BYTES = 1 << 20

BOOT_DIRECTORIES = ("/etc/init.d", "/usr/lib/init.d")
"""init reads every file in them."""
BOOT_FILES = (
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/hostname",
    "/etc/fstab",
    "/etc/issue",
    "/usr/bin/init",
    "/usr/bin/getty",
    "/usr/bin/login",
    "/usr/bin/ion",
    "/usr/bin/sh",
)
"""What Redox's first programs open on the way to a login prompt; those that exist are read."""


LINUX_BOOT_FILES = (
    "/sbin/init",
    "/bin/sh",
    "/etc/inittab",
    "/etc/init.d/rcS",
    "/sbin/getty",
    "/bin/login",
    "/etc/nsswitch.conf",
    "/etc/securetty",
    "/etc/profile",
)
"""The same for a Linux with a small init; links are followed."""


def look_at_root(fs: RedoxFS) -> None:
    """What a mount does before anybody can use it: read the root directory. An open alone may not have come so far."""
    fs.list("/")


def boot_reads(fs: RedoxFS) -> list[str]:
    """The paths of this file system that a boot to the login prompt reads, in order."""
    return [path for path in (*BOOT_DIRECTORIES, *BOOT_FILES, *LINUX_BOOT_FILES) if fs.exists(path)]


def touch(fs: RedoxFS, path: str) -> Iterator[str]:
    """Read a file whole, or list a directory and read the files in it; yields what is read next, before it is read.

    Raises FileSystemError when `path` is not there.
    """
    yield "directory"
    node = fs.lookup(path)
    if not node.is_dir:
        yield path
        _drain(fs, path, node.size_bytes)
        return
    for entry in fs.list(path):
        if entry.node.is_file:
            child = f"{path.rstrip('/')}/{entry.name}"
            yield child
            _drain(fs, child, entry.node.size_bytes)


def _drain(fs: RedoxFS, path: str, size_bytes: int) -> None:
    for offset in range(0, size_bytes, _CHUNK_BYTES):
        fs.read(path, offset, _CHUNK_BYTES)
