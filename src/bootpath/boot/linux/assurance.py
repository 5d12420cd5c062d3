"""What is known of what runs: who vouches for a root, for the files of an entry, and for the root on a command line.

- A root is vouched for by the signature of its root hash, or by the caller who gives that hash. That a disk's own UUIDs
  agree with its hash tree says nothing about who wrote both.
- Files in a root are worth what the root is. On a boot partition only a signed image (UKI) is worth anything, with all
  of its add-ons; what an entry of type 1 adds to one there is not signed, so it does not count.
- A command line that is vouched for vouches for the root hash on it.

Each answer comes with its reason. Raises Error when a library for signatures is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias

from bootpath.boot.linux.choice import Assurance, LinuxRequest, trusted_hash
from bootpath.boot.linux.cmdline import Word, WordSource, read_words
from bootpath.core.errors import BootError, FormatError, SignatureError
from bootpath.formats.entries.entry import EntryKind
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.image.entries.menu import KERNEL_MAX_BYTES, FoundEntry, VolumeRole
from bootpath.image.roots.candidates import Candidate
from bootpath.image.signatures.pe import verify_pe

Known: TypeAlias = tuple[Assurance, str]


def root_content(candidate: Candidate, request: LinuxRequest) -> Known:
    """What is known of everything that is read of the candidate."""
    trust = trusted_hash(candidate, request)
    if trust is not None:
        return Assurance.VERIFIED, trust
    if candidate.protection is Protection.VERITY:
        return Assurance.UNVERIFIED, "only the disk itself says its root hash"
    return Assurance.UNVERIFIED, f"it is {candidate.protection.value}"


def entry_files(candidate: Candidate, found: FoundEntry, request: LinuxRequest) -> Known:
    """What is known of the files of an entry, and of its options. Raises what reading an image does."""
    if found.source.role is VolumeRole.ROOT:
        return root_content(candidate, request)
    unprotected = f"nothing protects the {found.source.role.value} partition"
    if found.entry.kind is not EntryKind.UKI:
        return Assurance.UNVERIFIED, unprotected
    if not request.certificates:
        return Assurance.UNVERIFIED, f"{unprotected}, and no certificate was given for the image"
    try:
        signers = [
            verify_pe(found.files.read_file(path, KERNEL_MAX_BYTES), request.certificates, now=request.now)
            for path in (found.entry.uki, *found.parts.addons)
        ]
    except SignatureError as fault:
        return Assurance.UNVERIFIED, f"{unprotected}; {fault}"
    return Assurance.VERIFIED, f"signed by {signers[0].subject}"


def given_initrd(request: LinuxRequest) -> Known:
    """What is known of an initramfs that the caller gives."""
    if request.initrd is not None and request.initrd.trusted:
        return Assurance.VERIFIED, "the caller vouches for it"
    return Assurance.UNVERIFIED, "it was given, and nothing vouches for it"


def mounted_root(
    candidate: Candidate, words: Iterable[Word], options: Known, request: LinuxRequest, *, alone: bool
) -> Known:
    """What is known of what the system will have as its root.

    `options` is what is known of the entry's own words; `alone`: without an initramfs the kernel makes the root.
    """
    words = tuple(words)
    known = root_content(candidate, request)
    named = any(word.source is WordSource.ENTRY and word.name == "roothash=" for word in words)
    if candidate.hashes is not None and named and options[0] is Assurance.VERIFIED:
        known = Assurance.VERIFIED, f"its root hash is on a command line that is {options[1]}"
    if known[0] is Assurance.UNVERIFIED:
        return known
    if alone:
        ours = any(word.source is WordSource.LOADER and word.name == "dm-mod.create=" for word in words)
        return known if ours else (Assurance.UNVERIFIED, "the command line names another root")
    with suppress(BootError, FormatError):
        said = read_words(words)
        if "ignore-corruption" in said.verity_options:
            return Assurance.UNVERIFIED, "the command line says ignore-corruption"
        if said.root_hash == candidate.root_hash:
            return known
    return Assurance.UNVERIFIED, "the command line does not say its root hash"
