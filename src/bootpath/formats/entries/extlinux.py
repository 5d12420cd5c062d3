"""extlinux.conf: the boot menu of syslinux, in the part that U-Boot reads too.

Sources: U-Boot doc/README.pxe and boot/pxe_utils.c; syslinux doc/menu.txt and its wiki, "Config". Lines are a keyword
in any case, blanks and the rest of the line; "#" at the beginning makes a comment. Keywords before the first label, and
these at any place, are of the menu::

    DEFAULT label   ONTIMEOUT label   TIMEOUT tenths of a second   PROMPT 0|1   MENU TITLE text   INCLUDE file

A label ends at the next label. Of it are::

    LABEL name   MENU LABEL text   MENU DEFAULT   KERNEL | LINUX file[#configuration of a FIT]   INITRD file[,file…]
    APPEND words   FDT | DEVICETREE file   FDTDIR | DEVICETREEDIR directory   FDTOVERLAYS files   LOCALBOOT n

Where the two programs differ: an APPEND before the first label is what labels without one get, and "APPEND -" takes
none, as in syslinux (U-Boot ignores both); ``initrd=`` in APPEND names initrds where there is no INITRD, in both. Of
what comes twice in a label the last counts, but for INITRD and the device trees the first, as in U-Boot. Words that
neither knows, and all that draws a menu, are passed over and named in `ignored`.

INCLUDE is read through a function of the caller's, `MAX_INCLUDES` deep, all files together at most
`EXTLINUX_MAX_BYTES`; without the function it is refused: half a menu is none.

Invariant: parse_extlinux(pack_extlinux(menu)) == menu.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from reprlib import repr as brief

from bootpath.core.errors import FormatError

EXTLINUX_MAX_BYTES = 64 << 10
MAX_REPEATED = 1 << 20  # characters of the menu's APPEND, in all labels that take it
MAX_INCLUDES = 16  # "This 16 comes from the limit pxelinux imposes on nested includes"
MAX_TIMEOUT_TENTHS = 35996  # syslinux: "an hour"

_BLANKS = " \t"
_CONTROL = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
_INITRD_WORD = re.compile(r"(?:^|(?<=\s))initrd=(\S+)")
_SYNONYMS = {"linux": "kernel", "devicetree": "fdt", "devicetreedir": "fdtdir", "devicetree-overlay": "fdtoverlays"}


@dataclass(frozen=True, slots=True)
class ExtlinuxLabel:
    """A label: "" where nothing is said. `append` None takes the menu's; paths are as they are written.

    `configuration` is what follows "#" after the kernel: one of a FIT's. `local` is LOCALBOOT: no kernel is meant.
    """

    name: str
    title: str = ""
    kernel: str = ""
    configuration: str = ""
    initrds: tuple[str, ...] = ()
    append: str | None = None
    devicetree: str = ""
    devicetree_directory: str = ""
    devicetree_overlays: tuple[str, ...] = ()
    local: bool = False


@dataclass(frozen=True, slots=True)
class ExtlinuxMenu:
    """A menu: `default` is a label's name, "" when none is; `timeout_tenths` 0 waits for ever.

    `ignored` are keywords that were passed over; they do not take part in comparisons.
    """

    labels: tuple[ExtlinuxLabel, ...] = ()
    default: str = ""
    title: str = ""
    timeout_tenths: int = 0
    prompt: bool = False
    append: str = ""
    ignored: tuple[str, ...] = field(default=(), compare=False)

    def command_line(self, label: ExtlinuxLabel) -> str:
        """What the kernel of a label gets."""
        return self.append if label.append is None else label.append

    def initrds(self, label: ExtlinuxLabel) -> tuple[str, ...]:
        """The initrds of a label: its own, or those that its command line names."""
        if label.initrds:
            return label.initrds
        words = _INITRD_WORD.findall(self.command_line(label))
        return _files(words[-1]) if words else ()


Include = Callable[[str], bytes]
"""The content of a file that INCLUDE names; raises what reading it raises."""


def parse_extlinux(data: bytes, include: Include | None = None) -> ExtlinuxMenu:
    """The menu of a file. Raises FormatError, and what `include` does."""
    parser = _Parser()
    for keyword, value in _lines(data, include, [EXTLINUX_MAX_BYTES], 0):
        parser.take(keyword, value)
    return parser.menu()


def pack_extlinux(menu: ExtlinuxMenu) -> bytes:
    """The file of a menu. Raises FormatError when it would be read as another one."""
    lines = [("DEFAULT", menu.default), ("MENU TITLE", menu.title), ("APPEND", menu.append)]
    lines.append(("TIMEOUT", str(menu.timeout_tenths) if menu.timeout_tenths else ""))
    lines.append(("PROMPT", "1" if menu.prompt else ""))
    for label in menu.labels:
        # One caret is taken away again.
        lines += [("LABEL", label.name), ("MENU LABEL", f"^{label.title}" if "^" in label.title else label.title)]
        lines.append(("KERNEL", f"{label.kernel}#{label.configuration}" if label.configuration else label.kernel))
        lines.append(("INITRD", ",".join(label.initrds)))
        lines.append(("APPEND", "" if label.append is None else label.append or "-"))
        lines += [("FDT", label.devicetree), ("FDTDIR", label.devicetree_directory)]
        lines.append(("FDTOVERLAYS", " ".join(label.devicetree_overlays)))
        lines.append(("LOCALBOOT", "1" if label.local else ""))
    data = "".join(f"{key} {value}\n" for key, value in lines if value).encode("utf-8", "surrogatepass")
    if parse_extlinux(data) != menu:
        raise FormatError(
            "a value cannot be written", where="extlinux", expected="text on one line, without blanks around it"
        )
    return data


def _lines(data: bytes, include: Include | None, left: list[int], depth: int) -> Iterator[tuple[str, str]]:
    """Keyword and value of each line, includes in their places; `left` is how many bytes may still come."""
    left[0] -= len(data)
    if left[0] < 0:
        raise _fault("the menu is too long", f"{-left[0]} bytes more", f"at most {EXTLINUX_MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(
            "the menu is not UTF-8", f"{data[error.start : error.end]!r} at byte {error.start}", "UTF-8"
        ) from None
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.removesuffix("\r").strip(_BLANKS)
        control = _CONTROL.search(line)
        if control:
            raise _fault(f"line {number} has a control character", repr(control.group()), "text")
        keyword, value = _split(line)
        if keyword == "menu" and _split(value)[0] == "include":
            keyword, value = _split(value)
        if not keyword or keyword.startswith("#"):
            continue
        if keyword != "include":
            yield keyword, value
            continue
        if include is None or depth == MAX_INCLUDES:
            expected = f"at most {MAX_INCLUDES} includes in each other" if include else "one file"
            raise _fault("INCLUDE cannot be followed", brief(value), expected)
        # MENU INCLUDE may have a second word, a title for a menu of its own.
        yield from _lines(include(_split(value)[0] if value else ""), include, left, depth + 1)


def _split(line: str) -> tuple[str, str]:
    """The first word in lower case, and the rest."""
    word, *rest = re.split(r"[ \t]+", line, maxsplit=1)
    return word.lower(), rest[0] if rest else ""


class _Parser:
    """Takes lines, gives the menu."""

    def __init__(self) -> None:
        self._labels: list[ExtlinuxLabel] = []
        self._menu = ExtlinuxMenu()
        self._chosen = ""  # by MENU DEFAULT, which DEFAULT and ONTIMEOUT outrank
        self._ignored: list[str] = []

    def menu(self) -> ExtlinuxMenu:
        # DEFAULT may name the program that draws the menu (vesamenu.c32), which has a default of its own.
        named = any(label.name == self._menu.default for label in self._labels)
        default = self._menu.default if named or not self._chosen else self._chosen
        repeated = len(self._menu.append) * sum(label.append is None for label in self._labels)
        if repeated > MAX_REPEATED:
            found = f"{repeated} characters"
            raise _fault("the menu's APPEND is too long for its labels", found, f"at most {MAX_REPEATED}")
        return replace(
            self._menu, labels=tuple(self._labels), default=default, ignored=tuple(dict.fromkeys(self._ignored))
        )

    def take(self, keyword: str, value: str) -> None:
        keyword = _SYNONYMS.get(keyword, keyword)
        if keyword == "menu":
            self._take_menu(*_split(value))
        elif keyword == "label":
            if not value:
                raise FormatError("a label has no name", where="extlinux")
            self._labels.append(ExtlinuxLabel(value))
        elif keyword in ("default", "ontimeout"):
            self._menu = replace(self._menu, default=value or self._menu.default)
        elif keyword == "timeout":
            self._menu = replace(self._menu, timeout_tenths=_timeout(value))
        elif keyword == "prompt":
            self._menu = replace(self._menu, prompt=value not in ("", "0"))
        elif keyword == "append" and not self._labels:
            self._menu = replace(self._menu, append="" if value == "-" else value)
        elif not (self._labels and self._take_of_label(keyword, value)):
            self._ignored.append(keyword)

    def _take_menu(self, keyword: str, value: str) -> None:
        if keyword == "title":
            self._menu = replace(self._menu, title=value)
        elif keyword == "label" and self._labels:
            # The caret stands before the letter that chooses the entry.
            self._change(title=value.replace("^", "", 1).strip(_BLANKS))
        elif keyword == "default" and self._labels:
            self._chosen = self._chosen or self._labels[-1].name
        else:
            self._ignored.append(f"menu {keyword}".strip())

    def _take_of_label(self, keyword: str, value: str) -> bool:
        """True when the keyword is one of a label's."""
        label = self._labels[-1]
        if keyword == "kernel":
            kernel, _, configuration = value.partition("#")
            self._change(kernel=kernel.strip(_BLANKS), configuration=configuration.strip(_BLANKS))
        elif keyword == "append":
            self._change(append="" if value == "-" else value)
        elif keyword == "initrd":
            self._change(initrds=label.initrds or _files(value))
        elif keyword == "fdt":
            self._change(devicetree=label.devicetree or value)
        elif keyword == "fdtdir":
            self._change(devicetree_directory=label.devicetree_directory or value)
        elif keyword == "fdtoverlays":
            self._change(devicetree_overlays=label.devicetree_overlays or tuple(value.split()))
        elif keyword == "localboot":
            self._change(local=True)
        else:
            return False
        return True

    def _change(self, **fields: object) -> None:
        self._labels[-1] = replace(self._labels[-1], **fields)  # type: ignore[arg-type]


def _files(text: str) -> tuple[str, ...]:
    """syslinux: "Multiple initrd images can be specified, separated by comma"."""
    return tuple(name for name in (part.strip(_BLANKS) for part in text.split(",")) if name)


def _timeout(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise _fault("TIMEOUT is not a number", brief(text), "tenths of a second")
    return min(int(text), MAX_TIMEOUT_TENTHS)


def _fault(what: str, found: str, expected: str) -> FormatError:
    return FormatError(what, where="extlinux", found=found, expected=expected)
