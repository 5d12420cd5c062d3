"""By what a persistent overlay knows its base again: size, identity, and the content of its first MiB.

The first MiB holds the headers of every file system and partition table there is, so a base that was written since is
another base. Blocks that are `masked` count as zeros: while an overlay is committed into its base, those that it holds
may be old or new, and all others must be what they were.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from hashlib import blake2b

from bootpath.core.device import Device, read_bytes
from bootpath.core.errors import DeviceError
from bootpath.formats.overlayfile import CLUSTER_BYTES, DIGEST_BYTES, NAME_MAX_BYTES, BaseIdentity

PROBE_BYTES = 1 << 20


def identify(base: Device, *, masked: Iterable[tuple[int, int]] = ()) -> BaseIdentity:
    """Who the base is; reads its first MiB. `masked` are (first block, blocks) runs. Raises as the base's read."""
    probe = bytearray(read_bytes(base, 0, min(base.size_bytes, PROBE_BYTES)))
    size = len(probe)
    for first, count in masked:
        low, high = min(first * CLUSTER_BYTES, size), min((first + count) * CLUSTER_BYTES, size)
        probe[low:high] = bytes(high - low)
    identity = base.identity
    name = identity.name.encode("utf-8", "replace")[:NAME_MAX_BYTES].decode("utf-8", "ignore")
    return BaseIdentity(
        name=name,
        size_bytes=base.size_bytes,
        probe_bytes=size,
        digest=blake2b(probe, digest_size=DIGEST_BYTES).digest(),
        uuid=identity.uuid,
        disk_guid=identity.disk_guid,
        partition_guid=identity.partition_guid,
    )


def refuse_other_base(expected: BaseIdentity, found: BaseIdentity, where: str) -> None:
    """DeviceError (EINVAL) that names what differs between the base the overlay was made for and the one given."""
    differences = expected.differences(found)
    if not differences:
        return
    field, ours, theirs = differences[0]
    others = "".join(f"; the {name} differs too" for name, _, _ in differences[1:])
    raise DeviceError(
        f"the overlay belongs to another base ({expected.name}): the {field} differs",
        errno=errno.EINVAL,
        where=where,
        found=theirs,
        expected=ours,
        hint=f"is {found.name} the right disk, or was it written since?{others}",
    )
