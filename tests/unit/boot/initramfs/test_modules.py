from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from bootpath.boot.initramfs.modules import KernelModules, module_name
from bootpath.core.errors import Error, FormatError
from tests.support.elf import make_module


def modules_directory(tmp_path: Path, files: dict[str, bytes], **lists: str) -> KernelModules:
    directory = tmp_path / "6.1.0-test"
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    for name, text in lists.items():
        (directory / f"modules.{name}").write_text(text)
    return KernelModules(directory)


def loaded(modules: KernelModules, *names: str) -> list[str]:
    return [module.name for module in modules.load_order(names)]


NEEDS = {
    "kernel/a.ko": make_module(depends="b-x,c"),
    "kernel/b-x.ko": make_module(depends="d"),
    "kernel/sub/c.ko": make_module(depends="d"),
    "kernel/d.ko": make_module(),
}


def test_dependencies_come_first_and_once(tmp_path: Path) -> None:
    modules = modules_directory(tmp_path, NEEDS)
    assert modules.release == "6.1.0-test"
    assert loaded(modules, "a", "d", "a") == ["d", "b_x", "c", "a"]
    assert [module.path for module in modules.load_order(["c"])] == ["kernel/d.ko", "kernel/sub/c.ko"]


@pytest.mark.parametrize("text", ["b-x", "b_x", "kernel/b-x.ko", "b-x.ko.xz"])
def test_names(tmp_path: Path, text: str) -> None:
    assert module_name(text) == "b_x"
    assert modules_directory(tmp_path, NEEDS).has(text)


def test_files_are_those_depmod_listed(tmp_path: Path) -> None:
    modules = modules_directory(tmp_path, NEEDS, dep="kernel/d.ko:\nkernel/sub/c.ko: kernel/d.ko\n")
    assert loaded(modules, "c") == ["d", "c"]
    assert not modules.has("a")


def test_updates_win(tmp_path: Path) -> None:
    files = {"updates/d.ko": make_module(depends="c"), "kernel/d.ko": make_module(), "kernel/z/c.ko": make_module()}
    assert loaded(modules_directory(tmp_path, files), "d") == ["c", "d"]


def test_built_in_needs_no_file(tmp_path: Path) -> None:
    files = {"kernel/a.ko": make_module(depends="vfat,core")}
    modules = modules_directory(tmp_path, files, builtin="kernel/fs/vfat.ko\nkernel/core.ko\n")
    assert modules.is_builtin("vfat")
    assert loaded(modules, "a", "vfat") == ["a"]


def test_soft_dependencies_only_where_they_exist(tmp_path: Path) -> None:
    files = {
        "kernel/a.ko": make_module(softdep="pre: b gone post: c a"),
        "kernel/b.ko": make_module(),
        "kernel/c.ko": make_module(),
    }
    assert loaded(modules_directory(tmp_path, files), "a") == ["b", "a", "c"]


def test_missing_module(tmp_path: Path) -> None:
    modules = modules_directory(tmp_path, {"kernel/a.ko": make_module(depends="gone")})
    with pytest.raises(Error, match="module gone, which a needs, is neither built in nor present"):
        modules.load_order(["a"])
    with pytest.raises(Error, match="module gone is neither built in nor present"):
        modules.load_order(["gone"])


def test_circle(tmp_path: Path) -> None:
    files = {"kernel/a.ko": make_module(depends="b"), "kernel/b.ko": make_module(depends="a")}
    with pytest.raises(Error, match="need each other in a loop; found a -> b -> a"):
        modules_directory(tmp_path, files).load_order(["a"])


def _zstd(data: bytes) -> bytes:
    return pytest.importorskip("zstandard").ZstdCompressor().compress(data)  # type: ignore[no-any-return]


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "xz": lzma.compress, "zst": _zstd}


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_compressed_modules_become_plain(tmp_path: Path, suffix: str) -> None:
    plain = make_module(depends="")
    (module,) = modules_directory(tmp_path, {f"kernel/a.ko.{suffix}": COMPRESSORS[suffix](plain)}).load_order(["a"])
    assert (module.path, module.data) == ("kernel/a.ko", plain)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_damaged_compression(tmp_path: Path, suffix: str) -> None:
    for content in (COMPRESSORS[suffix](make_module())[:-12], b"no such thing"):
        with pytest.raises(FormatError, match=rf"a\.ko\.{suffix}: .*cannot be decompressed"):
            modules_directory(tmp_path, {f"kernel/a.ko.{suffix}": content}).load_order(["a"])


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"text", make_module()[:70]])
def test_what_is_no_module(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"kernel/a\.ko: module: "):
        modules_directory(tmp_path, {"kernel/a.ko": content}).load_order(["a"])


def test_no_such_release(tmp_path: Path) -> None:
    with pytest.raises(Error, match="no such directory of kernel modules"):
        KernelModules(tmp_path / "6.0")


def test_the_first_of_several(tmp_path: Path) -> None:
    modules = modules_directory(tmp_path, NEEDS, builtin="kernel/built-in.ko\n")
    assert modules.first_of("z|b-x|a") == "b-x"
    assert modules.first_of("z|built_in") == "built_in"
    assert modules.first_of("z") is None
