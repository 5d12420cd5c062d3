"""What each page speaks of: the files in the directory where its commands run, by the page's path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from bootpath.formats.partitions.dps import Architecture, Designator
from tests.docs.scene import Scene
from tests.support.bootdisk import boot_part, ext4, fat
from tests.support.ddi import Part, Volume, make_disk, make_file_system, protect
from tests.support.efivars import edk2_store, raw_variable, utf16
from tests.support.hybriddisc import HYBRID_OPTIONS, installer_files, make_medium
from tests.support.kernels import make_efi_image
from tests.support.linuximage import KERNEL_PATH, RootTree, fake_kernel, make_volume
from tests.support.linuxroot import make_root
from tests.support.nbdserver import nbd_server
from tests.support.tools import demo_image, tool
from tests.support.tree import ROOT

MIB = 1 << 20
READ_ONLY = 60
SLOT_BYTES = 32 * MIB
TABLES = """\
vg-base: 0 131072 linear 8:1 2048
vg-base: 131072 131072 striped 2 128 8:1 133120 8:3 0
vg-snap: 0 262144 snapshot 253:0 8:2 P 16
"""


def readme(scene: Scene) -> None:
    scene.link(demo_image("big.img"))
    scene.link(ROOT / "build/demo/debian.img")
    entry = b"title Test\nversion 1\nlinux /boot/vmlinuz\noptions quiet\nlinux-appendroot yes\n"
    RootTree({KERNEL_PATH: fake_kernel(), "/boot/loader/entries/test.conf": entry}).write(scene.folder / "tree")
    (scene.folder / "esp").mkdir()
    scene.identity(scene.stock.signer, "key.pem", "cert.pem")
    scene.link(scene.stock.ddi)
    scene.link(scene.stock.signer.certificate, "os.crt")
    scene.link(scene.stock.live_image, "disk.img")


def first_image(scene: Scene) -> None:
    scene.link(scene.stock.tree, "tree")


def live_image(scene: Scene) -> None:
    scene.copy(scene.stock.live_image, "disk.img")


def serve_disk(scene: Scene) -> None:
    live_image(scene)
    scene.link(ROOT / "docs", "docs")
    scene.covered = ("/etc/systemd/system", "/etc/default")
    # No service manager runs in a test: what it would load is verified.
    units = "/etc/systemd/system/lived"
    scene.program(
        "systemctl",
        f"sed -i s,/usr/bin/lived,$(command -v lived), {units}.service\n"
        f"systemd-analyze verify --recursive-errors=no {units}.service {units}.socket\n",
    )


def boot_entries(scene: Scene) -> None:
    entry = b"title OS\nversion 1\nlinux /vmlinuz\ninitrd /initrd\noptions quiet\n"
    esp = fat(scene.folder, {"vmlinuz": fake_kernel(), "initrd": b"initrd", "loader/entries/os.conf": entry})
    root = ext4(scene.folder, {"boot/vmlinuz": fake_kernel(), "loader/entries/root.conf": b"linux /boot/vmlinuz\n"})
    parts = [boot_part(Designator.ESP, esp, 1), Part(Designator.ROOT, root, UUID(int=2), "os_1")]
    make_disk(scene.folder / "disk.img", parts)
    arm = {"image": make_efi_image(), "loader/entries/a.conf": b"linux /image\n"}
    board = ext4(scene.folder.with_name("board"), arm)
    store = edk2_store([raw_variable("LoaderEntryDefault", utf16("gone.conf"))])
    (scene.folder / "OVMF_VARS.fd").write_bytes(store)
    make_disk(scene.folder / "board.img", [boot_part(Designator.XBOOTLDR, board, 3)])


def verified_image(scene: Scene) -> None:
    """Two slots, the newer one in partitions 4 to 6, where the page says that they begin."""
    older = make_volume(scene.folder.with_name("older"), RootTree.demo(), scene.stock.signer)
    esp = boot_part(Designator.ESP, fat(scene.folder.with_name("esp"), {"loader/loader.conf": b"timeout 0\n"}), 3)
    make_disk(scene.folder / "os.img", [*slot("os_1", older, 1), *slot("os_2", scene.stock.system.volume, 2), esp])
    scene.link(scene.stock.signer.certificate, "os.crt")


def another_machine(scene: Scene) -> None:
    tree = RootTree({**RootTree.demo().files, KERNEL_PATH: make_efi_image()})
    volume = make_volume(scene.folder.with_name("arm64"), tree, scene.stock.signer)
    make_disk(scene.folder / "board.img", volume.parts("os_1", architecture=Architecture.ARM64))
    scene.link(scene.stock.signer.certificate, "os.crt")


def slot(name: str, volume: Volume, serial: int) -> list[Part]:
    data, *others = volume.parts(name, serial=serial)
    return [replace(data, size_bytes=SLOT_BYTES), *others]


def machine(scene: Scene) -> None:
    scene.link(ROOT / "build", "build")
    make_root(scene.folder / "tree")


def build_ddi(scene: Scene) -> None:
    RootTree.demo().write(scene.folder / "tree")
    (scene.folder / "esp/loader").mkdir(parents=True)
    (scene.folder / "esp/loader/loader.conf").write_text("timeout 0\n")


def debian(scene: Scene) -> None:
    for name in ("Makefile", "demo", "src", "build", ".venv", "pyproject.toml", "native", "tests"):
        scene.link(ROOT / name, name)
    scene.link(ROOT / "build/demo/debian.img", "debian.img")


def device_mapper(scene: Scene) -> None:
    scene.program("dmsetup", f"cat <<'TABLES'\n{TABLES}TABLES\n")
    for name in ("sda1.img", "sda2.img", "sdb.img"):
        scene.sparse(name, 256 * MIB)
    scene.copy(scene.stock.live_image, "disk.img")
    (scene.folder / "root.table").write_text("0 2048 linear disk.img 2048\n")


def tiny_initramfs(scene: Scene) -> None:
    scene.link(ROOT / "build", "build")


def inspect_image(scene: Scene) -> None:
    volume = protect(scene.folder, make_file_system(scene.folder), scene.stock.signer)
    image = make_disk(scene.folder / "os.raw", volume.parts("os_1", flags=(READ_ONLY,))).path
    scene.link(scene.stock.signer.certificate, "vendor.pem")
    make_disk(scene.folder / "ab.img", [*volume.parts("os_1"), *volume.parts("os_1", serial=2)])
    scene.stack.enter_context(nbd_server(scene.folder / "disk.sock", tool("nbdkit"), "-f", "-r", "file", str(image)))
    scene.serve_https("example.org", "/os.raw", image.read_bytes())
    scene.serve_s3("/images/os.raw", image.read_bytes())


def iso_image(scene: Scene) -> None:
    make_medium(scene.folder / "netinst.iso", installer_files(), *HYBRID_OPTIONS)


def verify_disk(scene: Scene) -> None:
    (scene.folder / "root.img").write_bytes(make_file_system(scene.folder))
    scene.sparse("disk.img", 320 * MIB)
    scene.identity(scene.stock.signer, "key.pem", "cert.pem")


PLACES: dict[str, Callable[[Scene], None]] = {
    "README.md": readme,
    "docs/tutorial/first-image.md": first_image,
    "docs/howto/another-machine.md": another_machine,
    "docs/howto/boot-a-verified-image.md": verified_image,
    "docs/howto/boot-entries.md": boot_entries,
    "docs/howto/boot-in-a-machine.md": machine,
    "docs/howto/build-a-ddi.md": build_ddi,
    "docs/howto/debian-root.md": debian,
    "docs/howto/device-mapper.md": device_mapper,
    "docs/howto/inspect-an-image.md": inspect_image,
    "docs/howto/look-at-an-iso.md": iso_image,
    "docs/howto/plan-a-preload.md": live_image,
    "docs/howto/serve-a-disk.md": serve_disk,
    "docs/howto/tiny-initramfs.md": tiny_initramfs,
    "docs/howto/verify-a-disk.md": verify_disk,
    "docs/howto/why-it-does-not-boot.md": live_image,
}
