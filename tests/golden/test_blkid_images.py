"""Our probers on the images that util-linux tests libblkid with, where its source is there; its expectations are ours.

The images are not ours to keep: ``BOOTPATH_BLKID_TESTS`` names the folder ``tests`` of util-linux's source
(``apt-get source util-linux``). What differs, and why, is in `DIFFERS`.
"""

from __future__ import annotations

import lzma
import os
from pathlib import Path

import pytest

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.formats.superblocks.registry import Superblocks, scan_superblocks
from bootpath.image.contents.probes import IMAGE_PROBERS

pytestmark = pytest.mark.full

DIFFERS = {
    "fat32_cp850_O_tilde": "libblkid gives a label's bytes as they are, we by code page 437, as Linux mounts it",
    "luks2": "the image ends within the header, which libblkid does not check",
    "squashfs3": "versions before 4 are not supported by Linux any more, and said to be damaged",
    "swap-luks": "libblkid takes what it finds first; an old second header of LUKS2 is said beside the swap",
    "swap0": "swap of version 0 is not supported by Linux any more, and said to be damaged",
    "tuxonice": "a hibernated TuxOnIce is said to be the swap that it is in",
    "udf-hdd-mkudffs-1.3-7": "an image with two volumes, for blocks of 512 and of 4096 bytes",
}
KINDS = frozenset(
    {
        *("btrfs", "crypto_LUKS", "erofs", "exfat", "ext2", "ext3", "ext4", "iso9660", "jbd", "LVM2_member"),
        *("squashfs", "swap", "ubi", "ubifs", "udf", "vfat", "xfs"),
    }
)
"""What has to be recognised; libblkid knows more."""


def images() -> Path:
    folder = os.environ.get("BOOTPATH_BLKID_TESTS")
    if folder is None:
        pytest.skip("BOOTPATH_BLKID_TESTS is not set")
    return Path(folder)


def scan(path: Path) -> Superblocks:
    content = lzma.decompress(path.read_bytes())
    return scan_superblocks(MemoryDevice(content.ljust(-(-len(content) // 512) * 512, b"\0")), probers=IMAGE_PROBERS)


def expected(path: Path) -> dict[str, str]:
    """What libblkid says, by its names; blanks and other bytes are escaped."""
    lines = (line.partition("=") for line in path.read_text().splitlines())
    return {key: value.replace("\\x20", " ").rstrip() for key, _, value in lines}


def test_every_image() -> None:
    wrong: dict[str, object] = {}
    seen = 0
    for path in sorted((images() / "ts/blkid/images-fs").glob("*.img.xz")):
        name = path.name.removesuffix(".img.xz")
        said = images() / "expected/blkid" / f"low-probe-{name}"
        if name in DIFFERS or not said.exists():
            continue
        wanted, found = expected(said), scan(path)
        if not found.found and not found.faults:
            if wanted["ID_FS_TYPE"] in KINDS:
                wrong[name] = wanted["ID_FS_TYPE"]
            continue
        seen += 1
        (ours,) = found.found
        values = (ours.kind, ours.uuid or "", ours.label.rstrip(), ours.version)
        theirs = tuple(wanted.get(f"ID_FS_{key}", "") for key in ("TYPE", "UUID", "LABEL_ENC", "VERSION"))
        if values[:3] != theirs[:3] or (theirs[3] and values[3] != theirs[3]):
            wrong[name] = (values, theirs)
    assert wrong == {}
    assert seen > 40


@pytest.mark.parametrize("name", sorted(DIFFERS))
def test_what_differs_still_does(name: str) -> None:
    found = scan(images() / "ts/blkid/images-fs" / f"{name}.img.xz")
    wanted = expected(images() / "expected/blkid" / f"low-probe-{name}")
    same = [(each.kind, each.label.rstrip(), each.uuid or "") for each in found.found] == [
        (wanted.get("ID_FS_TYPE", ""), wanted.get("ID_FS_LABEL_ENC", ""), wanted.get("ID_FS_UUID", ""))
    ]
    assert found.faults or not same
