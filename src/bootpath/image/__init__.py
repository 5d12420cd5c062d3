"""What is on a disk: its contents and the choice of a root, discovery of RedoxFS, layout, inspection, and the builders.

Names are imported when they are first asked for: a guest needs one room of these (`image.redox.discovery`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.image.contents.nodes import Contents, Location, Node, NodeKind
    from bootpath.image.contents.read import open_node, read_contents
    from bootpath.image.inspection import (
        BootFile,
        FileSystemInfo,
        Inspection,
        Request,
        describe_file_system,
        inspect_disk,
    )
    from bootpath.image.output import atomic_output, check_output, write_whole
    from bootpath.image.redox.build import Built, LiveImage, build_live
    from bootpath.image.redox.discovery import Discovery, Place, choose_place, find_redoxfs, open_root, place_device
    from bootpath.image.redox.layout import INITFS_MAGIC, INITFS_PATH, KERNEL_MAGIC, KERNEL_PATH, redox_layout
    from bootpath.image.roots.candidates import Candidate
    from bootpath.image.roots.choice import RootChoice, Verdict, check_candidate, choose_root
    from bootpath.image.roots.table import open_root_device, root_table

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
        "redox.build": "Built LiveImage build_live",
        "roots.candidates": "Candidate",
        "roots.choice": "RootChoice Verdict check_candidate choose_root",
        "contents.read": "open_node read_contents",
        "redox.discovery": "Discovery Place choose_place find_redoxfs open_root place_device",
        "inspection": "BootFile FileSystemInfo Inspection Request describe_file_system inspect_disk",
        "redox.layout": "INITFS_MAGIC INITFS_PATH KERNEL_MAGIC KERNEL_PATH redox_layout",
        "contents.nodes": "Contents Location Node NodeKind",
        "output": "atomic_output check_output write_whole",
        "roots.table": "open_root_device root_table",
    },
)
