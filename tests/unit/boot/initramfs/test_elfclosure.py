from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bootpath.boot.initramfs.elfclosure import read_needs, resolve_below, shared_libraries, without_sections
from bootpath.boot.initramfs.pythonclosure import python_closure
from bootpath.core.errors import Error, FormatError
from tests.fuzz.mutation import mutations
from tests.support.elf import make_shared
from tests.support.tools import tool
from tests.support.tree import ROOT

LOADER = "/lib64/ld-test.so.2"
SOURCES = ROOT / "src"


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def closure(root: Path, program: str = "bin/program") -> dict[str, str]:
    found = shared_libraries([root / program], root=root)
    return {library.path: library.source.relative_to(root).as_posix() for library in found}


def system(root: Path, files: dict[str, bytes]) -> Path:
    base = {"lib64/ld-test.so.2": make_shared(), "lib64/libc.so.6": make_shared(["ld-test.so.2"])}
    return tree(root, base | files)


def test_libraries_of_libraries_lie_beside_libc(tmp_path: Path) -> None:
    files = {
        "bin/program": make_shared(["libone.so", "libc.so.6"], interpreter=LOADER),
        "usr/lib/libone.so": make_shared(["libtwo.so"]),
        "opt/two/libtwo.so": make_shared(["libone.so", "libc.so.6"]),
        "etc/ld.so.conf": b"# comment\ninclude ld.so.conf.d/*.conf\n",
        "etc/ld.so.conf.d/two.conf": b"/opt/two # here\n",
    }
    assert closure(system(tmp_path, files)) == {
        "lib64/ld-test.so.2": "lib64/ld-test.so.2",
        "lib64/libc.so.6": "lib64/libc.so.6",
        "lib64/libone.so": "usr/lib/libone.so",
        "lib64/libtwo.so": "opt/two/libtwo.so",
    }


def test_static_program_needs_nothing(tmp_path: Path) -> None:
    assert closure(tree(tmp_path, {"bin/program": make_shared()})) == {}


@pytest.mark.parametrize(
    "path", ["/opt/lib", "$ORIGIN/../opt/lib", "${ORIGIN}/../opt/lib:/nowhere", "/$PLATFORM:/opt/lib"]
)
@pytest.mark.parametrize("kind", ["runpath", "rpath"])
def test_paths_in_the_object_come_first(tmp_path: Path, path: str, kind: str) -> None:
    files = {
        "bin/program": make_shared(["libone.so"], interpreter=LOADER, **{kind: path}),  # type: ignore[arg-type]
        "opt/lib/libone.so": make_shared(),
        "lib64/libone.so": make_shared(),
    }
    assert closure(system(tmp_path, files))["lib/libone.so"] == "opt/lib/libone.so"


def test_rpath_is_inherited_and_runpath_is_not(tmp_path: Path) -> None:
    files = {"opt/libone.so": make_shared(["libtwo.so"]), "opt/libtwo.so": make_shared()}
    program = {"bin/program": make_shared(["libone.so"], interpreter=LOADER, rpath="/opt")}
    assert "lib/libtwo.so" in closure(system(tmp_path / "rpath", files | program))
    program = {"bin/program": make_shared(["libone.so"], interpreter=LOADER, runpath="/opt")}
    with pytest.raises(
        Error, match=r"opt/libone\.so: the object needs libtwo\.so, which is not found; looked in /lib/x86_64"
    ):
        closure(system(tmp_path / "runpath", files | program))


def test_library_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    files = {
        "bin/program": make_shared(["libone.so"], interpreter=LOADER),
        "lib64/libone.so": make_shared(machine=183),
        "usr/lib/libone.so": make_shared(),
    }
    assert closure(system(tmp_path, files))["lib/libone.so"] == "usr/lib/libone.so"


def test_two_libraries_of_one_name(tmp_path: Path) -> None:
    one = make_shared(["libtwo.so"], runpath="/opt")
    program = make_shared(["libtwo.so", "libone.so"], interpreter=LOADER)
    files = {"bin/program": program, "lib64/libone.so": one, "lib64/libtwo.so": make_shared()}
    same = system(tmp_path / "same", files | {"opt/libtwo.so": make_shared()})
    assert closure(same)["lib/libtwo.so"] == "lib64/libtwo.so"
    other = system(tmp_path / "other", files | {"opt/libtwo.so": make_shared(tail=b"x")})
    with pytest.raises(Error, match=r"two different libraries are named libtwo\.so"):
        closure(other)


def test_missing_loader(tmp_path: Path) -> None:
    tree(tmp_path, {"bin/program": make_shared(interpreter=LOADER)})
    with pytest.raises(Error, match=r"needs the loader /lib64/ld-test\.so\.2, which does not exist"):
        closure(tmp_path)


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"usr/lib/file": b""})
    (root / "lib").symlink_to("/usr/lib")
    (root / "up").symlink_to("../../../usr")
    (root / "loop").symlink_to("loop")
    assert resolve_below(root, "/lib/file") == root / "usr/lib/file"
    assert resolve_below(root, "up/lib/../lib/file") == root / "usr/lib/file"
    assert resolve_below(root, "../../etc/passwd") == root / "etc/passwd"
    with pytest.raises(Error, match="loop"):
        resolve_below(root, "/loop/x")


