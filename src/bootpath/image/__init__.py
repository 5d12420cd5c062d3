"""What is on a disk: its contents and the choice of a root, discovery of RedoxFS, layout, inspection, and the builders.

Names are imported when they are first asked for: a guest needs one room of these (`image.discovery`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.image.build import Built, LiveImage, build_live
    from bootpath.image.candidates import Candidate
    from bootpath.image.choice import RootChoice, Verdict, check_candidate, choose_root
    from bootpath.image.contents import open_node, read_contents
    from bootpath.image.discovery import Discovery, Place, choose_place, find_redoxfs, open_root, place_device
    from bootpath.image.inspection import (
        BootFile,
        FileSystemInfo,
        Inspection,
        Request,
        describe_file_system,
        inspect_disk,
    )
    from bootpath.image.layout import INITFS_MAGIC, INITFS_PATH, KERNEL_MAGIC, KERNEL_PATH, redox_layout
    from bootpath.image.nodes import Contents, Location, Node, NodeKind
    from bootpath.image.output import atomic_output, check_output, write_whole
    from bootpath.image.roottable import open_root_device, root_table

__all__ = [
    "INITFS_MAGIC",
    "INITFS_PATH",
    "KERNEL_MAGIC",
    "KERNEL_PATH",
    "BootFile",
    "Built",
    "Candidate",
    "Contents",
    "Discovery",
    "FileSystemInfo",
    "Inspection",
    "LiveImage",
    "Location",
    "Node",
    "NodeKind",
    "Place",
    "Request",
    "RootChoice",
    "Verdict",
    "atomic_output",
    "build_live",
    "check_candidate",
    "check_output",
    "choose_place",
    "choose_root",
    "describe_file_system",
    "find_redoxfs",
    "inspect_disk",
    "open_node",
    "open_root",
    "open_root_device",
    "place_device",
    "read_contents",
    "redox_layout",
    "root_table",
    "write_whole",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "build": "Built LiveImage build_live",
        "candidates": "Candidate",
        "choice": "RootChoice Verdict check_candidate choose_root",
        "contents": "open_node read_contents",
        "discovery": "Discovery Place choose_place find_redoxfs open_root place_device",
        "inspection": "BootFile FileSystemInfo Inspection Request describe_file_system inspect_disk",
        "layout": "INITFS_MAGIC INITFS_PATH KERNEL_MAGIC KERNEL_PATH redox_layout",
        "nodes": "Contents Location Node NodeKind",
        "output": "atomic_output check_output write_whole",
        "roottable": "open_root_device root_table",
    },
)
