"""verity: a read-only device whose every block is checked against a root hash, as Linux's dm-verity.

A data block is trusted when its digest stands in a trusted hash block; a hash block when its digest stands in its
parent, up to the root hash. Rules:

- What was checked is what is returned: content that others could still change (views of memory) is copied before it is
  checked.
- A data block is checked each time it is read, unless `check_at_most_once`. Hash blocks: `block.targets.verity.hashes`.
- With FEC (`block.targets.verity.repair`) a block that is wrong, or that cannot be read, is rebuilt; nothing is written
  back.
- A mismatch is an IntegrityError (EIO) that names block and level. With `Corruption.IGNORE` it is logged and the data
  returned, as with ignore_corruption; with `Corruption.STOP` every later read fails too, which is what a device in user
  space can do for restart_on_corruption and panic_on_corruption.
- A block that cannot be read is an error of its device, whatever the options say about wrong ones; with
  `stop_on_error` every later read fails too (restart_on_error, panic_on_error).
- With `ignore_zero_blocks` a block whose hash is that of zeros is returned as zeros, whatever the device holds.

Source: Linux Documentation/admin-guide/device-mapper/verity.rst.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from bootpath.block.targets.readonly import ReadOnly
from bootpath.block.targets.verity.hashes import DEFAULT_CACHE_BYTES, VerityTree
from bootpath.block.targets.verity.repair import ParityArea, Repair
from bootpath.block.views import extents_wide, read_wide, read_wide_resident
from bootpath.core.device import Buffer, Device, Identity, Segment
from bootpath.core.errors import DeviceError, IntegrityError
from bootpath.formats.verity.tree import VerityParameters

_log = logging.getLogger(__name__)

_NONE: Mapping[int, DeviceError] = MappingProxyType({})
MAX_LOGGED = 100  # DM_VERITY_MAX_CORRUPTED_ERRS
_RESIDENT_BYTES = 64 << 10  # more than this is hashed on a worker


class Corruption(Enum):
    """What happens when a block does not match its hash."""

    EIO = "eio"
    IGNORE = "ignore"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class VerityOptions:
    """The optional parameters of the kernel's target."""

    corruption: Corruption = Corruption.EIO
    ignore_zero_blocks: bool = False
    check_at_most_once: bool = False
    stop_on_error: bool = False


