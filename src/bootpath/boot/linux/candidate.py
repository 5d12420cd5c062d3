"""Loading one candidate: kernel, initramfs and device tree, read once, through what protects them.

::

    disk ── partition, logical volume, UBI volume ── dm-verity ── file system ── entry, kernel, initrd, device tree

What is loaded here are the bytes that run: nobody reads them a second time, so a disk that changes its answers gains
nothing. The partition table, superblocks and signatures are read once too (`block.targets.readonce`), and the hash tree
is opened with the parameters that were seen then.

When anything that is read of a candidate does not match its root hash, the candidate is given up for the first mismatch
there was, even where a menu could do without the entry that was hit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256

from bootpath.block.targets.firsterror import FirstError
from bootpath.block.targets.readonce import ReadOnce
from bootpath.boot.linux.assurance import AssuranceReason, entry_files, given_initrd, mounted_root
from bootpath.boot.linux.choice import LinuxRequest, Refusal, RefusalReason, may_use
from bootpath.boot.linux.cmdline import (
    Flash,
    ParameterSource,
    PlacedParameter,
    RootNaming,
    command_line_of,
    decide_command_line,
    read_root,
)
from bootpath.boot.linux.menu import bootable, choose_entry, concatenate
from bootpath.boot.linux.result import Attempt, LoadedLinux, RunPart
from bootpath.boot.timeline import LOADER, Timeline
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, Error, FormatError
from bootpath.core.reasons import Explanation
from bootpath.formats.cmdline.address import Assembly, DeviceAddress
from bootpath.formats.cmdline.parameters import Parameter
from bootpath.formats.entries.uki import EfiArchitecture
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.ubi.attach import read_ubi
from bootpath.image.contents.nodes import Contents, NodeKind
from bootpath.image.contents.read import open_node
from bootpath.image.entries.bootvolumes import root_volume
from bootpath.image.entries.extras import is_extra, pack_extras
from bootpath.image.entries.files import FilePart, read_part, read_pieces
from bootpath.image.entries.find import BOOT_PARTITIONS, find_entries, menu_of
from bootpath.image.entries.menu import BootMenu, FoundEntry, VolumeRole
from bootpath.image.entries.rootaddress import name_root, name_signature
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import check_candidate
from bootpath.image.roots.table import open_root_device, root_table
from bootpath.image.verity.tree import Progress

_X86_MAGIC, _X86_MAGIC_OFFSET = b"HdrS", 0x202  # Documentation/arch/x86/boot.rst, "The real-mode kernel header"
_ALLOW = "a policy can allow more"
_INITRD_ALIGN = 4  # initramfs/buffer-format.rst: archives one after the other, zeros between them


@dataclass
class CandidateLoader:
    """Tries one candidate. What became known until it failed is in the attempt."""

    disk: Device
    contents: Contents
    request: LinuxRequest
    machine_parameters: tuple[Parameter, ...]
    timeline: Timeline
    progress: Progress | None
    table: str = ""
    menus: tuple[BootMenu, ...] = ()
    checked: bool = False

    def attempt(self, candidate: Candidate) -> Attempt:
        """Load it, or say why not. Raises no Error."""
        loaded, failure = None, self._refuse(candidate)
        if failure is None:
            try:
                with self.timeline.step(LOADER, f"load from {candidate.data.location}") as step:
                    loaded = self._load(candidate)
                    step.bytes = sum(part.size_bytes or 0 for part in loaded.parts)
                    step.detail = loaded.entry.entry.id
            except Error as fault:
                failure = RefusalReason.NOT_LOADED(fault)
        return Attempt(candidate, self.table, self.menus, loaded, self.checked, failure)

    def _refuse(self, candidate: Candidate) -> Refusal | None:
        """Why the candidate is not even tried, or None."""
        if candidate.excluded is not None:
            return RefusalReason.EXCLUDED(candidate.excluded)
        reason = dict(self.request.skipped).get(candidate.data.path)
        return None if reason is None else RefusalReason.FAILED_BEFORE(reason)

    def _load(self, candidate: Candidate) -> LoadedLinux:
        """Raises what keeps the candidate from being booted."""
        if self.request.full:
            self._check(candidate)
        with ExitStack() as opened:
            table = root_table(candidate)
            self.table = table.lines[0].target
            stack = open_root_device(self.disk, self.contents, candidate)
            opened.callback(stack.close)
            readable = FirstError(stack)
            try:
                found = self._entry(candidate, readable)
                loaded = self._read(candidate, found)
            except Error:
                if readable.error is not None:
                    raise readable.error from None
                raise
            if readable.error is not None:
                raise readable.error
            return loaded

    def _check(self, candidate: Candidate) -> None:
        """All of the candidate against its hash tree. Raises BootError, DeviceError."""
        with self.timeline.step(LOADER, "verify all of it") as step:
            wrong = check_candidate(self.disk, self.contents, candidate, progress=self.progress)
            step.bytes = 0 if candidate.hashes is None else candidate.data.size_bytes
        if wrong:
            level = wrong[0].level
            what = "data block" if level < 0 else f"hash block of level {level}, number"
            raise BootError(f"{what} {wrong[0].block} does not match the root hash")
        self.checked = candidate.hashes is not None

    def _entry(self, candidate: Candidate, device: FirstError) -> FoundEntry:
        """The entry to boot: one of the root's own, or one of a boot partition. Raises BootError, DeviceError."""
        roots: BootMenu | None = None
        fault: Error | None = None
        architecture = _efi_architecture(self.request.architecture)
        try:
            place = root_volume(self.disk, self.contents, candidate, device)
            roots = menu_of(self.contents.name, [place], roles=(VolumeRole.ROOT,), architecture=architecture)
            roots = bootable(roots)
            self.menus = (roots,)
        except FormatError as error:
            fault = error  # a root that is not read here may still be booted by an entry elsewhere
        if device.error is not None:
            raise device.error
        wanted = self.request.entry
        own = roots is not None and (
            any(wanted in (None, each.entry.id) for each in roots.entries) or bool(roots.excluded and wanted is None)
        )
        if roots is not None and own:
            return choose_entry(roots, wanted)
        others = self._boot_partitions(architecture)
        self.menus = (*self.menus, others)
        if fault is not None and not others.entries:
            raise fault
        return choose_entry(others if roots is None else concatenate(roots, others), wanted)

    def _boot_partitions(self, architecture: EfiArchitecture | None) -> BootMenu:
        """The entries of XBOOTLDR and of the EFI partition. Each block of these is read once: what is verified of an
        image is what runs."""
        allowed = [role for role in BOOT_PARTITIONS if may_use(self.request, role)]
        once = ReadOnce(self.disk, limit="boot_partition_bytes")
        menu = find_entries(
            checked(once), self.contents, roles=allowed, shown_roles=BOOT_PARTITIONS, architecture=architecture
        )
        return bootable(menu, strict=self.request.strict)

    def _read(self, candidate: Candidate, found: FoundEntry) -> LoadedLinux:
        """The bytes of the entry's files. Raises BootError, and what reading them raises."""
        request, assured = self.request, entry_files(candidate, found, self.request)
        if request.strict and not assured.reason.verified:
            raise BootError(f"the entry is not verified: {assured}", where=found.entry.id, hint=_ALLOW)
        kernel = found.read_kernel()
        if request.architecture is Architecture.X86_64 and not _is_x86_kernel(kernel):
            raise BootError("the kernel is not a Linux for x86: it has no HdrS", where=found.parts.kernel.path)
        parts = [_part("kernel", str(found.parts.kernel), kernel, assured)]
        wanted = [piece for piece in found.parts.extras if is_extra(piece.path)]
        found.check_initrds(sum(piece.size_bytes or 0 for piece in wanted))
        initrds: list[list[bytes]] = []
        if request.initrd is not None:
            initrds.append([request.initrd.content])
            parts.append(_part("initrd", request.initrd.name, request.initrd.content, given_initrd(request)))
        for piece in found.parts.initrds if request.initrd is None else ():
            content, part = _read_initrd(found, piece, assured)
            initrds.append(content)
            parts.append(part)
        extras = [(piece.path, read_part(found.files, piece)) for piece in wanted]
        parts += [_part("extra", path, data, assured) for path, data in extras]
        devicetree = found.read_devicetree()
        if devicetree is not None and found.parts.devicetree is not None:
            parts.append(_part("device tree", str(found.parts.devicetree), devicetree, assured))
        placed = self._parameters(candidate, found, alone=not initrds)
        options = [each.text for each in placed if each.source is ParameterSource.ENTRY]
        if options:
            origin = found.source.path or str(found.source.location)
            parts.append(_part("command line", origin, " ".join(options).encode("utf-8", "surrogateescape"), assured))
        root = mounted_root(candidate, placed, assured, request, alone=not initrds)
        if request.strict and not root.reason.verified:
            raise BootError(
                f"the root that would be mounted is not verified: {root}", where=found.entry.id, hint=_ALLOW
            )
        parts.append(RunPart("root", str(candidate.data.location), root))
        pieces = tuple(join_initrds((*initrds, [pack_extras(extras)])))
        return LoadedLinux(found, kernel, pieces, devicetree, placed, tuple(parts))

    def _parameters(self, candidate: Candidate, found: FoundEntry, *, alone: bool) -> tuple[PlacedParameter, ...]:
        """The command line; `alone` without any initramfs. Raises BootError, FormatError."""
        request = self.request
        assembly = Assembly.KERNEL if alone else request.assembly
        naming = RootNaming(
            name_root(self.disk, self.contents, candidate),
            request.disk_name,
            request.fixed,
            assembly,
            self._flash(candidate),
            self._signature(candidate) if request.kernel_signature else None,
        )
        placed = decide_command_line(
            found.parts.command_line,
            naming,
            append_root=found.entry.append_root,
            machine=self.machine_parameters,
            append=request.append,
        )
        command_line_of(placed)
        if assembly is Assembly.BOOTPATH:
            read_root(placed)  # what it would refuse in the guest is refused here
        return placed

    def _signature(self, candidate: Candidate) -> DeviceAddress:
        """Where the root's signature is. Raises BootError when it has none, or none that has a name."""
        address = name_signature(self.disk, self.contents, candidate)
        if address is None:
            raise BootError("the root hash has no signature that the kernel could check")
        return address

    def _flash(self, candidate: Candidate) -> Flash | None:
        """The raw flash that the root is on. Raises FormatError, DeviceError."""
        if candidate.data.kind is not NodeKind.UBI_VOLUME:
            return None
        above = self.contents.node(candidate.data.parent_path)
        assert above is not None
        ubi = read_ubi(open_node(self.disk, self.contents, above.path))
        return Flash(ubi, None if above.partition is None else above.partition.number)


