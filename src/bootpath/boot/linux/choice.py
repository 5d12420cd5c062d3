"""Which roots of a Linux image to try, the best first: decided before a byte of the image runs.

Rules:

1. `image.roots.choice` knows what may be the root. This module decides which of them are *eligible*: those for the
   architecture that was asked for, or the only one there is, in the slot that was asked for, which discovery need not
   skip; the newest version first.
2. An eligible root that cannot be used is never skipped silently. With `NextCandidate.NEVER` the boot is refused with
   the reason; with `POLICY` the next root that the policy allows is tried, which may be an older version, and at last
   those with the flag no-auto. A partition table of which only the backup copy is sound is the same disk, with a note.
   A disk with nothing that could be a root may still have boot entries, which then decide on the root by themselves
   (`RootOrder.without_root`): an initramfs that is the system, a root on another disk or on the network.
3. Only a slot decides between copies of one image, whatever the policy allows; `IdenticalSlots.FIRST` names the first.
4. A root's own entries come first: they are protected as it is. Those of XBOOTLDR and of the EFI partition count when
   the root has none, or when the caller names one, and the policy lets these partitions be used unprotected. Only the
   places that the caller wants (`LinuxRequest.places`) count. Where nothing unverified may run
   (`LinuxRequest.strict`), only unified kernel images count there, since they can be signed.

Pure: nothing is read from the disk here. Sources: UAPI.1, UAPI.2, systemd.image-policy(7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from reprlib import repr as brief
from typing import TypeAlias

from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.cmdline.address import Assembly
from bootpath.formats.partitions.dps import Architecture, Designator
from bootpath.formats.partitions.gpt import GptVerdict
from bootpath.formats.partitions.imagepolicy import ImagePolicy, Protection, parse_image_policy
from bootpath.formats.systemdboot.loadervariables import LoaderVariables
from bootpath.image.contents.nodes import Contents, Node
from bootpath.image.entries.bootvolumes import newest_first
from bootpath.image.entries.menu import VolumeRole
from bootpath.image.roots.candidates import Candidate, Terms, find_candidates, is_hidden, locations, set_aside
from bootpath.image.roots.choice import (
    DEFAULT_POLICY,
    SIGNED_POLICY,
    IdenticalSlots,
    RootChoice,
    choose_root,
    without_no_auto,
)
from bootpath.image.roots.reasons import ProblemReason

HASHED_POLICY = "root=verity+signed+absent:usr=verity+signed+absent:=open"
"""The policy of a caller who gives a root hash and no policy."""
_DESIGNATORS = {
    VolumeRole.MEDIUM: Designator.ROOT,  # all that it has
    VolumeRole.ESP: Designator.ESP,
    VolumeRole.XBOOTLDR: Designator.XBOOTLDR,
}


class NextCandidate(Enum):
    """What to do when the first candidate cannot be used: refuse, or try the next one that the policy allows."""

    NEVER = "never"
    POLICY = "policy"


class LinuxVerdict(Enum):
    """The verdict on a boot as a whole: that of its weakest part."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class GivenInitrd:
    """An initramfs that the caller gives instead of the entry's; `trusted` when the caller vouches for it."""

    name: str
    content: bytes
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class LinuxRequest:
    """What the caller asks of a boot.

    `policy` None is "*", or what the certificates or the root hash make of it (`boot_policy`); `architecture` None is
    the only one that roots are for. `places` are where boot entries are looked for; without `efi` those that need it do
    not count. `disk_name` is what the kernel will call the disk ("/dev/vda"); with `fixed`, devices are named by it and
    not searched. `assembly` says who assembles the root; without any initramfs the kernel has to. With
    `kernel_signature` the kernel checks the root hash's signature too, by its own keys. `append` are more kernel
    parameters. `skipped` are the paths of candidates that are not to be tried, each with the reason. `variables` are
    what the machine's EFI variables say of the entries of boot partitions.
    """

    policy: ImagePolicy | None = None
    certificates: tuple[bytes, ...] = ()
    root_hash: bytes | None = None
    slot: str | None = None
    entry: str | None = None
    architecture: Architecture | None = None
    places: frozenset[VolumeRole] = frozenset(VolumeRole)
    efi: bool = True
    identical: IdenticalSlots = IdenticalSlots.REFUSE
    next_candidate: NextCandidate = NextCandidate.NEVER
    disk_name: str = "/dev/vda"
    fixed: bool = False
    assembly: Assembly = Assembly.BOOTPATH
    kernel_signature: bool = False
    append: str = ""
    initrd: GivenInitrd | None = None
    full: bool = False
    now: datetime | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    variables: LoaderVariables | None = None

    @property
    def boot_policy(self) -> ImagePolicy:
        """The policy that counts."""
        if self.policy is not None:
            return self.policy
        text = SIGNED_POLICY if self.certificates else HASHED_POLICY if self.root_hash else DEFAULT_POLICY
        return parse_image_policy(text)

    @property
    def strict(self) -> bool:
        """True when nothing unverified may run: the caller says whom to trust, and gives no policy that allows more."""
        return self.policy is None and bool(self.certificates or self.root_hash)

    @property
    def requirements(self) -> Terms:
        """What a candidate has to fulfil."""
        return Terms(self.boot_policy, self.certificates, self.architecture, self.root_hash, self.now)


