from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.formats.cmdline.devices import LogicalVolumeId, Slot, UbiVolumeId, parse_slot
from bootpath.formats.cmdline.parameters import Parameter, join_parameters, quote, split_parameters
from bootpath.formats.cmdline.root import (
    VERITY_ROOT,
    OnFail,
    RootParameters,
    pack_root_parameters,
    parse_root_parameters,
)
from bootpath.formats.dm.create import MappedDevice
from bootpath.formats.dm.table import Table, TableLine

GUID = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
HASH = bytes(range(32))
VG, LV = "PBcCoW-3nMh-bxAi-F2Sl-As4J-0Shv-rL03fk", "dCjLNb-92cp-wDlj-obHQ-RPgV-ZrvR-rRWr8d"

guids = st.uuids()
slots = st.builds(Slot, guids, st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1))
texts = st.text("abcXYZ019._-/ ", min_size=1).filter(lambda text: text == " ".join(text.split()))
devices = st.one_of(guids.map(lambda guid: f"PARTUUID={guid}"), texts.map(lambda text: f"LABEL={text}"))
OTHERS = [
    "quiet",
    "console=ttyS0,115200",
    "systemd.unit=rescue.target",
    'a.b="c d"',
    'x="é\t"',
    "root",
    "--",
    "-- root=x",
]
others = st.lists(st.sampled_from(OTHERS)).map(" ".join).map(split_parameters)
MAPPED = MappedDevice("root", "", 0, read_only=True, table=Table((TableLine(0, 8, "linear", ("/dev/vda1", "0")),)))


@st.composite
def roots(draw: st.DrawFn) -> RootParameters:
    verity = draw(st.booleans())
    return RootParameters(
        root=draw(devices | st.none()),
        file_system=draw(st.sampled_from([None, "ext4", "squashfs,erofs"])),
        mount_options=draw(st.sampled_from([None, "noatime,errors=panic"])),
        read_only=draw(st.sampled_from([None, True, False])),
        wait_seconds=draw(st.integers(0, 99) | st.none()),
        init=draw(st.sampled_from([None, "/sbin/init"])),
        root_hash=draw(st.binary(min_size=32, max_size=32)) if verity else None,
        verity_hash=draw(devices | st.none()) if verity else None,
        verity_options=("hash-offset=4096", "panic-on-corruption") if verity and draw(st.booleans()) else (),
        hash_slot=draw(slots | st.none()) if verity else None,
        mapped_devices=draw(st.sampled_from([(), (MAPPED,)])),
        lvm_groups=draw(st.sampled_from([(), ("vg0", "vg1")])),
        on_fail=draw(st.sampled_from(OnFail)),
        others=draw(others),
    )


@given(roots())
def test_pack_then_parse_is_the_identity(root: RootParameters) -> None:
    try:
        packed = pack_root_parameters(root)
    except FormatError:
        raise AssertionError("a value that exists can be packed") from None
    assert parse_root_parameters(packed) == root
    assert parse_root_parameters(join_parameters(packed, limit_bytes=4096)) == root


@given(slots)
def test_slots(slot: Slot) -> None:
    assert parse_slot(str(slot)) == slot


def test_parameters_of_all_kinds() -> None:
    root = parse_root_parameters(
        f'BOOT_IMAGE=/linux root="LABEL=my root" rw quiet rootflags=noatime rootwait roothash={HASH.hex().upper()} '
        f"systemd.verity_root_hash=/dev/vda3 bootpath.slot={GUID}:2:4096 bootpath.onfail=halt -- single root=x"
    )
    assert root.root == "LABEL=my root"
    assert (root.read_only, root.mount_options, root.wait_for_ever) == (False, "noatime", True)
    assert root.root_hash == HASH
    assert root.slot == Slot(GUID, 2, 4096)
    assert root.on_fail is OnFail.HALT
    assert root.others == split_parameters("BOOT_IMAGE=/linux quiet -- single root=x")


def test_a_root_hash_alone_says_which_partitions() -> None:
    """DPS: the first and the last 128 bits."""
    root = parse_root_parameters(f"roothash={HASH.hex()}")
    assert root.data_device == f"PARTUUID={UUID(bytes=HASH[:16])}"
    assert root.hash_device == f"PARTUUID={UUID(bytes=HASH[16:])}"
    assert parse_root_parameters("quiet").data_device is None


def test_where_the_data_is() -> None:
    volume = RootParameters(root=VERITY_ROOT, root_hash=HASH, logical_volume=LogicalVolumeId(VG, LV))
    assert volume.data_device == f"LV={VG}/{LV}"
    inside = RootParameters(root=f"LV={VG}/{LV}/12", slot=Slot(GUID, 12, 2048))
    assert inside == parse_root_parameters(pack_root_parameters(inside))
    assert parse_root_parameters(f"bootpath.lv={VG}/{LV}/12").logical_volume == LogicalVolumeId(VG, LV, 12)
    flash = RootParameters(
        ubi_volume=UbiVolumeId("nand: 0", "root"), root_hash=HASH, verity_options=("hash-offset=8192",)
    )
    assert flash.data_device == flash.hash_device == "UBI=nand: 0:root"
    assert parse_root_parameters(pack_root_parameters(flash)) == flash
    assert RootParameters(root="/dev/vda1", root_hash=HASH).data_device == "/dev/vda1"
    assert RootParameters(root="/dev/vda1", root_hash=HASH, verity_data="/dev/vda1").data_device == "/dev/vda1"


