"""The options of ``bootpath simulate`` and ``bootpath boot``, as one table, and what goes with what.

A row says with which modes an option goes. Both parsers, the groups of their help, the refusals, shell completion and
the reference page come from it. An option that was not given is absent from the namespace until `fill_defaults`, so
that what was given can be told from what was not. Light: every command imports it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bootpath.cli.arguments import (
    DEADLINE_HELP,
    POLICY_HELP,
    SLOT_HELP,
    TRUSTED_HELP,
    UNLOCK_HELP,
    architecture,
    duration,
    image_policy,
    judged_by,
    named,
    path,
    preload,
    root_hash,
    size,
    words,
)
from bootpath.cli.boot.decision import (
    ARCHITECTURE_HELP,
    ASSEMBLIES,
    ASSEMBLY_HELP,
    EFI_VARIABLES_HELP,
    ENTRY_HELP,
    IDENTICAL,
    IDENTICAL_HELP,
    LOOK_IN_HELP,
    NEXT_CANDIDATE_HELP,
    NEXT_CANDIDATES,
    NO_EFI_HELP,
    PLACES,
    ROOT_HASH_HELP,
    places,
)
from bootpath.cli.failures import UsageError

DEFAULT_MEMORY = "512MiB"
_MIB = 1 << 20


class BootMode(Enum):
    """What is done with a disk; the text ends "is for …"."""

    SIMULATE = "a simulation"
    LIVE = "a live disk with a RedoxFS"
    LINUX = "an image-based Linux"
    FIRMWARE = "a boot by the disk's own firmware (--firmware)"


SIMULATE, LIVE, LINUX, FIRMWARE = BootMode
MACHINE = frozenset({LIVE, LINUX, FIRMWARE})
_TITLES = {
    MACHINE: "machine",
    frozenset({LIVE}): "live disk (a disk with a RedoxFS)",
    frozenset({LIVE, LINUX}): "live disk or image-based Linux",
    frozenset({LINUX}): "image-based Linux (a disk without a RedoxFS)",
    frozenset({LINUX, FIRMWARE}): "image-based Linux, or boot by the disk's own firmware",
    frozenset({FIRMWARE}): "boot by the disk's own firmware",
}


def expression(text: str) -> str:
    """A regular expression."""
    try:
        re.compile(text)
    except re.error as fault:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {fault}") from None
    return text


def memory(text: str) -> int:
    """The memory of a machine, which has whole MiB."""
    found = size(text)
    if found < _MIB or found % _MIB:
        raise argparse.ArgumentTypeError(f"{text!r} is not the memory of a machine: write whole MiB, 1MiB or more")
    return found


@judged_by
def fault(text: str) -> str:
    """Rules of `block.targets.fault`."""
    from bootpath.block.targets.fault import parse_rules

    parse_rules(text)
    return text


@dataclass(frozen=True, slots=True)
class BootOption:
    """One option: with which modes it goes, the group of its help in a simulation, and its arguments for argparse."""

    flag: str
    modes: frozenset[BootMode]
    help: str
    group: str = ""
    metavar: str | None = None
    type: Callable[[str], Any] | None = None
    default: Any = None
    choices: Sequence[str] | None = None
    action: str | None = None
    nargs: str | None = None
    dest: str | None = None

    @property
    def name(self) -> str:
        """Its attribute in the namespace."""
        return self.dest or self.flag.removeprefix("--").replace("-", "_")

    def add(self, parser: argparse._ActionsContainer, *, hidden: bool = False) -> None:
        """Give the parser the option, without a default."""
        arguments: dict[str, Any] = {"dest": self.name, "default": argparse.SUPPRESS}
        arguments["help"] = argparse.SUPPRESS if hidden else self.help
        for key in ("metavar", "type", "choices", "action", "nargs"):
            if getattr(self, key) is not None:
                arguments[key] = getattr(self, key)
        parser.add_argument(self.flag, **arguments)


def _row(flag: str, modes: Iterable[BootMode], text: str, **more: Any) -> BootOption:
    if more.get("action") == "store_true":
        more["default"] = False
    return BootOption(flag, frozenset(modes), text, **more)


_PRELOAD, _PATH, _DISK, _OUTPUT = "preload", "path", "physical disk", "output"
_ON = {"action": "store_true"}
_FILE: dict[str, Any] = {"metavar": "F", "type": path}

# fmt: off
OPTIONS: tuple[BootOption, ...] = (
    _row("--firmware", MACHINE, "let the disk's own loader boot it, under this firmware, from a disk that is served "
         "over NBD", choices=("bios", "uefi")),
    _row("--memory", MACHINE, f"memory of the system, beside the preload (default: {DEFAULT_MEMORY})",
         metavar="SIZE", type=memory, default=memory(DEFAULT_MEMORY)),
    _row("--ahci", MACHINE, "attach the disk as a SATA disk (default: virtio)", **_ON),
    _row("--until", MACHINE, "what ends the boot: a regular expression that matches the console (default: login: at "
         "its end)", metavar="RE", type=expression),
    _row("--timeout", MACHINE, "how long that may take, in seconds (default: 300)", metavar="S", type=duration,
         default=300.0),
    _row("--screenshot", MACHINE, "write the screen at the end to this PNG", **_FILE),
    _row("--display", MACHINE, "give the machine a graphics card (implied by --screenshot)", **_ON),
    _row("--serial", MACHINE, "show the console on stderr, and at the end connect it to the terminal: Ctrl-] leaves",
         **_ON),
    _row("--preload", (SIMULATE, LIVE), "what is read into RAM first: a prefix, everything, or a plan (default: plan; "
         "with --classic 1024MiB)", group=_PRELOAD, metavar="SIZE|full|plan", type=preload),
    _row("--plan", (SIMULATE, LIVE), "preload by this plan (default: make one before the clock starts)",
         group=_PRELOAD, **_FILE),
    _row("--classic", (SIMULATE, LIVE), "the old daemon, which knows only the preload, for comparison", group=_PATH,
         **_ON),
    _row("--from-disk", (SIMULATE,), "no live disk: mount the physical disk itself", group=_PATH, **_ON),
    _row("--processes", (SIMULATE,), "run lived and the disk's driver as processes that talk over sockets",
         group=_PATH, **_ON),
    _row("--touch", (SIMULATE,), "read these paths of the root as well", group=_PATH, metavar="PATH", nargs="+",
         action="extend", default=()),
    _row("--disk-delay", (SIMULATE, LIVE), "seconds until the physical disk appears (default: 0)", group=_DISK,
         metavar="S", type=duration, default=0.0),
    _row("--deadline", (SIMULATE, LIVE), DEADLINE_HELP,
         group=_DISK, metavar="S", type=duration, default=30.0),
    _row("--no-disk", (SIMULATE, LIVE), "the physical disk never appears", group=_DISK, **_ON),
    _row("--disk", (SIMULATE, LIVE), "the physical disk that appears (default: DISK)",
         group=_DISK, metavar="D", type=named, action="append", default=(), dest="physical"),
    _row("--fault", (SIMULATE,), "make the physical disk fail, for example read:error:errno=EIO:after=3", group=_DISK,
         metavar="RULE", type=fault, action="append", default=()),
    _row("--kernel", (LIVE,), "Linux to start instead of usr/lib/boot/kernel", **_FILE),
    _row("--password-file", (SIMULATE, LIVE), UNLOCK_HELP, group=_OUTPUT, **_FILE),
    _row("--initrd", (LIVE, LINUX), "initramfs to start with instead of the disk's", **_FILE),
    _row("--append", (LIVE, LINUX), "more kernel parameters", metavar="PARAMETERS", type=words, default=""),
    _row("--dry-run", (LIVE, LINUX), "explain every decision, and start no machine; of an image-based Linux, load and "
         "verify what would run", **_ON),
    _row("--policy", (LINUX,), POLICY_HELP, metavar="P", type=image_policy),
    _row("--certificate", (LINUX,), TRUSTED_HELP, action="append", default=(), **_FILE),
    _row("--root-hash", (LINUX,), ROOT_HASH_HELP, metavar="HEX", type=root_hash),
    _row("--slot", (LINUX,), SLOT_HELP, metavar="SLOT", type=words),
    _row("--identical-slots", (LINUX,), IDENTICAL_HELP, choices=IDENTICAL, default="refuse"),
    _row("--entry", (LINUX,), ENTRY_HELP, metavar="ID", type=words),
    _row("--efi-vars", (LINUX,), EFI_VARIABLES_HELP, **_FILE),
    _row("--look-in", (LINUX,), LOOK_IN_HELP, metavar="PLACES", type=places, default=frozenset(PLACES)),
    _row("--no-efi", (LINUX,), NO_EFI_HELP, **_ON),
    _row("--next-candidate", (LINUX,), NEXT_CANDIDATE_HELP, choices=NEXT_CANDIDATES, default="never"),
    _row("--architecture", (LINUX, FIRMWARE), f"{ARCHITECTURE_HELP[:-1]}; with --firmware x86-64)", metavar="ARCH",
         type=architecture),
    _row("--fixed", (LINUX,), "name devices as the machine has them, /dev/vda2, instead of by UUIDs", **_ON),
    _row("--assembly", (LINUX,), ASSEMBLY_HELP, choices=ASSEMBLIES, default=ASSEMBLIES[0]),
    _row("--kernel-signature", (LINUX,), "hand the root hash's signature to the kernel too, which has to know the key",
         **_ON),
    _row("--trust-initrd", (LINUX,), "you vouch for the initramfs of --initrd", **_ON),
    _row("--full", (LINUX,), "verify all of the root first", **_ON),
    _row("--show-env", (SIMULATE,), "print the environment that the loader hands over", group=_OUTPUT, **_ON),
    _row("--record", (SIMULATE, FIRMWARE), "write the trace of the boot, for bootpath plan --recorded", group=_OUTPUT,
         **_FILE),
    _row("--mount", (SIMULATE,), "leave the root mounted on this directory (FUSE) until interrupted", group=_OUTPUT,
         metavar="DIR", type=path),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Conflict:
    """Options that do not go with another one, and why."""

    flag: str
    others: tuple[str, ...]
    why: str


CONFLICTS = (
    Conflict("--classic", ("--plan",), "the old daemon knows only prefixes"),
    Conflict("--classic", ("--from-disk",), "the old daemon serves a live disk, and --from-disk uses none"),
    Conflict("--classic", ("--processes",), "the old daemon is simulated in this process"),
    Conflict("--from-disk", ("--preload", "--plan", "--processes"), "nothing is preloaded then, and nothing is live"),
    Conflict("--no-disk", ("--disk", "--disk-delay", "--fault", "--from-disk"), "there is no physical disk"),
    Conflict("--ahci", ("--disk", "--disk-delay"), "SATA disks cannot be plugged in"),
    Conflict("--dry-run", ("--until", "--timeout", "--screenshot", "--display", "--serial"), "no machine is started"),
)
NEEDED = (("--trust-initrd", "--initrd", None), ("--kernel", "--initrd", LIVE), ("--initrd", "--kernel", LIVE))
"""An option, what it needs, and in which mode (None: in all)."""


def add_options(parser: argparse.ArgumentParser, modes: frozenset[BootMode]) -> None:
    """All options: those of `modes` in groups, the others hidden, so that they can be refused with a reason."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in OPTIONS:
        here = option.modes & modes
        if not here:
            option.add(parser, hidden=True)
            continue
        title = option.group if modes == {SIMULATE} else _TITLES[here]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        option.add(groups[title])


