"""The scripts of an initramfs without Python, as data: ``init.sh`` is its ``/init``, the others ``/lib/bootpath/*.sh``.

They are written for busybox's ash and its commands, and for the programs of `bootpath.boot.initramfs.recipes`.
"""

from __future__ import annotations

from importlib.resources import files


def data_file(name: str) -> bytes:
    """A file of this package. Raises FileNotFoundError."""
    return files(__name__).joinpath(name).read_bytes()


__all__ = ["data_file"]
