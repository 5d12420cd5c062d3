from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.core.errors import FormatError
from bootpath.formats.partitions.dps import Architecture, Designator, type_guid
from bootpath.formats.repart.definition import (
    IGNORED,
    REFUSED,
    CopyFiles,
    FileSystemFormat,
    Minimize,
    RepartDefinition,
    VerityRole,
    pack_repart,
    partition_type,
)
from bootpath.formats.repart.parse import parse_repart

ROOT = type_guid(Designator.ROOT, Architecture.X86_64)
GENERIC = type_guid(Designator.LINUX_GENERIC)


def parse(text: str, *, name: str = "20-root.conf", specifiers: dict[str, str] | None = None) -> RepartDefinition:
    return parse_repart(
        f"[Partition]\n{text}\n".encode(), name=name, architecture=Architecture.X86_64, specifiers=specifiers
    )


def test_every_key() -> None:
    found = parse(
        """Type=root
Label=a%%b
UUID=0d7e49a2-5b26-4c4c-8a6b-2f2d1c9f4a11
SizeMinBytes=1M
SizeMaxBytes=1G
Format=erofs
CopyFiles=/srv//tree/:/
CopyFiles=/etc/os-release
ExcludeFiles=/srv/tree/tmp/ "/srv/a b"
MakeDirectories=/proc /sys
Minimize=guess
Verity=data
VerityMatchKey=main
VerityDataBlockSizeBytes=4K
VerityHashBlockSizeBytes=1024
Compression=lz4hc
CompressionLevel=12
ReadOnly=yes
NoAuto=off
GrowFileSystem=1
Flags=0x10
SplitName=%t.%U"""
    )
    assert found == RepartDefinition(
        "20-root.conf",
        ROOT,
        label="a%b",
        uuid=UUID("0d7e49a2-5b26-4c4c-8a6b-2f2d1c9f4a11"),
        size_min_bytes=1 << 20,
        size_max_bytes=1 << 30,
        format=FileSystemFormat.EROFS,
        copy_files=(CopyFiles("/srv/tree", "/"), CopyFiles("/etc/os-release", "/etc/os-release")),
        exclude_files=("/srv/tree/tmp/", "/srv/a b"),
        make_directories=("/proc", "/sys"),
        minimize=Minimize.GUESS,
        verity=VerityRole.DATA,
        verity_match_key="main",
        verity_data_block_bytes=4096,
        verity_hash_block_bytes=1024,
        compression="lz4hc",
        compression_level=12,
        read_only=True,
        no_auto=False,
        grow_file_system=True,
        flags=0x10,
        split_name="%t.%U",
    )
    assert parse_repart(pack_repart(found), name=found.name, architecture=Architecture.ARM64) == found


def test_defaults_are_those_of_the_manual() -> None:
    found = parse("")
    assert found == RepartDefinition("20-root.conf", GENERIC)
    assert found.populated_format is None
    assert parse("CopyFiles=/a").populated_format is FileSystemFormat.EXT4
    assert parse("Type=esp\nCopyFiles=/a:/").populated_format is FileSystemFormat.VFAT


@pytest.mark.parametrize(
    ("minimum", "maximum", "sizes"),
    [("1", "4097", (4096, 4096)), ("5000", "12K", (8192, 12288)), ("1.5K", "1T", (4096, 1 << 40))],
)
def test_sizes_are_rounded_up_and_down(minimum: str, maximum: str, sizes: tuple[int, int]) -> None:
    found = parse(f"SizeMinBytes={minimum}\nSizeMaxBytes={maximum}")
    assert (found.size_min_bytes, found.size_max_bytes) == sizes


def test_an_empty_value_takes_back_what_was_said() -> None:
    found = parse("CopyFiles=/a\nCopyFiles=\nCopyFiles=/b\nLabel=x\nLabel=")
    assert found.copy_files == (CopyFiles("/b", "/b"),)
    assert found.label is None


def test_types_by_name_and_uuid() -> None:
    assert partition_type("root-arm64-verity-sig", Architecture.X86_64) == type_guid(
        Designator.ROOT_VERITY_SIG, Architecture.ARM64
    )
    assert partition_type("usr-verity", Architecture.RISCV64) == type_guid(Designator.USR_VERITY, Architecture.RISCV64)
    assert partition_type(str(GENERIC), Architecture.X86) == GENERIC
    assert partition_type("rooot", Architecture.X86) is None


def test_specifiers() -> None:
    found = parse("Label=%M_%A-%a\nSplitName=%M.%%%t", specifiers={"M": "os", "A": "1%2", "a": "x86-64"})
    assert found.label == "os_1%2-x86-64"
    assert found.split_name == "os.%%%t"


