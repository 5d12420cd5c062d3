"""``bootpath boot`` of an image-based Linux: its options, which disks are meant, the boot.

Light: as `cli.boot.machine`.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from bootpath.cli.arguments import add_certificates, image_policy, read_certificates, root_hash

if TYPE_CHECKING:
    from bootpath.boot.linux.choice import LinuxRequest
    from bootpath.core.device import Device
    from bootpath.formats.partitions.dps import Architecture

UNVERIFIED = 4
"""The exit code of a boot that the policy allows although nothing vouches for all of it."""
REFUSED = 3
ASSEMBLIES = ("bootpath", "initramfs", "kernel")
_OWN = (
    ("dry_run", "--dry-run"),
    ("policy", "--policy"),
    ("certificate", "--certificate"),
    ("root_hash", "--root-hash"),
    ("slot", "--slot"),
    ("entry", "--entry"),
    ("next_candidate", "--next-candidate"),
    ("architecture", "--architecture"),
    ("fixed", "--fixed"),
    ("assembly", "--assembly"),
    ("kernel_signature", "--kernel-signature"),
    ("trust_initrd", "--trust-initrd"),
    ("full", "--full"),
)
_LIVE = (
    ("preload", "--preload"),
    ("plan", "--plan"),
    ("classic", "--classic"),
    ("from_disk", "--from-disk"),
    ("processes", "--processes"),
    ("touch", "--touch"),
    ("disk_delay", "--disk-delay"),
    ("no_disk", "--no-disk"),
    ("others", "--disk"),
    ("fault", "--fault"),
    ("kernel", "--kernel"),
    ("show_env", "--show-env"),
    ("record", "--record"),
    ("mount", "--mount"),
    ("password_file", "--password-file"),
)


def architecture(text: str) -> Architecture:
    """An architecture, as ``uname -m`` or systemd call it."""
    from bootpath.formats.partitions.dps import Architecture

    found = Architecture.of_machine(text)
    if found is None:
        names = ", ".join(each.value for each in Architecture)
        raise argparse.ArgumentTypeError(f"{text!r} is not an architecture: {names}")
    return found


def add_linux_options(parser: argparse.ArgumentParser) -> None:
    """What is decided of an image-based Linux."""
    group = parser.add_argument_group("image-based Linux, which is a disk without a RedoxFS: with --vm or --dry-run")
    group.add_argument(
        "--dry-run", action="store_true", help="load and verify, explain every decision, and start no machine"
    )
    group.add_argument(
        "--policy",
        type=image_policy,
        metavar="P",
        help="image policy (systemd.image-policy(7)); default: with --certificate or --root-hash only what they "
        "vouch for, else anything",
    )
    add_certificates(group, "who may sign root hashes and unified kernel images (PEM or DER); repeatable")
    group.add_argument("--root-hash", metavar="HEX", type=root_hash, help="the root hash to believe")
    group.add_argument(
        "--slot", metavar="LOCATION", help='which root: its partition, "disk GUID:number:first LBA", or group/volume'
    )
    group.add_argument("--entry", metavar="ID", help="which boot entry (default: the first of bootpath entries)")
    group.add_argument(
        "--next-candidate",
        choices=("never", "policy"),
        help="when the best root cannot be used: refuse (the default), or try the next one that the policy allows",
    )
    group.add_argument(
        "--architecture", metavar="NAME", type=architecture, help="what the machine is (default: x86-64)"
    )
    group.add_argument(
        "--fixed", action="store_true", help="name devices as the machine has them, /dev/vda2, instead of by UUIDs"
    )
    group.add_argument(
        "--assembly",
        choices=ASSEMBLIES,
        help="who puts the root together: the initramfs of bootpath (the default), any, or the kernel",
    )
    group.add_argument(
        "--kernel-signature",
        action="store_true",
        help="hand the root hash's signature to the kernel too, which has to know the key",
    )
    group.add_argument("--trust-initrd", action="store_true", help="you vouch for the initramfs of --initrd")
    group.add_argument("--full", action="store_true", help="verify all of the root before it is booted")


def is_linux(options: argparse.Namespace, disk: Device) -> bool:
    """True for a disk that is to be booted as an image-based Linux; what is neither is for the live path to refuse."""
    from bootpath.boot.linux.choice import LinuxRequest, order_roots
    from bootpath.image.contents.read import read_contents

    if any(getattr(options, name) for name, _ in _OWN):
        return True
    contents = read_contents(disk)
    if any(each.kind == "redoxfs" for node in contents.nodes() for each in node.superblocks):
        return False
    candidates = order_roots(contents, LinuxRequest()).choice.candidates
    return any(each.architecture is not None or each.data.superblocks for each in candidates)


def linux_contradiction(options: argparse.Namespace) -> str | None:
    """What does not go with an image-based Linux, or None."""
    for name, text in _LIVE:
        if getattr(options, name):
            return f"{text} is for a live disk with a RedoxFS, and this is an image-based Linux"
    if not options.vm and not options.dry_run:
        return "an image-based Linux boots with --vm; --dry-run explains what would run"
    if options.trust_initrd and options.initrd is None:
        return "--trust-initrd goes with --initrd"
    return None


def firmware_or_live_contradiction(options: argparse.Namespace) -> str | None:
    """What only our loader of an image-based Linux knows, and was asked of another; or None."""
    for name, text in _OWN:
        if getattr(options, name):
            return f"{text} is for our loader of an image-based Linux: it does not go with --firmware"
    return None


def run_linux(options: argparse.Namespace) -> int:
    """Explain, or boot and say what happened; 0 verified, 4 unverified, 3 refused; raises what failed."""
    if options.dry_run:
        return _explain(options)
    from bootpath.boot.linux.machine import LinuxMachine, LinuxSetup, boot_linux
    from bootpath.cli.boot.running import boot_arguments, display, interface, machine_arguments
    from bootpath.cli.console import emit, emit_json
    from bootpath.report.linuxboot import linux_run_json, render_linux_run

    setup = LinuxSetup(
        _request(options), memory_bytes=options.memory, interface=interface(options), display=display(options)
    )
    with ExitStack() as stack:
        arguments = machine_arguments(options, stack)
        run = boot_linux(lambda setup: LinuxMachine(options.disk, setup, **arguments), setup, **boot_arguments(options))
    if run.boot is not None:
        if options.json:
            emit_json(linux_run_json(options.disk, run))
        else:
            emit(render_linux_run(options.disk, run))
    if run.failure is not None:
        raise run.failure
    return _exit_code(run.boot.verdict.value if run.boot is not None else "refused")


def _explain(options: argparse.Namespace) -> int:
    import time

    from bootpath.block.leaves.open import open_device
    from bootpath.boot.linux.load import load_linux
    from bootpath.boot.linux.machine import DISK_NAMES, MACHINE_PARAMETERS
    from bootpath.boot.timeline import Timeline
    from bootpath.cli.boot.running import interface
    from bootpath.cli.console import emit, emit_json, progress_bar
    from bootpath.report.linuxboot import linux_boot_json, render_linux_boot

    request = _request(options, DISK_NAMES[interface(options)])
    with closing(open_device(options.disk)) as disk, progress_bar("verify") as progress:
        boot = load_linux(
            disk,
            request,
            Timeline(time.monotonic),
            machine_parameters=MACHINE_PARAMETERS,
            progress=lambda done: progress(done, disk.size_bytes, ""),
        )
    if options.json:
        emit_json(linux_boot_json(options.disk, boot))
    else:
        emit(render_linux_boot(options.disk, boot))
    return _exit_code(boot.verdict.value)


def _exit_code(verdict: str) -> int:
    return {"verified": 0, "unverified": UNVERIFIED}.get(verdict, REFUSED)


def _request(options: argparse.Namespace, disk_name: str = "/dev/vda") -> LinuxRequest:
    from bootpath.boot.linux.choice import GivenInitrd, LinuxRequest, NextCandidate
    from bootpath.formats.cmdline.address import Assembly
    from bootpath.formats.partitions.dps import Architecture

    initrd = None
    if options.initrd is not None:
        initrd = GivenInitrd(str(options.initrd), options.initrd.read_bytes(), options.trust_initrd)
    return LinuxRequest(
        policy=options.policy,
        certificates=read_certificates(options.certificate),
        root_hash=options.root_hash,
        slot=options.slot,
        entry=options.entry,
        architecture=options.architecture or Architecture.X86_64,
        next_candidate=NextCandidate(options.next_candidate or "never"),
        disk_name=disk_name,
        fixed=options.fixed,
        assembly=Assembly(options.assembly or "bootpath"),
        kernel_signature=options.kernel_signature,
        append=options.append,
        initrd=initrd,
        full=options.full,
    )
