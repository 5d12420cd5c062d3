"""Deciding on one candidate, and loading it: kernel, initramfs and device tree, through what protects them.

::

    disk ── partition, logical volume, UBI volume ── dm-verity ── file system ── entry, kernel, initrd, device tree

What is loaded here are the bytes that run: nobody reads them a second time, so a disk that changes its answers gains
nothing. The partition table, superblocks and signatures are read once too (`block.targets.readonce`), and the hash tree
is opened with the parameters that were seen then.

Whether the bytes are loaded or only the decision is wanted (`Depth`), the decision is made by the same steps: the
entry, its files, the first bytes of the kernel, the command line, and who vouches for what. What is not read may be
damaged.

When anything that is read of a candidate does not match its root hash, the candidate is given up for the first mismatch
there was, even where a menu could do without the entry that was hit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from bootpath.block.targets.firsterror import FirstError
from bootpath.block.targets.readonce import ReadOnce
from bootpath.boot.linux.assurance import entry_files, mounted_root, root_content
from bootpath.boot.linux.choice import LinuxRequest, Refusal, RefusalReason, RootOrder, may_use
from bootpath.boot.linux.cmdline import (
    Flash,
    ParameterSource,
    PlacedParameter,
    RootNaming,
    command_line_of,
    decide_command_line,
    read_root,
)
from bootpath.boot.linux.files import INITRD, described, load_files, weigh_files
from bootpath.boot.linux.kernel import doubt_of, machine_of
from bootpath.boot.linux.menu import bootable, choose_entry, concatenate, is_called
from bootpath.boot.linux.result import Attempt, LinuxPlan, RunPart
from bootpath.boot.timeline import LOADER, Timeline
from bootpath.core.device import Device, checked
from bootpath.core.errors import BootError, Error, FormatError
from bootpath.formats.cmdline.address import Assembly, DeviceAddress, RootAddress
from bootpath.formats.cmdline.parameters import Parameter
from bootpath.formats.entries.uki import EfiArchitecture
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.ubi.attach import read_ubi
from bootpath.image.contents.nodes import Contents, NodeKind
from bootpath.image.contents.read import open_node
from bootpath.image.entries.appendedroot import ChosenRoot
from bootpath.image.entries.bootvolumes import root_volume
from bootpath.image.entries.default import DefaultEntry
from bootpath.image.entries.find import BOOT_PARTITIONS, find_entries, menu_of
from bootpath.image.entries.menu import BootMenu, FoundEntry, VolumeRole
from bootpath.image.entries.rootaddress import name_root, name_signature
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import check_candidate
from bootpath.image.roots.table import open_root_device, root_table
from bootpath.image.verity.tree import Progress

_ALLOW = "a policy can allow more"


MachineParameters: TypeAlias = Callable[[Architecture], Iterable[Parameter]]
"""What a machine of an architecture wants on the command line."""


def no_parameters(architecture: Architecture) -> tuple[Parameter, ...]:
    """Those of a decision that is for no machine in particular."""
    return ()


class Depth(Enum):
    """How much of what would run is read: enough to decide, or all of it."""

    DECIDE = "decide"
    LOAD = "load"


@dataclass
class CandidateLoader:
    """Tries one candidate. What became known until it failed is in the attempt."""

    disk: Device
    contents: Contents
    request: LinuxRequest
    order: RootOrder
    depth: Depth
    machine_parameters: MachineParameters
    timeline: Timeline
    progress: Progress | None
    table: str = ""
    menus: tuple[BootMenu, ...] = ()
    checked: bool = False

    def attempt(self, candidate: Candidate | None) -> Attempt:
        """Load it, or say why not; None: what needs no root of this disk. Raises no Error."""
        plan, failure = None, None if candidate is None else self._refuse(candidate)
        place = "a boot partition" if candidate is None else candidate.data.location
        if failure is None:
            try:
                with self.timeline.step(LOADER, f"load from {place}") as step:
                    plan = self._plan_without_root() if candidate is None else self._plan(candidate)
                    step.bytes = sum(part.size_bytes or 0 for part in plan.parts)
                    step.detail = plan.entry.entry.id
            except BootError as fault:
                failure = RefusalReason.UNBOOTABLE(fault)
            except Error as fault:
                failure = RefusalReason.NOT_LOADED(fault)
        return Attempt(candidate, self.table, self.menus, plan, self.checked, failure)

    def _refuse(self, candidate: Candidate) -> Refusal | None:
        """Why the candidate is not even tried, or None."""
        if candidate.excluded is not None:
            return RefusalReason.EXCLUDED(candidate.excluded)
        reason = dict(self.request.skipped).get(candidate.data.path)
        return None if reason is None else RefusalReason.FAILED_BEFORE(reason)

    def _plan(self, candidate: Candidate) -> LinuxPlan:
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
                plan = self._decide(candidate, found)
            except Error:
                if readable.error is not None:
                    raise readable.error from None
                raise
            if readable.error is not None:
                raise readable.error
            return plan

    def _plan_without_root(self) -> LinuxPlan:
        """Raises what keeps every entry of the boot partitions from being booted."""
        menu = self._boot_partitions(_efi_architecture(self.order.architecture))
        self.menus = (menu,)
        return self._decide(None, choose_entry(menu, self.request.entry))

    def _check(self, candidate: Candidate) -> None:
        """All of the candidate against its hash tree. Raises FormatError, DeviceError."""
        with self.timeline.step(LOADER, "verify all of it") as step:
            wrong = check_candidate(self.disk, self.contents, candidate, progress=self.progress)
            step.bytes = 0 if candidate.hashes is None else candidate.data.size_bytes
        if wrong:
            level = wrong[0].level
            what = "data block" if level < 0 else f"hash block of level {level}, number"
            raise FormatError(f"{what} {wrong[0].block} does not match the root hash")
        self.checked = candidate.hashes is not None

    def _entry(self, candidate: Candidate, device: FirstError) -> DefaultEntry:
        """The entry to boot: one of the root's own, or one of a boot partition. Raises BootError, DeviceError."""
        roots: BootMenu | None = None
        fault: Error | None = None
        request, architecture = self.request, _efi_architecture(self.order.architecture)
        try:
            if VolumeRole.ROOT in request.places:
                place = root_volume(self.disk, self.contents, candidate, device)
                roots = menu_of(
                    self.contents.name, [place], roles=(VolumeRole.ROOT,), architecture=architecture, efi=request.efi
                )
                roots = bootable(roots)
                self.menus = (roots,)
        except FormatError as error:
            fault = error  # a root that is not read here may still be booted by an entry elsewhere
        if device.error is not None:
            raise device.error
        wanted = self.request.entry
        own = roots is not None and (
            any(wanted is None or is_called(each.entry, wanted) for each in roots.entries)
            or bool(roots.excluded and wanted is None)
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
        wanted = [role for role in BOOT_PARTITIONS if role in self.request.places]
        allowed = [role for role in wanted if may_use(self.request, role)]
        once = ReadOnce(self.disk, limit="boot_partition_bytes")
        menu = find_entries(
            checked(once),
            self.contents,
            roles=allowed,
            shown_roles=wanted,
            architecture=architecture,
            efi=self.request.efi,
            terms=self.request.requirements,
            variables=self.request.variables,
        )
        return bootable(menu, strict=self.request.strict)

    def _decide(self, candidate: Candidate | None, chosen: DefaultEntry) -> LinuxPlan:
        """What would run with this entry. Raises BootError, and what reading the files raises."""
        found = chosen.found
        request, assured = self.request, entry_files(candidate, found, self.request)
        if request.strict and not assured.reason.verified:
            raise BootError(f"the entry is not verified: {assured}", where=found.entry.id, hint=_ALLOW)
        if self.depth is Depth.LOAD:
            loaded, parts = load_files(found, request, self.order.architecture, assured)
            image = loaded.image
        else:
            loaded = None
            image, parts = weigh_files(found, request, self.order.architecture, assured)
        architecture = machine_of(image, self.order.architecture)
        warnings = (*chosen.warnings, *doubt_of(image, where=str(found.parts.kernel)))
        alone = not any(part.what == INITRD for part in parts)
        placed = self.parameters(candidate, found, architecture, alone=alone)
        options = [each.text for each in placed if each.source is ParameterSource.ENTRY]
        if options:
            origin = found.source.path or str(found.source.location)
            line = " ".join(options).encode("utf-8", "surrogateescape")
            parts.append(described("command line", origin, line, assured))
        root = mounted_root(candidate, placed, assured, request, alone=alone)
        if request.strict and not root.reason.verified:
            raise BootError(
                f"the root that would be mounted is not verified: {root}", where=found.entry.id, hint=_ALLOW
            )
        parts.append(RunPart("root", "not here" if candidate is None else str(candidate.data.location), root))
        usr = self.order.choice.usr
        if usr is not None and candidate is not None:
            parts.append(RunPart("/usr", str(usr.data.location), root_content(usr, request)))
        return LinuxPlan(found, chosen.why, placed, tuple(parts), architecture, loaded, warnings)

    def parameters(
        self, root: Candidate | None, found: FoundEntry, architecture: Architecture | None = None, *, alone: bool
    ) -> tuple[PlacedParameter, ...]:
        """The command line of an entry that boots this root; `alone` without any initramfs.

        Without a root of this disk, nothing is added, unless the entry wants the root to be appended: then the file
        system that it is in is meant, if it can be one (`image.entries.appendedroot`). Raises BootError, FormatError,
        DeviceError.
        """
        request = self.request
        assembly = Assembly.KERNEL if alone else request.assembly
        naming: RootNaming | None = None
        if root is not None:
            naming = RootNaming(
                self._address(root, found),
                request.disk_name,
                request.fixed,
                assembly,
                self._flash(root),
                self._signature(root) if request.kernel_signature else None,
            )
        elif found.entry.append_root:
            naming = RootNaming(found.appended_root(), request.disk_name, request.fixed, assembly)
        placed = decide_command_line(
            found.parts.command_line,
            naming,
            append_root=found.entry.append_root,
            machine=() if architecture is None else self.machine_parameters(architecture),
            append=request.append,
        )
        command_line_of(placed, architecture)
        if assembly is Assembly.BOOTPATH:
            read_root(placed)  # what it would refuse in the guest is refused here
        return placed

    def _address(self, root: Candidate, found: FoundEntry) -> RootAddress | None:
        """How a kernel is told of the root that was chosen, which is also what the entry asks for."""
        address = name_root(self.disk, self.contents, root)
        if not found.entry.append_root or found.source.role is VolumeRole.ROOT:
            return address
        return replace(found, chosen=ChosenRoot(address, "no kernel parameter can name it")).appended_root()

    def _signature(self, candidate: Candidate) -> DeviceAddress:
        """Where the root's signature is. Raises BootError when it has none, or none that has a name."""
        address = name_signature(self.disk, self.contents, candidate)
        if address is None:
            raise BootError("the root hash has no signature that the kernel could check")
        return address

    def _flash(self, candidate: Candidate) -> Flash | None:
        """The raw flash that the root is on. Raises FormatError, DeviceError."""
        if candidate.data.kind is not NodeKind.UBI_VOLUME or not self.request.disk_name.startswith("/"):
            return None  # by a name of its own it is an MTD already
        above = self.contents.node(candidate.data.parent_path)
        assert above is not None
        ubi = read_ubi(open_node(self.disk, self.contents, above.path))
        return Flash(ubi, None if above.partition is None else above.partition.number)


def _efi_architecture(architecture: Architecture | None) -> EfiArchitecture | None:
    return None if architecture is None else EfiArchitecture.named(architecture.value)
