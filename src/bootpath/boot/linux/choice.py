"""What to boot of an image-based Linux, decided before a byte of it runs: the roots, the best first, and the entry.

Rules:

1. `image.roots.choice` knows what may be the root. Here is decided which of them are *meant*: those that discovery is
   not to pass over, for this machine, in the slot that was asked for; the newest version first.
2. What is meant and cannot be used is not passed over silently. With `NextCandidate.NEVER` the boot is refused with its
   reason; with `POLICY` the next one that the policy allows is tried, an older version, say. The same holds for the
   partition table's backup copy, when the first copy is damaged.
3. Nothing but a slot decides between copies of one image, whatever is allowed. Whoever names a slot, or a root hash,
   means it: the flag no-auto, which is about finding a partition unasked, does not count then.
4. A root's own entries come first: they are protected as it is. Those of XBOOTLDR and of the EFI partition count when
   the root has none, or when one is named, and the policy lets these partitions be used unprotected. Where nothing
   unverified is to run (`LinuxRequest.strict`), only unified kernel images count there, which may be signed.

Pure: nothing is read from the disk here. Sources: UAPI.1, UAPI.2, systemd.image-policy(7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from reprlib import repr as brief

from bootpath.formats.cmdline.appendroot import Assembly
from bootpath.formats.partitions.dps import FLAG_NO_AUTO, Architecture, Designator
from bootpath.formats.partitions.gpt import GptVerdict
from bootpath.formats.partitions.imagepolicy import ImagePolicy, Protection, parse_image_policy
from bootpath.image.contents.nodes import Contents, Node
from bootpath.image.entries.bootvolumes import newest_first
from bootpath.image.entries.menu import VolumeRole
from bootpath.image.roots.candidates import Candidate, Terms, find_candidates, locations, set_aside
from bootpath.image.roots.choice import DEFAULT_POLICY, SIGNED_POLICY, RootChoice, choose_root
from bootpath.image.roots.reasons import ExclusionReason, ProblemReason

HASHED_POLICY = "root=verity+signed+absent:usr=verity+signed+absent:=open"
"""The policy of a caller who gives a root hash and no policy."""
_DESIGNATORS = {VolumeRole.ESP: Designator.ESP, VolumeRole.XBOOTLDR: Designator.XBOOTLDR}


class NextCandidate(Enum):
    """What becomes of a boot whose first candidate cannot be used."""

    NEVER = "never"
    POLICY = "policy"


class Assurance(Enum):
    """Whether something that runs is known to be what was made: a signature or the caller vouches for it."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


class LinuxVerdict(Enum):
    """What a boot is worth, as a whole: its weakest part."""

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
    """What is asked of a boot.

    `policy` None is "*", or what the certificates or the root hash make of it (`boot_policy`). `disk_name` is what the
    kernel will call the disk ("/dev/vda"); with `fixed` devices are named by it and not searched. `assembly` says who
    puts the root together; without any initramfs the kernel has to; with `kernel_signature` the kernel is to check the
    root hash's signature as well, by its own keys. `append` are more words for the command line.
    `passed` are the paths of candidates that are not to be tried, with the reason.
    """

    policy: ImagePolicy | None = None
    certificates: tuple[bytes, ...] = ()
    root_hash: bytes | None = None
    slot: str | None = None
    entry: str | None = None
    architecture: Architecture = Architecture.X86_64
    next_candidate: NextCandidate = NextCandidate.NEVER
    disk_name: str = "/dev/vda"
    fixed: bool = False
    assembly: Assembly = Assembly.BOOTPATH
    kernel_signature: bool = False
    append: str = ""
    initrd: GivenInitrd | None = None
    full: bool = False
    now: datetime | None = None
    passed: tuple[tuple[str, str], ...] = ()

    @property
    def boot_policy(self) -> ImagePolicy:
        """The policy that counts."""
        if self.policy is not None:
            return self.policy
        text = SIGNED_POLICY if self.certificates else HASHED_POLICY if self.root_hash else DEFAULT_POLICY
        return parse_image_policy(text)

    @property
    def strict(self) -> bool:
        """True when nothing unverified is to run: the caller says whom to trust, and no policy that allows more."""
        return self.policy is None and bool(self.certificates or self.root_hash)

    @property
    def terms(self) -> Terms:
        """What a candidate has to fulfil."""
        return Terms(self.boot_policy, self.certificates, self.architecture, self.root_hash, self.now)


@dataclass(frozen=True, slots=True)
class RootOrder:
    """The candidates to be tried, the best first, each with the reason why it cannot be used, or None.

    `refusal` is why none of them is tried at all; `notes` are what was accepted that a stricter caller would not.
    """

    choice: RootChoice
    candidates: tuple[Candidate, ...]
    refusal: str | None = None
    notes: tuple[str, ...] = ()


