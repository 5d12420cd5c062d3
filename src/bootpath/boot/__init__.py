"""The boot path: loader, plan, handoff applied, the rehearsal of all of it, and the same in a machine.

Names are imported when they are first asked for (PEP 562): the part that runs in a guest (`bootpath.boot.guest`) lives
below this package, and must not bring the planner and the rehearsal into an initramfs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, NextCandidate
    from bootpath.boot.linux.load import LinuxBoot, load_linux
    from bootpath.boot.linux.machine import LinuxMachine, LinuxRun, LinuxSetup, boot_linux
    from bootpath.boot.machine.diskreads import AreaReads
    from bootpath.boot.machine.firmware import Firmware, FirmwareMachine, FirmwareRun, FirmwareSetup
    from bootpath.boot.redox.lived import live_base, locate, no_disk, read_environment, same_disk
    from bootpath.boot.redox.loader import (
        LINUX,
        LOADER,
        REDOX,
        BootFile,
        Handover,
        Preload,
        PreloadKind,
        check_belongs,
        load,
    )
    from bootpath.boot.redox.machine import LiveMachine, MachineSetup
    from bootpath.boot.redox.machinerun import MachineRun
    from bootpath.boot.redox.planning import Access, BootPlan, Miss, plan_boot
    from bootpath.boot.redox.simulation import FailedAccess, Mode, Rehearsal, Setup, SourceCount, rehearse
    from bootpath.boot.timeline import Step, Timeline

__all__ = [
    "LINUX",
    "LOADER",
    "REDOX",
    "Access",
    "AreaReads",
    "BootFile",
    "BootPlan",
    "FailedAccess",
    "Firmware",
    "FirmwareMachine",
    "FirmwareRun",
    "FirmwareSetup",
    "Handover",
    "LinuxBoot",
    "LinuxMachine",
    "LinuxRequest",
    "LinuxRun",
    "LinuxSetup",
    "LinuxVerdict",
    "LiveMachine",
    "MachineRun",
    "MachineSetup",
    "Miss",
    "Mode",
    "NextCandidate",
    "Preload",
    "PreloadKind",
    "Rehearsal",
    "Setup",
    "SourceCount",
    "Step",
    "Timeline",
    "boot_linux",
    "check_belongs",
    "live_base",
    "load",
    "load_linux",
    "locate",
    "no_disk",
    "plan_boot",
    "read_environment",
    "rehearse",
    "same_disk",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "machine.diskreads": "AreaReads",
        "machine.firmware": "Firmware FirmwareMachine FirmwareRun FirmwareSetup",
        "linux.choice": "LinuxRequest LinuxVerdict NextCandidate",
        "linux.load": "LinuxBoot load_linux",
        "linux.machine": "LinuxMachine LinuxRun LinuxSetup boot_linux",
        "redox.lived": "live_base locate no_disk read_environment same_disk",
        "redox.loader": "BootFile Handover LINUX LOADER Preload PreloadKind REDOX check_belongs load",
        "redox.machine": "LiveMachine MachineSetup",
        "redox.machinerun": "MachineRun",
        "redox.planning": "Access BootPlan Miss plan_boot",
        "redox.simulation": "FailedAccess Mode Rehearsal Setup SourceCount rehearse",
        "timeline": "Step Timeline",
    },
)
