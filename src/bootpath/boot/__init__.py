"""The boot path: loader, plan, handoff applied, and the rehearsal of all of it."""

from bootpath.boot.lived import live_base, locate, no_disk, read_environment, same_disk
from bootpath.boot.loader import LOADER, Handover, Preload, PreloadKind, check_belongs, load
from bootpath.boot.planning import Access, BootPlan, Miss, plan_boot
from bootpath.boot.rehearsal import FailedAccess, Mode, Rehearsal, Setup, SourceCount, rehearse
from bootpath.boot.timeline import Step, Timeline

__all__ = [
    "LOADER",
    "Access",
    "BootPlan",
    "FailedAccess",
    "Handover",
    "Miss",
    "Mode",
    "Preload",
    "PreloadKind",
    "Rehearsal",
    "Setup",
    "SourceCount",
    "Step",
    "Timeline",
    "check_belongs",
    "live_base",
    "load",
    "locate",
    "no_disk",
    "plan_boot",
    "read_environment",
    "rehearse",
    "same_disk",
]
