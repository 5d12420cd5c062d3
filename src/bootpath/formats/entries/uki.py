"""Unified kernel images: an EFI program whose sections hold a kernel and what goes with it; and their add-ons.

Source: UAPI.5 Unified Kernel Image. Sections, in the specification's order, each at most once but the last two of the
second line::

    .linux .osrel .cmdline .initrd .ucode .splash .dtb .uname .sbat .pcrsig .pcrpkey
    .hwids .dtbauto… .efifw…                                 .profile begins a profile, @0, @1, …

What stands before the first `.profile` is the base; a profile is the base with each section that it has itself in the
place of the base's. An add-on is the same without `.linux`, and with something to add.

Texts are read at once, everything large stays in the file: a section says where it is.
Invariants: a `Uki` has at least one profile, numbered from 0 without gaps, and each one a `.linux`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from bootpath.core.errors import FormatError
from bootpath.formats.entries.osrelease import OS_RELEASE_MAX_BYTES, parse_os_release
from bootpath.formats.entries.pe import SUBSYSTEM_EFI_APPLICATION, PeImage, PeSection, ReadAt, read_pe

UKI_SPEC = "UAPI.5"
CMDLINE_MAX_BYTES = 64 << 10

PROFILE = ".profile"
REPEATABLE = frozenset({".dtbauto", ".efifw"})
UKI_SECTIONS = (
    *(".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".dtbauto", ".efifw", ".hwids"),
    *(".uname", ".sbat", ".pcrsig", ".pcrpkey", PROFILE),
)
ADDON_SECTIONS = (".cmdline", ".dtb", ".dtbauto", ".ucode", ".initrd")

_CONTROL = re.compile(r"[\0-\x1f\x7f]")

Sections: TypeAlias = Mapping[str, tuple[PeSection, ...]]


class EfiArchitecture(Enum):
    """Processors by the names of UEFI 2.10 §3.5.1.1, which boot entries use too; case does not matter."""

    IA32 = "ia32"
    X64 = "x64"
    IA64 = "ia64"
    ARM = "arm"
    AA64 = "aa64"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"
    RISCV128 = "riscv128"
    LOONGARCH32 = "loongarch32"
    LOONGARCH64 = "loongarch64"

    @classmethod
    def of_machine(cls, machine: int) -> EfiArchitecture | None:
        """The one that a PE header calls `machine`."""
        return _MACHINES.get(machine)

    @classmethod
    def named(cls, name: str) -> EfiArchitecture | None:
        """The one that UEFI, `uname -m` or systemd call `name`, in any case; None when none does."""
        folded = name.lower()
        return _NAMES.get(folded) or next((item for item in cls if item.value == folded), None)


_MACHINES = {
    0x014C: EfiArchitecture.IA32,
    0x8664: EfiArchitecture.X64,
    0x0200: EfiArchitecture.IA64,
    0x01C0: EfiArchitecture.ARM,
    0x01C2: EfiArchitecture.ARM,
    0x01C4: EfiArchitecture.ARM,
    0xAA64: EfiArchitecture.AA64,
    0x5032: EfiArchitecture.RISCV32,
    0x5064: EfiArchitecture.RISCV64,
    0x5128: EfiArchitecture.RISCV128,
    0x6232: EfiArchitecture.LOONGARCH32,
    0x6264: EfiArchitecture.LOONGARCH64,
}

_NAMES = {
    "x86_64": EfiArchitecture.X64,
    "x86-64": EfiArchitecture.X64,
    "amd64": EfiArchitecture.X64,
    "x86": EfiArchitecture.IA32,
    "i386": EfiArchitecture.IA32,
    "i686": EfiArchitecture.IA32,
    "aarch64": EfiArchitecture.AA64,
    "arm64": EfiArchitecture.AA64,
    "armv7l": EfiArchitecture.ARM,
}


@dataclass(frozen=True, slots=True)
class UkiProfile:
    """What is used when profile `number` is chosen: its own sections, and the base's for the others.

    `id` and `title` are what its `.profile` says, "" where it does not. `command_line` is None without `.cmdline`.
    """

    number: int
    sections: Sections
    id: str = ""
    title: str = ""
    os_release: Mapping[str, str] | None = None
    command_line: str | None = None
    uname: str = ""

    def section(self, name: str) -> PeSection | None:
        """The section of that name, the first of those that may repeat."""
        return next(iter(self.sections.get(name, ())), None)


@dataclass(frozen=True, slots=True)
class Uki:
    """A unified kernel image. Without `.profile` its only profile is the base itself, and `multi_profile` False."""

    architecture: EfiArchitecture | None
    profiles: tuple[UkiProfile, ...]
    multi_profile: bool = False

    def profile(self, number: int | None) -> UkiProfile:
        """The profile of that number; "@0 is automatically selected as default". Raises FormatError without it."""
        chosen = number or 0
        if chosen >= len(self.profiles):
            raise _fault("the profile does not exist", f"@{chosen}", f"one of {len(self.profiles)}")
        return self.profiles[chosen]


@dataclass(frozen=True, slots=True)
class UkiAddon:
    """What an add-on adds. `uname` is the one kernel that it is for, "" when it is for any."""

    architecture: EfiArchitecture | None
    sections: Sections
    command_line: str = ""
    uname: str = ""


def read_uki(read: ReadAt, size_bytes: int) -> Uki:
    """A UKI of `size_bytes`. Raises FormatError, and what `read` does."""
    image = read_pe(read, size_bytes)
    _check_subsystem(image)
    parts = _parts(image.sections)
    base = _by_name(parts[0])
    profiles = tuple(
        _profile(read, number, {**base, **_by_name(part)}) for number, part in enumerate(parts[1:] or parts[:1])
    )
    return Uki(EfiArchitecture.of_machine(image.machine), profiles, multi_profile=len(parts) > 1)


def read_uki_addon(read: ReadAt, size_bytes: int) -> UkiAddon:
    """An add-on of `size_bytes`. Raises FormatError, and what `read` does."""
    image = read_pe(read, size_bytes)
    _check_subsystem(image)
    sections = _by_name([section for section in image.sections if section.name in UKI_SECTIONS])
    # "PE Addons may not contain .linux PE sections"
    if ".linux" in sections:
        raise FormatError("the add-on has a kernel", where="uki add-on", spec=UKI_SPEC)
    if not any(name in sections for name in ADDON_SECTIONS):
        raise FormatError(
            "the add-on adds nothing", where="uki add-on", expected=" ".join(ADDON_SECTIONS), spec=UKI_SPEC
        )
    command_line = _command_line(read, sections) or ""
    return UkiAddon(EfiArchitecture.of_machine(image.machine), sections, command_line, _uname(read, sections))


def _check_subsystem(image: PeImage) -> None:
    if image.subsystem != SUBSYSTEM_EFI_APPLICATION:
        raise _fault("the subsystem is wrong", f"{image.subsystem:#x}", "0xa, an EFI application")


def _parts(sections: Sequence[PeSection]) -> list[list[PeSection]]:
    """The base's sections, then each profile's, which begins with its .profile."""
    parts: list[list[PeSection]] = [[]]
    for section in sections:
        if section.name == PROFILE:
            parts.append([])
        if section.name in UKI_SECTIONS:
            parts[-1].append(section)
    return parts


def _by_name(sections: Sequence[PeSection]) -> dict[str, tuple[PeSection, ...]]:
    found: dict[str, tuple[PeSection, ...]] = {}
    for section in sections:
        # "all of the sections defined above are singletons ... except for the .dtbauto and .efifw sections"
        if section.name in found and section.name not in REPEATABLE:
            raise FormatError(f"section {section.name} comes twice", where="uki", spec=UKI_SPEC)
        found[section.name] = (*found.get(section.name, ()), section)
    return found


def _profile(read: ReadAt, number: int, sections: Sections) -> UkiProfile:
    # "Only the .linux section is required for the image to be considered a Unified Kernel Image."
    if ".linux" not in sections:
        raise FormatError("the image has no .linux section", where="uki", spec=UKI_SPEC)
    said = parse_os_release(_content(read, sections, PROFILE, OS_RELEASE_MAX_BYTES) or b"", "uki: .profile")
    release = _content(read, sections, ".osrel", OS_RELEASE_MAX_BYTES)
    return UkiProfile(
        number,
        sections,
        said.get("ID", ""),
        said.get("TITLE", ""),
        None if release is None else parse_os_release(release, "uki: .osrel"),
        _command_line(read, sections),
        _uname(read, sections),
    )


def _uname(read: ReadAt, sections: Sections) -> str:
    return _text(_content(read, sections, ".uname", OS_RELEASE_MAX_BYTES) or b"", ".uname")


def _command_line(read: ReadAt, sections: Sections) -> str | None:
    data = _content(read, sections, ".cmdline", CMDLINE_MAX_BYTES)
    # As systemd-stub does: what is no text becomes a blank.
    return None if data is None else _CONTROL.sub(" ", _text(data, ".cmdline")).strip()


def _content(read: ReadAt, sections: Sections, name: str, limit: int) -> bytes | None:
    if name not in sections:
        return None
    (section,) = sections[name]
    if section.size_bytes > limit:
        raise _fault(f"section {name} is too long", f"{section.size_bytes} bytes", f"at most {limit} bytes")
    data = read(section.offset, section.size_bytes) if section.size_bytes else b""
    if len(data) != section.size_bytes:
        raise _fault(f"the read of section {name} is short", f"{len(data)} bytes", f"{section.size_bytes} bytes")
    return data


def _text(data: bytes, name: str) -> str:
    """Text up to the first NUL, which ends it."""
    try:
        return data.partition(b"\0")[0].decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise FormatError(f"section {name}: byte {error.start} is no UTF-8", where="uki") from None


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="uki", found=found, expected=expected, spec=UKI_SPEC)
