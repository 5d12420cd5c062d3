"""What loading a Linux image comes to: what would run, each candidate that was tried, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.boot.linux.assurance import Assurance, AssuranceReason
from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, Refusal, RefusalReason, RootOrder
from bootpath.boot.linux.cmdline import PlacedParameter, command_line_of
from bootpath.core.reasons import Explanation
from bootpath.formats.entries.tries import counted_name
from bootpath.formats.kernels.image import KernelImage
from bootpath.formats.partitions.dps import Architecture
from bootpath.image.contents.nodes import Contents
from bootpath.image.entries.default import DefaultReason
from bootpath.image.entries.menu import BootMenu, FoundEntry
from bootpath.image.roots.candidates import Candidate


@dataclass(frozen=True, slots=True)
class RunPart:
    """Something that runs, or that what runs believes: where it comes from, its size, and who vouches for it."""

    what: str
    origin: str
    why: Explanation[AssuranceReason]
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedLinux:
    """What a machine is started with; `image` says what the kernel is, None when that is not known.

    `devicetree` is None without one; `initrd_pieces`, one after the other, are what the kernel gets as its initrd.
    That may be large, so nothing joins them but who needs it.
    """

    kernel: bytes
    image: KernelImage | None
    initrd_pieces: tuple[bytes, ...]
    devicetree: bytes | None

    @property
    def initrd(self) -> bytes:
        """The pieces as one: a copy."""
        return b"".join(self.initrd_pieces)


@dataclass(frozen=True, slots=True)
class LinuxPlan:
    """What would run: the entry, the kernel's parameters, and the parts with who vouches for each.

    `why` is why it is this entry, and `warnings` what named none before it, or makes its kernel doubtful.
    `architecture` is that of the machine, None where nothing says it.
    `loaded` are the bytes; None where it was only decided (`Depth.DECIDE`), and then no part has a checksum.
    """

    entry: FoundEntry
    why: Explanation[DefaultReason]
    parameters: tuple[PlacedParameter, ...]
    parts: tuple[RunPart, ...]
    architecture: Architecture | None
    loaded: LoadedLinux | None = None
    warnings: tuple[str, ...] = ()

    @property
    def counted_name(self) -> str | None:
        """What a loader that counts tries would rename the entry's file to first; None where nothing is counted."""
        counter = self.entry.entry.counter
        if counter is None or counter.bad:
            return None
        return counted_name(self.entry.source.path.rpartition("/")[2])

    @property
    def command_line(self) -> str:
        """The parameters, as the kernel gets them."""
        return command_line_of(self.parameters)

    @property
    def weakest(self) -> RunPart | None:
        """The first part that is not verified, None when all are."""
        return next((part for part in self.parts if not part.why.reason.verified), None)

    @property
    def assurance(self) -> Assurance:
        """That of the weakest part."""
        return Assurance.VERIFIED if self.weakest is None else Assurance.UNVERIFIED


@dataclass(frozen=True, slots=True)
class Attempt:
    """A candidate that was tried, None for what needs no root of this disk.

    `table` is the stack that was opened, `failure` why it does not boot, or None. `menus` are the entries that were
    looked at, the root's own first; `checked` is True when all data was verified.
    """

    candidate: Candidate | None
    table: str = ""
    menus: tuple[BootMenu, ...] = ()
    plan: LinuxPlan | None = None
    checked: bool = False
    failure: Refusal | None = None

    @property
    def where(self) -> str:
        """The place of the root."""
        return "boot partitions" if self.candidate is None else str(self.candidate.data.location)


@dataclass(frozen=True, slots=True)
class LinuxBoot:
    """Every decision of a boot, and its result."""

    name: str
    contents: Contents
    request: LinuxRequest
    order: RootOrder
    attempts: tuple[Attempt, ...]

    @property
    def plan(self) -> LinuxPlan | None:
        """What would run, None when the boot is refused."""
        return self.attempts[-1].plan if self.attempts else None

    @property
    def loaded(self) -> LoadedLinux | None:
        """The bytes of what would run, None when there is nothing, or nothing was loaded."""
        return None if self.plan is None else self.plan.loaded

    @property
    def chosen(self) -> Candidate | None:
        """The root that would be mounted, None where none of this disk would be."""
        return self.attempts[-1].candidate if self.plan is not None else None

    @property
    def root(self) -> Candidate | None:
        """The root that was decided on, although there may be nothing that boots it: no entry, or no kernel for it."""
        if self.plan is not None or self.order.refusal is not None or not self.attempts:
            return self.chosen
        last = self.attempts[-1]
        unbootable = last.failure is not None and last.failure.reason is RefusalReason.UNBOOTABLE
        return last.candidate if unbootable else None

    @property
    def verdict(self) -> LinuxVerdict:
        """The verdict on the boot as a whole."""
        if self.plan is None:
            return LinuxVerdict.REFUSED
        return LinuxVerdict(self.plan.assurance.value)

    @property
    def refusal(self) -> Refusal | None:
        """Why nothing is booted, None when something is."""
        if self.plan is not None:
            return None
        if self.order.refusal is not None:
            return self.order.refusal
        failures = (f"{each.where}: {each.failure}" for each in self.attempts)
        return RefusalReason.NO_CANDIDATE("; ".join(failures))
