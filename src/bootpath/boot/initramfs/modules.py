"""Kernel modules from a modules directory (``lib/modules/<release>``): which to load, and in which order.

Source: kmod's modules.dep(5) and depmod(8); the ``.modinfo`` section of each module, strings ``key=value``.

- A module is named after its file, with ``_`` for ``-``. ``modules.builtin`` lists those that are part of the kernel.
- Files are found through ``modules.dep`` where depmod has run, and by walking the directory where it has not
  (an unpacked package). A module in ``updates`` comes before one of the same name elsewhere, as with depmod.
- Dependencies are the module's own ``depends``; ``softdep`` names are loaded too where they exist, ``pre`` before and
  ``post`` after. A dependency that is missing is an error, a soft one is not: that is what modprobe does.
- ``.ko.gz``, ``.ko.xz`` and ``.ko.zst`` (this one through zstandard) are decompressed: the archive around them is
  compressed better as a whole, and the loader in the guest needs no library.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from elftools.elf.elffile import ELFFile

from bootpath.block.leaves.wholefile import read_whole
from bootpath.boot.initramfs.elfclosure import BROKEN_ELF
from bootpath.core.errors import Error, FormatError
from bootpath.core.extras import pip_install

SUFFIXES = ("", ".gz", ".xz", ".zst")
MAX_MODULE_BYTES = 256 << 20
"""No module is as large; a compressed one that grows beyond it is refused."""
_STEP_BYTES = 1024


@dataclass(frozen=True, slots=True)
class KernelModule:
    """One module: its path below ``lib/modules/<release>`` without compression suffix, and its content, an ELF file."""

    name: str
    path: str
    data: bytes
    depends: tuple[str, ...]
    soft_before: tuple[str, ...] = ()
    soft_after: tuple[str, ...] = ()


def module_name(text: str) -> str:
    """The kernel's name of a module, given its name or its file's path: ``nd-pmem.ko.xz`` is ``nd_pmem``."""
    return PurePosixPath(text).name.partition(".ko")[0].replace("-", "_")


class KernelModules:
    """The modules of one kernel release. Raises Error when `directory` is not a modules directory."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise Error(
                "there is no such directory of kernel modules",
                where=str(directory),
                hint="is this release installed there?",
            )
        self.directory = directory
        self.release = directory.name
        self._builtin = frozenset(module_name(line) for line in self._lines("modules.builtin"))
        self._paths = dict(self._find())
        self._read: dict[str, KernelModule] = {}

    def _lines(self, name: str) -> list[str]:
        try:
            return read_whole(self.directory / name, "program_bytes").decode().split("\n")
        except FileNotFoundError:
            return []

    def _find(self) -> Iterator[tuple[str, str]]:
        """Name and path of every module, the preferred one last."""
        listed = [line.partition(":")[0] for line in self._lines("modules.dep") if line]
        if not listed:
            files = (path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*.ko*"))
            listed = [path for path in files if path.endswith(tuple(f".ko{suffix}" for suffix in SUFFIXES))]
        for path in sorted(listed, key=lambda path: (path.startswith("updates/"), path)):
            yield module_name(path), path

    def is_builtin(self, name: str) -> bool:
        """Whether the kernel has it without any file."""
        return module_name(name) in self._builtin

    def has(self, name: str) -> bool:
        """Whether it is built in or there as a file."""
        return self.is_builtin(name) or module_name(name) in self._paths

    def first_of(self, names: str) -> str | None:
        """Of names with ``|`` between them the first that the kernel has; None when it has none."""
        return next((name for name in names.split("|") if self.has(name)), None)

    def read(self, name: str) -> KernelModule:
        """One module. Raises Error when there is no such file, FormatError when it is not a module."""
        name = module_name(name)
        if name not in self._read:
            path = self._paths.get(name)
            if path is None:
                raise self._missing(name)
            file = self.directory / path
            try:
                plain_path, data = decompress(path, read_whole(file, "program_bytes"))
                self._read[name] = _module(name, plain_path, data)
            except Error as fault:
                raise fault.at(str(file)) from fault.__cause__
        return self._read[name]

    def _missing(self, name: str, above: tuple[str, ...] = ()) -> Error:
        needed = f", which {above[-1]} needs," if above else ""
        return Error(
            f"the module {name}{needed} is neither built in nor present",
            where=str(self.directory),
            hint="name another module, or install the package that has it",
        )

    def load_order(self, names: Iterable[str]) -> tuple[KernelModule, ...]:
        """The named modules and what they need, each once, in an order in which every one can be loaded.

        Built-in modules are left out. Raises Error and FormatError as `read`, and Error for a loop of modules.
        """
        ordered: dict[str, KernelModule] = {}
        for name in names:
            self._visit(module_name(name), (), ordered)
        return tuple(ordered.values())

    def _visit(self, name: str, above: tuple[str, ...], ordered: dict[str, KernelModule]) -> None:
        if name in ordered or (self.is_builtin(name) and name not in self._paths):
            return
        if name in above:
            raise Error(
                "modules need each other in a loop", where=str(self.directory), found=" -> ".join((*above, name))
            )
        if name not in self._paths:
            raise self._missing(name, above)
        module = self.read(name)
        here = (*above, name)
        for needed in module.depends:
            self._visit(needed, here, ordered)
        for soft in module.soft_before:
            self._visit_soft(soft, here, ordered)
        ordered[name] = module
        for soft in module.soft_after:
            self._visit_soft(soft, here, ordered)

    def _visit_soft(self, name: str, above: tuple[str, ...], ordered: dict[str, KernelModule]) -> None:
        if name in self._paths and name not in above:
            self._visit(name, above, ordered)


def decompress(path: str, data: bytes) -> tuple[str, bytes]:
    """The path without its compression suffix, and the plain content.

    Raises FormatError for damaged data, Error when it is zstd and the library is not installed.
    """
    suffix = PurePosixPath(path).suffix
    if suffix not in _DECOMPRESSORS:
        return path, data
    try:
        plain = _DECOMPRESSORS[suffix](data)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as fault:
        raise FormatError(f"the module cannot be decompressed: {fault}", where=f"module{suffix}") from fault
    if len(plain) > MAX_MODULE_BYTES:
        raise FormatError("the module is too large", where="module", expected=f"at most {MAX_MODULE_BYTES} bytes")
    return path.removesuffix(suffix), plain


def _gunzip(data: bytes) -> bytes:
    with gzip.open(BytesIO(data)) as file:
        return file.read(MAX_MODULE_BYTES + 1)


def _unxz(data: bytes) -> bytes:
    with lzma.open(BytesIO(data)) as file:
        return file.read(MAX_MODULE_BYTES + 1)


def _unzstd(data: bytes) -> bytes:
    try:
        import zstandard
    except ImportError as fault:
        raise Error(
            "this module is compressed with zstd, and zstandard is not installed",
            hint=pip_install("initramfs"),
        ) from fault
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    plain = bytearray()
    try:
        # In small steps, so that what grows without end is stopped in time.
        for start in range(0, len(data), _STEP_BYTES):
            plain += decompressor.decompress(data[start : start + _STEP_BYTES])
            if decompressor.eof or len(plain) > MAX_MODULE_BYTES:
                return bytes(plain)
    except zstandard.ZstdError as fault:
        raise ValueError(str(fault)) from fault
    raise EOFError("it is cut short")


_DECOMPRESSORS = {".gz": _gunzip, ".xz": _unxz, ".zst": _unzstd}


def _module(name: str, path: str, data: bytes) -> KernelModule:
    depends: list[str] = []
    before: list[str] = []
    after: list[str] = []
    for key, value in _modinfo(data):
        if key == "depends":
            depends += [module_name(needed) for needed in value.split(",") if needed]
        elif key == "softdep":
            target = before
            for item in value.split():
                if item in ("pre:", "post:"):
                    target = before if item == "pre:" else after
                else:
                    target.append(module_name(item))
    return KernelModule(name, path, data, tuple(depends), tuple(before), tuple(after))


def _modinfo(data: bytes) -> Iterator[tuple[str, str]]:
    """The key and value of every string in the section. Raises FormatError when there is none."""
    try:
        section = ELFFile(BytesIO(data)).get_section_by_name(".modinfo")
        content = None if section is None else section.data()
    except BROKEN_ELF as fault:
        raise FormatError(f"the module is not an ELF file: {fault}", where="module") from fault
    if content is None:
        raise FormatError("the file has no .modinfo section, so it is not a kernel module", where="module")
    for line in content.split(b"\0"):
        key, _, value = line.decode("utf-8", "replace").partition("=")
        if key:
            yield key, value
