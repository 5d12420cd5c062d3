from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.formats.cmdline.root import (
    VERITY_ROOT,
    LogicalVolume,
    OnFail,
    RootWords,
    Slot,
    UbiVolume,
    pack_root_words,
    parse_root_words,
    parse_slot,
)

GUID = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
HASH = bytes(range(32))
VG, LV = "PBcCoW-3nMh-bxAi-F2Sl-As4J-0Shv-rL03fk", "dCjLNb-92cp-wDlj-obHQ-RPgV-ZrvR-rRWr8d"

guids = st.uuids()
slots = st.builds(Slot, guids, st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1))
texts = st.text("abcXYZ019._-/ ", min_size=1).filter(lambda text: text == " ".join(text.split()))
devices = st.one_of(guids.map(lambda guid: f"PARTUUID={guid}"), texts.map(lambda text: f"LABEL={text}"))
others = st.lists(st.sampled_from(["quiet", "console=ttyS0,115200", "systemd.unit=rescue.target", "a.b=c d"])).map(
    tuple
)


@st.composite
def root_words(draw: st.DrawFn) -> RootWords:
    verity = draw(st.booleans())
    return RootWords(
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
        lvm_groups=draw(st.sampled_from([(), ("vg0", "vg1")])),
        on_fail=draw(st.sampled_from(OnFail)),
        others=draw(others),
    )


@given(root_words())
def test_pack_then_parse_is_the_identity(words: RootWords) -> None:
    try:
        packed = pack_root_words(words)
    except FormatError:
        raise AssertionError("a value that exists can be packed") from None
    assert parse_root_words(packed) == words


@given(slots)
def test_slots(slot: Slot) -> None:
    assert parse_slot(str(slot)) == slot


def test_words_of_all_kinds() -> None:
    words = parse_root_words(
        f'BOOT_IMAGE=/linux root=LABEL="my root" rw quiet rootflags=noatime rootwait roothash={HASH.hex().upper()} '
        f"systemd.verity_root_hash=/dev/vda3 bootpath.slot={GUID}:2:4096 bootpath.onfail=halt -- single root=x"
    )
    assert words.root == "LABEL=my root"
    assert (words.read_only, words.mount_options, words.wait_for_ever) == (False, "noatime", True)
    assert words.root_hash == HASH
    assert words.slot == Slot(GUID, 2, 4096)
    assert words.on_fail is OnFail.HALT
    assert words.others == ("BOOT_IMAGE=/linux", "quiet", "--", "single", "root=x")


def test_a_root_hash_alone_says_which_partitions() -> None:
    """DPS: the first and the last 128 bits."""
    words = parse_root_words(f"roothash={HASH.hex()}")
    assert words.data_device == f"PARTUUID={UUID(bytes=HASH[:16])}"
    assert words.hash_device == f"PARTUUID={UUID(bytes=HASH[16:])}"
    assert parse_root_words("quiet").data_device is None


def test_where_the_data_is() -> None:
    volume = RootWords(root=VERITY_ROOT, root_hash=HASH, logical_volume=LogicalVolume(VG, LV))
    assert volume.data_device == f"LV={VG}/{LV}"
    flash = RootWords(ubi_volume=UbiVolume("nand: 0", "root"), root_hash=HASH, verity_options=("hash-offset=8192",))
    assert flash.data_device == flash.hash_device == "UBI=nand: 0:root"
    assert parse_root_words(pack_root_words(flash)) == flash
    assert RootWords(root="/dev/vda1", root_hash=HASH).data_device == "/dev/vda1"
    assert RootWords(root="/dev/vda1", root_hash=HASH, verity_data="/dev/vda1").data_device == "/dev/vda1"


def test_of_linux_words_the_last_counts_and_ours_are_said_once() -> None:
    assert parse_root_words("root=/dev/a ro root=/dev/b rw").root == "/dev/b"
    assert parse_root_words(f"roothash={HASH.hex()} roothash={HASH.hex()}").root_hash == HASH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"roothash={HASH.hex()} roothash={HASH[::-1].hex()}", "roothash is .* expected one value"),
        (f"bootpath.slot={GUID}:1:1 bootpath.slot={GUID}:2:1", "bootpath.slot is"),
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
        ("bootpath.sloot=1", "a word that is not known"),
        (f"bootpath.lv={VG}", "<VG uuid>/<LV uuid>"),
        ("bootpath.ubi=root", "<mtd>:<volume>"),
        ("bootpath.slot=1:2:3", "<disk guid>:<entry number>:<first lba>"),
        (f"bootpath.slot={GUID}:0:3", "<disk guid>:<entry number>:<first lba>"),
        ("systemd.verity_root_data=/dev/vda1", "without roothash="),
        (f"bootpath.hash_slot={GUID}:1:1 root=/dev/vda1", "without roothash="),
        (f"roothash={HASH.hex()} systemd.verity_root_options=fec-roots=2", "one of root-hash-signature"),
        (f"roothash={HASH.hex()} systemd.verity_root_options=hash-offset", "one of root-hash-signature"),
        (f"roothash={HASH.hex()} systemd.verity_root_options=salt=1,salt=2", "every option once"),
        (f"root=/dev/vda1 bootpath.lv={VG}/{LV}", "the data device is .* expected one place"),
        (f"bootpath.lv={VG}/{LV} bootpath.slot={GUID}:1:1", "said of LV=.* expected a partition"),
        ("rd.lvm.lv=vg", "<group>/<volume>"),
        ("rd.lvm.vg=-ay", "the name of a group"),
        ('root="/dev/vda1', "a quote does not end"),
        ("root=/dev/vdä", "not printable ASCII"),
    ],
)
def test_words_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_root_words(text)


@pytest.mark.parametrize("word", ["root=/dev/vda", "ro", "bootpath.new=1", 'a="b', "roothash=00", "rootwait"])
def test_others_say_nothing_about_the_root(word: str) -> None:
    with pytest.raises(FormatError):
        RootWords(others=(word,))
    assert RootWords(others=("--", word.replace('"', ""))).others[0] == "--"
