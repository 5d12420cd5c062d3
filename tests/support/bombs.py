"""Images that are made to cost much: small files, each of which would take hours or gigabytes to be read naively."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from bootpath.formats.partitions.gptheader import Partition
from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt
from tests.support.tools import tool

MIB = 1 << 20
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
ROOT_X86 = UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
ROOT_X86_VERITY = UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
ROOT_X86_SIGNATURE = UUID("41092b05-9fc8-4523-994f-2def0408b176")


def many_partitions(path: Path, rows: Sequence[tuple[UUID, UUID, bytes]], *, sectors: int = 8) -> None:
    """A GPT with rows of (type, UUID, content), all of one size, numbered from 1."""
    first = 2 * MIB // 512
    partitions = [
        Partition(number, kind, guid, place, place + sectors - 1, 0, f"image_{number}")
        for number, (kind, guid, _) in enumerate(rows, start=1)
        if (place := first + (number - 1) * sectors)
    ]
    size = (first + len(rows) * sectors) * 512 + 2 * MIB
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pack_gpt(new_gpt(size, UUID(int=1), partitions, entry_count=max(128, len(rows)))):
            file.seek(offset)
            file.write(data)
        for partition, (_, _, content) in zip(partitions, rows, strict=True):
            file.seek(partition.offset_bytes)
            file.write(content)


def ext4_with(path: Path, tree: Path, *, megabytes: int = 256, inodes: int = 120_000) -> None:
    """An ext4, by mke2fs, with a tree."""
    command = [
        tool("mke2fs"),
        "-q",
        "-t",
        "ext4",
        "-N",
        inodes,
        "-O",
        "^has_journal",
        "-d",
        tree,
        path,
        f"{megabytes}M",
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
