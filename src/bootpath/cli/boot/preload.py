"""--preload, --plan and --classic: what a simulation and a boot of a live disk read into RAM first."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bootpath.cli.failures import UsageError

if TYPE_CHECKING:
    from bootpath.boot.redox.preload import PreloadChoice
    from bootpath.core.device import Device


def check_preload(options: argparse.Namespace, *, command: str) -> None:
    """Refuse a kind of preload that another option rules out. Raises UsageError."""
    if options.plan is not None and options.preload not in (None, "plan"):
        raise UsageError("--plan goes with --preload plan only", where=command)
    if options.classic and options.preload == "plan":
        raise UsageError("--classic knows only prefixes: give --preload SIZE or full", where=command)


def chosen_preload(options: argparse.Namespace, disk: Device, password: bytes | None) -> PreloadChoice:
    """What --preload, --plan and --classic ask for."""
    from bootpath.block.leaves.wholefile import read_parsed
    from bootpath.boot.redox.planning import choose_preload
    from bootpath.boot.redox.preload import PreloadKind
    from bootpath.formats.plan import parse_plan

    wanted = options.preload
    return choose_preload(
        disk,
        PreloadKind(wanted) if isinstance(wanted, str) else wanted,
        plan=None if options.plan is None else read_parsed(options.plan, parse_plan, "plan_bytes"),
        classic=options.classic,
        password=password,
    )
