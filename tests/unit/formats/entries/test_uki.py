from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.pe import PeImage, PeSection, read_pe
from bootpath.formats.entries.uki import CMDLINE_MAX_BYTES, EfiArchitecture, Uki, read_uki, read_uki_addon
from tests.support.bootfiles import AA64, X64, pe_image, read_at
from tests.support.errors import raises

OS_RELEASE = b'PRETTY_NAME="Foo 1"\nID=foo\nVERSION_ID=1\n'
# The example of the specification.
PROFILES = [
    (".text", b"stub"),
    (".linux", b"kernel"),
    (".osrel", OS_RELEASE),
    (".cmdline", b"quiet"),
    (".profile", b'ID=regular\nTITLE="Regular boot"\n'),
    (".profile", b'ID=factory-reset\nTITLE="Reset Device to Factory Defaults"\n'),
    (".cmdline", b"quiet systemd.unit=factory-reset.target"),
    (".profile", b'ID=storagetm\nTITLE="Boot into Storage Target Mode"\n'),
    (".cmdline", b"quiet rd.systemd.unit=storage-target-mode.target"),
]


def uki_of(data: bytes) -> Uki:
    return read_uki(read_at(data), len(data))


def test_sections_are_found() -> None:
    data = pe_image([(".text", b"x" * 513), (".linux", b"kernel"), (".empty", b"")], machine=AA64)
    image = read_pe(read_at(data), len(data))
    assert image == PeImage(
        AA64, 10, (PeSection(".text", 512, 513), PeSection(".linux", 1536, 6), PeSection(".empty", 0, 0))
    )
    assert data[1536:1542] == b"kernel"


def test_an_image_without_profiles() -> None:
    sections = [(".linux", b"k"), (".osrel", OS_RELEASE), (".cmdline", b" a\nb \0junk"), (".uname", b"6.1\n")]
    uki = uki_of(pe_image([*sections, (".dtbauto", b"1"), (".dtbauto", b"2")]))
    assert (uki.architecture, uki.multi_profile, len(uki.profiles)) == (EfiArchitecture.X64, False, 1)
    profile = uki.profile(None)
    assert (profile.command_line, profile.uname) == ("a b", "6.1")
    assert profile.os_release == {"PRETTY_NAME": "Foo 1", "ID": "foo", "VERSION_ID": "1"}
    assert [section.size_bytes for section in profile.sections[".dtbauto"]] == [1, 1]
    assert profile.section(".initrd") is None


def test_the_profiles_of_the_specification() -> None:
    uki = uki_of(pe_image(PROFILES))
    assert uki.multi_profile
    assert [(each.number, each.id, each.title, each.command_line) for each in uki.profiles] == [
        (0, "regular", "Regular boot", "quiet"),
        (1, "factory-reset", "Reset Device to Factory Defaults", "quiet systemd.unit=factory-reset.target"),
        (2, "storagetm", "Boot into Storage Target Mode", "quiet rd.systemd.unit=storage-target-mode.target"),
    ]
    assert {each.section(".linux") for each in uki.profiles} == {uki.profiles[0].section(".linux")}
    assert ".text" not in uki.profiles[0].sections
    assert uki.profile(None) is uki.profiles[0]
    with raises(FormatError, found="@3"):
        uki.profile(3)


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ([(".osrel", OS_RELEASE)], "no .linux"),
        ([(".linux", b"k"), (".linux", b"k")], "twice"),
        ([(".linux", b"k"), (".profile", b""), (".initrd", b"a"), (".initrd", b"a")], "twice"),
        ([(".linux", b"k"), (".osrel", b"ID=\xff")], "UTF-8"),
        ([(".linux", b"k"), (".cmdline", b"\xff")], "UTF-8"),
        ([(".linux", b"k"), (".cmdline", b"x" * (CMDLINE_MAX_BYTES + 1))], "at most"),
    ],
)
def test_images_that_are_none(sections: list[tuple[str, bytes]], what: str) -> None:
    with pytest.raises(FormatError, match=what):
        uki_of(pe_image(sections))


def test_an_image_for_other_than_efi_is_none() -> None:
    with pytest.raises(FormatError, match="subsystem"):
        uki_of(pe_image([(".linux", b"k")], subsystem=3))


def test_headers_that_lie() -> None:
    whole = pe_image([(".linux", b"k" * 600)])
    section = whole.index(b".linux")
    for offset, change, what in [
        (0, b"ZM", "MZ"),
        (60, b"\xff\xff\xff\x7f", "headers end"),
        (64, b"PX", "PE"),
        (64 + 6, b"\x61\0", "97 sections"),
        (64 + 6, b"\x60\0", "no .linux|linux has|headers end|section"),
        (64 + 20, b"\x10\0", "optional header"),
        (64 + 24, b"\x07\x01", "optional header"),
        (section, b"\xff", "ASCII"),
        (section + 16, b"\xff\xff\xff\xff", "section '.linux' ends beyond the file"),
        (section + 20, b"\xff\xff\xff\xff", "section '.linux' ends beyond the file"),
    ]:
        with pytest.raises(FormatError, match=what):
            uki_of(whole[:offset] + change + whole[offset + len(change) :])


def test_a_section_that_is_larger_in_memory_is_padded_with_zeros_there() -> None:
    """ukify since 257 makes .linux so; the content is what the file has (PE Format, VirtualSize)."""
    image = pe_image([(".linux", b"k" * 600), (".cmdline", b"quiet")])
    section = image.index(b".linux")
    found = uki_of(image[: section + 8] + (200_000).to_bytes(4, "little") + image[section + 12 :])
    kernel = found.profiles[0].section(".linux")
    assert kernel is not None
    assert image[kernel.offset : kernel.offset + kernel.size_bytes] == b"k" * 600 + bytes(1024 - 600)
    assert found.profiles[0].command_line == "quiet"


@pytest.mark.parametrize("length", [0, 1, 63, 64, 87, 150, 200, 512, 1023])
def test_a_short_file_is_refused(length: int) -> None:
    data = pe_image([(".linux", b"k" * 600)])[:length]
    with pytest.raises(FormatError):
        uki_of(data)


def test_only_headers_and_texts_are_read() -> None:
    data = pe_image([(".linux", bytes(1 << 20)), (".initrd", bytes(1 << 20)), (".cmdline", b"quiet")])
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return data[offset : offset + length]

    read_uki(read, len(data))
    assert sum(asked) < 4096


def test_addons() -> None:
    data = pe_image([(".cmdline", b"debug"), (".sbat", b"x")], machine=AA64)
    addon = read_uki_addon(read_at(data), len(data))
    assert (addon.architecture, addon.command_line) == (EfiArchitecture.AA64, "debug")
    for sections, what in (([(".linux", b"k"), (".cmdline", b"x")], "kernel"), ([(".sbat", b"x")], "nothing")):
        data = pe_image(sections)
        with pytest.raises(FormatError, match=what):
            read_uki_addon(read_at(data), len(data))


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("x64", "x64"), ("X64", "x64"), ("x86_64", "x64"), ("aarch64", "aa64"), ("i686", "ia32"), ("riscv64", "riscv64")],
)
def test_names_of_architectures(name: str, architecture: str) -> None:
    found = EfiArchitecture.named(name)
    assert found is not None
    assert found.value == architecture
    assert EfiArchitecture.named("vax") is None
    assert EfiArchitecture.of_machine(X64) is EfiArchitecture.X64
