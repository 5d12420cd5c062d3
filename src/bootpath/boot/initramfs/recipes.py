"""The kinds of initramfs: what each has beside busybox, and how several of them are combined.

``live``, ``disk``, ``shell`` and ``none`` stand alone. ``lvm``, ``verity``, ``ubi`` and ``ubifs``, which has ``ubi`` in
it, are parts of one without Python: any of them go together. The scripts in
`bootpath.boot.tinyinit` do what docs/reference/kernel-command-line.md says, with the programs of the distribution.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bootpath.boot.initramfs.compression import Compression
from bootpath.boot.initramfs.stub import Stub
from bootpath.boot.tinyinit import data_file
from bootpath.core.errors import Error

T = TypeVar("T")

_PRELUDE = """\
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
"""
_LOAD_MODULES = 'while read -r module; do insmod "$module"; done < /etc/bootpath/modules\n'
SHELL_INIT = f"{_PRELUDE}{_LOAD_MODULES}exec sh -i < /dev/console > /dev/console 2>&1\n".encode()


def python_init(module: str, *, load_modules: bool = True) -> bytes:
    """An ``/init`` that mounts proc, sysfs and devtmpfs, loads the modules, and becomes Python in ``module.main()``."""
    program = f"import sys; from {module} import main; sys.exit(main())"
    load = _LOAD_MODULES if load_modules else ""
    return f"{_PRELUDE}{load}exec /usr/bin/python3 -I -S -c '{program}' < /dev/console > /dev/console 2>&1\n".encode()


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a kind of initramfs has: `modules` must exist, `wanted_modules` are added where the kernel has them
    (`KernelModules.first_of`).

    `python_modules` are imported in the guest. `programs` are found in the root directory by name and bring their
    libraries, except those that `stubs` replace. `scripts` are files of `boot.tinyinit` and their paths in the guest.
    `init` is None where the caller, or `combine_recipes`, has to give one. `compression` is the default.
    """

    modules: tuple[str, ...] = ()
    wanted_modules: tuple[str, ...] = ()
    python_modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    stubs: tuple[Stub, ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()
    init: bytes | None = None
    compression: Compression = Compression.ZSTD

    def files(self) -> tuple[tuple[str, bytes], ...]:
        """The scripts: path in the guest and content."""
        return tuple((path, data_file(name)) for name, path in self.scripts)


def _parts(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{name}.sh", f"lib/bootpath/{name}.sh") for name in names)


_TINY = Recipe(
    modules=("virtio_pci", "virtio_blk"),
    # crc32c: what ext4, erofs and UBI ask the kernel for by a name that is no module's.
    wanted_modules=("ahci", "sd_mod", "nvme", "crc32c_generic", "ext4", "squashfs", "erofs"),
    scripts=_parts("console", "parameters", "devices", "root"),
    compression=Compression.XZ,  # 3869 KiB for all three in Debian 12; zstd leaves 4640
)

# As libsystemd's functions answer where there is no journal and no bus; it brings libgcrypt and three compressions.
_NO_SYSTEMD = Stub("libsystemd.so.0", -errno.EOPNOTSUPP)
# is_selinux_enabled(3): 0 where no policy is loaded, which is what the root's own init does; libpcre2 is behind it.
_NO_SELINUX = Stub("libselinux.so.1", 0)

RECIPES: dict[str, Recipe] = {
    "none": Recipe(),
    "shell": Recipe(init=SHELL_INIT),
    "live": Recipe(
        modules=("virtio_pci", "virtio_blk", "nbd"),
        wanted_modules=("ahci", "sd_mod", "fuse", "loop", "nd_e820", "nd_pmem"),
        python_modules=("bootpath.boot.guest",),
        init=python_init("bootpath.boot.guest", load_modules=False),  # it has disk drivers wait for their unit
    ),
    "disk": Recipe(
        modules=("virtio_pci", "virtio_blk"),
        wanted_modules=("ahci", "sd_mod", "fuse"),
        python_modules=("bootpath.boot.guest.fromdisk",),
        init=python_init("bootpath.boot.guest.fromdisk", load_modules=False),
    ),
    "lvm": Recipe(
        modules=("dm_mod",),
        programs=("lvm", "dmsetup"),  # dmsetup: for partitions in a volume
        stubs=(_NO_SELINUX, _NO_SYSTEMD),
        scripts=(*_parts("lvm"), ("lvm.conf", "etc/lvm/lvm.conf")),
    ),
    "verity": Recipe(
        modules=("dm_mod", "dm_verity"),
        wanted_modules=("sha256_ssse3|sha2_ce|sha256_arm64",),  # of x86, and of arm64 with its instructions and without
        programs=("dmsetup", "keyctl"),
        stubs=(_NO_SELINUX,),
        scripts=_parts("verity"),
    ),
    "ubi": Recipe(
        modules=("ubi",),
        wanted_modules=("block2mtd",),  # by which a disk is raw flash, as in a machine of QEMU
        programs=("ubiattach", "ubiblock"),
        scripts=_parts("ubi"),
    ),
    # Apart, since all the others with it have more than 4 MiB. It needs every compression that it was built with, and
    # asks the kernel for them by names that are no modules'.
    "ubifs": Recipe(wanted_modules=("lzo", "deflate", "zstd"), modules=("ubifs",)),
}
TINY = ("lvm", "verity", "ubi", "ubifs")
"""The parts that go together."""
_NEEDS = {"ubifs": "ubi"}


def combine_recipes(names: Sequence[str]) -> Recipe:
    """One recipe: one that stands alone, or some of `TINY`. Raises Error for others and for none."""
    unknown = [name for name in names if name not in RECIPES]
    if unknown or not names or (len(names) > 1 and any(name not in TINY for name in names)):
        raise Error(
            "these kinds do not make one initramfs",
            found=",".join(names) or "nothing",
            expected=f"one of {', '.join(name for name in RECIPES if name not in TINY)}, or any of {', '.join(TINY)}",
        )
    if names[0] not in TINY:
        return RECIPES[names[0]]
    wanted = {*names, *(_NEEDS[name] for name in names if name in _NEEDS)}
    parts = [_TINY, *(RECIPES[name] for name in TINY if name in wanted)]
    return replace(
        _TINY,
        modules=_union(part.modules for part in parts),
        wanted_modules=_union(part.wanted_modules for part in parts),
        programs=_union(part.programs for part in parts),
        stubs=_union(part.stubs for part in parts),
        scripts=_union(part.scripts for part in parts),
        init=data_file("init.sh"),
    )


def _union(lists: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(one for listed in lists for one in listed))
