"""A guest that does what its init says, and ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from bootpath.boot.initramfs.build import Added, InitramfsSpec, build_initramfs
from bootpath.boot.initramfs.compression import Compression
from bootpath.vm.config import MachineConfig
from bootpath.vm.disks import Disk
from bootpath.vm.qemu import QEMU
from tests.support.tools import guest_files, guest_kernel, tool

SECONDS = 240.0
MIB = 1 << 20


class Start(Protocol):
    def __call__(self, config: MachineConfig, *, transcript: Path | None = None) -> QEMU: ...


def run_to_the_end(
    start: Start, path: Path, init: str, disks: tuple[Disk, ...], programs: tuple[str, ...], **more: object
) -> QEMU:
    """The machine after its last word; what it said is in its console."""
    spec = InitramfsSpec(
        guest_files(),
        init.encode(),
        added=tuple(Added(Path(tool(name)), f"/sbin/{name}") for name in programs),
        compression=Compression.GZIP,
        **more,  # type: ignore[arg-type]
    )
    archive = build_initramfs(spec, path / "initramfs").path
    config = MachineConfig(
        memory_bytes=384 * MIB,
        kernel=guest_kernel(),
        initrd=archive,
        cmdline="console=ttyS0 panic=-1 quiet",
        disks=disks,
    )
    machine = start(config, transcript=path / "serial.log")
    match = machine.console.wait_for(re.compile(r"(DONE|FAILED .*) END\n"), SECONDS)
    assert match.group(1) == "DONE", machine.console.text
    assert machine.wait_exit(SECONDS) == 0
    return machine