class RefusalReason(Reason):
    """Why nothing is booted, or why a candidate is not."""

    INCOMPLETE = "what is on the disk could not be read completely: {}"
    NO_TABLE = "the disk cannot be read as a whole: {}"
    AMBIGUOUS = "{}"
    IMAGE_REFUSED = "{}"
    NO_SUCH_SLOT = "there is no root in the slot {}; roots are in {}"
    ONLY_USR = "the disk has a /usr and no root, which this loader does not boot"
    NO_ROOT = "no root can be used: {}"
    NOTHING = "there is neither a RedoxFS nor anything that could be the root of a Linux"
    # Of a candidate.
    EXCLUDED = "it is excluded: {}"
    FAILED_BEFORE = "it failed before: {}"
    NO_TRIES_LEFT = "no entry of it has a try left"
    NOT_LOADED = "it cannot be loaded: {}"
    UNBOOTABLE = "it cannot be booted: {}"
    NO_CANDIDATE = "{}"


Refusal: TypeAlias = Explanation[RefusalReason]

SUMS = frozenset(
    {RefusalReason.INCOMPLETE, RefusalReason.AMBIGUOUS, RefusalReason.IMAGE_REFUSED, RefusalReason.NO_ROOT}
)
"""The reasons that say again what `RootChoice.problems` say one by one."""


class NoteReason(Reason):
    """What was accepted that a stricter caller would refuse."""

    BACKUP_DAMAGED = "the partition table's backup copy is damaged: {}"
    BACKUP_USED = "the partition table's first copy is damaged, and its backup copy is used: {}"


Note: TypeAlias = Explanation[NoteReason]


@dataclass(frozen=True, slots=True)
class RootOrder:
    """The candidates to try, the best first; one that is excluded counts as tried, and failed.

    `refusal` is why none of them is tried at all; `notes` are what was accepted that a stricter caller would refuse.
    `architecture` is the machine's, None where no root says it; `without_root`: entries of boot partitions count
    although no root is here.
    """

    choice: RootChoice
    candidates: tuple[Candidate, ...]
    architecture: Architecture | None = None
    without_root: bool = False
    refusal: Refusal | None = None
    notes: tuple[Note, ...] = ()