def test_damaged_elf_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    sample = make_shared(["libone.so", "libtwo.so"], runpath="/opt", interpreter=LOADER)
    for data in mutations([sample], seed=5, count=1500):
        path.write_bytes(data)
        for read in (lambda: read_needs(path), lambda data=data: without_sections(data)):
            try:
                read()
            except FormatError as fault:
                str(fault).encode()


def test_what_is_loaded_stays_when_the_rest_is_cut() -> None:
    whole = make_shared(["libone.so"], tail=b"debug information" * 100)
    cut = without_sections(whole)
    assert cut == make_shared(["libone.so"])
    assert without_sections(b"#!/bin/sh\n") == b"#!/bin/sh\n"


def test_a_cut_program_still_runs(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(without_sections(Path(tool("ls")).read_bytes()))
    program.chmod(0o755)
    assert subprocess.run([program, "-d", "/"], capture_output=True, text=True, check=True).stdout == "/\n"


def test_the_system_agrees() -> None:
    """The loader itself lists the same libraries."""
    program = Path(tool("openssl"))
    listed = subprocess.run([tool("ldd"), program], capture_output=True, text=True, check=True).stdout
    names = {Path(word).name for line in listed.splitlines() for word in line.split()[:1] if "vdso" not in word}
    assert {Path(library.path).name for library in shared_libraries([program])} == names


def guest_python(tmp_path: Path, interpreter: Path, modules: list[str]) -> tuple[Path, Path]:
    """The closure as files, and the interpreter among them."""
    closure = python_closure(interpreter, modules, search_path=[SOURCES, tmp_path / "more"])
    root = tmp_path / "root"
    tree(root, {file.path: without_sections(file.data) for file in closure.files})
    tree(root, {"usr/bin/python3": without_sections(closure.binary.read_bytes())})
    tree(root, {library.path: without_sections(library.source.read_bytes()) for library in closure.libraries})
    for path in ("usr/bin/python3", *(library.path for library in closure.libraries)):
        (root / path).chmod(0o755)
    return root, root / "usr/bin/python3"


def interpreters() -> list[Path]:
    debian = Path("/usr/bin/python3")
    return [Path(sys.executable), *([debian] if debian.exists() else [])]


@pytest.mark.parametrize("interpreter", interpreters(), ids=str)
def test_python_imports_what_it_was_made_for_and_no_more(tmp_path: Path, interpreter: Path) -> None:
    tree(tmp_path / "more", {"pack/__init__.py": b"", "pack/part.py": b"import bootpath.core\nVALUE = 7\n"})
    root, python = guest_python(tmp_path, interpreter, ["pack.part", "json"])
    libraries = next(root.rglob("libc.so.6")).parent
    program = (
        "import json, pack.part, bootpath, sys\n"
        "print(json.dumps([pack.part.VALUE, bootpath.__version__, sys.prefix, pack.part.__file__]))\n"
        "import email"
    )
    run = subprocess.run(
        [next(root.rglob("ld-*")), "--library-path", libraries, "--argv0", python, python, "-I", "-S", "-c", program],
        capture_output=True, text=True, env={},
    )  # fmt: skip
    value, _, _, file = json.loads(run.stdout)
    assert value == 7
    assert file.startswith(str(root))
    assert "No module named 'email'" in run.stderr
    assert not list(root.rglob("_native*"))
    assert not list(root.rglob("*.py"))


def test_python_is_reproducible_and_names_no_place_of_this_machine(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two/deeper"):
        place = tree(
            tmp_path / name, {"pack.py": b"SET = {'a', 'b', 'c', 'd'}\ndef f(x): return x in {'p', 'q', 'r'}\n"}
        )
        made.append(python_closure(Path(sys.executable), ["pack"], search_path=[place]))
    assert made[0] == made[1]
    (pack,) = (file for file in made[0].files if file.module == "pack")
    assert str(tmp_path).encode() not in pack.data


def test_python_that_cannot_import() -> None:
    with pytest.raises(Error, match="found ModuleNotFoundError: No module named 'no_such_module'"):
        python_closure(Path(sys.executable), ["no_such_module"])
    with pytest.raises(Error, match="does not run: No such file"):
        python_closure(Path("/no/such/python"), [])


def test_packages_unpacked_without_the_links_of_a_merged_usr(tmp_path: Path) -> None:
    """Of another machine: its directories have another name."""
    loader, libc = tmp_path / "usr/lib/ld-linux-armhf.so.3", tmp_path / "usr/lib/arm-linux-gnueabihf/libc.so.6"
    libc.parent.mkdir(parents=True)
    loader.write_bytes(make_shared(machine=40))
    libc.write_bytes(make_shared(machine=40))
    program = tmp_path / "program"
    program.write_bytes(make_shared(["libc.so.6"], interpreter="/lib/ld-linux-armhf.so.3", machine=40))
    found = {library.path: library.source for library in shared_libraries([program], root=tmp_path)}
    assert found == {"lib/ld-linux-armhf.so.3": loader, "usr/lib/arm-linux-gnueabihf/libc.so.6": libc}
