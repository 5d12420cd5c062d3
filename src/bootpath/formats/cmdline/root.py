"""The words on the kernel's command line that say which root to mount: a loader writes them, an initramfs reads them.

Sources: Linux Documentation/admin-guide/kernel-parameters.txt; kernel-command-line(7) and veritytab(5) of systemd;
dracut.cmdline(7) for ``rd.lvm``; the Discoverable Partitions Specification for what a root hash says about partitions.
What each word means is in docs/reference/boot-words.md; the reader in the guest is ``boot/tinyinit/words.sh``.

::

    root= rootfstype= rootflags= ro rw rootwait rootwait=S rootdelay=S init=
    roothash= systemd.verity_root_data= systemd.verity_root_hash= systemd.verity_root_options=
    rd.lvm.lv= rd.lvm.vg=
    bootpath.lv= bootpath.ubi= bootpath.slot= bootpath.hash_slot= bootpath.onfail=            (ours)

    device ::= PARTUUID=… | UUID=… | LABEL=… | /dev/… | LV=<VG uuid>/<LV uuid> | UBI=<mtd>:<volume>

Words are separated by blanks; double quotes keep blanks in a word (lib/cmdline.c, next_arg). What stands behind ``--``
belongs to init. All words that are not in the list are kept as they are, in order, behind the others.

Invariants, held by every `RootWords`: a slot is said for partitions only, verity's words come with a root hash, and
only one word says where the data is. Of Linux's own words the last one counts, as in Linux; a word of verity or of ours
that comes twice with two values is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from reprlib import repr as brief
from uuid import UUID

from bootpath.core.errors import FormatError

VERITY_ROOT = "/dev/mapper/root"
"""The device that dm-verity makes of the data and the root hash."""
DEFAULT_WAIT_SECONDS = 10
"""For so long is a device awaited that no word speaks of."""
VERITY_OPTIONS = {
    "root-hash-signature": True,
    "hash-offset": True,
    "superblock": True,
    "format": True,
    "data-block-size": True,
    "hash-block-size": True,
    "data-blocks": True,
    "salt": True,
    "hash": True,
    "ignore-corruption": False,
    "restart-on-corruption": False,
    "panic-on-corruption": False,
    "ignore-zero-blocks": False,
    "check-at-most-once": False,
}
"""The options of veritytab(5) that are understood, and whether they have a value; any other is refused."""

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PARTUUID = re.compile(rf"{_GUID.pattern}|[0-9a-f]{{8}}-[0-9a-f]{{2}}", re.IGNORECASE)
_LVM_UUID = r"[0-9A-Za-z]{6}(?:-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}"
_LOGICAL_VOLUME = re.compile(rf"({_LVM_UUID})/({_LVM_UUID})")
_LVM_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]*")
_SLOT = re.compile(rf"({_GUID.pattern}):([1-9][0-9]{{0,9}}):([0-9]{{1,20}})", re.IGNORECASE)
_HASH = re.compile(r"(?:[0-9a-f]{2}){16,64}", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,6}")
_VALUE = re.compile(r"[!#-~]+( [!#-~]+)*")
_OPTION_VALUE = re.compile(r"[!#-+\--~]+")
_FILE_SYSTEMS = re.compile(r"[a-z0-9_]+(,[a-z0-9_]+)*")


class OnFail(Enum):
    """What the initramfs does when there is no root to go to."""

    REBOOT = "reboot"  # so that a loader that counts tries falls back
    SHELL = "shell"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for an image: the entry of a GPT, numbered from 1, with its first LBA as a check. Raises FormatError."""

    disk_guid: UUID
    entry_number: int
    first_lba: int

    def __post_init__(self) -> None:
        if not (1 <= self.entry_number < 2**32 and 0 <= self.first_lba < 2**64):
            raise _fault("slot", brief(str(self)), "an entry number from 1 and an LBA of 64 bits")

    def __str__(self) -> str:
        return f"{self.disk_guid}:{self.entry_number}:{self.first_lba}"


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """A volume of LVM2 by its group's and its own UUID, as lvm2 prints them. Raises FormatError."""

    vg_uuid: str
    lv_uuid: str

    def __post_init__(self) -> None:
        if _LOGICAL_VOLUME.fullmatch(str(self)) is None:
            raise _fault("bootpath.lv", brief(str(self)), "<VG uuid>/<LV uuid>")

    def __str__(self) -> str:
        return f"{self.vg_uuid}/{self.lv_uuid}"


