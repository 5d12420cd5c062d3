"""What loading a Linux image comes to: what would run, each candidate that was tried, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.boot.linux.assurance import Assurance, AssuranceReason
from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, Refusal, RefusalReason, RootOrder
from bootpath.boot.linux.cmdline import PlacedParameter, command_line_of
from bootpath.core.reasons import Explanation
from bootpath.formats.entries.tries import counted_name
from bootpath.image.contents.nodes import Contents
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
    """What a machine is started with. `devicetree` is None without one; `initrd_pieces`, one after the other, are what
    the kernel gets as its initrd, which may be large: nothing joins them but who needs it."""

    entry: FoundEntry
    kernel: bytes
    initrd_pieces: tuple[bytes, ...]
    devicetree: bytes | None
    parameters: tuple[PlacedParameter, ...]
    parts: tuple[RunPart, ...]

    @property
    def initrd(self) -> bytes:
        """The pieces as one: a copy."""
        return b"".join(self.initrd_pieces)

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
    """A candidate that was tried: `table` is the stack that was opened, `failure` why it does not boot, or None.

    `menus` are the entries that were looked at, the root's own first; `checked` is True when all data was verified.
    """

    candidate: Candidate
    table: str = ""
    menus: tuple[BootMenu, ...] = ()
    loaded: LoadedLinux | None = None
    checked: bool = False
    failure: Refusal | None = None


@dataclass(frozen=True, slots=True)
class LinuxBoot:
    """Every decision of a boot, and its result."""

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
        """The verdict on the boot as a whole."""
        if self.loaded is None:
            return LinuxVerdict.REFUSED
        return LinuxVerdict(self.loaded.assurance.value)

    @property
    def refusal(self) -> Refusal | None:
        """Why nothing is booted, None when something is."""
        if self.loaded is not None:
            return None
        if self.order.refusal is not None:
            return self.order.refusal
        failures = (f"{each.candidate.data.location}: {each.failure}" for each in self.attempts)
        return RefusalReason.NO_CANDIDATE("; ".join(failures))