def order_roots(contents: Contents, request: LinuxRequest) -> RootOrder:
    """Which roots are tried, in which order. Raises Error when a library is missing."""
    choice = choose_root(
        contents,
        request.boot_policy,
        request.certificates,
        request.slot,
        architecture=request.architecture,
        root_hash=request.root_hash,
        now=request.now,
        identical=request.identical,
    )
    architecture = request.architecture or _only_architecture(choice)
    visible = replace(contents, root=without_no_auto(contents.root))
    hidden = {node.path for node in contents.nodes() if is_hidden(node)}

    def eligible_in(these: Contents) -> list[Candidate]:
        found = find_candidates(these, request.requirements)
        return [each for each in found if _is_eligible(each, request, choice, architecture)]

    if request.slot is not None or request.root_hash is not None:
        eligible = newest_first(eligible_in(visible))
    else:
        eligible = newest_first(eligible_in(contents))
        if hidden and request.next_candidate is NextCandidate.POLICY:
            eligible += newest_first(each for each in eligible_in(visible) if each.data.path in hidden)
    refusal, notes = _judge_table(contents)
    if contents.incomplete is not None:
        refusal = RefusalReason.INCOMPLETE(contents.incomplete)
    if choice.ambiguity is not None:
        refusal = RefusalReason.AMBIGUOUS(choice.ambiguity.cause)
    elif choice.root is not None and choice.problems:
        # Of the policy, about other partitions, or about /usr.
        refusal = RefusalReason.IMAGE_REFUSED(choice.problems[0])
    elif not eligible:
        refusal = _no_such_slot(choice, request) or _why_none(choice)
    nothing = not choice.candidates and all(each.cause.reason is ProblemReason.NOTHING for each in choice.problems)
    without_root = nothing and contents.incomplete is None and request.slot is None and request.root_hash is None
    return RootOrder(choice, eligible, architecture, without_root, refusal, notes)


def may_use(request: LinuxRequest, role: VolumeRole) -> bool:
    """True when the policy lets a boot partition be used as it is, unprotected."""
    return request.boot_policy.judge(_DESIGNATORS[role], Protection.UNPROTECTED).protection is not None


def _only_architecture(choice: RootChoice) -> Architecture | None:
    """The architecture that the root is for, or that all of what could be the root are for."""
    roots = choice.chosen[:1] if choice.root is not None else choice.candidates
    found = {each.architecture for each in roots if each.designator is Designator.ROOT}
    return found.pop() if len(found) == 1 else None


def _is_eligible(
    candidate: Candidate, request: LinuxRequest, choice: RootChoice, architecture: Architecture | None
) -> bool:
    """True for a root that only damage, or the policy, can keep from being used."""
    data = candidate.data
    if candidate.designator is not Designator.ROOT or set_aside(data) is not None:
        return False
    if request.slot is not None and not data.location.is_named(request.slot):
        return False
    if candidate.architecture is not None:
        if request.root_hash is not None and candidate.root_hash != request.root_hash:
            # The root hash names another image. Where no image has it, each is reported with its reason.
            return not any(each.root_hash == request.root_hash for each in choice.candidates)
        return candidate.architecture is architecture
    # No type says that this place is a root: it is one only if it can be used as such.
    return candidate.excluded is None or _is_root_by_name(data)


def _is_root_by_name(node: Node) -> bool:
    return node.name.lower() in ("root", "rootfs")


def _judge_table(contents: Contents) -> tuple[Refusal | None, tuple[Note, ...]]:
    """Why the partition table is not believed, or what was accepted of it."""
    gpt = contents.root.gpt
    if gpt is None:
        fault = contents.root.fault
        unreadable = fault is not None and not contents.root.superblocks
        return (RefusalReason.NO_TABLE(fault) if unreadable else None), ()
    if gpt.verdict is GptVerdict.SOUND:
        return None, ()
    if gpt.verdict is GptVerdict.BACKUP_DAMAGED:
        return None, (NoteReason.BACKUP_DAMAGED(gpt.backup_fault or gpt.verdict.value),)
    return None, (NoteReason.BACKUP_USED(gpt.primary_fault or gpt.verdict.value),)


def _no_such_slot(choice: RootChoice, request: LinuxRequest) -> Refusal | None:
    """The refusal of a slot that is the place of no root; None when it is one, or was not asked for."""
    slot, roots = request.slot, [each for each in choice.candidates if each.designator is Designator.ROOT]
    if slot is None or not roots or any(each.data.location.is_named(slot) for each in roots):
        return None
    return RefusalReason.NO_SUCH_SLOT(brief(slot), locations(roots))


def _why_none(choice: RootChoice) -> Refusal:
    if not choice.candidates and all(each.cause.reason is ProblemReason.NOTHING for each in choice.problems):
        return RefusalReason.NOTHING()
    if choice.usr is not None:
        return RefusalReason.ONLY_USR()
    return RefusalReason.NO_ROOT("; ".join(map(str, choice.problems or (ProblemReason.NOTHING(),))))
