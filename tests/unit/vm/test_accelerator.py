from __future__ import annotations

from pathlib import Path

import pytest

from bootpath.vm.accelerator import AcceleratorChoice, AcceleratorChooser, choose_accelerator
from bootpath.vm.config import Accelerator
from tests.support.tools import tool


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A /dev/kvm that is there."""
    path = tmp_path / "kvm"
    path.touch()
    return path


def program(directory: Path, text: str) -> str:
    path = directory / "qemu"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_without_the_device_nothing_is_tried(tmp_path: Path) -> None:
    choice = choose_accelerator(binary=program(tmp_path, f"touch {tmp_path}/tried"), device=tmp_path / "kvm")
    assert choice.accelerator is Accelerator.TCG
    assert choice.reason == f"there is no {tmp_path}/kvm"
    assert not (tmp_path / "tried").exists()


def test_a_qemu_that_refuses(device: Path, tmp_path: Path) -> None:
    tool("setpriv")
    binary = program(tmp_path, "echo 'failed to initialize kvm: Permission denied' >&2; exit 1")
    choice = choose_accelerator(binary=binary, device=device, start_seconds=10)
    assert choice.accelerator is Accelerator.TCG
    assert choice.reason == "KVM cannot run a guest: failed to initialize kvm: Permission denied"


def test_a_qemu_that_hangs(device: Path, tmp_path: Path) -> None:
    tool("setpriv")
    choice = choose_accelerator(binary=program(tmp_path, "exec sleep 1000"), device=device, start_seconds=0.01)
    assert choice.accelerator is Accelerator.TCG
    assert choice.reason == "KVM cannot run a guest: QEMU's monitor did not answer the connection within 0.01 s"


def test_a_choice_is_made_once() -> None:
    made: list[AcceleratorChoice] = []

    def choose() -> AcceleratorChoice:
        made.append(AcceleratorChoice(Accelerator.KVM, "said so", 0.1))
        return made[-1]

    chooser = AcceleratorChooser(choose)
    assert not made
    assert chooser.choice() is chooser.choice()
    assert len(made) == 1
