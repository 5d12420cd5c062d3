"""An initramfs: what it holds (`plan_initramfs`), and the archive (`build_initramfs`).

The same inputs give the same bytes. The archive is newc (`formats.cpio`), sorted, owner 0, one time for all; no path,
name or time of the machine that built it is in it. What is in it is declared: a `Recipe` says which modules of the
kernel, which programs, which modules of Python and which ``/init``; an `InitramfsSpec` says where they come from. Every
item knows the part it belongs to, for the size report.

In the guest::

    /init                          what the kernel starts
    /bin/busybox, /bin/sh …        a static busybox and links for its commands
    /lib/modules/R/…ko             kernel modules, plain, with a modules.dep for modprobe
    /etc/bootpath/modules          their paths in load order, one a line, for insmod
    /sbin/lvm …                    programs of the root, with the libraries they need
    /lib/bootpath/*.sh             the parts of an /init without Python (`boot.tinyinit`)
    /usr/bin/python3, /usr/lib/pythonX.Y
                                   see `boot.initramfs.pythonclosure`; libraries lie where `boot.initramfs.elfclosure`
                                   puts them
    /dev/console, /dev/null        until devtmpfs is mounted; and empty /proc, /run, /sys, /tmp
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path, PurePosixPath

import bootpath
from bootpath.block.leaves.wholefile import read_whole
from bootpath.boot.initramfs.compression import Compression, compress
from bootpath.boot.initramfs.elfclosure import is_elf, read_needs, resolve_below, shared_libraries, without_sections
from bootpath.boot.initramfs.machines import check_machines
from bootpath.boot.initramfs.modules import KernelModule, KernelModules
from bootpath.boot.initramfs.pythonclosure import PYTHON_PATH, python_closure
from bootpath.boot.initramfs.recipes import RECIPES, SHELL_INIT, Recipe, combine_recipes, python_init
from bootpath.boot.initramfs.stub import Function, Stub, build_stub, can_build_stub, functions_from
from bootpath.core.errors import Error
from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio
from bootpath.image.output import atomic_output

_read = partial(read_whole, limit="program_bytes")

__all__ = [
    "APPLETS",
    "MODULES_LIST",
    "RECIPES",
    "SHELL_INIT",
    "Added",
    "Initramfs",
    "InitramfsPlan",
    "InitramfsSpec",
    "Item",
    "Part",
    "PythonGuest",
    "Recipe",
    "build_initramfs",
    "combine_recipes",
    "plan_initramfs",
    "python_init",
]

MODULES_LIST = "etc/bootpath/modules"
APPLETS = (
    "[ awk base64 basename blkid blockdev cat chmod chroot cmp cp cttyhack cut date dd df dirname dmesg du echo env "
    "expr false find free grep gzip halt head hexdump hostname id insmod ip kill ln losetup ls lsmod mkdir mkfifo "
    "mknod modprobe mount mountpoint mv nc od pivot_root poweroff printf ps pwd readlink reboot rm rmdir rmmod sed "
    "seq setsid sh sha256sum sleep sort stat stty switch_root sync tail tar tee test time timeout touch tr true "
    "umount uname wc which xargs"
)
_MODULES_PLACES = ("/lib/modules", "/usr/lib/modules")
_BUSYBOX_PLACES = ("/bin/busybox", "/usr/bin/busybox")
_PROGRAM_PLACES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Part(Enum):
    """Why something is in the archive."""

    SKELETON = "skeleton"
    BUSYBOX = "busybox"
    KERNEL_MODULES = "kernel modules"
    PYTHON = "python"
    PROGRAMS = "programs"
    LIBRARIES = "libraries"
    BOOTPATH = "bootpath"
    CONFIG = "config"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class PythonGuest:
    """Modules that Python imports in the guest, and the interpreter they get. `search_path` as in `python_closure`."""

    modules: tuple[str, ...]
    interpreter: Path = Path(sys.executable)
    search_path: tuple[Path, ...] = (Path(bootpath.__file__).parents[1],)


@dataclass(frozen=True, slots=True)
class Added:
    """A file or directory of this machine, and its path in the guest. Programs bring their libraries along."""

    source: Path
    path: str


@dataclass(frozen=True, slots=True)
class InitramfsSpec:
    """What to build. `root` has the kernel's modules and busybox; `release` None is the only one there.

    `busybox` None is the one in `root`; it is static, unless `programs` bring libraries anyway: these are found by name
    in `root`, with their libraries, except those that `stubs` replace. `files` are paths in the guest and contents.
    `mtime_seconds` is every file's time, since 1970.
    """

    root: Path
    init: bytes
    release: str | None = None
    modules: tuple[str, ...] = ()
    wanted_modules: tuple[str, ...] = ()
    python: PythonGuest | None = None
    programs: tuple[str, ...] = ()
    stubs: tuple[Stub, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    added: tuple[Added, ...] = ()
    busybox: Path | None = None
    mtime_seconds: int = 0
    compression: Compression = Compression.ZSTD


@dataclass(frozen=True, slots=True)
class Item:
    """One entry and the part it belongs to."""

    entry: CpioEntry
    part: Part


@dataclass(frozen=True, slots=True)
class InitramfsPlan:
    """The content, sorted by path; `modules` in load order; `absent` are wanted modules that this kernel has not.

    `stubs` are the libraries that are replaced by stubs.
    """

    items: tuple[Item, ...]
    release: str
    modules: tuple[str, ...]
    absent: tuple[str, ...]
    python_version: str | None
    stubs: tuple[str, ...] = ()

    def sizes(self) -> dict[Part, tuple[int, int]]:
        """Number of entries and bytes of content of each part that has any."""
        found = {}
        for part in Part:
            items = [item for item in self.items if item.part is part]
            if items:
                found[part] = (len(items), sum(len(item.entry.data) for item in items))
        return found

    def archive(self) -> bytes:
        """The cpio archive, not compressed."""
        return pack_cpio(item.entry for item in self.items)


@dataclass(frozen=True, slots=True)
class Initramfs:
    """What was built: sizes before and after compression, in bytes."""

    path: Path
    plan: InitramfsPlan
    compression: Compression
    archive_bytes: int
    size_bytes: int


def build_initramfs(spec: InitramfsSpec, output: Path) -> Initramfs:
    """Write the archive to `output`, which is replaced only when all is written. Raises Error, FormatError, OSError."""
    plan = plan_initramfs(spec)
    archive = plan.archive()
    content = compress(archive, spec.compression)
    with atomic_output(output) as temporary:
        temporary.write_bytes(content)
    return Initramfs(output, plan, spec.compression, len(archive), len(content))


def plan_initramfs(spec: InitramfsSpec) -> InitramfsPlan:
    """What the archive will hold; writes nothing. Raises Error, FormatError, OSError."""
    kernel = _kernel(spec)
    _check_compression(spec, kernel.release)
    wanted = {name: kernel.first_of(name) for name in spec.wanted_modules}
    absent = tuple(name for name, found in wanted.items() if found is None)
    modules = kernel.load_order([*spec.modules, *filter(None, wanted.values())])
    items = [*_skeleton(), Item(CpioEntry.file("init", spec.init, 0o755), Part.CONFIG)]
    items += [Item(CpioEntry.file(path, data), Part.CONFIG) for path, data in spec.files]
    busybox = _find_busybox(spec)
    items += _busybox(busybox)
    items += _modules(kernel, modules)
    stubs: tuple[str, ...] = ()
    if spec.programs:
        stubs, programs = _programs(spec, busybox)
        items += programs
    version = None
    if spec.python is not None:
        version, python = _python(spec.python)
        items += python
    items += _added(spec.added)
    # It is the kernel that says which machine it is.
    check_machines(item.entry for item in sorted(items, key=lambda item: item.part is not Part.KERNEL_MODULES))
    return InitramfsPlan(
        items=_arrange(items, spec.mtime_seconds),
        release=kernel.release,
        modules=tuple(module.name for module in modules),
        absent=absent,
        python_version=version,
        stubs=stubs,
    )


def _arrange(items: Iterable[Item], mtime_seconds: int) -> tuple[Item, ...]:
    """Sorted, parents made; what two parts both bring belongs to the first. Raises FormatError for two of one path."""
    listed = list(items)
    parts: dict[str, Part] = {}
    for item in listed:
        parts.setdefault(item.entry.path, item.part)
    entries = arrange_cpio((item.entry for item in listed), mtime_seconds=mtime_seconds)
    return tuple(Item(entry, parts.get(entry.path, Part.SKELETON)) for entry in entries)


def _kernel(spec: InitramfsSpec) -> KernelModules:
    """The modules of the release: the only one when none is named."""
    places = [resolve_below(spec.root, place) for place in _MODULES_PLACES]
    directory = next((place for place in places if place.is_dir()), places[0])
    if spec.release is not None:
        return KernelModules(directory / spec.release)
    releases = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    if len(releases) != 1:
        raise Error(
            "there are several kernel releases" if releases else "there are no kernel modules",
            where=str(directory),
            found=", ".join(releases) or None,
            hint="name one with --kernel-release" if releases else "name another directory with --sysroot",
        )
    return KernelModules(directory / releases[0])


def _check_compression(spec: InitramfsSpec, release: str) -> None:
    """Refuse a compression that the kernel's own configuration, where it is there, says it cannot undo."""
    option = {Compression.NONE: None, Compression.GZIP: "RD_GZIP", Compression.XZ: "RD_XZ", Compression.ZSTD: "RD_ZSTD"}
    config = resolve_below(spec.root, f"/boot/config-{release}")
    name = option[spec.compression]
    if name is not None and config.is_file() and f"CONFIG_{name}=y" not in _read(config).decode().split("\n"):
        raise Error(
            f"the kernel cannot unpack {spec.compression.value}",
            where=str(config),
            expected=f"CONFIG_{name}=y",
            hint="choose another with --compression",
        )


