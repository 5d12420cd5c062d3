"""The kernel command line of a Linux image, parameter by parameter, and who put each there.

::

    the entry's options … | the root, by the loader | the slot, by the loader | the machine's | the caller's [-- init's]

- The loader names the root when the entry asks for it (``linux-appendroot``) or names none itself, unless the caller
  names one: `image.entries.appendedroot` says which, `formats.cmdline.appendroot` how. Without an initramfs the kernel
  has to assemble it.
- The slot is added whenever the root is a partition (``bootpath.slot=``), so that what runs knows the place it was
  started from: copies of an image are equal in everything else.
- A disk that is raw flash needs parameters of its own, by which Linux makes an MTD of it. A GPT whose first copy is
  damaged, or which no MBR protects, needs ``gpt``: without it Linux finds no partitions.
- What stands behind ``--`` is for init (Linux, kernel-parameters.txt), so everything that is added goes before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from bootpath.core.errors import BootError, FormatError
from bootpath.formats.cmdline.address import (
    Assembly,
    DeviceAddress,
    DiskAddress,
    PartitionAddress,
    RootAddress,
    RootStyle,
    UbiAddress,
    VolumePartitionAddress,
    device_name,
    partition_device,
    slot_of,
)
from bootpath.formats.cmdline.appendroot import check_options, root_parameters
from bootpath.formats.cmdline.parameters import (
    COMMAND_LINE_BYTES,
    Parameter,
    command_line_bytes,
    join_parameters,
    quote,
    split_init,
    split_parameters,
)
from bootpath.formats.cmdline.root import (
    HASH_SLOT,
    SLOT,
    VERITY_ROOT_OPTIONS,
    RootParameters,
    names_root,
    pack_root_parameters,
    parse_root_parameters,
)
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.ubi.attach import Ubi

MTD = "0"
"""The MTD that Linux makes of a flash which is a disk: the first there is."""
_CONSOLE = "console"
_FORCE_GPT = Parameter("gpt")


class ParameterSource(Enum):
    """Who put a parameter on the command line."""

    ENTRY = "entry"
    LOADER = "loader"
    MACHINE = "machine"
    CALLER = "caller"


class ParameterReason(Enum):
    """Why a parameter was added to those of the entry."""

    ENTRY_ASKS = "the entry asks for the root (linux-appendroot)"
    ENTRY_NAMES_NONE = "the entry names no root"
    SIGNATURE = "the kernel checks the signature too"
    SLOT = "where it was found"
    FORCE_GPT = "Linux believes the partition table only so"
    MACHINE = "the machine needs it"
    CALLER = "--append"


_ONCE = (ParameterReason.SLOT, ParameterReason.FORCE_GPT)
"""Why parameters are added that are left alone where they are there already."""


@dataclass(frozen=True, slots=True)
class PlacedParameter:
    """A parameter, who put it there, and why; an entry's own has no reason."""

    parameter: Parameter
    source: ParameterSource
    reason: ParameterReason | None = None

    @property
    def key(self) -> str:
        """See `Parameter.key`."""
        return self.parameter.key

    @property
    def text(self) -> str:
        """The parameter as it stands on the line."""
        return self.parameter.text


@dataclass(frozen=True, slots=True)
class Flash:
    """Raw flash that is a disk, or a partition of one: its number, None for the whole disk, and its geometry."""

    ubi: Ubi
    number: int | None = None

    def parameters(self, disk_name: str) -> tuple[Parameter, ...]:
        """The parameters by which Linux makes an MTD of it and UBI attaches that (block2mtd.c, ubi/build.c)."""
        disk = disk_name if self.number is None else partition_device(disk_name, self.number)
        return (
            quote("block2mtd.block2mtd", f"{disk},{self.ubi.peb_bytes}"),
            quote("ubi.mtd", f"{MTD},{self.ubi.vid_offset}"),
        )


@dataclass(frozen=True, slots=True)
class RootNaming:
    """How the loader names the root: its address, and by which names. `flash` is there when it is on UBI.

    `signature` is where that of the root hash lies, when the kernel is to check it.
    """

    address: RootAddress | None
    disk_name: str
    fixed: bool = False
    assembly: Assembly = Assembly.BOOTPATH
    flash: Flash | None = None
    signature: DeviceAddress | None = None

    def parameters(self) -> RootParameters:
        """The parameters for the root, with its slots and its signature. Raises BootError when nothing names them."""
        if self.address is None:
            raise BootError("no kernel parameter can name the root", where="command line")
        named = root_parameters(self.address, self._style(self.address.data))
        verity = self.address.verity
        return replace(
            named,
            slot=slot_of(self.address.data),
            hash_slot=None if verity is None else slot_of(verity.hashes),
            verity_options=() if self.signature is None else (self.signature_option(),),
        )

    def signature_option(self) -> str:
        """The option of verity that hands the signature over. Raises BootError when no initramfs would do so."""
        assert self.signature is not None
        if self.assembly is not Assembly.BOOTPATH:
            raise BootError("only the initramfs of bootpath hands a signature to the kernel", where="command line")
        return f"root-hash-signature={device_name(self.signature, self._style(self.signature))}"

    def _style(self, address: DeviceAddress) -> RootStyle:
        if isinstance(address, UbiAddress):
            if self.flash is not None and self.assembly is not Assembly.BOOTPATH:
                return RootStyle(None, self.assembly)  # its own parameters attach it already
            is_mtd = not self.disk_name.startswith("/")
            return RootStyle(self.disk_name if is_mtd else MTD, self.assembly)
        # A disk without a table has no other name.
        named = self.fixed or isinstance(address, DiskAddress)
        return RootStyle(self.disk_name if named else None, self.assembly)


