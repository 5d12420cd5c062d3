"""The shared libraries that ELF programs need, found as the dynamic loader finds them, below any root directory.

Source: ld.so(8), System V ABI gABI "Shared Object Dependencies". For each DT_NEEDED of an object the places are, in
order: its DT_RUNPATH, or where it has none the DT_RPATH of it and of the objects that brought it in; the directories of
``/etc/ld.so.conf``; the loader's own directories. ``$ORIGIN`` and ``$LIB`` are expanded; LD_LIBRARY_PATH and hwcaps
directories are not looked at. A library of another machine or class is skipped.

In the guest every library lies in one directory, beside libc, where the loader looks without a cache; only the loader
itself, which programs name by its path, keeps that path. So no path of the build machine reaches the guest, and two
different libraries of one name are an error.

Symbolic links are followed below the root, as chroot would: ``resolve_below``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

from bootpath.block.leaves.wholefile import read_whole
from bootpath.core.errors import Error, FormatError

_read = partial(read_whole, limit="program_bytes")

ELF_MAGIC = b"\x7fELF"
_TRIPLETS = {
    "EM_X86_64": ("x86_64-linux-gnu",),
    "EM_AARCH64": ("aarch64-linux-gnu",),
    "EM_RISCV": ("riscv64-linux-gnu",),
    "EM_ARM": ("arm-linux-gnueabihf", "arm-linux-gnueabi"),
    "EM_386": ("i386-linux-gnu",),
}
"""What Debian calls the directories of each machine's libraries."""
_MAX_LINKS = 40  # MAXSYMLINKS of Linux
BROKEN_ELF = (
    ELFError,
    ConstructError,
    ValueError,
    LookupError,
    OverflowError,
    TypeError,
    AttributeError,
    AssertionError,
)
"""What pyelftools raises for a damaged file."""
_LIBC = ("libc.so.6", "libc.so")


@dataclass(frozen=True, slots=True)
class ElfNeeds:
    """What the loader wants to know of an object. `interpreter` is None in libraries and static programs."""

    machine: str
    elf_class: int
    interpreter: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Library:
    """A file the guest needs: where it goes (relative), and where it is on this machine."""

    path: str
    source: Path


def read_needs(path: Path) -> ElfNeeds:
    """The dynamic section of an ELF file. Raises FormatError when it is none or is damaged, OSError."""
    content = BytesIO(_read(path))
    try:
        elf = ELFFile(content)
        interpreter = None
        strings: dict[str, list[str]] = {"DT_NEEDED": [], "DT_RPATH": [], "DT_RUNPATH": []}
        for segment in elf.iter_segments():
            if isinstance(segment, InterpSegment):
                interpreter = str(segment.get_interp_name())
            elif isinstance(segment, DynamicSegment):
                _read_dynamic(segment, strings)
        return ElfNeeds(
            machine=str(elf["e_machine"]),
            elf_class=int(elf.elfclass),
            interpreter=interpreter,
            needed=tuple(strings["DT_NEEDED"]),
            rpath=_split(strings["DT_RPATH"]),
            runpath=_split(strings["DT_RUNPATH"]),
        )
    except BROKEN_ELF as fault:
        raise FormatError(f"the file is not an ELF file: {fault}", where=str(path)) from fault


