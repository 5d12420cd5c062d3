"""bootpath: from the partition table of a disk image to its mounted root."""

__version__ = "0.1.0"

__all__ = ["__version__"]
