"""Loading an image-based Linux: kernel, initramfs and device tree, read once, through what protects them.

::

    disk ── partition, logical volume, UBI volume ── dm-verity ── file system ── entry, kernel, initrd, device tree

What is loaded here are the bytes that run: nobody reads them a second time, so a disk that changes its answers gains
nothing. The partition table, superblocks and signatures are read once too (`block.targets.readonce`), and the hash tree
is opened with the parameters that were seen then.

A candidate is tried as a whole: when anything that was read of it is not what its root hash promised, it is given up,
with the first reason there was, even where a menu could do without the entry that was hit. `NextCandidate` says whether
there is another try. If so, a root whose entries have used up their tries waits until no other can be booted. Tries are
not counted here: that is a write to the disk, by renaming, and nothing is written.

Nothing raises for a boot that is refused: that is a result, with its reasons. Raises DeviceError when the disk cannot
be read at all, Error when a library for signatures is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256

from bootpath.block.targets.firsterror import FirstError
from bootpath.block.targets.readonce import ReadOnce
from bootpath.boot.linux.assurance import Known, entry_files, given_initrd, mounted_root
from bootpath.boot.linux.choice import (
    Assurance,
    LinuxRequest,
    LinuxVerdict,
    NextCandidate,
    RootOrder,
    may_use,
    order_roots,
)
from bootpath.boot.linux.cmdline import Flash, RootNaming, Word, WordSource, decide_words, line_of, read_words
from bootpath.boot.linux.menu import choose_entry, joined, offered
from bootpath.boot.redox.loader import LOADER
from bootpath.boot.timeline import Timeline
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, Error, FormatError
from bootpath.formats.cmdline.appendroot import Assembly, RootSpot
from bootpath.formats.entries.tries import counted_name
from bootpath.formats.entries.uki import EfiArchitecture
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.ubi.attach import read_ubi
from bootpath.image.contents.nodes import Contents, NodeKind
from bootpath.image.contents.read import open_node, read_contents
from bootpath.image.entries.bootvolumes import root_volume
from bootpath.image.entries.extras import is_extra, pack_extras
from bootpath.image.entries.files import read_part
from bootpath.image.entries.find import BOOT_PARTITIONS, find_entries, menu_of
from bootpath.image.entries.menu import INITRD_MAX_BYTES, BootMenu, FoundEntry, VolumeRole
from bootpath.image.entries.rootaddress import name_root, name_signature
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import check_candidate
from bootpath.image.roots.table import open_root_device, root_table
from bootpath.image.verity.tree import Progress

_X86_MAGIC, _X86_MAGIC_OFFSET = b"HdrS", 0x202  # Documentation/arch/x86/boot.rst, "The real-mode kernel header"
_BOOT_PARTITION_BYTES = 1 << 30  # of what is read of boot partitions, all of which stays in memory
_ALLOW = "a policy can allow more"
_INITRD_ALIGN = 4  # initramfs/buffer-format.rst: archives one after the other, zeros between them


@dataclass(frozen=True, slots=True)
class RunPart:
    """Something that runs, or is believed by what runs: from where, how large, and whether it is known to be right."""

    what: str
    origin: str
    assurance: Assurance
    why: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedLinux:
    """What a machine is started with. `devicetree` is None without one; `initrd` is empty without one."""

    entry: FoundEntry
    kernel: bytes
    initrd: bytes
    devicetree: bytes | None
    words: tuple[Word, ...]
    parts: tuple[RunPart, ...]

    @property
    def counted_name(self) -> str | None:
        """What a loader that counts tries would rename the entry's file to first; None where nothing is counted."""
        counter = self.entry.entry.counter
        if counter is None or counter.bad:
            return None
        return counted_name(self.entry.source.path.rpartition("/")[2])

    @property
    def command_line(self) -> str:
        """The words, as the kernel gets them."""
        return line_of(self.words)

    @property
    def assurance(self) -> Assurance:
        """That of the weakest part."""
        verified = all(part.assurance is Assurance.VERIFIED for part in self.parts)
        return Assurance.VERIFIED if verified else Assurance.UNVERIFIED


