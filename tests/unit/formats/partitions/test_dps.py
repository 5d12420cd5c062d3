from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from bootpath.formats.partitions.dps import (
    DISCOVERABLE_TYPES,
    FLAG_GROWFS,
    FLAG_NO_AUTO,
    FLAG_READ_ONLY,
    Architecture,
    Designator,
    data_uuid,
    discoverable_type,
    flag_names,
    hash_uuid,
    is_partial,
    root_hash_of,
    type_guid,
    var_uuid,
)
from bootpath.formats.partitions.dpstypes import DPS_ROWS
from bootpath.formats.partitions.gptheader import EFI_SYSTEM, LINUX_FS, XBOOTLDR
from tests.support.tools import tool


def test_the_table_is_whole() -> None:
    """21 architectures for root, usr and what protects them, and nine types without one."""
    assert len(DPS_ROWS) == len(DISCOVERABLE_TYPES) == 6 * 21 + 9
    uses = Counter(row.designator for row in DISCOVERABLE_TYPES.values())
    assert {uses[designator] for designator in Designator if designator.versioned} == {len(Architecture)}
    assert {uses[designator] for designator in Designator if not designator.versioned} == {1}
    assert all((row.architecture is not None) == row.designator.versioned for row in DISCOVERABLE_TYPES.values())


def test_the_table_is_systemds() -> None:
    output = subprocess.run([tool("systemd-id128"), "show"], capture_output=True, text=True, check=True).stdout
    theirs = {words[0]: UUID(words[1]) for words in map(str.split, output.splitlines()[1:])}
    # Those without an architecture in their name are aliases of this machine's and its secondary one's.
    ours = {row.name: guid for guid, row in DISCOVERABLE_TYPES.items()}
    assert {name: theirs.get(name) for name in ours} == ours


def test_types_that_other_modules_name() -> None:
    assert type_guid(Designator.ESP) == EFI_SYSTEM
    assert type_guid(Designator.XBOOTLDR) == XBOOTLDR
    assert type_guid(Designator.LINUX_GENERIC) == LINUX_FS
    assert discoverable_type(UUID(int=1)) is None


def test_what_protects_what() -> None:
    for data in (Designator.ROOT, Designator.USR):
        assert data.hashes is not None
        assert data.signature is not None
        assert data.hashes.data is data.signature.data is data.data is data
        assert data.hashes.hashes is None
    assert Designator.HOME.data is Designator.HOME
    assert Designator.HOME.hashes is None
    row = discoverable_type(type_guid(Designator.ROOT_VERITY_SIG, Architecture.X86_64))
    assert row is not None
    assert row.name == "root-x86-64-verity-sig"


def test_a_pair_of_uuids_is_a_hash_of_256_bits() -> None:
    root_hash = bytes(range(32))
    assert data_uuid(root_hash) == UUID("00010203-0405-0607-0809-0a0b0c0d0e0f")
    assert hash_uuid(root_hash) == UUID("10111213-1415-1617-1819-1a1b1c1d1e1f")
    assert root_hash_of(data_uuid(root_hash), hash_uuid(root_hash)) == root_hash
    # "the final 128 bits of it": of a longer hash, the middle is in neither.
    assert hash_uuid(bytes(48) + bytes(range(16))).bytes == bytes(range(16))


def test_flags() -> None:
    assert flag_names(FLAG_NO_AUTO | FLAG_READ_ONLY | FLAG_GROWFS | 1) == ("no-auto", "read-only", "growfs")
    assert flag_names(0) == ()


def test_partial_names() -> None:
    assert is_partial("PRT#os_2")
    assert is_partial("PND#os_2")
    assert not is_partial("os_PRT#2")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "ppc64le", "riscv64", "s390x", "i686", "armv7l", "x86-64"])
def test_machines(machine: str) -> None:
    assert Architecture.of_machine(machine) is not None
    assert Architecture.of_machine("pdp11") is None


def test_var_belongs_to_one_machine() -> None:
    machine_id = Path("/etc/machine-id")
    if not machine_id.exists() or len(machine_id.read_text().strip()) != 32:
        pytest.skip("this machine has no machine id")
    app = type_guid(Designator.VAR).hex
    command = [tool("systemd-id128"), "machine-id", f"--app-specific={app}", "--uuid"]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert str(var_uuid(bytes.fromhex(machine_id.read_text().strip()))) == expected


def test_a_machine_id_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        var_uuid(b"short")
