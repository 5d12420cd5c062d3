from __future__ import annotations

import gzip
import json
import lzma
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

from bootpath.boot.initramfs.build import (
    RECIPES,
    SHELL_INIT,
    Added,
    InitramfsSpec,
    Part,
    PythonGuest,
    build_initramfs,
    plan_initramfs,
)
from bootpath.boot.initramfs.compression import Compression, compress
from bootpath.boot.initramfs.elfclosure import read_needs, shared_libraries
from bootpath.boot.initramfs.recipes import TINY
from bootpath.boot.initramfs.stub import Stub
from bootpath.cli.build.initramfs import COMPRESSIONS, KINDS, TOGETHER
from bootpath.cli.main import main
from bootpath.core.errors import Error, FormatError
from bootpath.formats.cpio import parse_cpio
from tests.support.elf import make_module, make_shared
from tests.support.tree import schema

RELEASE = "6.1.0-test"
SCHEMA = schema("initramfs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A guest's root: busybox and three modules, of which nbd needs the others."""
    files = {
        "bin/busybox": make_shared(),
        f"boot/config-{RELEASE}": b"CONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n# CONFIG_RD_XZ is not set\n",
        f"lib/modules/{RELEASE}/kernel/nbd.ko": make_module(depends="one"),
        f"lib/modules/{RELEASE}/kernel/one.ko": make_module(depends="two"),
        f"lib/modules/{RELEASE}/kernel/two.ko": make_module(),
        f"lib/modules/{RELEASE}/modules.builtin": b"kernel/ext4.ko\n",
    }
    for path, content in files.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_bytes(content)
    return tmp_path / "root"


def spec(root: Path, **changes: object) -> InitramfsSpec:
    values = {"init": SHELL_INIT, "modules": ("nbd",), "compression": Compression.NONE} | changes
    return InitramfsSpec(root, **values)  # type: ignore[arg-type]


def test_content(root: Path, tmp_path: Path) -> None:
    built = build_initramfs(spec(root, modules=("nbd", "ext4"), wanted_modules=("two", "gone")), tmp_path / "out")
    entries = {entry.path: entry for entry in parse_cpio((tmp_path / "out").read_bytes())}
    base = f"lib/modules/{RELEASE}"
    assert built.plan.modules == ("two", "one", "nbd")
    assert built.plan.absent == ("gone",)
    assert entries["init"].data == SHELL_INIT
    assert entries["init"].mode == 0o100755
    assert entries["bin/sh"].data == b"busybox"
    assert (entries["dev/console"].major, entries["dev/console"].minor) == (5, 1)
    assert entries["tmp"].mode == 0o041777
    assert entries[f"{base}/kernel/nbd.ko"].data == make_module(depends="one")
    listed = entries["etc/bootpath/modules"].data.decode().splitlines()
    assert listed == [f"/{base}/kernel/{name}.ko" for name in ("two", "one", "nbd")]
    assert entries[f"{base}/modules.dep"].data.decode().splitlines() == [
        "kernel/nbd.ko: kernel/one.ko kernel/two.ko",
        "kernel/one.ko: kernel/two.ko",
        "kernel/two.ko:",
    ]
    assert {(entry.uid, entry.gid, entry.mtime_seconds) for entry in entries.values()} == {(0, 0, 0)}
    assert built.archive_bytes == built.size_bytes == (tmp_path / "out").stat().st_size


def test_sizes_are_those_of_the_parts(root: Path) -> None:
    plan = plan_initramfs(spec(root))
    sizes = plan.sizes()
    assert sizes[Part.BUSYBOX][1] > len(make_shared())
    assert sum(count for count, _ in sizes.values()) == len(plan.items)
    assert Part.PYTHON not in sizes


def test_same_inputs_same_bytes_in_any_place(root: Path, tmp_path: Path) -> None:
    twin = tmp_path / "elsewhere/and/deeper"
    shutil.copytree(root, twin)
    for path in twin.rglob("*"):
        path.touch()
    python = PythonGuest(("bootpath.core", "json"))
    built = [
        build_initramfs(spec(place, python=python, mtime_seconds=9), tmp_path / f"{number}.img")
        for number, place in enumerate((root, twin))
    ]
    assert built[0].path.read_bytes() == built[1].path.read_bytes()
    assert built[0].plan.python_version is not None
    paths = {item.entry.path: item.part for item in built[0].plan.items}
    assert paths["usr/bin/python3"] is Part.PYTHON
    assert Part.BOOTPATH in paths.values()
    assert str(tmp_path).encode() not in built[0].plan.archive()


def test_compressions_can_be_undone() -> None:
    data = b"some data" * 1000
    zstandard = pytest.importorskip("zstandard")
    assert gzip.decompress(compress(data, Compression.GZIP)) == data
    assert lzma.decompress(compress(data, Compression.XZ)) == data
    assert zstandard.ZstdDecompressor().decompress(compress(data, Compression.ZSTD)) == data
    assert compress(data, Compression.NONE) == data
    for compression in Compression:
        assert compress(data, compression) == compress(data, compression)


def test_kernel_that_cannot_unpack_it(root: Path) -> None:
    with pytest.raises(Error, match="the kernel cannot unpack xz; expected CONFIG_RD_XZ=y"):
        plan_initramfs(spec(root, compression=Compression.XZ))
    plan_initramfs(spec(root, compression=Compression.ZSTD))


def test_release(root: Path) -> None:
    (root / "lib/modules/6.2.0").mkdir()
    with pytest.raises(Error, match=r"6\.1\.0-test, 6\.2\.0; name one"):
        plan_initramfs(spec(root))
    assert plan_initramfs(spec(root, release=RELEASE)).release == RELEASE
    with pytest.raises(Error, match="no such directory of kernel modules"):
        plan_initramfs(spec(root, release="6.3.0"))


def test_modules_below_usr(root: Path) -> None:
    (root / "usr").mkdir()
    (root / "lib").rename(root / "usr/lib")
    assert plan_initramfs(spec(root)).modules == ("two", "one", "nbd")


def test_busybox_must_be_static(root: Path, tmp_path: Path) -> None:
    (root / "bin/busybox").write_bytes(make_shared(interpreter="/lib/ld.so"))
    (root / "lib/ld.so").write_bytes(make_shared())
    with pytest.raises(Error, match="busybox is not static"):
        plan_initramfs(spec(root))
    (root / "bin/busybox").unlink()
    with pytest.raises(Error, match="has no busybox"):
        plan_initramfs(spec(root))


def test_added_files_directories_and_conflicts(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/run").write_text("#!/bin/sh\n")
    (tree / "sub/run").chmod(0o700)
    (tree / "link").symlink_to("sub/run")
    plan = plan_initramfs(spec(root, added=(Added(tree, "/opt/tree"), Added(tree / "link", "/run.sh"))))
    added = {item.entry.path: item.entry for item in plan.items if item.part is Part.ADDED}
    assert set(added) == {"opt/tree", "opt/tree/sub", "opt/tree/sub/run", "opt/tree/link", "run.sh"}
    assert added["opt/tree/sub/run"].mode == 0o100755
    assert added["opt/tree/link"].kind == "symlink"
    assert added["run.sh"].data == b"#!/bin/sh\n"
    with pytest.raises(FormatError, match="two different entries have this name"):
        plan_initramfs(spec(root, added=(Added(tree / "sub/run", "/init"),)))
    with pytest.raises(Error, match="no such file or directory to add"):
        plan_initramfs(spec(root, added=(Added(tree / "gone", "/gone"),)))


def test_added_programs_bring_their_libraries(root: Path) -> None:
    plan = plan_initramfs(spec(root, added=(Added(Path("/bin/ls"), "/bin/real-ls"),)))
    assert any(item.part is Part.LIBRARIES and "libc.so" in item.entry.path for item in plan.items)


def test_programs_bring_their_libraries_from_the_root(root: Path) -> None:
    files = {
        "sbin/tool": make_shared(interpreter="/lib/ld.so", needed=("libc.so.6",)),
        "lib/ld.so": make_shared(),
        "lib/libc.so.6": make_shared(),
        "bin/busybox": make_shared(interpreter="/lib/ld.so", needed=("libc.so.6",)),
    }
    for path, content in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(content)
    plan = plan_initramfs(
        spec(
            root,
            programs=("tool",),
            stubs=(Stub("libgone.so.1", 0),),
            files=(("lib/bootpath/part.sh", b"part"),),
        )
    )
    parts = {item.entry.path: item.part for item in plan.items}
    assert parts["sbin/tool"] is Part.PROGRAMS
    assert parts["lib/libc.so.6"] is parts["lib/ld.so"] is Part.LIBRARIES
    assert parts["lib/bootpath/part.sh"] is Part.CONFIG
    assert plan.stubs == ()  # nothing needs it
    with pytest.raises(Error, match="has no program other"):
        plan_initramfs(spec(root, programs=("other",)))


def test_a_stub_replaces_a_library(root: Path) -> None:
    """A program of this machine that is linked with libselinux, in a root that has no such library."""
    program = Path("/bin/ls").resolve()
    if "libselinux.so.1" not in read_needs(program).needed:
        pytest.skip("this ls needs no libselinux")
    (root / "sbin").mkdir()
    shutil.copy(program, root / "sbin/ls")
    for library in shared_libraries([program], without=frozenset({"libselinux.so.1"})):
        (root / library.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library.source, root / library.path)
    wanted = {"programs": ("ls",), "stubs": (Stub("libselinux.so.1", 0),)}
    plan = plan_initramfs(spec(root, **wanted))
    assert plan.stubs == ("libselinux.so.1",)
    sizes = {Path(item.entry.path).name: len(item.entry.data) for item in plan.items}
    assert 0 < sizes["libselinux.so.1"] < 4096
    assert "libpcre2-8.so.0" not in sizes
    assert plan.archive() == plan_initramfs(spec(root, **wanted)).archive()


def test_a_failed_build_leaves_the_old_file(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("old")
    with pytest.raises(Error, match="neither built in nor present"):
        build_initramfs(spec(root, modules=("gone",)), output)
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_the_parser_knows_all_kinds() -> None:
    assert set(KINDS) == set(RECIPES)
    assert TOGETHER == TINY
    assert set(COMPRESSIONS) == {compression.value for compression in Compression}


def run(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> tuple[int, str, str]:
    code = main(["build", "initramfs", "--sysroot", str(root), *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("listed", [False, True])
def test_json(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], listed: bool) -> None:
    arguments = ["--with", "shell", "--kernel-modules", "nbd,ext4", "--json", "-o", str(tmp_path / "out")]
    code, out, _ = run(capsys, root, *arguments, *["--list"] * listed)
    value = json.loads(out)
    jsonschema.validate(value, SCHEMA)
    assert code == 0
    assert value["modules"] == ["two", "one", "nbd"]
    assert value["size_bytes"] == (tmp_path / "out").stat().st_size
    assert ("entries" in value) is listed


def test_list_without_output(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    (tmp_path / "init.sh").write_text("#!/bin/sh\n")
    code, out, _ = run(capsys, root, "--with", "none", "--init", str(tmp_path / "init.sh"), "--list")
    assert code == 0
    assert "busybox        /bin/sh -> busybox" in out
    assert "not written" in out
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    assert run(capsys, root, "--with", "shell", "--list")[0] == 1


def test_usage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "bootpath build initramfs"
    assert run(capsys, root, "--with", "none", "--list")[0::2] == (2, f"{command}: --with none needs --init\n")
    assert run(capsys, root, "--with", "shell")[0::2] == (2, f"{command}: give -o, or --list\n")
    for add in ("nothing", "file:relative", ":/x"):
        with pytest.raises(SystemExit, match="2"):
            run(capsys, root, "--add", add)
    for kinds in ("", "lvn", "live,lvm"):
        with pytest.raises(SystemExit, match="2"):
            run(capsys, root, "--with", kinds)


def test_missing_extra(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("bootpath.boot.") or name == "elftools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "elftools.common.exceptions", None)
    code, _, err = run(capsys, root, "--with", "shell", "--list")
    assert code == 1
    assert "is not installed; pip install 'bootpath[initramfs]'" in err
