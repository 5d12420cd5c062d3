"""Boot loader entries of type 1: ``/loader/entries/*.conf``, one menu item a file.

Source: UAPI.1 Boot Loader Specification, "Type #1 Boot Loader Entry Keys"; for ``linux-appendroot`` the extension of
barebox that is proposed to it: "the boot loader adds the root= of the partition the entry was found on". A file is
UTF-8, lines are a key, blanks and a value; lines that begin with "#" are comments::

    title    Fedora 19 (Rawhide)
    version  3.8.0-2.fc19.x86_64
    linux    /6a98…/3.8.0-2.fc19.x86_64/linux
    initrd   /6a98…/3.8.0-2.fc19.x86_64/initrd          initrd, options and extra may come more than once
    options  root=UUID=6d33… quiet

Any other key that comes twice: the last one counts, as for systemd, and `repeated` names it. Keys that the
specification does not know are kept in `unknown`; so is the first key of a file that begins with a byte order mark,
which is a part of it for every loader. A profile that is no number is passed over, as systemd does, and kept there,
too. Empty values say nothing.

Paths are as they are written; `formats.entries.paths` makes them safe. Whether the entry can be booted is not judged
here. Invariant: parse_bls(pack_bls(entry)) == entry.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from reprlib import repr as brief
from typing import Any

from bootpath.core.errors import FormatError
from bootpath.formats.entries.tries import BOOT_SPEC
from bootpath.formats.systemdboot.loaderconf import BYTE_ORDER_MARK

BLS_MAX_BYTES = 64 << 10
MAX_PROFILE = 999

_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE = frozenset({"0", "no", "n", "false", "f", "off"})
_BLANKS = " \t"
_LINE = re.compile(r"([^ \t]+)[ \t]+(.+)")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
# Key and attribute, in the order in which they are written.
_SINGLE = (
    ("title", "title"),
    ("version", "version"),
    ("machine-id", "machine_id"),
    ("sort-key", "sort_key"),
    ("architecture", "architecture"),
    ("linux", "linux"),
    ("efi", "efi"),
    ("uki", "uki"),
    ("uki-url", "uki_url"),
    ("devicetree", "devicetree"),
)
_REPEATABLE = (("initrd", "initrds"), ("options", "options"), ("extra", "extras"))


@dataclass(frozen=True, slots=True)
class BlsEntry:
    """What a file says; "" where it does not. `append_root` is linux-appendroot.

    `repeated` are the keys of which only the last value counted; it does not take part in comparisons.
    """

    title: str = ""
    version: str = ""
    machine_id: str = ""
    sort_key: str = ""
    architecture: str = ""
    linux: str = ""
    efi: str = ""
    uki: str = ""
    uki_url: str = ""
    initrds: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    devicetree: str = ""
    devicetree_overlays: tuple[str, ...] = ()
    profile: int | None = None
    extras: tuple[str, ...] = ()
    append_root: bool | None = None
    unknown: tuple[tuple[str, str], ...] = ()
    repeated: tuple[str, ...] = field(default=(), compare=False)

    @property
    def marked_key(self) -> str:
        """The key that nobody knows for the byte order mark before it, "" without one."""
        first = self.unknown[0][0] if self.unknown else ""
        return first.removeprefix(BYTE_ORDER_MARK) if first.startswith(BYTE_ORDER_MARK) else ""

    @property
    def command_line(self) -> str:
        """All options, "combined in the order they are listed"."""
        return " ".join(self.options)


def parse_bls(data: bytes) -> BlsEntry:
    """The content of an entry's file. Raises FormatError."""
    if len(data) > BLS_MAX_BYTES:
        raise _fault("the file is too long", f"{len(data)} bytes", f"at most {BLS_MAX_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(
            "the file is not UTF-8", f"{data[error.start : error.end]!r} at byte {error.start}", "UTF-8"
        ) from None
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {key: [] for key, _ in _REPEATABLE}
    unknown: list[tuple[str, str]] = []
    repeated: list[str] = []
    known = {*(key for key, _ in _SINGLE), "devicetree-overlay", "profile", "linux-appendroot"}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r").strip(_BLANKS)
        if not line or line.startswith("#"):
            continue
        control = _CONTROL.search(line)
        if control:
            raise _fault(f"line {number} has a control character", repr(control.group()), "text")
        # "The first word of a line is used as key and is separated by one or more spaces from the value."
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        key, value = match.groups()
        if key in lists:
            lists[key].append(value)
        elif key not in known or (key == "profile" and not _is_profile(value)):
            unknown.append((key, value))
        else:
            if key in single:
                repeated.append(key)
            single[key] = value
    fields: dict[str, Any] = {name: single.get(key, "") for key, name in _SINGLE}
    fields.update({name: tuple(lists[key]) for key, name in _REPEATABLE})
    return BlsEntry(
        **fields,
        # "Multiple overlays are separated by spaces"
        devicetree_overlays=tuple(single.get("devicetree-overlay", "").split()),
        profile=int(single["profile"]) if "profile" in single else None,
        append_root=_boolean(single["linux-appendroot"]) if "linux-appendroot" in single else None,
        unknown=tuple(unknown),
        repeated=tuple(dict.fromkeys(repeated)),
    )


def pack_bls(entry: BlsEntry) -> bytes:
    """The file of an entry. Raises FormatError when it would be read as another one."""
    lines = [(key, getattr(entry, name)) for key, name in _SINGLE]
    lines += [(key, value) for key, name in _REPEATABLE for value in getattr(entry, name)]
    lines.append(("devicetree-overlay", " ".join(entry.devicetree_overlays)))
    if entry.profile is not None:
        lines.append(("profile", str(entry.profile)))
    if entry.append_root is not None:
        lines.append(("linux-appendroot", "yes" if entry.append_root else "no"))
    lines += entry.unknown
    data = "".join(f"{key} {value}\n" for key, value in lines if value).encode("utf-8", "surrogatepass")
    if parse_bls(data) != entry:
        raise FormatError(
            "a value cannot be written", where="boot entry", expected="text on one line, without blanks around it"
        )
    return data


def _is_profile(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PROFILE))


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise _fault("linux-appendroot is not a boolean", brief(text), "yes or no")
    return text.lower() in _TRUE


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="boot entry", found=found, expected=expected, spec=BOOT_SPEC)
