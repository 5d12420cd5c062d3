"""What the boots in a machine share: how it is made, how its console is shown, how its end is told."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bootpath.boot.machine.watched import WatchedMachine, WatchedRun
    from bootpath.vm.config import Display
    from bootpath.vm.disks import Interface

_LEAVE = b"\x1d"  # Ctrl-]


def interface(options: argparse.Namespace) -> Interface:
    """How the disk is attached."""
    from bootpath.vm.disks import Interface

    return Interface.AHCI if options.ahci else Interface.VIRTIO


def display(options: argparse.Namespace) -> Display:
    """The graphics card, if one is wanted."""
    from bootpath.vm.config import Display

    return Display.VIRTIO_GPU if options.display or options.screenshot else Display.NONE


def machine_arguments(options: argparse.Namespace, stack: ExitStack) -> dict[str, Any]:
    """What every `WatchedMachine` is made with; its console is shown until the stack unwinds."""
    from bootpath.vm.accelerator import choose_accelerator

    return {
        "accelerator": choose_accelerator().accelerator,
        "transcript": shown(stack) if options.serial else None,
    }


def boot_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What every boot in a machine is asked for."""
    from bootpath.boot.machine.watched import LOGIN_PATTERN

    return {
        "until": options.until or LOGIN_PATTERN,
        "timeout_seconds": options.timeout,
        "screenshot": options.screenshot,
        "at_end": interact if options.serial else None,
    }


def told(
    options: argparse.Namespace, run: WatchedRun, as_json: Callable[[], dict[str, Any]], as_text: Callable[[], str]
) -> int:
    """Print what happened; 0, or raise what failed."""
    from bootpath.cli.console import emit, emit_json

    if options.json:
        emit_json(as_json())
    else:
        emit(as_text())
    if run.failure is not None:
        raise run.failure
    return 0


def shown(stack: ExitStack) -> Path:
    """A place for a transcript that is shown on stderr as it comes, until the stack unwinds."""
    import os
    import sys
    import threading

    reading, writing = os.pipe()

    def copy() -> None:
        with open(reading, "rb", buffering=0) as source:
            while data := source.read(1 << 16):
                sys.stderr.buffer.write(data)
                sys.stderr.buffer.flush()

    thread = threading.Thread(target=copy, name="transcript", daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(os.close, writing)
    return Path(f"/proc/self/fd/{writing}")


def interact(machine: WatchedMachine[Any, Any]) -> None:
    """Give the console to the person at the terminal, until the machine ends or Ctrl-] comes."""
    import os
    import select
    import sys
    import termios
    import tty

    if not sys.stdin.isatty():
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        while machine.machine.running:
            if select.select([fd], [], [], 0.2)[0]:
                data = os.read(fd, 1024)
                if _LEAVE in data or not data:
                    return
                machine.machine.console.write(data)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