@dataclass(frozen=True, slots=True)
class Attempt:
    """A candidate that was tried: `table` is the stack that was opened, `failure` why it does not boot, or None.

    `menus` are the entries that were looked at, its own first.
    """

    candidate: Candidate
    table: str = ""
    menus: tuple[BootMenu, ...] = ()
    loaded: LoadedLinux | None = None
    checked: bool = False
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class LinuxBoot:
    """Every decision of a boot, and what it comes to."""

    name: str
    contents: Contents
    request: LinuxRequest
    order: RootOrder
    attempts: tuple[Attempt, ...]

    @property
    def loaded(self) -> LoadedLinux | None:
        """What would run, None when the boot is refused."""
        return self.attempts[-1].loaded if self.attempts else None

    @property
    def chosen(self) -> Candidate | None:
        """The root that would be mounted."""
        return self.attempts[-1].candidate if self.loaded is not None else None

    @property
    def verdict(self) -> LinuxVerdict:
        """What the boot is worth."""
        if self.loaded is None:
            return LinuxVerdict.REFUSED
        return LinuxVerdict(self.loaded.assurance.value)

    @property
    def refusal(self) -> str | None:
        """Why nothing is booted, None when something is."""
        if self.loaded is not None:
            return None
        if self.order.refusal is not None:
            return self.order.refusal
        return "; ".join(f"{each.candidate.data.location}: {each.failure}" for each in self.attempts)


def load_linux(
    disk: Device,
    request: LinuxRequest,
    timeline: Timeline,
    *,
    machine_words: Iterable[str] = (),
    progress: Progress | None = None,
) -> LinuxBoot:
    """Decide and load. The disk stays the caller's. See the module docstring for what is raised."""
    with timeline.step(LOADER, "look at the disk") as step:
        contents = read_contents(disk)
        step.detail = f"{len(contents.nodes())} places"
    with timeline.step(LOADER, "choose the root") as step:
        order = order_roots(contents, request)
        step.detail = order.refusal or ", ".join(str(each.data.location) for each in order.candidates[:1])
    attempts: list[Attempt] = []
    spent: list[Attempt] = []
    candidates = () if order.refusal is not None else order.candidates
    for candidate in candidates:
        loader = _Loader(disk, contents, request, tuple(machine_words), timeline, progress)
        attempt = loader.attempt(candidate)
        if len(candidates) > 1 and _is_spent(attempt, request):
            spent.append(attempt)
            attempt = replace(attempt, loaded=None, failure="no entry of it has a try left")
        attempts.append(attempt)
        if attempt.failure is None or request.next_candidate is NextCandidate.NEVER:
            break
    else:
        # "The boot loader should allow booting "bad" entries, e.g. in case no other entries are left".
        attempts += spent[:1]
    return LinuxBoot(disk.identity.name, contents, request, order, tuple(attempts))


