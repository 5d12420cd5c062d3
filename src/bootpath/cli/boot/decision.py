"""The options by which it is decided what boots, one meaning in every command that decides: inspect, entries, boot."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import (
    SLOT_HELP,
    add_certificates,
    add_policy,
    architecture,
    path,
    read_certificates,
    read_loader_variables,
    root_hash,
    words,
)

if TYPE_CHECKING:
    from bootpath.boot.linux.choice import LinuxRequest

PLACES = ("iso", "xbootldr", "esp", "root")
ROOT_HASH_HELP = "trust this root hash"
ENTRY_HELP = (
    "which boot entry (default: the first of the chosen root; where it has none, that of the boot partitions which "
    "loader.conf or the EFI variables name, or the first)"
)
EFI_VARIABLES_HELP = (
    "the EFI variables of the machine, which tell systemd-boot what to boot: a store of EDK2 (OVMF_VARS.fd), or the "
    "JSON of virt-fw-vars"
)
NEXT_CANDIDATE_HELP = (
    "when the best root cannot be used: refuse (never, the default), or try the next one that the policy allows, "
    "and at last those with the flag no-auto"
)
IDENTICAL_HELP = "when slots are identical and --slot names none: refuse (the default), or take the first"
ARCHITECTURE_HELP = "the architecture of the machine (default: that of the root)"
LOOK_IN_HELP = f"where boot entries are looked for: any of {', '.join(PLACES)}, with commas (default: all)"
NO_EFI_HELP = "for a machine without EFI: exclude UKIs and EFI programs"
ASSEMBLIES = ("bootpath", "initramfs", "kernel")
ASSEMBLY_HELP = (
    "who assembles the root: the initramfs of bootpath (the default), any initramfs, or the kernel, without any"
)
NEXT_CANDIDATES, IDENTICAL = ("never", "policy"), ("refuse", "first")


def places(text: str) -> frozenset[str]:
    """Places with commas."""
    words = frozenset(word for word in text.lower().split(",") if word)
    if not words or not words <= set(PLACES):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a place to look in: write any of {', '.join(PLACES)}, with commas"
        )
    return words


def add_decision(parser: argparse._ActionsContainer) -> None:
    """All of them, but how the root is named."""
    parser.add_argument("--architecture", metavar="ARCH", type=architecture, help=ARCHITECTURE_HELP)
    add_policy(parser)
    add_certificates(parser)
    parser.add_argument("--root-hash", metavar="HEX", type=root_hash, help=ROOT_HASH_HELP)
    parser.add_argument("--slot", metavar="SLOT", type=words, help=SLOT_HELP)
    parser.add_argument("--identical-slots", choices=IDENTICAL, default="refuse", help=IDENTICAL_HELP)
    parser.add_argument("--next-candidate", choices=NEXT_CANDIDATES, default="never", help=NEXT_CANDIDATE_HELP)
    parser.add_argument("--entry", metavar="ID", type=words, help=ENTRY_HELP)
    parser.add_argument("--efi-vars", metavar="F", type=path, help=EFI_VARIABLES_HELP)
    parser.add_argument("--look-in", metavar="PLACES", type=places, default=frozenset(PLACES), help=LOOK_IN_HELP)
    parser.add_argument("--no-efi", action="store_true", help=NO_EFI_HELP)


def linux_request(options: argparse.Namespace, **more: Any) -> LinuxRequest:
    """What the options ask, and what else a command says. Raises Error or OSError for a file that is unusable."""
    from bootpath.boot.linux.choice import LinuxRequest, NextCandidate
    from bootpath.image.entries.menu import VolumeRole
    from bootpath.image.roots.choice import IdenticalSlots

    return LinuxRequest(
        policy=options.policy,
        certificates=read_certificates(options.certificate),
        root_hash=options.root_hash,
        slot=options.slot,
        entry=options.entry,
        architecture=options.architecture,
        places=frozenset(map(VolumeRole, options.look_in)),
        efi=not options.no_efi,
        identical=IdenticalSlots(options.identical_slots),
        next_candidate=NextCandidate(options.next_candidate),
        variables=read_loader_variables(options.efi_vars),
        **more,
    )
