from bootpath.vm.accelerator import choose_accelerator as choose_accelerator
from bootpath.vm.config import MachineConfig as MachineConfig
from bootpath.vm.console import Console as Console
from bootpath.vm.disks import Disk as Disk
from bootpath.vm.process import TiedProcess as TiedProcess
from bootpath.vm.qemu import QEMU as QEMU
