"""Files of FAT, ext2 to ext4, erofs, squashfs and RedoxFS, read without mounting.

Not re-exported by `bootpath.fs`: what runs inside a guest imports that, and has the kernel to read files for it.
"""

from bootpath.fs.readers.files import MAX_LINKS_FOLLOWED, FileEntry, FileNode, Files, Kind
from bootpath.fs.readers.open import READERS, find_kind, open_files
from bootpath.fs.readers.redoxfiles import RedoxFiles
from bootpath.fs.readers.treefiles import TreeFiles

__all__ = [
    "MAX_LINKS_FOLLOWED",
    "READERS",
    "FileEntry",
    "FileNode",
    "Files",
    "Kind",
    "RedoxFiles",
    "TreeFiles",
    "find_kind",
    "open_files",
]