def test_the_last_parameter_of_linux_counts_and_ours_come_once() -> None:
    assert parse_root_parameters("root=/dev/a ro root=/dev/b rw").root == "/dev/b"
    assert parse_root_parameters(f"roothash={HASH.hex()} roothash={HASH.hex()}").root_hash == HASH
    assert parse_root_parameters("root=/dev/a rootwait rootdelay=5").wait_seconds == 5


def test_names_are_compared_as_linux_does() -> None:
    root = parse_root_parameters(f"roothash={HASH.hex()} systemd.verity-root-data=/dev/vda1")
    assert root.verity_data == "/dev/vda1"
    made = parse_root_parameters('dm_mod.create="root,,0,ro,0 8 linear /dev/vda1 0" root=/dev/dm-0')
    assert made.mapped_devices == (MAPPED,)


def test_slots_of_partitions_that_the_kernel_maps() -> None:
    slot = Slot(GUID, 1, 34)
    made = RootParameters(root="/dev/dm-0", mapped_devices=(MAPPED,), slot=slot, hash_slot=slot)
    assert parse_root_parameters(pack_root_parameters(made)) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"roothash={HASH.hex()} roothash={HASH[::-1].hex()}", "roothash comes twice, as .* expected one value"),
        (f"bootpath.slot={GUID}:1:1 bootpath.slot={GUID}:2:1", "bootpath.slot comes twice"),
        ("roothash=12", "16 to 64 bytes"),
        ("root=vda1", "PARTUUID=, UUID="),
        ("root=/dev/../etc", "PARTUUID=, UUID="),
        ("root=PARTUUID=nothing", "a GUID"),
        ("root=FOO=bar", "PARTUUID=, UUID="),
        ("root=", "PARTUUID=, UUID="),
        ("rootdelay=soon", "0 to 999999 seconds"),
        ("rootdelay=", "0 to 999999 seconds"),
        ("init=bin/sh", "an absolute path"),
        ("bootpath.onfail=panic", "reboot, shell or halt"),
        ("bootpath.sloot=1", "is not a parameter of bootpath"),
        ("bootpath.slot", "is not a parameter of bootpath"),
        (f"bootpath.lv={VG}", "<VG uuid>/<LV uuid>"),
        (f"bootpath.lv={VG}/{LV}/0", "a partition in it"),
        (f"root=LV={VG}/{LV}/4294967296", "a partition in it"),
        (f"root=LV={VG}/{LV}/1/1", "a partition in it"),
        ("bootpath.ubi=root", "<mtd>:<volume>"),
        ("bootpath.slot=1:2:3", "<disk guid or signature>:<partition number>:<first lba>"),
        (f"bootpath.slot={GUID}:0:3", "<disk guid or signature>:<partition number>:<first lba>"),
        ("systemd.verity_root_data=/dev/vda1", "without roothash="),
        (f"bootpath.hash_slot={GUID}:1:1 root=/dev/vda1", "without roothash="),
        (f"roothash={HASH.hex()} systemd.verity_root_options=fec-roots=2", "one of root-hash-signature"),
        (f"roothash={HASH.hex()} systemd.verity_root_options=hash-offset", "one of root-hash-signature"),
        (f"roothash={HASH.hex()} systemd.verity_root_options=salt=1,salt=2", "every option once"),
        (f"root=/dev/vda1 bootpath.lv={VG}/{LV}", "the data is said to be on .* expected one device"),
        (f"bootpath.lv={VG}/{LV} bootpath.slot={GUID}:1:1", "said of LV=.*, which is not a partition"),
        ("rd.lvm.lv=vg", "<group>/<volume>"),
        ("rd.lvm.vg=-ay", "the name of a group"),
        ('root="/dev/vda1', "a quote does not end"),
        ("root=/dev/vdä", "PARTUUID=, UUID="),
        ('root=LABEL="my root"', "a value without quotes"),
        ('root="LABEL=a\tb"', "a value without quotes"),
        ("dm-mod.create=root", "dm-mod.create"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_root_parameters(text)


@pytest.mark.parametrize("text", ["root=/dev/vda", "ro", "bootpath.new=1", "roothash=00", "rootwait", "dm_mod.create="])
def test_others_say_nothing_about_the_root(text: str) -> None:
    with pytest.raises(FormatError, match="says nothing about the root"):
        RootParameters(others=(Parameter(text),))
    assert RootParameters(others=(quote("--"), Parameter(text))).others[1].text == text
