"""Bytes and frozen values: every format is parsed and packed here, and nothing is opened, written or logged."""

from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio, parse_cpio
from bootpath.formats.dmcreate import DM_CREATE_TARGETS, MappedDevice, pack_dm_create, parse_dm_create
from bootpath.formats.dmtable import Row, Table, pack_row, pack_table, parse_row, parse_table
from bootpath.formats.gpt import Gpt, GptVerdict, probe_gpt, read_gpt
from bootpath.formats.gptheader import BIOS_BOOT, EFI_SYSTEM, LINUX_FS, PARTITION_TYPES, XBOOTLDR, Partition
from bootpath.formats.gptwrite import new_gpt, pack_gpt, repair_gpt
from bootpath.formats.handoff import HANDOFF_MAX_BYTES, Handoff, pack_handoff, parse_handoff
from bootpath.formats.nbduri import NbdUri, pack_nbd_uri, parse_nbd_uri
from bootpath.formats.plan import PLAN_MAX_BYTES, Plan, PlanExtent, pack_plan, parse_plan
from bootpath.formats.trace import TRACE_MAX_BYTES, Trace, pack_trace, parse_trace
from bootpath.formats.verity import (
    VerityParameters,
    VeritySuperblock,
    pack_verity_superblock,
    parse_verity_superblock,
    probe_verity,
)

__all__ = [
    "BIOS_BOOT",
    "DM_CREATE_TARGETS",
    "EFI_SYSTEM",
    "HANDOFF_MAX_BYTES",
    "LINUX_FS",
    "PARTITION_TYPES",
    "PLAN_MAX_BYTES",
    "TRACE_MAX_BYTES",
    "XBOOTLDR",
    "CpioEntry",
    "Gpt",
    "GptVerdict",
    "Handoff",
    "MappedDevice",
    "NbdUri",
    "Partition",
    "Plan",
    "PlanExtent",
    "Row",
    "Table",
    "Trace",
    "VerityParameters",
    "VeritySuperblock",
    "arrange_cpio",
    "new_gpt",
    "pack_cpio",
    "pack_dm_create",
    "pack_gpt",
    "pack_handoff",
    "pack_nbd_uri",
    "pack_plan",
    "pack_row",
    "pack_table",
    "pack_trace",
    "pack_verity_superblock",
    "parse_cpio",
    "parse_dm_create",
    "parse_handoff",
    "parse_nbd_uri",
    "parse_plan",
    "parse_row",
    "parse_table",
    "parse_trace",
    "parse_verity_superblock",
    "probe_gpt",
    "probe_verity",
    "read_gpt",
    "repair_gpt",
]
