"""For how many clients there are descriptors.

Clients may not take the last ones: a disk that appears, the status page, whatever is opened for those who are served
already need some. So they are counted before there are clients. The kernel gives out the lowest number that is free,
and at the start of a server that is how many are in use.
"""

from __future__ import annotations

import errno
import os
import resource
import sys

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of accept(2) that stay until somebody lets go of something."""

_RESERVED = 32  # of few, a quarter


def clients_with_descriptors(each: int) -> int:
    """How many clients can be served when each has so many descriptors; at least one. Raises OSError."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return sys.maxsize
    free = os.eventfd(0, os.EFD_CLOEXEC)
    os.close(free)
    return max((most - min(_RESERVED, most // 4) - free) // each, 1)