def decide_command_line(
    options: str, naming: RootNaming | None, *, append_root: bool, machine: Iterable[Parameter] = (), append: str = ""
) -> tuple[PlacedParameter, ...]:
    """The command line for an entry with these `options`; `naming` None where no root is known, and none is added.

    A parameter of the `machine` is skipped when the entry or `append` has a value of its own for it. Raises BootError
    when the root cannot be named, FormatError for options that Linux would misread.
    """
    entry, init = split_init(split_parameters(options))
    placed = [PlacedParameter(each, ParameterSource.ENTRY) for each in entry]
    caller = [
        PlacedParameter(each, ParameterSource.CALLER, ParameterReason.CALLER) for each in split_parameters(append)
    ]
    reason = None
    if not any(names_root(each.parameter) for each in caller):  # who names a root at the prompt means that one
        if append_root:
            reason = ParameterReason.ENTRY_ASKS
        elif not any(names_root(each.parameter) for each in placed):
            reason = ParameterReason.ENTRY_NAMES_NONE
    for parameter, why in () if naming is None else _added_by_loader(naming, placed, reason):
        if why not in _ONCE or not any(each.key == parameter.key for each in (*placed, *caller)):
            placed.append(PlacedParameter(parameter, ParameterSource.LOADER, why))
    for parameter in machine:
        if not _is_set(parameter, (*placed, *caller)):
            placed.append(PlacedParameter(parameter, ParameterSource.MACHINE, ParameterReason.MACHINE))
    return (*placed, *caller, *(PlacedParameter(each, ParameterSource.ENTRY) for each in init))


def command_line_of(placed: Iterable[PlacedParameter], architecture: Architecture | None = None) -> str:
    """The whole command line. Raises BootError when it is longer than Linux takes on this architecture."""
    limit_bytes = COMMAND_LINE_BYTES if architecture is None else command_line_bytes(architecture)
    return join_parameters((each.parameter for each in placed), limit_bytes=limit_bytes)


def read_root(placed: Iterable[PlacedParameter]) -> RootParameters:
    """What our initramfs reads on it. Raises FormatError when it would refuse the parameters."""
    return parse_root_parameters(each.parameter for each in placed)


def _added_by_loader(
    naming: RootNaming, entry: Iterable[PlacedParameter], reason: ParameterReason | None
) -> Iterator[tuple[Parameter, ParameterReason]]:
    """What the loader adds: all that names the root when there is a reason, else the slot and the signature."""
    if naming.address is not None and naming.address.force_gpt:
        yield _FORCE_GPT, ParameterReason.FORCE_GPT
    slots = reason is not None or _names_the_address(entry, naming)
    if reason is None and naming.signature is None and not slots:
        return
    if reason is not None and naming.flash is not None:
        yield from ((parameter, reason) for parameter in naming.flash.parameters(naming.disk_name))
    packed = pack_root_parameters(naming.parameters())
    if reason is ParameterReason.ENTRY_ASKS:
        check_options((each.parameter for each in entry), packed)
    for parameter in packed:
        if parameter.name == VERITY_ROOT_OPTIONS:
            yield parameter, ParameterReason.SIGNATURE
        elif parameter.name in (SLOT, HASH_SLOT):
            if slots:
                yield parameter, ParameterReason.SLOT
        elif reason is not None:
            yield parameter, reason


def _is_set(parameter: Parameter, placed: Iterable[PlacedParameter]) -> bool:
    """True when a parameter of this name is there already; of consoles there may be several."""
    same = [each.parameter for each in placed if each.key == parameter.key]
    if parameter.key != _CONSOLE:
        return bool(same)
    return any((each.value or "").partition(",")[0] == (parameter.value or "").partition(",")[0] for each in same)


def _names_the_address(entry: Iterable[PlacedParameter], naming: RootNaming) -> bool:
    """True when the entry names the root that was chosen, so that its slot may be added.

    Parameters of another initramfs may be unknown here; a slot that is not asked for harms nobody there.
    """
    address = naming.address
    if address is None or not isinstance(address.data, (PartitionAddress, VolumePartitionAddress)):
        return False
    try:
        root = read_root(entry)
    except FormatError:
        return False
    expected = None if address.verity is None else address.verity.root_hash
    return root.root_hash == expected and root.data_device in _names(address.data, naming)


def _names(address: PartitionAddress | VolumePartitionAddress, naming: RootNaming) -> tuple[str, ...]:
    partition = address if isinstance(address, PartitionAddress) else address.partition
    return (
        f"PARTUUID={partition.partuuid}",
        f"PARTUUID={partition.partuuid.upper()}",
        partition_device(naming.disk_name, partition.number)
        if partition is address
        else device_name(address, RootStyle(assembly=Assembly.BOOTPATH)),
    )