def _skeleton() -> Iterator[Item]:
    for name in ("dev", "proc", "run", "sys"):
        yield Item(CpioEntry.directory(name), Part.SKELETON)
    yield Item(CpioEntry.directory("tmp", 0o1777), Part.SKELETON)
    # Documentation/admin-guide/devices.txt: 1,3 is /dev/null, 5,1 the console, which the kernel opens before /init.
    yield Item(CpioEntry.character_device("dev/null", 1, 3, 0o666), Part.SKELETON)
    yield Item(CpioEntry.character_device("dev/console", 5, 1), Part.SKELETON)


def _find_busybox(spec: InitramfsSpec) -> Path:
    places = [resolve_below(spec.root, place) for place in _BUSYBOX_PLACES] if spec.busybox is None else [spec.busybox]
    source = next((place for place in places if place.is_file()), None)
    if source is None:
        raise Error("the root directory has no busybox", where=str(spec.root), expected=" or ".join(_BUSYBOX_PLACES))
    if not spec.programs and shared_libraries([source], root=spec.root):
        raise Error("busybox is not static", where=str(source), hint="install busybox-static")
    return source


def _busybox(source: Path) -> Iterator[Item]:
    yield Item(CpioEntry.file("bin/busybox", without_sections(_read(source)), 0o755), Part.BUSYBOX)
    for applet in APPLETS.split():
        yield Item(CpioEntry.symlink(f"bin/{applet}", "busybox"), Part.BUSYBOX)