@pytest.mark.parametrize("key", IGNORED)
def test_what_means_nothing_is_remembered(key: str) -> None:
    (ignored,) = parse(f"Type=root\n{key}=1").ignored
    assert (ignored.key, ignored.line) == (key, 3)


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_not_done_is_refused(key: str) -> None:
    with pytest.raises(
        FormatError, match=r"20-root\.conf:2: \[Partition\] " + key + r"=: the key is not supported.*; "
    ):
        parse(f"{key}=tpm2")
    if key == "Encrypt":
        parse("Encrypt=off")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Sise=1", r"^20-root\.conf:2: \[Partition\] Sise=: the key is unknown.*known are Type, "),
        ("[Partiton]\nType=root", r"^20-root\.conf:3: the section \[Partiton\] is unknown; expected \[Partition\]"),
        ("Type=rooot", "found rooot|is rooot, expected a UUID, or a name"),
        ("Type=root-secondary", "the value is not valid"),
        ("Label=" + "a" * 37, "the label is too long; expected at most 36, found 37 UTF-16 units"),
        ("Label=" + "\U0001f600" * 19, "the label is too long"),
        ("Label=%m", r"the specifier is unknown; expected one of those known: none, found %m \(repart\.d\(5\)\)"),
        ("UUID=12", r'the value is not valid; expected a UUID or "null", found 12 \(repart\.d\(5\)\)'),
        ("SizeMinBytes=1X", "expected bytes, or a number with K, M, G or T"),
        ("SizeMinBytes=2E", "expected at most 1E"),
        ("SizeMinBytes=2M\nSizeMaxBytes=1M", r"SizeMaxBytes=: the value is 1048576, below SizeMinBytes= with 2097152"),
        ("SizeMaxBytes=4095", "partitions have 4096 bytes or more"),
        ("Format=btrfs", "the value is not valid; expected one of erofs, squashfs, ext4, vfat, swap"),
        ("CopyFiles=a:/b", "expected an absolute path"),
        ("CopyFiles=/a:/../b", 'expected an absolute path without ".."'),
        ("CopyFiles=/a:/b:fsverity=copy", "expected source:target, without options"),
        ("CopyBlocks=auto", r'is "auto".*; name a file'),
        ("CopyBlocks=/a\nFormat=ext4", r"\[Partition\] CopyBlocks=: the value is combined with Format="),
        ("MakeDirectories='/a", "expected words, with their quotes closed"),
        ("Minimize=very", "expected one of off, best, guess"),
        ("Verity=data\nCopyFiles=/a", "VerityMatchKey= does not say for which"),
        ("VerityMatchKey=x", "is given without Verity="),
        ("Verity=data\nVerityMatchKey=x", "nothing says what the data is"),
        ("Verity=hash\nVerityMatchKey=x\nCopyBlocks=/a", "what the partition holds is computed"),
        ("VerityDataBlockSizeBytes=8192", "expected 512, 1024, 2048 or 4096"),
        ("VerityHashBlockSizeBytes=1000", "expected 512, 1024, 2048 or 4096"),
        ("ReadOnly=maybe", "expected yes or no"),
        ("Flags=0x1ffffffffffffffff", "expected a number of 64 bits"),
        ("SplitName=../x", "expected part of a file name"),
        ("SplitName=%q", "the specifier is unknown"),
        ("CompressionLevel=many", "expected a small number"),
        ("Format=swap\nCopyFiles=/a", "is swap, which holds no files"),
    ],
)
def test_errors_name_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(FormatError) as failure:
        parse(text)
    assert re.search(message, str(failure.value)), failure.value
    assert str(failure.value).startswith("20-root.conf:")
    assert "\n" not in str(failure.value)


def test_a_path_with_a_colon_cannot_be_written_down() -> None:
    with pytest.raises(FormatError, match="has a colon"):
        pack_repart(RepartDefinition("a", ROOT, copy_files=(CopyFiles("/a:b", "/"),)))


PATHS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0\n\r:"), min_size=1, max_size=6).filter(
        lambda name: name not in (".", "..") and name == name.strip() and not name.endswith("\\")
    ),
    min_size=1,
    max_size=3,
).map(lambda names: "/" + "/".join(names))


@given(
    copies=st.lists(st.builds(CopyFiles, PATHS, PATHS), max_size=3),
    directories=st.lists(PATHS, max_size=3),
    label=st.none()
    | st.text(st.characters(codec="ascii", min_codepoint=33, exclude_characters="\\"), min_size=1, max_size=36),
    sizes=st.none() | st.integers(1, 1 << 40),
    flags=st.none() | st.integers(0, 2**64 - 1),
    boolean=st.none() | st.booleans(),
)
def test_pack_and_parse_are_inverse(
    copies: list[CopyFiles],
    directories: list[str],
    label: str | None,
    sizes: int | None,
    flags: int | None,
    boolean: bool | None,
) -> None:
    definition = RepartDefinition(
        "x.conf",
        ROOT,
        label=label,
        copy_files=tuple(copies),
        make_directories=tuple(directories),
        size_min_bytes=None if sizes is None else sizes * 4096,
        flags=flags,
        no_auto=boolean,
    )
    assert parse_repart(pack_repart(definition), name="x.conf", architecture=Architecture.X86) == definition
