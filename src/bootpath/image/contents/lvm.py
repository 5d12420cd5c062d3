"""LVM2's volume groups on a set of devices: which belong together, what is missing, and the table of each volume.

Physical volumes are known by the UUID in their label, never by a path. Of all versions of a group's metadata, on all of
its devices, the highest `seqno` is true; a physical volume that carries none is found by its UUID. What cannot be
told is refused, not guessed: two devices with one UUID (a copy made with dd), two texts of one `seqno` that differ, two
groups of one name.

Source: lvm(8), pvscan(8), vgimportclone(8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bootpath.core.device import Device
from bootpath.core.errors import FormatError, TableError
from bootpath.formats.dm.table import Table
from bootpath.formats.lvm2.label import LvmMember, probe_lvm2, read_lvm2
from bootpath.formats.lvm2.volumes import LogicalVolume, VolumeGroup


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A group in its newest version. `members` are its devices by the UUID of the physical volume.

    `missing` are the UUIDs of those not found, `duplicated` of those found on more than one device; `fault` is set
    when the group as a whole cannot be believed.
    """

    group: VolumeGroup
    members: Mapping[str, Device]
    missing: tuple[str, ...]
    duplicated: tuple[str, ...]
    fault: TableError | None = None
    _absent: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_absent", frozenset(self.missing))

    @property
    def volumes(self) -> tuple[LogicalVolume, ...]:
        """Its logical volumes, inner ones too."""
        return self.group.logical_volumes

    def refusal(self, volume: LogicalVolume) -> TableError | None:
        """Why a volume cannot be opened, or None when it can."""
        if self.fault is not None:
            return self.fault
        doubled = sorted({pv.uuid for pv in volume.physical_volumes} & set(self.duplicated))
        if doubled:
            return TableError(
                "more than one device is the physical volume",
                where=f"lvm2: {self.group.name}/{volume.name}",
                found=", ".join(doubled),
                hint="take the copies away, or give them new UUIDs with vgimportclone",
            )
        return self.group.refusal(volume, self._absent)

    def table(self, volume: LogicalVolume, *, names: Mapping[str, str] | None = None) -> Table:
        """The volume's table; devices are named by UUID, or as `names` says. Raises TableError as `refusal` says."""
        refusal = self.refusal(volume)
        if refusal is not None:
            raise refusal
        return self.group.table(volume, self._absent, names=names)


@dataclass(frozen=True, slots=True)
class LvmFindings:
    """What was found. `orphans` are physical volumes of no group; `faults` name the device they were found on."""

    groups: tuple[FoundGroup, ...]
    orphans: tuple[LvmMember, ...]
    faults: tuple[FormatError, ...]


def find_volume_groups(devices: Iterable[Device]) -> LvmFindings:
    """The groups on those of the devices that are physical volumes. Raises DeviceError only."""
    members: list[tuple[LvmMember, Device]] = []
    faults: list[FormatError] = []
    for device in devices:
        if not probe_lvm2(device):
            continue
        try:
            member = read_lvm2(device)
        except FormatError as error:
            error.at(device.identity.name)
            faults.append(error.as_value())
            continue
        for fault in member.faults:
            fault.at(device.identity.name)
            faults.append(fault)
        members.append((member, device))
    newest = _newest(members)
    names = Counter(group.name for group, _ in newest.values())
    groups = tuple(_found(group, fault, members, names) for group, fault in newest.values())
    owned = {pv.uuid for found in groups for pv in found.group.physical_volumes}
    orphans = tuple(member for member, _ in members if member.label.uuid not in owned)
    return LvmFindings(groups, orphans, tuple(faults))


def _newest(members: list[tuple[LvmMember, Device]]) -> dict[str, tuple[VolumeGroup, TableError | None]]:
    """Each group's newest version by its UUID, and a fault when two that differ claim to be that."""
    newest: dict[str, tuple[VolumeGroup, TableError | None]] = {}
    for member, _ in members:
        for group in member.groups:
            known, _ = newest.get(group.uuid, (None, None))
            if known is None or group.seqno > known.seqno:
                newest[group.uuid] = (group, None)
            elif group.seqno == known.seqno and group != known:
                fault = TableError(
                    f"two different descriptions of the group have the sequence number {group.seqno}",
                    where=f"lvm2: {group.name}",
                    hint="parts of it were changed apart; vgcfgrestore one of them",
                )
                newest[group.uuid] = (known, fault)
    return newest


def _found(
    group: VolumeGroup,
    fault: TableError | None,
    members: list[tuple[LvmMember, Device]],
    names: Mapping[str, int],
) -> FoundGroup:
    wanted = {pv.uuid for pv in group.physical_volumes}
    present: dict[str, Device] = {}
    duplicated: list[str] = []
    for member, device in members:
        uuid = member.label.uuid
        if uuid in present:
            duplicated.append(uuid)
        elif uuid in wanted:
            present[uuid] = device
    if names[group.name] > 1:
        fault = fault or TableError(
            "another volume group has the same name", where=f"lvm2: {group.name}", found=group.uuid, hint="vgrename one"
        )
    missing = tuple(pv.uuid for pv in group.physical_volumes if pv.uuid not in present)
    return FoundGroup(group, present, missing, tuple(duplicated), fault)
