"""config.txt: what the firmware of a Raspberry Pi loads from a FAT, and with which command line.

Source: Raspberry Pi documentation, "config.txt" ("Boot options", "Conditional filters") and "The boot folder". Lines::

    # comment        name=value        include FILE        initramfs FILE[,FILE…] ADDRESS | followkernel
    [filter]         what follows counts only where the filter matches: [pi4], [cm4], [EDID=…], [gpio4=1], [0x1234abcd]
    [all]            ends all filters            [none]    what follows never counts

Of a name that comes twice the last value counts, but every ``dtoverlay``. Beyond its 98th character a line is ignored.
Which board it is, nothing on the disk says: what stands behind a filter other than [all] is undecided, and so is the
kernel when ``kernel`` does not name one. Each board and mode has a default of its own, and there is one `PiBoot` for
each that is there.

``os_prefix`` stands before the names of kernel, initramfs, command line, device trees and overlays.
Invariant: parse_pi_config(pack_pi_config(config)) == config.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError

PI_CONFIG_MAX_BYTES = 64 << 10
PI_COMMAND_LINE_MAX_BYTES = 16 << 10
MAX_PI_INCLUDES = 8  # a limit of ours: the firmware's is not documented
LINE_CHARACTERS = 98
DEFAULT_COMMAND_LINE = "cmdline.txt"
DEFAULT_OVERLAYS = "overlays/"

DEFAULT_KERNELS = (
    ("kernel_2712.img", "Raspberry Pi 5", "aa64"),
    ("kernel8.img", "Raspberry Pi 3 to 5, 64 bits", "aa64"),
    ("kernel7l.img", "Raspberry Pi 4, 32 bits", "arm"),
    ("kernel7.img", "Raspberry Pi 2 and 3, 32 bits", "arm"),
    ("kernel.img", "Raspberry Pi 1 and Zero", "arm"),
)
"""What is loaded when ``kernel`` names nothing: the name, for which board, and its architecture."""

_DECIDING = ("kernel", "cmdline", "initramfs", "ramfsfile", "auto_initramfs", "os_prefix", "device_tree", "arm_64bit")
_OVERLAY = "dtoverlay"
_INITRAMFS = "initramfs"
_NEVER = "none"


@dataclass(frozen=True, slots=True)
class PiSetting:
    """A line that sets something; `filter` is the last filter before it, "" where it always counts."""

    name: str
    value: str
    filter: str = ""

    def __str__(self) -> str:
        text = f"{self.name} {self.value}" if self.name == _INITRAMFS else f"{self.name}={self.value}"
        return f"{text} under [{self.filter}]" if self.filter else text


@dataclass(frozen=True, slots=True)
class PiConfig:
    """The settings, in their order, without those that never count."""

    settings: tuple[PiSetting, ...] = ()

    def value(self, name: str) -> str | None:
        """The value that counts on every board, None where there is none."""
        return next((each.value for each in reversed(self.settings) if each.name == name and not each.filter), None)

    def values(self, name: str) -> tuple[str, ...]:
        """All values that count on every board."""
        return tuple(each.value for each in self.settings if each.name == name and not each.filter)

    @property
    def undecided(self) -> tuple[PiSetting, ...]:
        """What decides on what is loaded, and counts only on some boards."""
        found: list[PiSetting] = []
        for each in self.settings:
            if not each.filter and each.name in _DECIDING:
                found = [earlier for earlier in found if earlier.name != each.name]
            elif each.filter and each.name in (*_DECIDING, _OVERLAY):
                found.append(each)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class PiBoot:
    """What is loaded on one kind of board. Paths are from the root of the FAT; `architecture` is "" where unknown."""

    title: str
    kernel: str
    command_line: str
    initrds: tuple[str, ...] = ()
    devicetree: str = ""
    overlays: tuple[str, ...] = ()
    architecture: str = ""


Include = Callable[[str], bytes]
"""The content of a file that include names; raises what reading it raises."""


def parse_pi_config(data: bytes, include: Include | None = None) -> PiConfig:
    """The settings of a file. Raises FormatError, and what `include` does."""
    settings: list[PiSetting] = []
    current = ""
    for line in _lines(data, include, [PI_CONFIG_MAX_BYTES], 0):
        if line.startswith("["):
            name = line[1:].partition("]")[0].strip()
            current = "" if name.lower() == "all" else name or "?"
        elif current.lower() != _NEVER:
            word, _, rest = line.partition(" ")
            name, equals, value = line.partition("=")
            if word == _INITRAMFS:
                settings.append(PiSetting(word, rest.strip(), current))
            elif equals and name.strip():
                settings.append(PiSetting(name.strip(), value.strip(), current))
    return PiConfig(tuple(settings))


def pack_pi_config(config: PiConfig) -> bytes:
    """The file of these settings. Raises FormatError when it would be read as others."""
    lines: list[str] = []
    current = ""
    for each in config.settings:
        if each.filter != current:
            lines.append(f"[{each.filter or 'all'}]")
            current = each.filter
        lines.append(f"{each.name} {each.value}" if each.name == _INITRAMFS else f"{each.name}={each.value}")
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    if parse_pi_config(data) != config:
        raise FormatError("a setting cannot be written", where="config.txt", expected="a name and a value on a line")
    return data


def pi_boots(config: PiConfig, names: Collection[str]) -> tuple[PiBoot, ...]:
    """What each kind of board would load, of files that are called `names`, in lower case, where the kernel is."""
    return tuple(_boot(config, names, *kernel) for kernel in _kernels(config, names))


def _kernels(config: PiConfig, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Name, title and architecture of each kernel that may be meant."""
    named, bits = config.value("kernel"), config.value("arm_64bit")
    known = {name: (title, architecture) for name, title, architecture in DEFAULT_KERNELS}
    if named:
        title, architecture = known.get(named.lower(), ("Raspberry Pi", {"0": "arm", "1": "aa64"}.get(bits or "", "")))
        yield named, title, architecture
        return
    for name, title, architecture in DEFAULT_KERNELS:
        wrong = {"0": "aa64", "1": "arm"}.get(bits or "") == architecture and name != "kernel_2712.img"
        if name in names and not wrong:
            yield name, title, architecture


