"""Images by mkfs.vfat, mke2fs, mkfs.erofs, mksquashfs and mkfs.ubifs (make.sh), against the tree that they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.fs.readers.open import find_kind, open_files
from tests.support.filetrees import as_device, assert_same_tree, contents, golden_image, golden_names, make_tree

NAMES = golden_names()
FAT = [name for name in NAMES if name.startswith("fat")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def plain_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tree(tmp_path_factory.mktemp("plain"), links=False)


def test_there_are_images_of_every_format() -> None:
    assert {name.partition("-")[0].rstrip("0123456789") for name in NAMES} == {
        "fat",
        "ext",
        "erofs",
        "squashfs",
        "iso",
        "ubifs",
    }
    assert len(NAMES) >= 25


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(FAT)))
def test_unix_tree(name: str, tree: Path) -> None:
    device = as_device(golden_image(name))
    files = open_files(device)
    assert files.format == find_kind(device) == name.partition("-")[0]
    assert files.warnings == ()
    assert assert_same_tree(files, tree) > 120


@pytest.mark.parametrize("name", FAT)
def test_fat_tree(name: str, plain_tree: Path) -> None:
    files = open_files(as_device(golden_image(name)))
    assert files.format == "vfat"
    assert assert_same_tree(files, plain_tree, unix=False) > 110


@pytest.mark.parametrize("name", NAMES)
def test_extents_of_what_is_stored_as_it_is(name: str) -> None:
    """Where the format keeps a file's bytes as they are, the extents are those bytes."""
    image = golden_image(name)
    files = open_files(as_device(image))
    data = contents()["vmlinuz"]
    extents = files.extents("/vmlinuz")
    stored = b"".join(image[extent.offset : extent.end] for extent in extents)
    assert all(extent.end <= len(image) for extent in extents)
    if name.startswith(("fat", "ext", "iso9660-deep")) or name in ("erofs-plain", "erofs-chunks", "erofs-chunkindex"):
        assert stored[: len(data)] == data
        assert extents == sorted(extents)
    if name.startswith(("squashfs", "ubifs")) and name != "squashfs-stored":
        assert stored != data