@dataclass(frozen=True, slots=True)
class UbiVolume:
    """A volume of UBI: the number or the name of the MTD device it is on, and its name. Raises FormatError."""

    mtd: str
    volume: str

    def __post_init__(self) -> None:
        if not (_VALUE.fullmatch(self.mtd) and _VALUE.fullmatch(self.volume)) or ":" in self.volume:
            raise _fault("bootpath.ubi", brief(str(self)), "<mtd>:<volume>")

    def __str__(self) -> str:
        return f"{self.mtd}:{self.volume}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootWords:
    """What the words say; see the module docstring for the words and the invariants. Raises FormatError.

    `root`, `verity_data` and `verity_hash` are devices as in the grammar; `file_system`, `mount_options` and `init` are
    rootfstype, rootflags and init. Nothing about waiting: `DEFAULT_WAIT_SECONDS`. `lvm_volumes` (``vg/lv``) and
    `lvm_groups` are activated by name. `others` are whole words.
    """

    root: str | None = None
    file_system: str | None = None
    mount_options: str | None = None
    read_only: bool | None = None
    wait_seconds: int | None = None
    wait_for_ever: bool = False
    init: str | None = None
    root_hash: bytes | None = None
    verity_data: str | None = None
    verity_hash: str | None = None
    verity_options: tuple[str, ...] = ()
    logical_volume: LogicalVolume | None = None
    ubi_volume: UbiVolume | None = None
    lvm_volumes: tuple[str, ...] = ()
    lvm_groups: tuple[str, ...] = ()
    slot: Slot | None = None
    hash_slot: Slot | None = None
    on_fail: OnFail = OnFail.REBOOT
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, device in (("root", self.root), (_DATA, self.verity_data), (_HASH_DEVICE, self.verity_hash)):
            _check_device(name, device)
        _check_text("rootfstype", self.file_system, _FILE_SYSTEMS, "names with commas")
        _check_text("rootflags", self.mount_options, _VALUE, "no control characters and quotes")
        if self.init is not None and (not self.init.startswith("/") or _VALUE.fullmatch(self.init) is None):
            raise _fault("init", brief(self.init), "an absolute path")
        if self.wait_seconds is not None and (self.wait_for_ever or not 0 <= self.wait_seconds < 10**6):
            raise _fault("rootdelay", self.wait_seconds, "0 to 999999 seconds, and no rootwait")
        _check_verity(self)
        _check_data(self)
        for volume in self.lvm_volumes:
            if len(parts := volume.split("/")) != 2 or not all(_LVM_NAME.fullmatch(part) for part in parts):
                raise _fault("rd.lvm.lv", brief(volume), "<group>/<volume>")
        for group in self.lvm_groups:
            _check_text("rd.lvm.vg", group, _LVM_NAME, "the name of a group")
        _check_others(self.others)

    @property
    def data_device(self) -> str | None:
        """Where the root's blocks are; None when no word says it."""
        if self.verity_data is not None:
            return self.verity_data
        if self.logical_volume is not None:
            return f"LV={self.logical_volume}"
        if self.ubi_volume is not None:
            return f"UBI={self.ubi_volume}"
        if self.root_hash is None:
            return self.root
        if self.root not in (None, VERITY_ROOT):
            return self.root
        # DPS: "the partition UUID of the root partition … shall be the first 128 bits of the root hash".
        return f"PARTUUID={UUID(bytes=self.root_hash[:16])}"

    @property
    def hash_device(self) -> str | None:
        """Where verity's tree is; None without a root hash."""
        if self.root_hash is None:
            return None
        if self.verity_hash is not None:
            return self.verity_hash
        if any(option.startswith("hash-offset=") for option in self.verity_options):
            return self.data_device
        # DPS: "… and the UUID of the verity partition the final 128 bits".
        return f"PARTUUID={UUID(bytes=self.root_hash[-16:])}"


_DATA = "systemd.verity_root_data"
_HASH_DEVICE = "systemd.verity_root_hash"
_OPTIONS = "systemd.verity_root_options"
_ONCE = (
    "roothash",
    _DATA,
    _HASH_DEVICE,
    _OPTIONS,
    *(f"bootpath.{name}" for name in ("lv", "ubi", "slot", "hash_slot")),
)
_LAST = ("root", "rootfstype", "rootflags", "init")
_OWN = "bootpath."
_FOR_EVER = "for ever"
_ON_FAIL = "bootpath.onfail"


