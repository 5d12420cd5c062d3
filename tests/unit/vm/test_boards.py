"""The boards, and machines for other architectures on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootpath.core.errors import MachineError
from bootpath.core.extras import PACKAGES
from bootpath.formats.partitions.dps import Architecture
from bootpath.vm.boards import BOARDS, PC, board_of
from bootpath.vm.commandline import command_line
from bootpath.vm.config import Accelerator, Display, MachineConfig
from bootpath.vm.disks import Disk, Interface
from bootpath.vm.firmware import find_qemu, private_uefi

OTHERS = [Architecture.ARM64, Architecture.ARM, Architecture.RISCV64]


def words(config: MachineConfig, accelerator: Accelerator = Accelerator.TCG) -> str:
    return " ".join(command_line(config, binary="qemu", accelerator=accelerator, qmp_fd=10, serial_fds=[11]))


def test_each_architecture_has_its_board() -> None:
    for architecture, board in BOARDS.items():
        assert board_of(architecture) is board
        assert board.program in PACKAGES, "whoever lacks it is told what to install"
    assert board_of(Architecture.X86) is PC, "which starts both"
    with pytest.raises(MachineError, match="no machine is known for s390x; expected one of x86-64, x86, arm64, arm, r"):
        board_of(Architecture.S390X)


@pytest.mark.parametrize(
    ("architecture", "package"),
    [
        (Architecture.ARM64, "qemu-system-arm"),
        (Architecture.ARM, "qemu-system-arm"),
        (Architecture.RISCV64, "qemu-system-misc"),
    ],
)
def test_without_its_qemu_the_error_says_what_to_install(
    architecture: Architecture, package: str, tmp_path: Path
) -> None:
    program = board_of(architecture).program
    with pytest.raises(MachineError, match=f"{program} is not installed; apt install {package}$"):
        find_qemu(program, path=str(tmp_path))


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        (Architecture.ARM64, "-machine virt -accel tcg -cpu cortex-a57 "),
        (Architecture.ARM, "-machine virt,highmem=off -accel tcg -cpu cortex-a15 "),
        (Architecture.RISCV64, "-machine virt -accel tcg -cpu rv64 "),
    ],
)
def test_a_machine_for_another_architecture(architecture: Architecture, says: str) -> None:
    disk = Disk("disk", Path("disk.img"))
    line = words(MachineConfig(board=board_of(architecture), disks=(disk,)))
    assert says in line
    assert "pcie-root-port,id=port0,bus=pcie.0" in line, "virtio disks are on PCI Express there too"
    assert "driver=virtio-blk-pci,id=disk,bus=port0" in line


def test_the_processor() -> None:
    board = board_of(Architecture.ARM64)
    assert "-cpu max " in words(MachineConfig(board=board), Accelerator.KVM), "KVM has that of the host only"
    assert "-cpu cortex-a76 " in words(MachineConfig(board=board, cpu_model="cortex-a76"))


def test_what_a_pc_has_by_itself_is_a_device_elsewhere() -> None:
    disk = Disk("disk", Path("disk.img"), Interface.AHCI)
    drive = replace(disk, interface=Interface.OPTICAL, read_only=True)
    line = words(MachineConfig(board=board_of(Architecture.ARM64), disks=(drive,)))
    assert line.index("-device ich9-ahci,id=ide") < line.index("driver=ide-cd,id=disk,bus=ide.0")
    for architecture in OTHERS:
        line = words(MachineConfig(board=board_of(architecture), disks=(disk,), display=Display.VIRTIO_GPU))
        assert line.index("-device ich9-ahci,id=ide") < line.index("driver=ide-hd,id=disk,bus=ide.0")
        assert "virtio-gpu-pci" in line
    assert "ich9-ahci" not in words(MachineConfig(disks=(disk,)))


def test_only_a_pc_has_ports_and_a_bios() -> None:
    board = board_of(Architecture.ARM64)
    for wrong in ({"debug_exit_port": 0xF4}, {"bios_on_serial": True}):
        with pytest.raises(ValueError, match="only a PC"):
            MachineConfig(board=board, **wrong)


def test_uefi_of_another_architecture(tmp_path: Path) -> None:
    code, variables = tmp_path / "code", tmp_path / "vars"
    code.write_bytes(b"code")
    variables.write_bytes(b"vars")
    pairs = [(str(code), str(variables))]
    assert private_uefi(tmp_path, board_of(Architecture.ARM64), pairs=pairs).code == code
    with pytest.raises(MachineError, match="is not installed; apt install qemu-efi-aarch64"):
        private_uefi(tmp_path, board_of(Architecture.ARM64), pairs=[])
    with pytest.raises(MachineError, match="no UEFI firmware is known for riscv64; expected one for x86-64 or arm64"):
        private_uefi(tmp_path, board_of(Architecture.RISCV64), pairs=pairs)
