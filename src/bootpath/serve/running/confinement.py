"""What a server gives up before it opens anything: files that others can read, and privileges it could gain.

Sources: umask(2), prctl(2) PR_SET_NO_NEW_PRIVS. The rest of the sandbox is the service manager's (docs/systemd).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

PRIVATE = 0o077
_PR_SET_NO_NEW_PRIVS = 38


def current_umask() -> int:
    """The umask of this process, which the kernel tells only to who sets it."""
    umask = os.umask(PRIVATE)
    os.umask(umask)
    return umask


@contextmanager
def confined(*, privileges: bool) -> Iterator[None]:
    """Until the end of the block, what is created is its owner's alone: sockets, overlays.

    Unless `privileges` are kept, no program that this process or a thread it starts from now on executes can gain any,
    set-user-ID or not; that cannot be taken back, so a server that runs a command of the user's keeps them. A kernel
    that does not know PR_SET_NO_NEW_PRIVS refuses it, and nothing is lost.
    """
    if not privileges:
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    before = os.umask(PRIVATE)
    try:
        yield
    finally:
        os.umask(before)
