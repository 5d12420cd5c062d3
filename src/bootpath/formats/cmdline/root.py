"""The kernel parameters that say which root to mount: a loader packs them, an initramfs parses them.

Sources: Linux Documentation/admin-guide/kernel-parameters.txt, dm-init.rst; kernel-command-line(7) and veritytab(5) of
systemd; dracut.cmdline(7) for ``rd.lvm``; the Discoverable Partitions Specification for what a root hash says about
partitions. docs/reference/kernel-command-line.md says what each parameter means; the reader in the guest is
``boot/tinyinit/parameters.sh``.

::

    root= rootfstype= rootflags= ro rw rootwait rootwait=S rootdelay=S init=
    roothash= systemd.verity_root_data= systemd.verity_root_hash= systemd.verity_root_options=
    rd.lvm.lv= rd.lvm.vg= dm-mod.create=
    bootpath.lv= bootpath.ubi= bootpath.slot= bootpath.hash_slot= bootpath.onfail=            (ours)

How a device is named is in `bootpath.formats.cmdline.devices`. All parameters that are not in the list are kept as they
are, in order, behind the others; so is everything from ``--`` on, which belongs to init.

Invariants, held by every `RootParameters`: only a partition has a slot, verity's parameters come with a root hash, and
only one parameter says where the data is. Of Linux's own parameters the last one counts, as in Linux; a parameter of
verity or of ours that comes twice with two values is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from reprlib import repr as brief
from uuid import UUID

from bootpath.core.errors import FormatError
from bootpath.formats.cmdline.devices import (
    LVM_NAME,
    PLAIN_VALUE,
    LogicalVolumeId,
    Slot,
    UbiVolumeId,
    bad_value,
    check_device,
    check_value,
    may_have_slot,
    parse_logical_volume,
    parse_slot,
    parse_ubi_volume,
)
from bootpath.formats.cmdline.parameters import WHERE, Parameter, quote, split_init, split_parameters
from bootpath.formats.dm.create import MappedDevice, pack_dm_create, parse_dm_create

VERITY_ROOT = "/dev/mapper/root"
"""The device that dm-verity makes of the data and the root hash."""
DEFAULT_WAIT_SECONDS = 10
"""How long the initramfs waits for a device when no parameter says it."""
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

VERITY_DATA, VERITY_HASH = "systemd.verity_root_data", "systemd.verity_root_hash"
VERITY_ROOT_OPTIONS = "systemd.verity_root_options"
SLOT, HASH_SLOT = "bootpath.slot", "bootpath.hash_slot"
ROOT_HASH, MAPPED_DEVICES = "roothash", "dm-mod.create"
DATA_PARAMETERS = ("root", ROOT_HASH, "bootpath.lv", "bootpath.ubi", VERITY_DATA, MAPPED_DEVICES)
"""The parameters that name a root, each by itself."""

_ONCE = (ROOT_HASH, VERITY_DATA, VERITY_HASH, VERITY_ROOT_OPTIONS, "bootpath.lv", "bootpath.ubi", SLOT, HASH_SLOT)
_LAST = ("root", "rootfstype", "rootflags", "init", MAPPED_DEVICES)
_LISTS = ("rd.lvm.lv", "rd.lvm.vg")
_WAITS = ("rootwait", "rootdelay")
_OWN = "bootpath."
_ON_FAIL = "bootpath.onfail"
_KEYS = {name.replace("-", "_"): name for name in (*_ONCE, *_LAST, *_LISTS, *_WAITS, _ON_FAIL)}

_DATA_KEYS = frozenset(name.replace("-", "_") for name in DATA_PARAMETERS)

_HASH = re.compile(r"(?:[0-9a-f]{2}){16,64}", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,6}")
_OPTION_VALUE = re.compile(r"[!#-+\--~]+")
_FILE_SYSTEMS = re.compile(r"[a-z0-9_]+(,[a-z0-9_]+)*")


class OnFail(Enum):
    """What the initramfs does when there is no root to go to."""

    REBOOT = "reboot"  # so that a loader that counts tries falls back
    SHELL = "shell"
    HALT = "halt"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootParameters:
    """What the parameters say; see the module docstring for the names and the invariants. Raises FormatError.

    `root`, `verity_data` and `verity_hash` are devices; `file_system`, `mount_options` and `init` are rootfstype,
    rootflags and init. `wait_seconds` None is `DEFAULT_WAIT_SECONDS`. `lvm_volumes` (``vg/lv``) and `lvm_groups` are
    activated by name. `mapped_devices` are made by the kernel itself, before it mounts the root.
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
    logical_volume: LogicalVolumeId | None = None
    ubi_volume: UbiVolumeId | None = None
    lvm_volumes: tuple[str, ...] = ()
    lvm_groups: tuple[str, ...] = ()
    mapped_devices: tuple[MappedDevice, ...] = ()
    slot: Slot | None = None
    hash_slot: Slot | None = None
    on_fail: OnFail = OnFail.REBOOT
    others: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        for name, device in (("root", self.root), (VERITY_DATA, self.verity_data), (VERITY_HASH, self.verity_hash)):
            check_device(name, device)
        check_value("rootfstype", self.file_system, _FILE_SYSTEMS, "names with commas")
        check_value("rootflags", self.mount_options, PLAIN_VALUE, "no control characters and quotes")
        if self.init is not None and (not self.init.startswith("/") or PLAIN_VALUE.fullmatch(self.init) is None):
            raise bad_value("init", self.init, "an absolute path")
        if self.wait_seconds is not None and (self.wait_for_ever or not 0 <= self.wait_seconds < 10**6):
            raise bad_value("rootdelay", self.wait_seconds, "0 to 999999 seconds, and no rootwait")
        _check_verity(self)
        _check_data(self)
        for volume in self.lvm_volumes:
            if len(parts := volume.split("/")) != 2 or not all(LVM_NAME.fullmatch(part) for part in parts):
                raise bad_value("rd.lvm.lv", volume, "<group>/<volume>")
        for group in self.lvm_groups:
            check_value("rd.lvm.vg", group, LVM_NAME, "the name of a group")
        for parameter in split_init(self.others)[0]:
            if _is_ours(parameter):
                raise bad_value("one of the others", parameter, "a parameter that says nothing about the root")

    @property
    def data_device(self) -> str | None:
        """Where the root's blocks are; None when no parameter says it."""
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