class Verity(ReadOnly):
    """The first `parameters.data_bytes` of `data`, checked below `root_hash` with the tree on `hashes`.

    The tree starts at hash block `start_block` of `hashes`. `hashes` and the device of the `parity` (FEC) may be the
    same as `data`. Opening reads nothing but the devices' sizes, and closing leaves all devices open. Raises
    DeviceError (EINVAL) when a device is too short or the root hash has the wrong length, FormatError when the FEC does
    not go with the tree.
    """

    def __init__(
        self,
        data: Device,
        hashes: Device,
        parameters: VerityParameters,
        root_hash: bytes,
        *,
        start_block: int,
        options: VerityOptions | None = None,
        parity: ParityArea | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        identity: Identity | None = None,
    ) -> None:
        if parameters.data_bytes > data.size_bytes:
            raise DeviceError(
                "the data device is too short for its hash tree",
                errno=errno.EINVAL,
                where=data.identity.name,
                found=f"{data.size_bytes} bytes",
                expected=f"at least {parameters.data_bytes}",
                hint="is the data device truncated?",
            )
        self.options = options or VerityOptions()
        zeros = self.options.ignore_zero_blocks
        repair = None
        if parity is not None:
            repair = Repair(data, hashes, parity, parameters, start_block=start_block, ignore_zero_blocks=zeros)
        self.tree = VerityTree(
            hashes, parameters, root_hash, start_block=start_block, cache_bytes=cache_bytes, repair=repair
        )
        self.size_bytes = parameters.data_bytes
        self.block_bytes = 4096 if parameters.data_block_size >= 4096 else 512
        self.identity = identity or Identity(f"verity({data.identity.name})")
        self.corrupted_blocks = 0
        self._repaired_blocks = 0
        self._repair = repair
        self._data = data
        self._size = parameters.data_block_size
        self._zero_digest = self.tree.hasher.digest(bytes(self._size)) if zeros else None
        self._checked = bytearray(parameters.data_blocks) if self.options.check_at_most_once else None
        self._stopped = False

    @property
    def repaired_blocks(self) -> int:
        """How often a block was rebuilt from FEC."""
        return self._repaired_blocks + self.tree.repaired_blocks

    def read(self, offset: int, length: int) -> Sequence[Buffer]:
        """See `Device.read`. EIO (IntegrityError) when a block of it does not match the root hash."""
        first, start, wide = self._blocks(offset, length)
        lost = _NONE
        try:
            content = _own(read_wide(self._data, start, wide))
        except DeviceError as error:
            content, lost = self._salvaged(first, wide // self._size, error)
        return (self._verified(first, content, lost)[offset - start : offset - start + length],)

    def read_resident(self, offset: int, length: int) -> Sequence[Buffer] | None:
        """See `Device.read_resident`: a small read whose data is resident and whose leaves are cached."""
        if length > _RESIDENT_BYTES:
            return None
        first, start, wide = self._blocks(offset, length)
        for block in range(first, first + wide // self._size):
            if self.tree.expected(block, wait=False) is None:
                return None
        views = read_wide_resident(self._data, start, wide)
        if views is None:
            return None
        content = _own(views)
        if self._repair is not None and self.tree.mismatches(first, content):
            return None  # a worker repairs it
        return (self._verified(first, content)[offset - start : offset - start + length],)

    def extents(self, offset: int, length: int) -> Iterator[Segment]:
        """See `Device.extents`: the data device's, but nothing is known to be zero that was not checked."""
        for segment in extents_wide(self._data, offset, length):
            yield Segment(segment.offset, segment.length, segment.source)

    def close(self) -> None:
        """See `Device.close`: the lower devices stay open."""

    def _blocks(self, offset: int, length: int) -> tuple[int, int, int]:
        """(first data block, its offset, bytes of whole blocks) of a range."""
        first = offset // self._size
        start = first * self._size
        return first, start, -(-(offset + length - start) // self._size) * self._size

    def _salvaged(self, first: int, count: int, error: DeviceError) -> tuple[memoryview, Mapping[int, DeviceError]]:
        """The blocks that can be read one by one, and why the others, which are zeros here, cannot."""
        if self._repair is None:
            self._stopped |= self.options.stop_on_error
            raise error
        content, lost = bytearray(count * self._size), {}
        for index in range(count):
            try:
                views = read_wide(self._data, (first + index) * self._size, self._size)
            except DeviceError as fault:
                lost[first + index] = fault
            else:
                content[index * self._size : (index + 1) * self._size] = b"".join(views)
        return memoryview(bytes(content)), lost

    def _verified(self, first: int, content: memoryview, lost: Mapping[int, DeviceError] = _NONE) -> memoryview:
        """The content, which nobody else may change, checked and repaired; `lost` blocks are not in it."""
        if self._stopped:
            raise IntegrityError("verity has stopped after a corrupted block", where=self.identity.name)
        count = len(content) // self._size
        checked = self._checked
        if checked is not None and not lost and checked.count(1, first, first + count) == count:
            return content
        try:
            wrong = self.tree.mismatches(first, content)
        except IntegrityError as error:
            self._corrupted(error)
            if lost:
                raise next(iter(lost.values())) from None
            return content
        patches: dict[int, bytes] = {}
        left = 0
        for block in wrong:
            patch = self._patch(block)
            if patch is None:
                left += 1
                self._unpatched(block, content[(block - first) * self._size :][: self._size], lost)
            else:
                patches[block] = patch
        if patches:
            patched = bytearray(content)
            for block, patch in patches.items():
                position = (block - first) * self._size
                patched[position : position + self._size] = patch
            content = memoryview(patched).toreadonly()
        if checked is not None and not left:
            checked[first : first + count] = b"\1" * count
        return content

    def _unpatched(self, block: int, content: memoryview, lost: Mapping[int, DeviceError]) -> None:
        """A block that is wrong and stays so. Raises, but for `Corruption.IGNORE` when it could be read."""
        if block in lost:
            self._stopped |= self.options.stop_on_error
            raise lost[block]
        self._corrupted(
            IntegrityError(
                f"data block {block} does not match the root hash",
                where=self.identity.name,
                found=self.tree.hasher.digest(content).hex(),
                expected=self.tree.digest_of(block).hex(),
            )
        )

    def _patch(self, block: int) -> bytes | None:
        """The right content of a wrong block, where it is known: zeros, or what FEC says."""
        expected = self.tree.digest_of(block)
        if self._zero_digest == expected:
            return bytes(self._size)
        if self._repair is None:
            return None
        rebuilt = self._repair.rebuilt(block, expected, self.tree.promised)
        if rebuilt is not None:
            self._repaired_blocks += 1
            _log.info("%s: verity: data block %d was rebuilt from FEC", self.identity.name, block)
        return rebuilt

    def _corrupted(self, error: IntegrityError) -> None:
        self.corrupted_blocks += 1
        if self.options.corruption is Corruption.IGNORE:
            if self.corrupted_blocks <= MAX_LOGGED:
                _log.warning("%s", error)
            if self.corrupted_blocks == MAX_LOGGED:
                _log.warning(
                    "%s: verity: %d faults were logged, further ones are only counted", error.where, MAX_LOGGED
                )
            return
        self._stopped = self.options.corruption is Corruption.STOP
        raise error


def _own(views: Sequence[Buffer]) -> memoryview:
    """The content as bytes that nobody else can change."""
    if len(views) == 1 and isinstance(views[0], bytes):
        return memoryview(views[0])
    return memoryview(b"".join(views))
