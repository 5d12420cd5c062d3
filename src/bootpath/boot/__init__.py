"""The boot path: loader, plan, handoff applied, the rehearsal of all of it, and the same in a machine.

Names are imported when they are first asked for (PEP 562): the part that runs in a guest (`bootpath.boot.guest`) lives
below this package, and must not bring the planner and the rehearsal into an initramfs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.boot.diskreads import AreaReads
    from bootpath.boot.firmwareboot import Firmware, FirmwareMachine, FirmwareRun, FirmwareSetup
    from bootpath.boot.linuxchoice import LinuxRequest, LinuxVerdict, NextCandidate
    from bootpath.boot.linuxload import LinuxBoot, load_linux
    from bootpath.boot.linuxmachine import LinuxMachine, LinuxRun, LinuxSetup, boot_linux
    from bootpath.boot.lived import live_base, locate, no_disk, read_environment, same_disk
    from bootpath.boot.loader import LINUX, LOADER, REDOX, BootFile, Handover, Preload, PreloadKind, check_belongs, load
    from bootpath.boot.machine import LiveMachine, MachineSetup
    from bootpath.boot.machinerun import MachineRun
    from bootpath.boot.planning import Access, BootPlan, Miss, plan_boot
    from bootpath.boot.rehearsal import FailedAccess, Mode, Rehearsal, Setup, SourceCount, rehearse
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
        "diskreads": "AreaReads",
        "firmwareboot": "Firmware FirmwareMachine FirmwareRun FirmwareSetup",
        "linuxchoice": "LinuxRequest LinuxVerdict NextCandidate",
        "linuxload": "LinuxBoot load_linux",
        "linuxmachine": "LinuxMachine LinuxRun LinuxSetup boot_linux",
        "lived": "live_base locate no_disk read_environment same_disk",
        "loader": "BootFile Handover LINUX LOADER Preload PreloadKind REDOX check_belongs load",
        "machine": "LiveMachine MachineSetup",
        "machinerun": "MachineRun",
        "planning": "Access BootPlan Miss plan_boot",
        "rehearsal": "FailedAccess Mode Rehearsal Setup SourceCount rehearse",
        "timeline": "Step Timeline",
    },
)