def join_initrds(initrds: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """The pieces of archives one after the other, each archive at a multiple of four bytes."""
    length = 0
    for initrd in initrds:
        padding = bytes(-length % _INITRD_ALIGN)
        for piece in filter(None, initrd):
            if padding:
                yield padding
            yield piece
            length += len(padding) + len(piece)
            padding = b""


def _read_initrd(
    found: FoundEntry, piece: FilePart, assured: Explanation[AssuranceReason]
) -> tuple[list[bytes], RunPart]:
    """The pieces of an initrd, which is too large to be copied once more, and what it is."""
    content, hasher = [], sha256()
    for data in read_pieces(found.files, piece):
        content.append(data)
        hasher.update(data)
    return content, RunPart("initrd", str(piece), assured, piece.size_bytes, hasher.hexdigest())


def _part(what: str, origin: str, content: bytes, assured: Explanation[AssuranceReason]) -> RunPart:
    return RunPart(what, origin, assured, len(content), sha256(content).hexdigest())


def _is_x86_kernel(kernel: bytes) -> bool:
    return kernel[_X86_MAGIC_OFFSET : _X86_MAGIC_OFFSET + len(_X86_MAGIC)] == _X86_MAGIC


def _efi_architecture(architecture: Architecture) -> EfiArchitecture | None:
    return EfiArchitecture.named(architecture.value)