def given_options(options: argparse.Namespace) -> tuple[BootOption, ...]:
    """What was typed, in the order of the table."""
    return tuple(option for option in OPTIONS if hasattr(options, option.name))


def fill_defaults(options: argparse.Namespace) -> None:
    """Give what was not typed its default."""
    for option in OPTIONS:
        if not hasattr(options, option.name):
            setattr(options, option.name, option.default)


def check_mode(given: Iterable[BootOption], mode: BootMode, reason: str, *, command: str) -> None:
    """Refuse what does not go with the mode, which is what it is for this `reason`. Raises UsageError."""
    for option in given:
        if mode not in option.modes:
            modes = " or ".join(each.value for each in BootMode if each in option.modes)
            raise UsageError(f"{option.flag} is for {modes}; {reason}", where=command)


def check_conflicts(given: Iterable[BootOption], *, command: str) -> None:
    """Refuse what never goes together. Raises UsageError."""
    flags = {option.flag for option in given}
    for conflict in CONFLICTS:
        for other in conflict.others:
            if {conflict.flag, other} <= flags:
                raise UsageError(f"{conflict.flag} does not go with {other}: {conflict.why}", where=command)


def check_needed(given: Iterable[BootOption], mode: BootMode, *, command: str) -> None:
    """Refuse what lacks another option in this mode. Raises UsageError."""
    flags = {option.flag for option in given}
    for flag, needed, where in NEEDED:
        if where in (None, mode) and flag in flags and needed not in flags:
            raise UsageError(f"{flag} goes with {needed}: give both", where=command)
