from __future__ import annotations

import subprocess

import pytest

from bootpath.boot.initramfs.compression import Compression
from bootpath.boot.initramfs.recipes import RECIPES, TINY, combine_recipes
from bootpath.core.errors import Error
from tests.support.tools import guest_program


def test_one_that_stands_alone_is_itself() -> None:
    assert combine_recipes(["shell"]) is RECIPES["shell"]


def test_parts_go_together_in_any_order() -> None:
    together = combine_recipes(["ubifs", "lvm", "verity"])
    assert together == combine_recipes(TINY)
    assert together.programs == ("lvm", "dmsetup", "keyctl", "ubiattach", "ubiblock")
    assert {"virtio_blk", "dm_verity", "ubi"} <= set(together.modules)
    assert together.modules.count("dm_mod") == 1
    assert together.compression is Compression.XZ
    assert [library.soname for library in together.stubs] == ["libselinux.so.1", "libsystemd.so.0"]


def test_ubifs_has_ubi_in_it_and_ubi_what_makes_flash_of_a_disk() -> None:
    flash, file_system = combine_recipes(["ubi"]), combine_recipes(["ubifs"])
    assert "block2mtd" in flash.wanted_modules
    assert "ubifs" not in (*flash.modules, *flash.wanted_modules)
    assert file_system == combine_recipes(["ubi", "ubifs"])
    assert (file_system.programs, file_system.scripts) == (flash.programs, flash.scripts)
    assert set(file_system.modules) - set(flash.modules) == {"ubifs"}
    assert "zstd" in file_system.wanted_modules, "it needs what it was built with"


def test_what_is_left_out_leaves_no_script() -> None:
    paths = {path for path, _ in combine_recipes(["verity"]).files()}
    assert "lib/bootpath/verity.sh" in paths
    assert not paths & {"lib/bootpath/lvm.sh", "lib/bootpath/ubi.sh", "etc/lvm/lvm.conf"}


@pytest.mark.parametrize("names", [[], ["live", "lvm"], ["lvm", "lvn"], ["shell", "none"]])
def test_what_does_not_go_together(names: list[str]) -> None:
    with pytest.raises(Error, match="do not make one initramfs"):
        combine_recipes(names)


def test_busybox_reads_every_script() -> None:
    recipe = combine_recipes(TINY)
    scripts = [content for path, content in recipe.files() if path.endswith(".sh")]
    assert recipe.init is not None
    assert len(scripts) == 7
    for content in (recipe.init, *scripts):
        subprocess.run([guest_program("busybox"), "sh", "-n"], input=content, check=True)