def parse_root_words(text: str) -> RootWords:
    """The words of a command line. Raises FormatError."""
    said: dict[str, str] = {}
    lists: dict[str, list[str]] = {"rd.lvm.lv": [], "rd.lvm.vg": []}
    others: list[str] = []
    read_only: bool | None = None
    wait: str | None = None
    words = split_words(text)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            others += ["--", *words]
        elif word in ("ro", "rw"):
            read_only = word == "ro"
        elif word == "rootwait":
            wait = _FOR_EVER
        elif equals and name in ("rootwait", "rootdelay"):
            wait = value
        elif equals and name in lists:
            lists[name].append(value)
        elif equals and name in _LAST:
            said[name] = value
        elif equals and (name in _ONCE or name == _ON_FAIL):
            if said.setdefault(name, value) != value:
                raise _fault(name, f"{brief(said[name])} and {brief(value)}", "one value")
        elif name.startswith(_OWN):
            raise _fault(name, "a word that is not known", "lv, ubi, slot, hash_slot or onfail")
        else:
            others.append(word)
    return RootWords(
        root=said.get("root"),
        file_system=said.get("rootfstype"),
        mount_options=said.get("rootflags"),
        read_only=read_only,
        wait_seconds=None if wait in (None, _FOR_EVER) else _parse_seconds(wait),
        wait_for_ever=wait == _FOR_EVER,
        init=said.get("init"),
        root_hash=_parse_hash(said),
        verity_data=said.get(_DATA),
        verity_hash=said.get(_HASH_DEVICE),
        verity_options=tuple(said[_OPTIONS].split(",")) if _OPTIONS in said else (),
        logical_volume=_parse_logical_volume(said["bootpath.lv"]) if "bootpath.lv" in said else None,
        ubi_volume=_parse_ubi(said["bootpath.ubi"]) if "bootpath.ubi" in said else None,
        lvm_volumes=tuple(lists["rd.lvm.lv"]),
        lvm_groups=tuple(lists["rd.lvm.vg"]),
        slot=parse_slot(said["bootpath.slot"]) if "bootpath.slot" in said else None,
        hash_slot=parse_slot(said["bootpath.hash_slot"]) if "bootpath.hash_slot" in said else None,
        on_fail=_parse_on_fail(said),
        others=tuple(others),
    )


def pack_root_words(words: RootWords) -> str:
    """The words in canonical order, quoted where they hold blanks."""
    options = ",".join(words.verity_options)
    values: Mapping[str, object] = {
        "root": words.root,
        "rootfstype": words.file_system,
        "rootflags": words.mount_options,
        "rootdelay": words.wait_seconds,
        "init": words.init,
        "roothash": words.root_hash.hex() if words.root_hash is not None else None,
        _DATA: words.verity_data,
        _HASH_DEVICE: words.verity_hash,
        _OPTIONS: options or None,
        "bootpath.lv": words.logical_volume,
        "bootpath.ubi": words.ubi_volume,
        "bootpath.slot": words.slot,
        "bootpath.hash_slot": words.hash_slot,
        _ON_FAIL: words.on_fail.value if words.on_fail is not OnFail.REBOOT else None,
    }
    packed = [f"{name}={value}" for name, value in values.items() if value is not None]
    packed += [f"rd.lvm.lv={volume}" for volume in words.lvm_volumes]
    packed += [f"rd.lvm.vg={group}" for group in words.lvm_groups]
    packed += [] if words.read_only is None else ["ro" if words.read_only else "rw"]
    packed += ["rootwait"] if words.wait_for_ever else []
    return " ".join(_quoted(word) for word in (*packed, *words.others))


def split_words(text: str) -> Iterator[str]:
    """The words, without the quotes around them. Raises FormatError for a quote that does not end."""
    word = ""
    started = inside = False
    for character in text:
        if character == '"':
            inside = not inside
            started = True
        elif character in " \t\n" and not inside:
            if started:
                yield word
            word, started = "", False
        elif " " <= character <= "~":
            word += character
            started = True
        else:
            raise FormatError("a character is not printable ASCII", where="boot words", found=repr(character))
    if inside:
        raise FormatError("a quote does not end", where="boot words", found=brief(word))
    if started:
        yield word


def parse_slot(text: str) -> Slot:
    """A slot: ``<disk guid>:<entry number>:<first lba>``. Raises FormatError."""
    match = _SLOT.fullmatch(text)
    if match is None:
        raise _fault("slot", brief(text), "<disk guid>:<entry number>:<first lba>")
    guid, number, lba = text.split(":")
    return Slot(UUID(guid), int(number), int(lba))


def _fault(word: str, found: object, expected: str) -> FormatError:
    return FormatError(f"{word} is", where="boot words", found=found, expected=expected)


def _parse_seconds(text: str) -> int:
    if _SECONDS.fullmatch(text) is None:
        raise _fault("rootdelay", brief(text), "0 to 999999 seconds")
    return int(text)