def _boot(config: PiConfig, names: Collection[str], kernel: str, title: str, architecture: str) -> PiBoot:
    prefix = config.value("os_prefix") or ""
    overlays_in = config.value("overlay_prefix")
    overlays = (each.partition(",")[0].strip() for each in config.values(_OVERLAY))
    return PiBoot(
        f"{title} ({kernel})",
        prefix + kernel,
        prefix + (config.value("cmdline") or DEFAULT_COMMAND_LINE),
        tuple(prefix + name for name in _initrds(config, names, kernel)),
        prefix + device if (device := config.value("device_tree")) else "",
        tuple(
            f"{prefix}{DEFAULT_OVERLAYS if overlays_in is None else overlays_in}{name}.dtbo"
            for name in dict.fromkeys(overlays)
            if name
        ),
        architecture,
    )


def _initrds(config: PiConfig, names: Collection[str], kernel: str) -> Iterable[str]:
    named = config.value(_INITRAMFS)
    files = named.split()[0] if named else config.value("ramfsfile")
    if files:
        return [name for name in (part.strip() for part in files.split(",")) if name]
    # "automatically look for an initramfs file using the same rules as the kernel selection"
    automatic = kernel.removesuffix(".img").replace("kernel", _INITRAMFS, 1)
    return [automatic] if config.value("auto_initramfs") == "1" and automatic.lower() in names else []


def _lines(data: bytes, include: Include | None, left: list[int], depth: int) -> Iterator[str]:
    """The lines that say something, includes in their places; `left` is how many bytes may still come."""
    left[0] -= len(data)
    if left[0] < 0:
        raise FormatError(
            "the settings are too long",
            where="config.txt",
            found=f"{-left[0]} bytes more",
            expected=f"at most {PI_CONFIG_MAX_BYTES} bytes",
        )
    for raw in data.decode("utf-8", "surrogateescape").split("\n"):
        # "any characters beyond this limit are ignored"
        line = raw.removesuffix("\r")[:LINE_CHARACTERS].strip()
        word, _, name = line.partition(" ")
        if not line or line.startswith("#"):
            continue
        if word != "include":
            yield line
            continue
        if include is None or depth == MAX_PI_INCLUDES:
            raise FormatError(
                "include cannot be followed",
                where="config.txt",
                found=repr(name),
                expected=f"at most {MAX_PI_INCLUDES} includes in each other" if include else "one file",
            )
        yield from _lines(include(name.strip()), include, left, depth + 1)
