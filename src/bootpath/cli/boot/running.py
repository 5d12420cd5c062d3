"""What the boots in a machine share: what a machine is made with, and what a boot is asked for."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bootpath.vm.config import Display
    from bootpath.vm.disks import Interface

_STDIN = 0  # the descriptor, closed or not; what is no terminal is not asked


def interface(options: argparse.Namespace) -> Interface:
    """How the disk is attached."""
    from bootpath.vm.disks import Interface

    return Interface.AHCI if options.ahci else Interface.VIRTIO


def display(options: argparse.Namespace) -> Display:
    """The graphics card, if one is asked for."""
    from bootpath.vm.config import Display

    return Display.VIRTIO_GPU if options.display or options.screenshot else Display.NONE


def machine_arguments(options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """What every `WatchedMachine` is made with; its console is shown until the stack unwinds."""
    from bootpath.boot.machine.terminal import shown_on
    from bootpath.cli.serve.logs import log_to_stderr
    from bootpath.vm.accelerator import choose_accelerator

    log_to_stderr()
    return {
        "accelerator": choose_accelerator().accelerator,
        "transcript": stack.enter_context(shown_on(sys.stderr.buffer)) if options.serial else None,
    }


def boot_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What every boot in a machine is asked for."""
    from bootpath.boot.machine.terminal import hand_over
    from bootpath.boot.machine.watched import LOGIN_PATTERN

    return {
        "until": options.until or LOGIN_PATTERN,
        "timeout_seconds": options.timeout,
        "screenshot": options.screenshot,
        "at_end": partial(hand_over, terminal=_STDIN) if options.serial else None,
    }
