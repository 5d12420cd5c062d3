from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.boot.linux.cmdline import Flash, RootNaming, WordSource, decide_words, line_of, read_words
from bootpath.core.errors import BootError, FormatError
from bootpath.formats.cmdline.appendroot import Assembly, DiskSpot, PartitionSpot, RootPlace, UbiSpot
from bootpath.formats.cmdline.parameters import split_raw
from bootpath.formats.ubi.attach import Ubi, read_ubi
from tests.support.ubiimage import Flash as FlashImage
from tests.support.ubiimage import record

PARTUUID = "11111111-2222-4333-8444-555555555555"
SLOT = "0fd1c4d2-1b1a-4f4f-9d3c-6a3f4a0c0de0:2:2048"
PARTITION = RootPlace(PartitionSpot(PARTUUID, 2, SLOT))
NAMING = RootNaming(PARTITION, "/dev/vda")
MACHINE = ("console=ttyS0", "panic=-1")


def ubi() -> Ubi:
    flash = FlashImage({0: record("root", 3)}).layout()
    return read_ubi(flash.device())


def test_a_quoted_word_stays_one_with_its_quotes() -> None:
    assert list(split_raw('a  b="c d"\t"e f" g')) == ["a", 'b="c d"', '"e f"', "g"]
    with pytest.raises(FormatError, match="a quote does not end"):
        list(split_raw('a "b'))


def test_every_word_says_who_put_it_there() -> None:
    words = decide_words("quiet", NAMING, append_root=True, machine=MACHINE, append="debug")
    assert [(word.text, word.source) for word in words] == [
        ("quiet", WordSource.ENTRY),
        (f"root=PARTUUID={PARTUUID}", WordSource.LOADER),
        (f"bootpath.slot={SLOT}", WordSource.LOADER),
        ("console=ttyS0", WordSource.MACHINE),
        ("panic=-1", WordSource.MACHINE),
        ("debug", WordSource.CALLER),
    ]
    assert all(word.reason for word in words[1:])


def test_a_signature_is_handed_over_by_its_place() -> None:
    naming = replace(NAMING, signature=PartitionSpot(PARTUUID, 4))
    option = "systemd.verity_root_options=root-hash-signature="
    words = decide_words("roothash=00", naming, append_root=False)
    assert (words[1].text, words[1].source) == (f"{option}PARTUUID={PARTUUID}", WordSource.LOADER)
    assert replace(naming, fixed=True).signature_words() == (f"{option}/dev/vda4",)
    assert replace(naming, signature=UbiSpot("sig", 3)).signature_words() == (f"{option}UBI=0:sig",)
    with pytest.raises(BootError, match="only the initramfs of bootpath hands a signature to the kernel"):
        replace(naming, assembly=Assembly.INITRAMFS).signature_words()


def test_an_entry_that_names_another_root_gets_no_slot() -> None:
    words = decide_words("root=UUID=1234", NAMING, append_root=False)
    assert line_of(words) == "root=UUID=1234"


@pytest.mark.parametrize("name", [f"PARTUUID={PARTUUID}", f"PARTUUID={PARTUUID.upper()}", "/dev/vda2"])
def test_an_entry_that_names_the_root_itself_is_told_the_slot(name: str) -> None:
    words = decide_words(f"root={name} ro", NAMING, append_root=False)
    assert line_of(words) == f"root={name} ro bootpath.slot={SLOT}"


def test_a_slot_that_is_said_is_not_said_again() -> None:
    words = decide_words("", NAMING, append_root=True, append=f"bootpath.slot={SLOT}")
    assert line_of(words) == f"root=PARTUUID={PARTUUID} bootpath.slot={SLOT}"


def test_an_entry_without_a_root_gets_the_one_that_was_chosen() -> None:
    words = decide_words("quiet", NAMING, append_root=False)
    assert words[1].reason == "the entry names no root"


def test_words_of_the_machine_give_way_but_a_console_is_one_more() -> None:
    words = decide_words("console=tty0 panic=10", NAMING, append_root=True, machine=MACHINE)
    assert line_of(words).endswith(" console=ttyS0")
    assert "panic=-1" not in line_of(words)
    words = decide_words("console=ttyS0,115200", NAMING, append_root=True, machine=MACHINE)
    assert line_of(words).count("ttyS0") == 1


def test_what_is_for_init_stays_behind() -> None:
    words = decide_words("quiet -- single", NAMING, append_root=True, machine=MACHINE, append="debug")
    assert line_of(words).endswith("panic=-1 debug -- single")


def test_a_disk_without_a_table_is_called_by_its_name() -> None:
    words = decide_words("", RootNaming(RootPlace(DiskSpot()), "/dev/sda"), append_root=True)
    assert line_of(words) == "root=/dev/sda"


def test_fixed_names_are_the_machines() -> None:
    words = decide_words("", RootNaming(PARTITION, "/dev/nvme0n1", fixed=True), append_root=True)
    assert line_of(words) == f"root=/dev/nvme0n1p2 bootpath.slot={SLOT}"


def test_flash_is_attached_first() -> None:
    naming = RootNaming(RootPlace(UbiSpot("root", 0)), "/dev/vda", flash=Flash(ubi(), 3))
    words = decide_words("", naming, append_root=True)
    assert line_of(words) == (
        f"block2mtd.block2mtd=/dev/vda3,{ubi().peb_bytes} ubi.mtd=0,{ubi().vid_offset} root=UBI=0:root"
    )
    assert read_words(words).data_device == "UBI=0:root"


def test_a_root_that_nothing_names() -> None:
    with pytest.raises(BootError, match="nothing names the root"):
        decide_words("", RootNaming(None, "/dev/vda"), append_root=True)
    assert line_of(decide_words("root=/dev/vda7", RootNaming(None, "/dev/vda"), append_root=False)) == "root=/dev/vda7"


def test_the_kernel_alone_gets_the_slot_too() -> None:
    naming = RootNaming(PARTITION, "/dev/vda", assembly=Assembly.KERNEL)
    assert line_of(decide_words("", naming, append_root=True)) == f"root=PARTUUID={PARTUUID} bootpath.slot={SLOT}"


def test_a_line_that_linux_would_cut_is_refused() -> None:
    with pytest.raises(BootError, match="the kernel's command line has"):
        line_of(decide_words("x" * 2040, NAMING, append_root=True))


@given(st.text(alphabet='ab=" \t\n-./'))
def test_any_text_is_words_or_a_quote_that_does_not_end(text: str) -> None:
    try:
        words = list(split_raw(text))
    except FormatError:
        assert text.count('"') % 2 == 1
        return
    assert "".join(text.split()) == "".join("".join(words).split())
    assert list(split_raw(" ".join(words))) == words
