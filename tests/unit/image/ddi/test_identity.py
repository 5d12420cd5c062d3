"""Against what systemd-repart 252 wrote with this seed (tests/integration/test_ddi_judges.py asks it again)."""

from __future__ import annotations

from uuid import UUID

from bootpath.formats.partitions.dps import Designator, type_guid
from bootpath.image.ddi.identity import disk_uuid, file_system_uuid, partition_uuid, verity_salt, verity_uuid

SEED = UUID("11111111-2222-4333-8444-555555555555")
HOME = type_guid(Designator.HOME)


def test_the_disk_and_its_partitions() -> None:
    assert disk_uuid(SEED) == UUID("ea7f4643-964f-4528-9db5-281a46917034")
    assert partition_uuid(SEED, type_guid(Designator.ESP), 0) == UUID("32807eda-354e-42c1-8e26-ef721f8a2243")
    assert partition_uuid(SEED, HOME, 0) == UUID("6e64fb48-f224-476b-8c7d-efd05f03793b")
    assert partition_uuid(SEED, HOME, 1) == UUID("f52fef27-23fe-4880-9f5d-66c3d03bc646")


def test_a_file_system_is_keyed_by_its_partition() -> None:
    assert file_system_uuid(partition_uuid(SEED, HOME, 0)) == UUID("23dceeba-bcbc-4efb-b35b-437fc2b1e4e6")


def test_slots_differ() -> None:
    assert len({verity_salt(SEED, slot) for slot in (1, 2, 3)}) == 3
    assert len({verity_uuid(SEED, slot) for slot in (1, 2, 3)}) == 3
    assert len(verity_salt(SEED, 1)) == 32