@dataclass
class _Loader:
    """One candidate's try. What became known until it failed is in the attempt."""

    disk: Device
    contents: Contents
    request: LinuxRequest
    machine_words: tuple[str, ...]
    timeline: Timeline
    progress: Progress | None
    table: str = ""
    menus: tuple[BootMenu, ...] = ()
    checked: bool = False

    def attempt(self, candidate: Candidate) -> Attempt:
        loaded = None
        failure = None if candidate.excluded is None else str(candidate.excluded)
        if failure is None:
            try:
                with self.timeline.step(LOADER, f"load from {candidate.data.location}") as step:
                    loaded = self._load(candidate)
                    step.bytes = sum(part.size_bytes or 0 for part in loaded.parts)
                    step.detail = loaded.entry.entry.id
            except Error as fault:
                failure = str(fault)
        return Attempt(candidate, self.table, self.menus, loaded, self.checked, failure)

    def _load(self, candidate: Candidate) -> LoadedLinux:
        """Raises what keeps the candidate from being booted."""
        if self.request.full:
            self._check(candidate)
        with ExitStack() as opened:
            table = root_table(candidate)
            self.table = table.rows[0].target
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
            raise BootError(f"it is not what its root hash promises: {what} {wrong[0].block}")
        self.checked = candidate.hashes is not None

    def _entry(self, candidate: Candidate, device: FirstError) -> FoundEntry:
        """The entry to boot: one of the root's own, or one of a boot partition. Raises BootError, DeviceError."""
        roots: BootMenu | None = None
        fault: Error | None = None
        architecture = _efi_architecture(self.request.architecture)
        try:
            place = root_volume(self.disk, self.contents, candidate, device)
            roots = menu_of(self.contents.name, [place], roles=(VolumeRole.ROOT,), architecture=architecture)
            roots = offered(roots)
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
        return choose_entry(others if roots is None else joined(roots, others), wanted)

    def _boot_partitions(self, architecture: EfiArchitecture | None) -> BootMenu:
        """The entries of XBOOTLDR and of the EFI partition. Each block of these is read once: what is verified of an
        image is what runs."""
        allowed = [role for role in BOOT_PARTITIONS if may_use(self.request, role)]
        once = ReadOnce(self.disk, max_bytes=_BOOT_PARTITION_BYTES)
        menu = find_entries(
            checked(once), self.contents, roles=allowed, shown_roles=BOOT_PARTITIONS, architecture=architecture
        )
        return offered(menu, strict=self.request.strict)

    def _read(self, candidate: Candidate, found: FoundEntry) -> LoadedLinux:
        """The bytes of the entry's files. Raises BootError, and what reading them raises."""
        request, assured = self.request, entry_files(candidate, found, self.request)
        if request.strict and assured[0] is Assurance.UNVERIFIED:
            raise BootError(f"only what is verified is to run: {assured[1]}", where=found.entry.id, hint=_ALLOW)
        kernel = found.read_kernel()
        if request.architecture is Architecture.X86_64 and not _is_x86_kernel(kernel):
            raise BootError("it is no Linux for x86: there is no HdrS", where=found.parts.kernel.path)
        parts = [_part("kernel", str(found.parts.kernel), kernel, assured)]
        if request.initrd is not None:
            initrds: tuple[bytes, ...] = (request.initrd.content,)
            parts.append(_part("initrd", request.initrd.name, request.initrd.content, given_initrd(request)))
        else:
            initrds = found.read_initrds()
            pieces = zip(found.parts.initrds, initrds, strict=True)
            parts += [_part("initrd", str(piece), data, assured) for piece, data in pieces]
        extras = [
            (piece.path, read_part(found.files, piece, INITRD_MAX_BYTES))
            for piece in found.parts.extras
            if is_extra(piece.path)
        ]
        parts += [_part("extra", path, data, assured) for path, data in extras]
        devicetree = found.read_devicetree()
        if devicetree is not None and found.parts.devicetree is not None:
            parts.append(_part("device tree", str(found.parts.devicetree), devicetree, assured))
        words = self._words(candidate, found, alone=not initrds)
        options = [word for word in words if word.source is WordSource.ENTRY]
        if options:
            origin = found.source.path or str(found.source.location)
            parts.append(_part("command line", origin, " ".join(word.text for word in options).encode(), assured))
        root = mounted_root(candidate, words, assured, request, alone=not initrds)
        if request.strict and root[0] is Assurance.UNVERIFIED:
            raise BootError(f"only a verified root is to be mounted: {root[1]}", where=found.entry.id, hint=_ALLOW)
        parts.append(RunPart("root", str(candidate.data.location), *root))
        return LoadedLinux(
            found, kernel, join_initrds((*initrds, pack_extras(extras))), devicetree, words, tuple(parts)
        )

    def _words(self, candidate: Candidate, found: FoundEntry, *, alone: bool) -> tuple[Word, ...]:
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
        words = decide_words(
            found.parts.command_line,
            naming,
            append_root=found.entry.append_root,
            machine=self.machine_words,
            append=request.append,
        )
        line_of(words)
        if assembly is Assembly.BOOTPATH:
            read_words(words)  # what it would refuse in the guest is refused here
        return words

    def _signature(self, candidate: Candidate) -> RootSpot:
        """Where the root's signature is. Raises BootError when it has none, or none that has a name."""
        spot = name_signature(self.disk, self.contents, candidate)
        if spot is None:
            raise BootError("it has no signature that the kernel could check")
        return spot

    def _flash(self, candidate: Candidate) -> Flash | None:
        """The raw flash that the root is on. Raises FormatError, DeviceError."""
        if candidate.data.kind is not NodeKind.UBI_VOLUME:
            return None
        above = self.contents.node(candidate.data.parent_path)
        assert above is not None
        ubi = read_ubi(open_node(self.disk, self.contents, above.path))
        return Flash(ubi, None if above.partition is None else above.partition.number)


def join_initrds(initrds: Iterable[bytes]) -> bytes:
    """Archives one after the other, each at a multiple of four bytes."""
    joined = bytearray()
    for initrd in filter(None, initrds):
        joined += bytes(-len(joined) % _INITRD_ALIGN) + initrd
    return bytes(joined)


def _is_spent(attempt: Attempt, request: LinuxRequest) -> bool:
    """True when what would be booted has no try left, nobody named it, and another candidate may be."""
    bad = attempt.loaded is not None and attempt.loaded.entry.entry.bad
    return bad and request.entry is None and request.next_candidate is NextCandidate.POLICY


def _part(what: str, origin: str, content: bytes, assured: Known) -> RunPart:
    return RunPart(what, origin, *assured, len(content), sha256(content).hexdigest())


def _is_x86_kernel(kernel: bytes) -> bool:
    return kernel[_X86_MAGIC_OFFSET : _X86_MAGIC_OFFSET + len(_X86_MAGIC)] == _X86_MAGIC


def _efi_architecture(architecture: Architecture) -> EfiArchitecture | None:
    return EfiArchitecture.named(architecture.value)
