"""From what a user types to a device: a path, or a URL by its scheme.

    disk.img  /dev/sda2  file:///srv/disk.img   a file or a block device; a file may be an image (`leaves.images`)
    nbd://host[:port]/export  nbd+unix:///export?socket=path  nbds://…  nbds+unix://…
    https://host/disk.img  http://…  s3://bucket/key   read-only; needs bootpath[remote]

A path with a colon and two slashes in it is written ``./like://this``. To add a scheme: write its opener here and name
it in `SCHEMES`.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias
from urllib.parse import unquote

from bootpath.block.leaves.images.open import ImageRules, open_image
from bootpath.block.leaves.urls import split_url
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Opening:
    """How a device is to be opened; what a scheme has no use for, it passes over.

    `timeout_seconds` bounds each wait for an NBD server; `chunk_bytes` is the least that is fetched of an object at a
    time. None is the scheme's own choice. `images` says what may be made of a file.
    """

    writable: bool = False
    timeout_seconds: float | None = None
    chunk_bytes: int | None = None
    images: ImageRules = field(default_factory=ImageRules)


DeviceOpener: TypeAlias = Callable[[str, Opening], Device]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def open_device(
    spec: str,
    *,
    writable: bool = False,
    timeout_seconds: float | None = None,
    chunk_bytes: int | None = None,
    images: ImageRules | None = None,
) -> Device:
    """The device that `spec` names, opened as `Opening` says.

    DeviceError: EINVAL for an unknown scheme or an empty name, EPERM when it cannot be written.
    """
    if not spec:
        raise DeviceError("an empty name is no disk", errno=errno.EINVAL, where="''", expected="a path or a URI")
    match = _SCHEME.match(spec)
    if match is None:
        return open_image(spec, writable=writable, rules=images or ImageRules())
    opener = SCHEMES.get(match[1].lower())
    if opener is None:
        raise DeviceError(
            f"there is no scheme {match[1]!r}",
            errno=errno.EINVAL,
            where=spec.partition("?")[0],
            expected="one of " + " ".join(sorted(SCHEMES)),
            hint="write ./ before a path",
        )
    return opener(spec, Opening(writable, timeout_seconds, chunk_bytes, images or ImageRules()))


def open_later(
    spec: str, *, timeout_seconds: float | None = None, images: ImageRules | None = None
) -> Callable[[], Device]:
    """What opens it, read-only, when it is called. What that takes is imported now: a server that has run out of
    descriptors can import nothing."""
    match = _SCHEME.match(spec)
    opener = None if match is None else SCHEMES.get(match[1].lower())
    if opener is _open_nbd:
        import encodings.idna  # for the name of a host  # noqa: F401

        import bootpath.block.leaves.nbdclient
    elif opener is _open_remote:
        import bootpath.block.leaves.remote  # noqa: F401

        with suppress(ImportError):  # which opening says
            import obstore.exceptions
            import obstore.store  # noqa: F401
    return partial(open_device, spec, timeout_seconds=timeout_seconds, images=images)


def _open_file(spec: str, how: Opening) -> Device:
    parts = split_url(spec)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise DeviceError(
            "the URL is not a file of this machine", errno=errno.EINVAL, where=spec, expected="file:///path"
        )
    return open_image(unquote(parts.path), writable=how.writable, rules=how.images)


def _open_nbd(spec: str, how: Opening) -> Device:
    from bootpath.block.leaves.nbdclient import (  # sockets: for those who name a server
        DEFAULT_TIMEOUT_SECONDS,
        open_nbd,
    )

    return open_nbd(spec, writable=how.writable, timeout_seconds=how.timeout_seconds or DEFAULT_TIMEOUT_SECONDS)


def _open_remote(spec: str, how: Opening) -> Device:
    if how.writable:
        raise DeviceError(
            "a remote object is read-only",
            errno=errno.EPERM,
            where=spec.partition("?")[0],
            hint="put an overlay over it",
        )
    from bootpath.block.leaves.remote import CHUNK_BYTES, open_remote

    return open_remote(spec, chunk_bytes=how.chunk_bytes or CHUNK_BYTES)


SCHEMES: Mapping[str, DeviceOpener] = {
    "file": _open_file,
    "nbd": _open_nbd,
    "nbd+unix": _open_nbd,
    "nbds": _open_nbd,
    "nbds+unix": _open_nbd,
    "http": _open_remote,
    "https": _open_remote,
    "s3": _open_remote,
}
