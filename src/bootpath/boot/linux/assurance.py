"""Who vouches for what runs: for a root, for the files of an entry, and for the root that a command line names.

- A root is vouched for by the signature of its root hash, or by the caller who gives that hash. That a disk's own UUIDs
  agree with its hash tree says nothing about who wrote both.
- Files in a root are as good as the root. On a boot partition only a signed image (UKI) is vouched for, with all of its
  add-ons; what an entry of type 1 adds to one there is not signed, so it does not count.
- A command line that is vouched for vouches for the root hash on it.

Each answer comes with its reason. Raises Error when a library for signatures is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from enum import Enum

from bootpath.boot.linux.choice import LinuxRequest
from bootpath.boot.linux.cmdline import ParameterSource, PlacedParameter, read_root
from bootpath.core.errors import FormatError, SignatureError
from bootpath.core.limits import check_limit
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.cmdline.address import Assembly
from bootpath.formats.cmdline.root import MAPPED_DEVICES, VERITY_ROOT
from bootpath.formats.entries.entry import EntryKind
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.fs.readers.files import Files
from bootpath.image.entries.files import FilePart, read_part
from bootpath.image.entries.menu import FoundEntry, VolumeRole
from bootpath.image.roots.candidates import Candidate
from bootpath.image.signatures.pe import verify_pe


class Assurance(Enum):
    """Whether something that runs is known to be what was made: a signature or the caller vouches for it."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"


class AssuranceReason(Reason):
    """Why something is verified, or is not."""

    ROOT_HASH_SIGNED = "root hash signed by {}"
    SIGNED = "signed by {}"
    HASH_GIVEN = "its root hash was given"
    HASH_ON_COMMAND_LINE = "its root hash is on a command line that is verified: {}"
    CALLER = "the caller vouches for it"
    DECIDED_BY_ENTRY = "what runs decides on it, and that is verified: {}"

    HASH_OF_DISK = "only the disk itself says its root hash"
    NO_VERITY = "it is {}"
    BOOT_PARTITION = "nothing protects the {} partition"
    MEDIUM = "nothing protects the optical medium"
    NO_CERTIFICATE = "nothing protects the {} partition, and no certificate was given for the image"
    BAD_SIGNATURE = "it has no valid signature: {}"
    GIVEN_INITRD = "it was given, and nothing vouches for it"
    OTHER_ROOT = "the command line names another root"
    NO_ROOT_HASH = "the command line does not have its root hash"
    NO_ROOT_HERE = "no root is on this disk, and nothing vouches for what decides on one"
    INITRAMFS_DECIDES = "the kernel assembles it, but there is an initramfs, which may mount another one"
    IGNORES_CORRUPTION = "the command line says ignore-corruption"

    @property
    def assurance(self) -> Assurance:
        """What the reason comes to."""
        return Assurance.VERIFIED if self in _VERIFIED else Assurance.UNVERIFIED

    @property
    def verified(self) -> bool:
        """True when somebody whom the caller trusts vouches for it."""
        return self in _VERIFIED


_VERIFIED = (
    AssuranceReason.ROOT_HASH_SIGNED,
    AssuranceReason.SIGNED,
    AssuranceReason.HASH_GIVEN,
    AssuranceReason.HASH_ON_COMMAND_LINE,
    AssuranceReason.CALLER,
    AssuranceReason.DECIDED_BY_ENTRY,
)


def root_content(candidate: Candidate, request: LinuxRequest) -> Explanation[AssuranceReason]:
    """What is known of everything that is read of the candidate."""
    if candidate.root_hash is not None and candidate.protection is Protection.SIGNED:
        assert candidate.signer is not None
        return AssuranceReason.ROOT_HASH_SIGNED(candidate.signer.subject)
    if candidate.protection is not Protection.VERITY:
        return AssuranceReason.NO_VERITY(candidate.protection.value)
    given = candidate.root_hash is not None and request.root_hash == candidate.root_hash
    return AssuranceReason.HASH_GIVEN() if given else AssuranceReason.HASH_OF_DISK()


