"""linux-appendroot: the kernel parameters for the root that an entry was found in.

An entry that lies in the root file system itself must not name it: the same image is booted from slot A or B. So the
loader appends where it found the entry (UAPI.1, proposed key ``linux-appendroot``, as barebox does):

- a partition: ``root=PARTUUID=…``, which the kernel finds by itself (Linux block/early-lookup.c);
- behind verity: ``roothash=… systemd.verity_root_data=… systemd.verity_root_hash=…``, for systemd's generator in the
  initramfs. It is never named by its partition then, which would be booted unchecked;
- a volume of LVM2: ``rd.lvm.lv=vg/lv root=/dev/mapper/vg-lv``, as dracut has it; one of UBI, with a file system for
  block devices in it: ``root=/dev/ubiblock0_1 ubi.block=0,name``, with a UBIFS: ``root=ubi0:name rootfstype=ubifs``;
- a partition of the disk image in a volume of LVM2: ``rd.lvm.lv=vg/lv root=PARTUUID=…``, for an initramfs that makes
  devices of such partitions, as kpartx does.

For UBI the kernel has to know on which flash it is: ``ubi.mtd=``, by the name of the MTD, where the loader knows it
(`RootStyle.disk`), as barebox does; an image does not say what a machine calls its flash.

`Assembly` says who assembles the root. Our own initramfs finds volumes by their UUIDs (``LV=…``, with a number behind
for a partition in one), and gets the slot too (``bootpath.slot=``): a PARTUUID does not tell copies of one image apart.
The kernel alone, with no initramfs, makes linear volumes, partitions of these and verity from ``dm-mod.create="…"
root=/dev/dm-0`` (Linux dm-init.rst).

Where the loader knows what the kernel will call the disk, that name is used instead of PARTUUID (`RootStyle.disk`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bootpath.core.device import SECTOR_BYTES
from bootpath.core.errors import BootError, FormatError
from bootpath.formats.cmdline.address import (
    PARTUUIDS,
    Assembly,
    DeviceAddress,
    LogicalVolumeAddress,
    RootAddress,
    RootStyle,
    UbiAddress,
    VolumePartitionAddress,
    device_name,
    mapper_name,
    named_by_uuid,
    slot_of,
    volume_of,
)
from bootpath.formats.cmdline.devices import Slot
from bootpath.formats.cmdline.parameters import Parameter, quote, split_init
from bootpath.formats.cmdline.root import VERITY_ROOT, RootParameters, names_root
from bootpath.formats.dm.create import MappedDevice
from bootpath.formats.dm.table import Table, TableLine
from bootpath.formats.dm.targets import rename_devices
from bootpath.formats.dm.verity import VerityTarget


def root_parameters(address: RootAddress, style: RootStyle = PARTUUIDS) -> RootParameters:
    """The parameters for a root. Raises BootError when there are none."""
    try:
        if style.assembly is Assembly.KERNEL and (address.verity is not None or volume_of(address.data) is not None):
            return _made_by_kernel(address, style)
        return _found_by_initramfs(address, style)
    except FormatError as fault:
        raise BootError(f"no kernel parameter can name the root: {fault.what}", hint=fault.hint) from fault


def check_options(options: Iterable[Parameter], added: Iterable[Parameter]) -> None:
    """Refuse the options of an entry that name another root than what is appended to them. Raises BootError.

    One of the two would win by accident: Linux takes the last ``root=``, systemd prefers it to ``roothash=``.
    """
    texts = {(each.key, each.value) for each in added}
    for each in split_init(options)[0]:
        other = names_root(each) and (each.key, each.value) not in texts
        if other and (each.key, each.value) != ("root", VERITY_ROOT):
            raise BootError(f"the entry asks for its root (linux-appendroot), and names one itself: {each.text}")


def _found_by_initramfs(address: RootAddress, style: RootStyle) -> RootParameters:
    verity = address.verity
    devices = [address.data] if verity is None else [address.data, verity.hashes]
    data = device_name(address.data, style)
    return RootParameters(
        root=data if verity is None else None,
        file_system="ubifs" if verity is None and _is_ubifs(address.data) else None,
        root_hash=None if verity is None else verity.root_hash,
        verity_data=None if verity is None else data,
        verity_hash=None if verity is None else device_name(verity.hashes, style),
        lvm_volumes=tuple(
            dict.fromkeys(
                f"{volume.group}/{volume.name}"
                for volume in map(volume_of, devices)
                if volume is not None and not named_by_uuid(volume, style)
            )
        ),
        slot=_slot(address.data, style),
        hash_slot=None if verity is None else _slot(verity.hashes, style),
        others=tuple(dict.fromkeys(each for device in devices for each in _attached(device, style))),
    )


def _slot(address: DeviceAddress, style: RootStyle) -> Slot | None:
    """Where a partition must be, for our initramfs, unless it is named by a node anyway."""
    named = style.disk is not None and not isinstance(address, VolumePartitionAddress)
    return slot_of(address) if style.assembly is Assembly.BOOTPATH and not named else None


def _is_ubifs(address: DeviceAddress) -> bool:
    return isinstance(address, UbiAddress) and address.ubifs


def _attached(address: DeviceAddress, style: RootStyle) -> tuple[Parameter, ...]:
    """The parameters by which UBI attaches the flash, and makes a block device of a volume; our initramfs does both."""
    if not isinstance(address, UbiAddress) or style.assembly is Assembly.BOOTPATH:
        return ()
    attach = () if style.disk is None else (quote("ubi.mtd", style.disk),)
    return attach if address.ubifs else (*attach, quote("ubi.block", f"0,{address.name}"))


def _made_by_kernel(address: RootAddress, style: RootStyle) -> RootParameters:
    """The devices that the kernel makes before it mounts the root, which is the last one."""
    devices: list[MappedDevice] = []
    root = _mapped(address.data, style, devices)
    if address.verity is not None:
        verity = address.verity
        hashes = root if verity.hashes == address.data else _mapped(verity.hashes, style, devices)
        target = VerityTarget(root, hashes, verity.parameters, verity.start_block, verity.root_hash)
        sectors = verity.parameters.data_bytes // SECTOR_BYTES
        root = _add("root", Table((TableLine(0, sectors, "verity", target.pack()),)), devices)
    return RootParameters(root=root, mapped_devices=tuple(devices))


def _mapped(address: DeviceAddress, style: RootStyle, devices: list[MappedDevice]) -> str:
    """The name of a device, which is made first when it is a volume."""
    if isinstance(address, VolumePartitionAddress):
        volume = _mapped(address.volume, style, devices)
        line = TableLine(0, address.sectors, "linear", (volume, str(address.first_sector)))
        name = mapper_name(address.volume.group, address.volume.name)
        return _add(f"{name}p{address.partition.number}", Table((line,)), devices)
    if isinstance(address, UbiAddress) or (isinstance(address, LogicalVolumeAddress) and address.table is None):
        # UBI and its block devices come as late as device-mapper does: nothing says which is first.
        raise BootError(f"the kernel alone cannot assemble the volume {address.name}")
    if not isinstance(address, LogicalVolumeAddress):
        return device_name(address, style)
    assert address.table is not None
    names: Mapping[str, str] = {name: device_name(member, style) for name, member in address.members}
    table = rename_devices(address.table, lambda name: names.get(name, name))
    return _add(mapper_name(address.group, address.name), table, devices)


def _add(name: str, table: Table, devices: list[MappedDevice]) -> str:
    """Add a device, unless it is there already, with a minor number, so that its name in /dev is known."""
    made = next((device.minor for device in devices if device.name == name), None)
    if made is not None:
        return f"/dev/dm-{made}"
    devices.append(MappedDevice(name, "", len(devices), read_only=True, table=table))
    return f"/dev/dm-{len(devices) - 1}"