def _read_dynamic(dynamic: DynamicSegment, strings: dict[str, list[str]]) -> None:
    names = {"DT_NEEDED": "needed", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
    for tag in dynamic.iter_tags():
        kind = str(tag.entry.d_tag)
        if kind in names:
            strings[kind].append(str(getattr(tag, names[kind])))


def _split(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for path in paths for part in path.split(":") if part)


def is_elf(data: bytes) -> bool:
    """Whether a file that begins so is an ELF file."""
    return data.startswith(ELF_MAGIC)


def without_sections(data: bytes) -> bytes:
    """A program or library cut to what is loaded: no debug information, symbol table and section headers.

    gABI "Program Loading": segments alone say what is loaded. Other files (relocatable objects, not ELF) come back as
    they are. Raises FormatError.
    """
    if not is_elf(data):
        return data
    try:
        elf = ELFFile(BytesIO(data))
        if elf["e_type"] not in ("ET_EXEC", "ET_DYN") or not elf.num_segments():
            return data
        headers_end = elf["e_phoff"] + elf["e_phentsize"] * elf["e_phnum"]
        ends = [int(segment["p_offset"] + segment["p_filesz"]) for segment in elf.iter_segments()]
        end = max(headers_end, *ends)
        # Elf32_Ehdr and Elf64_Ehdr: e_shoff; then, behind four bytes of flags and three halves, e_shnum and e_shstrndx.
        offset, width, numbers = (32, 4, 48) if elf.elfclass == 32 else (40, 8, 60)
    except BROKEN_ELF as fault:
        raise FormatError(f"the file is not an ELF file: {fault}", where="elf") from fault
    cut = bytearray(data[:end])
    cut[offset : offset + width] = bytes(width)
    cut[numbers : numbers + 4] = bytes(4)
    return bytes(cut)


def resolve_below(root: Path, path: str) -> Path:
    """The file that `path` is when `root` is ``/``: links are followed, and lead nowhere outside.

    The result may not exist. Raises Error when links form a loop.
    """
    waiting = [part for part in reversed(PurePosixPath(path).parts) if part != "/"]
    here: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            here = here[:-1]
            continue
        candidate = root.joinpath(*here, part)
        if not candidate.is_symlink():
            here.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise Error("symbolic links form a loop", where=f"{root}: {path}")
        target = PurePosixPath(os.readlink(candidate))
        if target.is_absolute():
            here = []
        waiting += [part for part in reversed(target.parts) if part != "/"]
    return root.joinpath(*here)


def shared_libraries(
    programs: Iterable[Path], *, root: Path = Path("/"), without: frozenset[str] = frozenset()
) -> tuple[Library, ...]:
    """The loader and the libraries that programs and libraries need to run, each once, in a fixed order.

    `root` is where libraries are looked for; those named in `without` are not, nor what only they need. Raises Error
    for a library that is not found, and for two different ones of one name; FormatError for a file that is not ELF.
    """
    search = _Search(root, without)
    for program in programs:
        search.add(program, ())
    return search.libraries()


class _Search:
    """One search: what has been found, by the name in DT_NEEDED."""

    def __init__(self, root: Path, without: frozenset[str]) -> None:
        self._root = root
        self._without = without
        self._configured = tuple(_configured_directories(root, "/etc/ld.so.conf", set()))
        self._seen: set[Path] = set()
        self._found: dict[str, tuple[str, Path]] = {}
        self._loaders: dict[str, Path] = {}

    def libraries(self) -> tuple[Library, ...]:
        """What was found, with its place in the guest."""
        beside = next(
            (str(PurePosixPath(place).parent) for name, (place, _) in self._found.items() if name in _LIBC), "/lib"
        )
        loaders = {Path(path).name for path in self._loaders}
        files = [Library(path.lstrip("/"), source) for path, source in self._loaders.items()]
        files += [
            Library(f"{beside}/{name}".lstrip("/"), source)
            for name, (_, source) in self._found.items()
            if name not in loaders
        ]
        return tuple(sorted(files, key=lambda library: library.path))

    def add(self, path: Path, above: tuple[tuple[Path, ElfNeeds], ...]) -> None:
        """Find everything `path` needs; `above` are the objects that brought it in, nearest first."""
        real = Path(os.path.realpath(path))
        if real in self._seen:
            return
        self._seen.add(real)
        needs = read_needs(path)
        if needs.interpreter is not None:
            loader = resolve_below(self._root, needs.interpreter)
            if not loader.is_file():
                # Packages that are unpacked without the links of a merged /usr.
                loader = resolve_below(self._root, f"/usr{needs.interpreter}")
            if not loader.is_file():
                raise Error(f"the program needs the loader {needs.interpreter}, which does not exist", where=str(path))
            self._loaders[needs.interpreter] = loader
        chain = ((real, needs), *above)
        for name in needs.needed:
            if name in self._without:
                continue
            place, source = self._find(name, chain)
            key = PurePosixPath(name).name
            kept = self._found.setdefault(key, (place, source))
            if kept[1] != source and _read(kept[1]) != _read(source):
                raise Error(
                    f"two different libraries are named {key}", where=str(path), found=str(source), expected=kept[1]
                )
            self.add(source, chain)

    def _find(self, name: str, chain: tuple[tuple[Path, ElfNeeds], ...]) -> tuple[str, Path]:
        needing, needs = chain[0]
        places = [name] if "/" in name else [f"{place}/{name}" for place in self._places(chain)]
        for place in places:
            source = resolve_below(self._root, place)
            if source.is_file() and _fits(source, needs):
                return place, source
        raise Error(
            f"the object needs {name}, which is not found",
            where=str(needing),
            hint=f"looked in {', '.join(dict.fromkeys(self._places(chain)))} below {self._root}",
        )

    def _places(self, chain: tuple[tuple[Path, ElfNeeds], ...]) -> Iterator[str]:
        needs = chain[0][1]
        # ld.so(8): DT_RPATH is used "if present and DT_RUNPATH attribute does not exist".
        paths = [(chain[0][0], needs.runpath)] if needs.runpath else [(object_, each.rpath) for object_, each in chain]
        triplets = _TRIPLETS.get(needs.machine, ())
        lib = next((f"lib/{each}" for each in triplets if (self._root / "usr/lib" / each).is_dir()), "lib64")
        for object_, path in paths:
            try:
                origin = "/" + object_.parent.relative_to(os.path.realpath(self._root)).as_posix()
            except ValueError:
                origin = str(object_.parent)
            for place in path:
                for name, value in (("ORIGIN", origin), ("LIB", lib)):
                    place = place.replace(f"${{{name}}}", value).replace(f"${name}", value)
                if "$" not in place:
                    yield place
        system = [f"{place}/{each}" for each in triplets for place in ("/lib", "/usr/lib")]
        system += ["/lib64", "/usr/lib64"] if needs.elf_class == 64 else []
        yield from (*self._configured, *system, "/lib", "/usr/lib")


def _fits(path: Path, needs: ElfNeeds) -> bool:
    try:
        found = read_needs(path)
    except FormatError:
        return False
    return (found.machine, found.elf_class) == (needs.machine, needs.elf_class)


def _configured_directories(root: Path, path: str, seen: set[Path]) -> Iterator[str]:
    """The directories of an ld.so.conf file and the files it includes."""
    file = resolve_below(root, path)
    if file in seen or not file.is_file():
        return
    seen.add(file)
    for line in _read(file).decode(errors="surrogateescape").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("include") and text[7:8].isspace():
            pattern = PurePosixPath(path).parent / text[7:].strip()
            for included in sorted(root.glob(str(pattern).lstrip("/"))):
                yield from _configured_directories(root, "/" + included.relative_to(root).as_posix(), seen)
        elif text.startswith("/"):
            yield text.partition("=")[0].rstrip()