def _programs(spec: InitramfsSpec, busybox: Path) -> tuple[tuple[str, ...], list[Item]]:
    """The programs and libraries, and the names of the libraries that stubs replace."""
    found = {name: _find_program(spec.root, name) for name in spec.programs}
    # Elsewhere the libraries themselves come along.
    wanted = spec.stubs if can_build_stub(read_needs(busybox).machine) else ()
    libraries = shared_libraries(
        [*found.values(), busybox], root=spec.root, without=frozenset(one.soname for one in wanted)
    )
    items = [
        Item(CpioEntry.file(f"sbin/{name}", without_sections(_read(path)), 0o755), Part.PROGRAMS)
        for name, path in found.items()
    ]
    items += [_library(library.path, library.source) for library in libraries]
    replaced = []
    for one in wanted:
        users = [
            path for path in (*found.values(), *(library.source for library in libraries)) if _needs(path, one.soname)
        ]
        if users:
            functions: set[Function] = set()
            for path in users:
                functions |= functions_from(_read(path), one.soname)
            beside = next(library for library in libraries if PurePosixPath(library.path).name.startswith("libc."))
            data = build_stub(read_needs(users[0]).machine, one, functions)
            place = PurePosixPath(beside.path).with_name(one.soname).as_posix()
            items.append(Item(CpioEntry.file(place, data, 0o755), Part.LIBRARIES))
            replaced.append(one.soname)
    return tuple(replaced), items


