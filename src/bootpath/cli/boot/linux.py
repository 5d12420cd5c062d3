"""``bootpath boot`` of an image-based Linux: explain it, or boot it."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from bootpath.cli.boot.decision import linux_request
from bootpath.cli.boot.running import boot_arguments, display, interface, machine_arguments
from bootpath.cli.failures import BAD_VERDICT

if TYPE_CHECKING:
    from bootpath.boot.linux.choice import LinuxRequest
    from bootpath.boot.linux.result import LinuxBoot
    from bootpath.boot.look import Look
    from bootpath.core.device import Device

UNVERIFIED = 4
"""The exit code of a boot that the policy allows although nothing vouches for all of it."""


def run_linux(options: argparse.Namespace, look: Look) -> int:
    """Explain, or boot and say what happened; 0 verified, 4 unverified, 3 refused; raises what failed.

    Raises Error for a medium that only its own loader boots.
    """
    if options.dry_run:
        return explain_linux(options, look)
    from bootpath.boot.linux.machine import LinuxMachine, LinuxSetup, boot_linux
    from bootpath.cli.console import show_result
    from bootpath.cli.disks import image_rules, open_disk
    from bootpath.report.linuxboot import linux_run_json, render_linux_run

    setup = LinuxSetup(
        _request(options),
        memory_bytes=options.memory,
        interface=interface(options),
        display=display(options),
        look=look,
        images=image_rules(options),
    )
    with ExitStack() as stack:
        arguments = machine_arguments(options, stack)
        run = boot_linux(lambda setup: LinuxMachine(options.disk, setup, **arguments), setup, **boot_arguments(options))
    if run.boot is None:
        assert run.failure is not None
        raise run.failure
    if run.boot.plan is None:
        with closing(open_disk(options.disk, options)) as disk:
            _leave_to_firmware(disk, run.boot)
    show_result(
        options,
        lambda: linux_run_json(options.disk, run),
        lambda: render_linux_run(options.disk, run),
        run.failure,
    )
    return _exit_code(run.boot.verdict.value)


def explain_linux(options: argparse.Namespace, look: Look) -> int:
    """Load, and show every decision; the exit code of the verdict. Raises Error as `run_linux` does."""
    import time

    from bootpath.boot.linux.load import load_linux
    from bootpath.boot.linux.machine import DISK_NAMES, machine_parameters
    from bootpath.boot.timeline import Timeline
    from bootpath.cli.console import progress_bar, show_result
    from bootpath.cli.disks import open_disk
    from bootpath.report.linuxboot import linux_boot_json, render_linux_boot

    request = _request(options, DISK_NAMES[interface(options)])
    with closing(open_disk(options.disk, options)) as disk, progress_bar("verify") as progress:
        boot = load_linux(
            disk,
            request,
            Timeline(time.monotonic),
            machine_parameters=machine_parameters,
            contents=look.contents,
            progress=lambda done: progress(done, disk.size_bytes, ""),
        )
        _leave_to_firmware(disk, boot)
    show_result(options, lambda: linux_boot_json(options.disk, boot), lambda: render_linux_boot(options.disk, boot))
    return _exit_code(boot.verdict.value)


def _leave_to_firmware(disk: Device, boot: LinuxBoot) -> None:
    """Raise Error when our loader cannot boot a medium which its own loader would boot: it does boot."""
    from bootpath.boot.inspection.linux import boots_by_firmware
    from bootpath.core.errors import Error
    from bootpath.image.livemedia import FirmwareKind

    medium = boots_by_firmware(disk, boot)
    if medium is not None:
        firmware = " or ".join(each.value for each in FirmwareKind if medium.boots(each))
        raise Error(
            f"only its own loader boots this medium; bootpath's does not: {boot.refusal}",
            where=boot.name,
            hint=f"start that one: bootpath boot --firmware {firmware}",
        )


def _exit_code(verdict: str) -> int:
    return {"verified": 0, "unverified": UNVERIFIED}.get(verdict, BAD_VERDICT)


def _request(options: argparse.Namespace, disk_name: str = "/dev/vda") -> LinuxRequest:
    from bootpath.block.leaves.wholefile import read_whole
    from bootpath.boot.linux.choice import GivenInitrd
    from bootpath.formats.cmdline.address import Assembly

    initrd = None
    if options.initrd is not None:
        initrd = GivenInitrd(str(options.initrd), read_whole(options.initrd, "initrd_bytes"), options.trust_initrd)
    return linux_request(
        options,
        disk_name=disk_name,
        fixed=options.fixed,
        assembly=Assembly(options.assembly),
        kernel_signature=options.kernel_signature,
        append=options.append,
        initrd=initrd,
        full=options.full,
    )
