"""The kernel's own NBD client, in a guest, on our server: a file system is made, loaded, checked and read again."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bootpath.boot.initramfs.build import Added, InitramfsSpec, PythonGuest, build_initramfs
from bootpath.boot.initramfs.compression import Compression
from bootpath.vm.config import MachineConfig
from bootpath.vm.qemu import QEMU
from tests.support import fileload
from tests.support.daemons import serving
from tests.support.images import MIB, digest
from tests.support.patterns import pattern
from tests.support.tools import guest_files, guest_kernel, guest_program, tool
from tests.vm.conftest import Start

SECONDS = 180.0
CONNECTIONS = 4
OPERATIONS = 150
HOST = "10.0.2.2"
"""What QEMU's user network calls the machine it runs on."""

# One connection makes the file system, four find it again. `step` names a step when it is done, and ends the guest,
# with the name, when it fails.
INIT = """\
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin
step() {{ name=$1; shift; "$@" > /tmp/said 2>&1 && echo "STEP $name $(tail -n 1 /tmp/said) END" && return
    cat /tmp/said; dmesg | tail -n 20; echo "FAILED $name END"; poweroff -f; }}
load() {{ python3 -I -S -c 'import sys; from fileload import main; sys.exit(main())' "$@"; }}
loads() {{ for one in 1 2 3 4; do load load /mnt/$one $one {operations} > /tmp/$one & done; wait
    for one in 1 2 3 4; do grep -qx '[0-9a-f]*' /tmp/$one || return 1; done; }}
connect() {{ nbd-client {host} {port} /dev/nbd0 -N '' -C $1 -b 4096 && test $(ls /sys/block/nbd0/mq | wc -l) = $1; }}
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev; mkdir -p /mnt
while read -r module; do insmod "$module"; done < /etc/bootpath/modules
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0

step connect-1 connect 1
step mkfs mkfs.ext4 -q -F -b 4096 /dev/nbd0
step mount mount -t ext4 -o discard /dev/nbd0 /mnt
step load load load /mnt/0 0 {operations}
step unmount umount /mnt
step check e2fsck -fn /dev/nbd0
step disconnect nbd-client -d /dev/nbd0

step connect-4 connect 4
echo "STEP WAITING END"; read -r line
step mount mount -t ext4 -o discard /dev/nbd0 /mnt
step again load digest /mnt/0
step remove rm /mnt/0
step loads loads
step unmount umount /mnt
step check e2fsck -fn /dev/nbd0
step mount mount -t ext4 /dev/nbd0 /mnt
for one in 1 2 3 4; do step again-$one load digest /mnt/$one; step loaded-$one cat /tmp/$one; done
step unmount umount /mnt
step disconnect nbd-client -d /dev/nbd0
echo "STEP DONE END"
poweroff -f
"""


def test_a_file_system_over_one_and_over_four_connections(start: Start, tmp_path: Path) -> None:
    mkfs, e2fsck, debugfs, nbdcopy = (tool(name) for name in ("mkfs.ext4", "e2fsck", "debugfs", "nbdcopy"))
    base = tmp_path / "base.img"
    base.write_bytes(pattern(0, 48 * MIB))
    before = digest(base)
    arguments = ("serve", base, "--preload", "2MiB", "--overlay", tmp_path / "changes")
    with serving("main", *arguments, "--tcp", "127.0.0.1:0", "--status", "127.0.0.1:0") as server:
        port = server.uri.rpartition(":")[2].strip("/")
        init = INIT.format(host=HOST, port=port, operations=OPERATIONS)
        spec = InitramfsSpec(
            guest_files(),
            init.encode(),
            modules=("virtio_pci", "virtio_net", "nbd", "ext4"),
            wanted_modules=("crc32c_generic",),  # ext4 asks for it by an alias
            python=PythonGuest(("fileload",), search_path=(Path(fileload.__file__).parent,)),
            added=(
                Added(guest_program("nbd-client"), "/sbin/nbd-client"),
                Added(Path(mkfs), "/sbin/mkfs.ext4"),
                Added(Path(e2fsck), "/sbin/e2fsck"),
            ),
            compression=Compression.GZIP,
        )
        archive = build_initramfs(spec, tmp_path / "initramfs").path
        config = MachineConfig(
            memory_bytes=512 << 20,
            cpus=CONNECTIONS,  # the kernel uses as many connections as there are processors
            kernel=guest_kernel(),
            initrd=archive,
            cmdline="console=ttyS0 panic=-1 quiet",
            user_network=True,
        )
        machine = start(config, transcript=tmp_path / "serial.log")
        said = [*steps(machine, "WAITING")]
        with urllib.request.urlopen(f"{server.status}status.json", timeout=SECONDS) as answer:
            assert json.load(answer)["clients"]["connected"] == CONNECTIONS
        machine.console.send_line("")
        said += steps(machine, "DONE")
        assert machine.wait_exit(SECONDS) == 0
    digests = dict(said)
    assert digests["again"] == digests["load"]
    for one in range(1, CONNECTIONS + 1):
        assert digests[f"again-{one}"] == digests[f"loaded-{one}"]

    # What was written is in the overlay alone, and another server finds it there.
    assert digest(base) == before
    with serving("main", "serve", base, "--overlay", tmp_path / "changes", "--socket", tmp_path / "s") as server:
        subprocess.run([nbdcopy, server.uri, tmp_path / "copy"], check=True)
    assert subprocess.run([e2fsck, "-fn", tmp_path / "copy"], capture_output=True).returncode == 0
    for one in range(1, CONNECTIONS + 1):
        subprocess.run([debugfs, "-R", f"dump /{one} {tmp_path / 'file'}", tmp_path / "copy"], check=True)
        assert digest(tmp_path / "file") == digests[f"loaded-{one}"]


def steps(machine: QEMU, until: str) -> Iterator[tuple[str, str]]:
    """The steps that the guest has done, with what each said last, up to one of that name."""
    while True:
        match = machine.console.wait_for(re.compile(r"(STEP|FAILED) (\S+) ?(.*) END\n"), SECONDS)
        kind, name, said = match.groups()
        assert kind == "STEP", machine.console.text
        if name == until:
            return
        yield name, said
