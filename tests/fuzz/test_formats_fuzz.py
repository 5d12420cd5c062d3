"""Each parser of the formats floor has an entry; and partition tables whose checksums are right in spite of all."""

from __future__ import annotations

from importlib import import_module
from inspect import isfunction
from pkgutil import walk_packages
from random import Random
from zlib import crc32

import pytest

from bootpath import formats
from bootpath.core.errors import FormatError
from bootpath.formats.pkcs7 import PKCS7_MAX_BYTES, parse_pkcs7
from tests.fuzz.formats import check_gpt
from tests.fuzz.mutation import mutate
from tests.fuzz.targets import TARGETS
from tests.support.gptdisk import get_field, gpt_image, sample_gpt

ROUNDS = 1000

# Every parse_*, read_* and find_* of the floor, by the entry that feeds it.
COVERED = {
    "android_sparse": "read_sparse_image",
    "bls": "parse_bls parse_entry_name",
    "bzimage": "parse_bzimage",
    "cpio": "parse_cpio",
    "dm_concise": "parse_concise",
    "devicetree": "parse_devicetree",
    "disc": "read_descriptors parse_descriptor read_boot_catalog parse_record",
    "dm_create": "parse_dm_create",
    "efi_variables": "parse_variable_store parse_edk2_store parse_json_store find_variable",
    "el_torito": "parse_boot_catalog",
    "extlinux": "parse_extlinux",
    "gpt": "read_gpt read_copies find_overlaps parse_array",
    "grub": "parse_grub parse_words",
    "handoff": "parse_handoff",
    "image_policy": "parse_image_policy",
    "listing": "parse_listing",
    "luks_metadata": "parse_luks_metadata",
    "loader_conf": "parse_loader_conf parse_timeout",
    "lvm2": "read_lvm2 read_label",
    "lvm_group": "parse_volume_group parse_lvm_text",
    "mbr": "read_mbr",
    "nbd_client": (
        "parse_greeting parse_option_reply parse_export_reply parse_info parse_meta_context "
        "parse_reply parse_error parse_hole parse_block_status"
    ),
    "nbd_message": "parse_server",
    "nbd_server": ("parse_option parse_name parse_info_request parse_meta_query parse_request parse_status_filter"),
    "nbd_uri": "parse_nbd_uri",
    "os_release": "parse_os_release",
    "packed_index": "read_xz_index read_seek_table",
    "qcow2": "parse_qcow",
    "vmdk": "read_vmdk_names",
    "overlay_header": "parse_header",
    "overlay_log": "parse_log",
    "pkcs7": "parse_pkcs7 parse_der",
    "pi_config": "parse_pi_config",
    "plan": "parse_plan parse_json",
    "psk_file": "parse_psk_file",
    "repart": "parse_repart parse_unit_file",
    "rock_ridge": "parse_entries parse_skip parse_continuation parse_rock_ridge",
    "root_parameters": "parse_root_parameters parse_slot parse_logical_volume parse_ubi_volume",
    "kernel_image": "parse_kernel",
    "line": "parse_line parse_decimal",
    "signed_pe": "parse_signed_pe parse_enclosed",
    "snapshot_header": "parse_snapshot_header",
    "table": "parse_table",
    "target": "parse_target",
    "trace": "parse_trace",
    "ubi": "read_ubi read_leb find_ec_header find_peb_bytes parse_ec_header parse_vid_header parse_volume_table",
    "uki": "read_pe read_uki read_uki_addon",
    "verity": "parse_verity_superblock",
    "verity_args": "parse_root_hash",
    "verity_signature": "parse_verity_signature",
    "vmlinux": "find_pvh_entry",
}


def parsers_of_the_floor() -> set[str]:
    found = set()
    for room in walk_packages(formats.__path__, "bootpath.formats."):
        for name, value in vars(import_module(room.name)).items():
            if isfunction(value) and value.__module__ == room.name and name.startswith(("parse_", "read_", "find_")):
                found.add(name)
    return found


def test_every_parser_is_fuzzed() -> None:
    assert parsers_of_the_floor() == {name for names in COVERED.values() for name in names.split()}
    assert set(COVERED) <= set(TARGETS)


@pytest.mark.parametrize("head", [b"", b"\x30\x83\x0f\xff\xfb\x06\x83\x0f\xff\xf6"])
def test_tags_and_identifiers_without_end(head: bytes) -> None:
    """They are refused at once: some readers take time with the square of their length."""
    with pytest.raises(FormatError, match=r"the number of a tag is too large|not in the form of DER"):
        parse_pkcs7(head.ljust(PKCS7_MAX_BYTES, b"\xff"))


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_headers_with_good_checksums(block_bytes: int) -> None:
    """Mutants that a checksum would stop: seal them again, so that the fields behind it are reached."""
    sound = gpt_image(sample_gpt(block_bytes))
    random = Random(4)
    last_lba = len(sound) // block_bytes - 1
    for _ in range(ROUNDS):
        image = sound.copy()
        for lba in random.choice([(1,), (last_lba,), (1, last_lba)]):
            start = lba * block_bytes
            header = mutate(bytes(image[start + 8 : start + 92]), random)[:84].ljust(84, b"\0")
            array = get_field(image, lba, "entries_lba", block_bytes) * block_bytes
            entry = array + 128 * random.randrange(6)
            image[entry : entry + 128] = mutate(bytes(image[entry : entry + 128]), random)[:128].ljust(128, b"\0")
            image[start + 8 : start + 92] = header
            if random.randrange(4):
                image[start + 8 : start + 16] = sound[start + 8 : start + 16]
                image[start + 20 : start + 24] = bytes(4)
            if random.randrange(4):
                image[start + 72 : start + 88] = sound[start + 72 : start + 88]
                image[start + 88 : start + 92] = crc32(image[array : array + 128 * 128]).to_bytes(4, "little")
            image[start + 16 : start + 20] = bytes(4)
            image[start + 16 : start + 20] = crc32(image[start : start + 92]).to_bytes(4, "little")
        try:
            check_gpt(bytes(image))
        except FormatError as error:
            str(error).encode()