def entry_files(candidate: Candidate | None, found: FoundEntry, request: LinuxRequest) -> Explanation[AssuranceReason]:
    """What is known of the files of an entry, and of its options. Raises what reading an image does."""
    role = found.source.role
    if role is VolumeRole.ROOT:
        assert candidate is not None
        return root_content(candidate, request)
    if found.entry.kind is not EntryKind.UKI:
        return AssuranceReason.MEDIUM() if role is VolumeRole.MEDIUM else AssuranceReason.BOOT_PARTITION(role.value)
    if not request.certificates:
        return AssuranceReason.NO_CERTIFICATE(role.value)
    try:
        signers = [
            verify_pe(_image(found.files, path), request.certificates, now=request.now)
            for path in (found.entry.uki, *found.parts.addons)
        ]
    except SignatureError as fault:
        return AssuranceReason.BAD_SIGNATURE(fault)
    return AssuranceReason.SIGNED(signers[0].subject)


def _image(files: Files, path: str) -> bytes:
    """A whole image. Raises LimitError, FileSystemError, FormatError, DeviceError."""
    size_bytes = files.lookup(path).size_bytes
    check_limit("kernel_bytes", size_bytes, "the image is too large to be verified", where=path)
    return read_part(files, FilePart(path, size_bytes=size_bytes))


def given_initrd(request: LinuxRequest) -> Explanation[AssuranceReason]:
    """What is known of an initramfs that the caller gives."""
    trusted = request.initrd is not None and request.initrd.trusted
    return AssuranceReason.CALLER() if trusted else AssuranceReason.GIVEN_INITRD()


def mounted_root(
    candidate: Candidate | None,
    placed: Iterable[PlacedParameter],
    options: Explanation[AssuranceReason],
    request: LinuxRequest,
    *,
    alone: bool,
) -> Explanation[AssuranceReason]:
    """What is known of what the system will have as its root.

    `options` is what is known of the entry's own parameters; `alone`: without an initramfs the kernel makes the root.
    Without a root on the disk (`candidate` None) the entry decides.
    """
    if candidate is None:
        return AssuranceReason.DECIDED_BY_ENTRY(options) if options.reason.verified else AssuranceReason.NO_ROOT_HERE()
    placed = tuple(placed)
    known = root_content(candidate, request)
    if candidate.hashes is not None and options.reason.verified and _entry_root_hash(placed) == candidate.root_hash:
        known = AssuranceReason.HASH_ON_COMMAND_LINE(options)
    if not known.reason.verified:
        return known
    made = _has(placed, MAPPED_DEVICES, ParameterSource.LOADER)
    if alone:
        return known if made else AssuranceReason.OTHER_ROOT()
    if made:
        return AssuranceReason.INITRAMFS_DECIDES()
    with suppress(FormatError):
        root = read_root(placed)
        if "ignore-corruption" in root.verity_options:
            return AssuranceReason.IGNORES_CORRUPTION()
        if request.assembly is not Assembly.BOOTPATH and root.root not in (None, VERITY_ROOT):
            return AssuranceReason.OTHER_ROOT()  # to ours it is where the data of the root hash is, to systemd the root
        if root.root_hash == candidate.root_hash:
            return known
    return AssuranceReason.NO_ROOT_HASH()


def _entry_root_hash(placed: Iterable[PlacedParameter]) -> bytes | None:
    """The root hash that the entry itself names to the kernel; what is for init names none."""
    with suppress(FormatError):
        return read_root(each for each in placed if each.source is ParameterSource.ENTRY).root_hash
    return None


def _has(placed: Iterable[PlacedParameter], name: str, source: ParameterSource) -> bool:
    key = name.replace("-", "_")
    return any(each.source is source and each.key == key for each in placed)