def order_roots(contents: Contents, request: LinuxRequest) -> RootOrder:
    """Which roots are tried, in which order. Raises Error when a library is missing."""
    if request.slot is not None or request.root_hash is not None:
        contents = replace(contents, root=_asked_for(contents.root))
    choice = choose_root(
        contents,
        request.boot_policy,
        request.certificates,
        request.slot,
        architecture=request.architecture,
        root_hash=request.root_hash,
        now=request.now,
    )
    found = find_candidates(contents, request.terms)
    meant = newest_first(each for each in found if _is_meant(each, request, choice))
    passed = dict(request.passed)
    meant = tuple(
        each.exclude(ExclusionReason.FAILED_BEFORE(passed[each.data.path])) if each.data.path in passed else each
        for each in meant
    )
    refusal, notes = _table_refusal(contents, request)
    if contents.incomplete is not None:
        refusal = str(contents.incomplete)
    if choice.ambiguity is not None:
        refusal = str(choice.ambiguity)
    elif choice.root is not None and choice.problems:
        refusal = str(choice.problems[0])  # of the policy, about other partitions, or about /usr
    elif not meant:
        refusal = _no_such_slot(choice, request) or _why_none(contents, choice)
    return RootOrder(choice, meant, refusal, notes)


def may_use(request: LinuxRequest, role: VolumeRole) -> bool:
    """True when the policy lets a boot partition be used as it is, unprotected."""
    return request.boot_policy.judge(_DESIGNATORS[role], Protection.UNPROTECTED).protection is not None


def trusted_hash(candidate: Candidate, request: LinuxRequest) -> str | None:
    """Who vouches for the candidate's root hash; None when only the disk itself says it."""
    if candidate.root_hash is None:
        return None
    if candidate.protection is Protection.SIGNED:
        assert candidate.signer is not None
        return f"signed by {candidate.signer.subject}"
    if candidate.protection is Protection.VERITY and request.root_hash == candidate.root_hash:
        return "its root hash was given"
    return None


def _asked_for(node: Node) -> Node:
    """The node, and all below, without the flag no-auto."""
    partition = node.partition
    if partition is not None:
        partition = replace(partition, flags=partition.flags & ~FLAG_NO_AUTO)
    return replace(node, partition=partition, children=tuple(_asked_for(child) for child in node.children))


def _is_meant(candidate: Candidate, request: LinuxRequest, choice: RootChoice) -> bool:
    """True for a root that nothing but damage, or the policy, keeps from being used."""
    data = candidate.data
    if candidate.designator is not Designator.ROOT or set_aside(data) is not None:
        return False
    if request.slot is not None and not data.location.is_named(request.slot):
        return False
    if candidate.architecture is not None:
        if request.root_hash is not None and candidate.root_hash != request.root_hash:
            # With a root hash that is given, another image is not meant; where all are others, each is told.
            return not any(each.root_hash == request.root_hash for each in choice.candidates)
        return candidate.architecture is request.architecture
    # A place that no type says it is a root: one that cannot be is none.
    return candidate.excluded is None or _is_root_by_name(data)


def _is_root_by_name(node: Node) -> bool:
    return node.name.lower() in ("root", "rootfs")


def _table_refusal(contents: Contents, request: LinuxRequest) -> tuple[str | None, tuple[str, ...]]:
    """Why the partition table is not believed, or what was accepted of it."""
    gpt = contents.root.gpt
    if gpt is None:
        fault = contents.root.fault
        return (str(fault) if fault is not None and not contents.root.superblocks else None), ()
    if gpt.verdict is GptVerdict.SOUND:
        return None, ()
    if gpt.verdict is GptVerdict.BACKUP_DAMAGED:
        return None, (f"the partition table's backup copy: {gpt.backup_fault or gpt.verdict.value}",)
    reason = f"the partition table: {gpt.primary_fault or gpt.verdict.value}"
    if request.next_candidate is NextCandidate.POLICY:
        return None, (f"{reason}; its backup copy is used",)
    return f"{reason}; its backup copy would be the next candidate", ()


def _no_such_slot(choice: RootChoice, request: LinuxRequest) -> str | None:
    """What to say of a slot that is the place of no root; None when it is one, or was not asked for."""
    slot, roots = request.slot, [each for each in choice.candidates if each.designator is Designator.ROOT]
    if slot is None or not roots or any(each.data.location.is_named(slot) for each in roots):
        return None
    return f"there is no root in the slot {brief(slot)}; there is one in {locations(roots)}"


def _why_none(contents: Contents, choice: RootChoice) -> str:
    if any(each.kind == "redoxfs" for node in contents.nodes() for each in node.superblocks):
        return "there is a RedoxFS on it: a live disk, which is booted without the options of an image-based Linux"
    if choice.usr is not None:
        return "there is a /usr and no root, which this loader does not boot"
    return "; ".join(map(str, choice.problems)) or str(ProblemReason.NOTHING())
