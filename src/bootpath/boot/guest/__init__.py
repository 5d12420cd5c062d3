"""What runs inside a guest: the initramfs' init, lived, the root's file system.

What this imports, directly or not, is in every initramfs; tests/unit/boot/guest/test_closure.py holds the list.
"""

from bootpath.boot.guest.init import main

__all__ = ["main"]
