"""The boot loader's stage: find the file system, open it, load kernel and initfs, preload, write the environment.

Follows redox-os/bootloader ``src/main.rs``, with three differences that are the point of this project: the preload may
be a plan's extents, packed, instead of a prefix; the environment says so (``DISK_LIVE_PARTIAL``, ``DISK_LIVE_EXTENTS``)
and names the full size and the physical disk; and kernel and initfs, which only the loader reads, take no room in the
preload.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootpath.boot.redox.memory import Memory
from bootpath.boot.redox.preload import PreloadChoice
from bootpath.boot.timeline import LOADER, Timeline
from bootpath.core.device import Device, Identity, checked, read_into
from bootpath.core.errors import BootError, FileSystemError
from bootpath.core.extents import Extent
from bootpath.formats.handoff import Handoff, pack_handoff
from bootpath.fs.redox.redoxfs import RedoxFS
from bootpath.fs.redox.values import BLOCK_BYTES, RedoxHeader
from bootpath.image.redox.bootfiles import LINUX, BootFile, find_boot_files
from bootpath.image.redox.discovery import FoundRedoxFS, choose_place, find_redoxfs, place_device

_CHUNK_BYTES = 1 << 20
_LINUX_HINT = "bootpath boot needs a Linux kernel there, or --kernel and --initrd; bootpath simulate needs none"


@dataclass(frozen=True, slots=True)
class Handover:
    """What the loader leaves behind: the environment block and the memory it points into.

    `boot_files` are the kernel and the initfs, unless the loader was told to take none.
    """

    environment: bytes
    memory: Memory
    header: RedoxHeader
    place: FoundRedoxFS
    preload_extents: tuple[Extent, ...]
    boot_files: tuple[memoryview, ...]

    @property
    def kernel_bytes(self) -> int:
        """Size of the kernel."""
        return len(self.boot_files[0]) if self.boot_files else 0

    @property
    def initfs_bytes(self) -> int:
        """Size of the initfs."""
        return len(self.boot_files[1]) if len(self.boot_files) > 1 else 0

    @property
    def preload_bytes(self) -> int:
        """Bytes of the file system that are in RAM."""
        return sum(extent.length for extent in self.preload_extents)


def load_boot_file(fs: RedoxFS, file: BootFile) -> bytes:
    """Read a kernel or initfs whole and check its magic. Raises BootError when it is missing or is something else."""
    path, start = file.path, file.magic_offset
    try:
        data = fs.read(path)
    except FileSystemError as fault:
        raise BootError(
            f"the loader cannot read the {file.what}",
            where=path,
            found=fault.what,
            hint="add it with bootpath build live --kernel/--initfs",
        ) from fault
    if not data.startswith(file.magics, start):
        expected = " or ".join(magic.hex() for magic in file.magics)
        found = data[start : start + len(file.magics[0])].hex() or ("an empty file" if not data else "a short file")
        hint = _LINUX_HINT if file in LINUX else None
        raise BootError(f"the {file.what} has the wrong magic", where=path, expected=expected, found=found, hint=hint)
    return data


def _read_extents(device: Device, extents: Sequence[Extent], target: memoryview) -> None:
    """Fill `target` with the extents, packed, in chunks as the loader reads them. Raises DeviceError."""
    position = 0
    for extent in extents:
        for start in range(extent.offset, extent.end, _CHUNK_BYTES):
            length = min(_CHUNK_BYTES, extent.end - start)
            read_into(device, start, target[position : position + length])
            position += length


def _handoff(handover: Handover, identity: Identity, live_address: int | None, *, classic: bool) -> Handoff:
    """The environment's content. Upstream's own keys, then (unless classic) what our `lived` needs to find the disk."""
    header, place = handover.header, handover.place
    aligned = place.offset_bytes % BLOCK_BYTES == 0
    phys_block = place.offset_bytes // BLOCK_BYTES if aligned else None
    if live_address is None:
        return Handoff(redoxfs_block=phys_block, redoxfs_uuid=header.uuid)
    upstream = Handoff(
        live_addr=live_address,
        live_size_bytes=handover.preload_bytes,
        redoxfs_block=0,
        redoxfs_uuid=header.uuid,
    )
    if classic:
        return upstream
    whole = handover.preload_extents == (Extent(0, header.size_bytes),)
    prefix = len(handover.preload_extents) <= 1 and all(extent.offset == 0 for extent in handover.preload_extents)
    return replace(
        upstream,
        live_partial=not whole,
        live_extents=None if prefix else handover.preload_extents,
        phys_block=phys_block,
        full_size_bytes=header.size_bytes,
        disk_guid=identity.disk_guid,
        partition_guid=identity.partition_guid,
    )


def load(
    disk: Device,
    preload: PreloadChoice | None,
    timeline: Timeline,
    *,
    password: bytes | None = None,
    classic: bool = False,
    boot_files: Sequence[BootFile] | None = None,
) -> Handover:
    """Do what the boot loader does with the disk the firmware shows it.

    Without `preload` the system will mount the physical disk itself; with `classic` the environment is upstream's,
    which knows only the preload; `boot_files` are what to load, by default what
    `find_boot_files` finds. Raises BootError, FormatError, FileSystemError (password), DeviceError.
    """
    memory = Memory()
    with timeline.step(LOADER, "find the file system") as step:
        discovery = find_redoxfs(disk)
        place = choose_place(discovery, where=disk.identity.name)
        device = place_device(disk, discovery, place)
        step.detail = place.found_by
    with timeline.step(LOADER, "open RedoxFS") as step:
        fs = RedoxFS.open(checked(device), password=password)
        header = fs.header
        step.detail = f"uuid {header.uuid}, generation {header.generation}"
    with fs:
        loaded = []
        for file in find_boot_files(fs) if boot_files is None else boot_files:
            with timeline.step(LOADER, f"load {file.what}") as step:
                content = load_boot_file(fs, file)
                loaded.append(memory.at(memory.store(content), len(content), what=file.what))
                step.bytes = len(content)
    address = None
    extents = [] if preload is None else preload.extents(header)
    if preload is not None:
        with timeline.step(LOADER, f"preload {preload.kind.value}") as step:
            step.bytes = sum(extent.length for extent in extents)
            step.detail = f"{len(extents)} extent{'' if len(extents) == 1 else 's'}"
            address, region = memory.allocate(step.bytes)
            _read_extents(device, extents, region)
    handover = Handover(b"", memory, header, place, tuple(extents), tuple(loaded))
    handoff = _handoff(handover, device.identity, address, classic=classic)
    if password is not None:
        handoff = replace(handoff, password_addr=memory.store(password), password_size_bytes=len(password))
    environment = pack_handoff(handoff)
    timeline.note(LOADER, "hand over", f"{len(environment)} bytes of environment")
    return replace(handover, environment=environment)
