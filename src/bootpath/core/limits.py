"""What an untrusted image, or a file that somebody gives us, may cost: every budget of memory, time and counts.

A budget is what this program is willing to spend, and its user may allow more; what a specification says of its own
format (a name has at most 255 bytes) is a constant beside the parser, and nobody can raise it. Each budget is a field
of `Budgets` with its unit in its name, and is spent in one place. Sums are budgeted and not only pieces: a thousand
small files cost as much as one that is too large.

Whoever goes past one raises a `LimitError` through `check_limit`: a FormatError that names the limit and says how to
raise it. The limits that count are those of the process, whose memory it is: `limits` gives them to every thread, a
process that is forked inherits them, and `limits_raised` changes them for as long as a ``with`` lasts. A command line
does that once, before it reads anything, with what the variable ``BOOTPATH_LIMITS`` says; tests do it for one test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace

from bootpath.core.errors import LimitError
from bootpath.core.units import format_bytes

VARIABLE = "BOOTPATH_LIMITS"
_MIB = 1 << 20


def _limit(default: int, meaning: str) -> int:
    value: int = field(default=default, metadata={"meaning": meaning})
    return value


@dataclass(frozen=True, slots=True)
class Budgets:
    """Every budget. A name that ends in ``_bytes`` or ``_seconds`` has that unit, every other one is a count."""

    file_bytes: int = _limit(
        4 * _MIB,
        "size of a small file that an option names: a key, a certificate, a password, a root hash, a signature, "
        "a definition, an environment",
    )
    file_wait_seconds: int = _limit(30, "time for which a pipe that an option names may give nothing")
    plan_bytes: int = _limit(16 * _MIB, "size of a preload plan")
    trace_bytes: int = _limit(32 * _MIB, "size of a recorded trace")
    table_bytes: int = _limit(4 * _MIB, "size of a text with device-mapper tables")
    table_depth: int = _limit(32, "number of devices of a listing that are stacked on each other")
    table_lines: int = _limit(
        10_000, "number of lines in which tables are shown, each device once for every device on top of it"
    )
    picture_pixels: int = _limit(50_000_000, "size of a PNG picture; SVG has no pixels")
    program_bytes: int = _limit(256 * _MIB, "size of a program or kernel module that goes into an initramfs")
    metadata_bytes: int = _limit(
        256 * _MIB, "memory for what is read to find out what is on a disk: tables, superblocks, hash trees"
    )
    metadata_text_bytes: int = _limit(
        8 * _MIB, "size of all JSON and LVM2 text on a disk: signatures, LUKS headers, volume groups"
    )
    ubi_eraseblocks: int = _limit(1 << 18, "number of eraseblocks in the UBI images of a disk")
    partition_entries: int = _limit(
        200_000, "number of used entries in all partition tables of a disk; both copies of a GPT count"
    )
    places: int = _limit(1024, "number of partitions and volumes of a disk, nested ones included")
    directory_names: int = _limit(
        250_000,
        "number of names in all directories that are searched in a file system, or for the boot entries of a disk",
    )
    directory_bytes: int = _limit(
        64 * _MIB, "size of all directories that are read for the boot entries of a disk, unused entries included"
    )
    unpacked_bytes: int = _limit(
        1024 * _MIB, "size of what is decompressed to find boot entries, or to load one, repetitions included"
    )
    boot_volumes: int = _limit(16, "number of file systems that are searched for boot entries")
    boot_entries: int = _limit(
        1000, "number of boot entries of a disk, excluded ones included, and of names in one of their directories"
    )
    entry_text_bytes: int = _limit(
        4 * _MIB, "size of all boot entries, menus and image sections that are parsed for them"
    )
    entry_files: int = _limit(10_000, "number of files that the boot entries of a disk name, repetitions included")
    file_clusters: int = _limit(
        1 << 21, "number of FAT clusters that are followed to check the files of boot entries, repetitions included"
    )
    path_steps: int = _limit(
        200_000, "number of path components that are looked up on the way to the files of boot entries"
    )
    version_characters: int = _limit(256, "length of a boot entry's version")
    boot_attempts: int = _limit(16, "number of candidates for the root of a Linux that are tried one after the other")
    kernel_bytes: int = _limit(512 * _MIB, "size of a kernel, or of a unified kernel image that is verified")
    initrd_bytes: int = _limit(512 * _MIB, "size of all initrds and extra resources of a boot entry together")
    devicetree_bytes: int = _limit(16 * _MIB, "size of a device tree")
    boot_partition_bytes: int = _limit(
        1024 * _MIB, "memory for what is read of boot partitions, so that what was verified is what runs"
    )
    unpacked_image_bytes: int = _limit(
        64 * 1024 * _MIB, "size of a compressed disk image once it is unpacked into a temporary file"
    )
    packed_blocks: int = _limit(
        1 << 20, "number of blocks, frames or chunks of a compressed or sparse disk image, and of its repetitions"
    )
    packed_block_bytes: int = _limit(
        64 * _MIB, "size of a block of a compressed disk image, above which all of it is unpacked when it is opened"
    )
    packed_cache_bytes: int = _limit(256 * _MIB, "memory for the blocks of a compressed disk image that were unpacked")
    unpacking_bytes: int = _limit(256 * _MIB, "memory that the decoder of a compressed disk image may ask for")
    backing_files: int = _limit(16, "number of images that stand one below the other")
    snapshot_exceptions: int = _limit(1_000_000, "number of exceptions (copied chunks) in a snapshot's store")
    overlay_log_bytes: int = _limit(
        128 * _MIB, "size of the log of an overlay file, which is read when the file is opened"
    )
    overlay_map_bytes: int = _limit(256 * _MIB, "memory for the map of an overlay's blocks")


_current = Budgets()
_spent: ContextVar[dict[str, int] | None] = ContextVar("spent", default=None)


def limits() -> Budgets:
    """The limits of this process."""
    return _current


@contextmanager
def limits_raised(**values: int) -> Iterator[Budgets]:
    """Have these values in place of those of the process while the block runs. TypeError for a name that is none."""
    global _current
    before = _current
    _current = replace(before, **values)
    try:
        yield _current
    finally:
        _current = before


@contextmanager
def spending() -> Iterator[None]:
    """Count together what is spent in the block, by this thread: what `spend` is told of one disk, for example."""
    token = _spent.set({})
    try:
        yield
    finally:
        _spent.reset(token)


def spend(name: str, amount: int, what: str, *, where: str | None = None) -> None:
    """As `check_limit`, of this and of all that was spent of the limit in the same `spending`."""
    spent = _spent.get()
    if spent is not None:
        amount = spent[name] = spent.get(name, 0) + amount
    check_limit(name, amount, what, where=where)


def check_limit(name: str, amount: int, what: str, *, where: str | None = None) -> None:
    """Raise LimitError when `amount` is more than the limit `name` allows; `what` is the fact, as in every Error."""
    allowed: int = getattr(_current, name)
    if amount > allowed:
        raise LimitError(
            what,
            where=where,
            found=format_limit(name, amount),
            expected=f"at most {format_limit(name, allowed)}",
            hint=limit_hint(name),
        )


def limit_hint(name: str) -> str:
    """How to raise a limit."""
    return f"allow more with {VARIABLE}={name}=N"


def format_limit(name: str, value: int) -> str:
    """A value of a limit, with its unit where it has one."""
    if name.endswith("_bytes"):
        return format_bytes(value)
    return f"{value} seconds" if name.endswith("_seconds") else str(value)


def limit_meanings() -> dict[str, str]:
    """What each limit is for, by its name."""
    return {each.name: each.metadata["meaning"] for each in fields(Budgets)}
