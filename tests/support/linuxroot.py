"""A Linux small enough to boot under the translator: busybox, a login on the serial port, and a file far behind."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import bootpath
from bootpath.boot.initramfs.build import RECIPES, InitramfsSpec, PythonGuest, build_initramfs
from bootpath.boot.initramfs.compression import Compression
from bootpath.image.redox.build import LiveImage, build_live
from tests.support.tools import guest_files, guest_kernel, guest_program

MIB = 1 << 20
FS_UUID = UUID("6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c004")
CREATED_NS = 1_700_000_000 * 10**9
FAR_BYTES = 16 * MIB  # hashing more takes the translator longer than booting
FAR_FILE = "/usr/share/far"
INITTAB = """\
::sysinit:/etc/init.d/rcS
ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100
::ctrlaltdel:/sbin/reboot
"""
FILES = {
    "etc/inittab": INITTAB,
    "etc/init.d/rcS": "#!/bin/sh\nhostname live\nmount -t tmpfs tmpfs /tmp\n",
    "etc/passwd": "root::0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\ntty:x:5:\n",
    "etc/profile": "PS1='live# '\n",
    "etc/issue": "bootpath live root\n",
    "etc/hostname": "live\n",
}
APPLETS = (
    "bin/[ bin/cat bin/dd bin/df bin/echo bin/grep bin/hostname bin/login bin/ls bin/mount bin/ps bin/sh bin/sha256sum "
    "bin/sync bin/umount bin/wc sbin/getty sbin/halt sbin/init sbin/poweroff sbin/reboot"
)


@dataclass(frozen=True, slots=True)
class LinuxImage:
    """An image, and the SHA-256 of its far file."""

    path: Path
    far_digest: str


def make_root(root: Path, *, far_bytes: int = FAR_BYTES, program: Path | None = None, console: str = "ttyS0") -> str:
    """The tree of the root, without kernel and initramfs; the far file's SHA-256.

    `program` is the busybox, of another machine with another `console` perhaps.
    """
    for name in ("bin", "dev", "proc", "root", "run", "sbin", "sys", "tmp", "usr/share"):
        (root / name).mkdir(parents=True)
    busybox = root / "bin/busybox"
    busybox.write_bytes((program or guest_program("busybox")).read_bytes())
    busybox.chmod(0o755)
    for applet in APPLETS.split():
        (root / applet).symlink_to("/bin/busybox")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ttyS0", console))
    (root / "etc/init.d/rcS").chmod(0o755)
    data = random.Random(4).randbytes(far_bytes)
    (root / FAR_FILE.lstrip("/")).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def make_initramfs(path: Path, *, compression: Compression = Compression.ZSTD) -> Path:
    """The initramfs that carries our guest."""
    live = RECIPES["live"]
    assert live.init is not None
    spec = InitramfsSpec(
        guest_files(),
        live.init,
        modules=live.modules,
        wanted_modules=live.wanted_modules,
        python=PythonGuest(live.python_modules, search_path=(Path(bootpath.__file__).parents[1],)),
        compression=compression,
    )
    return build_initramfs(spec, path).path


def make_linux_image(
    directory: Path,
    initramfs: Path,
    name: str = "live.img",
    *,
    uuid: UUID = FS_UUID,
    password: bytes | None = None,
    size_bytes: int = 100 * MIB,
) -> LinuxImage:
    """A live disk with the root, the test guests' kernel and our initramfs inside it."""
    tree = directory / f"{name}.tree"
    digest = make_root(tree)
    boot = tree / "usr/lib/boot"
    boot.mkdir(parents=True)
    (boot / "kernel").write_bytes(guest_kernel().read_bytes())
    (boot / "initfs").write_bytes(initramfs.read_bytes())
    image = LiveImage(tree, uuid, CREATED_NS, size_bytes=size_bytes, password=password, clamp_mtime_ns=CREATED_NS)
    return LinuxImage(build_live(image, directory / name).path, digest)
