"""loader.conf: what systemd-boot is told of its menu, the entry that it boots above all.

Source: loader.conf(5). A file on the EFI partition, UTF-8, with a line for each option; "#" begins a comment, and
quotes around a value are taken away::

    default arch-*        pattern of the entry that is booted (`formats.systemdboot.pattern`), or @saved
    preferred arch-*      the same before it, but no entry whose tries are used up (since version 260)
    timeout 5             seconds for which the menu is shown, menu-hidden, menu-disabled or menu-force
    editor no             whether the options can be edited

The other options change nothing of what is booted; `others` has them as they are written. What systemd-boot passes
over is passed over: an option that it does not know, a value that is none of an option's. Nothing in such a file is an
error, and `ignored` says what had no effect. The file ends at a NUL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from reprlib import repr as brief
from typing import TypeAlias

LOADER_CONF_MAX_BYTES = 64 << 10
MAX_TIMEOUT_SECONDS = 0xFFFFFFFF
SAVED = "@saved"
BYTE_ORDER_MARK = "\ufeff"

_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
_FALSE = frozenset({"0", "no", "n", "false", "f", "off"})
_BLANKS = " \t"
_LINE_END = re.compile(r"[\n\r]")
_OTHERS = frozenset(
    {
        *("auto-entries", "auto-firmware", "auto-reboot", "auto-poweroff", "beep", "console-mode", "log-level"),
        *("reboot-for-bitlocker", "reboot-on-error", "random-seed-mode"),
        *("secure-boot-enroll", "secure-boot-enroll-action", "secure-boot-enroll-timeout-sec"),
    }
)


class MenuMode(Enum):
    """What the timeout of a menu can be besides seconds."""

    HIDDEN = "menu-hidden"
    DISABLED = "menu-disabled"
    FORCE = "menu-force"


MenuTimeout: TypeAlias = int | MenuMode
"""Seconds, or how the menu is shown without an end."""


@dataclass(frozen=True, slots=True)
class LoaderConf:
    """What a file says; "" and None where it does not. `ignored` does not take part in comparisons."""

    default: str = ""
    preferred: str = ""
    timeout: MenuTimeout | None = None
    editor: bool = True
    others: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = field(default=(), compare=False)


def parse_loader_conf(data: bytes) -> LoaderConf:
    """The options of a file; whatever else it holds is passed over."""
    default, preferred, editor = "", "", True
    timeout: MenuTimeout | None = None
    others: dict[str, str] = {}
    ignored: list[str] = []
    for key, value in _options(data):
        what = f"{key} {brief(value)}"
        if key in ("default", "preferred"):
            if value.startswith("@") and value.lower() != SAVED:
                ignored.append(f"{what}, which names no entry")
            elif key == "default":
                default = value
            else:
                preferred = value
        elif key == "timeout":
            parsed = parse_timeout(value)
            if parsed is None:
                ignored.append(f"{what}, which is no time")
            else:
                timeout = parsed
        elif key == "editor":
            if value.lower() in _TRUE | _FALSE:
                editor = value.lower() in _TRUE
            else:
                ignored.append(f"{what}, which is neither yes nor no")
        elif key in _OTHERS:
            others[key] = value
        elif key.startswith(BYTE_ORDER_MARK):
            ignored.append(f"{key.removeprefix(BYTE_ORDER_MARK)}, which stands behind a byte order mark")
        else:
            ignored.append(f"{brief(key)}, which is not known")
    return LoaderConf(default, preferred, timeout, editor, tuple(others.items()), tuple(dict.fromkeys(ignored)))


def parse_timeout(text: str, most: int | None = None) -> MenuTimeout | None:
    """A timeout as text, None when it is none. More seconds than `MAX_TIMEOUT_SECONDS` are none, or are `most`."""
    mode = next((mode for mode in MenuMode if mode.value == text), None)
    if mode is not None:
        return mode
    if not (text.isascii() and text.isdecimal()):
        return None
    digits = text.lstrip("0") or "0"
    seconds = int(digits) if len(digits) <= len(str(MAX_TIMEOUT_SECONDS)) else MAX_TIMEOUT_SECONDS + 1
    return seconds if seconds <= MAX_TIMEOUT_SECONDS else most


def _options(data: bytes) -> Iterator[tuple[str, str]]:
    """Name and value of each line that has both."""
    text = data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    for raw in _LINE_END.split(text):
        line = raw.strip(_BLANKS)
        if line.startswith("#"):
            continue
        key, separator, value = line.replace("\t", " ").partition(" ")
        if not separator:
            continue
        value = line[len(key) :].lstrip(_BLANKS)
        if len(value) >= 2 and value[0] in "\"'" and value[-1] == value[0]:
            value = value[1:-1]
        yield key, value
