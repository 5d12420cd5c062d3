"""The part of Python that a few modules need: the interpreter, their own files, those of all they import, libraries.

Two runs of the interpreter that the guest will have (it may be another than ours), both with ``-S -s -P`` and an empty
environment, as in the guest:

1. the snapshot imports the modules and lists ``sys.modules``. What a function imports only when it runs is not seen:
   such modules must be named as well;
2. the compiler turns sources into unchecked hash-based ``.pyc`` (PEP 552). It imports nothing else and hashes strings
   with a fixed seed, and the code's file names are those of the guest, so the same sources give the same bytes.

In the guest the interpreter is ``/usr/bin/python3`` and all modules lie below ``/usr/lib/pythonX.Y``, extension modules
in ``lib-dynload``: the layout that Python finds from its own path (Modules/getpath.py), so that ``python3 -I -S`` needs
no environment. Sources are left out: a ``.pyc`` in a source's place is imported without looking for it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bootpath.block.leaves.wholefile import read_whole
from bootpath.boot.initramfs.elfclosure import Library, shared_libraries
from bootpath.core.errors import Error

PYTHON_PATH = "usr/bin/python3"
ALWAYS = ("encodings.ascii", "encodings.latin_1", "encodings.utf_8", "os")
"""Codecs that are looked up by name when first used; `os`, by whose file Python knows its library."""

_SNAPSHOT = """\
import importlib, json, os, sys
names, path = json.loads(sys.argv[1])
sys.path[:] = [entry for entry in sys.path if entry] + path
for name in names:
    importlib.import_module(name)
found = {"os": [os.__file__, False]}
for name, module in list(sys.modules.items()):
    spec = getattr(module, "__spec__", None)
    if name != "__main__" and spec is not None and spec.has_location:
        found[spec.name] = [spec.origin, spec.submodule_search_locations is not None]
json.dump({"version": list(sys.version_info[:2]), "binary": sys.executable, "modules": found}, sys.stdout)
"""

_COMPILE = """\
import sys, marshal, _imp
from importlib._bootstrap_external import MAGIC_NUMBER
words = sys.stdin.buffer.read().decode().split("\\0")
for source, guest in zip(words[::2], words[1::2]):
    with open(source, "rb") as file:
        data = file.read()
    content = marshal.dumps(compile(data, guest, "exec", dont_inherit=True, optimize=0))
    source_hash = _imp.source_hash(int.from_bytes(MAGIC_NUMBER, "little"), data)
    head = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash
    sys.stdout.buffer.write((len(head) + len(content)).to_bytes(8, "little") + head + content)
"""


@dataclass(frozen=True, slots=True)
class PythonFile:
    """A file of a module: its place in the guest (relative), its content, and the module it is."""

    path: str
    data: bytes
    module: str


@dataclass(frozen=True, slots=True)
class PythonClosure:
    """Everything that the modules need. `binary` goes to PYTHON_PATH; `version` is like "3.11"."""

    version: str
    binary: Path
    files: tuple[PythonFile, ...]
    libraries: tuple[Library, ...]


def python_closure(interpreter: Path, modules: Iterable[str], *, search_path: Sequence[Path] = ()) -> PythonClosure:
    """What `modules` need to be imported by `interpreter` in the guest.

    `search_path` are directories beside the standard library where modules are looked for (site-packages is not).
    Raises Error when the interpreter does not run or cannot import one of them, or a library is missing; OSError.
    """
    names = [*ALWAYS, *modules]
    request = json.dumps([names, [os.path.realpath(path) for path in search_path]])
    snapshot = json.loads(_run(interpreter, _SNAPSHOT, request))
    version = ".".join(map(str, snapshot["version"]))
    library = f"usr/lib/python{version}"
    copied: dict[str, tuple[str, Path]] = {}
    compiled: dict[str, tuple[str, Path]] = {}
    for name, (origin, is_package) in sorted(snapshot["modules"].items()):
        source = Path(origin)
        place = name.replace(".", "/")
        match source.suffix:
            case ".so":
                parent = place.rpartition("/")[0] if "." in name else "lib-dynload"
                copied[name] = (f"{library}/{parent}/{source.name}", source)
            case ".py":
                compiled[name] = (f"{library}/{place}{'/__init__' if is_package else ''}.pyc", source)
            case ".pyc":
                copied[name] = (f"{library}/{place}{'/__init__' if is_package else ''}.pyc", source)
            case _:
                raise Error(f"the module {name} is not a file that can be added", where=str(source))
    files = [PythonFile(path, read_whole(source, "program_bytes"), name) for name, (path, source) in copied.items()]
    files += _compile(interpreter, compiled)
    binary = Path(os.path.realpath(snapshot["binary"]))
    extensions = [source for _, source in copied.values() if source.suffix == ".so"]
    return PythonClosure(
        version=version,
        binary=binary,
        files=tuple(sorted(files, key=lambda file: file.path)),
        libraries=shared_libraries([binary, *extensions]),
    )


def _compile(interpreter: Path, sources: Mapping[str, tuple[str, Path]]) -> list[PythonFile]:
    words = (word for path, source in sources.values() for word in (str(source), f"/{path.removesuffix('c')}"))
    output = _run(interpreter, _COMPILE, stdin="\0".join(words).encode())
    files = []
    position = 0
    for name, (path, _) in sources.items():
        start = position + 8
        position = start + int.from_bytes(output[position:start], "little")
        files.append(PythonFile(path, output[start:position], name))
    return files


def _run(interpreter: Path, program: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """What the program prints, run as in the guest: no site-packages, no environment but a fixed seed for hashes."""
    command = [str(interpreter), "-S", "-s", "-P", "-B", "-c", program, *arguments]
    try:
        result = subprocess.run(command, input=stdin, capture_output=True, check=False, env={"PYTHONHASHSEED": "0"})
    except OSError as fault:
        raise Error(f"the interpreter does not run: {fault.strerror}", where=str(interpreter)) from fault
    if result.returncode:
        lines = result.stderr.decode(errors="replace").splitlines() or [f"exit code {result.returncode}"]
        raise Error("the guest's Python cannot import what it should", where=str(interpreter), found=lines[-1])
    return result.stdout
