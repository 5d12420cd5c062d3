"""What a file system can be used as: a system that boots, its /usr, a portable service, an initrd, an extension.

Source: systemd-dissect(1), which calls it "Use As", and decides by files in the mounted image::

    bootable system           an init: /usr/lib/systemd/systemd, /lib/systemd/systemd, /sbin/init
    portable service          PORTABLE_PREFIXES= in os-release
    initrd                    /etc/initrd-release or /usr/lib/initrd-release
    system extension          /usr/lib/extension-release.d/extension-release.*, whose SYSEXT_SCOPE= says for what
    configuration extension   /etc/extension-release.d/extension-release.*, CONFEXT_SCOPE=

Systems without systemd boot as well, so the other places where Linux looks for an init count too (/etc/init,
/bin/init), and /init, and a busybox that has its inittab or rcS. An init has to be a file that may be executed. An
extension is no system, though it may bring files of one; nor is a /usr alone, in which systemd is at
/lib/systemd/systemd.

Links are followed inside the file system, absolute ones from its root. What cannot be read decides nothing: it is in
`faults`, and then nobody knows.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bootpath.core.errors import Error, FileSystemError
from bootpath.formats.entries.menufiles import MENU_FILES
from bootpath.formats.entries.osrelease import OS_RELEASE_MAX_BYTES, parse_os_release
from bootpath.fs.readers.files import FileKind, Files

INITS = (
    *("/usr/lib/systemd/systemd", "/lib/systemd/systemd"),
    # Linux init/main.c, without the shell that it runs in the end.
    *("/sbin/init", "/etc/init", "/bin/init"),
    "/init",
)
_BUSYBOX, _BUSYBOX_TABLES = ("/bin/busybox", "/usr/bin/busybox"), ("/etc/inittab", "/etc/init.d/rcS")
_OS_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
_INITRD_RELEASES = ("/etc/initrd-release", "/usr/lib/initrd-release")
_ENTRIES = ("/loader/entries", "/boot/loader/entries")
_USR_MARKS = ("/lib/os-release", "/lib/systemd/systemd")
_RELEASE_PREFIX = "extension-release."
_SCOPES = ("system", "portable")  # "If unset"
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Use(Enum):
    """What a file system can be used as; the values are systemd's words."""

    SYSTEM = "bootable system"
    USR = "/usr of a system"
    PORTABLE = "portable service"
    INITRD = "initrd"
    SYSEXT = "system extension"
    CONFEXT = "configuration extension"


_ARTICLES = {Use.USR: "the ", Use.INITRD: "an "}


@dataclass(frozen=True, slots=True)
class UseAs:
    """What was found. `init` is the path of the system's first program, `menu` that of boot entries, "" without one.

    The scopes say for what an extension is: system, portable, initrd. `faults` are what could not be read.
    """

    uses: tuple[Use, ...] = ()
    init: str = ""
    menu: str = ""
    os_release: Mapping[str, str] | None = None
    sysext_scopes: tuple[str, ...] = ()
    confext_scopes: tuple[str, ...] = ()
    faults: tuple[Error, ...] = field(default=(), compare=False)

    @property
    def is_root(self) -> bool:
        """True for what can be the root of a system."""
        return Use.SYSTEM in self.uses

    @property
    def may_be_root(self) -> bool:
        """True for what may be the root although no init was found: it has boot entries, or cannot be read."""
        return not self.is_root and bool(self.faults or (self.menu and not self.uses))

    @property
    def unknown(self) -> bool:
        """True when it may be a root for all that could be read."""
        return not self.is_root and bool(self.faults)

    @property
    def described(self) -> str:
        """What it is, as the end of a sentence."""
        if not self.uses:
            return str(self)
        return ", ".join(_ARTICLES.get(use, "a ") + use.value for use in self.uses)

    @property
    def name(self) -> str:
        """What its os-release calls it, "" without one."""
        said = self.os_release or {}
        return said.get("PRETTY_NAME") or said.get("NAME") or said.get("ID") or ""

    def __str__(self) -> str:
        if self.uses:
            return ", ".join(use.value for use in self.uses)
        if self.menu:
            return f"no system, since there is no init, but it has boot entries ({self.menu})"
        return "unknown, since it cannot be read" if self.faults else "no system: there is no init"


def use_of(files: Files) -> UseAs:
    """What the files of a file system make it. Raises no Error."""
    look = _Look(files)
    os_release = look.release(_OS_RELEASES)
    initrd = look.release(_INITRD_RELEASES) is not None
    sysext = look.extension("/usr/lib/extension-release.d")
    confext = look.extension("/etc/extension-release.d")
    is_usr = not look.has("/usr", FileKind.DIRECTORY) and any(look.has(path) for path in _USR_MARKS)
    init = "" if is_usr else look.init()
    is_extension = sysext is not None or confext is not None
    found = {
        Use.SYSTEM: bool(init) and not is_extension,
        Use.USR: is_usr,
        Use.PORTABLE: bool(os_release) and "PORTABLE_PREFIXES" in (os_release or {}),
        Use.INITRD: initrd,
        Use.SYSEXT: sysext is not None,
        Use.CONFEXT: confext is not None,
    }
    uses = tuple(use for use, is_one in found.items() if is_one)
    return UseAs(
        uses,
        init,
        look.menu(),
        os_release,
        _scopes(sysext, "SYSEXT_SCOPE"),
        _scopes(confext, "CONFEXT_SCOPE"),
        tuple(look.faults),
    )


def _scopes(said: Mapping[str, str] | None, name: str) -> tuple[str, ...]:
    if said is None:
        return ()
    return tuple(said[name].split()) if name in said else _SCOPES


class _Look:
    """Looks into a file system, and keeps what went wrong."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.faults: list[Error] = []

    def init(self) -> str:
        """The first program of the system, "" without one."""
        found = next((path for path in INITS if self.has(path, executable=True)), "")
        if not found and any(self.has(path) for path in _BUSYBOX_TABLES):
            found = next((path for path in _BUSYBOX if self.has(path, executable=True)), "")
        return found

    def menu(self) -> str:
        """Where boot entries are, "" without any."""
        found = next((path for path in _ENTRIES if self.has(path, FileKind.DIRECTORY)), "")
        return found or next((each.path for each in MENU_FILES if not each.any_prefix and self.has(each.path)), "")

    def has(self, path: str, kind: FileKind = FileKind.FILE, *, executable: bool = False) -> bool:
        """True when there is such a node."""
        try:
            node = self.files.lookup(path)
        except Error as error:
            self._keep(error)
            return False
        return node.kind is kind and (not executable or bool(node.permissions & 0o111))

    def release(self, paths: tuple[str, ...]) -> Mapping[str, str] | None:
        """The assignments of the first of these files that is there; empty when they cannot be read."""
        path = next((path for path in paths if self.has(path)), None)
        if path is None:
            return None
        try:
            return parse_os_release(self.files.read_file(path, OS_RELEASE_MAX_BYTES), path)
        except Error as error:
            self._keep(error)
            return {}

    def extension(self, directory: str) -> Mapping[str, str] | None:
        """What an extension says in a directory; the first file, where there are several."""
        try:
            names = [each.name for each in self.files.list(directory) if each.name.startswith(_RELEASE_PREFIX)]
        except Error as error:
            self._keep(error)
            return None
        return self.release(tuple(f"{directory}/{name}" for name in names))

    def _keep(self, error: Error) -> None:
        if not (isinstance(error, FileSystemError) and error.errno in _MISSING):
            self.faults.append(error)