def _needs(path: Path, soname: str) -> bool:
    return soname in read_needs(path).needed


def _find_program(root: Path, name: str) -> Path:
    places = [resolve_below(root, f"{place}/{name}") for place in _PROGRAM_PLACES]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise Error(
            f"the root directory has no program {name}",
            where=str(root),
            expected=f"{name} in {', '.join(_PROGRAM_PLACES)}",
        )
    return found


def _modules(kernel: KernelModules, modules: tuple[KernelModule, ...]) -> Iterator[Item]:
    base = f"lib/modules/{kernel.release}"
    paths = {module.name: module.path for module in modules}
    for module in modules:
        yield Item(CpioEntry.file(f"{base}/{module.path}", module.data), Part.KERNEL_MODULES)
    lines = []
    for module in modules:
        needed = [paths[other.name] for other in reversed(kernel.load_order([module.name])) if other is not module]
        lines.append(f"{module.path}: {' '.join(needed)}".rstrip() + "\n")
    yield Item(CpioEntry.file(f"{base}/modules.dep", "".join(sorted(lines)).encode()), Part.KERNEL_MODULES)
    listed = "".join(f"/{base}/{module.path}\n" for module in modules)
    yield Item(CpioEntry.file(MODULES_LIST, listed.encode()), Part.CONFIG)


def _python(guest: PythonGuest) -> tuple[str, list[Item]]:
    closure = python_closure(guest.interpreter, guest.modules, search_path=guest.search_path)
    items = [
        Item(
            CpioEntry.file(PYTHON_PATH, without_sections(_read(closure.binary)), 0o755),
            Part.PYTHON,
        )
    ]
    for file in closure.files:
        part = Part.BOOTPATH if file.module.partition(".")[0] == bootpath.__name__ else Part.PYTHON
        items.append(Item(CpioEntry.file(file.path, without_sections(file.data)), part))
    items += [_library(library.path, library.source) for library in closure.libraries]
    return closure.version, items


def _library(path: str, source: Path) -> Item:
    return Item(CpioEntry.file(path, without_sections(_read(source)), 0o755), Part.LIBRARIES)


def _added(added: Iterable[Added]) -> Iterator[Item]:
    for one in added:
        source = one.source
        if not source.exists():
            raise Error("there is no such file or directory to add", where=str(source))
        target = one.path.strip("/") or "."
        yield from _added_one(source, target)
        for path in sorted(source.rglob("*")) if source.is_dir() else ():
            place = PurePosixPath(target, path.relative_to(source)).as_posix()
            if path.is_symlink():
                yield Item(CpioEntry.symlink(place, str(path.readlink())), Part.ADDED)
            else:
                yield from _added_one(path, place)


def _added_one(path: Path, place: str) -> Iterator[Item]:
    """A directory without what is in it, or a file with the libraries it needs; links are followed."""
    if path.is_dir():
        if place != ".":
            yield Item(CpioEntry.directory(place), Part.ADDED)
        return
    if not path.is_file():
        raise Error("what is added is not a file, a directory or a link", where=str(path))
    data = _read(path)
    yield Item(CpioEntry.file(place, data, 0o755 if path.stat().st_mode & 0o111 else 0o644), Part.ADDED)
    if is_elf(data):
        for library in shared_libraries([path]):
            yield _library(library.path, library.source)