def _parse_hash(said: Mapping[str, str]) -> bytes | None:
    text = said.get("roothash")
    if text is None:
        return None
    if _HASH.fullmatch(text) is None:
        raise _fault("roothash", brief(text), "16 to 64 bytes in hexadecimal")
    return bytes.fromhex(text)


def _parse_logical_volume(text: str) -> LogicalVolume:
    vg_uuid, _, lv_uuid = text.partition("/")
    return LogicalVolume(vg_uuid, lv_uuid)


def _parse_ubi(text: str) -> UbiVolume:
    mtd, _, volume = text.rpartition(":")
    return UbiVolume(mtd, volume)


def _parse_on_fail(said: Mapping[str, str]) -> OnFail:
    text = said.get(_ON_FAIL, OnFail.REBOOT.value)
    try:
        return OnFail(text)
    except ValueError:
        raise _fault(_ON_FAIL, brief(text), "reboot, shell or halt") from None


def _check_text(name: str, text: str | None, pattern: re.Pattern[str], expected: str) -> None:
    if text is not None and pattern.fullmatch(text) is None:
        raise _fault(name, brief(text), expected)


def _check_device(name: str, device: str | None) -> None:
    if device is None:
        return
    kind, equals, value = device.partition("=")
    if not equals or device.startswith("/"):
        if not device.startswith("/dev/") or _VALUE.fullmatch(device) is None or "/../" in f"{device}/":
            raise _fault(name, brief(device), "PARTUUID=, UUID=, LABEL=, LV=, UBI= or /dev/")
    elif kind == "PARTUUID":
        _check_text(name, value, _PARTUUID, "a GUID, or an MBR's signature and a number, behind PARTUUID=")
    elif kind in ("UUID", "LABEL"):
        _check_text(name, value, _VALUE, f"a value behind {kind}=")
    elif kind == "LV":
        _parse_logical_volume(value)
    elif kind == "UBI":
        _parse_ubi(value)
    else:
        raise _fault(name, brief(device), "PARTUUID=, UUID=, LABEL=, LV=, UBI= or /dev/")


def _check_verity(words: RootWords) -> None:
    if words.root_hash is None:
        if words.verity_data or words.verity_hash or words.verity_options or words.hash_slot:
            raise FormatError("words of verity come without roothash=", where="boot words")
        return
    if not 16 <= len(words.root_hash) <= 64:
        raise _fault("roothash", f"{len(words.root_hash)} bytes long", "16 to 64 bytes")
    seen = set()
    for option in words.verity_options:
        name, equals, value = option.partition("=")
        if name not in VERITY_OPTIONS or VERITY_OPTIONS[name] != bool(equals):
            raise _fault(_OPTIONS, brief(option), f"one of {', '.join(VERITY_OPTIONS)}")
        if name in seen or (equals and _OPTION_VALUE.fullmatch(value) is None):
            raise _fault(_OPTIONS, brief(option), "every option once, with a value without blanks and quotes")
        seen.add(name)


def _check_data(words: RootWords) -> None:
    lvm = None if words.logical_volume is None else f"LV={words.logical_volume}"
    ubi = None if words.ubi_volume is None else f"UBI={words.ubi_volume}"
    root = None if words.root == VERITY_ROOT and words.root_hash is not None else words.root
    said = list(dict.fromkeys(device for device in (words.verity_data, lvm, ubi, root) if device is not None))
    if len(said) > 1:
        raise _fault("the data device", " and ".join(brief(device) for device in said), "one place")
    for name, slot, device in (
        ("bootpath.slot", words.slot, words.data_device),
        ("bootpath.hash_slot", words.hash_slot, words.hash_device),
    ):
        if slot is not None and (device is None or device.startswith(("LV=", "UBI=", "/dev/mapper/"))):
            raise _fault(name, f"said of {device or 'nothing'}", "a partition")


def _check_others(others: tuple[str, ...]) -> None:
    for number, word in enumerate(others):
        if '"' in word or not word.isprintable() or not word.isascii():
            raise _fault("a word", brief(word), "printable ASCII without quotes")
        if word == "--":
            return
        name, equals, _ = word.partition("=")
        known = (*_LAST, *_ONCE, _ON_FAIL, "rd.lvm.lv", "rd.lvm.vg", "rootwait", "rootdelay")
        if word in ("ro", "rw", "rootwait") or (equals and name in known) or name.startswith(_OWN):
            raise _fault(f"word {number} of the others", brief(word), "one that says nothing about the root")


def _quoted(word: str) -> str:
    """As next_arg of lib/cmdline.c reads it: quotes around the value, or around a word that has none."""
    if word and " " not in word:
        return word
    name, equals, value = word.partition("=")
    return f'{name}="{value}"' if equals and " " not in name else f'"{word}"'
