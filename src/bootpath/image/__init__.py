"""What is on a disk: discovery, layout, inspection, and the builders."""

from bootpath.image.build import Built, LiveImage, atomic_output, build_live
from bootpath.image.discovery import Discovery, Place, choose_place, find_redoxfs, open_root, place_device
from bootpath.image.esp import make_esp
from bootpath.image.inspection import BootFile, FileSystemInfo, Inspection, describe_file_system, inspect_disk
from bootpath.image.layout import INITFS_MAGIC, INITFS_PATH, KERNEL_MAGIC, KERNEL_PATH, redox_layout

__all__ = [
    "INITFS_MAGIC",
    "INITFS_PATH",
    "KERNEL_MAGIC",
    "KERNEL_PATH",
    "BootFile",
    "Built",
    "Discovery",
    "FileSystemInfo",
    "Inspection",
    "LiveImage",
    "Place",
    "atomic_output",
    "build_live",
    "choose_place",
    "describe_file_system",
    "find_redoxfs",
    "inspect_disk",
    "make_esp",
    "open_root",
    "place_device",
    "redox_layout",
]
