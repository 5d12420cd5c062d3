"""Bytes and frozen values: every format is parsed and packed here, and nothing is opened, written or logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio, parse_cpio
    from bootpath.formats.dmcreate import DM_CREATE_TARGETS, MappedDevice, pack_dm_create, parse_dm_create
    from bootpath.formats.dmexport import ExportFormat, export_listing
    from bootpath.formats.dmlisting import ListedTable, pack_listing, parse_listing
    from bootpath.formats.dmtable import Row, Table, pack_row, pack_table, parse_row, parse_table
    from bootpath.formats.dmtargets import (
        KERNEL_TARGETS,
        TARGET_FORMATS,
        device_names,
        pack_target,
        parse_target,
        rename_devices,
    )
    from bootpath.formats.gpt import Gpt, GptVerdict, probe_gpt, read_gpt
    from bootpath.formats.gptheader import BIOS_BOOT, EFI_SYSTEM, LINUX_FS, PARTITION_TYPES, XBOOTLDR, Partition
    from bootpath.formats.gptwrite import new_gpt, pack_gpt, repair_gpt
    from bootpath.formats.handoff import HANDOFF_MAX_BYTES, Handoff, pack_handoff, parse_handoff
    from bootpath.formats.nbduri import NbdUri, pack_nbd_uri, parse_nbd_uri
    from bootpath.formats.pkcs7 import SignedAttributes, SignerInfo, parse_pkcs7
    from bootpath.formats.plan import PLAN_MAX_BYTES, Plan, PlanExtent, pack_plan, parse_plan
    from bootpath.formats.trace import TRACE_MAX_BYTES, Trace, pack_trace, parse_trace
    from bootpath.formats.verity import (
        VerityParameters,
        VeritySuperblock,
        pack_verity_superblock,
        parse_verity_superblock,
        probe_verity,
    )
    from bootpath.formats.veritysignature import VeritySignature, pack_verity_signature, parse_verity_signature

__all__ = [
    "BIOS_BOOT",
    "DM_CREATE_TARGETS",
    "EFI_SYSTEM",
    "HANDOFF_MAX_BYTES",
    "KERNEL_TARGETS",
    "LINUX_FS",
    "PARTITION_TYPES",
    "PLAN_MAX_BYTES",
    "TARGET_FORMATS",
    "TRACE_MAX_BYTES",
    "XBOOTLDR",
    "CpioEntry",
    "ExportFormat",
    "Gpt",
    "GptVerdict",
    "Handoff",
    "ListedTable",
    "MappedDevice",
    "NbdUri",
    "Partition",
    "Plan",
    "PlanExtent",
    "Row",
    "SignedAttributes",
    "SignerInfo",
    "Table",
    "Trace",
    "VerityParameters",
    "VeritySignature",
    "VeritySuperblock",
    "arrange_cpio",
    "device_names",
    "export_listing",
    "new_gpt",
    "pack_cpio",
    "pack_dm_create",
    "pack_gpt",
    "pack_handoff",
    "pack_listing",
    "pack_nbd_uri",
    "pack_plan",
    "pack_row",
    "pack_table",
    "pack_target",
    "pack_trace",
    "pack_verity_signature",
    "pack_verity_superblock",
    "parse_cpio",
    "parse_dm_create",
    "parse_handoff",
    "parse_listing",
    "parse_nbd_uri",
    "parse_pkcs7",
    "parse_plan",
    "parse_row",
    "parse_table",
    "parse_target",
    "parse_trace",
    "parse_verity_signature",
    "parse_verity_superblock",
    "probe_gpt",
    "probe_verity",
    "read_gpt",
    "rename_devices",
    "repair_gpt",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "cpio": "CpioEntry arrange_cpio pack_cpio parse_cpio",
        "dmcreate": "DM_CREATE_TARGETS MappedDevice pack_dm_create parse_dm_create",
        "dmexport": "ExportFormat export_listing",
        "dmlisting": "ListedTable pack_listing parse_listing",
        "dmtable": "Row Table pack_row pack_table parse_row parse_table",
        "dmtargets": "KERNEL_TARGETS TARGET_FORMATS device_names pack_target parse_target rename_devices",
        "gpt": "Gpt GptVerdict probe_gpt read_gpt",
        "gptheader": "BIOS_BOOT EFI_SYSTEM LINUX_FS PARTITION_TYPES Partition XBOOTLDR",
        "gptwrite": "new_gpt pack_gpt repair_gpt",
        "handoff": "HANDOFF_MAX_BYTES Handoff pack_handoff parse_handoff",
        "nbduri": "NbdUri pack_nbd_uri parse_nbd_uri",
        "pkcs7": "SignedAttributes SignerInfo parse_pkcs7",
        "plan": "PLAN_MAX_BYTES Plan PlanExtent pack_plan parse_plan",
        "trace": "TRACE_MAX_BYTES Trace pack_trace parse_trace",
        "verity": "VerityParameters VeritySuperblock pack_verity_superblock parse_verity_superblock probe_verity",
        "veritysignature": "VeritySignature pack_verity_signature parse_verity_signature",
    },
)