def parse_root_parameters(line: str | Iterable[Parameter]) -> RootParameters:
    """What a command line, or its parameters, say of the root. Raises FormatError."""
    kernel, init = split_init(split_parameters(line) if isinstance(line, str) else line)
    values: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in _LISTS}
    others: list[Parameter] = []
    read_only: bool | None = None
    wait: str | None = None
    for_ever = False
    for parameter in kernel:
        name, value = _KEYS.get(parameter.key, parameter.key), parameter.value
        if not _is_ours(parameter):
            others.append(parameter)
        elif name in ("ro", "rw"):
            read_only = name == "ro"
        elif name in _WAITS:
            wait, for_ever = value, value is None
        elif value is None or name not in _KEYS.values():
            raise FormatError(f"{brief(parameter.text)} is not a parameter of bootpath", where=WHERE)
        elif name in _LISTS:
            lists[name].append(value)
        elif name in _LAST:
            values[name] = value
        elif values.setdefault(name, value) != value:
            raise FormatError(
                f"{name} comes twice, as {brief(values[name])} and as {brief(value)}", where=WHERE, expected="one value"
            )
    return RootParameters(
        root=values.get("root"),
        file_system=values.get("rootfstype"),
        mount_options=values.get("rootflags"),
        read_only=read_only,
        wait_seconds=None if wait is None else _parse_seconds(wait),
        wait_for_ever=for_ever,
        init=values.get("init"),
        root_hash=_parse_hash(values.get(ROOT_HASH)),
        verity_data=values.get(VERITY_DATA),
        verity_hash=values.get(VERITY_HASH),
        verity_options=tuple(values[VERITY_ROOT_OPTIONS].split(",")) if VERITY_ROOT_OPTIONS in values else (),
        logical_volume=parse_logical_volume(values["bootpath.lv"]) if "bootpath.lv" in values else None,
        ubi_volume=parse_ubi_volume(values["bootpath.ubi"]) if "bootpath.ubi" in values else None,
        lvm_volumes=tuple(lists["rd.lvm.lv"]),
        lvm_groups=tuple(lists["rd.lvm.vg"]),
        mapped_devices=parse_dm_create(values[MAPPED_DEVICES]) if MAPPED_DEVICES in values else (),
        slot=parse_slot(values[SLOT]) if SLOT in values else None,
        hash_slot=parse_slot(values[HASH_SLOT]) if HASH_SLOT in values else None,
        on_fail=_parse_on_fail(values.get(_ON_FAIL, OnFail.REBOOT.value)),
        others=(*others, *init),
    )


