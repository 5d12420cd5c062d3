"""A disk with complete images in the volumes of a group, the layout of Infix; the group is written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from bootpath.formats.partitions.dps import Designator
from tests.support.ddi import LINUX_LVM, Part, Volume, make_disk
from tests.support.lvmdisk import image_volumes


def make_volume_images(path: Path, volumes: Mapping[str, Volume]) -> Path:
    """Partition 1 is the group ``internal``, each volume of it a GPT with root, hash tree and signature."""
    images = {}
    for name, volume in volumes.items():
        images[name] = make_disk(path.with_suffix(f".{name}"), volume.parts("root")).path.read_bytes()
    group = image_volumes(images)
    return make_disk(path, [Part(Designator.LINUX_GENERIC, group, UUID(int=800), type=LINUX_LVM)]).path