def pack_root_parameters(root: RootParameters) -> tuple[Parameter, ...]:
    """The parameters in canonical order, quoted where they have to be. Raises FormatError."""
    values: Mapping[str, object] = {
        MAPPED_DEVICES: pack_dm_create(root.mapped_devices) if root.mapped_devices else None,
        "root": root.root,
        "rootfstype": root.file_system,
        "rootflags": root.mount_options,
        "rootdelay": root.wait_seconds,
        "init": root.init,
        ROOT_HASH: root.root_hash.hex() if root.root_hash is not None else None,
        VERITY_DATA: root.verity_data,
        VERITY_HASH: root.verity_hash,
        VERITY_ROOT_OPTIONS: ",".join(root.verity_options) or None,
        "bootpath.lv": root.logical_volume,
        "bootpath.ubi": root.ubi_volume,
        SLOT: root.slot,
        HASH_SLOT: root.hash_slot,
        _ON_FAIL: root.on_fail.value if root.on_fail is not OnFail.REBOOT else None,
    }
    packed = [quote("rd.lvm.lv", volume) for volume in root.lvm_volumes]
    packed += [quote("rd.lvm.vg", group) for group in root.lvm_groups]
    packed += [quote(name, value) for name, value in values.items() if value is not None]
    packed += [] if root.read_only is None else [quote("ro" if root.read_only else "rw")]
    packed += [quote("rootwait")] if root.wait_for_ever else []
    return (*packed, *root.others)


def names_root(parameter: Parameter) -> bool:
    """True for a parameter that says by itself where the root is."""
    return parameter.value is not None and parameter.key in _DATA_KEYS


def _is_ours(parameter: Parameter) -> bool:
    """True for a parameter that says something about the root, or claims to be of bootpath."""
    key = parameter.key
    if key.startswith(_OWN) or (key == "rootwait" and parameter.value is None):
        return True
    return parameter.value is None if key in ("ro", "rw") else key in _KEYS and parameter.value is not None


def _parse_seconds(text: str) -> int:
    if _SECONDS.fullmatch(text) is None:
        raise bad_value("rootdelay", text, "0 to 999999 seconds")
    return int(text)


def _parse_hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    check_value(ROOT_HASH, text, _HASH, "16 to 64 bytes in hexadecimal")
    return bytes.fromhex(text)


def _parse_on_fail(text: str) -> OnFail:
    try:
        return OnFail(text)
    except ValueError:
        raise bad_value(_ON_FAIL, text, "reboot, shell or halt") from None


def _check_verity(root: RootParameters) -> None:
    if root.root_hash is None:
        alone = root.hash_slot is not None and not root.mapped_devices  # whose tables have the root hash
        if root.verity_data or root.verity_hash or root.verity_options or alone:
            raise FormatError("verity's parameters come without roothash=", where=WHERE)
        return
    if not 16 <= len(root.root_hash) <= 64:
        raise bad_value(ROOT_HASH, f"{len(root.root_hash)} bytes long", "16 to 64 bytes")
    seen = set()
    for option in root.verity_options:
        name, equals, value = option.partition("=")
        if name not in VERITY_OPTIONS or VERITY_OPTIONS[name] != bool(equals):
            raise bad_value(f"an option of {VERITY_ROOT_OPTIONS}", option, f"one of {', '.join(VERITY_OPTIONS)}")
        if name in seen or (equals and _OPTION_VALUE.fullmatch(value) is None):
            expected = "every option once, with a value without blanks and quotes"
            raise bad_value(f"an option of {VERITY_ROOT_OPTIONS}", option, expected)
        seen.add(name)


def _check_data(root: RootParameters) -> None:
    lvm = None if root.logical_volume is None else f"LV={root.logical_volume}"
    ubi = None if root.ubi_volume is None else f"UBI={root.ubi_volume}"
    mounted = None if root.root == VERITY_ROOT and root.root_hash is not None else root.root
    named = list(dict.fromkeys(device for device in (root.verity_data, lvm, ubi, mounted) if device is not None))
    if len(named) > 1:
        raise FormatError(
            f"the data is said to be on {' and on '.join(brief(device) for device in named)}",
            where=WHERE,
            expected="one device",
        )
    if root.mapped_devices:
        return  # the partitions are in their tables
    for name, slot, device in ((SLOT, root.slot, root.data_device), (HASH_SLOT, root.hash_slot, root.hash_device)):
        if slot is not None and not may_have_slot(device):
            raise FormatError(f"{name} is said of {device or 'nothing'}, which is not a partition", where=WHERE)
